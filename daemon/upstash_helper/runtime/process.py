"""The daemon's process: cheap imports, a single instance per profile, its limit of open files, and its threads."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import LOCK_FILE, TRAY_LOCK_FILE, AlreadyHeld, InstanceLock
from upstash_helper.system import open_files

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator
    from concurrent.futures import ThreadPoolExecutor
    from pathlib import Path

    from upstash_helper.settings.config import Profile

logger = logging.getLogger(__name__)

# More than the maximum number of connections, the listeners, the log, and the upstream side ever need.
_DESCRIPTORS: Final = 1024
# How long threads may take to end after everything else has.
_LAST_SECONDS: Final = 0.1


# --- imports ----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """
    Make imports within this block take less time and memory.

    - Garbage collection is off, because modules are not garbage. Afterwards their objects are frozen, so that later
      collections skip them.
    - No trust store is loaded: ``aiohttp.connector`` creates two TLS contexts on import, and each would load every
      certificate authority of the system, for a daemon that may not use TLS for days.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with without_trust_store():
            yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


@contextlib.contextmanager
def without_trust_store() -> Iterator[None]:
    """
    Create TLS contexts without trusted certificates within this block.

    This fails closed: such a context still requires a certificate with a matching name, and no certificate passes.
    Code that uses TLS later creates its own context and passes it explicitly.
    """
    context = ssl.SSLContext
    load = context.load_default_certs

    def load_nothing(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Leave the context unchanged."""

    def set_nothing(self: ssl.SSLContext) -> None:
        """Leave the context unchanged."""

    context.load_default_certs = load_nothing  # type: ignore[method-assign]
    # Inherited from the C type: an attribute of the class hides it, and deleting the attribute reveals it again.
    context.set_default_verify_paths = set_nothing  # type: ignore[method-assign]
    try:
        yield
    finally:
        context.load_default_certs = load  # type: ignore[method-assign]
        del context.set_default_verify_paths


# --- a single instance ------------------------------------------------------------------------------------------------


class AlreadyRunning(Exception):
    """A daemon of this profile is already running. ``pid`` is its process id, or None if it is unknown."""

    def __init__(self, detail: str, pid: int | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pid = pid


@contextlib.contextmanager
def single_instance(profile: Profile) -> Iterator[None]:
    """
    Hold the daemon lock of ``profile`` within this block.

    Raises:
        AlreadyRunning: If another daemon holds it.
    """
    # Always in the same order, so that of two daemons that start at the same time one gets all of them.
    runtimes = sorted(profile.folders.runtimes)
    former = profile.folders.former_runtimes
    lock = InstanceLock(*runtimes)
    try:
        if any(map(discovery.is_running, former)):
            raise AlreadyHeld
        lock.acquire()
    except AlreadyHeld:
        known = (pid for runtime in (*former, *runtimes) if (pid := discovery.read_pid(runtime)) is not None)
        pid = next(known, None)
        process = "" if pid is None else f" as process {pid}"
        detail = f"The helper is already running{process} (profile {profile.name}). See: upstash-helper status"
        raise AlreadyRunning(detail, pid) from None
    # Remove the files of a killed daemon: clients would attribute them to this one, and contact whichever program has
    # the port now.
    for runtime in runtimes:
        with contextlib.suppress(OSError):
            discovery.remove(runtime)
            discovery.remove_waiting(runtime)
        with contextlib.suppress(OSError):
            # Earlier versions stored a pending sign-in here, with its code verifier.
            open_files.remove(runtime / "sign-in.json")
    for folder in former:
        if folder.is_dir():
            _empty(folder)
    try:
        yield
    finally:
        lock.release()


def _empty(former: Path) -> None:
    """Remove what daemons and trays of earlier versions have left in a folder, and the folder if it is empty then."""
    announced = (discovery.DISCOVERY_FILE, discovery.RESERVE_FILE, discovery.WAITING_FILE)
    files = [former / name for name in (*announced, LOCK_FILE, "sign-in.json")]
    with contextlib.suppress(AlreadyHeld, OSError):
        with InstanceLock(former, timeout=0.0, file=TRAY_LOCK_FILE):
            pass
        files.append(former / TRAY_LOCK_FILE)
    with contextlib.suppress(OSError):
        if not any(open_files.read_bytes(former / "tombstones")):  # otherwise they are still needed
            files.append(former / "tombstones")
    for path in (*files, *former.glob("*.html")):  # pages that open a browser
        with contextlib.suppress(OSError):
            open_files.remove(path)
    for folder in (former, former.parent, former.parent.parent):
        if folder.name not in {"Temp", "TemporaryItems"}:
            with contextlib.suppress(OSError):  # it has other files
                folder.rmdir()


# --- resources --------------------------------------------------------------------------------------------------------


def raise_descriptor_limit() -> int:
    """
    Raise the soft limit of open files, as far as the hard limit allows, to fit the maximum number of connections.

    Returns:
        The limit, or a lower number that is enough.
    """
    if sys.platform == "win32":
        return _DESCRIPTORS
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            soft = limit
    if soft != resource.RLIM_INFINITY and soft < _DESCRIPTORS:
        logger.warning("few_descriptors", extra={"limit": soft})
        return soft
    return _DESCRIPTORS


def end_threads(executor: ThreadPoolExecutor) -> None:
    """Exit without waiting for a thread that hangs in a system call, such as a browser that never starts."""
    shutdown = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    shutdown.start()
    shutdown.join(_LAST_SECONDS)
    if shutdown.is_alive():
        logger.warning("thread_abandoned")
        logging.shutdown()
        os._exit(0)


def log_loop_failure(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log the type of an unhandled error in the event loop. asyncio's own message may quote values."""
    error = context.get("exception")
    fields = {"what": context.get("message"), "error": None if error is None else type(error).__name__}
    logging.getLogger("upstash_helper.loop").error("loop_failure", extra=fields)
