"""
The programs that have a socket open, and the files that they run, from Linux's ``/proc``.

The path in ``/proc/PID/exe`` is the one that the file has for the process. In a mount namespace of its own, a program
without privileges can put any file at any path, so the path alone proves nothing. Therefore the file itself (its device
and inode) is compared with the file at that path as this process sees it, and the namespaces with this process's.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
# kcmp(2), and its number: that of x86-64, and that of the systems that share a table (asm-generic/unistd.h).
_KCMP_FILES: Final = 2
_KCMP: Final = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "loongarch64": 272}


class Holder(NamedTuple):
    """A thread that has a socket open."""

    pid: int
    thread: int
    """The process's first thread, unless that one does not have the socket open."""


def is_running(pid: int) -> bool:
    """Return whether a process is running. True if it may not be inspected."""
    try:
        stat = Path(_PROC, str(pid), "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True
    # The name of the program, in parentheses, can contain anything. The state follows it (proc_pid_stat(5)).
    return stat.rpartition(b")")[2].split()[:1] not in ([b"Z"], [b"X"])


def holders(inode: int, *, seconds: float) -> tuple[list[Holder], bool]:
    """
    Return the processes that have a socket open, the oldest process first, and whether all were searched.

    Processes that may not be inspected are left out: those of other users, and those that hold keys, such as ssh-agent.

    Args:
        inode: The socket's.
        seconds: Processor time that the search may take, so that other work does not end it early. A process can open
            a million files, and each has to be looked at.
    """
    wanted, until = f"socket:[{inode}]", time.thread_time() + seconds
    found: list[Holder] = []
    complete = True
    for pid in [int(it.name) for it in Path(_PROC).iterdir() if it.name.isdecimal()]:
        for thread in _threads(pid):
            if time.thread_time() > until:
                return sorted(found, key=_age), False
            has_it = _has_open(pid, thread, wanted, until)
            complete = complete and has_it is not None
            if has_it:
                found.append(Holder(pid, thread))
                break
    return sorted(found, key=_age), complete


def file_of(holder: Holder) -> tuple[str, tuple[FileWarning, ...]]:
    """
    Return the path of the file that a process runs, as the process sees it, and what is wrong with that path.

    Raises:
        OSError: If the process has ended, or may not be inspected.
    """
    task = _folder(*holder)
    link = f"{task}/exe"
    path, file = str(Path(link).readlink()), _key(link)
    # A kernel may have been built without a kind of namespace.
    ours = {it: key for it in _NAMESPACES if (key := _key_or_none(f"{_PROC}/self/ns/{it}")) is not None}
    apart = any(_key(f"{task}/ns/{it}") != key for it, key in ours.items())
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


def _folder(pid: int, thread: int) -> str:
    return f"{_PROC}/{pid}/task/{thread}"


def _threads(pid: int) -> Iterator[int]:
    """
    Yield the threads of a process that have open files of their own. Nearly always, that is the first one only: threads
    share their files, unless the first one has ended, or one has called unshare(2).
    """
    yield pid
    share_files = _share_files()
    if share_files is None:
        return
    try:
        threads = [int(it.name) for it in os.scandir(f"{_PROC}/{pid}/task")]
    except OSError:  # the process has ended
        return
    yield from (thread for thread in threads if thread != pid and not share_files(pid, thread))


@functools.cache
def _share_files() -> Callable[[int, int], bool] | None:
    """Return a function that compares the tables of open files of two threads; None without kcmp(2)."""
    import platform

    number = _KCMP.get(platform.machine()) if sys.maxsize > 2**32 else None
    if number is None:
        return None
    import ctypes

    kcmp = ctypes.CDLL(None, use_errno=True).syscall

    def share(one: int, other: int) -> bool:
        # A negative result is an error: one of them has ended or may not be inspected, or the call is not allowed here.
        return bool(kcmp(number, one, other, _KCMP_FILES, 0, 0) <= 0)

    return share


def _has_open(pid: int, thread: int, wanted: str, until: float) -> bool | None:
    """Return whether a thread has the file with this name open; None if there was no time to look at all of its."""
    try:
        folder = os.open(f"{_folder(pid, thread)}/fd", os.O_RDONLY)
    except OSError:
        return False
    try:
        for number, name in enumerate([it.name for it in os.scandir(folder)], 1):
            if number % _CHECK_EVERY == 0 and time.thread_time() > until:
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


def _age(holder: Holder) -> tuple[int, int]:
    """Return a key that sorts processes by their start."""
    pid = holder.pid
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
