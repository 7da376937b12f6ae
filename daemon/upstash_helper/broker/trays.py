"""
The attached trays: processes of the user that show the daemon's state on a panel.

The daemon does not need a tray. It tracks them to report whether one is attached, and to avoid showing a notification
that a tray shows already.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.broker.ports import Notifier


class Tray(msgspec.Struct, frozen=True, kw_only=True):
    """A tray, as it describes itself."""

    backend: str
    """How it is shown on the panel, such as ``statusnotifier``."""
    notifies: bool
    """Whether it notifies the user when an app requests access."""
    since: float
    """Unix time at which it attached."""


class Trays:
    """The trays that are attached now. A tray is attached while its event stream is open, so a killed tray is gone."""

    def __init__(self) -> None:
        self._attached: dict[object, Tray] = {}

    @property
    def first(self) -> Tray | None:
        """The tray that has been attached the longest."""
        return next(iter(self._attached.values()), None)

    @property
    def notify(self) -> bool:
        """Whether an attached tray notifies the user when an app requests access."""
        return any(tray.notifies for tray in self._attached.values())

    @contextlib.contextmanager
    def attached(self, tray: Tray) -> Iterator[None]:
        """Count ``tray`` as attached for the duration of the block."""
        key = object()
        self._attached[key] = tray
        try:
            yield
        finally:
            del self._attached[key]


class TrayAwareNotifier:
    """The ``Notifier`` port, used only while no attached tray shows the same notifications."""

    def __init__(self, notifier: Notifier, trays: Trays) -> None:
        self._notifier = notifier
        self._trays = trays

    async def show(self, *, title: str, body: str) -> bool:
        """Show a notification, or leave it to the tray."""
        return self._trays.notify or await self._notifier.show(title=title, body=body)
