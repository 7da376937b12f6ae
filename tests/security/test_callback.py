"""The OAuth redirect: T31 to T35, T37, T38."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.support.clock import FakeClock
from tests.support.world import World, continued

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox


def query_of(address: str) -> dict[str, str]:
    return dict(URL(address).query)


async def token_requests(world: World) -> int:
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


async def state_of(world: World, started: dict[str, str]) -> str:
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return str(attempt["state"])


@pytest.mark.parametrize(
    "query", ["?code=abc", "?code=abc&state=", "?code=abc&state=unknown", "?state=unknown", "?error=access_denied"]
)
async def test_t31_t32_redirect_with_an_unknown_state_is_ignored(world: World, query: str) -> None:
    """Any page can send a browser here. The pending sign-in continues and succeeds."""
    started = await world.start()
    await world.sandbox.forget_requests()

    landed = await world.land("http://localhost" + query)

    assert 400 == landed.status
    assert "pending" == await state_of(world, started)
    assert 0 == await token_requests(world)
    await world.land(await world.sign_in(started))
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_t32_login_csrf_is_ignored(world: World) -> None:
    """A page that navigates to the callback with an attacker's code does not sign the user in as the attacker."""
    started = await world.start()

    code = await world.land("http://localhost/?code=ATTACKER&state=guess")
    error = await world.land("http://localhost/?error=access_denied&state=guess")

    assert (400, 400) == (code.status, error.status)
    assert code.body == error.body
    assert "pending" == await state_of(world, started)


