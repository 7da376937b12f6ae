"""Files that other programs have open: real ones on Windows, and its errors elsewhere."""

from __future__ import annotations

import ast
import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from install.environment import ROOT
from upstash_helper.system import disk_errors, open_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

windows_only = pytest.mark.skipif(sys.platform != "win32", reason="platform: elsewhere an open file can be replaced")

HOLD = """
import sys
with open(sys.argv[1], "rb"):
    print("open", flush=True)
    sys.stdin.readline()
"""
"""A program that has a file open until it receives a line."""


class WindowsError(PermissionError):
    """An error as Windows reports it."""

    def __init__(self, winerror: int | None) -> None:
        super().__init__(errno.EACCES, os.strerror(errno.EACCES))
        self.winerror = winerror


class Scripted:
    """Fails with the given errors, one at each call, and then returns the number of calls."""

    def __init__(self, *errors: OSError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.calls


@pytest.mark.parametrize("winerror", [5, 32, 33, None])
def test_file_in_use_is_tried_again(winerror: int | None) -> None:
    """Access denied, sharing violation, and lock violation; and EACCES, which the C library makes of them."""
    action = Scripted(WindowsError(winerror), WindowsError(winerror))

    assert 3 == open_files.retried(action, exclusive=True)


def test_file_that_stays_in_use_is_an_error() -> None:
    """The system's own error is raised once the time is over."""
    action = Scripted(*(WindowsError(32) for _ in range(1000)))

    with pytest.raises(WindowsError):
        open_files.retried(action, seconds=0.01, exclusive=True)

    assert action.calls > 1


@pytest.mark.parametrize(
    ("error", "exclusive"),
    [(WindowsError(2), True), (FileNotFoundError(errno.ENOENT, "gone"), True), (WindowsError(32), False)],
    ids=["other Windows error", "missing file", "other system"],
)
def test_other_error_is_raised_at_once(error: OSError, *, exclusive: bool) -> None:
    """Nothing else changes by waiting; elsewhere, EACCES means that access is not allowed."""
    action = Scripted(error)

    with pytest.raises(OSError, match=error.strerror):
        open_files.retried(action, exclusive=exclusive)

    assert 1 == action.calls


@pytest.mark.parametrize(
    ("winerror", "expected"),
    [(32, "because another program"), (33, "because another program"), (5, "access is denied. If another program")],
)
def test_file_in_use_is_explained(winerror: int, expected: str) -> None:
    """The message has the file and what to do. Windows denies access to a file that is replaced, for any reason."""
    error = WindowsError(winerror)
    error.filename, error.filename2 = "draft", "daemon.json"

    text = disk_errors.describe(error) or ""

    assert (True, True) == (text.startswith("daemon.json cannot be changed"), expected in text)
    assert disk_errors.describe(WindowsError(None)) is None


def holding(path: Path) -> subprocess.Popen[bytes]:
    """Start a program that has ``path`` open."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"open")
    return process


@windows_only
@pytest.mark.parametrize("action", ["replace", "remove"])
def test_file_that_another_program_has_open_for_a_moment(action: str, tmp_path: Path) -> None:
    """It is replaced or removed once that program has closed it."""
    path, draft = tmp_path / "daemon.json", tmp_path / "draft"
    path.write_bytes(b"old")
    draft.write_bytes(b"new")
    reader = holding(path)
    tries = 0

    def act() -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            reader.communicate(b"\n")
        if action == "replace":
            draft.replace(path)
        else:
            path.unlink()

    open_files.retried(act)

    assert 3 == tries
    assert (b"new" if action == "replace" else None) == (path.read_bytes() if path.exists() else None)


def test_shared_file_can_be_renamed_and_removed(tmp_path: Path) -> None:
    """A log that is followed can be rotated."""
    path = tmp_path / "a.log"
    path.write_bytes(b"line\n")

    with open_files.open_shared(path) as stream:
        path.rename(tmp_path / "a.log.1")
        path.write_bytes(b"next\n")
        (tmp_path / "a.log.1").unlink()
        read = stream.read()

    assert b"line\n" == read
    assert b"next\n" == path.read_bytes()


# --- everything goes through these functions --------------------------------------------------------------------------

ELSEWHERE: Final = {
    "daemon/upstash_helper/system/open_files.py": "these functions",
    "daemon/upstash_helper/sandbox/redis/valkey.py": "Valkey does not run on Windows",
}


def direct_calls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the name of each call that renames or removes a file or a folder tree."""
    relative = {
        id(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and any((it.arg or "").endswith("dir_fd") for it in node.keywords)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=function) | function if id(function) in relative:
                pass  # Windows has no calls that are relative to an open folder
            case ast.Call(func=ast.Attribute(value=ast.Name(id="os"), attr="replace" | "rename" | "remove" as name)):
                yield node.lineno, f"os.{name}"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="shutil"), attr="rmtree" | "move" as name)):
                yield node.lineno, f"shutil.{name}"
            case ast.Attribute(attr="unlink"):
                yield node.lineno, "unlink"
            case ast.Call(func=ast.Attribute(attr="replace" | "rename" as name, value=owner), args=[_], keywords=[]):
                # Those of a path have one argument; those of a string have two.
                if not (isinstance(owner, ast.Name) and owner.id == "open_files"):
                    yield node.lineno, name
            case _:
                pass


def test_files_are_renamed_and_removed_only_by_these_functions() -> None:
    """A file that is replaced or removed in any other way makes the helper fail on Windows, now and then."""
    paths = [path for folder in ("daemon", "tray", "install") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {
        f"{path.relative_to(ROOT).as_posix()}:{line} {name}"
        for path in paths
        for line, name in direct_calls(ast.parse(path.read_text("utf-8")))
    }

    direct = {each for each in found if each.partition(":")[0] not in ELSEWHERE}

    assert not direct, "Use upstash_helper.system.open_files instead of:\n" + "\n".join(sorted(direct))
    assert set(ELSEWHERE) == {each.partition(":")[0] for each in found}
