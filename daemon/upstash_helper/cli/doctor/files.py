"""Checks of folders and files: owner, mode, those of the folders above, free space, and the ledger."""

from __future__ import annotations

import contextlib
import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.cli.doctor.context import own_uid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

LEDGER_SECONDS: Final = 15.0
LOW_SPACE: Final = 100_000_000
"""In bytes. The log can grow by three megabytes, the ledger by about ten."""
NO_SPACE: Final = 5_000_000

_OVERFLOW_ID: Final = 65_534
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_NO_MODES: Final = "not checked: Windows has no file modes, and protects the user's profile folder"


def folders(context: DoctorContext) -> Iterator[CheckResult]:
    """Who owns the folders, and who can write to them."""
    name, ours = "Folders", context.folders
    if sys.platform == "win32":
        yield ok(name, _NO_MODES)
        return
    problems = {folder: _folder_problem(folder) for folder in (ours.config, ours.state, ours.runtime, ours.logs)}
    for folder, problem in problems.items():
        if problem:
            yield error(name, f"{folder} {problem[0]}", problem[1])
    above = list(_parents(problems))
    for parent in above:
        yield from _parent(name, parent)
    if not any(problems.values()) and not any(True for parent in above for _ in _parent(name, parent)):
        yield ok(name, f"settings in {ours.config}, state in {ours.state}; only you can write to them")


def _folder_problem(folder: Path) -> tuple[str, str] | None:
    """Return the problem of a folder and its fix. A missing folder is created with the right mode when it is needed."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as failure:
        return f"cannot be read: {failure.strerror}.", "Fix the owner and mode of its parent folder."
    writers = {stat.S_IWOTH: "every user", stat.S_IWGRP: "its group"}
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder.", "Move it away: the helper creates the folder."
    if found.st_uid != own_uid():
        return f"is owned by the user with ID {found.st_uid}, not by you.", "Move it away, or run as that user."
    for bit, who in writers.items():
        if found.st_mode & bit:
            return f"is writable by {who}.", f"chmod 700 {shlex.quote(str(folder))}"
    return None


def _parents(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the existing folders above ``folders``, each once, the topmost first."""
    found: dict[Path, None] = {}
    for folder in folders:
        with contextlib.suppress(OSError, RuntimeError):  # a loop of links
            real = folder.resolve()
            found |= dict.fromkeys(parent for parent in reversed(real.parents) if parent.is_dir())
    yield from (parent for parent in found if parent not in folders)


def _parent(name: str, folder: Path) -> Iterator[CheckResult]:
    """
    Yield an error if another user could replace what is in ``folder``, whatever the mode of that is.

    In a sticky folder, such as /tmp, only the owners of a file and of the folder can (inode(7)).
    """
    try:
        found = folder.stat()
    except OSError:
        return
    mode, quoted = stat.S_IMODE(found.st_mode), shlex.quote(str(folder))
    below = "so the folders below it can be replaced"
    # All users that this user namespace does not have get the overflow ID, as in a rootless container.
    if found.st_uid not in {0, own_uid(), _OVERFLOW_ID}:
        detail = f"{folder} is owned by the user with ID {found.st_uid}, {below} by that user"
        yield error(name, detail, f"As an administrator: chown root {quoted}; or set UPSTASH_HELPER_HOME.")
    elif mode & stat.S_ISVTX:
        return
    elif mode & stat.S_IWOTH:
        yield error(name, f"{folder} is writable by every user (mode {mode:04o}), {below}", f"chmod go-w {quoted}")
    elif mode & stat.S_IWGRP and not _is_private_group(found.st_gid):
        detail = f"{folder} is writable by the group with ID {found.st_gid} (mode {mode:04o}), {below} by its members"
        yield warning(name, detail, f"chmod g-w {quoted}")


def _is_private_group(gid: int) -> bool:
    """Return whether nobody but this user is known to be in a group, as in the one that many systems give each user."""
    if sys.platform == "win32":
        return True
    import grp
    import pwd

    try:
        own = pwd.getpwuid(own_uid())
        group = grp.getgrgid(gid)
    except KeyError:
        return False
    return own.pw_gid == gid and group.gr_name == own.pw_name and set(group.gr_mem) <= {own.pw_name}


def files(context: DoctorContext) -> Iterator[CheckResult]:
    """Who owns the files, and who can read them."""
    name = "Files"
    if sys.platform == "win32":
        yield ok(name, _NO_MODES)
        return
    count, healthy = 0, True
    for file, secret in _files(context):
        try:
            found = file.lstat()
        except OSError:
            continue
        count += 1
        problem = _file_problem(file, found)
        if problem is not None:
            healthy = False
            yield (error if secret or not problem.readable_only else warning)(
                name, f"{file} {problem.what}", problem.fix
            )
    if healthy:
        yield ok(name, f"{count} files, accessible only to you" if count else "no files yet")


