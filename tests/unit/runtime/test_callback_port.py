"""The callback port with `port_policy = "on-demand"`, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.support.other_programs import NOBODY, occupied, other_program, skip_unless_root
from tests.support.platforms import not_under_wine
from tests.support.process import own_name
from tests.support.rawhttp import connected, exchange, get, request
from tests.support.until import until_async
from tests.support.world import free_port
from upstash_helper.api.server.connections import Counts
from upstash_helper.runtime.callback_port import CallbackPort
from upstash_helper.runtime.listeners import Listeners, PortBusy, open_first_free, open_listeners

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from upstash_helper.broker.ports import CallbackAddress

BOTH = ("127.0.0.1", "::1")


class SlowApp:
    """The application on the callback port, with a handler that the test can block."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.proceed = asyncio.Event()

    def app(self) -> web.Application:
        """Return the application."""
        app = web.Application()
        app.router.add_get("/", self._immediate)
        app.router.add_get("/slow", self._slow)
        return app

    async def _immediate(self, _request: web.Request) -> web.Response:
        return web.Response(text="here")

    async def _slow(self, _request: web.Request) -> web.Response:
        self.entered.set()
        await self.proceed.wait()
        return web.Response(text="finally")


@pytest.fixture
def slow_app() -> SlowApp:
    """The application."""
    return SlowApp()


@pytest.fixture
async def callback_port(slow_app: SlowApp) -> AsyncIterator[CallbackPort]:
    """A callback port that is closed."""
    callback_port = CallbackPort(free_port())
    async with callback_port.served_by(slow_app.app(), counts=Counts()):
        yield callback_port


def is_free(port: int) -> bool:
    """Return whether another program could listen on both addresses."""
    try:
        with occupied("127.0.0.1", port), occupied("::1", port):
            return True
    except OSError:
        return False


def states(callback_port: CallbackPort) -> list[str]:
    return [one.state for one in callback_port.snapshot()]


async def test_port_is_open_only_between_take_and_release(callback_port: CallbackPort) -> None:
    """Both addresses are free before and immediately afterwards. In between both are served."""
    before, closed = is_free(callback_port.port), states(callback_port)
    await callback_port.take()
    meanwhile, opened = [(await get(callback_port.port, host=host)).status for host in BOTH], states(callback_port)
    free_meanwhile = is_free(callback_port.port)
    await callback_port.release()

    assert before
    assert [200, 200] == meanwhile
    assert not free_meanwhile
    assert is_free(callback_port.port)
    assert (["on_demand"] * 2, ["listening"] * 2, ["on_demand"] * 2) == (closed, opened, states(callback_port))
    assert ["sign_in"] * 2 == [one.use for one in callback_port.snapshot()]


async def test_pending_response_is_sent_after_release(callback_port: CallbackPort, slow_app: SlowApp) -> None:
    """The response that redirects the browser is still sent, and releasing the port does not wait for it."""
    await callback_port.take()
    pending = asyncio.create_task(get(callback_port.port, "/slow"))
    await slow_app.entered.wait()
    await callback_port.release()
    freed = is_free(callback_port.port)
    slow_app.proceed.set()

    assert freed
    assert b"finally" == (await pending).body


async def test_silent_connections_are_closed_on_release(callback_port: CallbackPort) -> None:
    """Browsers open connections in advance. They must not stay connected to a port that is closed."""
    await callback_port.take()
    async with connected(callback_port.port) as idle, connected(callback_port.port) as halfway:
        await halfway.send(request("GET", "/", port=callback_port.port)[:20])
        await get(callback_port.port)
        await callback_port.release()

        assert [] == await idle.until_closed()
        assert [] == await halfway.until_closed()


async def test_port_can_be_taken_again_while_a_response_is_pending(
    callback_port: CallbackPort, slow_app: SlowApp
) -> None:
    """The port can be taken again while the last response of the first time is pending."""
    await callback_port.take()
    pending = asyncio.create_task(get(callback_port.port, "/slow"))
    await slow_app.entered.wait()
    await callback_port.release()
    again = asyncio.create_task(callback_port.take())
    slow_app.proceed.set()

    assert await again is None
    assert b"finally" == (await pending).body
    assert 200 == (await get(callback_port.port, host="::1")).status


async def test_take_and_release_are_idempotent(callback_port: CallbackPort) -> None:
    """Two sign-ins share the port."""
    taken = [await callback_port.take(), await callback_port.take()]
    answer = await get(callback_port.port)
    await callback_port.release()
    await callback_port.release()

    assert [None, None] == taken
    assert 200 == answer.status
    assert is_free(callback_port.port)


