"""A full or a read-only disk: one sentence and an exit code, never a traceback. With real file systems."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mounts import run_with_mounts
from tests.support.world import free_port

if TYPE_CHECKING:
    from pathlib import Path

FULL = """
mount -t tmpfs -o size=64k tmpfs "$1"
mkdir "$1/home"
cat /dev/zero > "$1/ballast" || true
"""
READ_ONLY = """
mount -t tmpfs -o size=64k tmpfs "$1"
mount -o remount,ro "$1"
"""


async def run_commands(folder: Path) -> dict[str, Any]:
    """Run commands that write files, each with all its folders on that disk; return exit codes and outputs by name."""
    settings = ("--port", str(free_port()), "--credential-store", "file")
    commands = {
        "run": ("run", *settings),
        "start": ("start", *settings),
        "tray": ("tray", "--backend", "xorg"),
        "show": ("config", "show"),
        "path": ("config", "path"),
        "stop": ("stop",),
    }
    environment = os.environ | {"UPSTASH_HELPER_HOME": str(folder / "home"), "UPSTASH_HELPER_NOTIFICATIONS": "false"}

    async def run(words: tuple[str, ...]) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "upstash_helper", *words), env=environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, errors = await process.communicate()
        return process.returncode or 0, errors.decode()

    # One after the other: `start` would wait for a daemon that `run` has begun to start.
    return {name: await run(words) for name, words in commands.items()}


@pytest.mark.parametrize(
    ("mounts", "reason"), [(FULL, "No space left on device"), (READ_ONLY, "Read-only file system")], ids=["full", "ro"]
)
async def test_commands_end_with_a_sentence(tmp_path: Path, mounts: str, reason: str) -> None:
    """
    Commands that have to write say what cannot be written and what to do; those that only read work.
    """
    ran = await asyncio.to_thread(run_with_mounts, mounts, run_commands, tmp_path)

    assert [] == [name for name, (_, errors) in ran.items() if "Traceback" in errors]
    assert [0, 0, 0] == [ran[name][0] for name in ("show", "path", "stop")]
    for name in ("run", "start"):
        code, errors = ran[name]
        assert code in {1, 2}, errors
        *_, sentence = errors.splitlines()
        assert sentence.startswith("Error: ")
        assert reason in sentence or "is full. Free some space." in sentence
        assert "UPSTASH_HELPER_HOME" in sentence or "Free some space" in sentence
