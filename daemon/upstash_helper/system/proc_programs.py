"""
The programs that have a socket open, and the files that they run, from Linux's ``/proc``.

The path in ``/proc/PID/exe`` is the one that the file has for the process. In a mount namespace of its own, a program
without privileges can put any file at any path, so the path alone proves nothing. Therefore the file itself (its device
and inode) is compared with the file at that path as this process sees it, and the namespaces with this process's.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Literal

FileWarning = Literal["sandboxed", "deleted", "replaced"]
"""
``sandboxed``: the process has another mount or user namespace, or the file at its path is not visible here.
``deleted``: its file has no path any more. ``replaced``: another file is at its path.
"""

_PROC: Final = "/proc"
# How the kernel marks the path of a file that was removed (d_path() in fs/d_path.c). A name may also end like this.
_DELETED: Final = " (deleted)"
_NAMESPACES: Final = ("mnt", "user")
# Reading the clock costs as much as reading one descriptor.
_CHECK_EVERY: Final = 256


def holders(inode: int, *, seconds: float) -> tuple[list[int], bool]:
    """
    Return the ids of the processes that have a socket open, the oldest process first, and whether all were searched.

    Processes that may not be inspected are left out: those of other users, and those that hold keys, such as ssh-agent.

    Args:
        inode: The socket's.
        seconds: How long the search may take. A process can open a million files, and each has to be looked at.
    """
    wanted, until = f"socket:[{inode}]", time.monotonic() + seconds
    found, complete = [], True
    for name in [it.name for it in Path(_PROC).iterdir() if it.name.isdecimal()]:
        if time.monotonic() > until:
            complete = False
            break
        has_it = _has_open(name, wanted, until)
        complete = complete and has_it is not None
        if has_it:
            found.append(int(name))
    return sorted(found, key=_age), complete


def file_of(pid: int) -> tuple[str, tuple[FileWarning, ...]]:
    """
    Return the path of the file that a process runs, as the process sees it, and what is wrong with that path.

    Raises:
        OSError: If the process has ended, or may not be inspected.
    """
    link = f"{_PROC}/{pid}/exe"
    path, file = str(Path(link).readlink()), _key(link)
    apart = any(_key(f"{_PROC}/{pid}/ns/{it}") != _key(f"{_PROC}/self/ns/{it}") for it in _NAMESPACES)
    warnings: list[FileWarning] = ["sandboxed"] if apart else []
    if path.endswith(_DELETED) and _key_or_none(path) != file:
        path = path.removesuffix(_DELETED)
        return path, (*warnings, "deleted" if apart or _key_or_none(path) is None else "replaced")
    if not apart:
        here = _key_or_none(path)
        if here is None:
            warnings.append("sandboxed")
        elif here != file:
            warnings.append("replaced")
    return path, tuple(warnings)


def _has_open(pid: str, wanted: str, until: float) -> bool | None:
    """Return whether a process has the file with this name open; None if there was no time to look at all of its."""
    try:
        folder = os.open(f"{_PROC}/{pid}/fd", os.O_RDONLY)
    except OSError:
        return False
    try:
        for number, name in enumerate([it.name for it in os.scandir(folder)], 1):
            if number % _CHECK_EVERY == 0 and time.monotonic() > until:
                return None
            try:
                if os.readlink(name, dir_fd=folder) == wanted:
                    return True
            except OSError:  # closed meanwhile
                continue
    except OSError:  # the process has ended
        pass
    finally:
        os.close(folder)
    return False


def _age(pid: int) -> tuple[int, int]:
    """Return a key that sorts processes by their start."""
    try:
        text = Path(f"{_PROC}/{pid}/stat").read_bytes()
    except OSError:
        return 0, pid
    # The name in parentheses may contain anything; the start time is field 22, the 20th after it (proc_pid_stat(5)).
    return int(text.rpartition(b")")[2].split()[19]), pid


def _key(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _key_or_none(path: str) -> tuple[int, int] | None:
    try:
        return _key(path)
    except (OSError, ValueError):
        return None
