"""The port for opening web pages and folders on the user's machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final, Protocol

from upstash_helper.system.browser import REPORT_SECONDS, browse, browse_privately

if TYPE_CHECKING:
    from pathlib import Path

OPEN_TIMEOUT: Final = 5.0
"""Seconds. A command that is still running after this has started the browser itself, in the foreground."""


class Opener(Protocol):
    """Opens what the user wants to see, without waiting until it is closed."""

    def open_page(self, address: str) -> bool:
        """
        Open an address in the browser. Return False if there is none.

        Other users can see the address on the browser's command line, so it must not contain a secret.
        """

    def open_privately(
        self, address: str, *, folder: Path, name: str, link: str | None = None, fallback: str | None = None
    ) -> bool:
        """
        Open an address that contains a secret. Return False if there is no browser.

        Args:
            address: The address.
            folder: A private folder for a file that keeps the address out of the list of processes.
            name: The beginning of the file's name.
            link: A one-time link to the address, in place of the file.
            fallback: The address for a browser that cannot open the first one.
        """

    def open_folder(self, path: Path) -> bool:
        """Open a folder in the file manager. Return False if there is none."""


class SystemOpener:
    """Opens pages and folders with the system's default programs."""

    def __init__(self, *, timeout: float = OPEN_TIMEOUT) -> None:
        """
        Args:
            timeout: Seconds after which a command that has not failed is taken to have succeeded.
        """
        self._timeout = timeout

    def open_page(self, address: str) -> bool:
        """Open an address in the user's browser."""
        return browse(address, watch=min(self._timeout, REPORT_SECONDS))

    def open_privately(
        self, address: str, *, folder: Path, name: str, link: str | None = None, fallback: str | None = None
    ) -> bool:
        """Open an address that contains a secret."""
        return browse_privately(address, link=link, folder=folder, name=name, fallback=fallback)

    def open_folder(self, path: Path) -> bool:
        """Open a folder in the file manager."""
        if sys.platform == "win32":
            try:
                os.startfile(path)  # noqa: S606 - one of the helper's own folders
            except OSError:
                return False
            return True
        return _run([open_command(), str(path)], self._timeout)


def open_command(platform: str = sys.platform) -> str:
    """
    Return the program that opens a folder: open(1) on macOS, and xdg-open(1) elsewhere.

    Args:
        platform: Like ``sys.platform``.
    """
    return "open" if platform == "darwin" else "xdg-open"


def _run(command: list[str], timeout: float) -> bool:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return False
    # A thread waits for it even after the timeout, so that it does not remain as a zombie.
    waiter = threading.Thread(target=process.wait, name="tray-folder", daemon=True)
    waiter.start()
    waiter.join(timeout)
    return process.returncode in {None, 0}
