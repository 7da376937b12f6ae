"""``doctor`` on the ports of both address families, with a stopped, running, or on-demand daemon."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import DaemonProcess, free_port
from tests.support.examined import Examined
from tests.support.fake_daemon import fake_daemon
from tests.support.other_programs import occupied
from upstash_helper.cli.doctor import daemon

if TYPE_CHECKING:
    from pathlib import Path

HOSTS = ("127.0.0.1", "::1")


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    return Examined(monkeypatch, tmp_path / "home")


def skip_without(host: str) -> None:
    """Skip the test on a machine without such an address."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"platform: this machine has no {host}")


def shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def test_free_port_is_reported_for_both_families(examined: Examined) -> None:
    """
    A browser may use either for localhost.
    """
    port = free_port()
    examined.settings(port=port)

    found = examined.all(daemon.ports)

    assert ["ok", "ok"] == [one.state for one in found]
    assert [f"127.0.0.1:{port}", f"[::1]:{port}"] == [one.detail.split()[0] for one in found]


@pytest.mark.parametrize("host", HOSTS)
def test_program_on_the_port_is_named(examined: Examined, host: str) -> None:
    """
    For either family, the program and its process are named.
    """
    skip_without(host)
    with occupied(host) as taken:
        port = taken.getsockname()[1]
        examined.settings(port=port)
        found = examined.worst(daemon.ports)

    assert "error" == found.state
    assert found.detail.startswith(f"{shown(host, port)} is in use by ")
    assert f"(process {psutil.Process().pid})" in found.detail
    assert "port = " in found.fix


def test_busy_port_is_a_warning_with_on_demand(examined: Examined) -> None:
    """
    The policy allows it, so it is explained, and is no error.
    """
    with occupied("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        examined.settings(port=port, port_policy="on-demand", api_port=free_port())
        found = examined.worst(daemon.ports, "Port")
        api = examined.worst(daemon.ports, "API port")

    assert "warning" == found.state
    assert f"127.0.0.1:{port} is in use by " in found.detail
    assert "port_policy" in found.detail
    assert "while you sign in" in found.fix
    assert "ok" == api.state


def test_one_free_port_of_the_api_is_enough(examined: Examined) -> None:
    """
    The helper uses the first free port, and pages try all of them.
    """
    examined.settings(port=free_port(), port_policy="on-demand")
    candidates = examined.context.settings.api_ports
    assert len(candidates) > 1
    with contextlib.ExitStack() as stack:
        for port in candidates[:1]:
            try:
                stack.enter_context(occupied("127.0.0.1", port))
            except OSError:
                pytest.skip("platform: a port of the API is taken on this machine")
        found = examined.worst(daemon.ports, "API port")

    assert ("ok", True) == (found.state, f"{candidates[0]} is in use by" in found.detail)


def test_no_free_port_of_the_api_is_an_error(examined: Examined) -> None:
    """
    The helper could not be reached then.
    """
    with occupied("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        examined.settings(port=free_port(), port_policy="on-demand", api_port=port)
        found = examined.worst(daemon.ports, "API port")

    assert ("error", True) == (found.state, f"none of {port} is free" in found.detail)
    assert "api_port = " in found.fix


LISTENS = """
import socket, sys
taken = socket.create_server(("127.0.0.1", int(sys.argv[1])))
taken.setblocking(False)
print("listens", flush=True)
sys.stdin.read()
try:
    taken.accept()
except BlockingIOError:
    print("nobody came", flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="platform: systemd is Linux's")
def test_check_does_not_start_a_socket_activated_daemon(examined: Examined, tmp_path: Path) -> None:
    """
    For a port held by the user's systemd (here a program with that name), no connection is made, and the stopped daemon
    is no error.
    """
    port = free_port()
    examined.settings(port=port)
    systemd = tmp_path / "systemd"
    systemd.symlink_to(sys.executable)
    program = subprocess.Popen(
        [systemd, "-c", LISTENS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with program:
        assert program.stdout is not None
        assert "listens\n" == program.stdout.readline()
        found = examined.worst(daemon.ports)
        running = examined.worst(daemon.daemon)
        reported, _ = program.communicate("")

    assert ("ok", "ok") == (found.state, running.state), found.detail
    assert "systemd starts it" in running.detail
    assert "nobody came\n" == reported


def test_ports_of_the_daemon_are_ok(examined: Examined) -> None:
    """
    Ports that the daemon itself uses are no problem.
    """
    with DaemonProcess.running(examined.home) as running:
        examined.settings(port=running.port)
        found = examined.all(daemon.ports)

    assert ["ok"] * len(HOSTS) == [one.state for one in found]
    assert f"127.0.0.1:{running.port} is used by the daemon" == found[0].detail


def test_ports_of_a_daemon_with_other_settings_are_shown(examined: Examined) -> None:
    """
    It was started with a flag, or the settings file has changed.
    """
    port = free_port()
    examined.settings(port=port)
    with DaemonProcess.running(examined.home) as running:
        details = [one.detail for one in examined.all(daemon.ports)]

    assert f"127.0.0.1:{port} is free" in details
    assert f"127.0.0.1:{running.port} is used by the daemon" in details


def test_running_daemon_shows_version_and_process(examined: Examined) -> None:
    """
    The result has both.
    """
    with DaemonProcess.running(examined.home) as running:
        (found,) = examined.all(daemon.daemon)

    assert ("ok", True) == (found.state, f"process {running.pid}" in found.detail)


def test_compatible_daemon_of_another_version_is_a_warning(examined: Examined) -> None:
    """
    The protocol is the same, but the user should know.
    """
    with fake_daemon(examined.home / "run"):
        (found,) = examined.all(daemon.daemon)

    assert ("warning", True) == (found.state, "they are compatible (protocol 1)" in found.detail)
    assert "upstash-helper restart" == found.fix


def test_hanging_daemon_is_distinguished_from_a_stopped_one(examined: Examined) -> None:
    """
    It holds its lock, so it has to be restarted and not started.
    """
    with DaemonProcess.running(examined.home) as running:
        process = psutil.Process(running.pid)
        process.suspend()
        try:
            found = examined.worst(daemon.daemon)
        finally:
            process.resume()

    assert ("error", True) == (found.state, "does not respond" in found.detail)
    assert "upstash-helper restart" in found.fix
