"""
The callback port with ``port_policy = "on-demand"``: what it serves during a sign-in, and that it is closed otherwise.
"""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from yarl import URL

from tests.support.clock import FakeClock
from tests.support.daemon import DaemonProcess
from tests.support.other_programs import NOBODY, occupied, send_as_user, skip_unless_root
from tests.support.rawhttp import Answer, connected, exchange, parse, request
from tests.support.tls import tls_hello
from tests.support.until import until, until_async
from tests.support.world import World, free_port
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NAVIGATION = (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"))
REDIRECT = "/?code=CODE-OF-NOBODY&state=unknown"


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    """A daemon with a separate API port."""
    more: dict[str, Any] = {"port_policy": "on-demand", "api_port": free_port(), "clock": clock}
    async with World.running(tmp_path, sandbox, daemon_port, **more) as world:
        yield world
        await sandbox.clear_faults()


def is_free(port: int) -> bool:
    """Return whether another program could use the port, on both addresses."""
    try:
        with occupied("127.0.0.1", port), occupied("::1", port):
            return True
    except OSError:
        return False


async def response_from(world: World, what: bytes, *, host: str = "127.0.0.1") -> Answer:
    """Return the only response to a request on the callback port, which then closes the connection."""
    [answer] = await exchange(world.settings.port, what, host=host)
    return answer


def callback_request(
    world: World, path: str = REDIRECT, *headers: tuple[str, str], method: str = "GET", body: bytes = b""
) -> bytes:
    """Return a request to the callback port as bytes."""
    return request(method, path, port=world.settings.port, headers=headers, body=body)


def refresh_url(page: str) -> str:
    """Return the URL that the browser continues to."""
    found = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)">', page)
    assert found, page
    return found[1]


# --- what is there ----------------------------------------------------------------------------------------------------


async def test_redirect_continues_without_its_code(world: World) -> None:
    """The browser continues to the helper's result page, and keeps nothing of the redirect."""
    started = await world.start()
    address = await world.sign_in(started)
    landed = await world.land(address)
    await world.settled(started["attempt_id"])
    page = await world.page(refresh_url(landed.text).removeprefix(world.pages))

    assert 200 == landed.status
    assert refresh_url(landed.text).startswith(f"{world.pages}/?attempt=")
    assert [] == [value for value in URL(address).query.values() if value in landed.text]
    assert landed.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert f"connect-src {world.pages};" in landed.headers["Content-Security-Policy"]
    assert ("no-store", "no-referrer") == (landed.headers["Cache-Control"], landed.headers["Referrer-Policy"])
    assert "close" == landed.headers["Connection"]
    assert "Strict-Transport-Security" not in landed.headers
    assert "Set-Cookie" not in landed.headers
    assert 200 == page.status
    assert world.email in page.text


async def test_oauth_error_continues_to_the_result_page(world: World) -> None:
    """A user who cancels at Upstash gets the helper's page about it."""
    started = await world.start()
    landed = await world.land(await world.sandbox.cancel(started["authorization_url"]))
    page = await world.page(refresh_url(landed.text))

    assert 200 == landed.status
    assert "You canceled the sign-in" in page.text
    assert is_free(world.settings.port)


@pytest.mark.parametrize(
    "query",
    [
        "?code=abc", "?code=abc&state=", "?code=abc&state=unknown", "?state=unknown", "?error=access_denied",
        "?code=a&code=b&state=c", "?code=a&error=b&state=c", f"?code={'a' * 1800}&state=b", "?code=%00&state=b",
        "?code=abc&state=unknown&attempt=x",
    ],
)  # fmt: skip
async def test_unknown_code_is_removed_from_the_address(world: World, query: str) -> None:
    """It has no effect, and a reload cannot send it to the next program on this port. The pending sign-in continues."""
    started = await world.start()
    answer = await response_from(world, callback_request(world, f"/{query}", *NAVIGATION))
    page = await world.page(refresh_url(answer.body.decode()))
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json

    is_cut_off = query in {"?code=abc", "?code=abc&state=", "?error=access_denied"}
    shown, status = ("incomplete", 400) if is_cut_off else ("none", 404)
    assert (200, f"{world.pages}/?attempt={shown}") == (answer.status, refresh_url(answer.body.decode()))
    assert status == page.status
    assert "pending" == attempt["state"]
    assert not is_free(world.settings.port)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
