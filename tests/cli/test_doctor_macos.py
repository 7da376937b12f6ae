"""``doctor`` on a Mac: the agent, notifications, the Keychain, and the clock."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.support.examined import Examined
from tests.support.install_context import context
from tests.support.launchctl import Launchctl
from upstash_helper.cli.doctor import desktop, service
from upstash_helper.service import planner
from upstash_helper.service.executor import Installer

if TYPE_CHECKING:
    from pathlib import Path

DAEMON = "io.upstash-helper.daemon"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The user's home folder."""
    return tmp_path / "user"


@pytest.fixture
def examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: Path) -> Examined:
    """A user of a Mac."""
    found = Examined(monkeypatch, tmp_path / "root")
    monkeypatch.setenv("HOME", str(home))
    return found


@pytest.fixture
def launchd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Launchctl:
    """The user's launchd."""
    return Launchctl(tmp_path / "launchd").on_path(monkeypatch)


@pytest.fixture
def installed(launchd: Launchctl, home: Path, tmp_path: Path) -> Launchctl:
    """The launchd of a user who has installed the helper."""
    root = tmp_path / "root"
    target = context(home, platform="darwin", systemd=False, display=True, tray="unwanted", root=root, documents={})
    Installer(planner.plan(target), runner=launchd).install()
    return launchd


@pytest.mark.usefixtures("launchd")
def test_missing_installation_is_a_warning(examined: Examined) -> None:
    """
    The fix is the command that installs it.
    """
    (found,) = examined.all(partial(service.service, platform="darwin"))

    assert ("warning", True) == (found.state, "not installed" in found.detail)
    assert "install" in found.fix


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("ok", f"{DAEMON}: loaded", "")),
        ({"disabled": [DAEMON]}, ("warning", "turned off", "Login Items & Extensions")),
        ({"loaded": {}}, ("warning", "launchd has not loaded it", "upstash-helper install")),
        ({"desktop": False}, ("warning", "you are not logged in to this Mac's desktop", "upstash-helper start")),
    ],
)
def test_state_of_the_agent_has_a_fix(
    examined: Examined, installed: Launchctl, changes: dict[str, object], expected: tuple[str, str, str]
) -> None:
    """
    An agent that does not start at login is a warning. The first result is launchd's.
    """
    installed.set(**changes)
    state, detail, fix = expected

    found = examined.all(partial(service.service, platform="darwin"))[0]

    assert (state, True, True) == (found.state, detail in found.detail, fix in found.fix)


@pytest.mark.usefixtures("installed")
def test_launchd_that_does_not_answer_is_no_problem(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The state of the agent is then not known.
    """
    monkeypatch.setenv("PATH", str(tmp_path))

    found = examined.all(partial(service.service, platform="darwin"))[0]

    assert ("ok", True) == (found.state, "its state is unknown" in found.detail)


@pytest.mark.parametrize(("platform", "text"), [("darwin", "Script Editor"), ("win32", "shown by the system")])
def test_notifications_of_other_systems_are_not_tested(examined: Examined, platform: str, text: str) -> None:
    """
    On macOS, the result says how to allow them, because macOS does not report whether they are.
    """
    (found,) = examined.all(partial(desktop.notifications, platform=platform))

    assert ("ok", True) == (found.state, text in found.detail)
