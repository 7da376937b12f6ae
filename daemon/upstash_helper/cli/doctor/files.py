"""The checks of folders and files: whose they are, who may read them, whether there is room, and the ledger."""

from __future__ import annotations

import os
import shlex
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.cli.doctor.check import Finding, error, ok, warning
from upstash_helper.cli.doctor.context import own_uid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import Facts

LEDGER_SECONDS: Final = 15.0
LITTLE_ROOM: Final = 100_000_000
"""Bytes. The log may grow by three megabytes, the ledger by some ten."""
NO_ROOM: Final = 5_000_000

_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_NO_MODES: Final = "not looked at: Windows has no modes; the user's profile folder is closed to others"


def folders(facts: Facts) -> Iterator[Finding]:
    """Whose the folders are, and who can put files there."""
    name, ours = "Folders", facts.folders
    if sys.platform == "win32":
        yield ok(name, _NO_MODES)
        return
    doubts = {folder: _doubt_of_folder(folder) for folder in (ours.config, ours.state, ours.runtime, ours.logs)}
    for folder, doubt in doubts.items():
        if doubt:
            yield error(name, f"{folder} {doubt[0]}", doubt[1])
    if not any(doubts.values()):
        yield ok(name, f"settings in {ours.config}, state in {ours.state}; nobody else can write there")


def _doubt_of_folder(folder: Path) -> tuple[str, str] | None:
    """Return what is wrong with a folder, and the fix. One that is not there yet is made rightly when it is needed."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as problem:
        return f"cannot be looked at: {problem.strerror}.", "Mend the owner and mode of the folder above it."
    writers = {stat.S_IWOTH: "every user of this machine", stat.S_IWGRP: "the users of its group"}
    if not stat.S_ISDIR(found.st_mode):
        return "is no folder.", "Move it away: the helper makes the folder itself."
    if found.st_uid != own_uid():
        return f"belongs to the user with id {found.st_uid}, not to you.", "Move it away, or run as that user."
    for bit, who in writers.items():
        if found.st_mode & bit:
            return f"can be written to by {who}.", f"chmod 700 {shlex.quote(str(folder))}"
    return None


def files(facts: Facts) -> Iterator[Finding]:
    """Whose the files are, and who can read them."""
    name = "Files"
    if sys.platform == "win32":
        yield ok(name, _NO_MODES)
        return
    count, well = 0, True
    for file, secret in _files(facts):
        try:
            found = file.lstat()
        except OSError:
            continue
        count += 1
        doubt = _doubt_of_file(file, found)
        if doubt is not None:
            well = False
            yield (error if secret or not doubt.readable_only else warning)(name, f"{file} {doubt.what}", doubt.fix)
    if well:
        yield ok(name, f"{count} files, each yours alone" if count else "there are none yet")


class _Doubt(msgspec.Struct, frozen=True):
    what: str
    fix: str
    readable_only: bool = False


def _files(facts: Facts) -> Iterator[tuple[Path, bool]]:
    """Yield the files that are the user's alone, and whether they hold a secret as it is."""
    from upstash_helper.protocol.discovery import DISCOVERY_FILE
    from upstash_helper.protocol.lock import LOCK_FILE

    ours = facts.folders
    yield ours.runtime / DISCOVERY_FILE, True
    yield ours.runtime / LOCK_FILE, False
    if facts.world is not None:
        yield facts.world.credential_file, True
    for pattern, folder in (("ledger.db*", ours.state), ("*.log*", ours.logs)):
        try:
            yield from ((file, False) for file in sorted(folder.glob(pattern)))
        except OSError:
            continue


def _doubt_of_file(file: Path, found: os.stat_result) -> _Doubt | None:
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return _Doubt("is a link, which the helper never makes.", f"Look where it leads, and remove it: {file}")
    if found.st_uid != own_uid():
        return _Doubt(f"belongs to the user with id {found.st_uid}, not to you.", "Move it away, or run as that user.")
    if mode & _OTHERS_WRITE:
        return _Doubt(f"can be written by others (mode {mode:04o}).", f"chmod 600 {shlex.quote(str(file))}")
    if mode & _OTHERS:
        fix = f"chmod 600 {shlex.quote(str(file))}"
        return _Doubt(f"can be read by others (mode {mode:04o}).", fix, readable_only=True)
    return None


def disk(facts: Facts) -> Iterator[Finding]:
    """Whether there is room for what the helper remembers."""
    import shutil

    name, state = "Disk", facts.folders.state
    there = next(folder for folder in (state, *state.parents) if folder.exists())
    try:
        free = shutil.disk_usage(there).free
    except OSError as problem:
        yield warning(name, f"{there}: its free space is not told: {problem.strerror}")
        return
    detail = f"{free // 1_000_000} MB are free at {there}"
    if free < NO_ROOM:
        yield error(name, f"{detail}, too little to go on", "Free some space there.")
    elif free < LITTLE_ROOM:
        yield warning(name, f"{detail}, which is little", "Free some space there.")
    else:
        yield ok(name, detail)


class _Checked(msgspec.Struct):
    """What ``storage.ledger_check`` says."""

    state: Literal["ok", "absent", "older", "newer", "foreign", "damaged", "unreadable"]
    version: int
    known: int
    detail: str = ""
    damaged: int = 0
    behind: bool = False


def ledger(facts: Facts) -> Iterator[Finding]:
    """Whether the file in which the helper remembers apps is sound."""
    from upstash_helper.cli.daemon.spawn import command_line
    from upstash_helper.cli.doctor import subprocesses

    name, file = "Ledger", facts.folders.ledger_file
    command = command_line(str(file), module="upstash_helper.storage.ledger.check")
    ended = subprocesses.run(command, seconds=LEDGER_SECONDS)
    checked = ended.last_line(_Checked)
    if checked is None:
        how = f"within {LEDGER_SECONDS:g} s" if ended.code is None else "at all"
        yield error(name, f"{file} could not be looked at {how}", "Check the disk.")
        return
    yield _ledger(name, file, checked, facts)
    if checked.damaged:
        lie = "damaged file lies" if checked.damaged == 1 else "damaged files lie"
        yield warning(
            name,
            f"{checked.damaged} {lie} beside it ({file}.damaged-…): the disk may be failing",
            "Check the disk, then remove them.",
        )


def _ledger(name: str, file: Path, checked: _Checked, facts: Facts) -> Finding:
    sound = f"format {checked.version}, sound"
    anew = "move the file away: apps must then ask to be let in anew"
    words: dict[str, tuple[str, str]] = {
        "newer": (
            f"{file} has format {checked.version}, and this version knows {checked.known} at most",
            f"Install the newer version of upstash-helper again, or {anew}.",
        ),
        "foreign": (f"{file} is a database of another program", "Move it away."),
        "damaged": (
            f"{file} is damaged: {checked.detail}",
            f"Check the disk. The daemon moves it aside when it finds the damage; or {anew}.",
        ),
        "unreadable": (
            f"{file} cannot be read: {checked.detail}",
            "Mend its owner and mode, and its folder's.",
        ),
    }
    if checked.state in words:
        return error(name, *words[checked.state])
    if checked.state == "absent":
        return ok(name, f"{file}: there is none yet")
    if checked.behind:
        detail = f"{sound}; what was written last is beside it and could not be looked at"
        return warning(name, detail, f"Start the helper, which takes it in: {facts.command('start')}")
    if checked.state == "older":
        return ok(name, f"{sound}; the daemon brings it to format {checked.known} when it starts, after a copy")
    return ok(name, sound)
