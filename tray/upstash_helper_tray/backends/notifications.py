"""Notifications over the session bus: https://specifications.freedesktop.org/notification-spec/latest/."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper_tray.backends.bus import CALL_ERRORS, Target, call, owner_changes
from upstash_helper_tray.backends.interfaces import escape_markup

if TYPE_CHECKING:
    from dbus_fast.aio import MessageBus

logger = logging.getLogger(__name__)

SERVER: Final = "org.freedesktop.Notifications"
_TARGET: Final = Target(SERVER, "/org/freedesktop/Notifications", SERVER)
_NORMAL_URGENCY: Final = 1
_DEFAULT_EXPIRATION: Final = -1
_MAX_REMEMBERED: Final = 64
"""Notifications on which a click is still recognized."""

RULES: Final = (
    f"type='signal',sender='{SERVER}',path='{_TARGET.path}',interface='{SERVER}',member='ActionInvoked'",
    owner_changes(SERVER),
)
"""The match rules of the signals that ``Notifications`` needs."""


class Notifications:
    """Shows notifications and remembers their ids. None replaces another, since each has its own content."""

    def __init__(self, app: str) -> None:
        """
        Args:
            app: The name of the program.
        """
        self._app = app
        self._shown: deque[int] = deque(maxlen=_MAX_REMEMBERED)

    async def show(self, bus: MessageBus, title: str, body: str) -> None:
        """Show a notification that does not take the focus. ``body`` is plain text. Never raises."""
        hints = {"urgency": Variant("y", _NORMAL_URGENCY), "desktop-entry": Variant("s", self._app)}
        # The action "default" is a click on the notification itself.
        arguments = [self._app, 0, "", title, escape_markup(body), ["default", "Open"], hints, _DEFAULT_EXPIRATION]
        try:
            reply = await call(bus, _TARGET, "Notify", "susssasa{sv}i", arguments)
        except CALL_ERRORS as error:
            logger.info("tray_notification_failed", extra={"error": str(error)})
        else:
            self._shown.extend(reply[:1])

    async def close_last(self, bus: MessageBus) -> None:
        """Close the notification that was shown last. Never raises."""
        if self._shown:
            try:
                await call(bus, _TARGET, "CloseNotification", "u", [self._shown.pop()])
            except CALL_ERRORS as error:  # it may be closed already
                logger.debug("tray_notification_not_closed", extra={"error": str(error)})

    def is_known(self, notification_id: int) -> bool:
        """Return whether the id belongs to one of these notifications."""
        return notification_id in self._shown

    def forget(self) -> None:
        """Forget all ids. A restarted server starts counting from one, so they would match other programs' ids."""
        self._shown.clear()
