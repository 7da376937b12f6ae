"""Containers: a read-only system, and a user without a home folder. With real file systems."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mounts import run_with_mounts
from tests.support.world import free_port

if TYPE_CHECKING:
    from pathlib import Path

READ_ONLY = """
for place in $(cut -d' ' -f5 /proc/self/mountinfo | grep -v -E '^/(proc|sys|dev)(/|$)'); do
  mount -o remount,bind,ro "$place" 2>/dev/null || true
done
mount --bind / / && mount -o remount,bind,ro /
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"
cd /
! touch "$1/file" 2>/dev/null
"""
"""As in a container of ``docker run --read-only``: not even /tmp can be written."""
WITH_TMPFS = f"""{READ_ONLY}
mount -t tmpfs tmpfs "$1"
"""

WRITERS = ("run", "start", "install")


async def commands(
    *lines: str, environment: dict[str, str], prefix: tuple[str, ...] = ()
) -> dict[str, tuple[int, str]]:
    """Run commands at the same time. Return their exit codes and what they wrote."""
    ran = await asyncio.gather(*(command(*line.split(), environment=environment, prefix=prefix) for line in lines))
    return dict(zip(lines, ran, strict=True))


async def command(*words: str, environment: dict[str, str], prefix: tuple[str, ...] = ()) -> tuple[int, str]:
    """Run a command with nothing but these variables. Return its exit code, and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        *(*prefix, sys.executable, "-P", "-m", "upstash_helper", *words), env=environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    except TimeoutError:
        process.kill()  # or a daemon that should not have started would stay
        raise
    return process.returncode or 0, out.decode()


async def use_a_read_only_system(folder: Path) -> dict[str, Any]:
    """Run commands with a home folder that cannot be written, and one that does not exist."""
    variables = {"PATH": os.environ["PATH"], "UPSTASH_HELPER_PORT": str(free_port())}
    readers = ("status", "stop", "config path", "doctor", "uninstall --dry-run")
    return {
        "read-only": await commands(*readers, *WRITERS, "sandbox", environment=variables | {"HOME": str(folder)}),
        "missing": await commands("status", "start", environment=variables | {"HOME": "/nonexistent"}),
    }


def test_read_only_system_without_a_runtime_folder(tmp_path: Path) -> None:
    """
    Every command works, or ends with a sentence about what cannot be written and what to do.
    """
    seen = run_with_mounts(READ_ONLY, use_a_read_only_system, tmp_path)
    ran = seen["read-only"]

    assert {} == {name: out for name, (_, out) in [*ran.items(), *seen["missing"].items()] if "Traceback" in out}
    for code, out in (ran["run"], ran["start"], seen["missing"]["start"]):
        assert 2 == code
        assert "cannot be created: Read-only file system. To use another location for all folders" in out
    assert {0} == {ran[name][0] for name in ("stop", "config path")}
    assert "The daemon is not running. Start it with: upstash-helper start\n" == ran["status"][1]
    assert "Read-only file system" in ran["sandbox"][1]


async def use_one_writable_folder(folder: Path) -> dict[str, Any]:
    """Run a daemon where only this folder can be written."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "UPSTASH_HELPER_HOME": str(folder / "helper"),
        "UPSTASH_HELPER_PORT": str(free_port()),
        "UPSTASH_HELPER_CREDENTIAL_STORE": "file",
        "UPSTASH_HELPER_NOTIFICATIONS": "false",
    }
    return {words: await command(*words.split(), environment=environment) for words in USED}


USED = ("start", "apps list", "open", "stop")


def test_read_only_system_with_a_tmpfs(tmp_path: Path) -> None:
    """
    The helper works if UPSTASH_HELPER_HOME is the only place that can be written, as with ``--tmpfs``.
    """
    ran = run_with_mounts(WITH_TMPFS, use_one_writable_folder, tmp_path)

    assert dict.fromkeys(USED, 0) == {words: code for words, (code, _) in ran.items()}, ran


NO_ENTRY = ("unshare", "--user", "--map-user=54321")
"""As with ``docker run --user 54321``: the system does not know this user."""


async def test_user_without_a_home_folder(tmp_path: Path) -> None:
    """
    A user without an entry gets a sentence about what to set. With UPSTASH_HELPER_HOME, the helper works.
    """
    if subprocess.run((*NO_ENTRY, "true"), capture_output=True, check=False).returncode:
        pytest.skip("this system allows no user namespaces")
    bare = {"PATH": os.environ["PATH"], "UPSTASH_HELPER_PORT": str(free_port())}
    own = bare | {
        "UPSTASH_HELPER_HOME": str(tmp_path / "own"),
        "UPSTASH_HELPER_CREDENTIAL_STORE": "memory",
        "UPSTASH_HELPER_NOTIFICATIONS": "false",
    }

    without = await commands("status", "run", "stop", "doctor", "install", "sandbox", environment=bare, prefix=NO_ENTRY)
    without["~"] = await command("status", environment=bare | {"UPSTASH_HELPER_HOME": "~/helper"}, prefix=NO_ENTRY)
    used = {words: await command(*words.split(), environment=own, prefix=NO_ENTRY) for words in (*USED, "install")}

    assert {} == {words: out for words, (_, out) in without.items() if "our home folder is unknown" not in out}
    assert dict.fromkeys(without, 2) | {"sandbox": 1} == {words: code for words, (code, _) in without.items()}
    assert dict.fromkeys(USED, 0) | {"install": 2} == {words: code for words, (code, _) in used.items()}, used
