"""What a service manager hands over (sd_listen_fds(3)), with real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activator import listening
from tests.support.rawhttp import get
from tests.support.served import Witness
from tests.support.world import free_port
from upstash_helper.runtime import systemd
from upstash_helper.runtime.systemd import ActivationRefused, PassedSockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has such an address by itself")

FIRST = 300
"""Where the tests' descriptors begin: 3 is a file of pytest's."""


def variables(count: object, pid: int | None = None) -> dict[str, str]:
    """Return what a service manager sets."""
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "a:b", "HOME": "/"}


@contextlib.contextmanager
def handed_over(*sockets: socket.socket) -> Iterator[PassedSockets]:
    """Put the sockets where a service manager puts them, and take them."""
    for number, one in enumerate(sockets):
        os.dup2(one.fileno(), FIRST + number, inheritable=True)
        one.close()
    passed = systemd.take_passed_sockets(variables(len(sockets)), first=FIRST)
    try:
        yield passed
    finally:
        passed.close()


def both(port: int) -> tuple[socket.socket, socket.socket]:
    """Return what the socket unit passes."""
    return listening("127.0.0.1", port), listening("::1", port)


async def test_both_sockets_are_served() -> None:
    """
    Who connects to either of the two sockets that were handed over is answered.
    """
    port = free_port()
    with handed_over(*both(port)) as passed:
        async with Witness.behind(passed.listeners([port])) as witness:
            answers = [await get(witness.port, host=host) for host in ("127.0.0.1", "::1")]

    assert [200, 200] == [answer.status for answer in answers]


async def test_the_order_of_the_sockets_does_not_matter() -> None:
    """
    A socket is known by its address, not by its place in the unit.
    """
    port = free_port()
    with handed_over(*reversed(both(port))) as passed:
        async with Witness.behind(passed.listeners([port])) as witness:
            assert 200 == (await get(witness.port)).status


async def test_who_connected_before_is_answered() -> None:
    """
    A connection that was made before the daemon ran has waited, and is answered.
    """
    port = free_port()
    sockets = both(port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as early:
        early.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        with handed_over(*sockets) as passed:
            async with Witness.behind(passed.listeners([port])) as witness:
                await get(witness.port)
        said = early.recv(4096)

    assert said.startswith(b"HTTP/1.1 200")


def test_the_second_address_is_optional() -> None:
    """
    A unit without ``::1`` is one of a machine that has none; where there is one, the daemon takes it by itself.
    """
    port = free_port()
    with handed_over(listening("127.0.0.1", port)) as passed:
        listeners = passed.listeners([port])
        states = [one.state for one in listeners.snapshot()]
        listeners.close()

    assert ["listening", "listening"] == states


def test_another_port_that_the_settings_name_will_do() -> None:
    """
    Where the settings leave a choice, the unit has made it.
    """
    port = free_port()
    with handed_over(listening("127.0.0.1", port)) as passed:
        listeners = passed.listeners([1, port])
        listeners.close()

    assert port == listeners.port


def test_without_a_manager_nothing_is_taken() -> None:
    """
    A daemon that a person starts has been handed over nothing.
    """
    assert not systemd.take_passed_sockets({"HOME": "/"})


def test_what_is_another_process_s_is_left_alone() -> None:
    """
    Variables that a parent did not clear are not for its children: descriptor 3 is something else by then.
    """
    environ = variables(1, pid=os.getppid())

    passed = systemd.take_passed_sockets(environ)

    assert not passed
    assert {"HOME": "/"} == environ


def test_children_inherit_neither_the_variables_nor_the_sockets() -> None:
    """
    A browser that the daemon starts neither takes itself for activated nor keeps the port.
    """
    port = free_port()
    os.dup2(listening("127.0.0.1", port).detach(), FIRST, inheritable=True)
    environ = variables(1)

    passed = systemd.take_passed_sockets(environ, first=FIRST)

    assert {"HOME": "/"} == environ
    assert not os.get_inheritable(FIRST)
    passed.close()


@pytest.mark.parametrize("count", ["", "x", "0", "-1", "999", "\u0661"])
def test_a_count_that_is_none_is_refused(count: str) -> None:
    """
    A number of sockets that cannot be is named in the error.
    """
    with pytest.raises(ActivationRefused, match="LISTEN_FDS"):
        systemd.take_passed_sockets(variables(count), first=FIRST).listeners([3000])


def datagrams(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("127.0.0.1", port))
    return one


def unbound(port: int) -> socket.socket:
    one = socket.socket()
    one.bind(("127.0.0.1", port))
    return one


def unix(port: int) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.bind(f"\0upstash-helper-test-{port}")
    one.listen()
    return one


@pytest.mark.parametrize(
    ("hand_over", "said"),
    [
        (lambda _: [listening("127.0.0.1")], "but the settings have port {port}"),
        (lambda port: [listening("127.0.0.1", port), listening("::1")], "but the settings have port {port}"),
        (lambda port: [listening("0.0.0.0", port)], "0.0.0.0:{port}, which other computers could connect to"),
        pytest.param(lambda port: [listening("127.0.0.2", port)], "127.0.0.2:{port}", marks=LINUX),
        (lambda port: [listening("::1", port)], "no socket for 127.0.0.1"),
        (lambda port: [unbound(port)], "127.0.0.1:{port}, which is not listening"),
        (lambda port: [datagrams(port)], "not a TCP socket (127.0.0.1:{port})"),
        pytest.param(lambda port: [unix(port)], "not a TCP socket (one of family", marks=LINUX),
    ],
)
def test_what_is_not_ours_is_refused(hand_over: Callable[[int], list[socket.socket]], said: str) -> None:
    """
    A socket that does not fit the settings is named together with what fits and the command that mends it; all of them
    are closed.
    """
    port = free_port()
    sockets = hand_over(port)
    with handed_over(*sockets) as passed, pytest.raises(ActivationRefused) as caught:
        passed.listeners([port])

    assert said.format(port=port) in str(caught.value)
    assert "upstash-helper install" in str(caught.value)
    for number in range(len(sockets)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(FIRST + number)


def test_two_sockets_of_one_address_are_refused() -> None:
    """
    A unit that passes more than is served would leave some callers without an answer.
    """
    port = free_port()
    one = listening("127.0.0.1", port)
    with handed_over(one, one.dup()) as passed, pytest.raises(ActivationRefused, match="two sockets for"):
        passed.listeners([port])


def test_two_ports_are_refused() -> None:
    """
    Both addresses have the same port, or a browser's localhost would be somewhere else.
    """
    first, second = listening("127.0.0.1"), listening("::1")
    ports = [one.getsockname()[1] for one in (first, second)]
    with handed_over(first, second) as passed, pytest.raises(ActivationRefused, match="have to be the same"):
        passed.listeners(ports)


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    """
    A file in the place of a socket is told, with its number.
    """
    reading, writing = os.pipe()
    os.dup2(reading, FIRST)
    try:
        with pytest.raises(ActivationRefused, match=f"descriptor {FIRST}, which is not a socket"):
            systemd.take_passed_sockets(variables(1), first=FIRST).listeners([3000])
    finally:
        for descriptor in (reading, writing, FIRST):
            os.close(descriptor)


def test_systemd_is_known_by_the_process_that_it_started() -> None:
    """
    What systemd's own child was told is believed in that process, and not in a shell that has inherited it.
    """
    own = systemd.started_by_manager({"SYSTEMD_EXEC_PID": str(os.getpid())})
    inherited = systemd.started_by_manager({"SYSTEMD_EXEC_PID": str(os.getppid())})

    assert (True, False, False) == (own, inherited, systemd.started_by_manager({}))
