"""Copying a secret to the clipboard of a virtual X display, and clearing it."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, ClassVar

import psutil
import pytest

from tests.support.until import until
from upstash_helper_tray.dispatch.clipboard import Clipboard, ClipboardUnavailable, mechanism

if TYPE_CHECKING:
    from tests.support.display import Desk

SECRET = "rediss://default:s3cret-ü@h.example:6379"
NEVER = 3600.0


class RecordedTimer(threading.Timer):
    """A timer that a test can find."""

    started: ClassVar[list[RecordedTimer]] = []

    def start(self) -> None:
        self.started.append(self)
        super().start()


class TestOnX11:
    def test_copied_text_can_be_pasted(self, desk: Desk) -> None:
        """The text is unchanged, including characters outside ASCII."""
        Clipboard(clear_after=NEVER, environ=desk.environ).put_secret(SECRET)

        assert SECRET == desk.paste()

    def test_clipboard_is_cleared_after_the_timeout(self, desk: Desk) -> None:
        """The user does not have to do anything."""
        clipboard = Clipboard(clear_after=0.05, environ=desk.environ)

        clipboard.put_secret(SECRET)

        until(lambda: SECRET != desk.paste())
        assert "" == desk.paste()

    def test_text_that_the_user_copied_later_is_kept(self, desk: Desk) -> None:
        """Only the secret is cleared."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ)
        clipboard.put_secret(SECRET)
        desk.copy("a recipe")

        clipboard.clear()

        assert "a recipe" == desk.paste()

    def test_clear_removes_the_secret_once(self, desk: Desk) -> None:
        """The tray clears it when it quits. The same text copied by the user afterwards is kept."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ)
        clipboard.put_secret(SECRET)

        clipboard.clear(timeout=30.0)
        desk.copy(SECRET)
        clipboard.clear()

        assert SECRET == desk.paste()

    def test_timer_of_an_earlier_copy_does_not_clear_a_later_one(self, desk: Desk) -> None:
        """It is canceled, and has no effect even if it was about to fire."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ, timer=RecordedTimer)
        clipboard.put_secret("first")
        first = RecordedTimer.started[-1]
        clipboard.put_secret("second")

        assert first.finished.is_set()
        first.function(*first.args)
        assert "second" == desk.paste()

    def test_secret_is_on_no_command_line(self, desk: Desk) -> None:
        """Nor is it in an environment. All users can read the list of processes."""
        Clipboard(clear_after=NEVER, environ=desk.environ).put_secret(SECRET)

        owners = desk.owners()
        assert owners
        assert all("s3cret" not in " ".join(one.cmdline()) for one in owners)
        assert all("s3cret" not in str(one.environ()) for one in owners)

    def test_hanging_clipboard_owner_is_not_waited_for(self, desk: Desk) -> None:
        """The clipboard process is killed, and the clipboard stays with its owner."""
        clipboard = Clipboard(clear_after=NEVER, timeout=20.0, environ=desk.environ)
        clipboard.put_secret(SECRET)
        desk.copy("a recipe")
        # The owner of the secret exits when it loses the clipboard.
        (owner,) = until(lambda: found if len(found := desk.owners()) == 1 else [])
        owner.send_signal(signal.SIGSTOP)

        clipboard.clear(timeout=1.0)

        # A killed process may take a moment to exit. One that was not killed would stay for as long as the owner hangs.
        until(lambda: len(desk.owners()) == 1)
        assert [owner.pid] == [one.pid for one in desk.owners()]
        assert psutil.STATUS_STOPPED == owner.status()

    def test_copy_without_a_display_fails(self, desk: Desk) -> None:
        """The user is not told that the text was copied."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ | {"DISPLAY": ":32000"})

        with pytest.raises(ClipboardUnavailable, match="dashboard"):
            clipboard.put_secret(SECRET)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere there is always a clipboard")
def test_secret_is_not_kept_in_memory() -> None:
    """Only its digest is."""
    clipboard = Clipboard(environ={"DISPLAY": ":32000", "PATH": os.environ.get("PATH", "")}, timeout=10.0)

    with pytest.raises(ClipboardUnavailable):
        clipboard.put_secret(SECRET)

    kept = repr(vars(clipboard))
    clipboard.clear()
    assert hashlib.sha256(SECRET.encode()).hexdigest() in kept
    assert SECRET not in kept


@pytest.mark.parametrize(
    ("environ", "installed", "expected"),
    [
        ({"DISPLAY": ":0"}, {"xclip", "xsel"}, "xclip"),
        ({"DISPLAY": ":0"}, {"xsel"}, "xsel"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, {"wl-copy", "wl-paste", "xclip"}, "wl-clipboard"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, {"xclip"}, "xclip"),
        ({"WAYLAND_DISPLAY": "w"}, {"wl-copy", "wl-paste"}, "wl-clipboard"),
    ],
)
def test_mechanism_depends_on_the_session_and_installed_programs(
    environ: dict[str, str], installed: set[str], expected: str
) -> None:
    """Wayland's own programs are preferred to XWayland."""
    found = mechanism(environ, which=lambda program: program if program in installed else None, platform="linux")

    assert expected == found


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        ({"DISPLAY": ":0"}, "xclip"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, "wl-clipboard"),
        ({"WAYLAND_DISPLAY": "w"}, "wl-clipboard"),
        ({}, "no clipboard"),
    ],
)
def test_missing_program_is_named(environ: dict[str, str], text: str) -> None:
    """KDE's qdbus is not used, since it gets the text as an argument."""
    installed = {"klipper", "qdbus"}

    with pytest.raises(ClipboardUnavailable, match=text):
        mechanism(environ, which=lambda program: program if program in installed else None, platform="linux")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_windows_and_macos_need_no_program(platform: str) -> None:
    """Pyperclip uses the system's own clipboard there."""
    assert mechanism({}, platform=platform) is None
