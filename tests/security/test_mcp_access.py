"""How an agent reaches ``/mcp``, and what a program without access gets. For hostile requests, see T85 to T90."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tests.mcp.raw_client import Agent
from tests.support import agents
from tests.support.world import App, Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.world import World

PING: Final[dict[str, Any]] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def pair(world: World, *scopes: str) -> App:
    """Give an agent access, and return it."""
    approved = await agents.Agent.approved(world, *(scopes or ("databases:read",)))
    return App(id=approved.caller.id, token=approved.token, origin=None)


def agent_of(world: World, app: App) -> Agent:
    """Return a client with the agent's token."""
    return Agent(world.session, f"http://127.0.0.1:{world.port}/mcp", app.headers)


async def send(world: World, token: str | None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a message with a token."""
    return await world.call("POST", "/mcp", PING, headers=headers, token=token)


def metadata(world: World) -> str:
    """Return what a challenge refers to."""
    return f'resource_metadata="http://127.0.0.1:{world.port}/.well-known/oauth-protected-resource/mcp"'


async def test_agent_with_a_token_is_served_in_both_eras(world: World) -> None:
    """With and without a session, at every address of the daemon."""
    agent = agent_of(world, await pair(world))

    discovered = await agent.call("server/discover")
    begun = await agent.initialize()
    listed = await agent.call("tools/list")

    assert "upstash-helper" in str(discovered.result)
    assert "2025-11-25" == begun.result["protocolVersion"]
    assert 200 == listed.status


async def test_request_without_a_token_is_shown_where_to_get_one(world: World) -> None:
    """RFC 9728, section 5.1. Nothing says that a token was wrong."""
    reply = await send(world, None)

    assert (401, "token_required") == (reply.status, reply.code)
    assert f'Bearer realm="upstash-helper", {metadata(world)}' == reply.headers["WWW-Authenticate"]


async def test_challenge_has_the_name_that_the_client_uses(world: World) -> None:
    """A client compares it with the URL that its user has given it."""
    host = f"localhost:{world.port}"

    reply = await send(world, None, {"Host": host})

    assert f"http://{host}/.well-known/oauth-protected-resource/mcp" in reply.headers["WWW-Authenticate"]


async def test_other_tokens_are_refused(world: World) -> None:
    """That of the owner, that of an app of the API, and one that does not exist."""
    app = await world.pair("databases:read")

    replies = [await send(world, token) for token in (world.owner, app.token, "uha_unknown")]

    assert [(401, "invalid_token")] * 3 == [(reply.status, reply.code) for reply in replies]
    for reply in replies:
        assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
        assert metadata(world) in reply.headers["WWW-Authenticate"]


async def test_form_is_refused(world: World) -> None:
    """The types of a form are those that a page can send anywhere."""
    agent = await pair(world)

    reply = await send(world, agent.token, {"Content-Type": "text/plain"})

    assert 415 == reply.status


async def test_revoked_agent_is_refused_and_its_stream_ends(world: World) -> None:
    """At once."""
    app = await pair(world)
    agent = agent_of(world, app)

    async with agent.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) as stream:
        await stream.next()
        await world.call("DELETE", f"/v1/apps/{app.id}")

        assert await stream.next() is None
    assert 401 == (await agent.call("tools/list")).status


async def test_agent_is_an_app_like_any_other(world: World) -> None:
    """Listed with what its token is for."""
    app = await pair(world)

    [listed] = (await world.get("/v1/apps")).json["apps"]

    assert (app.id, "Agent", "mcp") == (listed["id"], listed["name"], listed["audience"])


async def test_requests_of_an_agent_are_limited(world: World) -> None:
    """Like those of any app."""
    agent = agent_of(world, await pair(world))

    statuses = {(await agent.call("tools/list")).status for _ in range(80)}

    assert {200, 429} == statuses
