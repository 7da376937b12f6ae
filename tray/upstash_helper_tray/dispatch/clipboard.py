"""Copying a secret to the clipboard, and clearing it after a minute."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Final, Literal, NamedTuple

from upstash_helper.system import bounded_run
from upstash_helper.system.processes import command_line

CLEAR_SECONDS: Final = 60.0
CLIPBOARD_TIMEOUT: Final = 5.0
"""Seconds. Access to a working clipboard takes a tenth of one."""
QUIT_TIMEOUT: Final = 1.5
"""The same, while the tray is ending."""

_PROCESS_MODULE: Final = "upstash_helper_tray.dispatch.clipboard_process"


class ClipboardUnavailable(Exception):
    """Nothing can be copied to the clipboard. ``str()`` is a sentence for the user that says what to do."""


class Clipboard:
    """
    Copies a secret to the clipboard and clears it after a while, unless something else has been copied by then.

    Only a digest of the secret is kept, to recognize it. There is no timer while no secret is on the clipboard.
    """

    def __init__(
        self,
        *,
        clear_after: float = CLEAR_SECONDS,
        timeout: float = CLIPBOARD_TIMEOUT,
        environ: Mapping[str, str] | None = None,
        timer: Callable[[float, Callable[[], None]], threading.Timer] = threading.Timer,
    ) -> None:
        """
        Args:
            clear_after: Seconds until the secret is cleared.
            timeout: Seconds that an access to the clipboard may take.
            environ: Environment that names the display; by default that of this process.
            timer: Makes the timer that clears the secret.
        """
        self.clear_after: Final = clear_after
        self._timeout = timeout
        self._environ = os.environ if environ is None else environ
        self._new_timer = timer
        self._lock = threading.Lock()
        self._copied: _Copied | None = None
        self._timer: threading.Timer | None = None

    def put_secret(self, text: str) -> None:
        """
        Copy ``text`` to the clipboard, and clear it ``clear_after`` seconds from now.

        Raises:
            ClipboardUnavailable: If that is not possible here.
        """
        copied = _Copied(hashlib.sha256(text.encode()).hexdigest(), mechanism(self._environ))
        with self._lock:
            self._cancel_timer()
            # Set first: if the copy succeeds only after the timeout, it is cleared as well.
            self._copied = copied
            succeeded = self._run("put", text, copied, self._timeout)
            self._timer = self._new_timer(self.clear_after, lambda: self._clear_when_due(copied))
            self._timer.daemon = True
            self._timer.start()
        if not succeeded:
            raise ClipboardUnavailable("Could not copy to the clipboard. Copy from the dashboard instead.")

    def clear(self, *, timeout: float = QUIT_TIMEOUT) -> None:
        """Clear the secret now, if it is still on the clipboard."""
        # A copy that hangs holds the lock; quitting does not wait for it.
        if self._lock.acquire(timeout=timeout):
            try:
                self._clear(timeout)
            finally:
                self._lock.release()

    def _clear_when_due(self, copied: _Copied) -> None:
        with self._lock:
            if copied is self._copied:
                self._clear(self._timeout)

    def _clear(self, timeout: float) -> None:
        self._cancel_timer()
        copied, self._copied = self._copied, None
        if copied is not None:
            self._run("clear", copied.digest, copied, timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self, job: Literal["put", "clear"], stdin: str, copied: _Copied, timeout: float) -> bool:
        """Run a job in the clipboard process, and return whether it succeeded."""
        arguments = (job,) if copied.mechanism is None else (job, copied.mechanism)
        try:
            # The program that owns an X11 selection stays in the background; that is no reason to kill it.
            result = bounded_run.run(
                command_line(*arguments, module=_PROCESS_MODULE),
                seconds=timeout,
                stdin=stdin.encode(),
                environ=self._environ,
                captures=False,
            )
        except OSError:
            return False
        return result.code == 0


class _Copied(NamedTuple):
    """The secret that was copied last."""

    digest: str
    mechanism: str | None


def mechanism(
    environ: Mapping[str, str], *, which: Callable[[str], str | None] = shutil.which, platform: str = sys.platform
) -> str | None:
    """
    Return the name of the mechanism that pyperclip has to use, or None to let it choose, as on Windows and macOS.

    On Linux pyperclip would also choose KDE's qdbus, which gets the text as a command-line argument that all users of
    the machine can read.

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
