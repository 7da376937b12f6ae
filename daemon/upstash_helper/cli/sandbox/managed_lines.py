"""Lines that a command manages in one of the user's files. They are between two comments; all other lines are kept."""

from __future__ import annotations

import contextlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.system import confined_files, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BEGIN: Final = "# Begin: written by `upstash-helper sandbox up`, which replaces these lines"
END: Final = "# End: upstash-helper sandbox up"

_MAX_SIZE: Final = 16 * 1024 * 1024
"""Bytes of the file."""
_ATTEMPTS: Final = 5

_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=")


class AlreadySet(Exception):
    """The user's own lines set a name that ours would set. ``name`` and ``line`` (from 1) show where."""

    def __init__(self, name: str, line: int) -> None:
        super().__init__(name)
        self.name = name
        self.line = line


class NoEnd(Exception):
    """The line that ends ours is missing, so the lines after it may be the user's. Ours begin at ``line`` (from 1)."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line

    def __str__(self) -> str:
        return f"line {self.line} begins the lines of `sandbox up`, and the line that ends them is missing: {END}"


def with_lines(content: str, lines: Sequence[str], *, names: Iterable[str], first: bool = False) -> str:
    """
    Return ``content`` with our lines, which replace those of an earlier call. All other lines are kept, with their
    line endings.

    Args:
        content: The file's text.
        lines: Our lines.
        names: The names that they set.
        first: Put them at the beginning, as TOML requires, instead of the end.

    Raises:
        AlreadySet: If another line sets one of the names.
        NoEnd: If the line that ends our lines is missing.
    """
    newline = "\r\n" if "\r\n" in content else "\n"
    kept, began = [], 0
    wanted = set(names)
    # Only at line feeds: str.splitlines() takes other characters, which may be part of a value, for the end of a line.
    for number, line in enumerate(io.StringIO(content), start=1):
        if line.strip() == BEGIN:
            if began:
                break
            began = number
        elif line.strip() == END:
            began = 0
        elif not began:
            found = _ASSIGNMENT.match(line)
            if found and found["name"] in wanted:
                raise AlreadySet(found["name"], number)
            kept.append(line)
    if began:
        raise NoEnd(began)
    ours = "".join(f"{line}{newline}" for line in (BEGIN, *lines, END))
    others = "".join(kept)
    if first:
        return ours + others
    return (others if others.endswith("\n") or not others else others + newline) + ours


def update(path: Path, lines: Sequence[str], *, names: Iterable[str], first: bool = False) -> None:
    """
    Write our lines to a file, and keep its mode. A new file is readable only by the user.

    Raises:
        AlreadySet: Like ``with_lines``.
        NoEnd: Like ``with_lines``.
        NotUtf8: If the file's text is not UTF-8.
        Refused: If it is not a regular file of this user with a single name.
        OSError: If it cannot be read or written.
    """
    target = Path(os.path.realpath(path))  # Path.resolve() reports a loop of links as another exception
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(confined_files.Changed), confined_files.open_folder(target.parent) as folder:
            current = folder.read(target.name, limit=_MAX_SIZE)
            content = "" if current is None else text.decode_utf8(current.data)
            changed = with_lines(content, lines, names=names, first=first)
            if changed != content:
                mode, version = (0o600, None) if current is None else (current.mode, current.version)
                folder.replace(target.name, changed.encode(), mode=mode, version=version)
            return
    raise confined_files.Refused(f"{path} is being changed by another program.")
