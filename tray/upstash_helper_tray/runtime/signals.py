"""
Handling signals while the main thread is in a toolkit's event loop, where Python runs no signal handlers.

If the event loop hangs, another thread ends the process.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

logger = logging.getLogger(__name__)

EXIT_SECONDS: Final = 3.0
"""How long the main thread may take to leave its event loop after a signal, and the process to exit after that."""

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@contextlib.contextmanager
def end_on_signals(
    quit_: Callable[[], None], *, clean_up: Callable[[], None], seconds: float = EXIT_SECONDS
) -> Generator[None]:
    """
    Make the process exit on a signal. To be used on the main thread, around what it does until then.

    Python runs its handlers only when the main thread returns from C, which a toolkit's event loop may never do. The C
    part of the signal handler writes to a socket instead, which a thread reads. If the process does not exit in time,
    because the main thread or another one hangs, the reading thread ends it, with the exit code that a shell would
    report (128 + the signal). The system then releases the process's locks.

    Args:
        quit_: Called on a separate thread. It should make the main thread leave the block, and may hang.
        clean_up: Called before the process exits if the main thread does not leave the block in time. It must not hang.
        seconds: How long the main thread may take to leave the block, and then again how long the process may take to
            exit.
    """
    reading, writing = socket.socketpair()
    left = threading.Event()

    numbers = _numbers()

    # If a library replaces the wakeup fd, Python's handlers still run.
    def handler(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(OSError):
            writing.send(bytes([number]))

    def wait() -> None:
        with reading:
            # The number of every signal with a Python handler arrives here, not only of those above.
            while (number := reading.recv(1)) and not left.is_set():
                if number[0] in numbers:
                    threading.Thread(target=quit_, name="tray-quit", daemon=True).start()
                    _end_after(number[0], left, clean_up, seconds)

    with contextlib.ExitStack() as stack:
        stack.enter_context(writing)
        writing.setblocking(False)
        thread = threading.Thread(target=wait, name="tray-signals", daemon=True)
        thread.start()
        stack.callback(handler, 0, None)
        stack.callback(left.set)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        stack.callback(signal.set_wakeup_fd, before)
        for number in numbers:
            stack.callback(signal.signal, number, signal.signal(number, handler))
        yield


def _end_after(number: int, left: threading.Event, clean_up: Callable[[], None], seconds: float) -> None:
    """End the process if it has not ended in time. This thread does not keep it alive."""
    try:
        if left.wait(seconds):
            time.sleep(seconds)  # the interpreter waits for threads that are not daemons
        else:
            clean_up()
    except Exception:
        logger.exception("tray_clean_up_failed")
    finally:
        logger.error("The tray did not exit in time. Its main thread was here:\n%s", _main_thread_stack())
        os._exit(128 + number)


def _main_thread_stack() -> str:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001 - documented
    return "".join(traceback.format_stack(frame)) if frame else ""


def _numbers() -> list[signal.Signals]:
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    # nohup ignores SIGHUP, which has to stay that way.
    return [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
