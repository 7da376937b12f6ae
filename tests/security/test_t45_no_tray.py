"""T45: a machine without a tray."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.sample_app import SampleApp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Executed at the start of Python: no tray library can be imported, as on a server or a desktop without a tray. pystray
# raises this exception on import if it finds no display.
NO_TRAY = """
import sys
class NoDisplay(Exception):
    pass
class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"pystray", "PIL", "upstash_helper_tray", "Xlib", "gi"}:
            raise NoDisplay("this machine has no display")
sys.meta_path.insert(0, Forbidden())
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon on a machine without a display, a tray, or a library that draws one."""
    folder = tmp_path / "python"
    folder.mkdir()
    (folder / "usercustomize.py").write_text(NO_TRAY)
    (folder / "sitecustomize.py").write_text(NO_TRAY)
    environment = {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}
    environment |= dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"), "")
    with DaemonProcess.running(tmp_path / "home", environment=environment) as daemon:
        yield daemon


async def test_t45_user_can_approve_apps_in_the_terminal(daemon: DaemonProcess) -> None:
    """The daemon serves, and the command line shows the waiting app and approves it."""
    app = SampleApp.requesting(daemon, "connection:read", origin="https://app.example.com")
    listed = await run_cli("approvals", "list", environment=daemon.environment)
    approved = await run_cli("approvals", "approve", app.id, "--yes", environment=daemon.environment)
    token = app.fetch()
    used = app.send("GET", "/v1/connection", token=token.json["token"])

    assert "https://app.example.com" in listed.out
    assert 0 == approved.code, approved.err
    assert "approved" == app.state
    assert (200, 200) == (token.status, used.status)


def test_t45_user_can_approve_apps_with_the_api(daemon: DaemonProcess) -> None:
    """Any of the user's tools can approve apps: no part of the daemon needs a display."""
    app = SampleApp.requesting(daemon, "connection:read")

    daemon.client.deny(app.id)

    assert "denied" == app.state


async def test_t45_status_shows_that_there_is_no_tray(daemon: DaemonProcess) -> None:
    """The API and the command line show it, with the command that starts a tray."""
    status = daemon.client.status()
    shown = await run_cli("status", environment=daemon.environment)

    assert status.tray is not None
    assert ("unavailable", None) == (status.tray.state, status.tray.backend)
    assert "upstash-helper tray" in status.tray.detail
    assert re.search(r"^Tray icon: +none$", shown.out, re.MULTILINE)


async def test_t45_tray_libraries_cannot_be_imported_in_this_test(daemon: DaemonProcess) -> None:
    """The imports fail with the same exception that pystray raises."""
    import subprocess
    import sys

    ran = subprocess.run(
        [sys.executable, "-c", "import pystray"], env=daemon.environment, capture_output=True, text=True, check=False
    )

    assert 1 == ran.returncode
    assert "NoDisplay: this machine has no display" in ran.stderr
