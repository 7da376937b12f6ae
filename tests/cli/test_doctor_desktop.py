"""``doctor`` on the desktop and the session: real buses, services, panels, and browsers."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.examined import Examined
from tests.support.notifications import Desktop, session_bus
from tests.support.tray_host import TrayHost
from upstash_helper.cli.doctor import desktop, service
from upstash_helper.system.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.keyring import PrivateKeyring

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="platform: the desktops here are those of Linux")

SYSTEMCTL = """\
#!/bin/sh
case "$2 $3" in
{cases}
esac
"""


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    """A user without a desktop."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XDG_CURRENT_DESKTOP", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    return Examined(monkeypatch, tmp_path / "home")


@pytest.fixture
def bus(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    """A session bus without services."""
    with session_bus() as bus:
        bus.enter(monkeypatch)
        yield bus


# --- the bus ----------------------------------------------------------------------------------------------------------


def test_missing_bus_is_a_warning_with_its_consequences(examined: Examined) -> None:
    """
    It is only a warning: the command line, and an API key in a file, need no bus.
    """
    (found,) = examined.all(desktop.session_bus)
    examined.settings(credential_store="file")
    (without_keyring,) = examined.all(desktop.session_bus)

    assert ("warning", True) == (found.state, "no keyring, notifications, or tray icon" in found.detail)
    assert "keyring" not in without_keyring.detail


@pytest.mark.usefixtures("bus")
def test_working_bus_is_ok(examined: Examined) -> None:
    """
    The bus is asked for its names.
    """
    (found,) = examined.all(desktop.session_bus)

    assert ("ok", "works; 1 services") == (found.state, found.detail)


def test_dead_bus_is_a_warning(examined: Examined, bus: PrivateKeyring) -> None:
    """
    An address without a bus behind it is a warning.
    """
    bus.kill_bus()

    (found,) = examined.all(desktop.session_bus)

    assert ("warning", True) == (found.state, "no response at unix:path=" in found.detail)


# --- notifications ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bus")
def test_missing_notification_service_is_a_warning(examined: Examined) -> None:
    """
    The fix shows how to list pending requests.
    """
    (found,) = examined.all(desktop.notifications)

    assert ("warning", True) == (found.state, "approvals list" in found.fix)


async def test_notification_service_is_ok(examined: Examined, bus: PrivateKeyring) -> None:
    """
    No notification is shown to find out.
    """
    async with Desktop.on(bus) as shows:
        (found,) = await asyncio.to_thread(examined.all, desktop.notifications)

        assert ("ok", "the desktop's notification service is running") == (found.state, found.detail)
        assert [] == shows.shown


def test_disabled_notifications_are_not_checked(examined: Examined) -> None:
    """
    With notifications turned off, a missing service is no problem.
    """
    examined.settings(notifications="false")

    (found,) = examined.all(desktop.notifications)

    assert ("ok", True) == (found.state, "notifications = false" in found.detail)


# --- the panel --------------------------------------------------------------------------------------------------------


def test_missing_panel_shows_the_trays_advice(examined: Examined) -> None:
    """
    The result is that of `upstash-helper tray --check`.
    """
    (found,) = examined.all(desktop.tray)

    assert ("warning", True) == (found.state, "neither a session bus nor a display" in found.detail)


def test_missing_watcher_of_cinnamon_is_named(
    examined: Examined, bus: PrivateKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The advice names the program and its package.
    """
    monkeypatch.setenv("XDG_CURRENT_DESKTOP", "X-Cinnamon")

    (found,) = examined.all(desktop.tray)

    assert "warning" == found.state
    assert "xapp-sn-watcher" in found.detail
    assert "org.kde.StatusNotifierWatcher is not available" in found.detail


async def test_panel_shows_the_backend(examined: Examined, bus: PrivateKeyring) -> None:
    """
    The result names the backend, and whether the panel supports StatusNotifierItem.
    """
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]):
        (found,) = await asyncio.to_thread(examined.all, desktop.tray)

    assert "ok" == found.state
    assert "with the backend statusnotifier; org.kde.StatusNotifierWatcher is available" in found.detail


# --- the browser ------------------------------------------------------------------------------------------------------


def test_browser_is_named(examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    It is not opened.
    """
    script = tmp_path / "my-browser"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'opened'}\n")
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")

    (found,) = examined.all(desktop.browser)

    assert ("ok", True) == (found.state, "my-browser (set by BROWSER)" in found.detail), found.detail
    assert not (tmp_path / "opened").exists()


def test_browser_that_is_not_installed_is_a_warning(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    A program that BROWSER names and that does not exist is not reported as the browser; the one in its place is.
    """
    script = tmp_path / "other-browser"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"/mnt/c/missing/chrome.exe:{script}")
    (second,) = examined.all(desktop.browser)
    monkeypatch.setenv("BROWSER", "wslview")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (none,) = examined.all(desktop.browser)

    missing = "BROWSER names /mnt/c/missing/chrome.exe, which cannot be started here; other-browser is used instead"
    assert ("warning", missing) == (second.state, second.detail)
    assert ("warning", True) == (none.state, none.detail.startswith("BROWSER names wslview, which cannot be started"))


def test_missing_browser_is_a_warning(examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    It is a warning, because the user can open the address in any browser.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    program = "import sys; from tests.cli.test_doctor_desktop import browsers; print(browsers())"
    found = _in_a_process(program)

    assert "warning: no browser was found: Open the address yourself: upstash-helper connect --no-browser" == found


def test_text_browser_is_a_warning(examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    The sign-in page needs a graphical browser.
    """
    script = tmp_path / "w3m"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")

    program = "import sys; from tests.cli.test_doctor_desktop import browsers; print(browsers())"
    found = _in_a_process(program)

    assert found.startswith("warning: w3m, a text browser")


def browsers() -> str:
    """Return the result from a new process, because `webbrowser` looks for browsers only once."""
    from upstash_helper.cli.doctor.context import DoctorContext
    from upstash_helper.cli.session import Session

    (found,) = desktop.browser(DoctorContext(Session()))
    return f"{found.state}: {found.detail}: {found.fix}"


def _in_a_process(program: str) -> str:
    import subprocess

    from tests.support.mounts import ROOT

    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_disabled_browser_is_not_checked(examined: Examined) -> None:
    """
    With open_browser = false, no browser is needed.
    """
    examined.settings(open_browser="false")

    (found,) = examined.all(desktop.browser)

    assert ("ok", "turned off: open_browser = false") == (found.state, found.detail)


# --- the service ------------------------------------------------------------------------------------------------------


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *cases: str) -> None:
    """Install a fake systemctl that answers with real output for a unit's state."""
    script = folder / "systemctl"
    script.write_text(SYSTEMCTL.format(cases="\n".join(cases)))
    script.chmod(0o700)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("cases", "state", "words"),
    [
        (
            ('"is-enabled "*) echo not-found; exit 4;;', '"is-active "*) echo inactive; exit 4;;'),
            "warning",
            "not installed",
        ),
        (
            (
                '"is-enabled upstash-helper.socket") echo enabled;;',
                '"is-active upstash-helper.socket") echo active;;',
                '"is-enabled upstash-helper.service") echo static;;',
                '"is-active upstash-helper.service") echo inactive; exit 3;;',
            ),
            "ok",
            "upstash-helper.socket: enabled, active; upstash-helper.service: static, inactive",
        ),
        (
            ('"is-enabled "*) echo disabled; exit 1;;', '"is-active "*) echo inactive; exit 3;;'),
            "warning",
            "does not start at login",
        ),
        (
            (
                '"is-enabled "*) echo enabled;;',
                '"is-active upstash-helper.socket") echo active;;',
                '"is-active upstash-helper.service") echo failed; exit 3;;',
            ),
            "error",
            "upstash-helper.service: enabled, failed",
        ),
        (('*) echo "Failed to connect to bus: No medium found" >&2; exit 1;;',), "ok", "no systemd for this user"),
        (("*) exec sleep 60;;",), "ok", "no systemd for this user"),
    ],
    ids=["absent", "running", "disabled", "failed", "no-manager", "hangs"],
)
def test_service_state_comes_from_systemd(
    examined: Examined,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    cases: tuple[str, ...],
    state: str,
    words: str,
) -> None:
    """
    Not installed, disabled, and failed units come with the command that fixes them.
    """
    systemctl(tmp_path, monkeypatch, *cases)

    (found,) = examined.all(service.service)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "ok") == (not found.fix)
    assert ("upstash-helper install" in found.fix) == ("not installed" in found.detail)


