"""Attacks on the authorization server of ``/mcp``: by pages, by other programs, and with stolen codes and tokens."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.security.test_t65_full_disk import locked
from tests.support.clock import FakeClock
from tests.support.oauth_client import (
    FORM,
    NAVIGATION,
    OAuthClient,
    decide,
    register,
    registered,
    works,
)
from tests.support.peers import UnknownPeers
from tests.support.world import World, as_page
from upstash_helper.broker.authorization.redirect_uris import is_supported, matches
from upstash_helper.system.peers import Program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

AGENT = "/home/me/.local/share/claude/versions/2.1.317"


class OnePeer(UnknownPeers):
    """Every connection comes from one program, which a test chooses."""

    executable = AGENT

    async def program(self, local: tuple[str, int], remote: tuple[str, int]) -> Program | None:
        """Return the program."""
        self.lookups += 1
        return Program(pid=1000, executable=self.executable) if self.executable else None


@pytest.fixture
async def peers() -> OnePeer:
    """The program at the other end of each connection."""
    return OnePeer()


@pytest.fixture
async def clock() -> FakeClock:
    """The daemon's clock."""
    return FakeClock()


@pytest.fixture
async def world(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock, peers: OnePeer
) -> AsyncIterator[World]:
    """A daemon whose peers and clock a test controls."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock, peers=peers) as world:
        yield world


async def apps(world: World) -> list[dict[str, Any]]:
    """Return the apps with access."""
    listed: list[dict[str, Any]] = (await world.get("/v1/apps")).json["apps"]
    return listed


async def misuses(world: World) -> list[str]:
    """Return the results of the audit entries about misused tokens."""
    entries = (await world.get("/v1/audit")).json["entries"]
    return [entry["result"] for entry in entries if entry["action"] == "token.misused"]


# --- floods -----------------------------------------------------------------------------------------------------------


async def test_t91_thousand_registrations_keep_the_clients_with_access(
    world: World, clock: FakeClock, peers: OnePeer
) -> None:
    """
    Registrations without access are few, for one program and for all together, and a program that floods them displaces
    neither a client with access nor the one of another program.
    """
    signed_in = await registered(world)
    tokens = await signed_in.sign_in()
    peers.executable = "/usr/bin/codex"
    unused = await registered(world, name="Codex")

    peers.executable = "/opt/flood/flood"
    for number in range(1000):
        clock.advance(1.1)
        reply = await register(world, name=f"Flood {number}")
        assert 201 == reply.status, reply.text

    clients, _ = await world.ledger.authorization.load()
    assert 12 == len(clients)
    peers.executable = AGENT
    assert 200 == (await signed_in.refresh(tokens["refresh_token"])).status
    peers.executable = "/usr/bin/codex"
    assert (await unused.begin()).startswith("/oauth/requests/")


async def test_t91_registrations_of_many_programs_are_bounded(world: World, clock: FakeClock, peers: OnePeer) -> None:
    """Copies of a program are other programs. Together, they have a limit as well."""
    for number in range(150):
        clock.advance(1.1)
        peers.executable = f"/opt/copy-{number}/copy"
        await register(world)

    clients, _ = await world.ledger.authorization.load()
    assert 100 == len(clients)


async def test_t91_registrations_are_limited_in_time(world: World) -> None:
    """A program that registers all the time is told to wait, as one that requests access all the time."""
    replies = [await register(world) for _ in range(30)]

    refused = [reply for reply in replies if reply.status == 429]
    assert refused
    assert {"temporarily_unavailable"} == {reply.json["error"] for reply in refused}
    assert all(int(reply.headers["Retry-After"]) > 0 for reply in refused)


async def test_t91_unused_registration_expires(world: World, clock: FakeClock) -> None:
    """After 30 days, the user is told to sign in again."""
    client = await registered(world)
    clock.advance(30 * 86_400)

    reply = await client.authorize()

    assert (400, "text/html") == (reply.status, reply.headers["Content-Type"].partition(";")[0])
    assert "Unknown program" in reply.text


async def test_t91_prompts_of_an_agent_are_limited(world: World) -> None:
    """A program that opens the browser again and again causes no more prompts than any other app."""
    client = await registered(world)
    for _ in range(5):
        await client.begin()
    waiting = (await world.get("/v1/pairings")).json["pairings"]

    await decide(world, "deny")
    reply = await client.authorize()

    assert 1 == len(waiting)
    assert "temporarily_unavailable" == client.answer_in(reply)["error"]
    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_t91_waiting_requests_of_one_prompt_are_bounded(world: World) -> None:
    """Each of them could hold a connection."""
    client = await registered(world)

    replies = [await client.authorize() for _ in range(20)]

    started = [reply for reply in replies if reply.headers["Location"].startswith("/oauth/")]
    assert 16 == len(started)
    assert "temporarily_unavailable" == client.answer_in(replies[-1])["error"]


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:5173", "chrome-extension://" + "a" * 32])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/.well-known/oauth-protected-resource"),
        ("GET", "/.well-known/oauth-authorization-server/mcp"),
        ("POST", "/oauth/register"),
        ("POST", "/oauth/token"),
        ("POST", "/oauth/revoke"),
    ],
)
async def test_t96_page_gets_nothing_from_the_endpoints(world: World, origin: str, method: str, path: str) -> None:
    """Not even the page of an app with access: no CORS headers, no preflight, and no request that takes effect."""
    await world.pair("connection:read", origin=origin)
    body = b'{"redirect_uris": ["http://localhost/"]}' if path.endswith("register") else None
    preflight = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}

    sent = await world.call(method, path, body, headers=as_page(origin), token=None)
    asked = await world.call("OPTIONS", path, headers={**as_page(origin), **preflight}, token=None)
    simple = await world.call(
        method, path, None if method == "GET" else b"", token=None,
        headers={**FORM, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty"},
    )  # fmt: skip

    assert [403, 403, 403] == [reply.status for reply in (sent, asked, simple)]
    assert not any("Access-Control-Allow-Origin" in reply.headers for reply in (sent, asked, simple))
    assert ((), ()) == await world.ledger.authorization.load()


async def test_t96_rebound_name_gets_nothing(world: World) -> None:
    """DNS rebinding: the page's own name is not one of ours, so it is not in the metadata either."""
    reply = await world.get(
        "/.well-known/oauth-authorization-server", headers={"Host": f"evil.example:{world.port}"}, token=None
    )

    assert (421, "host_not_allowed") == (reply.status, reply.code)


