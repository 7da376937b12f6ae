"""``doctor`` on the ports of both families, where the helper is at rest, runs, or leaves its port to others."""

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
    """Skip the test where the machine has no such address."""
    try:
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        pytest.skip(f"platform: this machine has no {host}")


def shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def test_free_ports_are_told_for_both_families(examined: Examined) -> None:
    """
    A browser may take localhost for either.
    """
    port = free_port()
    examined.settings(port=port)

    found = examined.all(daemon.ports)

    assert ["ok", "ok"] == [one.state for one in found]
    assert [f"127.0.0.1:{port}", f"[::1]:{port}"] == [one.detail.split()[0] for one in found]


@pytest.mark.parametrize("host", HOSTS)
def test_whoever_has_the_port_is_named(examined: Examined, host: str) -> None:
    """
    On either family: the program, and its process.
    """
    skip_without(host)
    with occupied(host) as taken:
        port = taken.getsockname()[1]
        examined.settings(port=port)
        found = examined.worst(daemon.ports)

    assert "error" == found.state
    assert found.detail.startswith(f"{shown(host, port)} belongs to ")
    assert f"(process {psutil.Process().pid})" in found.detail
    assert "port = " in found.fix


def test_a_dev_server_may_have_the_port_on_demand(examined: Examined) -> None:
    """
    That is what the policy is for: it is explained, and no error.
    """
    with occupied("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        examined.settings(port=port, port_policy="on-demand", api_port=free_port())
        found = examined.worst(daemon.ports, "Port")
        api = examined.worst(daemon.ports, "API port")

    assert "warning" == found.state
    assert f"127.0.0.1:{port} belongs to " in found.detail
    assert "port_policy" in found.detail
    assert "for as long as you sign in" in found.fix
    assert "ok" == api.state


def test_one_free_port_of_the_api_is_enough(examined: Examined) -> None:
    """
    The helper takes the first of them that is free, and pages look at all of them.
    """
    examined.settings(port=free_port(), port_policy="on-demand")
    candidates = examined.facts.settings.api_ports
    assert len(candidates) > 1
    with contextlib.ExitStack() as stack:
        for port in candidates[:1]:
            try:
                stack.enter_context(occupied("127.0.0.1", port))
            except OSError:
                pytest.skip("platform: a port of the API is taken on this machine")
        found = examined.worst(daemon.ports, "API port")

    assert ("ok", True) == (found.state, f"{candidates[0]} belongs to" in found.detail)


def test_no_free_port_of_the_api_is_an_error(examined: Examined) -> None:
    """
    Nobody could reach the helper then.
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
def test_what_starts_on_demand_is_not_started_by_looking(examined: Examined, tmp_path: Path) -> None:
    """
    A port that the user's systemd has (here a program of that name) is no stranger's, the daemon behind it is not
    missed, and no connection is made, which would start it.
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
        said, _ = program.communicate("")

    assert ("ok", "ok") == (found.state, running.state), found.detail
    assert "your systemd starts it" in running.detail
    assert "nobody came\n" == said


def test_the_daemons_own_ports_are_its_own(examined: Examined) -> None:
    """
    That they are taken by the helper itself is how it should be.
    """
    with DaemonProcess.running(examined.home) as running:
        examined.settings(port=running.port)
        found = examined.all(daemon.ports)

    assert ["ok"] * len(HOSTS) == [one.state for one in found]
    assert f"127.0.0.1:{running.port} is the daemon's" == found[0].detail


def test_the_ports_of_a_daemon_with_other_settings_are_told_too(examined: Examined) -> None:
    """
    It was started with a flag, or the file was changed since.
    """
    port = free_port()
    examined.settings(port=port)
    with DaemonProcess.running(examined.home) as running:
        details = [one.detail for one in examined.all(daemon.ports)]

    assert f"127.0.0.1:{port} is free" in details
    assert f"127.0.0.1:{running.port} is the daemon's" in details


def test_a_daemon_that_answers_is_told_with_its_version(examined: Examined) -> None:
    """
    And with its process.
    """
    with DaemonProcess.running(examined.home) as running:
        (found,) = examined.all(daemon.daemon)

    assert ("ok", True) == (found.state, f"process {running.pid}" in found.detail)


def test_a_daemon_of_another_version_that_is_understood_is_a_warning(examined: Examined) -> None:
    """
    Whoever speaks the same protocol is fine; that it is another version is worth knowing.
    """
    with fake_daemon(examined.home / "run"):
        (found,) = examined.all(daemon.daemon)

    assert ("warning", True) == (found.state, "they understand each other (protocol 1)" in found.detail)
    assert "upstash-helper restart" == found.fix


def test_a_daemon_that_does_not_answer_is_told_from_none(examined: Examined) -> None:
    """
    One that hangs holds its lock: it is to be restarted, and not to be started.
    """
    with DaemonProcess.running(examined.home) as running:
        process = psutil.Process(running.pid)
        process.suspend()
        try:
            found = examined.worst(daemon.daemon)
        finally:
            process.resume()

    assert ("error", True) == (found.state, "does not answer" in found.detail)
    assert "upstash-helper restart" in found.fix
