"""The user's default browser, for the event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class SystemBrowser:
    """The ``Browser`` port with the user's default browser, or the one in ``BROWSER``."""

    def __init__(self, folder: Path) -> None:
        """
        Args:
            folder: A private folder, for a file that keeps an address without a link out of the list of processes.
        """
        self._folder = folder

    async def open(self, url: str, *, link: str | None = None) -> bool:
        """Open ``url``, which contains the ``state`` of a sign-in. Return False if no browser could be started."""
        return await asyncio.to_thread(_open, url, link, self._folder)


def _open(url: str, link: str | None, folder: Path) -> bool:
    from upstash_helper.system.browser import browse_privately

    return browse_privately(url, link=link, folder=folder, name="sign-in")
