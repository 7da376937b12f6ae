"""Descriptions of the program that listens on a port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.platforms import not_under_wine
from upstash_helper.system.ports import (
    UNNAMED,
    describe_process,
    holder,
    known_process,
    listeners,
    own_listeners,
    user_name,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="platform: users have numbers on POSIX")


@posix
def test_user_name_falls_back_to_the_id() -> None:
    """
    Messages name a user by name, or by id if there is none.
    """
    assert ["root", "4000000000", "-2"] == [user_name(uid) for uid in (0, 4_000_000_000, -2)]


@posix
def test_process_name_is_printable(tmp_path: Path) -> None:
    """
    Control characters of a process's name are escaped.
    """
    program = tmp_path / "sl\x1b[2K\neep"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            assert f"sl\\x1b[2K\\x0aeep (process {process.pid})" == describe_process(process.pid)
        finally:
            process.kill()


def test_ended_process_is_described_by_its_id() -> None:
    """
    A listener may have ended before its name is looked up.
    """
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert f"process {process.pid}" == describe_process(process.pid)


@not_under_wine("reports no owners of sockets")
def test_wildcard_listener_is_found_by_the_loopback_address() -> None:
    """
    A socket that listens on all addresses is found, and an unused port has no name.
    """
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        found, words = listeners(port), holder("127.0.0.1", port)

    assert [("0.0.0.0", True)] == [(ip, pid is not None) for ip, pid in found or ()]
    assert "python" in words
    assert UNNAMED == holder("127.0.0.1", port)


def listening(*, pid: int | None) -> Any:
    """Return a source of connections: a listener on port 4000, with this owner."""
    connection = SimpleNamespace(laddr=SimpleNamespace(ip="127.0.0.1", port=4000), status="LISTEN", pid=pid)
    return lambda _kind: [connection]


def test_process_0_owns_no_port() -> None:
    """
    Windows reports it for an owner that has ended, and names it "System Idle Process".
    """
    unknown, known = (listeners(4000, connections=listening(pid=pid)) for pid in (0, 4))

    assert [("127.0.0.1", None)] == unknown
    assert [("127.0.0.1", 4)] == known
    assert (None, None, 7) == tuple(map(known_process, (0, None, 7)))


@not_under_wine("reports no owners of sockets")
def test_own_listener_is_found_by_asking_each_process() -> None:
    """
    On macOS, only those of the user's own processes are listed.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = own_listeners(port)

    assert [("127.0.0.1", os.getpid())] == found
    assert [] == own_listeners(port)
