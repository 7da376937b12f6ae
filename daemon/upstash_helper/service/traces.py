"""What installations leave on a disk, and how it is found and removed again."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.service import managed_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.service.plan import Plan

# What tempfile.mkstemp puts behind the prefix.
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
        if path not in mine and managed_files.look(path).whose in {"ours", "changed"}
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
