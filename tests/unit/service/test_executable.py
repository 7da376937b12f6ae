"""What a service is made to run: it has to be there tomorrow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upstash_helper.service import executable

STAYS = [
    "/home/zoe/.local/share/pipx/venvs/upstash-helper/bin/python",
    "/home/zoe/.local/share/uv/tools/upstash-helper/bin/python",
    "/home/zoe/src/upstash-helper/.venv/bin/python",
    "/usr/bin/python3",
    "/home/zoe/.cache/other/python",
    "/home/zoe/tmp/python",
]
PASSES = [
    ("/home/zoe/.cache/uv/archive-v0/x7f/bin/python", "uv's cache"),
    ("/home/zoe/.cache/uv/environments-v2/x7f/bin/python", "uv's cache"),
    ("/elsewhere/cache/x7f/bin/python", "uv's cache"),
    ("/home/zoe/.local/share/pipx/.cache/6b/bin/python", "pipx's cache"),
    ("/home/zoe/.local/pipx/.cache/6b/bin/python", "pipx's cache"),
    ("/tmp/venv/bin/python", "temporary files"),  # noqa: S108 - nothing is there
    ("/var/tmp/venv/bin/python", "temporary files"),  # noqa: S108 - as above
    ("/run/user/1000/venv/bin/python", "temporary files"),
]
ENVIRON = {"UV_CACHE_DIR": "/elsewhere/cache", "XDG_RUNTIME_DIR": "/run/user/1000"}


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the paths are those of Unix")
@pytest.mark.parametrize("path", STAYS)
def test_what_is_installed_for_good_can_be_a_service(path: str) -> None:
    """By pipx, by uv, in a virtual environment, in the system."""
    assert executable.obstacle((path, "-P", "-m", "upstash_helper"), ENVIRON) is None


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the paths are those of Unix")
@pytest.mark.parametrize(("path", "place"), PASSES)
def test_what_will_vanish_is_refused_with_the_way_out(path: str, place: str) -> None:
    """A service that leads nowhere would only be noticed at the next login."""
    told = executable.obstacle((path, "-P", "-m", "upstash_helper"), ENVIRON)

    assert told is not None
    assert place in told
    assert path in told
    assert "pipx install upstash-helper" in told


def test_a_path_that_is_no_text_is_refused() -> None:
    """A service manager could not be told."""
    told = executable.obstacle(("/home/zo\udceb/python",), {})

    assert told is not None
    assert "not UTF-8" in told


def test_this_very_python_is_named_by_its_whole_path() -> None:
    """With its own link, by which it finds the packages of its virtual environment."""
    python, *arguments = executable.this_program()

    assert (Path(sys.executable).absolute(), ["-P", "-m", "upstash_helper"]) == (Path(python), arguments)
