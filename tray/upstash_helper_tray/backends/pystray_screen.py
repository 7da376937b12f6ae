"""The ``Screen`` port implemented with pystray, for all of its backends."""

from __future__ import annotations

import html
import logging
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pystray

from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.backends.screen import Backend
    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.menu.entries import Menu

logger = logging.getLogger(__name__)

NAME: Final = "upstash-helper"

_MARKUP: Final = frozenset({"appindicator", "gtk"})
"""Backends that pass the body of a notification unchanged to servers that interpret markup."""
# NOTIFYICONDATAW: szInfoTitle holds 64 and szInfo 256 code units, including the terminator. ctypes rejects longer ones.
_WIN32_TITLE: Final = 63
_WIN32_BODY: Final = 255


@dataclass(frozen=True)
class _Choose:
    """The callback of an item. Callbacks for the same action are equal, by which ``Layout`` recognizes an item."""

    action: Action
    chosen: Callable[[Action], None]

    def __call__(self, _icon: object, _item: object) -> None:
        self.chosen(self.action)


class PystrayScreen:
    """A pystray icon."""

    def __init__(self, backend: Backend, *, icon_class: Any) -> None:
        """
        Args:
            backend: The name of the backend.
            icon_class: pystray's icon class for it, or one with the same interface.
        """
        self.backend: str = backend
        self.notifies = bool(icon_class.HAS_NOTIFICATION)
        self._icon_class = icon_class
        self._lock = threading.Lock()
        self._icon: Any = None
        self._closed = False
        self._failure: Exception | None = None
        self._status, self._tooltip, self._menu = IconStatus.ABSENT, "", tuple[Any, ...]()
        self._chosen: Callable[[Action], None] = lambda _: None
        self._clicked: Action | None = None

    def run(
        self,
        *,
        ready: Callable[[], None],
        chosen: Callable[[Action], None],
        clicked: Action,
        opened: Callable[[], None],
    ) -> None:
        """Show the icon until ``close``; see ``Screen``."""
        try:
            with self._lock:
                if self._closed:
                    return
                self._chosen, self._clicked = chosen, clicked
                self._icon = self._new_icon()
                if hasattr(self._icon, "opened"):
                    self._icon.opened = opened
            self._icon.run(setup=partial(self._start, ready))
        except Exception as error:
            if not self._closed:
                raise _unavailable(error) from error
            # GTK's backend, for one, closes its notification on the way out, which fails without a server for them.
            logger.info("tray_close_failed", extra={"error": str(error)})
        if self._failure is not None:
            raise _unavailable(self._failure) from self._failure

    def show(self, status: IconStatus, tooltip: str, menu: Menu) -> None:
        """Update what is shown; see ``Screen``."""
        with self._lock:
            new_image, new_tooltip, new_menu = status != self._status, tooltip != self._tooltip, menu != self._menu
            self._status, self._tooltip, self._menu = status, tooltip, menu
            if self._icon is None or self._closed:
                return
            update = partial(self._update, image=new_image, tooltip=new_tooltip, menu=new_menu)
            self._run_on_ui_thread(update, while_open=False)

    def notify(self, title: str, body: str) -> None:
        """Show a notification; see ``Screen``."""
        with self._lock:
            if self._icon is None or self._closed or not self.notifies:
                return
            icon = self._icon
        if self.backend in _MARKUP:
            body = html.escape(body, quote=False)
        elif self.backend == "win32":
            title, body = _truncated(title, _WIN32_TITLE), _truncated(body, _WIN32_BODY)
        _guarded(lambda: icon.notify(body, title))

    def close(self) -> None:
        """Remove the icon; see ``Screen``."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            icon = self._icon
        if icon is not None:
            self._run_on_ui_thread(icon.stop)

    def _new_icon(self) -> Any:
        title, menu = self._tooltip_or_name(), self._pystray_menu()
        icon = self._icon_class(NAME, icon=self._set_image(None), title=title, menu=menu)
        self._set_image(icon)
        if self.backend == "xorg":
            _enable_clicks(icon)
        return icon

    def _start(self, ready: Callable[[], None], icon: Any) -> None:
        """Show the icon. pystray calls this on a separate thread once its event loop runs."""
        try:
            icon.visible = True
            ready()
        except Exception as error:
            logger.exception("tray_start_failed")
            self._failure = error
        # A ``close`` before this point had no icon to stop.
        if self._closed or self._failure is not None:
            self._run_on_ui_thread(icon.stop)

    def _update(self, *, image: bool, tooltip: bool, menu: bool) -> None:
        if image:
            self._icon.icon = self._set_image(self._icon)
        if tooltip:
            self._icon.title = self._tooltip_or_name()
        if menu:
            self._icon.menu = self._pystray_menu()

    def _set_image(self, icon: Any) -> Any:
        """Return the current image. A backend that supports several sizes gets all of them."""
        images = renderings(self._status)
        if hasattr(icon, "renderings"):
            icon.renderings = images
        return images[-1]

    def _tooltip_or_name(self) -> str:
        return self._tooltip or NAME

    def _pystray_menu(self) -> Any:
        # A click on the icon chooses the default item, which may be invisible.
        click = pystray.MenuItem(NAME, self._callback(self._clicked), default=True, visible=False)
        return pystray.Menu(click, *(self._item(entry) for entry in self._menu))

    def _item(self, entry: Any) -> Any:
        if not isinstance(entry, Entry):
            return pystray.Menu.SEPARATOR
        text = entry.text.replace("&", "&&") if self.backend == "win32" else entry.text
        if entry.entries:
            return pystray.MenuItem(text, pystray.Menu(*(self._item(child) for child in entry.entries)))
        checked = entry.checked
        return pystray.MenuItem(
            text,
            self._callback(entry.action),
            checked=None if checked is None else lambda _: checked,
            enabled=entry.action is not None,
        )

    def _callback(self, action: Action | None) -> Callable[[object, object], None]:
        return _nothing if action is None else _Choose(action, self._chosen)

    def _run_on_ui_thread(self, call: Callable[[], None], *, while_open: bool = True) -> None:
        """
        Call ``call`` on the thread that the backend requires: AppKit, on macOS, must be used on the main thread only.

        Args:
            call: The function to call.
            while_open: Whether it may be called while the menu is open.
        """
        if self.backend != "darwin":
            _guarded(call)
            return
        from PyObjCTools import AppHelper

        if while_open:
            AppHelper.callAfter(_guarded, call)
            return
        # pystray looks a click up by its position in the menu that is set at that time. If the menu were replaced
        # while the user looks at it, "Deny" could approve an app. This run loop mode is suspended while one is open.
        from Foundation import NSDefaultRunLoopMode, NSRunLoop

        NSRunLoop.mainRunLoop().performInModes_block_([NSDefaultRunLoopMode], partial(_guarded, call))
        AppHelper.callAfter(_nothing, None, None)  # wakes the run loop, which the line before does not


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        logger.exception("tray_update_failed")


def _enable_clicks(icon: Any) -> None:
    """Subscribe to X11 button events: pystray 0.19 handles them but does not subscribe."""
    from Xlib import X

    mask = X.ExposureMask | X.StructureNotifyMask | X.ButtonPressMask
    icon._window.change_attributes(event_mask=mask)  # noqa: SLF001 - pystray does not expose it otherwise


def _unavailable(error: Exception) -> TrayUnavailable:
    message = f"The icon can no longer be shown: {str(error) or type(error).__name__}"
    return TrayUnavailable(message, advice="Start it again with: upstash-helper tray")


def _truncated(text: str, limit: int) -> str:
    """Return at most ``limit`` UTF-16 code units of ``text``, which is how Windows counts."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", errors="ignore")


def _nothing(_icon: object, _item: object) -> None:
    """Do nothing: the entry is a label."""
