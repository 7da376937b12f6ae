"""
Whether there is a panel that shows icons of the old kind, which are X11 windows, and waiting for one.

https://specifications.freedesktop.org/systemtray-spec/latest/
"""

from __future__ import annotations

import select
import threading
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LOOK_SECONDS: Final = 3.0


def tray_is_there(*, wait: float = 0.0) -> bool:
    """
    Return whether a panel owns the selection of the system tray. Never raises.

    Args:
        wait: Seconds to wait for one. It is told when one comes, and looks no oftener than that.
    """
    return _within(_LOOK_SECONDS + wait, lambda: _tray_is_there(time.monotonic() + wait))


def _tray_is_there(deadline: float) -> bool:
    from Xlib import X
    from Xlib.display import Display

    display = Display()
    try:
        # A tray that comes sends a client message to the root window, with this mask.
        display.screen().root.change_attributes(event_mask=X.StructureNotifyMask)
        tray = display.intern_atom(f"_NET_SYSTEM_TRAY_S{display.get_default_screen()}")
        while not _has_owner(display, tray):
            if not _something_happens(display, deadline):
                return False
        return True
    finally:
        display.close()


def _has_owner(display: Any, selection: int) -> bool:
    from Xlib import X

    return bool(display.get_selection_owner(selection) != X.NONE)


def _something_happens(display: Any, deadline: float) -> bool:
    """Wait for events, take them all, and return whether there were any before it is too late."""
    # Those that came with the last answer are in the library already, and no longer on the line.
    if not display.pending_events():
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([display.fileno()], [], [], left)[0]:
            return False
    for _ in range(display.pending_events()):
        display.next_event()
    return True


def _within(seconds: float, call: Callable[[], bool]) -> bool:
    """Return what ``call`` returns, or False if it fails, or a server that hangs does not answer."""
    found: list[bool] = []

    def run() -> None:
        try:
            found.append(call())
        except Exception:  # noqa: BLE001 - Xlib raises what it likes; it is not here then
            found.append(False)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(found and found[0])
