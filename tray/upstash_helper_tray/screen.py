"""The port between what the tray has to show and how an icon gets on a panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper_tray.actions import Action
    from upstash_helper_tray.menu.entries import Menu
    from upstash_helper_tray.state import Sign


Backend = Literal["statusnotifier", "appindicator", "gtk", "xorg", "win32", "darwin"]


class NoTray(Exception):
    """
    No icon can be shown here.

    ``str()`` is one sentence for the user; ``advice`` says what to do about it on this desktop.
    """

    def __init__(self, message: str, *, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class Screen(Protocol):
    """An icon with its menu. Every method but ``run`` may be called from any thread."""

    backend: str
    """How it gets on the panel, such as ``statusnotifier``."""
    notifies: bool
    """Whether ``notify`` shows anything here."""

    def run(self, *, ready: Callable[[], None], chosen: Callable[[Action], None], opened: Action) -> None:
        """
        Show the icon until ``close``. To be called on the main thread, once.

        Args:
            ready: Is called, on any thread, once the icon can be shown.
            chosen: Is called with what the user chose, on any thread. It must return at once.
            opened: What is chosen by a click on the icon itself.

        Raises:
            NoTray: If no icon can be shown, or it no longer can.
        """

    def show(self, sign: Sign, tooltip: str, menu: Menu) -> None:
        """Show this from now on. Nothing is sent to the desktop if nothing of it changed."""

    def notify(self, title: str, body: str) -> None:
        """Show a notification without taking the focus. Never raises. Plain text: no part of it is markup."""

    def close(self) -> None:
        """Take the icon away and have ``run`` return."""
