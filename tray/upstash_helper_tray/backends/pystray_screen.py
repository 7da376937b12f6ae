"""The ``Screen`` port implemented with pystray, for all of its backends."""

from __future__ import annotations

import logging
import sys
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pystray

from upstash_helper.system.notifications import body_for, capabilities
from upstash_helper_tray.backends.screen import TrayUnavailable
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.presentation.icons import renderings
from upstash_helper_tray.sync.state import IconStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.backends.macos import Desktop
    from upstash_helper_tray.backends.screen import Backend
    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.menu.entries import Menu

logger = logging.getLogger(__name__)

NAME: Final = "upstash-helper"

_MARKUP: Final = frozenset({"appindicator", "gtk"})
"""Backends that pass the body of a notification unchanged to a server that may interpret markup."""
_CAPABILITIES_SECONDS: Final = 1.0
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

    def __init__(self, backend: Backend, *, icon_class: Any, desktop: Desktop | None = None) -> None:
        """
        Args:
            backend: The name of the backend.
            icon_class: pystray's icon class for it, or one with the same interface.
            desktop: For a backend that pystray alone does not support well enough (macOS).
        """
        self.backend: str = backend
        self.notifies = bool(icon_class.HAS_NOTIFICATION)
        self._icon_class = icon_class
        self._desktop = desktop
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
                if self._desktop is not None:
                    self._desktop.prepare()
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
            body = body_for(capabilities(seconds=_CAPABILITIES_SECONDS), body)
        elif self.backend == "win32":
            title, body = _truncated(title, _WIN32_TITLE), _truncated(body, _WIN32_BODY)
        desktop = self._desktop
        _guarded(lambda: icon.notify(body, title) if desktop is None else desktop.notify(title, body))

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
        return icon

    def _start(self, ready: Callable[[], None], icon: Any) -> None:
        """Start to show the icon. pystray calls this on a separate thread once its event loop runs."""
        self._run_on_ui_thread(partial(self._appear, ready, icon))

    def _appear(self, ready: Callable[[], None], icon: Any) -> None:
        try:
            if self._desktop is not None:
                self._desktop.started()
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
            while_open: Whether it may be called while the menu is open. pystray's backend for macOS looks a click up by
                its position in the menu that is set at that time. If the menu were replaced while the user looks at it,
                "Deny" could approve an app.
        """
        if self._desktop is None:
            _guarded(call)
        elif while_open:
            self._desktop.call(partial(_guarded, call))
        else:
            self._desktop.call_while_closed(partial(_guarded, call))


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        logger.exception("tray_update_failed")


def _unavailable(error: Exception) -> TrayUnavailable:
    bus = sys.modules.get("upstash_helper_tray.backends.bus")  # not loaded with the other backends
    if bus is not None and isinstance(error, bus.BusLost):
        why = str(error)
    else:  # the text of a library may be anything
        logger.error("tray_icon_failed", exc_info=error)
        why = "The tray's log has the reason. The desktop session may have ended."
    return TrayUnavailable(f"The icon can no longer be shown. {why}", advice="Start it again with: upstash-helper tray")


def _truncated(text: str, limit: int) -> str:
    """Return at most ``limit`` UTF-16 code units of ``text``, which is how Windows counts."""
    return text.encode("utf-16-le")[: 2 * limit].decode("utf-16-le", errors="ignore")


def _nothing(_icon: object, _item: object) -> None:
    """Do nothing: the entry is a label."""
