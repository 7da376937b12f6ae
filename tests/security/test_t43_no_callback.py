"""T43: the user has signed in, but the browser does not reach the daemon."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from yarl import URL

from tests.support.clock import FakeClock
from tests.support.stream import follow
from tests.support.tls import tls_hello
from tests.support.world import World
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import Reply


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield world


async def attempt_of(world: World, started: dict[str, Any]) -> dict[str, Any]:
    attempt: dict[str, Any] = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return attempt


async def paste(world: World, started: dict[str, Any], address: str) -> Reply:
    return await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/redirect", {"address": address})


async def token_requests(world: World) -> int:
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


# --- the hint ---------------------------------------------------------------------------------------------------------


async def test_t43_hint_appears_after_90_seconds(world: World, clock: FakeClock) -> None:
    """
    After 90 seconds, and not before, the pending attempt explains what may prevent the redirect, and how to finish
    without it.
    """
    started = await world.start()
    clock.advance(89.9)
    before = await attempt_of(world, started)
    clock.advance(0.1)

    after = await attempt_of(world, started)
    connection = (await world.get("/v1/connection")).json

    assert ("pending", None, None) == (before["state"], before.get("waiting"), before.get("detail"))
    assert ("pending", "no_callback") == (after["state"], after["waiting"])
    assert all(word in after["detail"] for word in ("service worker", "extension", "HSTS", "connect --paste"))
    assert ("connecting", after) == (connection["state"], connection["attempt"])


async def test_t43_hint_disappears_once_the_redirect_arrives(world: World, clock: FakeClock) -> None:
    """A sign-in that took two minutes succeeds like any other."""
    started = await world.start()
    clock.advance(120)

    await world.land(await world.sign_in(started))
    settled = await world.settled(started["attempt_id"])

    assert ("succeeded", None) == (settled["state"], settled.get("waiting"))


async def test_t43_hint_is_sent_as_one_event(world: World, clock: FakeClock) -> None:
    """An app that follows events does not have to poll for the hint, and gets it once."""
    async with follow(world) as stream:
        started = await world.start()
        for _ in range(5):
            clock.advance(60)
        await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
        events = [(await stream.until("attempt"))["data"] for _ in range(3)]

    assert [("pending", None), ("pending", "no_callback"), ("failed", None)] == [
        (event["state"], event.get("waiting")) for event in events
    ]
    assert "connect --paste" in events[1]["detail"]


async def test_t43_ended_attempt_gets_no_hint(world: World, clock: FakeClock) -> None:
    """After a canceled sign-in there is no hint."""
    async with follow(world) as stream:
        started = await world.start()
        await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
        clock.advance(700)
        await world.start()
        events = [(await stream.until("attempt"))["data"] for _ in range(3)]

    assert ["pending", "failed", "pending"] == [event["state"] for event in events]


async def test_t43_t42_hint_mentions_forced_https(world: World, clock: FakeClock) -> None:
    """If a browser tried https since the start of the sign-in, the hint says how often, and how to fix that."""
    await tls_hello(world.settings.port)
    started = await world.start()
    clock.advance(90)
    unrelated = (await attempt_of(world, started))["detail"]
    await tls_hello(world.settings.port, "::1")

    hint = (await attempt_of(world, started))["detail"]

    assert "service worker" in unrelated
    assert "received https requests (once)" in hint
    assert "HSTS" in hint
    assert "chrome://net-internals/#hsts" in hint
    assert "connect --paste" in hint


async def test_t43_joining_app_gets_the_hint(world: World, clock: FakeClock) -> None:
    """A second app that connects learns why the first one is waiting."""
    await world.start()
    clock.advance(90)

    joined = await world.start()

    assert (True, "no_callback") == (joined["joined"], joined["waiting"])
    assert "connect --paste" in joined["detail"]


# --- the pasted address -----------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[URL], str]] = {
    "unchanged": str,
    "quoted, with blanks around": lambda url: f'  "{url}"\n',
    "https": lambda url: str(url.with_scheme("https")),
    "127.0.0.1": lambda url: str(url.with_host("127.0.0.1")),
    "[::1]": lambda url: str(url.with_host("::1")),
    "as Chrome shows it": lambda url: str(url).removeprefix("http://"),
    "capitals": lambda url: str(url).replace("http://localhost", "HTTP://LocalHost"),
    "no slash": lambda url: str(url).replace("/?", "?"),
    "a forwarded port": lambda url: str(url.with_port(8080)),
    "in marks of a terminal": lambda url: f"\x1b[200~{url}\x1b[201~",
    "with a fragment": lambda url: f"{url}#_=_",
    "the query": lambda url: f"?{url.raw_query_string}",
    "the parameters": lambda url: url.raw_query_string,
}


@pytest.mark.parametrize("form", FORMS)
async def test_t43_pasted_address_completes_the_sign_in(world: World, form: str) -> None:
    """However the user copied the address, it completes the sign-in."""
    started = await world.start()
    address = URL(await world.sign_in(started))

    pasted = await paste(world, started, FORMS[form](address))

    assert (200, "exchanging") == (pasted.status, pasted.json["state"]), pasted.text
    assert started["attempt_id"] == pasted.json["attempt_id"]
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
    assert world.email == (await world.get("/v1/connection")).json["account"]["email"]


WRONG: dict[str, Callable[[URL], str]] = {
    "another state": lambda url: str(url.update_query(state="x" * 43)),
    "no state": lambda url: str(url.with_query(code=url.query["code"])),
    "no code": lambda url: str(url.with_query(state=url.query["state"])),
    "code twice": lambda url: f"{url}&code=other",
    "state twice": lambda url: f"{url}&state={url.query['state']}",
    "code and error": lambda url: f"{url}&error=access_denied",
    "control characters": lambda url: str(url.update_query(code="a\r\nb")),
    "not ASCII": lambda url: str(url.update_query(code="é")),
    "an endless code": lambda url: str(url.update_query(code="x" * 4097)),
    "another host": lambda url: str(url.with_host("localhost.evil.example")),
    "user information": lambda url: str(url.with_user("x")),
    "another path": lambda url: str(url.with_path("/callback", keep_query=True)),
    "the sign-in page": lambda url: f"https://auth.example/authorize?{url.raw_query_string}",
    "another scheme": lambda url: str(url).replace("http:", "javascript:"),
    "the scheme twice": lambda url: f"http://{url}",
    "no address": lambda _: "I do not know",
    "a path alone": lambda _: "/",
    "blanks": lambda _: "   ",
}


@pytest.mark.parametrize("form", WRONG)
async def test_t43_invalid_address_is_rejected_without_effect(world: World, form: str) -> None:
    """The rules of the redirect apply. A rejected address uses nothing up, and the right one still works."""
    started = await world.start()
    address = URL(await world.sign_in(started))
    await world.sandbox.forget_requests()

    refused = await paste(world, started, WRONG[form](address))

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert ["/address"] == [error["pointer"] for error in refused.json["errors"]]
    assert address.query["code"] not in refused.text
    assert "pending" == (await attempt_of(world, started))["state"]
    assert 0 == await token_requests(world)
    await world.land(str(address))
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_t43_address_of_another_attempt_is_rejected(world: World) -> None:
    """The state must be that of the named attempt."""
    first = await world.start()
    address = await world.sign_in(first)
    second = await world.start(force=True)
    await world.sandbox.forget_requests()

    refused = await paste(world, second, address)

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert "another sign-in" in refused.json["detail"]
    assert "pending" == (await attempt_of(world, second))["state"]
    assert 0 == await token_requests(world)


async def test_t43_address_works_once(world: World) -> None:
    """If it is pasted again, or arrives after all, the current state of the attempt is returned."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()

    await paste(world, started, address)
    await world.settled(started["attempt_id"])
    again = await paste(world, started, address)
    landed = await world.land(address)

    assert (200, "succeeded") == (again.status, again.json["state"])
    assert 200 == landed.status
    assert 1 == await token_requests(world)


