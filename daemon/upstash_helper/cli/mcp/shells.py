"""
Shells between an agent and the bridge. An agent often starts its servers with one: ``sh -c "upstash-helper mcp"``.

A shell that runs anything else, such as a script or what a user types, is not a part of that: its script may be the
agent, and an agent's tool that runs commands has such a shell, too.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

from upstash_helper.system.starters import is_launcher, is_shell, name_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from upstash_helper.system.starters import Process

_OWN: Final = frozenset({"upstash-helper", "upstash_helper"})
_OF_WINDOWS: Final = frozenset({"cmd", "powershell", "pwsh"})
_POSIX_OPTION: Final = re.compile(r"-[a-z]+|--(?:command|interactive|login|noprofile|norc)")
_POSIX_COMMAND: Final = re.compile(r"-[a-z]*c[a-z]*|--command")
_WINDOWS_OPTION: Final = re.compile(r"/[acdsuq]|-no(?:profile|logo|ninteractive)", re.IGNORECASE)
_WINDOWS_COMMAND: Final = re.compile(r"/c|-c(?:ommand)?", re.IGNORECASE)
_SEVERAL: Final = re.compile(r"[;&|<>`$\n\r{}]")
_SCRIPT_OF_WINDOWS: Final = re.compile(r"\.(?:bat|cmd|ps1)$")
_ASSIGNMENT: Final = re.compile(r"\w+=.*", re.DOTALL)
_BEFORE: Final = frozenset({"command", "exec"})


def only_start(launchers: Iterable[Process]) -> bool:
    """Return whether the shells among the launchers of this process run nothing but its command."""
    return all(_runs_only_this(each) for each in launchers if is_shell(each.executable))


def _runs_only_this(shell: Process) -> bool:
    words = _command(shell)
    while words and (words[0] in _BEFORE or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    if not words:
        return False
    if not any(_SCRIPT_OF_WINDOWS.sub("", name_of(word)) in _OWN for word in words):
        return False
    first = _SCRIPT_OF_WINDOWS.sub("", name_of(words[0]))
    return first in _OWN or first.startswith(("python", "pypy")) or is_launcher(words[0], words)


def _command(shell: Process) -> Sequence[str]:
    """Return the words of the one command in the arguments of a shell; none if there is no such command."""
    name, words = name_of(shell.executable), list(shell.words[1:])
    if name in _OF_WINDOWS:
        place = next((it for it, word in enumerate(words) if not _WINDOWS_OPTION.fullmatch(word)), len(words))
        if place < len(words) and _WINDOWS_COMMAND.fullmatch(words[place]):
            place += 1  # PowerShell's
        if not place or not _WINDOWS_COMMAND.fullmatch(words[place - 1]):
            return ()
        return _words(" ".join(f'"{it}"' if " " in it and len(words) > place + 1 else it for it in words[place:]))
    if name == "busybox" and words and not words[0].startswith("-"):
        del words[0]  # the name of its shell
    options, command = words[:-1], words[-1:]
    is_command = all(map(_POSIX_OPTION.fullmatch, options)) and any(map(_POSIX_COMMAND.fullmatch, options))
    return _words(command[0]) if is_command else ()


def _words(command: str) -> Sequence[str]:
    if _SEVERAL.search(command):
        return ()
    try:
        # Windows has backslashes in paths, and other systems' agents have none. With ^, Node.js escapes for cmd.
        return shlex.split(command.strip().replace("\\", "/").replace("^", ""))
    except ValueError:
        return ()
