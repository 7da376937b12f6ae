"""
Detecting a panel that shows legacy tray icons, which are X11 windows (XEmbed), and waiting for one.

https://specifications.freedesktop.org/systemtray-spec/latest/
"""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_CHECK_TIMEOUT: Final = 3.0


def xembed_tray_present(*, wait: float = 0.0) -> bool:
    """
    Return whether a panel owns the selection of the system tray. Never raises.

    Args:
        wait: Seconds to wait for one. X11 sends an event when one starts, so nothing is polled.
    """
    return _within(_CHECK_TIMEOUT + wait, lambda: _wait_for_owner(time.monotonic() + wait))


def _wait_for_owner(deadline: float) -> bool:
    from Xlib import X
    from Xlib.display import Display

    display = Display()
    try:
        # A tray that starts sends a client message to the root window with this mask.
        display.screen().root.change_attributes(event_mask=X.StructureNotifyMask)
        tray = display.intern_atom(f"_NET_SYSTEM_TRAY_S{display.get_default_screen()}")
        while not _has_owner(display, tray):
            if not _wait_for_events(display, deadline):
                return False
        return True
    finally:
        display.close()


def _has_owner(display: Any, selection: int) -> bool:
    from Xlib import X

    return bool(display.get_selection_owner(selection) != X.NONE)


def _wait_for_events(display: Any, deadline: float) -> bool:
    """Wait for events and consume all of them. Return False if none arrived before the deadline."""
    # Events that arrived with the last reply are already in Xlib's queue, so the socket is not readable for them.
    if not display.pending_events():
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([display.fileno()], [], [], left)[0]:
            return False
    for _ in range(display.pending_events()):
        display.next_event()
    return True


def _within(seconds: float, call: Callable[[], bool]) -> bool:
    """Return the result of ``call``, or False if it fails or takes longer, as with an X server that hangs."""
    results: list[bool] = []

    def run() -> None:
        try:
            results.append(call())
        except Exception:  # noqa: BLE001 - Xlib raises many types; any of them means that there is no tray
            results.append(False)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(results and results[0])
