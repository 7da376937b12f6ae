"""Ending the process: on signals, and together with the process that started it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def set_on_signal(stop: asyncio.Event, *, before_exit: Callable[[], None] | None = None) -> Iterator[None]:
    """
    Set ``stop`` on SIGTERM, SIGINT, SIGHUP, or Ctrl-Break.

    Call it in the main thread, in the event loop that waits for ``stop``. On leaving, the handlers are removed.

    Args:
        stop: The event.
        before_exit: If given, a second signal calls it and exits immediately, with the exit code 128 plus the signal's
            number. Otherwise further signals have no effect.
    """
    received: list[int] = []

    def on_signal(number: int) -> None:
        if received and before_exit is not None:
            before_exit()
            os._exit(128 + number)
        received.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    numbers = [signal.SIGTERM, signal.SIGINT]
    if sys.platform == "win32":
        previous = {
            number: signal.signal(number, lambda caught, _: loop.call_soon_threadsafe(on_signal, caught))
            for number in (*numbers, signal.SIGBREAK)
        }
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
    else:
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup: the process survives its terminal
            numbers.append(signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def stop_with_parent() -> None:
    """
    Send SIGTERM to this process when its standard input is closed.

    A program that starts the process temporarily (the demo, a test) holds the other end of a pipe. The system closes it
    however that program ends, so the process never outlives it, on any platform.
    """

    def wait() -> None:
        # os.read bypasses Python's buffers: a thread blocked in one holds its lock at exit, and the exit fails.
        while os.read(0, 4096):
            pass
        if sys.platform == "win32":
            signal.raise_signal(signal.SIGTERM)  # os.kill would end the process immediately, without a handler
        else:
            # To the main thread, which is the one that waits: a signal to this thread would not wake it up.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    threading.Thread(target=wait, name="stop-with-parent", daemon=True).start()
