"""
macOS: what pystray leaves to its users.

AppKit must be used on the main thread only (Apple, "Thread Safety Summary"), which runs the event loop. pystray calls
the setup function on another thread, and the state of the daemon arrives on yet another.
"""

from __future__ import annotations

import logging
import signal
from typing import TYPE_CHECKING, Final, Protocol

from upstash_helper.system.notifications import command_backend, osascript_command

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.system.notifications import Backend as NotificationBackend

logger = logging.getLogger(__name__)

_NOTIFICATION_SECONDS: Final = 5.0


class Desktop(Protocol):
    """The desktop of a system where pystray alone is not enough."""

    def prepare(self) -> None:
        """Prepare this process for showing an icon. To be called on the main thread, before there is one."""

    def started(self) -> None:
        """Undo what the icon's event loop changes in this process. To be called on the main thread, in that loop."""

    def call(self, call: Callable[[], None]) -> None:
        """Have the main thread call ``call``, also while the menu is open. May be called from any thread."""

    def call_while_closed(self, call: Callable[[], None]) -> None:
        """Have the main thread call ``call`` once the menu is not open. May be called from any thread."""

    def notify(self, title: str, body: str) -> None:
        """Show a notification. May be called from any thread, and may raise anything."""


class MacDesktop:
    """The ``Desktop`` of macOS."""

    def __init__(self, *, show: NotificationBackend | None = None) -> None:
        """
        Args:
            show: Shows notifications; by default with ``osascript``.
        """
        # Not pystray's: that one puts the texts into the script, and waits forever.
        self._show = show or command_backend(osascript_command)

    def prepare(self) -> None:
        """Keep Python's own icon out of the Dock and the app switcher, where a framework build would show it."""
        from AppKit import NSApplication, NSApplicationActivationPolicyAccessory

        NSApplication.sharedApplication().setActivationPolicy_(NSApplicationActivationPolicyAccessory)

    def started(self) -> None:
        """
        Handle Ctrl-C as before.

        pystray's event loop replaces the C handler of SIGINT (``MachSignals``) by one that ends the process at once: a
        secret would stay on the clipboard. Python still has its own handler, and installs it in C again.
        """
        handler = signal.getsignal(signal.SIGINT)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)

    def call(self, call: Callable[[], None]) -> None:
        """Have the main thread call ``call``."""
        from PyObjCTools import AppHelper

        AppHelper.callAfter(call)

    def call_while_closed(self, call: Callable[[], None]) -> None:
        """Have the main thread call ``call`` in the run loop mode that is suspended while a menu is open."""
        from Foundation import NSDefaultRunLoopMode, NSRunLoop

        NSRunLoop.mainRunLoop().performInModes_block_([NSDefaultRunLoopMode], call)
        self.call(_nothing)  # wakes the run loop, which the line before does not

    def notify(self, title: str, body: str) -> None:
        """Show a notification."""
        if not self._show(title, body, _NOTIFICATION_SECONDS):
            logger.info("tray_notification_failed")


def _nothing() -> None:
    """Do nothing."""
