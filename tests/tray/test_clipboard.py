"""A secret on the clipboard: a real one, of an X server that nobody sees."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.until import until
from upstash_helper_tray.dispatch.clipboard import Clipboard, ClipboardUnavailable, mechanism

if TYPE_CHECKING:
    from tests.support.display import Desk

SECRET = "rediss://default:s3cret-ü@h.example:6379"
NEVER = 3600.0


class TestOnX11:
    def test_what_is_copied_can_be_pasted(self, desk: Desk) -> None:
        """As it is, to the last character."""
        Clipboard(clear_after=NEVER, environ=desk.environ).put_secret(SECRET)

        assert SECRET == desk.paste()

    def test_it_is_cleared_after_its_time(self, desk: Desk) -> None:
        """Nobody has to remember it."""
        clipboard = Clipboard(clear_after=0.05, environ=desk.environ)

        clipboard.put_secret(SECRET)

        until(lambda: SECRET != desk.paste())
        assert "" == desk.paste()

    def test_what_the_user_copied_since_then_stays(self, desk: Desk) -> None:
        """It is theirs."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ)
        clipboard.put_secret(SECRET)
        desk.copy("a recipe")

        clipboard.clear()

        assert "a recipe" == desk.paste()

    def test_it_is_cleared_at_the_end(self, desk: Desk) -> None:
        """Quitting the tray does not leave the secret behind; there is no second time."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ)
        clipboard.put_secret(SECRET)

        clipboard.clear(patience=30.0)
        desk.copy(SECRET)
        clipboard.clear()

        assert SECRET == desk.paste()

    def test_a_later_copy_has_a_time_of_its_own(self, desk: Desk) -> None:
        """The first one's end does not take the second one away."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ)
        clipboard.put_secret("first")
        first = clipboard._timer
        assert first is not None
        clipboard.put_secret("second")

        assert first.finished.is_set()
        first.function(*first.args)
        assert "second" == desk.paste()

    def test_the_secret_is_on_no_command_line(self, desk: Desk) -> None:
        """Nor in an environment: the list of processes is everybody's."""
        Clipboard(clear_after=NEVER, environ=desk.environ).put_secret(SECRET)

        owners = desk.owners()
        assert owners
        assert all("s3cret" not in " ".join(one.cmdline()) for one in owners)
        assert all("s3cret" not in str(one.environ()) for one in owners)

    def test_an_owner_that_hangs_is_not_waited_for(self, desk: Desk) -> None:
        """The tray ends nevertheless, nothing of it stays behind, and the clipboard is left to that owner."""
        clipboard = Clipboard(clear_after=NEVER, patience=20.0, environ=desk.environ)
        clipboard.put_secret(SECRET)
        desk.copy("a recipe")
        # The one that held the secret ends when it learns that another has the clipboard.
        (owner,) = until(lambda: found if len(found := desk.owners()) == 1 else [])
        owner.send_signal(signal.SIGSTOP)

        clipboard.clear(patience=1.0)

        # What was killed may still be dying; what was not would stay for as long as the owner hangs.
        until(lambda: [owner.pid] == [one.pid for one in desk.owners()])

    def test_a_display_that_is_gone_is_told(self, desk: Desk) -> None:
        """Nobody is told that it was copied when it was not."""
        clipboard = Clipboard(clear_after=NEVER, environ=desk.environ | {"DISPLAY": ":32000"})

        with pytest.raises(ClipboardUnavailable, match="dashboard"):
            clipboard.put_secret(SECRET)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere there always is a clipboard")
def test_the_secret_is_not_kept() -> None:
    """Only by what it is known again."""
    clipboard = Clipboard(environ={"DISPLAY": ":32000", "PATH": os.environ.get("PATH", "")}, patience=10.0)

    with pytest.raises(ClipboardUnavailable):
        clipboard.put_secret(SECRET)

    clipboard._cancel()
    assert SECRET not in repr(vars(clipboard))


@pytest.mark.parametrize(
    ("environ", "installed", "way"),
    [
        ({"DISPLAY": ":0"}, {"xclip", "xsel"}, "xclip"),
        ({"DISPLAY": ":0"}, {"xsel"}, "xsel"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, {"wl-copy", "wl-paste", "xclip"}, "wl-clipboard"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, {"xclip"}, "xclip"),
        ({"WAYLAND_DISPLAY": "w"}, {"wl-copy", "wl-paste"}, "wl-clipboard"),
    ],
)
def test_the_way_follows_from_the_session(environ: dict[str, str], installed: set[str], way: str) -> None:
    """And from what is installed."""
    found = mechanism(environ, which=lambda program: program if program in installed else None, platform="linux")

    assert way == found


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"DISPLAY": ":0"}, "xclip"),
        ({"DISPLAY": ":0", "WAYLAND_DISPLAY": "w"}, "wl-clipboard"),
        ({"WAYLAND_DISPLAY": "w"}, "wl-clipboard"),
        ({}, "no clipboard"),
    ],
)
def test_what_is_missing_is_named(environ: dict[str, str], words: str) -> None:
    """KDE's qdbus would do, and is not taken: it gets the text as an argument."""
    found = {"klipper", "qdbus"}

    with pytest.raises(ClipboardUnavailable, match=words):
        mechanism(environ, which=lambda program: program if program in found else None, platform="linux")


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_the_system_has_one(platform: str) -> None:
    """Nothing must be installed."""
    assert mechanism({}, platform=platform) is None