async def test_t96_page_that_opens_a_request_gets_no_code(world: World) -> None:
    """
    A page that knows a client's ID can navigate the browser to a request with a challenge of its own. The user is
    asked, also for a client with access, and the code goes to this computer only.
    """
    client = await registered(world)
    await client.sign_in()
    evil = OAuthClient(world, client.id, redirect_uri="https://evil.example/callback")

    elsewhere = await evil.authorize()
    evil.redirect_uri = client.redirect_uri
    page = await evil.begin()
    frame = {**NAVIGATION, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
    framed = await world.get(page, token=None, headers=frame)
    shown = await client.open(page)

    assert 400 == elsewhere.status
    assert "Location" not in elsewhere.headers
    assert 1 == len((await world.get("/v1/pairings")).json["pairings"])
    assert 403 == framed.status
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]


async def test_t96_page_of_a_request_discloses_nothing_of_the_owner(world: World) -> None:
    """It is at an address that other programs have used: no path of a program, and no account."""
    client = await registered(world, name="<b>Claude</b>")

    shown = await client.open(await client.begin())

    assert AGENT not in shown.text
    assert "&lt;b&gt;Claude&lt;/b&gt;" in shown.text
    assert ['<script type="module">'] == re.findall(r"<script.*?>", shown.text)
    assert not re.search(r"<img|<link|style=|\son\w+=", shown.text)
    assert re.search(r"script-src 'sha256-[^']+';", shown.headers["Content-Security-Policy"])
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]


