"""The process around the daemon: its signals, its threads, its limit of open files."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import ThreadPoolExecutor

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
