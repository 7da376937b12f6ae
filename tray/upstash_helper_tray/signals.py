"""Ending on a signal, although the main thread is inside a library's loop, where no handler of Python's runs."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextlib.contextmanager
def ending_on_signals(end: Callable[[], None]) -> Generator[None]:
    """
    Call ``end``, on a thread of its own, when a signal asks for the end during the block. For the main thread.

    Python's handlers wait until the main thread is back from C, which a toolkit's loop may never be. The signal itself
    writes into a socket, where a thread waits for it.
    """
    reading, writing = socket.socketpair()
    over = threading.Event()

    numbers = _numbers()

    # A library may take the wake-up for itself; then it is the handlers that run.
    def handler(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            writing.send(bytes([number]))

    def wait() -> None:
        # Each signal that has a handler of Python's comes here, by its number.
        while (number := reading.recv(1)) and not over.is_set():
            if number[0] in numbers:
                end()

    with contextlib.ExitStack() as stack:
        stack.enter_context(reading)
        stack.enter_context(writing)
        writing.setblocking(False)
        thread = threading.Thread(target=wait, name="tray-signals", daemon=True)
        thread.start()
        stack.callback(thread.join, 1.0)
        stack.callback(handler, 0, None)
        stack.callback(over.set)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, handler))
        yield


def _numbers() -> list[signal.Signals]:
    numbers = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    # Under nohup a hangup is to be ignored.
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
