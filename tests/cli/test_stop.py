"""Stopping a daemon whose discovery file cannot be read, while another one of the user is running."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.daemon import free_port
from tests.support.users import User, two_users
from upstash_helper.cli import exit_codes
from upstash_helper.protocol.discovery import discovery_file
from upstash_helper.protocol.lock import LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

if sys.platform != "linux":
    pytest.skip("platform: only Linux reveals who holds a lock", allow_module_level=True)

HOLD = """
import fcntl, os, sys
os.makedirs(sys.argv[1], mode=0o700)
open(os.path.join(sys.argv[1], "daemon.json"), "x").close()
file = open(os.path.join(sys.argv[1], sys.argv[2]), "x")
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="user")
def _user() -> Iterator[User]:
    """An ordinary user, who cannot list the open files of a daemon."""
    with two_users() as (user, _):
        try:
            yield user
        finally:
            for process in psutil.process_iter():
                with contextlib.suppress(psutil.Error):
                    if process.environ().get("HOME") == str(user.home):
                        process.kill()


def runtime_of(user: User, profile: str) -> Path:
    """Return the runtime folder of a profile."""
    return user.home / ".local" / "state" / "upstash-helper" / "profiles" / profile / "run"


async def start(user: User, profile: str) -> psutil.Process:
    """Start the daemon of a profile."""
    settings = ("--port", str(free_port()), "--credential-store", "memory", "--json")
    started = await user.helper("--profile", profile, "start", *settings)
    assert 0 == started.code, started.err
    return psutil.Process(started.json["pid"])


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, even if nobody has asked for its exit code."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


async def test_stop_ends_the_daemon_that_holds_the_lock(user: User) -> None:
    """
    Of two daemons, the right one is stopped.
    """
    first, second = await start(user, "first"), await start(user, "second")
    discovery_file(runtime_of(user, "first")).write_bytes(b"")

    stopped = await user.helper("--profile", "first", "stop")
    ended = [has_ended(first), has_ended(second)]

    assert 0 == stopped.code, stopped.err
    assert [True, False] == ended


async def test_stop_ends_no_other_daemon(user: User) -> None:
    """
    If the process that holds the lock is no daemon of the user, such as one in a container that shares the folder, the
    user's only other daemon keeps running.
    """
    second = await start(user, "second")
    arguments = (sys.executable, "-I", "-S", "-c", HOLD, str(runtime_of(user, "first")), LOCK_FILE)
    with user.start(*arguments) as program:
        assert program.stdout is not None
        assert "locked\n" == program.stdout.readline()
        refused = await user.helper("--profile", "first", "stop")
        has_second_ended = has_ended(second)
        program.kill()

    assert exit_codes.FAILURE == refused.code
    assert "The daemon did not stop" in refused.err
    assert not has_second_ended
