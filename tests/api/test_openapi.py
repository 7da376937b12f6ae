"""``/openapi.json`` describes what the daemon serves."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.clock import FakeClock
from tests.support.world import World
from upstash_helper.api.app import create_app
from upstash_helper.api.guard.audit import RequestAudit
from upstash_helper.api.guard.middleware import Guard, PolicyError
from upstash_helper.api.guard.policy import ServerAddress
from upstash_helper.api.guard.tokens import Tokens
from upstash_helper.api.server.problems import STATUS_OF
from upstash_helper.api.server.routes import ACT_FIRST, RECORD_FIRST, Access, Policy, Route
from upstash_helper.broker import errors
from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
from upstash_helper.broker.apps.registry import AppRegistry
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.protocol import wire, wire_apps
from upstash_helper.storage.ledger.sqlite import SqliteLedger
from upstash_helper.system.peers import SystemPeers

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_description_is_valid(world: World) -> None:
    """OpenAPI 3.1, checked against the specification's schema."""
    reply = await world.get("/openapi.json", token=None)

    OpenAPIV31SpecValidator(reply.json).validate()
    assert "3.1.0" == reply.json["openapi"]


async def test_described_routes_are_the_served_routes(world: World) -> None:
    """No route is missing, and none is made up."""
    described = (await world.get("/openapi.json", token=None)).json["paths"]

    routed = {
        (route.method, re.sub(r"{(\w+):[^}]*}", r"{\1}", route.resource.canonical))
        for route in world.daemon.app.router.routes()
        if route.resource
    }
    assert routed == {(method.upper(), path) for path, methods in described.items() for method in methods}


async def test_dashboard_has_a_text_for_every_action_of_the_audit(world: World) -> None:
    """The user reads what happened, and not a code. The actions of the pass-through share one text."""
    script = (files("upstash_helper") / "web" / "dashboard" / "format.js").read_text()
    known = set(re.findall(r'^  "([a-z]+\.[a-z_]+)": "', script, re.MULTILINE))

    recorded = {route.policy.audit for route in world.daemon.routes if route.policy.audit}

    assert set() == {action for action in recorded if not action.startswith("upstash.")} - known


async def handler(request: web.Request) -> web.Response:
    """Fail; this handler is never called."""
    return web.Response()


def guard() -> Guard:
    """Return a guard without any app with access."""
    clock, events, background, ledger = FakeClock(), EventBus(), Background(), SqliteLedger(None)
    pending = PendingWrites(ledger=ledger, tombstones=NoTombstones(), background=background, clock=clock)
    audit = Audit(records=ledger.audit, pending=pending, clock=clock)
    apps = AppRegistry(
        records=ledger.apps, audit=audit, pending=pending, events=events, background=background, clock=clock
    )
    return Guard(
        address=ServerAddress(port=3000),
        callers=Tokens(apps, DashboardSessions(clock=clock)),
        apps=apps,
        peers=SystemPeers(),
        audit=RequestAudit(audit=audit, pending=pending, background=background),
        asker_key=lambda *_: "",
        clock=clock,
    )


def route(method: str, policy: Policy) -> Route:
    """Return a route that differs only in its policy."""
    return Route(
        method=method, path="/x", handler=handler, policy=policy, summary="", operation_id="x", answers={200: None}
    )


def test_route_without_a_policy_prevents_the_start() -> None:
    """A forgotten route is never served."""
    app = web.Application()
    app.router.add_get("/forgotten", handler)

    with pytest.raises(PolicyError, match="/forgotten"):
        guard().require_policies(app)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("access", ["token", "owner"])
def test_changing_route_without_an_audit_name_prevents_the_start(method: str, access: Access) -> None:
    """Every route that changes something has a name in the audit log."""
    with pytest.raises(PolicyError, match="/x"):
        create_app([route(method, Policy(access))], guard=guard())


@pytest.mark.parametrize(
    ("method", "policy"),
    [
        ("GET", Policy("token")),
        ("HEAD", Policy("owner")),
        ("POST", Policy("token", audit="x", order=RECORD_FIRST)),
        ("DELETE", Policy("owner", audit="x", order=ACT_FIRST)),
        ("POST", Policy("pairing", body="json", order=RECORD_FIRST)),  # records requests and approvals itself
    ],
)
def test_declared_routes_are_served(method: str, policy: Policy) -> None:
    """Reading routes need no audit name."""
    app = create_app([route(method, policy)], guard=guard())

    assert [method] == [served.method for served in app.router.routes()]


def subclasses(kind: type[errors.HelperError]) -> Iterator[type[errors.HelperError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_domain_error_has_a_status_and_a_unique_code() -> None:
    """A new error cannot be forgotten in the table."""
    known = [kind for kind in subclasses(errors.HelperError) if kind.__module__ == errors.__name__]

    assert {kind for kind in known if kind is not errors.PartlyApplied} == set(STATUS_OF)
    assert len(known) == len({kind.code for kind in known})


@pytest.mark.parametrize(
    "kind",
    [wire.CreateDatabase, wire.ChangeDatabase, wire.Connect, wire.ApiKey, wire.Email, wire.PastedAddress,
     wire_apps.PairingRequest, wire_apps.Approve, wire_apps.RenameApp],
)  # fmt: skip
async def test_request_schemas_reject_unknown_fields(world: World, kind: type) -> None:
    """Generated clients learn this from the description."""
    schemas = (await world.get("/openapi.json", token=None)).json["components"]["schemas"]

    assert schemas[kind.__name__]["additionalProperties"] is False
