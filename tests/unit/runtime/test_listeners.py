"""The two loopback addresses, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.activator import as_systemd
from tests.support.other_programs import occupied
from tests.support.platforms import not_under_wine
from tests.support.process import own_name
from tests.support.rawhttp import exchange, get
from tests.support.served import RecordingServer, serving
from upstash_helper.runtime.listeners import Listeners, PortBusy, bind_when_released, open_listeners

IN_USE = "in use|10048"
"""EADDRINUSE, as POSIX describes it and as Windows numbers it."""

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def opened(port: int = 0) -> Iterator[Listeners]:
    """Open a port, and close it afterwards."""
    listeners = open_listeners(port)
    try:
        yield listeners
    finally:
        listeners.close()


def required_socket(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1, as a service manager may pass it."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", port))
    listening.listen()
    listening.setblocking(False)
    return listening


def states(listeners: Listeners) -> list[tuple[str, str]]:
    """Return each address and its state."""
    return [(one.address, one.state) for one in listeners.snapshot()]


async def test_both_addresses_are_served() -> None:
    """A client reaches the daemon at 127.0.0.1 and at ::1, whichever one localhost resolves to."""
    async with RecordingServer.serving() as server:
        answers = [await get(server.port, host=host) for host in ("127.0.0.1", "::1")]

    assert [200, 200] == [answer.status for answer in answers]


def test_snapshot_has_both_addresses() -> None:
    """The owner sees the states of both addresses."""
    with opened() as listeners:
        port = listeners.port

        assert [(f"127.0.0.1:{port}", "listening"), (f"[::1]:{port}", "listening")] == states(listeners)


@not_under_wine("reports no owners of sockets")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_busy_port_is_reported_with_its_program(host: str) -> None:
    """If another program has the IPv4 port, the error names it and suggests fixes."""
    if host == "0.0.0.0" and sys.platform != "linux":
        pytest.skip("platform: elsewhere a specific address can be bound next to the wildcard address")
    with occupied(host) as taken, pytest.raises(PortBusy) as caught:
        open_listeners(taken.getsockname()[1])

    assert own_name() in caught.value.detail
    assert "UPSTASH_HELPER_PORT" in caught.value.detail
    assert "redirect URI" in caught.value.detail


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd requires Linux")
def test_port_of_the_socket_unit_suggests_stopping_the_unit(tmp_path: Path) -> None:
    """If the socket unit has the port, the error suggests stopping the unit, not the service manager."""
    with as_systemd(tmp_path) as manager, pytest.raises(PortBusy) as caught:
        open_listeners(manager.port)

    assert f"in use by systemd (process {manager.pid})" in caught.value.detail
    assert "systemctl --user stop upstash-helper.socket" in caught.value.detail


def test_two_daemons_cannot_share_a_port() -> None:
    """A port that a daemon listens on cannot be opened by a second one."""
    with opened() as listeners, pytest.raises(PortBusy):
        open_listeners(listeners.port)


async def test_port_can_be_reopened_immediately() -> None:
    """A restarted daemon gets its port although connections of the last run are in TIME_WAIT."""
    async with RecordingServer.serving() as server:
        # The side that closes first enters TIME_WAIT: here the daemon, after a malformed request.
        await exchange(server.port, b"nonsense\r\n\r\n")

    with opened(server.port) as second:
        assert server.port == second.port


def test_port_that_nobody_listens_on_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """
    A port is held for a moment after its process has ended, and longer on Windows. A restarted daemon gets it. The log
    says so once.
    """
    caplog.set_level("INFO")
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    port = held.getsockname()[1]
    with pytest.raises(OSError, match=IN_USE):
        bind_when_released("127.0.0.1", port, seconds=0)
    release = threading.Timer(0.3, held.close)
    release.start()

    with bind_when_released("127.0.0.1", port, seconds=60) as listening:
        assert port == listening.getsockname()[1]
    assert ["port_not_released"] == caplog.messages


def test_port_of_a_running_program_is_not_waited_for() -> None:
    """The user learns at once which program has it."""
    with occupied("127.0.0.1") as taken, pytest.raises(OSError, match=IN_USE):
        bind_when_released("127.0.0.1", taken.getsockname()[1], seconds=3600)


def test_sockets_are_not_inherited_by_child_processes() -> None:
    """A program that the daemon starts, such as a browser, does not keep its port open."""
    with opened() as listeners:
        assert [False, False] == [one.get_inheritable() for one in listeners.sockets]


@not_under_wine("reports no owners of sockets")
async def test_t39_taken_ipv6_address_is_a_conflict_until_it_is_free() -> None:
    """
    While another program has ::1, the daemon serves 127.0.0.1 and names that program. Once ::1 is free, the next
    request binds it.
    """
    with occupied("::1") as taken:
        port = taken.getsockname()[1]
        listeners = Listeners(required_socket(port), recheck_seconds=0)
        async with RecordingServer.behind(listeners) as server:
            conflict = await listeners.conflict()
            while_taken = states(listeners)
            holder = listeners.snapshot()[1].holder
            served = await get(server.port)
            taken.close()
            after = await listeners.conflict()
            recovered = await get(port, host="::1")

    assert conflict is not None
    assert f"[::1]:{port} belongs to {own_name()}" in conflict
    assert own_name() == holder
    assert [(f"127.0.0.1:{port}", "listening"), (f"[::1]:{port}", "taken")] == while_taken
    assert after is None
    assert (200, 200) == (served.status, recovered.status)


async def test_t56_recovered_address_is_reported_once() -> None:
    """The program that had it may have received requests to every name that resolves to it."""
    recovered = []
    with occupied("::1") as taken:
        listeners = Listeners(required_socket(taken.getsockname()[1]), recheck_seconds=0)
        listeners.on_recovered = lambda: recovered.append(True)
        states(listeners)
        while_taken = list(recovered)
        taken.close()
        states(listeners)
        states(listeners)
        listeners.close()

    assert ([], [True]) == (while_taken, recovered)


async def test_t39_binding_is_retried_at_a_limited_rate() -> None:
    """However often the state is requested, binding a taken address is retried at a limited rate."""
    with occupied("::1") as taken:
        listeners = Listeners(required_socket(taken.getsockname()[1]), recheck_seconds=3600)
        taken.close()

        state = states(listeners)[1][1]
        listeners.close()

    assert "taken" == state


async def test_address_bound_later_is_closed_on_stop() -> None:
    """When the daemon stops, it listens on neither address."""
    with occupied("::1") as taken:
        port = taken.getsockname()[1]
        listeners = Listeners(required_socket(port), recheck_seconds=0)
        stop = asyncio.Event()
        async with serving(RecordingServer().app(), listeners, stop=stop):
            taken.close()
            listeners.snapshot()
            await get(port, host="::1")

    for host in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            await get(port, host=host)
