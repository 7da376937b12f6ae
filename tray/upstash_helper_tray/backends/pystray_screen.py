"""The ``Screen`` port over pystray, whichever of its backends it is."""

from __future__ import annotations

import html
import logging
import threading
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pystray

from upstash_helper_tray.icons import renderings
from upstash_helper_tray.menu.entries import Entry
from upstash_helper_tray.screen import NoTray
from upstash_helper_tray.state import Sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.actions import Action
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.screen import Backend

logger = logging.getLogger(__name__)

NAME: Final = "upstash-helper"

_MARKUP: Final = frozenset({"appindicator", "gtk"})
"""Backends whose notifications are passed on as they are, to servers that interpret markup."""
# NOTIFYICONDATAW: szInfoTitle has 64 and szInfo 256, with the one that ends them. ctypes refuses what is longer.
_WIN32_TITLE: Final = 63
_WIN32_BODY: Final = 255


@dataclass(frozen=True)
class _Choose:
    """What an item does. Two that do the same are equal, by which a backend knows an item again."""

    action: Action
    chosen: Callable[[Action], None]

    def __call__(self, _icon: object, _item: object) -> None:
        self.chosen(self.action)


class PystrayScreen:
    """An icon of pystray's."""

    def __init__(self, backend: Backend, *, icon_class: Any) -> None:
        """
        Args:
            backend: Its name.
            icon_class: pystray's class for it, or one like it.
        """
        self.backend: str = backend
        self.notifies = bool(icon_class.HAS_NOTIFICATION)
        self._icon_class = icon_class
        self._turn = threading.Lock()
        self._icon: Any = None
        self._over = False
        self._failure: Exception | None = None
        self._sign, self._tooltip, self._menu = Sign.ABSENT, "", tuple[Any, ...]()
        self._chosen: Callable[[Action], None] = lambda _: None
        self._opened: Action | None = None

    def run(self, *, ready: Callable[[], None], chosen: Callable[[Action], None], opened: Action) -> None:
        """Show the icon until ``close``: see ``Screen``."""
        try:
            with self._turn:
                if self._over:
                    return
                self._chosen, self._opened = chosen, opened
                self._icon = self._new_icon()
            self._icon.run(setup=partial(self._begin, ready))
        except Exception as error:
            if not self._over:
                raise _no_tray(error) from error
            # GTK's, for one, wants to take a notification away on the way out, whether or not anybody shows them.
            logger.info("tray_close_failed", extra={"error": str(error)})
        if self._failure is not None:
            raise _no_tray(self._failure) from self._failure

    def show(self, sign: Sign, tooltip: str, menu: Menu) -> None:
        """Show this from now on: see ``Screen``."""
        with self._turn:
            new_picture, new_tooltip, new_menu = sign != self._sign, tooltip != self._tooltip, menu != self._menu
            self._sign, self._tooltip, self._menu = sign, tooltip, menu
            if self._icon is None or self._over:
                return
            update = partial(self._update, picture=new_picture, tooltip=new_tooltip, menu=new_menu)
            self._on_its_thread(update, while_open=False)

    def notify(self, title: str, body: str) -> None:
        """Show a notification: see ``Screen``."""
        with self._turn:
            if self._icon is None or self._over or not self.notifies:
                return
            icon = self._icon
        if self.backend in _MARKUP:
            body = html.escape(body, quote=False)
        elif self.backend == "win32":
            title, body = _units(title, _WIN32_TITLE), _units(body, _WIN32_BODY)
        _guarded(lambda: icon.notify(body, title))

    def close(self) -> None:
        """Take the icon away: see ``Screen``."""
        with self._turn:
            if self._over:
                return
            self._over = True
            icon = self._icon
        if icon is not None:
            self._on_its_thread(icon.stop)

    def _new_icon(self) -> Any:
        title, menu = self._shown_tooltip(), self._pystray_menu()
        icon = self._icon_class(NAME, icon=self._set_picture(None), title=title, menu=menu)
        self._set_picture(icon)
        if self.backend == "xorg":
            _take_clicks(icon)
        return icon

    def _begin(self, ready: Callable[[], None], icon: Any) -> None:
        """Show the icon. pystray runs this on a thread of its own, once its loop runs."""
        try:
            icon.visible = True
            ready()
        except Exception as error:
            logger.exception("tray_begin_failed")
            self._failure = error
        # Whoever closed before had nothing to stop yet.
        if self._over or self._failure is not None:
            self._on_its_thread(icon.stop)

    def _update(self, *, picture: bool, tooltip: bool, menu: bool) -> None:
        if picture:
            self._icon.icon = self._set_picture(self._icon)
        if tooltip:
            self._icon.title = self._shown_tooltip()
        if menu:
            self._icon.menu = self._pystray_menu()

    def _set_picture(self, icon: Any) -> Any:
        """Return the picture for now; a backend that takes several sizes gets them all."""
        pictures = renderings(self._sign)
        if hasattr(icon, "renderings"):
            icon.renderings = pictures
        return pictures[-1]

    def _shown_tooltip(self) -> str:
        return self._tooltip or NAME

    def _pystray_menu(self) -> Any:
        # A click on the icon chooses the item that is the default, and need not be seen for that.
        click = pystray.MenuItem(NAME, self._action(self._opened), default=True, visible=False)
        return pystray.Menu(click, *(self._item(entry) for entry in self._menu))

    def _item(self, entry: Any) -> Any:
        if not isinstance(entry, Entry):
            return pystray.Menu.SEPARATOR
        text = entry.text.replace("&", "&&") if self.backend == "win32" else entry.text
        if entry.entries:
            return pystray.MenuItem(text, pystray.Menu(*(self._item(one) for one in entry.entries)))
        checked = entry.checked
        return pystray.MenuItem(
            text,
            self._action(entry.action),
            checked=None if checked is None else lambda _: checked,
            enabled=entry.action is not None,
        )

    def _action(self, action: Action | None) -> Callable[[object, object], None]:
        return _nothing if action is None else _Choose(action, self._chosen)

    def _on_its_thread(self, call: Callable[[], None], *, while_open: bool = True) -> None:
        """
        Call where the backend may be called: AppKit, on macOS, is for the main thread alone.

        Args:
            call: What to call.
            while_open: Whether it may be called while the menu is open.
        """
        if self.backend != "darwin":
            _guarded(call)
            return
        from PyObjCTools import AppHelper

        if while_open:
            AppHelper.callAfter(_guarded, call)
            return
        # pystray takes a click for the item at its place in the menu that is set at that time. With another menu set
        # while the user looks at this one, "Deny" could let an app in. While a menu is open this mode is not run.
        from Foundation import NSDefaultRunLoopMode, NSRunLoop

        NSRunLoop.mainRunLoop().performInModes_block_([NSDefaultRunLoopMode], partial(_guarded, call))
        AppHelper.callAfter(_nothing, None, None)  # wakes the loop, which the line before does not


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        logger.exception("tray_update_failed")


def _take_clicks(icon: Any) -> None:
    """Have X11 tell of clicks: pystray 0.19 knows what to do with one, and does not ask for any."""
    from Xlib import X

    mask = X.ExposureMask | X.StructureNotifyMask | X.ButtonPressMask
    icon._window.change_attributes(event_mask=mask)  # noqa: SLF001 - there is no other way to it


def _no_tray(error: Exception) -> NoTray:
    message = f"The icon cannot be shown any longer: {str(error) or type(error).__name__}"
    return NoTray(message, advice="Start it again: upstash-helper tray")


def _units(text: str, most: int) -> str:
    """Return text of at most ``most`` UTF-16 code units, which is how Windows counts."""
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", errors="ignore")


def _nothing(_icon: object, _item: object) -> None:
    """Do nothing: the item is only words."""