class _FileProblem(msgspec.Struct, frozen=True):
    what: str
    fix: str
    readable_only: bool = False


def _files(context: DoctorContext) -> Iterator[tuple[Path, bool]]:
    """Yield the files that only the user may read, and whether they contain a secret in plaintext."""
    from upstash_helper.protocol.discovery import DISCOVERY_FILE
    from upstash_helper.protocol.lock import LOCK_FILE

    ours = context.folders
    yield ours.runtime / DISCOVERY_FILE, True
    yield ours.runtime / LOCK_FILE, False
    if context.profile is not None:
        yield context.profile.credential_file, True
    for pattern, folder in (("ledger*.db*", ours.state), ("*.log*", ours.logs)):
        try:
            yield from ((file, False) for file in sorted(folder.glob(pattern)))
        except OSError:
            continue


def _file_problem(file: Path, found: os.stat_result) -> _FileProblem | None:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return _FileProblem(
            "is a symbolic link, which the helper never creates.", f"Check its target, and remove it: {file}"
        )
    if found.st_uid != own_uid():
        return _FileProblem(
            f"is owned by the user with ID {found.st_uid}, not by you.", "Move it away, or run as that user."
        )
    if mode & _OTHERS_WRITE:
        return _FileProblem(f"is writable by other users (mode {mode:04o}).", f"chmod 600 {shlex.quote(str(file))}")
    if mode & _OTHERS:
        fix = f"chmod 600 {shlex.quote(str(file))}"
        return _FileProblem(f"is readable by other users (mode {mode:04o}).", fix, readable_only=True)
    return None


def disk(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether there is enough free space."""
    import shutil

    name, state = "Disk", context.folders.state
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    try:
        free = shutil.disk_usage(existing).free
    except OSError as problem:
        yield warning(name, f"the free space at {existing} is unknown: {problem.strerror}")
        return
    detail = f"{free // 1_000_000} MB free at {existing}"
    if free < NO_SPACE:
        yield error(name, f"{detail}, which is not enough", "Free some space.")
    elif free < LOW_SPACE:
        yield warning(name, f"{detail}, which is low", "Free some space.")
    else:
        yield ok(name, detail)


class _LedgerCheck(msgspec.Struct):
    """The output of ``storage.ledger.check``."""

    state: Literal["ok", "absent", "older", "newer", "foreign", "damaged", "unreadable"]
    version: int
    known: int
    detail: str = ""
    damaged: int = 0
    behind: bool = False


def ledger(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the ledger, which has the apps and the audit log, is intact."""
    from upstash_helper.cli.doctor import subprocesses
    from upstash_helper.system.processes import command_line

    name = "Ledger"
    file = context.folders.ledger_file if context.profile is None else context.profile.ledger_file
    command = command_line(str(file), module="upstash_helper.storage.ledger.check")
    result = subprocesses.run(command, seconds=LEDGER_SECONDS)
    output = result.last_line(_LedgerCheck)
    if output is None:
        why = f": no result within {LEDGER_SECONDS:g} s" if result.code is None else ""
        yield error(name, f"{file} could not be checked{why}", "Check the disk.")
        return
    yield _ledger(name, file, output, context)
    if output.damaged:
        copies = "1 damaged copy is" if output.damaged == 1 else f"{output.damaged} damaged copies are"
        yield warning(
            name,
            f"{copies} next to it ({file}.damaged-…): the disk may be failing",
            "Check the disk, then remove them.",
        )


def _ledger(name: str, file: Path, output: _LedgerCheck, context: DoctorContext) -> CheckResult:
    intact = f"format {output.version}, intact"
    move = "move the file away; apps then have to request access again"
    problems: dict[str, tuple[str, str]] = {
        "newer": (
            f"{file} has format {output.version}, and this version supports at most {output.known}",
            f"Install the newer version of upstash-helper again, or {move}.",
        ),
        "foreign": (f"{file} is another program's database", "Move it away."),
        "damaged": (
            f"{file} is damaged: {output.detail}",
            f"Check the disk. The daemon moves a damaged ledger away when it starts; or {move}.",
        ),
        "unreadable": (
            f"{file} cannot be read: {output.detail}",
            "Fix its owner and mode, and those of its folder.",
        ),
    }
    if output.state in problems:
        return error(name, *problems[output.state])
    if output.state == "absent":
        return ok(name, f"{file} does not exist yet")
    if output.behind:
        detail = f"{intact}; the latest changes are in its journal, which could not be checked"
        return warning(name, detail, f"Start the daemon, which applies them: {context.command('start')}")
    if output.state == "older":
        return ok(name, f"{intact}; the daemon upgrades it to format {output.known} when it starts, and keeps a copy")
    return ok(name, intact)
