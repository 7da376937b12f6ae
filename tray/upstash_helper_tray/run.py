"""From a command line to an icon on the panel: the settings, the lock, the log, the parts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

from upstash_helper.client.discovery import TRAY_LOCK_FILE, AlreadyHeld, DaemonLock
from upstash_helper.settings import load_world
from upstash_helper_tray.screen import NoTray

__all__ = ["NoTray", "TrayRequest", "backend_here", "run_tray"]

logger = logging.getLogger(__name__)

Outcome = Literal["ended", "running"]


@dataclass(frozen=True, kw_only=True)
class TrayRequest:
    """What ``upstash-helper tray`` was asked for."""

    profile: str
    backend: str = "auto"
    wait: float = 0.0
    """Seconds to wait for a panel."""


def backend_here(wanted: str = "auto", *, wait: float = 0.0) -> str:
    """
    Return the backend that would show an icon here.

    Raises:
        NoTray: If none can.
    """
    from upstash_helper_tray.backends import find_backend

    return find_backend(wanted, wait=wait)


def run_tray(request: TrayRequest) -> Outcome:
    """
    Show the icon until the user, or a signal, ends it. To be called on the main thread.

    Returns:
        ``running`` if a tray of this profile is there already, so that no second icon appears.

    Raises:
        NoTray: If no icon can be shown, or it no longer can.
        SettingsError: If a setting cannot be used.
    """
    world = load_world(profile=request.profile)
    lock = DaemonLock(world.folders.runtime, file=TRAY_LOCK_FILE)
    try:
        lock.acquire()
    except AlreadyHeld:
        return "running"
    try:
        from upstash_helper_tray.backends import open_screen
        from upstash_helper_tray.tray import Tray

        screen = open_screen(request.backend, wait=request.wait)
        Tray(screen, profile=world.profile, folders=world.folders, notifications=world.settings.notifications).run()
    finally:
        lock.release()
    return "ended"
