"""Notifications over the session bus: https://specifications.freedesktop.org/notification-spec/latest/."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from dbus_fast import Variant

from upstash_helper.system.notifications import body_for
from upstash_helper_tray.backends.bus import CALL_ERRORS, CallError, Target, call, owner_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        self._capabilities: Sequence[str] | None = None

    async def show(self, bus: MessageBus, title: str, body: str) -> None:
        """Show a notification that does not take the focus. ``body`` is plain text. Never raises."""
        hints = {"urgency": Variant("y", _NORMAL_URGENCY), "desktop-entry": Variant("s", self._app)}
        # The action "default" is a click on the notification itself.
        try:
            text = body_for(await self._ask_capabilities(bus), body)
            arguments = [self._app, 0, "", title, text, ["default", "Open"], hints, _DEFAULT_EXPIRATION]
            reply = await call(bus, _TARGET, "Notify", "susssasa{sv}i", arguments)
        except CALL_ERRORS as error:
            logger.info("tray_notification_failed", extra={"error": str(error)})
        else:
            self._shown.extend(reply[:1])

    async def _ask_capabilities(self, bus: MessageBus) -> Sequence[str] | None:
        """Return what the server supports, which is asked once; None if it does not say. Raises ``CALL_ERRORS``."""
        if self._capabilities is None:
            try:
                [self._capabilities] = await call(bus, _TARGET, "GetCapabilities")
            except CallError as error:
                logger.info("tray_notification_capabilities_unknown", extra={"error": str(error)})
        return self._capabilities

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
        """
        Forget all about the server, because another one may run now. It starts counting from one, so the ids would
        match other programs' ids.
        """
        self._shown.clear()
        self._capabilities = None
