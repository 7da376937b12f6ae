"""A daemon that may open only a few files, as in some containers, stays under its owner's control."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from upstash_helper.api.server.connections import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform != "linux":
    pytest.skip("platform: only Linux has prlimit and /proc", allow_module_level=True)

import resource

FEW = 40
PARTIAL = b"POST /v1/pairings HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
def restricted(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon in the background that may open few files."""
    settings = {"UPSTASH_HELPER_CREDENTIAL_STORE": "memory", "UPSTASH_HELPER_NOTIFICATIONS": "false"}
    daemon = DaemonProcess(tmp_path / "home", environment=settings)
    daemon.environment["UPSTASH_HELPER_PORT"] = str(daemon.port)
    command = ("prlimit", f"--nofile={FEW}:{FEW}", sys.executable, "-m", "upstash_helper")
    subprocess.run((*command, "start"), env=daemon.environment, check=True, capture_output=True)
    try:
        yield daemon
    finally:
        subprocess.run((*command, "stop"), env=daemon.environment, check=True, capture_output=True)


async def test_connections_do_not_use_up_all_descriptors(restricted: DaemonProcess) -> None:
    """
    With hundreds of connections, the owner's commands work at once, also those that open the ledger.
    """
    with contextlib.ExitStack() as stack:
        for number in range(300):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", restricted.port)))
            if number % 2:
                with contextlib.suppress(OSError):  # it has been closed for another one
                    one.send(PARTIAL)
        words = (("open",), ("disconnect", "--yes"), ("apps", "list"), ("stop",))
        ran = [await run_cli(*each, environment=restricted.environment) for each in words]

    assert [0] * len(words) == [one.code for one in ran], [one.err for one in ran]
    assert [False] * len(words) == ["could not be saved" in one.err for one in ran]


async def test_daemon_that_cannot_accept_connections_is_stopped_by_a_signal(restricted: DaemonProcess) -> None:
    """
    Whatever has used up the descriptors, `stop` ends the daemon, which then ends in order.
    """
    pid = restricted.client.status().pid
    used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used - 2, used - 2))

    stopped = await run_cli("stop", environment=restricted.environment)

    assert (0, "The daemon was stopped.\n") == (stopped.code, stopped.out)
    assert '"event":"stopping"' in restricted.log


@pytest.mark.parametrize("descriptors", [16, 32, 64, 100, 256, 512, 1024, 65_536])
def test_limits_leave_descriptors_for_the_rest(descriptors: int) -> None:
    """
    The daemon's own files and requests always have some; with enough, the limits are the usual ones.
    """
    limits = Limits().within(descriptors)

    assert limits.connections + limits.silent <= max(8, descriptors // 4, descriptors - 160)
    assert 0 < limits.requests_per_app <= limits.app_requests < limits.connections
    assert (limits == Limits()) == (descriptors >= 1024)
