"""The command that a service runs must be installed permanently."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upstash_helper.service import executable

PERMANENT = [
    "/home/zoe/.local/share/pipx/venvs/upstash-helper/bin/python",
    "/home/zoe/.local/share/uv/tools/upstash-helper/bin/python",
    "/home/zoe/src/upstash-helper/.venv/bin/python",
    "/usr/bin/python3",
    "/home/zoe/.cache/other/python",
    "/home/zoe/tmp/python",
]
TEMPORARY = [
    ("/home/zoe/.cache/uv/archive-v0/x7f/bin/python", "uv's cache"),
    ("/home/zoe/.cache/uv/environments-v2/x7f/bin/python", "uv's cache"),
    ("/elsewhere/cache/x7f/bin/python", "uv's cache"),
    ("/home/zoe/.local/share/pipx/.cache/6b/bin/python", "pipx's cache"),
    ("/home/zoe/.local/pipx/.cache/6b/bin/python", "pipx's cache"),
    ("/tmp/venv/bin/python", "temporary files"),  # noqa: S108 - no file is created there
    ("/var/tmp/venv/bin/python", "temporary files"),  # noqa: S108 - as above
    ("/run/user/1000/venv/bin/python", "temporary files"),
]
ENVIRON = {"UV_CACHE_DIR": "/elsewhere/cache", "XDG_RUNTIME_DIR": "/run/user/1000"}


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the paths are those of Unix")
@pytest.mark.parametrize("path", PERMANENT)
def test_permanent_program_is_accepted(path: str) -> None:
    """Programs installed by pipx, by uv, in a virtual environment, or in the system are accepted."""
    assert executable.unsuitable_reason((path, "-P", "-m", "upstash_helper"), ENVIRON) is None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the paths are those of Unix")
@pytest.mark.parametrize(("path", "place"), TEMPORARY)
def test_temporary_program_is_rejected_with_a_solution(path: str, place: str) -> None:
    """A program in a cache or a temporary folder is rejected, with a solution."""
    reason = executable.unsuitable_reason((path, "-P", "-m", "upstash_helper"), ENVIRON)

    assert reason is not None
    assert place in reason
    assert path in reason
    assert "install/install.py" in reason
    assert "pipx install" not in reason
    assert "uv tool install" not in reason


def test_path_that_is_not_utf8_is_rejected() -> None:
    """A path that is not UTF-8 cannot be written to a service file."""
    reason = executable.unsuitable_reason(("/home/zo\udceb/python",), {})

    assert reason is not None
    assert "not UTF-8" in reason


def test_program_is_the_absolute_path_of_this_python() -> None:
    """The program is the absolute path of this Python, with the virtual environment's link not resolved."""
    python, *arguments = executable.this_program()

    assert (Path(sys.executable).absolute(), ["-P", "-m", "upstash_helper"]) == (Path(python), arguments)
