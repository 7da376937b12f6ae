"""
T39: one of the two addresses of localhost belongs to another program. With real sockets and the daemon as a process.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.daemon import DaemonFailed, DaemonProcess
from tests.support.other_programs import occupied
from tests.support.own_network import until
from tests.support.process import own_name
from tests.support.rawhttp import get
from tests.support.redirect import target_of
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes
from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

ROOT = Path(__file__).parents[2]


class RecordingBrowser:
    """A program that the daemon uses as the user's browser. It records the URL that it is given."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "opened"
        script = folder / "browser"
        script.write_text(f'#!/bin/sh\nprintf %s "$1" > {self._seen}\n')
        script.chmod(0o700)
        self.environment = {"BROWSER": f"{script} %s"}

    @property
    def opened(self) -> str | None:
        """The URL that was last opened, through a private file."""
        return target_of(self._seen.read_text()) if self._seen.exists() else None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
async def test_t39_no_sign_in_while_another_program_has_the_ipv6_address(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """
    The daemon serves on 127.0.0.1, names the program that has ::1, and opens no browser. Within ten seconds after
    that program has exited, and without a restart, a sign-in starts, and can return to either address.
    """
    browser = RecordingBrowser(tmp_path)
    settings = {"client_id": sandbox.client_id, "auth_url": sandbox.auth_url, "api_url": sandbox.api_url}
    with (
        occupied("::1", daemon_port) as taken,
        DaemonProcess.running(
            tmp_path / "home", port=daemon_port, environment=browser.environment, **settings
        ) as daemon,
    ):
        status = daemon.client.status()
        with pytest.raises(ApiProblem) as refused:
            daemon.client.connect(open_browser=True)
        opened_meanwhile = browser.opened
        taken.close()
        began = time.monotonic()
        until(daemon, "listening")
        recovered_after = time.monotonic() - began
        started = daemon.client.connect(open_browser=True)
        assert isinstance(started, wire.StartedAttempt)
        address = await sandbox.authorize(started.authorization_url, "t39@example.com", PASSWORD)
        opened = browser.opened
        landed = await get(daemon_port, "/?" + address.partition("?")[2], host="::1")
        attempt = await asyncio.to_thread(daemon.client.wait_for_attempt, started.attempt_id, timeout=20)

    assert ["listening", "taken"] == [one.state for one in status.listeners]
    assert own_name() == status.listeners[1].holder
    assert "port_conflict" == status.connection.state
    assert f"[::1]:{daemon_port} belongs to {own_name()}" in str(status.connection.detail)
    assert (503, "port_conflict") == (refused.value.status, refused.value.code)
    assert own_name() in refused.value.detail
    assert opened_meanwhile is None
    assert recovered_after < 10
    assert opened == started.authorization_url
    assert 200 == landed.status
    assert "succeeded" == attempt.state


def test_t39_daemon_does_not_start_without_the_ipv4_address(tmp_path: Path, daemon_port: int) -> None:
    """
    While another program has 127.0.0.1, the daemon exits with that program's name and a specific exit code. Once
    the address is free, it starts.
    """
    refused = DaemonProcess(tmp_path / "home", port=daemon_port)
    with occupied("127.0.0.1", daemon_port), pytest.raises(DaemonFailed) as failed:
        refused.start()
    refused.kill()

    with DaemonProcess.running(tmp_path / "home", port=daemon_port) as daemon:
        listeners = daemon.client.status().listeners

    assert exit_codes.PORT_BUSY == failed.value.returncode
    assert own_name() in failed.value.output
    assert "listening" == listeners[0].state


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_t39_addresses_of_a_running_daemon_cannot_be_bound(tmp_path: Path, host: str) -> None:
    """Another program that is started later cannot bind the daemon's addresses."""
    with DaemonProcess.running(tmp_path / "home") as daemon:
        before = daemon.client.status().listeners
        with pytest.raises(OSError, match=r"(?i)in use|WinError"), occupied(host, daemon.port):
            pass

        after = daemon.client.status().listeners

    assert before == after
    assert ["listening", "listening"] == [one.state for one in after]


def run_without_ipv6(folder: Path) -> dict[str, Any]:
    """Run a daemon on a machine without ``::1``, and return what was observed."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has network namespaces")
    if shutil.which("unshare") is None:
        pytest.skip("requires unshare (of the package util-linux)")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--net", sys.executable, "-m", "tests.support.own_network", folder],
        cwd=ROOT,
        capture_output=True,
        timeout=90,
        check=False,
    )
    if done.returncode != 0 and b"unshare" in done.stderr:
        pytest.skip(f"platform: this system does not allow network namespaces ({done.stderr.decode().strip()})")
    assert 0 == done.returncode, done.stderr.decode()
    seen: dict[str, Any] = msgspec.json.decode(done.stdout)
    if "forbidden" in seen:
        pytest.skip(f"platform: this system does not allow bringing up a loopback interface ({seen['forbidden']})")
    return seen


def test_t39_ipv6_address_that_appears_later_is_checked(tmp_path: Path) -> None:
    """
    On a machine without ::1 everything works. If ::1 appears and another program binds it first, no sign-in starts.
    Once that program has exited, the daemon binds the address.
    """
    seen = run_without_ipv6(tmp_path)

    absent, taken, freed = seen["absent"], seen["taken"], seen["freed"]
    assert ["listening", "absent"] == absent["listeners"]
    assert ("disconnected", "StartedAttempt") == (absent["state"], absent["connect"])
    assert ["listening", "taken"] == taken["listeners"]
    assert ("port_conflict", "port_conflict") == (taken["state"], taken["connect"])
    assert f"belongs to {seen['other_program']}" in taken["detail"]
    assert ["listening", "listening"] == freed["listeners"]
    assert ("disconnected", "StartedAttempt") == (freed["state"], freed["connect"])
