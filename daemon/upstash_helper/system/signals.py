"""Ending the process on signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
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
