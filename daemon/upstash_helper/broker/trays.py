"""
The trays that are attached: processes of the user's that show the daemon's state on a panel.

The daemon needs none. It knows of them for two reasons: to tell the user whether one is there, and not to show the same
notification that a tray shows.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.broker.ports import Notifier


class Tray(msgspec.Struct, frozen=True, kw_only=True):
    """A tray, as it introduced itself."""

    backend: str
    """How it gets on the panel, such as ``statusnotifier``."""
    notifies: bool
    """Whether it tells the user by itself that an app waits."""
    since: float
    """Seconds since the epoch."""


class Trays:
    """Who is attached now. A tray is attached for as long as it follows the events, so one that was killed is gone."""

    def __init__(self) -> None:
        self._attached: dict[object, Tray] = {}

    @property
    def first(self) -> Tray | None:
        """The one that has been there for longest."""
        return next(iter(self._attached.values()), None)

    @property
    def notify(self) -> bool:
        """Whether one of them tells the user that an app waits."""
        return any(tray.notifies for tray in self._attached.values())

    @contextlib.contextmanager
    def attached(self, tray: Tray) -> Iterator[None]:
        """Count ``tray`` for the duration of the block."""
        key = object()
        self._attached[key] = tray
        try:
            yield
        finally:
            del self._attached[key]


class TrayAwareNotifier:
    """The ``Notifier`` port, for when no attached tray shows the same."""

    def __init__(self, notifier: Notifier, trays: Trays) -> None:
        self._notifier = notifier
        self._trays = trays

    async def show(self, *, title: str, body: str) -> bool:
        """Show a notification, or leave it to the tray."""
        return self._trays.notify or await self._notifier.show(title=title, body=body)
