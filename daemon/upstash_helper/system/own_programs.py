"""
Recognizes this project's daemons and sandboxes by their command lines.

Their processes are named after the interpreter, such as ``python3``, which would not help the user.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    import psutil

PROFILE_VARIABLE: Final = "UPSTASH_HELPER_PROFILE"
DEFAULT_PROFILE: Final = "default"
_PROGRAMS: Final = frozenset({"upstash-helper", "upstash_helper"})
_SANDBOX: Final = "upstash_helper.sandbox"
_SANDBOX_COMMAND: Final = "upstash-helper sandbox"


def describe(process: psutil.Process) -> str | None:
    """Return a name for a process of this project, such as ``the sandbox (…, process 12)``; None for others."""
    words = command_line(process)
    if is_daemon(words):
        return daemon_name(profile_of(words, environ_of(process) or {}), process.pid)
    if is_sandbox(words):
        return f"the sandbox ({_SANDBOX_COMMAND}, process {process.pid})"
    return None


def daemon_name(profile: str, pid: int) -> str:
    """Return a name for another daemon of this user."""
    return f"another upstash-helper (profile {profile}, process {pid})"


def is_daemon(words: Sequence[str]) -> bool:
    """Return whether a command line is that of a daemon."""
    place = _place(words, _PROGRAMS)
    return place is not None and "run" in words[place + 1 :]


def is_program(words: Sequence[str], programs: frozenset[str]) -> bool:
    """Return whether a command line runs one of ``programs``: itself, as a script, or as a module."""
    return _place(words, programs) is not None


def is_sandbox(words: Sequence[str]) -> bool:
    """Return whether a command line is that of a sandbox."""
    return _place(words, frozenset({_SANDBOX})) is not None


def profile_of(words: Sequence[str], environ: Mapping[str, str]) -> str:
    """Return the profile that a command line and an environment select."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--profile":
            return printable(following)
        if word.startswith("--profile="):
            return printable(word.removeprefix("--profile="))
    return environ.get(PROFILE_VARIABLE) or DEFAULT_PROFILE


def command_line(process: psutil.Process) -> list[str]:
    """Return the command line of a process; empty if the system does not reveal it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return process.cmdline()
    return []


def environ_of(process: psutil.Process) -> Mapping[str, str] | None:
    """Return the environment that a process was started with, or None if the system does not reveal it."""
    import psutil

    with contextlib.suppress(psutil.Error, OSError):
        return process.environ()
    return None


def _place(words: Sequence[str], programs: frozenset[str]) -> int | None:
    """Return which word is the program: the first, the script of an interpreter, or its module, after its options."""
    for place, word in enumerate(words):
        if os.path.basename(word).removesuffix(".exe") in programs:  # noqa: PTH119 - not a path
            is_module = words[place - 1] == "-m"
            return place if is_module or all(each.startswith("-") for each in words[1:place]) else None
    return None
