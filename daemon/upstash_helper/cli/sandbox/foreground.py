"""``sandbox up --foreground``: the sandbox runs until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.errors import Failure
from upstash_helper.cli.output import note
from upstash_helper.cli.sandbox import environment
from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psutil

    from upstash_helper.cli.sandbox.environment import Running
    from upstash_helper.cli.sandbox.own_profile import SandboxProfile

_POLL_SECONDS: Final = 0.3
_END_SECONDS: Final = 20.0


def until_interrupted(
    profile: SandboxProfile, *, show: Callable[[Running], None], auto_approve: bool | None = None
) -> None:
    """
    Start the sandbox. Stop it on Ctrl-C, on SIGTERM, or when the terminal closes, even while it is starting. It also
    stops if this process is killed.

    Args:
        profile: The sandbox's profile.
        show: Prints the addresses.
        auto_approve: As for ``environment.up``.

    Raises:
        Failure: If it cannot be started or shown, or one of its processes ends. What was started is stopped then.
    """
    ended: str | None = None
    was_stopped = False
    with _parent_pipe() as parent, _interrupted_by_signals():
        try:
            was_stopped = environment.state(profile).name == "stopped"
            with profile.session.progress("Starting the sandbox"):
                running = environment.up(profile, auto_approve=auto_approve, parent=parent)
            show(running)
            note("Press Ctrl-C to stop.")
            ended = _wait_for_end(running)
        except KeyboardInterrupt:
            pass
        except BaseException:
            if was_stopped:
                with contextlib.suppress(Failure, ClientError, OSError):  # the first error is the one to show
                    _stop(profile)
            raise
        with profile.session.progress("Stopping the sandbox"):
            _stop(profile)
    if ended is not None:
        raise Failure(f"The {ended} exited, so everything was stopped.", code="sandbox_ended")
    note("The sandbox was stopped.")


@contextlib.contextmanager
def _parent_pipe() -> Iterator[int]:
    """Yield one end of a pipe. The system closes the other end when this process ends, however that happens."""
    theirs, ours = os.pipe()
    try:
        yield theirs
    finally:
        os.close(theirs)
        os.close(ours)


def _stop(profile: SandboxProfile) -> None:
    """Stop both processes, including one that has just been started and that only its parent can find yet."""
    import psutil

    try:
        environment.down(profile)
    finally:
        children = psutil.Process().children()
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.terminate()
        psutil.wait_procs(children, timeout=_END_SECONDS)


def _wait_for_end(running: Running) -> str:
    """Wait until one of the two processes exits, and return its name."""
    import psutil

    pids = {"sandbox": running.upstream.pid, "daemon": running.daemon.pid}
    processes: dict[str, psutil.Process] = {}
    for name, pid in pids.items():
        try:
            processes[name] = psutil.Process(pid)
        except psutil.Error:
            return name
    while True:
        for name, process in processes.items():
            if not _runs(process):
                return name
        time.sleep(_POLL_SECONDS)


def _runs(process: psutil.Process) -> bool:
    import psutil

    try:
        # In a container, there may be no process that reaps zombies.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


@contextlib.contextmanager
def _interrupted_by_signals() -> Iterator[None]:
    """Handle the signals that end a process like Ctrl-C."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if sys.platform == "win32":
        numbers.append(signal.SIGBREAK)
    elif signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
