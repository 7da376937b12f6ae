"""Waiting in the foreground while the sandbox runs."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

_POLL_SECONDS: Final = 0.3


def wait(*, sandbox: int, daemon: int) -> Literal["sandbox", "daemon"] | None:
    """
    Wait for Ctrl-C, SIGTERM, or the end of the terminal, and return None; or return which of the processes has ended.

    Args:
        sandbox: The process id of the sandbox.
        daemon: That of the daemon.
    """
    import psutil

    processes: dict[Literal["sandbox", "daemon"], psutil.Process] = {}
    with _stop_event() as stop:
        try:
            processes = {"sandbox": psutil.Process(sandbox), "daemon": psutil.Process(daemon)}
        except psutil.Error:
            return "sandbox" if not psutil.pid_exists(sandbox) else "daemon"
        while not stop.wait(_POLL_SECONDS):
            for name, process in processes.items():
                if not _runs(process):
                    return name
    return None


def _runs(process: Any) -> bool:
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@contextlib.contextmanager
def _stop_event() -> Iterator[threading.Event]:
    stop = threading.Event()
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
