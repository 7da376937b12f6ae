"""Notifications over the session bus: https://specifications.freedesktop.org/notification-spec/latest/."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper_tray.backends.bus import FAILURES, Target, call, owner_of
from upstash_helper_tray.backends.interfaces import escaped

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

logger = logging.getLogger(__name__)

SERVER: Final = "org.freedesktop.Notifications"
_TARGET: Final = Target(SERVER, "/org/freedesktop/Notifications", SERVER)
_NORMAL_URGENCY: Final = 1
_AS_LONG_AS_USUAL: Final = -1
_OURS: Final = 64
"""Notifications of which a click is still known."""

RULES: Final = (
    f"type='signal',sender='{SERVER}',path='{_TARGET.path}',interface='{SERVER}',member='ActionInvoked'",
    owner_of(SERVER),
)
"""The match rules of what ``Notifications`` is to be told."""


class Notifications:
    """What was shown, and can be clicked. None replaces another: each tells of something else."""

    def __init__(self, app: str) -> None:
        """
        Args:
            app: The name of the program.
        """
        self._app = app
        self._shown: deque[int] = deque(maxlen=_OURS)

    async def show(self, bus: MessageBus, title: str, body: str) -> None:
        """Show one, which takes no focus. ``body`` is plain text. Never raises."""
        hints = {"urgency": Variant("y", _NORMAL_URGENCY), "desktop-entry": Variant("s", self._app)}
        # The one action is the click on the notification itself. It takes no focus: the user does.
        arguments = [self._app, 0, "", title, escaped(body), ["default", "Open"], hints, _AS_LONG_AS_USUAL]
        try:
            reply = await call(bus, _TARGET, "Notify", "susssasa{sv}i", arguments)
        except FAILURES as error:
            logger.info("tray_notification_failed", extra={"error": str(error)})
        else:
            self._shown.extend(reply[:1])

    async def close_last(self, bus: MessageBus) -> None:
        """Take away the one shown last. Never raises."""
        if self._shown:
            try:
                await call(bus, _TARGET, "CloseNotification", "u", [self._shown.pop()])
            except FAILURES as error:  # it may be gone already
                logger.debug("tray_notification_not_closed", extra={"error": str(error)})

    def is_ours(self, number: int) -> bool:
        """Return whether a notification is one of these."""
        return number in self._shown

    def forget(self) -> None:
        """Know none any more: another server counts anew, and its numbers are other programs' notifications."""
        self._shown.clear()
