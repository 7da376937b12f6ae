"""
The last line of every file that ``install`` writes: that it is ours, of which world, and what it was when written.

So that a file that somebody changed is not overwritten, nor one that was never ours, nor that of another world. It is
the last line because the first has other duties in some formats (``#compdef``, an XML declaration).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_WORDS: Final = "Written by upstash-helper install"
_MARK: Final = re.compile(rf"^.*{_WORDS} \(world ([a-z0-9-]+), sha256 ([0-9a-f]{{64}})\).*\n\Z", re.MULTILINE)

_COMMENT: Final = {".plist": ("<!-- ", " -->"), ".xml": ("<!-- ", " -->"), ".1": ('.\\" ', "")}
"""By a file's ending; in all others a comment is ``# …``."""

Whose = Literal["absent", "ours", "changed", "foreign"]
"""``changed``: written by ``install`` and then by somebody else. ``foreign``: never by ``install``."""

USUAL: Final = "usual"


class Mark(NamedTuple):
    """What a file's last line says."""

    whose: Whose
    world: str = ""


def world_name(root: Path | None) -> str:
    """Return what stands for a world in the mark: ``usual``, or a digest of ``UPSTASH_HELPER_HOME``."""
    return USUAL if root is None else hashlib.sha256(str(root).encode()).hexdigest()[:12]


def marked(text: str, *, ending: str, world: str) -> str:
    """Return ``text`` with the mark as its last line."""
    begin, end = _COMMENT.get(ending, ("# ", ""))
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}{begin}{_WORDS} (world {world}, sha256 {_digest(text)}){end}\n"


def look(path: Path) -> Mark:
    """
    Return whose a file is.

    Raises:
        OSError: If it cannot be read.
    """
    if path.is_symlink():
        return Mark("foreign")
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Mark("absent")
    text = decoded(content)
    found = None if text is None else _MARK.search(text)
    if text is None or found is None:
        return Mark("foreign")
    whose: Whose = "ours" if _digest(text[: found.start()]) == found[2] else "changed"
    return Mark(whose, found[1])


def decoded(content: bytes) -> str | None:
    """Return a file's text, in UTF-8 or, with its byte order mark, UTF-16; None if it is neither."""
    coding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    try:
        return content.decode(coding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
