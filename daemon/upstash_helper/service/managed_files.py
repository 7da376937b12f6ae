"""
The files that ``install`` writes: their marker, and which other files belong to an installation.

The last line of each file is a marker: a comment with the ID of the ``UPSTASH_HELPER_HOME`` that the file belongs to,
and a digest of the file. It shows whether ``install`` wrote the file, and whether it was changed since, so that files
of the user and of other installations are not overwritten. It is the last line because some formats need the first one
(``#compdef``, an XML declaration).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from upstash_helper.system import open_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.service.plan import Plan

# Earlier versions wrote the same marker. It must not change, or an upgrade would not recognize their files.
_MARKER: Final = "Written by upstash-helper install"
_MARKER_LINE: Final = re.compile(rf"^.*{_MARKER} \(world ([a-z0-9-]+), sha256 ([0-9a-f]{{64}})\).*\n\Z", re.MULTILINE)
DEFAULT_HOME: Final = "usual"

_COMMENT: Final = {".plist": ("<!-- ", " -->"), ".xml": ("<!-- ", " -->"), ".1": ('.\\" ', "")}
"""The start and end of a comment, by file extension. In all other files a comment is ``# …``."""

Ownership = Literal["absent", "unmodified", "modified", "foreign"]
"""``modified``: written by ``install`` and changed since. ``foreign``: not written by ``install``."""

# What `private_files.write` appends to the name of its temporary file.
_TEMPORARY_SUFFIX: Final = re.compile(r"[a-z0-9_]{8}")

# Folders that install may have created. Their parent folders are shared with other programs.
_FOLDERS: Final = frozenset(
    {"completions", "bash-completion", "site-functions", "zsh", "vendor_completions.d", "fish", "man1", "man",
     "user", "systemd", "autostart", "LaunchAgents", "sockets.target.wants", "graphical-session.target.wants"}
)  # fmt: skip


class FileState(NamedTuple):
    """What a file's marker shows."""

    ownership: Ownership
    home_id: str = ""

    @property
    def is_managed(self) -> bool:
        """Whether ``install`` wrote the file, changed since or not."""
        return self.ownership in {"unmodified", "modified"}


def home_id(root: Path | None) -> str:
    """Return the ID of an ``UPSTASH_HELPER_HOME`` in markers: ``usual`` if it is not set, otherwise a digest."""
    return DEFAULT_HOME if root is None else hashlib.sha256(str(root).encode()).hexdigest()[:12]


def with_marker(text: str, *, extension: str, home_id: str) -> str:
    """Return ``text`` with the marker as its last line."""
    begin, end = _COMMENT.get(extension, ("# ", ""))
    text = text if text.endswith("\n") else f"{text}\n"
    return f"{text}{begin}{_MARKER} (world {home_id}, sha256 {_digest(text)}){end}\n"


def inspect(path: Path) -> FileState:
    """
    Return whether ``install`` wrote a file, for which home, and whether it was changed since.

    Raises:
        OSError: If the file cannot be read.
    """
    if path.is_symlink():
        return FileState("foreign")
    try:
        content = open_files.read_bytes(path)
    except FileNotFoundError:
        return FileState("absent")
    text = decode(content)
    marker = None if text is None else _MARKER_LINE.search(text)
    if text is None or marker is None:
        return FileState("foreign")
    ownership: Ownership = "unmodified" if _digest(text[: marker.start()]) == marker[2] else "modified"
    return FileState(ownership, marker[1])


def decode(content: bytes) -> str | None:
    """Return a file's text, in UTF-8 or in UTF-16 with a byte order mark. None if it is neither."""
    encoding = "utf-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8"
    try:
        return content.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError:
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


# --- the files of an installation ---


def backup_path(path: Path) -> Path:
    """Return an unused path for a copy of ``path``, with a name that no service manager reads."""
    copies = (path.with_name(f"{path.name}.{number}.bak" if number else f"{path.name}.bak") for number in range(1000))
    return next(copy for copy in copies if not copy.exists())


def documents(plan: Plan) -> Iterator[Path]:
    """Return the installed completion scripts and man pages, of any version."""
    for folder, pattern in plan.document_patterns:
        yield from sorted(folder.glob(pattern))


def other_services(plan: Plan) -> list[str]:
    """Return the names of other profiles' installed services."""
    own = {file.path for file in plan.files} | set(plan.leftovers)
    return [
        path.stem
        for folder, pattern in plan.other_services
        for path in sorted(folder.glob(pattern))
        if path not in own and inspect(path).is_managed
    ]


def temporary_files(plan: Plan) -> list[Path]:
    """Return temporary files left by an installation that was interrupted while it wrote them."""
    prefixes = {(file.path.parent, f".{file.path.stem}-") for file in plan.files}
    return [
        path
        for folder, prefix in sorted(prefixes)
        for path in sorted(folder.glob(f"{prefix}*"))
        if _TEMPORARY_SUFFIX.fullmatch(path.name.removeprefix(prefix))
    ]


def user_files(plan: Plan) -> list[Path]:
    """Return drop-ins that the user added to the units, and backups of files that the user changed."""
    services = [*(file.path for file in plan.files if file.kind != "document"), *plan.leftovers]
    drop_ins = [path.with_name(f"{path.name}.d") for path in services if plan.manager == "systemd"]
    every = {*services, *(file.path for file in plan.files)}
    backups = [backup for path in sorted(every) for backup in sorted(path.parent.glob(f"{path.name}*.bak"))]
    return [path for path in (*drop_ins, *backups) if path.exists()]


def remove(path: Path) -> None:
    """
    Remove a file, a link, or a folder with its content.

    Raises:
        OSError: If it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        open_files.remove_tree(path)
    else:
        open_files.remove(path, missing_ok=False)


def remove_empty_folders(plan: Plan) -> None:
    """Remove the folders that install may have created, if they are empty."""
    folders = {file.path.parent for file in plan.files} | {link.parent for link in plan.links}
    folders |= {path.parent for path in plan.leftovers} | {folder for folder, _ in plan.document_patterns}
    for start in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
        folder = start
        while folder.name in _FOLDERS:
            with contextlib.suppress(OSError):
                folder.rmdir()
            folder = folder.parent