@pytest.mark.parametrize(
    ("hosts", "named", "untouched"),
    [
        (("127.0.0.1",), "Port {port} on 127.0.0.1", "::1"),
        (("::1",), "The address [::1]:{port}", "127.0.0.1"),
        (("127.0.0.1", "::1"), "Port {port} on 127.0.0.1", None),
        (("0.0.0.0",), "Port {port} on 127.0.0.1", "::1"),
        (("::",), "The address [::1]:{port}", "127.0.0.1"),
    ],
)
@pytest.mark.skipif(
    sys.platform != "linux",
    reason="platform: elsewhere a specific address can take precedence over the wildcard address",
)
async def test_conflict_names_the_program_with_the_address(
    callback_port: CallbackPort, hosts: tuple[str, ...], named: str, untouched: str | None
) -> None:
    """
    If another program has either address, no sign-in is started, and both stay closed. Once it has exited, the port
    can be taken without a restart.
    """
    with contextlib.ExitStack() as stack:
        for host in hosts:
            stack.enter_context(occupied(host, callback_port.port))
        refused, seen = await callback_port.take(), states(callback_port)
        if untouched:
            stack.enter_context(occupied(untouched, callback_port.port))
    accepted = await callback_port.take()

    assert refused is not None
    assert named.format(port=callback_port.port) in refused
    assert own_name() in refused
    assert "Stop that program during the sign-in" in refused
    assert "connect --api-key" in refused
    assert ["on_demand"] * 2 == seen
    assert accepted is None


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="platform: elsewhere a specific address can take precedence over the wildcard address",
)
async def test_conflict_names_the_program_with_a_dual_stack_socket(callback_port: CallbackPort) -> None:
    """Node listens like this if no address is specified."""
    with socket.create_server(("::", callback_port.port), family=socket.AF_INET6, dualstack_ipv6=True):
        refused = await callback_port.take()

    assert refused is not None
    assert f"Port {callback_port.port} on 127.0.0.1 is in use by {own_name()}" in refused
    assert await callback_port.take() is None


@pytest.mark.parametrize("host", BOTH)
async def test_conflict_names_the_user_of_another_users_program(callback_port: CallbackPort, host: str) -> None:
    """At least its user is named."""
    skip_unless_root()
    with other_program("listen", host, callback_port.port, user=NOBODY):
        refused = await callback_port.take()

    assert refused is not None
    assert "of user nobody" in refused
    await until_async(lambda: is_free(callback_port.port))
    assert await callback_port.take() is None


async def test_malformed_request_does_not_hold_the_port(callback_port: CallbackPort) -> None:
    """A malformed request does not keep the port open either."""
    await callback_port.take()
    answers = await exchange(callback_port.port, b"\x00\x01nonsense\r\n\r\n")
    await callback_port.release()

    assert [400] == [answer.status for answer in answers]
    assert is_free(callback_port.port)


async def test_port_cannot_be_taken_without_an_application(slow_app: SlowApp) -> None:
    """Before and after an application is served, the port cannot be taken."""
    callback_port = CallbackPort(free_port())
    with pytest.raises(RuntimeError):
        await callback_port.take()
    async with callback_port.served_by(slow_app.app(), counts=Counts()):
        await callback_port.take()
    with pytest.raises(RuntimeError):
        await callback_port.take()

    assert is_free(callback_port.port)


# --- the contract of CallbackAddress, for both adapters ---------------------------------------------------------------


@pytest.fixture(params=["always", "on-demand"])
async def callback(request: pytest.FixtureRequest, slow_app: SlowApp) -> AsyncIterator[tuple[CallbackAddress, int]]:
    """Each of the two adapters of ``CallbackAddress``, with its port."""
    if request.param == "always":
        listeners = Listeners(_required(), recheck_seconds=0)
        yield listeners, listeners.port
        listeners.close()
        return
    callback_port = CallbackPort(free_port())
    async with callback_port.served_by(slow_app.app(), counts=Counts()):
        yield callback_port, callback_port.port


def _required() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    return listening


async def test_taken_address_has_no_conflict(callback: tuple[CallbackAddress, int]) -> None:
    """Until it is released there is no conflict, and taking it again is not an error."""
    address, port = callback
    taken = [await address.take(), await address.take()]

    assert [None, None, None] == [*taken, await address.conflict()]
    assert not is_free(port)
    await address.release()
    await address.release()
    assert await address.take() is None


# --- the port of the API ----------------------------------------------------------------------------------------------


def test_first_free_port_is_opened() -> None:
    """Ports are tried in the order in which pages search them."""
    with occupied("127.0.0.1") as taken:
        free = free_port()
        with contextlib.closing(open_first_free((taken.getsockname()[1], free))) as listeners:
            assert free == listeners.port


@not_under_wine("reports no owners of sockets")
def test_error_names_the_programs_if_no_port_is_free() -> None:
    """The error names the program on each port, and suggests what to do."""
    with occupied("127.0.0.1") as one, contextlib.closing(open_listeners(0)) as two:
        ports = one.getsockname()[1], two.port
        with pytest.raises(PortBusy) as refused:
            open_first_free(ports)

    for port in ports:
        assert f"Port {port} on 127.0.0.1 is in use by {own_name()}" in refused.value.detail
    assert "--api-port" in refused.value.detail
