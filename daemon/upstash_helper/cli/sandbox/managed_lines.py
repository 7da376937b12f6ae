"""Lines that a command owns in a file of the user: they are between two comments, and all other lines are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from upstash_helper.system import open_files, private_files, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

BEGIN: Final = "# Begin: written by `upstash-helper sandbox up`, which replaces these lines"
END: Final = "# End: upstash-helper sandbox up"

_ASSIGNMENT: Final = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=")


class AlreadySet(Exception):
    """The user's own lines set a name that ours would set. ``name`` and ``line`` (from 1) show where."""

    def __init__(self, name: str, line: int) -> None:
        super().__init__(name)
        self.name = name
        self.line = line


def with_lines(content: str, lines: Sequence[str], *, names: Iterable[str], first: bool = False) -> str:
    """
    Return ``content`` with our lines, in place of those of an earlier call.

    Args:
        content: The file's text.
        lines: Our lines.
        names: The names that they set.
        first: Put them at the beginning, as TOML requires it, instead of the end.

    Raises:
        AlreadySet: If another line sets one of the names.
    """
    before, inside = [], False
    wanted = set(names)
    for number, line in enumerate(content.splitlines(), start=1):
        if line.strip() == BEGIN:
            inside = True
        elif line.strip() == END:
            inside = False
        elif not inside:
            found = _ASSIGNMENT.match(line)
            if found and found["name"] in wanted:
                raise AlreadySet(found["name"], number)
            before.append(line)
    ours = [BEGIN, *lines, END]
    return "\n".join([*ours, *before] if first else [*before, *ours]) + "\n"


def update(path: Path, lines: Sequence[str], *, names: Iterable[str], first: bool = False) -> None:
    """
    Write our lines to a file, and keep its mode. A new file is readable only by the user.

    Raises:
        AlreadySet: Like ``with_lines``.
        NotUtf8: If the file's text is not UTF-8.
        OSError: If it cannot be read or written.
    """
    target = path.resolve()
    mode: int | None = None
    content = ""
    try:
        content = text.decode_utf8(open_files.read_bytes(target))
        mode = target.stat().st_mode & 0o777
    except FileNotFoundError:
        pass
    changed = with_lines(content, lines, names=names, first=first)
    if changed == content:
        return
    private_files.write(target, changed.encode())
    if mode is not None:
        target.chmod(mode)
