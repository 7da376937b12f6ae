"""The one place where the view is kept, and from which whoever shows it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from upstash_helper_tray.state import View

if TYPE_CHECKING:
    from upstash_helper.client.events import Event

Change = Callable[[View], View]
Shown = Callable[[View, View, "Event | None"], None]
"""Is called with the view before, the view after, and the event that made the difference, if one did."""


class Views:
    """Keeps the current view. Several threads change it; each change is told in order, one at a time."""

    def __init__(self, shown: Shown) -> None:
        """
        Args:
            shown: Is told of each change, on the thread that made it. It must return soon, and not change the view.
        """
        self._shown = shown
        self._turn = threading.Lock()
        self._view = View()

    @property
    def current(self) -> View:
        """What is known now."""
        return self._view

    def change(self, change: Change, *, event: Event | None = None) -> View:
        """Replace the view by what ``change`` makes of it, tell, and return the new one."""
        with self._turn:
            before = self._view
            after = change(before)
            self._view = after
            # An event may say what no view shows, such as why an app is let in no longer.
            if after != before or event is not None:
                self._shown(before, after, event)
            return after
