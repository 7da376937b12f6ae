"""A token is accepted only where it was issued for: by the API, or at ``/mcp``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.effects import state
from upstash_helper.broker.identity import SCOPES

if TYPE_CHECKING:
    from tests.support.world import World


async def test_agent_token_is_refused_by_every_route_of_the_api(world: World) -> None:
    """Not even routes that need no scope accept it, and nothing changes."""
    agent = await world.pair(*SCOPES, audience="mcp")
    guarded = [route for route in world.daemon.routes if route.policy.access == "token"]
    before = await state(world)

    replies = [
        await world.call(route.method, _path(route.path), {}, headers=agent.headers, token=None)
        for route in guarded
        if route.policy.audience == "api"
    ]

    assert len(replies) > 10
    assert {401} == {reply.status for reply in replies}
    assert all('error="invalid_token"' in reply.headers["WWW-Authenticate"] for reply in replies)
    assert before == await state(world)


@pytest.mark.parametrize("origin", ["https://app.example.com", "chrome-extension://" + "a" * 32])
async def test_pages_and_extensions_cannot_request_access_to_mcp(world: World, origin: str) -> None:
    """The request is refused at once, and nobody is asked."""
    reply = await world.ask("databases:read", origin=origin, audience="mcp")

    assert (422, "/audience") == (reply.status, reply.json["errors"][0]["pointer"])
    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_apps_list_shows_where_a_token_is_accepted(world: World) -> None:
    """The audience survives a restart, since it is in the ledger."""
    await world.pair("databases:read", name="Agent", audience="mcp")
    await world.pair("databases:read", name="App")

    listed = (await world.get("/v1/apps")).json["apps"]
    stored = await world.ledger.apps.load()

    assert {"Agent": "mcp", "App": "api"} == {app["name"]: app["audience"] for app in listed}
    assert {"Agent": "mcp", "App": "api"} == {app.name: app.audience for app in stored}


def _path(path: str) -> str:
    for name in ("{database_id}", "{attempt_id}", "{path:.*}", "{pairing_id}"):
        path = path.replace(name, "x")
    return path