async def test_t96_foreign_form_cannot_press_the_button(world: World) -> None:
    """Only a form at the same address can, with the key of the request; and then only a window opens."""
    client = await registered(world)
    page = await client.begin()
    own = {"Host": f"localhost:{world.port}", **FORM}

    replies = [
        await world.call("POST", f"{page}/dashboard", b"", headers={**own, **headers}, token=None)
        for headers in (
            {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
            {"Origin": "http://localhost:5173", "Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
            {"Origin": "null", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"},
            {},
        )
    ]

    assert [403] * 4 == [reply.status for reply in replies]


# --- redirect URIs ----------------------------------------------------------------------------------------------------

REFUSED = [
    "https://evil.example/callback",
    "https://localhost/callback",
    "http://evil.example/callback",
    "http://localhost/callback?code=mine",
    "http://localhost/callback?a=1&st%61te=mine",
    "http://127.0.0.1/callback?a=1;iss=https://evil.example",
    "com.example.app:/callback?error=x",
    "cursor://callback?error_description=",
    "http://localhost.evil.example/callback",
    "http://localhost@evil.example/callback",
    "http://localhost:80@evil.example/",
    "http://evil.example@localhost/",
    "http://127.0.0.1.evil.example/",
    "http://127.0.0.2/callback",
    "http://0.0.0.0/callback",
    "http://2130706433/",
    "http://[::1].evil.example/",
    "http://localhost:99999/callback",
    "http://localhost:/callback",
    "http://localhost/callback#fragment",
    "http://localhost\\@evil.example/",
    "http://localhost/a b",
    "http://localhost/\r\nSet-Cookie:a=b",
    "HTTP://localhost/",
    "//localhost/",
    "localhost/callback",
    "",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "about:blank",
    "vbscript:x",
    "ms-settings:display",
    "intent://x#Intent;scheme=http;end",
    "com.example.app:",
    "com.example.app:/callback#x",
    "http://localhost/" + "a" * 600,
]


@pytest.mark.parametrize("uri", REFUSED)
def test_t94_redirect_uri_that_leaves_this_computer_is_refused(uri: str) -> None:
    """
    User information, other hosts, other spellings of an address, fragments, and schemes of browsers and systems. A
    query cannot have a parameter of the answer, which would then be in it twice.
    """
    assert not is_supported(uri)
    assert not matches(uri, uri, own_port=3000)


@pytest.mark.parametrize(
    ("registered_uri", "requested", "fits"),
    [
        ("http://localhost/callback", "http://localhost:43117/callback", True),
        ("http://127.0.0.1:1/", "http://127.0.0.1:43117", True),
        ("http://[::1]:1/cb?x=1", "http://[::1]:2/cb?x=1", True),
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback", True),
        ("http://localhost/callback", "http://127.0.0.1/callback", False),
        ("http://localhost/callback", "http://localhost/callback/", False),
        ("http://localhost/callback", "http://localhost/other", False),
        ("http://localhost/callback", "http://localhost/callback?x=1", False),
        ("http://localhost/callback", "http://localhost/callback#x", False),
        ("http://localhost/callback", "http://localhost:43117@evil.example/callback", False),
        ("http://localhost/callback", "http://localhost.evil.example/callback", False),
        ("http://localhost/callback", "https://localhost/callback", False),
        ("http://localhost/callback", "http://localhost:0/callback", False),
        ("http://localhost/callback", "http://localhost:3000/callback", False),  # our own
        ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/other", False),
        ("com.example.app:/callback", "com.example.other:/callback", False),
    ],
)
def test_t94_only_the_port_of_a_loopback_address_may_differ(registered_uri: str, requested: str, fits: bool) -> None:  # noqa: FBT001
    """RFC 8252, section 7.3; and no code is sent to the daemon itself."""
    assert is_supported(registered_uri)
    assert fits == matches(registered_uri, requested, own_port=3000)


async def test_t94_error_of_a_bad_redirect_uri_is_not_redirected(world: World) -> None:
    """RFC 6749, section 4.1.2.1: it is shown on a page."""
    client = await registered(world)

    for changes in ({"redirect_uri": "http://localhost:1/other"}, {"redirect_uri": None}, {"client_id": "uhi_x"},
                    {"client_id": None}, {"client_id": "https://evil.example/client.json"}):  # fmt: skip
        reply = await client.authorize(**changes)

        assert (400, False) == (reply.status, "Location" in reply.headers)
        assert "<h1>" in reply.text


# --- the authorization request ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"resource": None}, "invalid_target"),
        ({"resource": "https://mcp.upstash.com/mcp"}, "invalid_target"),
        ({"resource": "http://localhost:1/mcp"}, "invalid_target"),
        ({"scope": "databases:read admin"}, "invalid_scope"),
        ({"state": "x" * 2049}, "invalid_request"),
    ],
)
async def test_t95_invalid_request_is_refused_without_a_prompt(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    """No PKCE downgrade, no other resource, no unknown scope. The program learns why."""
    client = await registered(world)

    reply = await client.authorize(**changes)

    answer = client.answer_in(reply)
    assert (error, client.issuer) == (answer["error"], answer["iss"])
    assert answer["error_description"]
    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_t95_repeated_parameter_is_refused(world: World) -> None:
    """Two parsers could choose different ones."""
    client = await registered(world)
    address = (
        f"/oauth/authorize?client_id={client.id}&redirect_uri={quote(client.redirect_uri, safe='')}"
        f"&response_type=code&scope=databases:read&scope=upstash:write&state=s"
    )

    answer = client.answer_in(await client.open(address))

    assert ("invalid_request", "s") == (answer["error"], answer["state"])


# --- codes ------------------------------------------------------------------------------------------------------------


async def test_t93_code_works_once_and_a_second_use_revokes_what_it_gave(world: World) -> None:
    """RFC 6749, section 4.1.2."""
    client = await registered(world)
    code = await client.code()
    tokens = (await client.exchange(code)).json

    again = await client.exchange(code)

    assert (400, "invalid_grant") == (again.status, again.json["error"])
    assert [] == await apps(world)
    assert not await works(world, tokens["access_token"])
    assert "invalid_grant" == (await client.refresh(tokens["refresh_token"])).json["error"]
    assert ["code_reused"] == await misuses(world)


async def test_t93_code_expires_after_a_minute(world: World, clock: FakeClock) -> None:
    """Also if the user's approval is still open."""
    client = await registered(world)
    code = await client.code()
    clock.advance(60)

    reply = await client.exchange(code)

    assert "invalid_grant" == reply.json["error"]
    assert [] == await apps(world)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": "x" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"redirect_uri": "http://localhost:43118/callback"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_grant"),
        ({"resource": "https://mcp.upstash.com/mcp"}, "invalid_target"),
    ],
)
async def test_t93_injected_code_is_worthless_and_used_up(
    world: World, changes: dict[str, str | None], error: str
) -> None:
    """A code that was stolen, or put into another sign-in, fits neither the verifier nor the redirect URI there."""
    client = await registered(world)
    code = await client.code()

    stolen = await client.exchange(code, **changes)
    late = await client.exchange(code)

    assert (400, error) == (stolen.status, stolen.json["error"])
    assert "invalid_grant" == late.json["error"]
    assert [] == await apps(world)


