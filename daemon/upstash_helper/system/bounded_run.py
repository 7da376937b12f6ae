"""
Running a program and everything that it starts, with a time limit.

``subprocess.run`` does not suffice. It waits for the end of the output, which comes only when every process that has
inherited the pipe has ended, including one that stays in the background. On Windows it does so even after its time
limit, and kills only the first process; with the interpreter of a virtual environment, that is just a launcher
(``venv`` documentation, PEP 486). So the output is read by threads that nobody has to wait for, and the processes are
in a job object on Windows and in a session of their own elsewhere.

Only the standard library is imported, because the scripts in ``install`` run before any package is installed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, NamedTuple

_END_SECONDS: Final = 1.0
"""How long the output is read after the program has exited. What it has written is there; a background process may not
end it."""
_READ_BYTES: Final = 65_536

_RUNNING: Final[set[_Tree]] = set()


class Result(NamedTuple):
    """The result of a program that exited or was killed."""

    code: int | None
    """None if it was killed at its time limit."""
    out: bytes = b""
    err: bytes = b""


def run(
    command: Sequence[str],
    *,
    seconds: float | None,
    stdin: bytes | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    captures: bool = True,
    descendants_live: bool = False,
    in_terminal: bool = False,
) -> Result:
    """
    Run a program, and return its output.

    Args:
        command: The program and its arguments.
        seconds: The time limit. At its end, the program and what it has started are killed. None: no limit.
        stdin: Its input; None: no input.
        environ: Its environment; None: that of this process.
        folder: Its working directory; None: that of this process.
        captures: Whether to return its output, which is discarded otherwise.
        descendants_live: Whether it may start a process that is to stay, such as the daemon. What it has started is
            then never killed.
        in_terminal: Whether Ctrl-C at the terminal reaches it, so that it can clean up.

    Raises:
        OSError: If it cannot be started.
    """
    output = subprocess.PIPE if captures else subprocess.DEVNULL
    tree = _Tree(
        command, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, output=output, environ=environ,
        folder=folder, grouped=not (descendants_live or in_terminal), in_terminal=in_terminal,
    )  # fmt: skip
    process = tree.process
    out, err = _Reader(process.stdout), _Reader(process.stderr)
    if process.stdin is not None and stdin is not None:
        _in_background(_write, process.stdin, stdin)
    try:
        code: int | None = process.wait(seconds)
    except subprocess.TimeoutExpired:
        tree.kill()
        code = None
    except BaseException:
        if in_terminal:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
        tree.kill()
        raise
    finally:
        tree.close()
    ends_at = time.monotonic() + _END_SECONDS
    return Result(code, *(each.read(max(0.0, ends_at - time.monotonic())) for each in (out, err)))


class _Reader:
    """Reads a pipe to its end in a thread, which closes it."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._data = bytearray()
        self._thread = None if pipe is None else _in_background(self._read, pipe)

    def read(self, seconds: float) -> bytes:
        """Return what has arrived, after the end or after ``seconds``."""
        if self._thread is not None:
            self._thread.join(seconds)
        return bytes(self._data)

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe, contextlib.suppress(OSError):
            while data := os.read(pipe.fileno(), _READ_BYTES):
                self._data += data


def _write(pipe: IO[bytes], data: bytes) -> None:
    # Windows reports EINVAL for a pipe whose reader has gone, other systems EPIPE.
    with contextlib.suppress(OSError), pipe:
        left = memoryview(data)
        while left:  # a signal can end a write early (write(2))
            left = left[pipe.write(left) :]


def _in_background(call: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=call, args=arguments, name="bounded-run", daemon=True)
    thread.start()
    return thread


class _Tree:
    """A process and what it has started."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        stdin: int,
        output: int,
        environ: Mapping[str, str] | None,
        folder: Path | None,
        grouped: bool,
        in_terminal: bool,
    ) -> None:
        flags = Group.CREATION_FLAGS if grouped else 0 if in_terminal else _FLAGS
        self.process: Final = subprocess.Popen(
            command, stdin=stdin, stdout=output, stderr=output, env=environ, cwd=folder, bufsize=0,
            creationflags=flags, start_new_session=not in_terminal,
        )  # fmt: skip
        # Not before: a program that cannot be started must not leave a handle behind.
        self._group = Group() if grouped else None
        _RUNNING.add(self)
        if self._group is not None:
            self._group.add(self.process)

    def kill(self) -> None:
        """Kill the processes."""
        if self._group is not None:
            self._group.kill()
        with contextlib.suppress(OSError):
            self.process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_END_SECONDS)

    def close(self) -> None:
        """Forget the processes. What the program has left running continues."""
        _RUNNING.discard(self)
        if self._group is not None:
            self._group.close()


@atexit.register
def _kill_all() -> None:
    """Kill what is still running when this process exits, such as a call in a thread that was given up."""
    for tree in tuple(_RUNNING):
        tree.kill()


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    # No console window flashes up.
    _FLAGS: Final = subprocess.CREATE_NO_WINDOW
    _CREATE_SUSPENDED: Final = 0x4
    _PROCESS_RIGHTS: Final = 0x1 | 0x100 | 0x800  # PROCESS_TERMINATE, PROCESS_SET_QUOTA, PROCESS_SUSPEND_RESUME

    class Group:
        """A job object. Processes that a process in it starts are in it, too."""

        # Suspended, so that the process cannot start another one before it is in the job.
        CREATION_FLAGS: Final = subprocess.CREATE_NO_WINDOW | _CREATE_SUSPENDED

        def __init__(self) -> None:
            self._kernel = ctypes.WinDLL("kernel32", use_last_error=True)
            self._kernel.CreateJobObjectW.restype = wintypes.HANDLE
            self._kernel.OpenProcess.restype = wintypes.HANDLE
            self._job = wintypes.HANDLE(self._kernel.CreateJobObjectW(None, None))

        def add(self, process: subprocess.Popen[bytes]) -> None:
            """Add a process that was created with ``CREATION_FLAGS``, and let it run."""
            handle = wintypes.HANDLE(self._kernel.OpenProcess(_PROCESS_RIGHTS, False, process.pid))
            try:
                self._kernel.AssignProcessToJobObject(self._job, handle)
                # CreateProcess's handle of the first thread is closed by `subprocess`.
                ctypes.WinDLL("ntdll").NtResumeProcess(handle)
            finally:
                self._kernel.CloseHandle(handle)

        def kill(self) -> None:
            """Kill the processes."""
            self._kernel.TerminateJobObject(self._job, 1)

        def close(self) -> None:
            """Forget the processes. They continue."""
            self._kernel.CloseHandle(self._job)
            self._job = wintypes.HANDLE(None)

else:
    _FLAGS: Final = 0

    class Group:
        """A session: Ctrl-C at the terminal does not reach its processes."""

        CREATION_FLAGS: Final = 0

        def __init__(self) -> None:
            self._leader: int | None = None

        def add(self, process: subprocess.Popen[bytes]) -> None:
            """Add a process that was started with ``start_new_session``."""
            self._leader = process.pid

        def kill(self) -> None:
            """Kill the processes that have not moved to another group."""
            if self._leader is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._leader, signal.SIGKILL)

        def close(self) -> None:
            """Forget the processes."""
            self._leader = None
