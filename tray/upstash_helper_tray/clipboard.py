"""A secret on the clipboard, for a minute."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, NamedTuple

from upstash_helper.system.processes import command_line

CLEAR_SECONDS: Final = 60.0
PATIENCE: Final = 5.0
"""Seconds that the clipboard may take. One that answers takes a tenth of one."""
QUIT_SECONDS: Final = 1.5
"""The same when the tray ends."""

_WORK: Final = "upstash_helper_tray.clipboard_process"


class ClipboardUnavailable(Exception):
    """Nothing can be put on the clipboard. ``str()`` is a sentence for the user, with what to do."""


class Clipboard:
    """
    Puts a secret on the clipboard, and takes it away after a while unless something else is on it by then.

    The secret itself is not kept, only by what it is known again. Nothing wakes up while no secret is there.
    """

    def __init__(
        self,
        *,
        clear_after: float = CLEAR_SECONDS,
        patience: float = PATIENCE,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            clear_after: Seconds.
            patience: Seconds that the clipboard may take.
            environ: Where the display is named; by default the process's own.
        """
        self.clear_after: Final = clear_after
        self._patience = patience
        self._environ = os.environ if environ is None else environ
        self._turn = threading.Lock()
        self._held: _Held | None = None
        self._timer: threading.Timer | None = None

    def put_secret(self, text: str) -> None:
        """
        Put ``text`` on the clipboard. It is cleared ``clear_after`` seconds from now.

        Raises:
            ClipboardUnavailable: If that cannot be done here.
        """
        held = _Held(hashlib.sha256(text.encode()).hexdigest(), mechanism(self._environ))
        with self._turn:
            self._cancel()
            # Known from now on: one that gets there after all, though too late, is cleared as well.
            self._held = held
            there = self._work("put", text, held, self._patience)
            self._timer = threading.Timer(self.clear_after, self._when_due, (held,))
            self._timer.daemon = True
            self._timer.start()
        if not there:
            raise ClipboardUnavailable("The clipboard does not take it. Copy from the dashboard instead.")

    def clear(self, *, patience: float = QUIT_SECONDS) -> None:
        """Take the secret away now, if it still is there."""
        # A copy that hangs holds the turn; whoever quits does not wait for it.
        if self._turn.acquire(timeout=patience):
            try:
                self._clear(patience)
            finally:
                self._turn.release()

    def _when_due(self, held: _Held) -> None:
        with self._turn:
            if held is self._held:
                self._clear(self._patience)

    def _clear(self, patience: float) -> None:
        self._cancel()
        held, self._held = self._held, None
        if held is not None:
            self._work("clear", held.digest, held, patience)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _work(self, job: Literal["put", "clear"], given: str, held: _Held, patience: float) -> bool:
        """Have it done, and return whether it was."""
        arguments = (job,) if held.way is None else (job, held.way)
        try:
            # What puts a text on an X11 clipboard stays behind to hand it out, with the files that it has inherited:
            # the end of a pipe would never come.
            process = subprocess.Popen(
                command_line(*arguments, module=_WORK),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(self._environ),
                **_OWN_GROUP,
            )
        except OSError:
            return False
        with process:
            try:
                process.communicate(given.encode(), timeout=patience)
            except subprocess.TimeoutExpired:
                _end(process)
        return process.returncode == 0


class _Held(NamedTuple):
    """What was put."""

    digest: str
    way: str | None


def mechanism(
    environ: Mapping[str, str], *, which: Callable[[str], str | None] = shutil.which, platform: str = sys.platform
) -> str | None:
    """
    Return what pyperclip is to use, by its name there; None leaves the choice to it, as on Windows and macOS.

    On Linux it would take KDE's qdbus too, which is given the text as an argument that all users can read.

    Raises:
        ClipboardUnavailable: If the program for it is not installed.
    """
    if platform in {"win32", "darwin"}:
        return None
    wayland, x11 = environ.get("WAYLAND_DISPLAY"), environ.get("DISPLAY")
    if wayland and which("wl-copy") and which("wl-paste"):
        return "wl-clipboard"
    if x11:
        # On Wayland this goes through XWayland.
        for program in ("xclip", "xsel"):
            if which(program):
                return program
    if wayland:
        raise ClipboardUnavailable("To copy, install the package wl-clipboard.")
    if x11:
        raise ClipboardUnavailable("To copy, install the package xclip or xsel.")
    raise ClipboardUnavailable("There is no clipboard: neither WAYLAND_DISPLAY nor DISPLAY is set.")


if sys.platform == "win32":
    _OWN_GROUP: Final[dict[str, Any]] = {"creationflags": subprocess.CREATE_NO_WINDOW}

    def _end(process: subprocess.Popen[bytes]) -> None:
        process.kill()

else:
    _OWN_GROUP: Final[dict[str, Any]] = {"start_new_session": True}

    def _end(process: subprocess.Popen[bytes]) -> None:
        # With the program that it waits for.
        os.killpg(process.pid, signal.SIGKILL)
