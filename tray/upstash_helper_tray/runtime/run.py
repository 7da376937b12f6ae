"""The entry point for ``upstash-helper tray``: the profile, the instance lock, the screen, and the tray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from upstash_helper.protocol.lock import TRAY_LOCK_FILE, AlreadyHeld, InstanceLock
from upstash_helper.service import tray_process
from upstash_helper.settings.config import load_profile
from upstash_helper.system import core_dumps
from upstash_helper_tray.backends.screen import TrayUnavailable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TrayOptions", "TrayUnavailable", "available_backend", "run_tray"]

Outcome = Literal["ended", "running"]


@dataclass(frozen=True, kw_only=True)
class TrayOptions:
    """The options of ``upstash-helper tray``."""

    profile: str
    backend: str = "auto"
    wait: float = 0.0
    """Seconds to wait for a panel."""
    replace: bool = False
    """Whether to end a running tray of this profile and take its place."""


def available_backend(requested: str = "auto", *, wait: float = 0.0) -> str:
    """
    Return the backend that would show an icon here.

    Args:
        requested: ``auto``, or the name of a backend.
        wait: Seconds to wait for a panel.

    Raises:
        TrayUnavailable: If none can, or the requested one cannot.
    """
    from upstash_helper_tray.backends.factory import find_backend

    return find_backend(requested, wait=wait)


def run_tray(options: TrayOptions) -> Outcome:
    """
    Show the icon until the user or a signal ends it. To be called on the main thread.

    Returns:
        ``running`` if a tray of this profile is already running, so that no second icon appears. With ``replace``, only
        if the process of that tray cannot be found.

    Raises:
        TrayUnavailable: If no icon can be shown, or no longer.
        SettingsError: If a setting is invalid.
    """
    core_dumps.disable()  # the tray copies passwords to the clipboard
    profile = load_profile(profile=options.profile)
    runtimes = profile.folders.tray_runtimes
    lock = InstanceLock(*runtimes, file=TRAY_LOCK_FILE)
    if not (_acquire(lock) or (options.replace and _end_running_tray(runtimes, options) and _acquire(lock))):
        return "running"
    try:
        from upstash_helper_tray.backends.factory import open_screen
        from upstash_helper_tray.runtime.tray import Tray

        screen = open_screen(options.backend, wait=options.wait)
        notifications = profile.settings.notifications
        Tray(screen, profile=profile.name, folders=profile.folders, notifications=notifications).run()
    finally:
        lock.release()
    return "ended"


def _acquire(lock: InstanceLock) -> bool:
    try:
        lock.acquire()
    except AlreadyHeld:
        return False
    return True


def _end_running_tray(runtimes: tuple[Path, ...], options: TrayOptions) -> bool:
    """End the running tray if another one can take its place, and return whether it is gone."""
    other = tray_process.find(*runtimes)
    if other is None:
        return not tray_process.is_running(*runtimes)
    available_backend(options.backend, wait=options.wait)  # raises before the old icon is removed
    tray_process.end(other, *runtimes)
    return not tray_process.is_running(*runtimes)
