"""The two loopback addresses, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.activator import as_systemd
from tests.support.process import own_name
from tests.support.rawhttp import exchange, get
from tests.support.served import Witness, serving
from tests.support.stranger import stranger
from upstash_helper.runtime.listeners import Listeners, PortBusy, open_listeners

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def opened(port: int = 0) -> Iterator[Listeners]:
    """Take a port, and give it back."""
    listeners = open_listeners(port)
    try:
        yield listeners
    finally:
        listeners.close()


def required_socket(port: int) -> socket.socket:
    """Return a socket that listens on 127.0.0.1, as a service manager may hand it over."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", port))
    listening.listen()
    listening.setblocking(False)
    return listening


def states(listeners: Listeners) -> list[tuple[str, str]]:
    """Return each address and its state."""
    return [(one.address, one.state) for one in listeners.snapshot()]


async def test_both_families_are_served() -> None:
    """
    A client reaches the daemon by 127.0.0.1 and by ::1, whichever it takes for localhost.
    """
    async with Witness.serving() as witness:
        answers = [await get(witness.port, host=host) for host in ("127.0.0.1", "::1")]

    assert [200, 200] == [answer.status for answer in answers]


def test_the_state_names_both_addresses() -> None:
    """
    The owner sees which addresses are listened on.
    """
    with opened() as listeners:
        port = listeners.port

        assert [(f"127.0.0.1:{port}", "listening"), (f"[::1]:{port}", "listening")] == states(listeners)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_a_busy_port_is_refused_by_the_name_of_its_holder(host: str) -> None:
    """
    A port that another program has on IPv4 is an error that names that program and the ways out.
    """
    if host == "0.0.0.0" and sys.platform != "linux":
        pytest.skip("platform: elsewhere an exact address may be taken beside the one that stands for all")
    with stranger(host) as taken, pytest.raises(PortBusy) as caught:
        open_listeners(taken.getsockname()[1])

    assert own_name() in caught.value.detail
    assert "UPSTASH_HELPER_PORT" in caught.value.detail
    assert "redirect URI" in caught.value.detail


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd is Linux's")
def test_systemd_is_not_to_be_stopped(tmp_path: Path) -> None:
    """
    Where the socket unit has the port, the way out is the unit's, and not to stop the service manager.
    """
    with as_systemd(tmp_path) as manager, pytest.raises(PortBusy) as caught:
        open_listeners(manager.port)

    assert f"in use by systemd (process {manager.pid})" in caught.value.detail
    assert "systemctl --user stop upstash-helper.socket" in caught.value.detail


def test_two_daemons_never_share_a_port() -> None:
    """
    A port that a daemon listens on cannot be taken by a second one.
    """
    with opened() as listeners, pytest.raises(PortBusy):
        open_listeners(listeners.port)


async def test_a_port_is_free_again_at_once() -> None:
    """
    A daemon that is restarted gets its port back, although connections of the last run are still being forgotten.
    """
    async with Witness.serving() as witness:
        # The side that closes first is the one that remembers: here the daemon, after a request it does not understand.
        await exchange(witness.port, b"nonsense\r\n\r\n")

    with opened(witness.port) as second:
        assert witness.port == second.port


def test_sockets_are_not_inherited() -> None:
    """
    A program that the daemon starts, such as a browser, does not keep its port.
    """
    with opened() as listeners:
        held = [listeners._required, listeners._other]

        assert [False, False] == [one.get_inheritable() for one in held if one is not None]


async def test_t39_a_taken_second_address_is_a_conflict_until_it_is_freed() -> None:
    """
    While another program has ::1 the daemon serves on 127.0.0.1 and names that program; when it is freed, the daemon
    takes it as soon as anybody asks.
    """
    with stranger("::1") as taken:
        port = taken.getsockname()[1]
        listeners = Listeners(required_socket(port), recheck_seconds=0)
        async with Witness.behind(listeners) as witness:
            conflict = await listeners.conflict()
            while_taken = states(listeners)
            holder = listeners.snapshot()[1].holder
            served = await get(witness.port)
            taken.close()
            after = await listeners.conflict()
            recovered = await get(port, host="::1")

    assert conflict is not None
    assert f"[::1]:{port} belongs to {own_name()}" in conflict
    assert own_name() == holder
    assert [(f"127.0.0.1:{port}", "listening"), (f"[::1]:{port}", "taken")] == while_taken
    assert after is None
    assert (200, 200) == (served.status, recovered.status)


async def test_t39_asking_often_tries_seldom() -> None:
    """
    However often the state is asked for, a taken address is tried once in a while.
    """
    with stranger("::1") as taken:
        listeners = Listeners(required_socket(taken.getsockname()[1]), recheck_seconds=3600)
        taken.close()

        state = states(listeners)[1][1]
        listeners.close()

    assert "taken" == state


async def test_a_recovered_address_is_closed_like_the_others() -> None:
    """
    When the daemon stops, neither of its addresses is listened on.
    """
    with stranger("::1") as taken:
        port = taken.getsockname()[1]
        listeners = Listeners(required_socket(port), recheck_seconds=0)
        stop = asyncio.Event()
        async with serving(Witness().app(), listeners, stop=stop):
            taken.close()
            listeners.snapshot()
            await get(port, host="::1")

    for host in ("127.0.0.1", "::1"):
        with pytest.raises(ConnectionRefusedError):
            await get(port, host=host)
