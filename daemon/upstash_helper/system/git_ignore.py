"""
Whether Git ignores a file, read from the ``.gitignore`` files of its repository.

For information only: unlike ``git check-ignore``, this knows neither ``core.excludesFile`` nor patterns with POSIX
character classes, so that it reads no configuration.

Format: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING, Final

from upstash_helper.system import git_index

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SIZE: Final = 1024 * 1024
_MAX_PATTERN: Final = 1024
_OPEN: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def is_ignored(path: Path) -> bool | None:
    """
    Return whether Git ignores the file at ``path``, which it does not track; None if no repository contains it.

    Raises:
        Unreadable: If a repository cannot be read.
    """
    innermost = next(git_index.repositories(path.parent), None)
    if innermost is None:
        return None
    root, data = innermost
    names = path.relative_to(root).parts
    # Git does not look into a folder that is ignored.
    return any(_matches(root, data, names[:depth], is_folder=depth < len(names)) for depth in range(1, len(names) + 1))


def _matches(root: Path, data: Path, names: tuple[str, ...], *, is_folder: bool) -> bool:
    """Return whether the last pattern that matches ``names`` ignores them. Those of inner folders count more."""
    ignored = False
    for line in _lines(_common(data) / "info" / "exclude"):
        ignored = _decided(line, names, is_folder=is_folder, before=ignored)
    for depth in range(len(names)):
        for line in _lines(root.joinpath(*names[:depth], ".gitignore")):
            ignored = _decided(line, names[depth:], is_folder=is_folder, before=ignored)
    return ignored


def _common(data: Path) -> Path:
    """Return the folder that linked working trees of a repository share."""
    [first, *_] = _lines(data / "commondir") or [""]
    return data / first.strip() if first.strip() else data


def _decided(line: str, names: tuple[str, ...], *, is_folder: bool, before: bool) -> bool:
    pattern = re.sub(r"(?<!\\)[ \t]+$", "", line.rstrip("\r"))
    if not pattern or pattern.startswith("#") or len(pattern) > _MAX_PATTERN:
        return before
    is_ignoring = not pattern.startswith("!")
    pattern = pattern.removeprefix("!")
    if pattern.endswith("/") and not is_folder:
        return before
    pattern = pattern.rstrip("/")
    # A slash anywhere but at the end binds the pattern to the folder of its file.
    text = "/".join(names) if "/" in pattern else names[-1]
    try:
        matches = re.fullmatch(_regex(pattern.removeprefix("/")), text) is not None
    except re.error:
        return before
    return is_ignoring if matches else before


def _regex(pattern: str) -> str:
    """Translate a pattern, in which an asterisk does not stand for a slash, but two of them do."""
    if len(re.findall(r"\*", pattern)) > 8:
        raise re.error("too many asterisks")  # matching could take very long
    parts, position = [], 0
    while position < len(pattern):
        found = re.compile(r"(\*\*/)|(/\*\*$)|(\*+)|(\?)|(\[!?\]?[^\]/]*\])|\\(.)|(.)").match(pattern, position)
        if found is None:
            raise re.error("not a pattern")
        inner, rest, star, one, some, escaped, plain = found.groups()
        position = found.end()
        if inner:
            parts.append("(?:.*/)?")
        elif rest:
            parts.append("/.*")
        elif star:
            parts.append("[^/]*")
        elif one:
            parts.append("[^/]")
        elif some:
            content = some[1:-1].replace("\\", "\\\\")
            parts.append(f"[{'^' + content[1:] if content.startswith('!') else content}]")
        else:
            parts.append(re.escape(escaped or plain))
    return "".join(parts)


def _lines(path: Path) -> list[str]:
    try:
        descriptor = os.open(path, _OPEN)
    except OSError:
        return []
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return []
        return file.read(_MAX_SIZE).decode("utf-8", "surrogateescape").removeprefix("\ufeff").split("\n")
