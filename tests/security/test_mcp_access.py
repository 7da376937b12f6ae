"""Who reaches ``/mcp``: programs with a token that was issued for it. And that token reaches nothing else."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.mcp.raw_client import Agent
from tests.support.world import App, Reply, as_page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.world import World
    from upstash_helper.api.server.routes import Route

PAGE: Final = "https://app.example.com"
PING: Final[dict[str, Any]] = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


async def pair(world: World, *scopes: str) -> App:
    """Give an agent access, and return it."""
    body = {"name": "Agent", "scopes": scopes or ("databases:read",), "audience": "mcp"}
    asked = (await world.call("POST", "/v1/pairings", body, token=None)).json
    approved = await world.call("POST", f"/v1/pairings/{asked['id']}/approve", {})
    assert 200 == approved.status, approved.text
    fetched = await world.call("POST", f"/v1/pairings/{asked['id']}/token", token=asked["poll_secret"])
    return App(id=fetched.json["app_id"], token=fetched.json["token"], origin=None)


def agent_of(world: World, app: App) -> Agent:
    """Return a client with the agent's token."""
    return Agent(world.session, f"http://127.0.0.1:{world.port}/mcp", app.headers)


async def send(world: World, token: str | None, headers: Mapping[str, str] | None = None) -> Reply:
    """Send a message with a token."""
    return await world.call("POST", "/mcp", PING, headers=headers, token=token)


def metadata(world: World) -> str:
    """Return what a challenge refers to: the document by the name that the request was sent to."""
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


async def test_other_tokens_are_refused(world: World) -> None:
    """That of the owner, that of an app of the API, and one that does not exist."""
    app = await world.pair("databases:read")

    replies = [await send(world, token) for token in (world.owner, app.token, "uha_unknown")]

    assert [(401, "invalid_token")] * 3 == [(reply.status, reply.code) for reply in replies]
    for reply in replies:
        assert 'error="invalid_token"' in reply.headers["WWW-Authenticate"]
        assert metadata(world) in reply.headers["WWW-Authenticate"]


async def test_token_of_an_agent_is_refused_everywhere_else(world: World) -> None:
    """It has every scope, and reaches nothing but ``/mcp``."""
    app = await pair(world, "databases:read", "databases:write", "connection:read")

    def is_guarded(route: Route) -> bool:
        return route.policy.access in ("token", "owner") and route.policy.audience == "api"

    found = {}
    for route in filter(is_guarded, world.daemon.routes):
        path = route.path.replace("{path:.+}", "v2/redis/databases")
        path = "/".join("x" if part.startswith("{") else part for part in path.split("/"))
        method = "GET" if route.method == "*" else route.method
        body: dict[str, object] | None = {} if route.policy.body != "none" else None
        reply = await world.call(method, path, body, token=app.token)
        found[f"{method} {path}"] = reply.status, "invalid_token" if method == "HEAD" else reply.code

    assert len(found) > 20
    assert {(401, "invalid_token")} == set(found.values()), found


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "chrome-extension://" + "a" * 32])
async def test_page_gets_nothing(world: World, origin: str) -> None:
    """Not even one that the user has approved, with its own token or an agent's. It cannot read the refusal."""
    approved = await world.pair("databases:read", origin=origin)
    agent = await pair(world)

    replies = [await send(world, token, as_page(origin)) for token in (None, approved.token, agent.token)]
    preflight = await world.call(
        "OPTIONS", "/mcp", headers={**as_page(origin), "Access-Control-Request-Method": "POST"}, token=None
    )

    for reply in (*replies, preflight):
        assert (403, "origin_not_allowed") == (reply.status, reply.code)
        assert "Access-Control-Allow-Origin" not in reply.headers


async def test_owners_pages_get_nothing(world: World) -> None:
    """Neither they nor anything else in a browser is an agent."""
    agent = await pair(world)

    own = await send(world, agent.token, world.as_own_page())
    shared = await send(world, agent.token, {"Origin": f"http://localhost:{world.port}"})

    assert [403, 403] == [own.status, shared.status]


async def test_name_that_resolves_to_this_computer_is_refused(world: World) -> None:
    """DNS rebinding: the page of an attacker sends its own host name."""
    agent = await pair(world)

    reply = await send(world, agent.token, {"Host": f"evil.example:{world.port}"})

    assert (421, "host_not_allowed") == (reply.status, reply.code)


async def test_large_body_is_refused(world: World) -> None:
    """Before it is read."""
    agent = await pair(world)
    sent = {**agent.headers, "Content-Type": "application/json"}

    async with world.session.post("/mcp", data=io.BytesIO(b" " * 10_000_000), headers=sent) as response:
        problem = await response.json(content_type=None)

    assert (413, "body_too_large") == (response.status, problem["code"])


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
