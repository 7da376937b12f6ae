"""Links and sessions of the sandbox's console: how long they last, and how many there are."""

from __future__ import annotations

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from tests.support.clock import FakeClock
from upstash_helper.sandbox.console.access import (
    IDLE_SECONDS,
    MAX_SESSIONS,
    MAX_TICKETS,
    TICKET_SECONDS,
    ConsoleAccess,
)

ORIGIN = "http://127.0.0.1:3100"


def new_access(clock: FakeClock) -> ConsoleAccess:
    """Return the console's access, without tickets and sessions."""
    return ConsoleAccess(origin=ORIGIN, path="/console", admin_token="s3cret", clock=clock.monotonic)


def browser(access: ConsoleAccess) -> web.Request:
    """Return a request of a browser that has just been given a session."""
    access.start(response := web.Response())
    (cookie,) = response.cookies.values()
    return make_mocked_request("GET", "/console", headers={"Cookie": f"{cookie.key}={cookie.value}"})


def test_ticket_works_once_and_expires() -> None:
    """
    A ticket works once, and not after ten minutes.
    """
    access = new_access(clock := FakeClock())
    used, expired = access.new_ticket(), access.new_ticket()

    redeemed = [access.redeem(used), access.redeem(used), access.redeem(""), access.redeem("\udc80")]
    clock.advance(TICKET_SECONDS)

    assert [True, False, False, False] == redeemed
    assert not access.redeem(expired)


def test_oldest_ticket_and_session_are_dropped() -> None:
    """
    A program that requests many links does not fill the memory.
    """
    access = new_access(FakeClock())
    tickets = [access.new_ticket() for _ in range(MAX_TICKETS + 1)]
    browsers = [browser(access) for _ in range(MAX_SESSIONS + 1)]

    assert [False] + [True] * MAX_TICKETS == [access.redeem(ticket) for ticket in tickets]
    assert [False] + [True] * MAX_SESSIONS == [access.is_signed_in(one) for one in browsers]


def test_session_ends_when_it_is_not_used() -> None:
    """
    Each request extends a session. It ends twelve hours after the last one.
    """
    access = new_access(clock := FakeClock())
    request = browser(access)

    clock.advance(IDLE_SECONDS - 1)
    used = access.is_signed_in(request)
    clock.advance(IDLE_SECONDS - 1)
    used_again = access.is_signed_in(request)
    clock.advance(IDLE_SECONDS)

    assert [True, True] == [used, used_again]
    assert not access.is_signed_in(request)


def test_sandboxes_on_several_ports_have_cookies_of_their_own() -> None:
    """
    Browsers send cookies to all ports of a host, so the session of one sandbox does not replace that of another.
    """
    access = new_access(FakeClock())
    other = ConsoleAccess(origin="http://127.0.0.1:3101", path="/console", admin_token="s3cret")

    names: list[str] = []
    for one in (access, other):
        one.start(response := web.Response())
        names += response.cookies

    assert 2 == len(set(names))
    assert not other.is_signed_in(browser(access))
