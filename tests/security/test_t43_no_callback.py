"""T43: the user has signed in, and the browser does not get back to the daemon."""

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
async def _world(tmp_path: Path, far_side: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    async with World.running(tmp_path, far_side, daemon_port, clock=clock) as world:
        yield world


async def attempt_of(world: World, started: dict[str, Any]) -> dict[str, Any]:
    attempt: dict[str, Any] = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return attempt


async def paste(world: World, started: dict[str, Any], address: str) -> Reply:
    return await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/redirect", {"address": address})


async def token_requests(world: World) -> int:
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


# --- the hint ---------------------------------------------------------------------------------------------------------


async def test_t43_a_browser_that_stays_away_is_explained_after_90_seconds(world: World, clock: FakeClock) -> None:
    """Not before; the attempt goes on, and says what may be in the way and how to finish all the same."""
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


async def test_t43_the_hint_is_gone_as_soon_as_the_browser_is_back(world: World, clock: FakeClock) -> None:
    """Whoever took two minutes to sign in is connected as if nothing had been."""
    started = await world.start()
    clock.advance(120)

    await world.land(await world.sign_in(started))
    settled = await world.settled(started["attempt_id"])

    assert ("succeeded", None) == (settled["state"], settled.get("waiting"))


async def test_t43_followers_are_told_once(world: World, clock: FakeClock) -> None:
    """An app that follows the events need not ask: of the hint there is one event, and it comes by itself."""
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


async def test_t43_an_attempt_that_is_over_gets_no_hint(world: World, clock: FakeClock) -> None:
    """After a sign-in that was cancelled nobody hears of it any more."""
    async with follow(world) as stream:
        started = await world.start()
        await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
        clock.advance(700)
        await world.start()
        events = [(await stream.until("attempt"))["data"] for _ in range(3)]

    assert ["pending", "failed", "pending"] == [event["state"] for event in events]


async def test_t43_t42_a_browser_that_forces_https_is_named(world: World, clock: FakeClock) -> None:
    """When it came for https since the sign-in began, the hint says so, how often, and how to end that."""
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


async def test_t43_whoever_joins_the_attempt_gets_the_hint_too(world: World, clock: FakeClock) -> None:
    """A second app that asks to connect learns why the first one waits."""
    await world.start()
    clock.advance(90)

    joined = await world.start()

    assert (True, "no_callback") == (joined["joined"], joined["waiting"])
    assert "connect --paste" in joined["detail"]


# --- the pasted address -----------------------------------------------------------------------------------------------

FORMS: dict[str, Callable[[URL], str]] = {
    "as it is": str,
    "quoted, with blanks around": lambda url: f'  "{url}"\n',
    "https": lambda url: str(url.with_scheme("https")),
    "127.0.0.1": lambda url: str(url.with_host("127.0.0.1")),
    "[::1]": lambda url: str(url.with_host("::1")),
    "as Chrome shows it": lambda url: str(url).removeprefix("http://"),
    "capitals": lambda url: str(url).replace("http://localhost", "HTTP://LocalHost"),
    "no slash": lambda url: str(url).replace("/?", "?"),
    "with a fragment": lambda url: f"{url}#_=_",
    "the query": lambda url: f"?{url.raw_query_string}",
    "the parameters": lambda url: url.raw_query_string,
}


@pytest.mark.parametrize("form", FORMS)
async def test_t43_a_pasted_address_connects(world: World, form: str) -> None:
    """However the user copied it, the sign-in is finished with it."""
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
    "another port": lambda url: str(url.with_port(1)),
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
async def test_t43_an_address_of_another_sign_in_changes_nothing(world: World, form: str) -> None:
    """It is held to the rules of the redirect; what is refused spends nothing, and the true address still counts."""
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


async def test_t43_an_address_of_an_earlier_attempt_does_not_fit_a_later_one(world: World) -> None:
    """The state must be that of the attempt which is named, and not of just any."""
    first = await world.start()
    address = await world.sign_in(first)
    second = await world.start(force=True)
    await world.sandbox.forget_requests()

    refused = await paste(world, second, address)

    assert (422, "invalid_request") == (refused.status, refused.code)
    assert "another sign-in" in refused.json["detail"]
    assert "pending" == (await attempt_of(world, second))["state"]
    assert 0 == await token_requests(world)


async def test_t43_an_address_is_spent_once(world: World) -> None:
    """Pasted again, or arriving after all, it finds the attempt as it is by then."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()

    await paste(world, started, address)
    await world.settled(started["attempt_id"])
    again = await paste(world, started, address)
    landed = await world.land(address)

    assert (200, "succeeded") == (again.status, again.json["state"])
    assert 303 == landed.status
    assert 1 == await token_requests(world)


async def test_t43_t35_an_error_can_be_pasted_too(world: World) -> None:
    """What the authorization server says in the address is told in our words, as if it had arrived."""
    started = await world.start()
    address = await world.sandbox.cancel(started["authorization_url"])

    pasted = await paste(world, started, address)

    assert (200, "failed", "access_denied") == (pasted.status, pasted.json["state"], pasted.json["reason"])


async def test_t43_t34_another_issuer_fails_the_attempt(world: World) -> None:
    """RFC 9207 holds for what is pasted as well; nothing is spent."""
    started = await world.start()
    address = URL(await world.sign_in(started)).update_query(iss="https://evil.example/")
    await world.sandbox.forget_requests()

    pasted = await paste(world, started, str(address))

    assert ("failed", "issuer_mismatch") == (pasted.json["state"], pasted.json["reason"])
    assert 0 == await token_requests(world)


async def test_t43_after_ten_minutes_a_paste_is_too_late(world: World, clock: FakeClock) -> None:
    """The answer says that the attempt has expired, and nothing is spent."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()
    clock.advance(600)

    pasted = await paste(world, started, address)

    assert (200, "expired") == (pasted.status, pasted.json["state"])
    assert 0 == await token_requests(world)


async def test_t43_an_address_for_no_attempt_is_not_found(world: World) -> None:
    """404 says that attempts end with the daemon."""
    reply = await paste(world, {"attempt_id": "none"}, "?code=c&state=s")

    assert (404, "attempt_not_found") == (reply.status, reply.code)


async def test_t43_only_the_owner_may_paste(world: World) -> None:
    """A page cannot finish a sign-in, its own or another's."""
    started = await world.start()
    address = await world.sign_in(started)
    at = f"/v1/connection/attempts/{started['attempt_id']}/redirect"

    without = await world.call("POST", at, {"address": address}, token=None)
    page = await world.call("POST", at, {"address": address}, token=None, headers={"Origin": "https://evil.example"})

    assert [401, 403] == [without.status, page.status]
    assert "pending" == (await attempt_of(world, started))["state"]


async def test_t43_the_code_is_nowhere_but_in_the_request(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """With the log at debug, what was pasted stands neither there nor in an answer, nor in a repr."""
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
