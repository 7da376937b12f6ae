"""From a command line to an icon on the panel: the settings, the lock, the log, the parts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from upstash_helper.protocol.lock import TRAY_LOCK_FILE, AlreadyHeld, InstanceLock
from upstash_helper.service import tray_process
from upstash_helper.settings.config import load_profile
from upstash_helper_tray.screen import NoTray

if TYPE_CHECKING:
    from pathlib import Path

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
    replace: bool = False
    """Whether it takes the place of a tray of this profile that is there already."""


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
        ``running`` if a tray of this profile is there already, so that no second icon appears; with ``replace``, if its
        process cannot be found.

    Raises:
        NoTray: If no icon can be shown, or it no longer can.
        SettingsError: If a setting cannot be used.
    """
    world = load_profile(profile=request.profile)
    lock = InstanceLock(world.folders.runtime, file=TRAY_LOCK_FILE)
    if not (_acquired(lock) or (request.replace and _ended(world.folders.runtime, request) and _acquired(lock))):
        return "running"
    try:
        from upstash_helper_tray.backends import open_screen
        from upstash_helper_tray.tray import Tray

        screen = open_screen(request.backend, wait=request.wait)
        Tray(screen, profile=world.profile, folders=world.folders, notifications=world.settings.notifications).run()
    finally:
        lock.release()
    return "ended"


def _acquired(lock: InstanceLock) -> bool:
    try:
        lock.acquire()
    except AlreadyHeld:
        return False
    return True


def _ended(runtime: Path, request: TrayRequest) -> bool:
    """End the tray that is there, if there can be another in its place, and return whether it has gone."""
    other = tray_process.find(runtime)
    if other is None:
        return not tray_process.is_running(runtime)
    backend_here(request.backend, wait=request.wait)  # an old icon is better than none
    tray_process.end(other, runtime)
    return not tray_process.is_running(runtime)
