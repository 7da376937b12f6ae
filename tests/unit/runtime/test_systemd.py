"""Sockets that a service manager passes (sd_listen_fds(3)), with real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: only Unix has socket activation", allow_module_level=True)

from tests.support.activator import listening
from tests.support.rawhttp import get
from tests.support.served import RecordingServer
from tests.support.world import free_port
from upstash_helper.runtime import systemd
from upstash_helper.runtime.systemd import ActivationRefused, PassedSockets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has this address by default")

FIRST = 300
"""The first descriptor of the tests: 3 is a file of pytest."""


def variables(count: object, pid: int | None = None) -> dict[str, str]:
    """Return the variables that a service manager sets."""
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "a:b", "HOME": "/"}


@contextlib.contextmanager
def passed_sockets(*sockets: socket.socket) -> Iterator[PassedSockets]:
    """Pass the sockets like a service manager, and take them."""
    for number, one in enumerate(sockets):
        os.dup2(one.fileno(), FIRST + number, inheritable=True)
        one.close()
    passed = systemd.take_passed_sockets(variables(len(sockets)), first=FIRST)
    try:
        yield passed
    finally:
        passed.close()


def both_addresses(port: int) -> tuple[socket.socket, socket.socket]:
    """Return the sockets of the helper's socket unit."""
    return listening("127.0.0.1", port), listening("::1", port)


async def test_both_passed_sockets_are_served() -> None:
    """Connections to both passed sockets are served."""
    port = free_port()
    with passed_sockets(*both_addresses(port)) as passed:
        async with RecordingServer.behind(passed.listeners([port])) as server:
            answers = [await get(server.port, host=host) for host in ("127.0.0.1", "::1")]

    assert [200, 200] == [answer.status for answer in answers]


async def test_socket_order_does_not_matter() -> None:
    """A socket is identified by its address, not by its position in the unit."""
    port = free_port()
    with passed_sockets(*reversed(both_addresses(port))) as passed:
        async with RecordingServer.behind(passed.listeners([port])) as server:
            assert 200 == (await get(server.port)).status


async def test_connection_made_before_the_start_is_served() -> None:
    """A connection that was made before the daemon started is served."""
    port = free_port()
    sockets = both_addresses(port)
    with socket.create_connection(("127.0.0.1", port), timeout=10) as early:
        early.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        with passed_sockets(*sockets) as passed:
            async with RecordingServer.behind(passed.listeners([port])) as server:
                await get(server.port)
        response = early.recv(4096)

    assert response.startswith(b"HTTP/1.1 200")


def test_ipv6_socket_is_optional() -> None:
    """A unit may lack ::1, since not every machine has it. If the machine has it, the daemon binds it."""
    port = free_port()
    with passed_sockets(listening("127.0.0.1", port)) as passed:
        listeners = passed.listeners([port])
        states = [one.state for one in listeners.snapshot()]
        listeners.close()

    assert ["listening", "listening"] == states


def test_any_configured_port_is_accepted() -> None:
    """If the settings allow several ports, the unit may use any of them."""
    port = free_port()
    with passed_sockets(listening("127.0.0.1", port)) as passed:
        listeners = passed.listeners([1, port])
        listeners.close()

    assert port == listeners.port


def test_no_sockets_without_a_service_manager() -> None:
    """A daemon that a user starts has no passed sockets."""
    assert not systemd.take_passed_sockets({"HOME": "/"})


def test_variables_of_another_process_are_ignored() -> None:
    """Variables inherited from a parent process are ignored: by then descriptor 3 is something else."""
    environ = variables(1, pid=os.getppid())

    passed = systemd.take_passed_sockets(environ)

    assert not passed
    assert {"HOME": "/"} == environ


def test_child_processes_inherit_neither_variables_nor_sockets() -> None:
    """A browser that the daemon starts neither considers itself socket-activated nor keeps the port open."""
    port = free_port()
    os.dup2(listening("127.0.0.1", port).detach(), FIRST, inheritable=True)
    environ = variables(1)

    passed = systemd.take_passed_sockets(environ, first=FIRST)

    assert {"HOME": "/"} == environ
    assert not os.get_inheritable(FIRST)
    passed.close()


@pytest.mark.parametrize("count", ["", "x", "0", "-1", "999", "\u0661"])
def test_invalid_socket_count_is_rejected(count: str) -> None:
    """The error names an invalid number of sockets."""
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
    ("make_sockets", "expected"),
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
def test_sockets_that_do_not_match_the_settings_are_rejected(
    make_sockets: Callable[[int], list[socket.socket]], expected: str
) -> None:
    """
    The error names the mismatched socket, what is expected, and the command that fixes the unit. All sockets are
    closed.
    """
    port = free_port()
    sockets = make_sockets(port)
    with passed_sockets(*sockets) as passed, pytest.raises(ActivationRefused) as caught:
        passed.listeners([port])

    assert expected.format(port=port) in str(caught.value)
    assert "upstash-helper install" in str(caught.value)
    for number in range(len(sockets)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(FIRST + number)


def test_two_sockets_of_one_address_are_rejected() -> None:
    """One of them would never be served."""
    port = free_port()
    one = listening("127.0.0.1", port)
    with passed_sockets(one, one.dup()) as passed, pytest.raises(ActivationRefused, match="two sockets for"):
        passed.listeners([port])


def test_different_ports_are_rejected() -> None:
    """Both addresses have the same port, since a browser may resolve localhost to either."""
    first, second = listening("127.0.0.1"), listening("::1")
    ports = [one.getsockname()[1] for one in (first, second)]
    with passed_sockets(first, second) as passed, pytest.raises(ActivationRefused, match="have to be the same"):
        passed.listeners(ports)


def test_descriptor_that_is_not_a_socket_is_rejected() -> None:
    """The error names the descriptor's number."""
    reading, writing = os.pipe()
    os.dup2(reading, FIRST)
    try:
        with pytest.raises(ActivationRefused, match=f"descriptor {FIRST}, which is not a socket"):
            systemd.take_passed_sockets(variables(1), first=FIRST).listeners([3000])
    finally:
        for descriptor in (reading, writing, FIRST):
            os.close(descriptor)


def test_started_by_systemd_requires_the_own_process_id() -> None:
    """The variable only counts in the process that systemd started, not in one that inherited it."""
    own = systemd.started_by_manager({"SYSTEMD_EXEC_PID": str(os.getpid())})
    inherited = systemd.started_by_manager({"SYSTEMD_EXEC_PID": str(os.getppid())})

    assert (True, False, False) == (own, inherited, systemd.started_by_manager({}))