async def test_t93_code_of_another_client_is_unknown(world: World) -> None:
    """Mix-up: it stays valid for its own client, since anybody could use it up otherwise."""
    client, other = await registered(world), await registered(world, name="Codex")
    code = await client.code()

    mixed_up = await client.exchange(code, client_id=other.id)
    own = await client.exchange(code)

    assert ("invalid_grant", 200) == (mixed_up.json["error"], own.status)


async def test_t93_code_is_worthless_for_another_program(world: World, peers: OnePeer) -> None:
    """Also with the verifier: the program that registered is the one that the user has seen."""
    client = await registered(world)
    code = await client.code()
    peers.executable = "/opt/thief/thief"

    stolen = await client.exchange(code)

    assert "invalid_grant" == stolen.json["error"]
    assert [] == await apps(world)


async def test_approval_can_be_withdrawn_until_the_code_is_used(world: World) -> None:
    """The owner who denies an approved request prevents the app."""
    client = await registered(world)
    page = await client.begin()
    [waiting] = (await world.get("/v1/pairings")).json["pairings"]
    await decide(world, "approve")
    code = (await client.answer(page))["code"]

    await world.call("POST", f"/v1/pairings/{waiting['id']}/deny")
    reply = await client.exchange(code)

    assert "invalid_grant" == reply.json["error"]
    assert [] == await apps(world)


