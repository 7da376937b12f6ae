"""One daemon for a profile, known by the lock that it holds."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.settings.config.config import World


class AlreadyRunning(Exception):
    """A daemon of this profile is running. ``pid`` is its process, if it says so."""

    def __init__(self, detail: str, pid: int | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pid = pid


@contextlib.contextmanager
def single(world: World) -> Iterator[None]:
    """
    Be the only daemon of ``world`` for the duration of the block.

    Raises:
        AlreadyRunning: If there is one.
    """
    lock = discovery.DaemonLock(world.folders.runtime)
    try:
        lock.acquire()
    except discovery.AlreadyHeld:
        pid = discovery.read_pid(world.folders.runtime)
        which = "" if pid is None else f" as process {pid}"
        detail = f"The helper is already running{which} (profile {world.profile}). See: upstash-helper status"
        raise AlreadyRunning(detail, pid) from None
    # What a killed daemon announced would pass for this one's from now on, and whoever has its port be told its token.
    with contextlib.suppress(OSError):
        discovery.remove(world.folders.runtime)
        discovery.over(world.folders.runtime)
    try:
        yield
    finally:
        lock.release()