@pytest.mark.parametrize(
    "path",
    [
        "/health", "/openapi.json", "/v1/daemon", "/v1/databases", "/v1/pairings", "/v1/connection", "/bridge",
        "/connect.js", "/connect.d.ts", "/web/pages/page.css", "/upstash/v2/redis/databases", "/favicon.ico", "/sw.js",
        "/.well-known/appspecific/com.chrome.devtools.json", "/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
async def test_other_routes_are_not_found(world: World, method: str, path: str) -> None:
    """Not even the owner finds other routes, and the response does not say where they are."""
    await world.start()
    answer = await response_from(
        world, callback_request(world, path, ("Authorization", f"Bearer {world.owner}"), method=method)
    )

    assert answer.status in {400, 404}
    assert str(world.port).encode() not in answer.body + repr(answer.headers).encode()
    assert b"openapi" not in answer.body


@pytest.mark.parametrize("path", ["/", "/?", "/?x=y", "/?attempt=none", "/?redirect=code"])
async def test_pages_are_not_served(world: World, path: str) -> None:
    """A page that the browser requests here is meant for the program that usually has the port."""
    await world.start()
    answer = await response_from(world, callback_request(world, path, *NAVIGATION))

    assert (404, True) == (answer.status, b"<h1>Not found</h1>" in answer.body)
    assert "no-store" == answer.headers["cache-control"]
    assert "close" == answer.headers["connection"]


HOSTILE: list[tuple[str, tuple[tuple[str, str], ...], int]] = [
    ("Host", (("Host", "evil.example"),), 421),
    ("Host", (("Host", "localhost"),), 421),
    ("Host", (("Host", "localhost:{api}"),), 421),
    ("Host", (("Host", "localhost.:{port}"),), 421),
    ("Host", (("Host", "evil.example:{port}"),), 421),
    ("Host", (("Host", "localhost:{port}"), ("Host", "evil.example")), 400),
    ("Origin", (("Origin", "null"),), 403),
    ("Origin", (("Origin", "https://evil.example"),), 403),
    ("Origin", (("Origin", "http://localhost:{port}"), ("Origin", "https://evil.example")), 400),
    ("Fetch", (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "image")), 403),
    ("Fetch", (("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "iframe")), 403),
    ("Fetch", (("Sec-Fetch-Site", "same-site"), ("Sec-Fetch-Mode", "no-cors"), ("Sec-Fetch-Dest", "script")), 403),
    ("Fetch", (*NAVIGATION, ("Sec-Purpose", "prefetch;prerender")), 403),
    ("Fetch", (*NAVIGATION, ("Purpose", "prefetch")), 403),
    ("Page", (("Origin", "https://app.example"), ("Sec-Fetch-Mode", "cors"), ("Sec-Fetch-Site", "cross-site")), 403),
    ("Bridge", (("Upstash-Helper-On-Behalf-Of", "https://app.example"),), 403),
    ("Body", (("Content-Length", "2"), ("Content-Type", "text/plain")), 400),
]


@pytest.mark.parametrize(("rule", "headers", "status"), HOSTILE)
async def test_general_rules_apply(world: World, rule: str, headers: tuple[tuple[str, str], ...], status: int) -> None:
    """The rules are tested with a valid redirect. A denied one leaves the sign-in pending."""
    started = await world.start()
    address = await world.sign_in(started)
    sent = tuple((name, text.format(port=world.settings.port, api=world.port)) for name, text in headers)
    what = callback_request(world, f"/?{address.partition('?')[2]}", *sent, body=b"{}" if rule == "Body" else b"")
    if rule == "Host":
        what = what.replace(f"Host: localhost:{world.settings.port}\r\n".encode(), b"", 1)
    answer = await response_from(world, what)
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json

    assert status == answer.status, answer
    assert ("pending" == attempt["state"]) is (status != 200)
    assert "access-control-allow-origin" not in answer.headers
    assert is_free(world.settings.port) is (status == 200)


async def test_approved_app_cannot_read_responses(world: World) -> None:
    """The responses are the same for every sender, and tokens are ignored."""
    origin = "https://app.example"
    app = await world.pair("connection:read", origin=origin)
    await world.start()
    answer = await response_from(world, callback_request(world, "/v1/connection", *app.headers.items()))
    preflight = await response_from(
        world,
        callback_request(
            world, "/v1/connection", ("Origin", origin), ("Access-Control-Request-Method", "GET"), method="OPTIONS"
        ),
    )

    assert (404, 404) == (answer.status, preflight.status)
    for one in (answer, preflight):
        assert not [name for name in one.headers if name.startswith("access-control")]


async def test_service_worker_of_another_program_is_not_removed(world: World) -> None:
    """On the helper's permanent port such a worker is removed; here it belongs to another program."""
    await world.start()
    headers = (("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Dest", "serviceworker"), ("Service-Worker", "script"))
    answer = await response_from(world, callback_request(world, "/sw.js", *headers))

    assert (403, "cross_site_request") == (answer.status, answer.json["code"])


async def test_tls_is_counted_on_the_callback_port(world: World, clock: FakeClock) -> None:
    """A browser that forces https on localhost reaches this port, so it is counted for the hint."""
    started = await world.start()
    await tls_hello(world.settings.port)
    clock.advance(90)
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json

    assert "received https requests" in attempt["detail"]


async def test_idle_connections_do_not_block_the_redirect(world: World) -> None:
    """Idle connections are closed for the one that brings the redirect."""
    started = await world.start()
    address = await world.sign_in(started)
    crowd = [await asyncio.open_connection("127.0.0.1", world.settings.port) for _ in range(80)]
    landed = await world.land(address)
    for _, writer in crowd:
        writer.close()

    assert 200 == landed.status
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_other_user_cannot_complete_a_sign_in(world: World, host: str) -> None:
    """Even a valid redirect of another user is denied, and the sign-in of the right user still succeeds."""
    skip_unless_root()
    started = await world.start()
    address = await world.sign_in(started)
    what = callback_request(world, f"/?{address.partition('?')[2]}", *NAVIGATION)
    [answer] = parse(await send_as_user(what, host, world.settings.port, user=NOBODY))
    landed = await world.land(address)

    assert (403, True) == (answer.status, b"another user" in answer.body.lower())
    assert 200 == landed.status


async def test_pasted_address_of_the_callback_port_is_accepted(world: World) -> None:
    """If the browser cannot connect, its address bar shows the callback port."""
    started = await world.start()
    address = await world.sign_in(started)
    paste_at = f"/v1/connection/attempts/{started['attempt_id']}/redirect"
    elsewhere = address.replace("localhost", "localhost.example", 1)
    refused = await world.call("POST", paste_at, {"address": elsewhere})
    await world.call("POST", paste_at, {"address": address})

    assert 422 == refused.status
    assert f"http://localhost:{world.settings.port}/?" in refused.json["detail"]
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
    assert is_free(world.settings.port)


# --- that it is there only then ---------------------------------------------------------------------------------------


async def test_port_is_free_without_a_sign_in(world: World) -> None:
    """Before the first sign-in, and while the daemon is otherwise in use, other programs can use the port."""
    with occupied("127.0.0.1", world.settings.port), occupied("::1", world.settings.port):
        state = (await world.get("/v1/connection")).json
        listeners = (await world.get("/v1/daemon")).json["listeners"]

    assert "disconnected" == state["state"]
    assert [("api", "listening")] * 2 + [("sign_in", "on_demand")] * 2 == [
        (one["use"], one["state"]) for one in listeners
    ]


@pytest.mark.parametrize("end", ["redirect", "refusal", "mix-up", "cancel", "disconnect", "expiry", "stop"])
async def test_every_end_of_a_sign_in_closes_the_port(world: World, clock: FakeClock, end: str) -> None:
    """The port is free immediately, however the sign-in ends."""
    started = await world.start()
    held = not is_free(world.settings.port)
    attempt_at = f"/v1/connection/attempts/{started['attempt_id']}"
    if end == "redirect":
        await world.land(await world.sign_in(started))
    elif end == "refusal":
        await world.land(await world.sandbox.cancel(started["authorization_url"]))
    elif end == "mix-up":
        await world.land(await world.sign_in(started) + "&iss=https://other.example")
    elif end == "cancel":
        await world.call("DELETE", attempt_at)
    elif end == "disconnect":
        await world.call("DELETE", "/v1/connection")
    elif end == "expiry":
        clock.advance(600)
        await until_async(lambda: is_free(world.settings.port))
    else:
        world.stop.set()
        await world.serving

    assert held
    assert is_free(world.settings.port)


async def test_expiry_of_an_old_attempt_keeps_the_port_of_the_new_one(world: World, clock: FakeClock) -> None:
    """The timer of a canceled attempt fires while the next one is pending, and that one succeeds."""
    await world.start()
    clock.advance(300)
    second = await world.start(force=True)
    clock.advance(301)
    held = not is_free(world.settings.port)
    joined = await world.start()
    await world.land(await world.sign_in(second))

    assert held
    assert joined["joined"]
    assert second["attempt_id"] == joined["attempt_id"]
    assert "succeeded" == (await world.settled(second["attempt_id"]))["state"]
    assert is_free(world.settings.port)


async def test_repeated_sign_ins_share_the_port_with_a_dev_server(world: World) -> None:
    """The user can sign in repeatedly, with a dev server on the port in between."""
    for _ in range(3):
        started = await world.start(force=True)
        await world.land(await world.sandbox.cancel(started["authorization_url"]))
        with occupied("127.0.0.1", world.settings.port), occupied("::1", world.settings.port):
            assert "failed" == (await world.settled(started["attempt_id"]))["state"]


async def test_concurrent_connects_share_one_sign_in(world: World) -> None:
    """They join the pending sign-in, and the port is closed at its end."""
    started = await asyncio.gather(*(world.start() for _ in range(8)))
    [attempt] = {one["attempt_id"] for one in started}
    await world.call("DELETE", f"/v1/connection/attempts/{attempt}")

    assert is_free(world.settings.port)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_taken_address_prevents_the_sign_in(world: World, host: str) -> None:
    """
    Both addresses are required, because a browser may use either. Once the other program has exited, the next try
    succeeds.
    """
    with occupied(host, world.settings.port):
        refused = await world.call("POST", "/v1/connection", {"open_browser": True})
        state = (await world.get("/v1/connection")).json["state"]
    opened = [*world.browser.opened]
    started = await world.start(open_browser=True)

    assert (503, "port_conflict") == (refused.status, refused.code)
    assert "disconnected" == state
    assert [] == opened
    assert [started["authorization_url"]] == world.browser.opened


async def test_forced_sign_in_reuses_the_open_port(world: World) -> None:
    """The pending sign-in has the port open, so the second one is not blocked either."""
    first = await world.start()
    second = await world.start(force=True)
    attempt = (await world.get(f"/v1/connection/attempts/{first['attempt_id']}")).json

    assert ("failed", "cancelled") == (attempt["state"], attempt["reason"])
    async with connected(world.settings.port):
        assert first["attempt_id"] != second["attempt_id"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows terminates processes without SIGKILL")
def test_killed_daemon_releases_the_callback_port(tmp_path: Path, daemon_port: int) -> None:
    """The system closes the port, and the next daemon does not open it: the sign-in has ended."""
    settings: dict[str, Any] = {"port_policy": "on-demand", "api_port": free_port(), "client_id": "client"}
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, **settings) as daemon:
        started = daemon.client.connect(open_browser=False)
        held = not is_free(daemon_port)
        daemon.kill()
        until(lambda: is_free(daemon_port))
        client = daemon.start()

        assert isinstance(started, wire.StartedAttempt)
        assert held
        assert ("disconnected", True) == (client.status().connection.state, is_free(daemon_port))
