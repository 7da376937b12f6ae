"""The process around the daemon: its signals, its threads, its limit of open files."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import ssl
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import AlreadyHeld, InstanceLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

    from upstash_helper.settings.config import Profile


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """
    Import within this, and imports cost less time and memory.

    - No garbage collection: modules are not garbage. What they made is frozen afterwards, so that later collections
      need not look at it.
    - No trust store: ``aiohttp.connector`` makes two TLS contexts when it is imported and loads every certificate
      authority of the system into each, for a daemon that may not speak TLS for days.
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
    Let TLS contexts that are made within this trust nobody.

    It fails closed: such a context still demands a certificate and a matching name, and no certificate satisfies it.
    What speaks TLS makes a context of its own later, and passes it explicitly.
    """
    context = ssl.SSLContext
    load = context.load_default_certs

    def load_nothing(self: ssl.SSLContext, purpose: ssl.Purpose = ssl.Purpose.SERVER_AUTH) -> None:
        """Leave the context as it is."""

    def set_nothing(self: ssl.SSLContext) -> None:
        """Leave the context as it is."""

    context.load_default_certs = load_nothing  # type: ignore[method-assign]
    # Inherited from the C type: set on the class it hides that one, and deleted it shows it again.
    context.set_default_verify_paths = set_nothing  # type: ignore[method-assign]
    try:
        yield
    finally:
        context.load_default_certs = load  # type: ignore[method-assign]
        del context.set_default_verify_paths


logger = logging.getLogger(__name__)

# More than the cap on connections, the listeners, the log and the upstream side will ever need.
_DESCRIPTORS: Final = 1024
# What threads have to end after everything else has.
_LAST_SECONDS: Final = 0.1


@contextlib.contextmanager
def stopping_on_signals(stop: asyncio.Event, withdraw: Callable[[], None]) -> Iterator[None]:
    """Stop at the first signal, and at a second one leave at once."""
    asked: list[int] = []

    def ask(number: int) -> None:
        if asked:
            withdraw()
            os._exit(128 + number)
        asked.append(number)
        stop.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    if sys.platform == "win32":
        loop = asyncio.get_running_loop()
        before = {
            number: signal.signal(number, lambda got, _: loop.call_soon_threadsafe(ask, got))
            for number in (*numbers, signal.SIGBREAK)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    else:
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants to outlive the terminal
            numbers.append(signal.SIGHUP)
        loop = asyncio.get_running_loop()
        for number in numbers:
            loop.add_signal_handler(number, ask, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def end_threads(executor: ThreadPoolExecutor) -> None:
    """
    Leave without a thread that hangs in the system (a browser that never starts): Python would wait for it at exit.
    """
    ending = threading.Thread(target=executor.shutdown, kwargs={"cancel_futures": True}, daemon=True)
    ending.start()
    ending.join(_LAST_SECONDS)
    if ending.is_alive():
        logger.warning("thread_abandoned")
        logging.shutdown()
        os._exit(0)


def raise_descriptor_limit() -> None:
    """Make room for every connection there may be, where the soft limit of open files is lower than the hard one."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def note_failure(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no task took care of by its kind: asyncio's own lines quote values."""
    error = context.get("exception")
    fields = {"what": context.get("message"), "error": None if error is None else type(error).__name__}
    logging.getLogger("upstash_helper.loop").error("loop_failure", extra=fields)


class AlreadyRunning(Exception):
    """A daemon of this profile is running. ``pid`` is its process, if it says so."""

    def __init__(self, detail: str, pid: int | None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pid = pid


@contextlib.contextmanager
def single(world: Profile) -> Iterator[None]:
    """
    Be the only daemon of ``world`` for the duration of the block.

    Raises:
        AlreadyRunning: If there is one.
    """
    lock = InstanceLock(world.folders.runtime)
    try:
        lock.acquire()
    except AlreadyHeld:
        pid = discovery.read_pid(world.folders.runtime)
        which = "" if pid is None else f" as process {pid}"
        detail = f"The helper is already running{which} (profile {world.profile}). See: upstash-helper status"
        raise AlreadyRunning(detail, pid) from None
    # What a killed daemon announced would pass for this one's from now on, and whoever has its port be told its token.
    with contextlib.suppress(OSError):
        discovery.remove(world.folders.runtime)
        discovery.remove_waiting(world.folders.runtime)
    with contextlib.suppress(OSError):
        # Earlier versions kept a pending sign-in here, with its code verifier.
        (world.folders.runtime / "sign-in.json").unlink(missing_ok=True)
    try:
        yield
    finally:
        lock.release()