async def test_t31_redirect_of_an_expired_attempt_is_ignored(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """After ten minutes the sign-in has ended, and its late redirect exchanges nothing."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        started = await world.start()
        address = await world.sign_in(started)
        await sandbox.forget_requests()
        clock.advance(600)

        landed = await world.land(address)

        assert 400 == landed.status
        assert "expired" == await state_of(world, started)
        assert 0 == await token_requests(world)
        assert "disconnected" == (await world.get("/v1/connection")).json["state"]


async def test_t52_wall_clock_does_not_affect_attempts(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Setting the clock a day forward or back neither ends nor extends an attempt."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        started = await world.start()

        clock.set_wall_clock(86_400)
        assert "pending" == await state_of(world, started)
        clock.set_wall_clock(-172_800)
        assert "pending" == await state_of(world, started)
        clock.advance(600)
        assert "expired" == await state_of(world, started)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/callback", {}, 400),
        ("GET", "/v1", {}, 403),
        ("POST", "/", {}, 403),
        ("HEAD", "/", {}, 403),
        ("GET", "/", {"Sec-Purpose": "prefetch"}, 403),
        ("GET", "/", {"Sec-Purpose": "prefetch;prerender"}, 403),
        ("GET", "/", {"Purpose": "prefetch"}, 403),
        ("GET", "/", {"Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "/", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
    ],
)
async def test_t31_t15_invalid_redirect_requests_do_not_use_up_the_state(
    world: World, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """
    With another path or method, and as a prefetch, frame, or image, the redirect is denied. The real one still
    works.
    """
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()
    fetch = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    reply = await world.call(method, f"{path}?{URL(address).query_string}", headers={**fetch, **headers}, token=None)

    assert status == reply.status
    assert "pending" == await state_of(world, started)
    assert 0 == await token_requests(world)
    await world.land(address)
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/", 405), ("HEAD", "/", 405), ("GET", "/cb", 404)])
async def test_t31_invalid_redirect_requests_of_scripts_are_denied(
    world: World, method: str, path: str, status: int
) -> None:
    """A script that uses the wrong method or path does not use up the state either."""
    started = await world.start()
    address = await world.sign_in(started)

    reply = await world.call(method, f"{path}?{URL(address).query_string}", token=None)

    assert status == reply.status
    assert "pending" == await state_of(world, started)


async def test_t33_replayed_redirect_shows_the_same_page(world: World) -> None:
    """Reload and the back button lead to the same page, without a second exchange."""
    started = await world.start()
    address = await world.sign_in(started)
    first = await world.land(address)
    await world.settled(started["attempt_id"])
    await world.sandbox.forget_requests()

    second = await world.land(address)
    page = await world.page(continued(second))

    assert 200 == second.status
    assert continued(first) == continued(second)
    assert "Your account has been connected" in page.text
    assert 0 == await token_requests(world)


async def test_t33_concurrent_redirects_are_exchanged_once(world: World) -> None:
    """A browser that sends the request twice uses the code once."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()

    await asyncio.gather(*(world.land(address) for _ in range(5)))
    attempt = await world.settled(started["attempt_id"])

    assert "succeeded" == attempt["state"]
    assert 1 == await token_requests(world)


@pytest.mark.parametrize(
    "mangle",
    [
        lambda q: f"code={q['code']}&code=other&state={q['state']}",
        lambda q: f"code={q['code']}&state={q['state']}&state=other",
        lambda q: f"code={'x' * 1500}%00&state={q['state']}",
        lambda q: f"code=a%0D%0Ab&state={q['state']}",
        lambda q: f"code=%C3%A9&state={q['state']}",
        lambda q: f"code=&state={q['state']}",
        lambda q: f"code={q['code']}&error=access_denied&state={q['state']}",
        lambda q: f"iss=a&iss=b&code={q['code']}&state={q['state']}",
    ],
)
async def test_t34_malformed_redirect_is_ignored(world: World, mangle: object) -> None:
    """
    With a repeated parameter, control characters, or both code and error, nothing is exchanged and no attempt ends.
    """
    assert callable(mangle)
    started = await world.start()
    query = query_of(await world.sign_in(started))
    await world.sandbox.forget_requests()

    landed = await world.land("http://localhost/?" + mangle(query))

    assert 400 == landed.status
    assert "pending" == await state_of(world, started)
    assert 0 == await token_requests(world)


async def test_t34_oversized_code_is_denied(world: World) -> None:
    """It is denied before parsing, because no valid target is that long."""
    started = await world.start()

    landed = await world.land(f"http://localhost/?code={'x' * 10_240}&state=whatever")

    assert landed.status in (400, 414)
    assert "pending" == await state_of(world, started)


async def test_t34_other_issuer_fails_the_attempt_without_an_exchange(world: World) -> None:
    """RFC 9207: a response of another server indicates a mix-up attack."""
    started = await world.start()
    query = query_of(await world.sign_in(started))
    await world.sandbox.forget_requests()

    await world.land(str(URL("http://localhost/").with_query({**query, "iss": "https://evil.example/"})))
    attempt = await world.settled(started["attempt_id"])

    assert ("failed", "issuer_mismatch") == (attempt["state"], attempt["reason"])
    assert 0 == await token_requests(world)


async def test_t34_expected_issuer_is_accepted(world: World) -> None:
    """A response that names the expected issuer is accepted."""
    await world.sandbox.settings(redirect_iss=True)
    started = await world.start()
    address = await world.sign_in(started)

    await world.land(address)

    assert "iss" in query_of(address)
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
    await world.sandbox.settings(redirect_iss=False)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("access_denied", "access_denied"),
        ("login_required", "login_required"),
        ("consent_required", "consent_required"),
        ("unauthorized", "unauthorized"),
        ("server_error", "server_error"),
        ("temporarily_unavailable", "server_error"),
        ("unauthorized_client", "invalid_client"),
        ("<script>alert(1)</script>", "invalid_request"),
    ],
)
async def test_t35_error_fails_the_attempt_with_a_reason(world: World, error: str, reason: str) -> None:
    """The page explains the error, and never shows text from the URL."""
    started = await world.start()
    state = query_of(started["authorization_url"])["state"]
    address = URL("http://localhost/").with_query(
        error=error, error_description="<script>alert(2)</script>", state=state
    )

    landed = await world.land(str(address))
    attempt = await world.settled(started["attempt_id"])
    page = await world.page(continued(landed))

    assert ("failed", reason) == (attempt["state"], attempt["reason"])
    assert "<script>" not in page.text
    assert "alert" not in page.text
    assert "was not connected" in page.text


