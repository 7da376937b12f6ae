"""
Whether Git ignores a file, read from the ``.gitignore`` files of its repository.

For information only: unlike ``git check-ignore``, this ignores ``core.excludesFile``, so that it does not have to read
the configuration.

Format: https://git-scm.com/docs/gitignore
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Literal

from upstash_helper.system import git_index, git_patterns

if TYPE_CHECKING:
    from pathlib import Path

    from upstash_helper.system.git_patterns import Pattern

State = Literal["ignored", "not_ignored", "no_repository", "not_known"]

# The app that names a file may have written the patterns. Above these limits, it is not known if one of them matches.
_MAX_SIZE: Final = 128 * 1024
"""Bytes of all files together."""
_MAX_PATTERNS: Final = 2000
"""In all files together."""
_MAX_DEPTH: Final = 100
"""Folders of a path. Each is compared with all patterns."""
_OTHERS: Final = (".jj", ".hg", ".sl", ".svn")
"""
Of Jujutsu, Mercurial, Sapling, and Subversion, whose lists of ignored files are not read. Jujutsu commits each file
that is not ignored, unasked.
"""
_OPEN: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)


class _TooMuch(Exception):
    """There are more or longer patterns than are read."""


def state(path: Path) -> State:
    """
    Return whether Git ignores the file at ``path``, which it does not track.

    Raises:
        Unreadable: If a repository cannot be read.
    """
    innermost = next(git_index.repositories(path.parent), None)
    if _has_other(path.parent, None if innermost is None else innermost[0]):
        return "not_known"
    if innermost is None:
        return "no_repository"
    root, data = innermost
    try:
        return "ignored" if _is_ignored(root, data, path.relative_to(root).parts) else "not_ignored"
    except _TooMuch:
        return "not_known"


def _has_other(folder: Path, root: Path | None) -> bool:
    """
    Return whether a folder is in a repository of another program, which is inside Git's working tree ``root``, if any.
    One in the same folder as ``.git``, as Jujutsu has it, ignores what Git ignores.
    """
    for parent in (folder, *folder.parents):
        if parent == root:
            return False
        if any(os.path.lexists(parent / name) for name in _OTHERS):
            return True
    return False


def _is_ignored(root: Path, data: Path, names: tuple[str, ...]) -> bool:
    if len(names) > _MAX_DEPTH:
        raise _TooMuch
    files = _Files()
    # Those of inner folders count more, and so are last. Each belongs to the folder at a depth.
    patterns = [(0, files.patterns(_common(data) / "info" / "exclude"))]
    for depth in range(len(names)):
        # Git since version 2.32 does not read one that is a symbolic link, since a repository can contain such a link.
        patterns.append((depth, files.patterns(root.joinpath(*names[:depth], ".gitignore"), follow=False)))
        # Git does not look into a folder that is ignored.
        if _matches(patterns, names[: depth + 1], is_folder=depth + 1 < len(names)):
            return True
    return False


def _matches(patterns: list[tuple[int, list[Pattern]]], names: tuple[str, ...], *, is_folder: bool) -> bool:
    """Return whether the last pattern that matches ``names`` ignores them."""
    last = git_patterns.Subject(os.fsencode(names[-1]))
    for depth, group in reversed(patterns):
        if not group:
            continue
        path = git_patterns.Subject(os.fsencode("/".join(names[depth:])))
        for pattern in reversed(group):
            if pattern.only_folders and not is_folder:
                continue
            if (path if pattern.is_path else last).matches(pattern.parts):
                return pattern.is_ignoring
    return False


def _common(data: Path) -> Path:
    """Return the folder that linked working trees of a repository share."""
    first = os.fsdecode(_content(data / "commondir", _MAX_SIZE).partition(b"\n")[0].strip())
    return data / first if first else data


class _Files:
    """Reads files of patterns, and not too many."""

    def __init__(self) -> None:
        self._size, self._count = _MAX_SIZE, _MAX_PATTERNS

    def patterns(self, path: Path, *, follow: bool = True) -> list[Pattern]:
        """Return the patterns of a file; none if it cannot be read, or is a link that is not to be followed."""
        content = _content(path, self._size + 1, follow=follow)
        self._size -= len(content)
        if self._size < 0:
            raise _TooMuch
        found = []
        for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            if line.startswith(b"#"):
                continue
            if len(line) > git_patterns.MAX_PATTERN:
                raise _TooMuch
            if (pattern := git_patterns.parsed(line)) is not None:
                found.append(pattern)
        self._count -= len(found)
        if self._count < 0:
            raise _TooMuch
        return found


def _content(path: Path, limit: int, *, follow: bool = True) -> bytes:
    try:
        if not follow and path.is_symlink():  # Windows has no O_NOFOLLOW
            return b""
        descriptor = os.open(path, _OPEN if follow else _OPEN | _NO_LINK)
    except (OSError, ValueError):  # ValueError: a name with NUL
        return b""
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