def test_missing_systemd_is_ok(examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Some distributions and containers do not have it.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    (found,) = examined.all(service.service)

    assert "ok" == found.state


@pytest.mark.parametrize(
    ("mode", "state", "words"), [(0o700, "ok", "XDG_RUNTIME_DIR is "), (0o755, "warning", "accessible to other users")]
)
def test_runtime_folder_must_be_private(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int, state: str, words: str
) -> None:
    """
    The XDG Base Directory Specification requires mode 0700.
    """
    folder = tmp_path / "runtime"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))

    (found,) = examined.all(service.session)

    assert (state, True) == (found.state, words in found.detail)


def test_report_shows_the_runtime_folder(examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The name of the variable is not taken for the secret of a session.
    """
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (found,) = examined.all(service.session)
    line = f"{found.name}: {found.detail}"

    assert line == Redactor(home="/home/ada", user="ada", host="laptop", known={}).text(line)


def test_missing_runtime_folder_is_an_error(examined: Examined) -> None:
    """
    After `su` the variable may be that of another user, or of a session that has ended.
    """
    (found,) = examined.all(service.session)

    assert ("error", True) == (found.state, "cannot be used: No such file or directory" in found.detail)


def test_unset_runtime_folder_is_ok(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The helper then uses its state folder.
    """
    monkeypatch.delenv("XDG_RUNTIME_DIR")

    (found,) = examined.all(service.session)

    assert ("ok", True) == (found.state, "XDG_RUNTIME_DIR is not set" in found.detail)
