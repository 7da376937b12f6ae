"""pystray's icon on Windows, whose menu must not be replaced while it is open."""

from __future__ import annotations

import threading
from typing import Any


def keep_open_menu(icon_class: Any) -> Any:
    """
    Return a subclass of pystray's icon for Windows that replaces its menu only while that is closed.

    pystray 0.19 destroys the old menu at once. If that one is open, ``TrackPopupMenuEx``, which handles the messages of
    the icon's thread until a choice is made, never returns, and the icon no longer reacts.
    """

    class Icon(icon_class):  # type: ignore[misc] # the class is known only on Windows
        """An icon whose new menu waits until the open one is closed."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self._menu_lock = threading.Lock()
            self._handling = 0
            self._is_outdated = False
            super().__init__(*arguments, **options)

        def _on_notify(self, wparam: Any, lparam: Any) -> None:
            """Handle a click on the icon. Returns when the menu has been closed, and the choice was passed on."""
            with self._menu_lock:
                # A second click, while the menu is open, is handled within the first one.
                self._handling += 1
            try:
                super()._on_notify(wparam, lparam)
            finally:
                with self._menu_lock:
                    self._handling -= 1
                    if self._is_outdated and not self._handling:
                        self._is_outdated = False
                        super()._update_menu()

        def _update_menu(self) -> None:
            """Replace the menu, from any thread."""
            with self._menu_lock:
                if self._handling:
                    self._is_outdated = True
                else:
                    super()._update_menu()

    return Icon