# --- refresh tokens ---------------------------------------------------------------------------------------------------


async def test_t92_stolen_refresh_token_used_twice_revokes_the_access(world: World, clock: FakeClock) -> None:
    """The second one to use it shows that there are two. It is audited, and the app is gone."""
    client = await registered(world)
    first = await client.sign_in()
    thief = (await client.refresh(first["refresh_token"])).json
    clock.advance(31)

    victim = await client.refresh(first["refresh_token"])

    assert (400, "invalid_grant") == (victim.status, victim.json["error"])
    assert [] == await apps(world)
    assert (False, False) == (await works(world, thief["access_token"]), await works(world, first["access_token"]))
    assert "invalid_grant" == (await client.refresh(thief["refresh_token"])).json["error"]
    assert ["refresh_token_reused"] == await misuses(world)


async def test_t92_repeated_refresh_gets_the_same_response_for_some_seconds(world: World, clock: FakeClock) -> None:
    """A lost response, or two processes of an agent that share a token and refresh at the same moment."""
    client = await registered(world)
    first = await client.sign_in()
    second = (await client.refresh(first["refresh_token"])).json
    clock.advance(29)

    repeated = await client.refresh(first["refresh_token"])
    later = await client.refresh(second["refresh_token"])

    assert second == repeated.json
    assert 200 == later.status


async def test_t92_repeated_refresh_is_a_theft_once_the_new_token_was_used(world: World) -> None:
    """Then the response was not lost."""
    client = await registered(world)
    first = await client.sign_in()
    second = (await client.refresh(first["refresh_token"])).json
    await client.refresh(second["refresh_token"])

    repeated = await client.refresh(first["refresh_token"])

    assert "invalid_grant" == repeated.json["error"]
    assert [] == await apps(world)


async def test_t92_repeated_refresh_that_differs_is_a_theft(world: World) -> None:
    """A retry is the same request."""
    client = await registered(world)
    first = await client.sign_in()
    await client.refresh(first["refresh_token"])

    repeated = await client.refresh(first["refresh_token"], resource=None)

    assert "invalid_grant" == repeated.json["error"]
    assert [] == await apps(world)


