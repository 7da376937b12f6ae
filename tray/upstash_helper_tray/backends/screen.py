"""The port between what the tray shows and how an icon gets onto a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.menu.actions import Action
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.sync.state import IconStatus


Backend = Literal["statusnotifier", "appindicator", "gtk", "xorg", "win32", "darwin"]


class TrayUnavailable(Exception):
    """
    No icon can be shown here.

    ``str()`` is a sentence for the user; ``advice`` says what to do about it on this desktop.
    """

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Screen(Protocol):
    """An icon with a menu. All methods except ``run`` may be called from any thread."""

    backend: str
    """The backend that shows the icon, such as ``statusnotifier``."""
    notifies: bool
    """Whether ``notify`` has an effect here."""

    def run(
        self,
        *,
        ready: Callable[[], None],
        chosen: Callable[[Action], None],
        clicked: Action,
        opened: Callable[[], None],
    ) -> None:
        """
        Show the icon until ``close``. To be called once, on the main thread.

        Args:
            ready: Called on any thread once the icon can be shown.
            chosen: Called on any thread with the action that the user chose. It must return immediately.
            clicked: The action for a click on the icon itself.
            opened: Called on any thread when the menu or a submenu is shown, if the desktop reports that.

        Raises:
            TrayUnavailable: If no icon can be shown, or no longer.
        """

    def show(self, status: IconStatus, tooltip: str, menu: Menu) -> None:
        """Update what is shown. Only differences are sent to the desktop."""

    def notify(self, title: str, body: str) -> None:
        """Show a notification that does not take the focus. Never raises. Both are plain text, not markup."""

    def close(self) -> None:
        """Remove the icon, and make ``run`` return."""
