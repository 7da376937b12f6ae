"""The icon of Windows, with the part of pystray that this system cannot load replaced."""

from __future__ import annotations

import threading
from typing import Any

from upstash_helper_tray.backends.win32 import keep_open_menu


class ModalIcon:
    """Shows its menu like pystray's icon: ``_on_notify`` returns when the user has chosen something."""

    def __init__(self) -> None:
        self.menu = "first"
        self.shown = "first"
        self.destroyed: list[str] = []
        self.opened, self.chosen = threading.Event(), threading.Event()
        self.choices: list[str] = []

    def click(self, button: str) -> None:
        """Handle a click, as the icon's thread does."""
        self._on_notify(0, button)

    def update_menu(self) -> None:
        """Replace the menu, as an assignment to it does."""
        self._update_menu()

    def _on_notify(self, wparam: Any, lparam: Any) -> None:
        if lparam == "second click":
            return
        shown = self.shown
        self.opened.set()
        assert self.chosen.wait(30)
        assert shown not in self.destroyed, "the menu was destroyed while it was open"
        self.choices.append(shown)
        self._update_menu()  # pystray does so after each choice

    def _update_menu(self) -> None:
        self.destroyed.append(self.shown)
        self.shown = self.menu


def opened_icon() -> tuple[Any, threading.Thread]:
    """Return an icon whose menu is open, and the thread that handles its messages."""
    icon = keep_open_menu(ModalIcon)()
    thread = threading.Thread(target=icon.click, args=("right click",), daemon=True)
    thread.start()
    assert icon.opened.wait(30)
    return icon, thread


def test_new_menu_waits_until_the_open_one_is_closed() -> None:
    """The choice is one of the menu that the user sees, and the last of the new menus is the next one."""
    icon, thread = opened_icon()
    for menu in ("second", "third"):
        icon.menu = menu
        icon.update_menu()
    while_open = icon.shown, list(icon.destroyed)
    icon.chosen.set()
    thread.join(30)

    assert ("first", []) == while_open
    assert ["first"] == icon.choices
    assert ("third", ["first"]) == (icon.shown, icon.destroyed)


def test_second_click_does_not_release_the_menu() -> None:
    """It is handled while the menu is open, by the same thread."""
    icon, thread = opened_icon()
    icon.click("second click")
    icon.menu = "second"
    icon.update_menu()
    while_open = icon.shown
    icon.chosen.set()
    thread.join(30)

    assert ("first", "second") == (while_open, icon.shown)


def test_menu_is_replaced_at_once_while_it_is_closed() -> None:
    """From any thread."""
    icon = keep_open_menu(ModalIcon)()
    icon.menu = "second"

    thread = threading.Thread(target=icon.update_menu)
    thread.start()
    thread.join(30)

    assert "second" == icon.shown
