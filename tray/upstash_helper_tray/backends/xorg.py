"""
pystray's X11 backend, changed to use the connection to the X server on one thread only.

pystray 0.19 sends requests from any thread while its event loop waits on the same connection. In python-xlib 0.33, a
thread that flushes while another one receives may return without waking up those that wait for it to finish sending
(``send_and_recv`` in ``Xlib/protocol/display.py``). The event loop then waits forever, and so do all that wait for it.

Import it through ``factory.icon_class`` only, which keeps pystray from choosing another backend.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import select
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image
from pystray._xorg import Icon as XorgIcon
from Xlib import X
from Xlib.error import ConnectionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Icon(XorgIcon):  # type: ignore[misc]  # pystray has no types
    """
    An icon for panels that show legacy tray icons (XEmbed). It has no menu; a click chooses the default item.

    To be created on the thread that calls ``run``. All other methods may be called from any thread, and do not wait for
    that one.
    """

    # pystray's
    _icon_data: Any
    _systray_manager: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """Take the same arguments as every pystray icon."""
        self._posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._woken, self._waking = socket.socketpair()
        for end in (self._woken, self._waking):
            end.setblocking(False)
        self._stopping = False
        super().__init__(*arguments, **options)
        self._display.set_error_handler(_log_error)
        # pystray handles clicks but does not subscribe to them.
        mask = X.ExposureMask | X.StructureNotifyMask | X.ButtonPressMask
        self._window.change_attributes(event_mask=mask)
        # A panel that starts sends a message to the root window's clients with this mask.
        # https://specifications.freedesktop.org/systemtray-spec/latest/
        self._display.screen().root.change_attributes(event_mask=X.StructureNotifyMask)
        self._manager = self._display.intern_atom("MANAGER")
        self._message_handlers[X.ClientMessage] = self._on_client_message

    def __del__(self) -> None:
        """Do nothing: ``run`` has closed the connection, and no other thread may."""

    def post(self, call: Callable[[], None]) -> None:
        """Run ``call`` on the loop's thread, once the loop runs. Never waits."""
        self._posted.put(call)
        # If the buffer is full, the loop is about to wake up. If it is closed, the loop has ended.
        with contextlib.suppress(OSError):
            self._waking.send(b"\0")

    # --- called by pystray, on any thread -----------------------------------------------------------------------------

    def _rewrite_implementation(self, *_methods: Any) -> None:
        """Keep the methods as they are. pystray's own version makes them wait for the loop."""

    def _show(self) -> None:
        self.post(super()._show)

    def _hide(self) -> None:
        self.post(super()._hide)

    def _update_icon(self) -> None:
        self.post(super()._update_icon)

    def _update_title(self) -> None:
        self.post(super()._update_title)

    def _stop(self) -> None:
        def stop() -> None:
            self._stopping = True

        self.post(stop)

    # --- on the loop's thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._thread = threading.current_thread()
        try:
            self._mark_ready()
            while not self._stopping:
                self._run_posted()
                self._handle_events()
                self._wait()
        finally:
            # The server destroys the window with the connection.
            with contextlib.suppress(ConnectionClosedError):
                self._display.close()
            self._woken.close()
            self._waking.close()

    def _run_posted(self) -> None:
        while not self._stopping:
            try:
                call = self._posted.get_nowait()
            except queue.Empty:
                return
            _guarded(call)

    def _handle_events(self) -> None:
        # This sends what the handlers have requested, too.
        while not self._stopping and self._display.pending_events():
            event = self._display.next_event()
            if event.type == X.DestroyNotify and event.window.id == self._window.id:
                message = "The panel has exited, which destroyed the icon's window."
                raise RuntimeError(message)
            handler = self._message_handlers.get(event.type)
            if handler is not None:
                _guarded(partial(handler, event))

    def _wait(self) -> None:
        if self._stopping:
            return
        # What the socket had no room for, `pending_events` sends on the next round.
        unsent = [self._display.fileno()] if self._display.display.data_send else []
        select.select([self._display.fileno(), self._woken], unsent, [])
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)

    def _assert_docked(self) -> None:
        # pystray asks before each drawing. trayer 1.1 may put a window that asks twice back on the root window.
        if self._systray_manager is None:
            super()._assert_docked()

    def _assert_icon_data(self, width: int, height: int) -> None:
        # pystray ignores the transparency, and draws the invisible colors of the edges.
        if self._icon_data is None or self._icon_data.size != (width, height):
            image = self._icon.convert("RGBA").resize((width, height), Image.Resampling.LANCZOS)
            data: Any = Image.new("RGB", image.size)
            data.paste(image, mask=image)
            data.tostring = data.tobytes  # python-xlib's name for it
            self._icon_data = data

    def _on_client_message(self, event: Any) -> None:
        _format, (_time, selection, owner, *_) = event.data
        if event.client_type != self._manager or selection != self._net_system_tray_sx or not self.visible:
            return
        if self._systray_manager is None or self._systray_manager.id != owner:
            self._systray_manager = None
            super()._show()

    def _on_destroy_notify(self, event: Any) -> None:
        if self._systray_manager is not None:  # which pystray takes for granted
            super()._on_destroy_notify(event)


def _guarded(call: Callable[[], None]) -> None:
    """Call ``call``. Only a lost connection ends the loop."""
    try:
        call()
    except ConnectionClosedError:
        raise
    except Exception:
        logger.exception("tray_update_failed")


def _log_error(error: object, _request: object) -> None:
    """Log an error of the X server, which Xlib would print. One is normal if the panel has just exited."""
    logger.info("tray_x11_error", extra={"error": str(error)})