async def test_t92_used_refresh_token_revokes_the_access_after_a_restart(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Only the newest token is stored, and each names its family."""
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        client = await registered(world)
        first = await client.sign_in()
        second = (await client.refresh(first["refresh_token"])).json
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        client.world = world
        reused = await client.refresh(first["refresh_token"])
        newest = await client.refresh(second["refresh_token"])

        assert ("invalid_grant", "invalid_grant") == (reused.json["error"], newest.json["error"])
        assert [] == await apps(world)
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        client.world = world
        assert "invalid_grant" == (await client.refresh(second["refresh_token"])).json["error"]


async def test_t92_refresh_token_is_worthless_for_another_client(world: World) -> None:
    """It is not used up. Five attempts revoke the access, as with every token in the wrong hands."""
    client, other = await registered(world), await registered(world, name="Codex")
    tokens = await client.sign_in()

    stolen = await client.refresh(tokens["refresh_token"], client_id=other.id)
    own = await client.refresh(tokens["refresh_token"])
    for _ in range(4):
        await client.refresh(own.json["refresh_token"], client_id=other.id)

    assert ("invalid_grant", 200) == (stolen.json["error"], own.status)
    assert [] == await apps(world)
    assert "origin_mismatch" in await misuses(world)


async def test_t92_tokens_and_codes_are_worthless_for_a_program_that_hides(world: World, peers: OnePeer) -> None:
    """It is refused, and nothing is used up: for the agent itself, the system may be busy for a moment."""
    client = await registered(world)
    tokens = await client.sign_in()
    code = await client.code()
    peers.executable = ""
    hidden = await client.refresh(tokens["refresh_token"])
    stolen = await client.exchange(code)
    peers.executable = AGENT

    assert [(429, "temporarily_unavailable")] * 2 == [(it.status, it.json["error"]) for it in (hidden, stolen)]
    assert 200 == (await client.refresh(tokens["refresh_token"])).status
    assert 200 == (await client.exchange(code)).status
    assert [] == await misuses(world)


async def test_t93_request_of_a_sign_in_ends_with_the_daemon(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, peers: OnePeer
) -> None:
    """An approval would have no effect, and the next sign-in of the agent has a request of its own at once."""
    async with World.running(tmp_path, sandbox, daemon_port, peers=peers) as world:
        client = await registered(world)
        await client.begin()
        before = (await world.get("/v1/pairings")).json["pairings"]
    async with World.running(tmp_path, sandbox, daemon_port, peers=peers) as world:
        client.world = world
        after = (await world.get("/v1/pairings")).json["pairings"]
        await client.begin()
        again = (await world.get("/v1/pairings")).json["pairings"]

    assert (1, 0, 1) == (len(before), len(after), len(again))


async def test_t92_refresh_token_is_worthless_for_another_program(world: World, peers: OnePeer) -> None:
    """Also with the ID of the client. An agent that has updated itself is the same program."""
    client = await registered(world)
    tokens = await client.sign_in()
    peers.executable = "/opt/thief/thief"
    stolen = await client.refresh(tokens["refresh_token"])
    peers.executable = AGENT.replace("317", "318")
    own = await client.refresh(tokens["refresh_token"])

    assert ("invalid_grant", 200) == (stolen.json["error"], own.status)


async def test_t92_refresh_grants_nothing_more(world: World) -> None:
    """Neither another scope nor another resource."""
    client = await registered(world)
    tokens = await client.sign_in(scopes=["databases:read"])

    more = await client.refresh(tokens["refresh_token"], scope="databases:delete")
    elsewhere = await client.refresh(tokens["refresh_token"], resource="https://mcp.upstash.com/mcp")

    assert ("invalid_scope", "invalid_target") == (more.json["error"], elsewhere.json["error"])


async def test_refresh_token_is_no_access_token(world: World) -> None:
    """Nor is a code, and neither is accepted by the API."""
    client = await registered(world)
    tokens = await client.sign_in()

    assert not await works(world, tokens["refresh_token"])
    assert await works(world, tokens["access_token"])


async def test_token_cannot_be_revoked_by_another_client(world: World) -> None:
    """RFC 7009, section 2.1."""
    client, other = await registered(world), await registered(world, name="Codex")
    tokens = await client.sign_in()

    reply = await client.revoke(tokens["refresh_token"], client_id=other.id)

    assert (400, "invalid_grant") == (reply.status, reply.json["error"])
    assert await works(world, tokens["access_token"])


async def test_secrets_are_neither_stored_nor_returned_again(world: World, tmp_path: Path) -> None:
    """Of codes and tokens, the ledger has only the SHA-256."""
    client = await registered(world)
    code = await client.code()
    tokens = (await client.exchange(code)).json

    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert client.id.encode() in stored
    secrets = (code, tokens["access_token"], tokens["refresh_token"])
    assert not [secret for secret in secrets if secret.encode() in stored]


# --- a disk that cannot be written ------------------------------------------------------------------------------------


async def test_t93_code_is_not_used_up_while_the_ledger_cannot_be_written(world: World, tmp_path: Path) -> None:
    """What gives access is written first. The client can try again."""
    client = await registered(world)
    code = await client.code()

    with locked(tmp_path / "state/ledger.db"):
        refused = await client.exchange(code)
    tokens = await client.exchange(code)

    assert (503, "server_error") == (refused.status, refused.json["error"])
    assert 200 == tokens.status
    assert await works(world, tokens.json["access_token"])


async def test_t92_refresh_token_stays_valid_while_the_ledger_cannot_be_written(world: World, tmp_path: Path) -> None:
    """It is replaced once the new one is written."""
    client = await registered(world)
    tokens = await client.sign_in()

    with locked(tmp_path / "state/ledger.db"):
        refused = await client.refresh(tokens["refresh_token"])
    refreshed = await client.refresh(tokens["refresh_token"])

    assert (503, 200) == (refused.status, refreshed.status)


async def test_t92_misuse_takes_effect_while_the_ledger_cannot_be_written(
    world: World, clock: FakeClock, tmp_path: Path
) -> None:
    """What takes access away takes effect at once."""
    client = await registered(world)
    first = await client.sign_in()
    second = (await client.refresh(first["refresh_token"])).json
    clock.advance(31)

    with locked(tmp_path / "state/ledger.db"):
        reused = await client.refresh(first["refresh_token"])
        known = await works(world, second["access_token"])

    assert ("invalid_grant", False) == (reused.json["error"], known)


# --- malformed requests -----------------------------------------------------------------------------------------------

_TEXT = st.text(st.sampled_from(string.printable + "\x00é%&=+"), max_size=40)
_FIELDS = st.lists(
    st.tuples(
        st.sampled_from(
            ["grant_type", "client_id", "code", "redirect_uri", "code_verifier", "refresh_token", "scope", "token"]
        ) | _TEXT,
        st.sampled_from(["authorization_code", "refresh_token", "{client}", "uhr_x.y", ""]) | _TEXT,
    ),
    max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(endpoint=st.sampled_from(["token", "revoke"]), sent=_FIELDS | st.binary(max_size=80))
async def test_malformed_form_is_an_oauth_error(
    world: World, clock: FakeClock, endpoint: str, sent: list[tuple[str, str]] | bytes
) -> None:
    """Never an internal error, and always in the form that OAuth clients read."""
    clock.advance(60)
    client = await registered(world)
    body = sent if isinstance(sent, bytes) else _encoded(sent, client.id)

    reply = await world.call("POST", f"/oauth/{endpoint}", body, headers=FORM, token=None)

    assert reply.status in ((400, 401) if endpoint == "token" else (200, 400, 401)), reply.text
    if reply.status != 200:
        assert {"error", "error_description"} == set(reply.json)


def _encoded(fields: list[tuple[str, str]], client_id: str) -> bytes:
    pairs = (f"{quote(name)}={quote(value.replace('{client}', client_id))}" for name, value in fields)
    return "&".join(pairs).encode()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(query=st.text(st.sampled_from("".join(map(chr, range(33, 127))).replace("#", "")), max_size=200))
async def test_malformed_authorization_request_is_refused_on_a_page(world: World, query: str) -> None:
    """The browser shows what is wrong, whatever was sent."""
    reply = await world.get(f"/oauth/authorize?{query}", headers=NAVIGATION, token=None)

    assert 400 == reply.status
    assert "<h1>" in reply.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({**FORM, "Authorization": "Basic dTpw"}, 401),
    ],
)
async def test_other_requests_to_the_token_endpoint_are_refused(
    world: World, headers: dict[str, str], status: int
) -> None:
    """Only forms, and no client has a secret."""
    reply = await world.call("POST", "/oauth/token", b"grant_type=refresh_token", headers=headers, token=None)

    assert status == reply.status
