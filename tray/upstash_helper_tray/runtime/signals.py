"""Handling signals while the main thread is in a toolkit's event loop, where Python runs no signal handlers."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextlib.contextmanager
def call_on_signals(callback: Callable[[], None]) -> Generator[None]:
    """
    Call ``callback`` on a separate thread when a signal asks the process to end. To be used on the main thread.

    Python runs its handlers only when the main thread returns from C, which a toolkit's event loop may never do. The C
    part of the signal handler writes to a socket instead, which a thread reads.
    """
    reading, writing = socket.socketpair()
    done = threading.Event()

    numbers = _numbers()

    # If a library replaces the wakeup fd, Python's handlers still run.
    def handler(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            writing.send(bytes([number]))

    def wait() -> None:
        # The number of every signal with a Python handler arrives here, not only of those above.
        while (number := reading.recv(1)) and not done.is_set():
            if number[0] in numbers:
                callback()

    with contextlib.ExitStack() as stack:
        stack.enter_context(reading)
        stack.enter_context(writing)
        writing.setblocking(False)
        thread = threading.Thread(target=wait, name="tray-signals", daemon=True)
        thread.start()
        stack.callback(thread.join, 1.0)
        stack.callback(handler, 0, None)
        stack.callback(done.set)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, handler))
        yield


def _numbers() -> list[signal.Signals]:
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    # nohup ignores SIGHUP, which has to stay that way.
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