async def test_t43_t35_pasted_error_fails_the_attempt(world: World) -> None:
    """An error in a pasted address is handled like one in a redirect."""
    started = await world.start()
    address = await world.sandbox.cancel(started["authorization_url"])

    pasted = await paste(world, started, address)

    assert (200, "failed", "access_denied") == (pasted.status, pasted.json["state"], pasted.json["reason"])


async def test_t43_t34_pasted_address_of_another_issuer_fails_the_attempt(world: World) -> None:
    """RFC 9207 applies to pasted addresses as well, and nothing is exchanged."""
    started = await world.start()
    address = URL(await world.sign_in(started)).update_query(iss="https://evil.example/")
    await world.sandbox.forget_requests()

    pasted = await paste(world, started, str(address))

    assert ("failed", "issuer_mismatch") == (pasted.json["state"], pasted.json["reason"])
    assert 0 == await token_requests(world)


async def test_t43_expired_attempt_accepts_no_address(world: World, clock: FakeClock) -> None:
    """The response shows that the attempt has expired, and nothing is exchanged."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()
    clock.advance(600)

    pasted = await paste(world, started, address)

    assert (200, "expired") == (pasted.status, pasted.json["state"])
    assert 0 == await token_requests(world)


async def test_t43_unknown_attempt_is_not_found(world: World) -> None:
    """The 404 explains that attempts end with the daemon."""
    reply = await paste(world, {"attempt_id": "none"}, "?code=c&state=s")

    assert (404, "attempt_not_found") == (reply.status, reply.code)


async def test_t43_only_the_owner_can_paste(world: World) -> None:
    """A page cannot complete a sign-in, neither its own nor another's."""
    started = await world.start()
    address = await world.sign_in(started)
    at = f"/v1/connection/attempts/{started['attempt_id']}/redirect"

    without = await world.call("POST", at, {"address": address}, token=None)
    page = await world.call("POST", at, {"address": address}, token=None, headers={"Origin": "https://evil.example"})

    assert [401, 403] == [without.status, page.status]
    assert "pending" == (await attempt_of(world, started))["state"]


async def test_t43_code_is_neither_logged_nor_returned(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Even with a debug log, the pasted code appears neither in the log nor in a response or repr."""
    started = await world.start()
    address = await world.sign_in(started)
    code = URL(address).query["code"]

    with caplog.at_level(logging.DEBUG):
        await paste(world, started, address.replace("state=", "state=x"))
        await paste(world, started, address)
        await world.settled(started["attempt_id"])

    assert not any(code in f"{record.getMessage()} {record.__dict__}" for record in caplog.records)
    assert code.encode() not in b"".join(world.traffic)
    assert "PastedAddress(…)" == repr(wire.PastedAddress(address=address))
