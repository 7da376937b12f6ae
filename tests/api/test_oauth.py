"""OAuth at ``/mcp``: a program registers, the user approves it in upstash-helper, and it gets tokens."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.mcp.messages import answered, headers_for, request, send
from tests.mcp.raw_client import Agent
from tests.support import oauth_client
from tests.support.clock import FakeClock
from tests.support.oauth_client import decide, register, registered, user_code, works
from tests.support.until import SECONDS
from tests.support.world import World
from upstash_helper.protocol.messages import SAME_PROGRAM_ASKS, SAME_PROGRAM_HAS_ACCESS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import aiohttp

    from tests.support.sandbox import Sandbox

DEFAULT = "connection:read databases:read databases:write databases:delete databases:commands"


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "/mcp"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_metadata_lead_from_the_endpoint_to_the_server(world: World, host: str, suffix: str) -> None:
    """By each name of this computer, the documents name addresses with the same name (RFC 9728, RFC 8414)."""
    origin = f"http://{host}:{world.port}"
    headers = {"Host": origin.removeprefix("http://")}

    resource = (await world.get(f"/.well-known/oauth-protected-resource{suffix}", headers=headers, token=None)).json
    server = (await world.get(f"/.well-known/oauth-authorization-server{suffix}", headers=headers, token=None)).json

    assert (f"{origin}/mcp", [origin]) == (resource["resource"], resource["authorization_servers"])
    assert DEFAULT.split() == resource["scopes_supported"]
    assert (origin, DEFAULT.split()) == (server["issuer"], server["scopes_supported"])
    assert {"authorize", "token", "register", "revoke"} == {
        server[f"{name}_endpoint"].removeprefix(f"{origin}/oauth/")
        for name in ("authorization", "token", "registration", "revocation")
    }
    assert ["S256"] == server["code_challenge_methods_supported"]
    assert server["authorization_response_iss_parameter_supported"]


# --- registration -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["http://localhost:52917/callback"], 1),  # Claude Code, Codex
        (["http://127.0.0.1:19876/mcp/oauth/callback"], 1),  # OpenCode
        (["http://[::1]:1/"], 1),
        (
            ["cursor://anysphere.cursor-mcp/oauth/callback", "https://www.cursor.com/agents/mcp/oauth/callback",
             "http://localhost:8787/callback"], 2,
        ),
        (
            ["https://insiders.vscode.dev/redirect", "https://vscode.dev/redirect", "http://127.0.0.1/",
             "http://127.0.0.1:33418/"], 2,
        ),
        (["com.example.app:/callback"], 1),
    ],
)  # fmt: skip
async def test_registration_keeps_redirect_uris_on_this_computer(world: World, sent: list[str], kept: int) -> None:
    """What real clients register is accepted, without the addresses of websites."""
    reply = await register(world, *sent)

    assert 201 == reply.status
    assert [uri for uri in sent if not uri.startswith("https")] == reply.json["redirect_uris"]
    assert kept == len(reply.json["redirect_uris"])
    assert "client_secret" not in reply.json


@pytest.mark.parametrize("metadata", [{}, {"application_type": "native"}, {"application_type": "web", "x": [1]},
    {"token_endpoint_auth_method": "client_secret_post"}, {"client_name": None}])  # fmt: skip
async def test_registration_ignores_what_it_does_not_use(world: World, metadata: dict[str, Any]) -> None:
    """A client is public and native, whatever it says (RFC 7591, section 2)."""
    reply = await register(world, **metadata)

    assert 201 == reply.status
    assert ("none", "native") == (reply.json["token_endpoint_auth_method"], reply.json["application_type"])


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{", "invalid_client_metadata"),
        (b"[]", "invalid_client_metadata"),
        (b"{}", "invalid_client_metadata"),
        (b'{"redirect_uris": "http://localhost/"}', "invalid_client_metadata"),
        (b"[" * 16_000, "invalid_client_metadata"),
        (b'{"redirect_uris": []}', "invalid_redirect_uri"),
        (b'{"redirect_uris": ["http://localhost/"], "grant_types": ["implicit"]}', "invalid_client_metadata"),
        (b'{"redirect_uris": ["http://localhost/"], "response_types": ["token"]}', "invalid_client_metadata"),
    ],
)
async def test_invalid_registration_is_refused(world: World, body: bytes, error: str) -> None:
    """The error is one that OAuth clients know (RFC 7591, section 3.2.2)."""
    reply = await world.call("POST", "/oauth/register", body, token=None)

    assert (400, error) == (reply.status, reply.json["error"])


# --- the flow ---------------------------------------------------------------------------------------------------------


async def test_program_gets_tokens_after_the_approval(world: World) -> None:
    """The browser goes from the program to the page that waits, and from there back to the program with a code."""
    client = await registered(world)

    page = await client.begin()
    shown = await client.open(page)
    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    waiting = asyncio.create_task(client.answer(page))
    await decide(world, "approve")
    answer = await waiting
    tokens = (await client.exchange(answer["code"])).json

    assert pairing["user_code"] == user_code(shown)
    assert ("Claude Code", DEFAULT.split()) == (
        pairing["claimed_name"],
        sorted((scope["scope"] for scope in pairing["scopes"]), key=DEFAULT.split().index),
    )
    assert (client.state, client.issuer) == (answer["state"], answer["iss"])
    assert ("Bearer", 3600) == (tokens["token_type"], tokens["expires_in"])
    assert set(DEFAULT.split()) == set(tokens["scope"].split())
    assert await works(world, tokens["access_token"])


async def test_approval_shows_the_program_that_registered(world: World) -> None:
    """The browser is not the app: any program can open it."""
    client = await registered(world, name="Claude\u202e Code")

    await client.begin()

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    assert ("native", "Claude Code") == (pairing["identity"]["kind"], pairing["claimed_name"])
    assert "python" in pairing["identity"]["name"]


async def test_app_is_listed_renamed_and_revoked_like_any_other(world: World) -> None:
    """When the owner revokes it, both tokens stop working at once."""
    client = await registered(world)
    tokens = await client.sign_in()
    [app] = (await world.get("/v1/apps")).json["apps"]

    renamed = await world.call("PATCH", f"/v1/apps/{app['id']}", {"name": "My agent"})
    before = await works(world, tokens["access_token"])
    revoked = await world.call("DELETE", f"/v1/apps/{app['id']}")
    after = await works(world, tokens["access_token"])
    refreshed = await client.refresh(tokens["refresh_token"])

    assert (200, 204) == (renamed.status, revoked.status)
    assert (True, False) == (before, after)
    assert (400, "invalid_grant") == (refreshed.status, refreshed.json["error"])
    entries = (await world.get("/v1/audit")).json["entries"]
    assert {"app.let_in", "app.rename", "app.revoke"} <= {entry["action"] for entry in entries}


async def test_denial_is_returned_to_the_program(world: World) -> None:
    """RFC 6749, section 4.1.2.1."""
    client = await registered(world)
    page = await client.begin()

    await decide(world, "deny")
    answer = await client.answer(page)

    assert ("access_denied", client.state, client.issuer) == (answer["error"], answer["state"], answer["iss"])


async def test_allowed_scopes_can_be_fewer(world: World) -> None:
    """The program learns which scopes it got, and nobody else's token ends later than its access."""
    client = await registered(world)

    tokens = await client.sign_in(scopes=["databases:read"], once=True)

    [app] = (await world.get("/v1/apps")).json["apps"]
    assert "databases:read" == tokens["scope"]
    assert app["expires_at"] is not None


