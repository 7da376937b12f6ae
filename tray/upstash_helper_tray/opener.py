"""The port to what opens pages and folders on the user's machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final, Protocol

from upstash_helper.client.dashboard_link import browse

if TYPE_CHECKING:
    from pathlib import Path

OPEN_SECONDS: Final = 5.0
"""A browser that is started and not handed over to stays in the foreground: it has opened, then."""


class Opener(Protocol):
    """Opens what the user wants to see, without waiting for it to be closed."""

    def page(self, address: str) -> bool:
        """Open an address in the browser, which others may see on its command line. False where there is none."""

    def folder(self, path: Path) -> bool:
        """Show a folder. False where nothing can."""


class SystemOpener:
    """The system's own ways."""

    def __init__(self, *, patience: float = OPEN_SECONDS) -> None:
        """
        Args:
            patience: Seconds after which what has not failed has opened.
        """
        self._patience = patience

    def page(self, address: str) -> bool:
        """Open an address in the user's browser."""
        opened: list[bool] = []
        thread = threading.Thread(target=lambda: opened.append(browse(address)), name="tray-browser", daemon=True)
        thread.start()
        thread.join(self._patience)
        return opened[0] if opened else True

    def folder(self, path: Path) -> bool:
        """Open a folder in the file manager."""
        if sys.platform == "win32":
            try:
                os.startfile(path)  # noqa: S606 - a folder of ours
            except OSError:
                return False
            return True
        return _ran([_OPEN, str(path)], self._patience)


def _ran(command: list[str], patience: float) -> bool:
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return False
    # Waited for by a thread of its own: whoever is not waited for stays a zombie.
    ended = threading.Thread(target=process.wait, name="tray-folder", daemon=True)
    ended.start()
    ended.join(patience)
    return process.returncode in {None, 0}


_OPEN: Final = "open" if sys.platform == "darwin" else "xdg-open"
