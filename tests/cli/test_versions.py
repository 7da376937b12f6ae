"""Command line, tray, and daemon with incompatible versions: a real daemon with another protocol version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.recorded_follower import RecordedFollower
from tests.support.until import until
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import discovery
from upstash_helper.protocol.discovery import API_VERSION
from upstash_helper_tray.menu.build import menu_for
from upstash_helper_tray.presentation.status import icon_status, tooltip_for
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A running daemon with a fixed port and credential store."""
    with DaemonProcess.running(tmp_path / "home") as daemon:
        daemon.environment |= {
            "UPSTASH_HELPER_PORT": str(daemon.port),
            "UPSTASH_HELPER_CREDENTIAL_STORE": "memory",
            "UPSTASH_HELPER_OPEN_BROWSER": "false",
        }
        yield daemon


def announces(daemon: DaemonProcess, **changes: Any) -> None:
    """Change the daemon's discovery file to that of another version."""
    path = discovery.discovery_file(daemon.folders.runtime)
    path.write_bytes(msgspec.json.encode(msgspec.json.decode(path.read_bytes()) | changes))


async def test_version_mismatch_has_its_exit_code(daemon: DaemonProcess) -> None:
    """
    Scripts can distinguish it from a stopped daemon, and the message says which is older and what to do.
    """
    announces(daemon, api_version=API_VERSION - 1, version="0.0.1")

    shown = await run_cli("status", environment=daemon.environment)
    as_json = await run_cli("status", "--json", environment=daemon.environment)

    assert exit_codes.VERSION_MISMATCH == shown.code == as_json.code
    assert "The running daemon is older than this program" in shown.err
    assert "upstash-helper restart" in shown.err
    assert "version_mismatch" == msgspec.json.decode(as_json.err)["code"]


async def test_start_fails_immediately_on_a_mismatch(daemon: DaemonProcess) -> None:
    """
    `start` does not wait for an answer that it cannot understand.
    """
    announces(daemon, api_version=API_VERSION + 1)

    ran = await run_cli("start", environment=daemon.environment)

    assert exit_codes.VERSION_MISMATCH == ran.code
    assert "This program is older than the running daemon" in ran.err


@pytest.mark.parametrize("change", [{"api_version": API_VERSION - 1}, {"format": 0}, {"format": 99}])
async def test_restart_replaces_an_incompatible_daemon(daemon: DaemonProcess, change: dict[str, int]) -> None:
    """
    A daemon that cannot be stopped through its API gets SIGTERM, and one of this version starts.
    """
    announces(daemon, **change)

    ran = await run_cli("restart", "--json", environment=daemon.environment)
    try:
        assert (0, False) == (ran.code, ran.json["already_running"])
        assert daemon.wait() is not None
        assert ran.json["pid"] != daemon.pid
        assert ran.json["pid"] == daemon.client.status().pid
    finally:
        await run_cli("stop", environment=daemon.environment)


async def test_doctor_reports_a_mismatch(daemon: DaemonProcess) -> None:
    """
    The Daemon check names the mismatch and the command that fixes it.
    """
    announces(daemon, api_version=API_VERSION - 1)

    ran = await run_cli("doctor", "--json", environment=daemon.environment)

    (found,) = [one for one in ran.json["checks"] if one["name"] == "Daemon"]
    assert "error" == found["state"]
    assert "older than this program" in found["detail"]


def test_tray_reports_a_mismatch_and_recovers(daemon: DaemonProcess) -> None:
    """
    The tray does not report a stopped daemon or offer to start it, and reconnects to a compatible one.
    """
    announces(daemon, api_version=API_VERSION + 1)

    with RecordedFollower.following(daemon.folders.runtime) as watched:
        until(lambda: watched.now.daemon == "mismatched")
        texts = [getattr(entry, "text", "") for entry in menu_for(watched.now)]
        assert "The helper has a different version" in texts
        assert "Start the helper" not in texts
        assert "is older than the running daemon" in " ".join(texts)
        assert IconStatus.ATTENTION == icon_status(watched.now)
        assert "not compatible" in tooltip_for(watched.now)

        announces(daemon, api_version=API_VERSION)
        until(lambda: watched.now.daemon == "running")
