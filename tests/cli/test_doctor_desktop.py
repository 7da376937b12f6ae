"""``doctor`` on the desktop and the session: a real bus with and without its services, panels, browsers."""

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
    """A session bus, with nobody on it."""
    with session_bus() as bus:
        bus.enter(monkeypatch)
        yield bus


# --- the bus ----------------------------------------------------------------------------------------------------------


def test_without_a_bus_it_is_said_what_is_lost(examined: Examined) -> None:
    """
    It is a warning: an API key in a file, and the command line, need none.
    """
    (found,) = examined.all(desktop.session_bus)
    examined.settings(credential_store="file")
    (without_keyring,) = examined.all(desktop.session_bus)

    assert ("warning", True) == (found.state, "no keyring, no notifications, and no icon" in found.detail)
    assert "keyring" not in without_keyring.detail


@pytest.mark.usefixtures("bus")
def test_a_bus_that_answers_is_fine(examined: Examined) -> None:
    """
    It is asked something.
    """
    (found,) = examined.all(desktop.session_bus)

    assert ("ok", "it answers; 1 services are on it") == (found.state, found.detail)


def test_a_bus_that_has_gone_is_a_warning(examined: Examined, bus: PrivateKeyring) -> None:
    """
    An address that leads nowhere is not a bus.
    """
    bus.kill_bus()

    (found,) = examined.all(desktop.session_bus)

    assert ("warning", True) == (found.state, "it does not answer at unix:path=" in found.detail)


# --- notifications ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("bus")
def test_a_desktop_that_shows_no_notifications_is_a_warning(examined: Examined) -> None:
    """
    The user learns of an app that waits some other way, and is told which.
    """
    (found,) = examined.all(desktop.notifications)

    assert ("warning", True) == (found.state, "approvals list" in found.fix)


async def test_a_desktop_that_shows_them_is_fine(examined: Examined, bus: PrivateKeyring) -> None:
    """
    None is shown to find that out.
    """
    async with Desktop.on(bus) as shows:
        (found,) = await asyncio.to_thread(examined.all, desktop.notifications)

        assert ("ok", "the desktop's service is there") == (found.state, found.detail)
        assert [] == shows.shown


def test_notifications_that_nobody_wants_are_not_missed(examined: Examined) -> None:
    """
    As the settings say.
    """
    examined.settings(notifications="false")

    (found,) = examined.all(desktop.notifications)

    assert ("ok", True) == (found.state, "notifications = false" in found.detail)


# --- the panel --------------------------------------------------------------------------------------------------------


def test_without_a_panel_it_is_said_what_to_do(examined: Examined) -> None:
    """
    In the words of `upstash-helper tray --check`, which is asked.
    """
    (found,) = examined.all(desktop.tray)

    assert ("warning", True) == (found.state, "neither a session bus nor a display" in found.detail)


async def test_with_a_panel_it_is_said_how_the_icon_gets_there(examined: Examined, bus: PrivateKeyring) -> None:
    """
    The backend that the tray would choose, and whether the panel's watcher is there.
    """
    async with TrayHost.on(bus.env["DBUS_SESSION_BUS_ADDRESS"]):
        (found,) = await asyncio.to_thread(examined.all, desktop.tray)

    assert "ok" == found.state
    assert "by the backend statusnotifier; org.kde.StatusNotifierWatcher is there" in found.detail


# --- the browser ------------------------------------------------------------------------------------------------------


def test_the_browser_that_would_be_opened_is_named(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    It is not opened.
    """
    script = tmp_path / "my-browser"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path / 'opened'}\n")
    script.chmod(0o700)
    monkeypatch.setenv("BROWSER", f"{script} %s")

    (found,) = examined.all(desktop.browser)

    assert ("ok", True) == (found.state, "my-browser (BROWSER says so)" in found.detail), found.detail
    assert not (tmp_path / "opened").exists()


def test_without_a_browser_the_address_is_opened_by_hand(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    That is a warning: a sign-in is possible from a browser that the user opens.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    program = "import sys; from tests.cli.test_doctor_desktop import browsers; print(browsers())"
    found = _in_a_process(program)

    assert "warning: none was found: Open the address yourself: upstash-helper connect --no-browser" == found


def test_a_browser_that_shows_text_alone_is_a_warning(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """
    The sign-in page needs a graphical one.
    """
    script = tmp_path / "w3m"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")

    program = "import sys; from tests.cli.test_doctor_desktop import browsers; print(browsers())"
    found = _in_a_process(program)

    assert found.startswith("warning: w3m, which shows text alone")


def browsers() -> str:
    """Say what is found. It is called in a fresh process, because `webbrowser` looks around once."""
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


def test_a_browser_that_is_not_opened_is_not_looked_for(examined: Examined) -> None:
    """
    As the settings say.
    """
    examined.settings(open_browser="false")

    (found,) = examined.all(desktop.browser)

    assert ("ok", "not opened: open_browser = false") == (found.state, found.detail)


# --- the service ------------------------------------------------------------------------------------------------------


def systemctl(folder: Path, monkeypatch: pytest.MonkeyPatch, *cases: str) -> None:
    """Be a systemd that answers in the words of its manual: how a unit is, and whether it may be asked at all."""
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
            "does not start by itself",
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
        (('*) echo "Failed to connect to bus: No medium found" >&2; exit 1;;',), "ok", "no systemd of this user"),
        (("*) exec sleep 60;;",), "ok", "no systemd of this user"),
    ],
    ids=["absent", "running", "disabled", "failed", "no-manager", "hangs"],
)
def test_the_service_is_as_systemd_says(
    examined: Examined,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    cases: tuple[str, ...],
    state: str,
    words: str,
) -> None:
    """
    Whether it is installed, starts by itself, and runs; what is wrong comes with the command that helps.
    """
    systemctl(tmp_path, monkeypatch, *cases)

    (found,) = examined.all(service.service)

    assert (state, True) == (found.state, words in found.detail), found.detail
    assert (state == "ok") == (not found.fix)
    assert ("upstash-helper install" in found.fix) == ("not installed" in found.detail)


def test_without_systemd_nothing_is_wrong(examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    There are distributions and containers without it.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    (found,) = examined.all(service.service)

    assert "ok" == found.state


@pytest.mark.parametrize(
    ("mode", "state", "words"), [(0o700, "ok", "XDG_RUNTIME_DIR is "), (0o755, "warning", "open to others")]
)
def test_the_runtime_folder_is_the_users_alone(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int, state: str, words: str
) -> None:
    """
    As the XDG base directory specification says.
    """
    folder = tmp_path / "runtime"
    folder.mkdir()
    folder.chmod(mode)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))

    (found,) = examined.all(service.session)

    assert (state, True) == (found.state, words in found.detail)


def test_a_runtime_folder_that_has_gone_is_an_error(examined: Examined) -> None:
    """
    After `su` the variable may be another user's, or of a session that has ended.
    """
    (found,) = examined.all(service.session)

    assert ("error", True) == (found.state, "cannot be used: No such file or directory" in found.detail)


def test_without_a_runtime_folder_nothing_is_wrong(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The helper has a place of its own then.
    """
    monkeypatch.delenv("XDG_RUNTIME_DIR")

    (found,) = examined.all(service.session)

    assert ("ok", True) == (found.state, "no XDG_RUNTIME_DIR" in found.detail)
