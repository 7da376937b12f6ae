"""The port of sign-ins, which is taken for a sign-in alone; with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.support.others import NOBODY, another, skip_unless_root
from tests.support.process import own_name
from tests.support.rawhttp import connected, exchange, get, request
from tests.support.stranger import stranger
from tests.support.until import until_async
from tests.support.world import free_port
from upstash_helper.api.server.connections import Counts
from upstash_helper.runtime.callback_port import CallbackPort, open_first_free
from upstash_helper.runtime.listeners import Listeners, PortBusy, open_listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstash_helper.broker.ports import CallbackAddress

BOTH = ("127.0.0.1", "::1")


class Hall:
    """What is behind the door: it answers, and can be made to wait."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.goes_on = asyncio.Event()

    def app(self) -> web.Application:
        """Return it."""
        app = web.Application()
        app.router.add_get("/", self._at_once)
        app.router.add_get("/slow", self._slowly)
        return app

    async def _at_once(self, _request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def _slowly(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.goes_on.wait()
        return web.Response(text="at last")


@pytest.fixture
def hall() -> Hall:
    """What answers."""
    return Hall()


@pytest.fixture
async def door(hall: Hall) -> AsyncIterator[CallbackPort]:
    """A door at rest."""
    door = CallbackPort(free_port())
    async with door.served_by(hall.app(), counts=Counts()):
        yield door


def is_free(port: int) -> bool:
    """Return whether another program could listen on both addresses now."""
    try:
        with stranger("127.0.0.1", port), stranger("::1", port):
            return True
    except OSError:
        return False


def states(door: CallbackPort) -> list[str]:
    return [one.state for one in door.snapshot()]


async def test_others_have_the_port_but_for_the_time_between(door: CallbackPort) -> None:
    """Both addresses are free before and at once afterwards; in between both are answered."""
    before, at_rest = is_free(door.port), states(door)
    await door.take()
    meanwhile, held = [(await get(door.port, host=host)).status for host in BOTH], states(door)
    free_meanwhile = is_free(door.port)
    await door.release()

    assert before
    assert [200, 200] == meanwhile
    assert not free_meanwhile
    assert is_free(door.port)
    assert (["on_demand"] * 2, ["listening"] * 2, ["on_demand"] * 2) == (at_rest, held, states(door))
    assert ["sign_in"] * 2 == [one.use for one in door.snapshot()]


async def test_an_answer_under_way_arrives_although_the_door_is_shut(door: CallbackPort, hall: Hall) -> None:
    """It is the answer that sends the browser on; and nobody waits for it who only lets the address go."""
    await door.take()
    asking = asyncio.create_task(get(door.port, "/slow"))
    await hall.entered.wait()
    await door.release()
    freed = is_free(door.port)
    hall.goes_on.set()

    assert freed
    assert b"at last" == (await asking).body


async def test_connections_that_ask_nothing_end(door: CallbackPort) -> None:
    """A browser opens some ahead of time, which must not lead to a program that is there no more."""
    await door.take()
    async with connected(door.port) as idle, connected(door.port) as halfway:
        await halfway.send(request("GET", "/", port=door.port)[:20])
        await get(door.port)
        await door.release()

        assert [] == await idle.until_closed()
        assert [] == await halfway.until_closed()


async def test_a_second_time(door: CallbackPort, hall: Hall) -> None:
    """While the last answer of the first is still under way, the port is taken anew."""
    await door.take()
    asking = asyncio.create_task(get(door.port, "/slow"))
    await hall.entered.wait()
    await door.release()
    again = asyncio.create_task(door.take())
    hall.goes_on.set()

    assert await again is None
    assert b"at last" == (await asking).body
    assert 200 == (await get(door.port, host="::1")).status


async def test_taking_twice_and_releasing_twice_is_no_error(door: CallbackPort) -> None:
    """Two who want to sign in share it."""
    taken = [await door.take(), await door.take()]
    answer = await get(door.port)
    await door.release()
    await door.release()

    assert [None, None] == taken
    assert 200 == answer.status
    assert is_free(door.port)


@pytest.mark.parametrize(
    ("hosts", "named", "untouched"),
    [
        (("127.0.0.1",), "Port {port} of 127.0.0.1", "::1"),
        (("::1",), "The address [::1]:{port}", "127.0.0.1"),
        (("127.0.0.1", "::1"), "Port {port} of 127.0.0.1", None),
        (("0.0.0.0",), "Port {port} of 127.0.0.1", "::1"),
        (("::",), "The address [::1]:{port}", "127.0.0.1"),
    ],
)
@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere an exact address may go before that of all")
async def test_a_program_that_has_an_address_is_named(
    door: CallbackPort, hosts: tuple[str, ...], named: str, untouched: str | None
) -> None:
    """
    Whichever of the two it has, no sign-in is started, and neither of them is kept. When it has gone, all is well,
    without a restart.
    """
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.enter_context(stranger(host, door.port))
        refused, seen = await door.take(), states(door)
        if untouched:
            stack.enter_context(stranger(untouched, door.port))
    accepted = await door.take()

    assert refused is not None
    assert named.format(port=door.port) in refused
    assert own_name() in refused
    assert "Stop that program during the sign-in" in refused
    assert "connect --api-key" in refused
    assert ["on_demand"] * 2 == seen
    assert accepted is None


@pytest.mark.skipif(sys.platform != "linux", reason="platform: as above")
async def test_a_program_that_has_both_addresses_by_one_socket_is_named(door: CallbackPort) -> None:
    """As Node listens, if it is told no address."""
    with socket.create_server(("::", door.port), family=socket.AF_INET6, dualstack_ipv6=True):
        refused = await door.take()

    assert refused is not None
    assert f"Port {door.port} of 127.0.0.1 is in use by {own_name()}" in refused
    assert await door.take() is None


@pytest.mark.parametrize("host", BOTH)
async def test_another_users_program_is_named(door: CallbackPort, host: str) -> None:
    """By its user, at least."""
    skip_unless_root()
    with another("listen", host, door.port, user=NOBODY):
        refused = await door.take()

    assert refused is not None
    assert "of user nobody" in refused
    await until_async(lambda: is_free(door.port))
    assert await door.take() is None


async def test_a_request_that_breaks_off_does_not_hold_the_port(door: CallbackPort) -> None:
    """Nor does one that is nothing of the kind."""
    await door.take()
    answers = await exchange(door.port, b"\x00\x01nonsense\r\n\r\n")
    await door.release()

    assert [400] == [answer.status for answer in answers]
    assert is_free(door.port)


async def test_nobody_behind_it(hall: Hall) -> None:
    """Before it is known who answers, and after, nothing is taken."""
    door = CallbackPort(free_port())
    with pytest.raises(RuntimeError):
        await door.take()
    async with door.served_by(hall.app(), counts=Counts()):
        await door.take()
    with pytest.raises(RuntimeError):
        await door.take()

    assert is_free(door.port)


# --- the promises of the port, for whoever keeps them -----------------------------------------------------------------


@pytest.fixture(params=["always", "on-demand"])
async def callback(request: pytest.FixtureRequest, hall: Hall) -> AsyncIterator[tuple[CallbackAddress, int]]:
    """Each of its two adapters, and its port."""
    if request.param == "always":
        listeners = Listeners(_required(), recheck_seconds=0)
        yield listeners, listeners.port
        listeners.close()
        return
    door = CallbackPort(free_port())
    async with door.served_by(hall.app(), counts=Counts()):
        yield door, door.port


def _required() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


async def test_what_is_taken_is_nobody_elses(callback: tuple[CallbackAddress, int]) -> None:
    """Until it is released there is no conflict, and taking it again is none."""
    address, port = callback
    taken = [await address.take(), await address.take()]

    assert [None, None, None] == [*taken, await address.conflict()]
    assert not is_free(port)
    await address.release()
    await address.release()
    assert await address.take() is None


# --- where the API is -------------------------------------------------------------------------------------------------


def test_the_first_port_that_is_free() -> None:
    """The order is the one in which pages look."""
    with stranger("127.0.0.1") as taken:
        free = free_port()
        with contextlib.closing(open_first_free((taken.getsockname()[1], free))) as listeners:
            assert free == listeners.port


def test_no_port_is_left() -> None:
    """Who has each is said, and what to do."""
    with stranger("127.0.0.1") as one, contextlib.closing(open_listeners(0)) as two:
        ports = one.getsockname()[1], two.port
        with pytest.raises(PortBusy) as refused:
            open_first_free(ports)

    for port in ports:
        assert f"Port {port} of 127.0.0.1 is in use by {own_name()}" in refused.value.detail
    assert "--api-port" in refused.value.detail
