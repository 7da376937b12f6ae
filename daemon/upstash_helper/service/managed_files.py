"""
The last line of every file that ``install`` writes: that it is ours, of which world, and what it was when written.

So that a file that somebody changed is not overwritten, nor one that was never ours, nor that of another world. It is
the last line because the first has other duties in some formats (``#compdef``, an XML declaration).
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.service.plan import Plan

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


# What `private_files.write` appends to the name of its temporary file.
_RANDOM: Final = re.compile(r"[a-z0-9_]{8}")

# Folders that install may have made; higher up they are everybody's.
_FOLDERS: Final = frozenset(
    {"completions", "bash-completion", "site-functions", "zsh", "vendor_completions.d", "fish", "man1", "man",
     "user", "systemd", "autostart", "LaunchAgents", "sockets.target.wants", "graphical-session.target.wants"}
)  # fmt: skip


def backup_of(path: Path) -> Path:
    """Return where a copy of ``path`` goes: a name that no manager reads, and that is free."""
    copies = (path.with_name(f"{path.name}.{number}.bak" if number else f"{path.name}.bak") for number in range(1000))
    return next(copy for copy in copies if not copy.exists())


def documents(plan: Plan) -> Iterator[Path]:
    """Return the completions and man pages that are there, of this version or another."""
    for folder, pattern in plan.document_patterns:
        yield from sorted(folder.glob(pattern))


def siblings(plan: Plan) -> list[str]:
    """Return the names of other services of ours."""
    mine = {file.path for file in plan.files} | set(plan.leftovers)
    return [
        path.stem
        for folder, pattern in plan.siblings
        for path in sorted(folder.glob(pattern))
        if path not in mine and look(path).whose in {"ours", "changed"}
    ]


def debris(plan: Plan) -> list[Path]:
    """Return files that a process was killed over while it wrote them."""
    wanted = {(file.path.parent, f".{file.path.stem}-") for file in plan.files}
    return [
        path
        for folder, prefix in sorted(wanted)
        for path in sorted(folder.glob(f"{prefix}*"))
        if _RANDOM.fullmatch(path.name.removeprefix(prefix))
    ]


def additions(plan: Plan) -> list[Path]:
    """Return what the user added to the service: changes beside its units, and copies that install kept."""
    services = [*(file.path for file in plan.files if file.kind != "document"), *plan.leftovers]
    drop_ins = [path.with_name(f"{path.name}.d") for path in services if plan.manager == "systemd"]
    every = {*services, *(file.path for file in plan.files)}
    copies = [copy for path in sorted(every) for copy in sorted(path.parent.glob(f"{path.name}*.bak"))]
    return [path for path in (*drop_ins, *copies) if path.exists()]


def remove(path: Path) -> None:
    """
    Remove a file, a link, or a folder with what is in it.

    Raises:
        OSError: If that cannot be done.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def remove_empty_folders(plan: Plan) -> None:
    """Remove the folders that are empty now and that install may have made."""
    folders = {file.path.parent for file in plan.files} | {link.parent for link in plan.links}
    folders |= {path.parent for path in plan.leftovers} | {folder for folder, _ in plan.document_patterns}
    for folder in sorted(folders, key=lambda one: len(one.parts), reverse=True):
        emptied = folder
        while emptied.name in _FOLDERS:
            with contextlib.suppress(OSError):
                emptied.rmdir()
            emptied = emptied.parent
