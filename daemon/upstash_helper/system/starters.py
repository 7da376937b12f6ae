"""
The program on whose behalf a process runs: its nearest ancestor that is not a launcher.

An agent starts the stdio bridge as a command, often through a shell, ``uvx``, or the script of the entry point. The
system knows the chain of parents, and no process can choose its own. So the program that is found is the agent, or was
started by it; which of its children sent a request is unknown.

A launcher is recognized by its file or, if that is Python, by its command line. A program that imitates a launcher is
taken for the program that started it, which it could also ask to start the bridge.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from upstash_helper.system.own_programs import is_program

_SHELLS: Final = frozenset(
    {"ash", "bash", "busybox", "cmd", "dash", "fish", "ksh", "mksh", "nu", "powershell", "pwsh", "sh", "zsh"}
)
_RUNNERS: Final = frozenset(
    {"env", "nice", "nohup", "pipx", "setsid", "stdbuf", "timeout", "upstash-helper", "uv", "uvx"}
)
_OF_PYTHON: Final = frozenset({"pipx", "upstash-helper", "upstash_helper", "uv"})
"""Scripts and modules that make a Python process a launcher."""
_PYTHONS: Final = ("python", "pypy")
# These adopt processes whose parent has ended, and start services. None of them is an agent.
_SESSION_MANAGERS: Final = frozenset(
    {"catatonit", "docker-init", "dumb-init", "init", "launchd", "services", "svchost", "systemd", "tini", "wininit"}
)
_FIRST_PROCESS: Final = 1
"""It adopts processes whose parent has ended; in a container, it can be any program."""
_MAX_DEPTH: Final = 16


class Process(NamedTuple):
    """What the system reports about a process."""

    pid: int
    parent: int
    """0: it has none, or it has ended."""
    started: float
    """Only for comparisons on the same machine."""
    is_ours: bool
    """Whether it belongs to this user."""
    executable: str
    words: tuple[str, ...]
    """Its command line, which it can change."""


Lookup = Callable[[int], Process]
"""Returns a process. Raises OSError if it has ended or may not be inspected."""


def starter_of(pid: int, *, look_up: Lookup | None = None) -> Process | None:
    """
    Return the nearest process, beginning with ``pid`` itself, that is not a launcher. Return None if its parent has
    ended, belongs to another user, or cannot be inspected. Never raises.

    Args:
        pid: A process.
        look_up: Asks the system.
    """
    return starter_and_launchers(pid, look_up=look_up)[0]


def starter_and_launchers(pid: int, *, look_up: Lookup | None = None) -> tuple[Process | None, tuple[Process, ...]]:
    """Return what ``starter_of`` returns, and the launchers before it. Never raises."""
    launchers: list[Process] = []
    return _search(pid, look_up or _look_up, launchers), tuple(launchers)


def _search(pid: int, look_up: Lookup, launchers: list[Process]) -> Process | None:
    child: Process | None = None
    try:
        for _ in range(_MAX_DEPTH):
            found = look_up(pid)
            # A parent is older than its child: otherwise, it has ended, and another process has its number.
            if not found.is_ours or (child is not None and found.started > child.started):
                return None
            if not is_launcher(found.executable, found.words):
                return None if name_of(found.executable) in _SESSION_MANAGERS else found
            launchers.append(found)
            if found.parent <= _FIRST_PROCESS:
                return None
            child, pid = found, found.parent
    except OSError:
        pass
    return None


def is_launcher(executable: str, words: Sequence[str]) -> bool:
    """Return whether a program only starts others: a shell, a runner of commands, or the command of this project."""
    name = name_of(executable)
    if name.startswith(_PYTHONS):
        return is_program(words, _OF_PYTHON)
    return name in _SHELLS or name in _RUNNERS


def is_shell(executable: str) -> bool:
    """Return whether a program is a shell."""
    return name_of(executable) in _SHELLS


def parent_of(process: Process, *, look_up: Lookup | None = None) -> Process | None:
    """Return the parent of a process; None if it has ended or cannot be inspected. Never raises."""
    try:
        found = (look_up or _look_up)(process.parent)
    except OSError:
        return None
    return found if found.is_ours and found.started <= process.started else None


def name_of(executable: str) -> str:
    """Return the name of a program for comparisons."""
    return executable.replace("\\", "/").rpartition("/")[2].lower().removesuffix(".exe")


if sys.platform == "linux":

    def _look_up(pid: int) -> Process:
        folder = Path("/proc", str(pid))
        # The name in parentheses may contain anything (proc_pid_stat(5)).
        fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        status = (folder / "status").read_bytes()
        # The folder's owner is root for a process that may not be inspected.
        users = next(line for line in status.splitlines() if line.startswith(b"Uid:")).split()
        words = (folder / "cmdline").read_bytes().removesuffix(b"\0").split(b"\0")
        return Process(
            pid=pid,
            parent=int(fields[1]),
            started=int(fields[19]),
            is_ours=int(users[1]) == os.getuid(),
            executable=str((folder / "exe").readlink()).removesuffix(" (deleted)"),
            words=tuple(map(os.fsdecode, words)),
        )

else:

    def _look_up(pid: int) -> Process:
        import psutil

        try:
            process = psutil.Process(pid)
            with process.oneshot():
                return Process(
                    pid=pid,
                    parent=process.ppid() or 0,
                    started=process.create_time(),
                    is_ours=process.username() == psutil.Process().username(),
                    executable=process.exe(),
                    words=tuple(process.cmdline()),
                )
        except psutil.Error as error:
            raise OSError(str(error)) from None
