"""``/openapi.json`` says what the daemon does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp.web
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.world import World
from upstash_helper.api.app import UndeclaredRoute, create_app
from upstash_helper.api.guard import Surface
from upstash_helper.api.openapi import statuses
from upstash_helper.api.problems import STATUS_OF
from upstash_helper.broker import errors
from upstash_helper.client import wire

if TYPE_CHECKING:
    from collections.abc import Iterator


async def test_the_description_is_valid(world: World) -> None:
    """OpenAPI 3.1, by the specification's own schema."""
    reply = await world.get("/openapi.json", token=None)

    OpenAPIV31SpecValidator(reply.json).validate()
    assert "3.1.0" == reply.json["openapi"]


async def test_every_route_is_described_and_nothing_else(world: World) -> None:
    """What is routed is what is documented."""
    described = (await world.get("/openapi.json", token=None)).json["paths"]

    routed = {(route.method, route.resource.canonical) for route in world.daemon.app.router.routes() if route.resource}
    assert routed == {(method.upper(), path) for path, methods in described.items() for method in methods}


async def test_t54_what_is_answered_is_documented(world: World) -> None:
    """Every method on every path, with and without a token, with and without a foreign origin."""
    documented = {(route.method, route.path): statuses(route) for route in world.daemon.routes}
    paths = sorted({path for _, path in documented} - {"/v1/events", "/v1/daemon/stop"})

    for path in paths:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"):
            for token in (None, "", "wrong"):
                for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                    reply = await world.call(
                        method, path.replace("{", "").replace("}", ""), b"{}", token=token, headers=headers
                    )
                    known = documented.get((method, path), {403, 405})
                    assert reply.status in known, (method, path, token, headers, reply.text)


def test_an_undeclared_route_stops_the_daemon_from_starting() -> None:
    """A door that nobody thought about is not opened."""

    class Tokens:
        def find(self, token: bytes) -> None:
            """Nobody has one."""

    async def handler(request: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response()

    from upstash_helper.api.app import Gate

    app = aiohttp.web.Application()
    app.router.add_get("/forgotten", handler)

    with pytest.raises(UndeclaredRoute, match="/forgotten"):
        Gate(surface=Surface(port=3000), tokens=Tokens()).check(app)  # type: ignore[arg-type]
    assert create_app([], surface=Surface(port=3000), tokens=Tokens()) is not None  # type: ignore[arg-type]


def subclasses(kind: type[errors.HelperError]) -> Iterator[type[errors.HelperError]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def test_every_domain_error_has_a_status_and_a_code_of_its_own() -> None:
    """A new error cannot be forgotten in the table, nor share its code with another."""
    known = [kind for kind in subclasses(errors.HelperError) if kind.__module__ == errors.__name__]

    assert {kind for kind in known if kind is not errors.PartlyApplied} == set(STATUS_OF)
    assert len(known) == len({kind.code for kind in known})


@pytest.mark.parametrize("kind", [wire.CreateDatabase, wire.ChangeDatabase, wire.Connect, wire.ApiKey, wire.Email])
async def test_requests_take_no_unknown_field(world: World, kind: type) -> None:
    """The description says so too, so that a generated client does not send any."""
    schemas = (await world.get("/openapi.json", token=None)).json["components"]["schemas"]

    assert schemas[kind.__name__]["additionalProperties"] is False
