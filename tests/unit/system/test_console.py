"""The standard streams, on systems that answer differently."""

from __future__ import annotations

import ast
import errno
import io
import os
from pathlib import Path

import pytest

from upstash_helper.system.console import is_closed_pipe, is_terminal

ROOT = Path(__file__).parents[3]


class Device(io.StringIO):
    """A stream on a character device, as ``isatty`` of Windows sees it."""

    def isatty(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return a descriptor."""
        return 7


@pytest.mark.parametrize("is_console", [True, False], ids=["console", "NUL"])
def test_only_a_console_is_a_terminal(*, is_console: bool) -> None:
    """For Windows' null device, ``isatty`` is true, so a question would go to nobody."""
    assert is_console == is_terminal(Device(), has_console=lambda descriptor: descriptor == 7 and is_console)


def test_what_is_no_terminal() -> None:
    """Null devices, pipes, files, and streams that are closed or missing."""
    closed = io.StringIO()
    closed.close()
    read, write = os.pipe()
    with open(os.devnull) as null, os.fdopen(read) as pipe, os.fdopen(write, "w"):  # noqa: PTH123 - a device
        assert [False] * 4 == [is_terminal(each) for each in (null, pipe, closed, None)]


def test_invalid_argument_is_a_closed_pipe_on_windows_only() -> None:
    """Elsewhere it is an error that the user must see."""
    invalid, full = OSError(errno.EINVAL, "Invalid argument"), OSError(errno.ENOSPC, "No space left")

    assert [True, False, True] == [is_closed_pipe(invalid, platform=it) for it in ("win32", "linux")] + [
        is_closed_pipe(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    ]
    assert not is_closed_pipe(full, platform="win32")


def test_terminals_are_recognized_in_one_place() -> None:
    """``isatty`` is asked only here, and where the code is not for Windows."""
    allowed = {"daemon/upstash_helper/system/console.py", "daemon/upstash_helper/cli/typed_lines.py"}

    asking = {
        path.relative_to(ROOT).as_posix()
        for folder in ("daemon", "tray", "install")
        for path in (ROOT / folder).rglob("*.py")
        if any(
            isinstance(node, ast.Attribute) and node.attr == "isatty" for node in ast.walk(ast.parse(path.read_bytes()))
        )
    }

    assert allowed == asking