async def test_access_for_an_hour_ends_with_all_tokens(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A refresh does not extend it."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        client = await registered(world)
        tokens = await client.sign_in(once=True)
        clock.advance(3000)
        refreshed = (await client.refresh(tokens["refresh_token"])).json
        before = await works(world, refreshed["access_token"])
        clock.advance(601)
        after = await works(world, refreshed["access_token"])
        again = await client.refresh(refreshed["refresh_token"])

    assert (True, False) == (before, after)
    assert "invalid_grant" == again.json["error"]


async def test_access_token_lasts_an_hour(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Then the client refreshes, and nobody is asked."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        client = await registered(world)
        tokens = await client.sign_in()
        clock.advance(3599)
        before = await works(world, tokens["access_token"])
        clock.advance(1)
        after = await works(world, tokens["access_token"])
        refreshed = (await client.refresh(tokens["refresh_token"])).json

        assert (True, False) == (before, after)
        assert await works(world, refreshed["access_token"])
        assert tokens["refresh_token"] != refreshed["refresh_token"]
        assert set(DEFAULT.split()) == set(refreshed["scope"].split())


async def test_client_refreshes_after_a_restart(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Access tokens are in memory only; the registration and the refresh token are kept."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        client = await registered(world)
        tokens = await client.sign_in()
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        client.world = world
        known = await works(world, tokens["access_token"])
        refreshed = await client.refresh(tokens["refresh_token"])

        assert not known
        assert 200 == refreshed.status
        assert await works(world, refreshed.json["access_token"])


async def test_second_sign_in_of_an_agent_joins_the_first(world: World) -> None:
    """Two processes of an agent cause one prompt, both get a code, and there is one app."""
    first, second = await registered(world), await registered(world)

    pages = await first.begin(), await second.begin()
    codes = [user_code(await client.open(page)) for client, page in zip((first, second), pages, strict=True)]
    await decide(world, "approve")
    answers = [await client.answer(page) for client, page in zip((first, second), pages, strict=True)]
    tokens = [
        (await client.exchange(answer["code"])).json for client, answer in zip((first, second), answers, strict=True)
    ]

    assert codes[0] == codes[1]
    assert 1 == len((await world.get("/v1/apps")).json["apps"])
    assert [True, True] == [await works(world, one["access_token"]) for one in tokens]


async def test_agents_with_other_names_are_asked_separately(world: World) -> None:
    """The user sees which agent it is."""
    first, second = await registered(world, name="Claude Code"), await registered(world, name="Codex")

    await first.begin()
    await second.begin()

    waiting = (await world.get("/v1/pairings")).json["pairings"]
    assert ["Claude Code", "Codex"] == sorted(pairing["claimed_name"] for pairing in waiting)


async def test_a_program_that_asks_in_two_ways_has_two_requests_that_say_so(world: World) -> None:
    """
    A sign-in and a request that the agent has sent itself are decided, listed, and revoked separately. Each prompt says
    what else the program has, so that the second one is no surprise.
    """
    client = await registered(world)
    body = {"name": "claude-code", "scopes": ["databases:read"], "audience": "mcp"}

    async def prompts() -> dict[str, str | None]:
        waiting = (await world.get("/v1/pairings")).json["pairings"]
        return {pairing["user_code"]: pairing.get("same_program") for pairing in waiting}

    sent = (await world.call("POST", "/v1/pairings", body, token=None)).json
    alone = await prompts()
    page = await client.begin()
    of_page = user_code(await client.open(page))
    both = await prompts()
    await world.call("POST", f"/v1/pairings/{sent['id']}/approve", {})
    token = (await world.call("POST", f"/v1/pairings/{sent['id']}/token", token=sent["poll_secret"])).json["token"]
    second = await prompts()
    await decide(world, "approve")
    tokens = (await client.exchange((await client.answer(page))["code"])).json
    apps = (await world.get("/v1/apps")).json["apps"]
    signed_out = await client.revoke(tokens["refresh_token"])

    assert {sent["user_code"]: None} == alone
    assert {
        sent["user_code"]: SAME_PROGRAM_ASKS.format(codes=of_page),
        of_page: SAME_PROGRAM_ASKS.format(codes=sent["user_code"]),
    } == both
    assert {of_page: SAME_PROGRAM_HAS_ACCESS} == second
    assert 2 == len(apps)
    assert 200 == signed_out.status
    assert (False, True) == (await works(world, tokens["access_token"]), await works(world, token))


async def test_an_agent_asks_in_one_way_at_a_time_under_the_same_name(world: World) -> None:
    """As for every app, there is no second prompt for the same name. The waiting request is not joined or replaced."""
    client = await registered(world)
    body = {"name": "Claude Code", "scopes": ["databases:read"], "audience": "mcp"}

    sent = (await world.call("POST", "/v1/pairings", body, token=None)).json
    refused = await client.authorize()
    withdrawn = await world.call("DELETE", f"/v1/pairings/{sent['id']}", token=sent["poll_secret"])
    page = await client.begin()
    pending = await world.call("POST", "/v1/pairings", body, token=None)
    await decide(world, "approve")

    assert "error=temporarily_unavailable" in refused.headers["Location"]
    assert 204 == withdrawn.status
    assert (409, "pairing_pending") == (pending.status, pending.json["code"])
    assert "code" in await client.answer(page)


async def test_a_program_that_is_no_agent_is_not_mentioned(world: World) -> None:
    """What is told apart are the ways to connect to the endpoint for agents. A script has nothing to do with them."""
    client = await registered(world)
    await client.begin()

    await world.call("POST", "/v1/pairings", {"name": "Script", "scopes": ["databases:read"]}, token=None)

    waiting = (await world.get("/v1/pairings")).json["pairings"]
    assert [None, None] == [pairing.get("same_program") for pairing in waiting]


async def test_sign_in_for_less_does_not_join_one_for_more(world: World) -> None:
    """No client gets what it has not requested: RFC 6749 (section 3.3) lets the user grant less. It asks on its own."""
    first, second = await registered(world), await registered(world)
    await first.begin()

    refused = second.answer_in(await second.authorize(scope="databases:read"))
    await decide(world, "approve")
    page = await second.begin(scope="databases:read")
    await decide(world, "approve")
    tokens = (await second.exchange((await second.answer(page))["code"])).json

    assert "temporarily_unavailable" == refused["error"]
    assert "databases:read" == tokens["scope"]


async def test_sign_in_for_more_joins_one_for_less(world: World) -> None:
    """It gets less than it has requested, and learns what."""
    first, second = await registered(world), await registered(world)

    pages = await first.begin(scope="databases:read"), await second.begin()
    await decide(world, "approve")
    answers = [await client.answer(page) for client, page in zip((first, second), pages, strict=True)]
    tokens = [
        (await client.exchange(answer["code"])).json for client, answer in zip((first, second), answers, strict=True)
    ]

    assert ["databases:read"] * 2 == [one["scope"] for one in tokens]


async def test_clients_without_a_name_do_not_join(world: World) -> None:
    """Two programs that run in one interpreter could be any two agents."""
    first, second = await registered(world, name=""), await registered(world, name="")

    own, again = await first.begin(), await first.begin()
    refused = second.answer_in(await second.authorize())

    assert user_code(await first.open(own)) == user_code(await first.open(again))
    assert "temporarily_unavailable" == refused["error"]
    assert 1 == len((await world.get("/v1/pairings")).json["pairings"])


async def test_user_is_asked_again_by_a_client_with_access(world: World) -> None:
    """A page can open the address of an authorization request. The new access replaces the former."""
    client = await registered(world)
    former = await client.sign_in()

    page = await client.begin()
    waiting = (await world.get("/v1/pairings")).json["pairings"]
    await decide(world, "approve")
    tokens = (await client.exchange((await client.answer(page))["code"])).json

    assert 1 == len(waiting)
    assert (False, True) == (await works(world, former["access_token"]), await works(world, tokens["access_token"]))
    assert 1 == len((await world.get("/v1/apps")).json["apps"])


async def test_client_that_gets_another_grant_stays_the_same_app(world: World) -> None:
    """It asks again when it needs a further scope, and keeps its name, its databases, its folders, and its session."""
    await world.connect()
    client = await registered(world)
    page = await client.begin()
    await decide(world, "approve", scopes=["databases:read", "databases:write"], once=True)
    first = (await client.exchange((await client.answer(page))["code"])).json

    def agent_with(tokens: dict[str, str]) -> Agent:
        return Agent(world.session, client.resource, {"Authorization": f"Bearer {tokens['access_token']}"})

    agent = agent_with(first)
    created = (await agent.tool("redis_create_database", {"name": "books", "primary_region": "us-east-1"})).result
    database = {"database_id": created["structuredContent"]["database_id"]}
    [before] = (await world.get("/v1/apps")).json["apps"]
    await world.call("PATCH", f"/v1/apps/{before['id']}", {"name": "My agent"})
    refused = await agent.tool("redis_run_command", {**database, "command": ["PING"]})

    async with agent.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) as stream:
        await stream.next()
        page = await client.begin()
        await decide(world, "approve")
        second = (await client.exchange((await client.answer(page))["code"])).json
        changed = await stream.next()
    agent = agent_with(second)
    done = await agent.tool("redis_run_command", {**database, "command": ["PING"]})
    [after] = (await world.get("/v1/apps")).json["apps"]

    assert 403 == refused.status
    assert "notifications/tools/list_changed" == changed["method"]
    assert "PONG" == done.result["structuredContent"]["results"][0]["result"], done.text
    assert not await works(world, first["access_token"])
    assert (before["id"], "My agent") == (after["id"], after["name"])
    assert before["expires_at"] is not None
    assert after["expires_at"] is None
    assert set(DEFAULT.split()) == {it["scope"] for it in after["scopes"]}


async def test_sign_out_ends_the_access(world: World) -> None:
    """RFC 7009: the last token of an app takes its access with it. An unknown token is no error."""
    client = await registered(world)
    tokens = await client.sign_in()

    unknown = await client.revoke("uhr_unknown.token")
    revoked = await client.revoke(tokens["refresh_token"])

    assert (200, 200) == (unknown.status, revoked.status)
    assert [] == (await world.get("/v1/apps")).json["apps"]
    assert not await works(world, tokens["access_token"])
    assert "app.sign_out" in {entry["action"] for entry in (await world.get("/v1/audit")).json["entries"]}


async def test_sign_out_of_one_process_leaves_the_other(world: World) -> None:
    """An access token can be revoked, too, and takes its refresh token with it."""
    first, second = await registered(world), await registered(world)
    pages = await first.begin(), await second.begin()
    await decide(world, "approve")
    one = (await first.exchange((await first.answer(pages[0]))["code"])).json
    other = (await second.exchange((await second.answer(pages[1]))["code"])).json

    await first.revoke(one["access_token"])

    assert (False, True) == (await works(world, one["access_token"]), await works(world, other["access_token"]))
    assert "invalid_grant" == (await first.refresh(one["refresh_token"])).json["error"]
    assert 200 == (await second.refresh(other["refresh_token"])).status


async def test_sign_out_of_one_process_ends_what_it_waits_for(world: World) -> None:
    """Its question disappears, nothing is deleted, and its streams end, although the app still has access."""
    await world.connect()
    first, second = await registered(world), await registered(world)
    pages = await first.begin(), await second.begin()
    await decide(world, "approve")
    one = (await first.exchange((await first.answer(pages[0]))["code"])).json
    other = (await second.exchange((await second.answer(pages[1]))["code"])).json
    wanted = {"name": "redis_create_database", "arguments": {"name": "orders", "primary_region": "us-east-1"}}
    made = answered(await send(world, other["access_token"], "tools/call", wanted))["result"]["structuredContent"]
    deletion = {"name": "redis_delete_database", "arguments": {"database_id": made["database_id"]}}

    async def questions() -> list[dict[str, Any]]:
        return list((await world.get("/v1/confirmations")).json["confirmations"])

    deleting = [asyncio.create_task(send(world, it["access_token"], "tools/call", deletion)) for it in (one, other)]
    async with asyncio.timeout(SECONDS):
        while len(await questions()) < len(deleting):  # noqa: ASYNC110 - the daemon makes it true
            await asyncio.sleep(0.01)
    async with (
        asyncio.timeout(SECONDS),
        stream(world, one["access_token"]) as own,
        stream(world, other["access_token"]) as others,
    ):
        await first.revoke(one["refresh_token"])

        assert 401 == (await deleting[0]).status
        assert b"result" not in await own.read()
        [question] = await questions()
        assert 200 == (await world.call("POST", f"/v1/confirmations/{question['id']}/deny")).status
        assert answered(await deleting[1])["result"]["structuredContent"]["done"] is False
        assert not others.at_eof()


@contextlib.asynccontextmanager
async def stream(world: World, token: str) -> AsyncIterator[aiohttp.StreamReader]:
    """Open a stream of changes, from which the acknowledgement has been read."""
    message = request("subscriptions/listen", {"notifications": {"toolsListChanged": True}})
    headers = {**headers_for(message), "Authorization": f"Bearer {token}"}
    async with world.session.post("/mcp", json=message, headers=headers) as response:
        while await response.content.readline() != b"\n":
            pass
        yield response.content


async def test_program_with_its_own_scheme_is_started_from_a_page(world: World) -> None:
    """The browser stays on the page that starts Cursor, so that page has something to read."""
    scheme = "cursor://anysphere.cursor-mcp/oauth/callback"
    client = await registered(world, scheme)
    client.redirect_uri = scheme
    page = await client.begin()
    await decide(world, "approve")

    reply = await client.decided(page)

    assert 200 == reply.status
    assert f'<meta http-equiv="refresh" content="0;url={scheme}?code=uhc_' in reply.text


async def test_page_names_the_command_of_its_profile(world: World) -> None:
    """Without the profile, the command would ask another daemon."""
    client = await registered(world)

    shown = await client.open(await client.begin())

    assert "<code>upstash-helper --profile test approvals list</code>" in shown.text


async def test_page_of_an_answered_request_shows_that_it_has_ended(world: World) -> None:
    """The code is in one answer only."""
    client = await registered(world)
    page = await client.begin()
    await decide(world, "approve")
    await client.answer(page)

    again, unknown = await client.open(page), await client.open("/oauth/requests/unknown")

    assert (404, again.text) == (again.status, unknown.text)
    assert "has ended" in again.text


async def test_request_that_nobody_decides_ends(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The program learns it as soon as the request has expired."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        client = await registered(world)
        page = await client.begin()
        clock.advance(121)
        answer = await client.answer(page)

    assert "access_denied" == answer["error"]


async def test_page_in_several_tabs_continues_in_one(world: World) -> None:
    """All of them learn of the decision, and the first one to continue gets the code."""
    client = await registered(world)
    page = await client.begin()
    tabs = [asyncio.create_task(client.wait(page)) for _ in range(4)]
    while world.daemon.events.stream_count < 4:  # noqa: ASYNC110 - the daemon changes it
        await asyncio.sleep(0.01)

    surplus = await client.wait(page)
    await decide(world, "approve")
    answers = await asyncio.gather(*tabs)
    first, second = await client.open(page), await client.open(page)

    assert ("waiting", ["decided"] * 4) == (surplus, answers)
    assert "code" in client.answer_in(first)
    assert 404 == second.status


async def test_page_can_have_the_dashboard_opened(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The daemon opens it in the user's browser, once in a while; the page gets no address and no rights."""
    async with World.running(tmp_path, sandbox, daemon_port, open_browser=True) as world:
        client = await registered(world)
        page = await client.begin()
        origin = client.issuer
        headers = {
            "Host": origin.removeprefix("http://"), "Origin": origin, "Sec-Fetch-Site": "same-origin",
            "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", **oauth_client.FORM,
        }  # fmt: skip

        pressed = await world.call("POST", f"{page}/dashboard", b"", headers=headers, token=None)
        again = await world.call("POST", f"{page}/dashboard", b"", headers=headers, token=None)
        unknown = await world.call("POST", "/oauth/requests/x/dashboard", b"", headers=headers, token=None)

        [opened] = world.browser.opened
        assert opened.startswith(f"{world.pages}/#ticket=")
        assert (200, 200, 404) == (pressed.status, again.status, unknown.status)
        assert "ticket" not in pressed.text + again.text
        assert "is opening" in pressed.text
        assert "a short time ago" in again.text


async def test_sandbox_approves_automatically(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Where nothing is real, a program signs in without anybody, for tests and CI."""
    async with World.running(tmp_path, sandbox, daemon_port, auto_approve=True) as world:
        client = await registered(world)

        answer = client.answer_in(await client.open(await client.begin()))
        tokens = (await client.exchange(answer["code"])).json

        assert await works(world, tokens["access_token"])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
async def test_challenge_of_the_endpoint_leads_to_its_own_metadata(world: World, host: str) -> None:
    """A client compares the address that it uses with the one in the document (RFC 9728, section 3.3)."""
    origin = f"http://{host}:{world.port}"
    headers = {"Host": origin.removeprefix("http://")}

    refused = await world.call("POST", "/mcp", {}, headers=headers, token=None)
    [address] = re.findall(r'resource_metadata="([^"]+)"', refused.headers["WWW-Authenticate"])
    metadata = (await world.get(address.removeprefix(origin), headers=headers, token=None)).json

    assert 401 == refused.status
    assert f"{origin}/mcp" == metadata["resource"]