async def test_t35_cancelling_on_the_sign_in_page_keeps_the_connection(world: World) -> None:
    """A user who cancels while reconnecting stays connected."""
    before = await world.connect()
    started = await world.start(force=True)

    await world.land(await world.sandbox.cancel(started["authorization_url"]))
    attempt = await world.settled(started["attempt_id"])
    after = (await world.get("/v1/connection")).json

    assert "access_denied" == attempt["reason"]
    assert ("connected", before["api_key_name"]) == (after["state"], after["api_key_name"])
    assert 200 == (await world.get("/v1/databases")).status


async def test_t37_concurrent_connects_share_one_attempt(world: World) -> None:
    """However many apps connect, the user sees one sign-in."""
    replies = await asyncio.gather(*(world.call("POST", "/v1/connection", {"open_browser": True}) for _ in range(5)))

    assert {202} == {reply.status for reply in replies}
    assert 1 == len({reply.json["attempt_id"] for reply in replies})
    assert 1 == len({reply.json["authorization_url"] for reply in replies})
    assert 1 == len(world.browser.opened)
    assert 4 == sum(reply.json.get("joined", False) for reply in replies)


async def test_t37_connect_while_connected_does_nothing(world: World) -> None:
    """The response shows that, and no browser is opened unless it is forced."""
    await world.connect()

    again = await world.call("POST", "/v1/connection", {"open_browser": True})
    forced = await world.call("POST", "/v1/connection", {"force": True})

    assert (200, True) == (again.status, again.json["already_connected"])
    assert [] == world.browser.opened
    assert 202 == forced.status


async def test_t38_result_page_leaks_nothing(world: World) -> None:
    """
    After the redirect no URL contains the code, nothing is loaded from other origins, no referrer is sent, and the
    opener stays reachable.
    """
    started = await world.start()
    address = await world.sign_in(started)
    landed = await world.land(address)
    await world.settled(started["attempt_id"])

    page = await world.page(continued(landed))

    code, state = query_of(address)["code"], query_of(address)["state"]
    for secret in (code, state, world.email):
        assert secret.encode() not in landed.body + repr(landed.headers).encode()
    assert code.encode() not in page.body
    assert world.email.encode() in page.body
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none';")
    assert "no-referrer" == landed.headers["Referrer-Policy"] == page.headers["Referrer-Policy"]
    assert "Cross-Origin-Opener-Policy" not in page.headers
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text


async def test_code_is_exchanged_with_the_verifier_of_its_attempt(world: World) -> None:
    """PKCE always uses S256, and the redirect URI is exactly the registered one."""
    started = await world.start()

    sent = query_of(started["authorization_url"])

    assert ("code", "S256") == (sent["response_type"], sent["code_challenge_method"])
    assert f"http://localhost:{world.settings.port}" == sent["redirect_uri"]
    assert "upstash-api" == sent["audience"]
    assert 43 == len(sent["code_challenge"])
    assert len(sent["state"]) >= 43
    assert "offline_access" in sent["scope"].split()


async def test_connect_without_a_client_id_suggests_alternatives(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The error says where to get a client ID, and how to do without one."""
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, sign_in="partner") as world:
        reply = await world.call("POST", "/v1/connection", {})

        assert (409, "client_id_missing") == (reply.status, reply.code)
        assert "client_id" in reply.json["detail"]
        assert "connect --api-key" in reply.json["detail"]


async def test_t39_no_sign_in_while_another_program_could_receive_the_code(world: World) -> None:
    """The browser is not opened, and the state shows why. Once the address is free, connecting works again."""
    world.loopback.taken = "[::1]:3000 belongs to another program (vite, pid 4711). Stop it and try again."

    refused = await world.call("POST", "/v1/connection", {"open_browser": True})
    state = (await world.get("/v1/connection")).json
    world.loopback.taken = None
    after = await world.call("POST", "/v1/connection", {})

    assert (503, "port_conflict") == (refused.status, refused.code)
    assert ("port_conflict", True) == (state["state"], "vite" in state["detail"])
    assert [] == world.browser.opened
    assert 202 == after.status
