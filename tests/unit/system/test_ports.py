"""Who has a port, in words for a person."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from upstash_helper.system.ports import UNNAMED, describe_process, holder, listeners, user_name

posix = pytest.mark.skipif(sys.platform == "win32", reason="platform: users have numbers on POSIX")


@posix
def test_a_user_has_a_name_or_a_number() -> None:
    """
    Messages name a user by the name, or by the id if it has none.
    """
    assert ["root", "4000000000", "-2"] == [user_name(uid) for uid in (0, 4_000_000_000, -2)]


@posix
def test_what_a_program_calls_itself_is_no_command_for_the_terminal(tmp_path: Path) -> None:
    """
    A name that was chosen to look like something else is shown without its control characters.
    """
    program = tmp_path / "sl\x1b[2K\neep"
    shutil.copy(shutil.which("sleep") or "", program)
    with subprocess.Popen([program, "60"]) as process:
        try:
            assert f"sl[2Keep (process {process.pid})" == describe_process(process.pid)
        finally:
            process.kill()


def test_a_process_that_has_gone_is_a_number() -> None:
    """
    Who listened a moment ago may be away when its name is asked for.
    """
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert f"process {process.pid}" == describe_process(process.pid)


def test_who_listens_is_told_by_address_and_process() -> None:
    """
    A socket that listens on all addresses is found by the one of the loopback interface; nobody is somebody unnamed.
    """
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        found, words = listeners(port), holder("127.0.0.1", port)

    assert [("0.0.0.0", True)] == [(ip, pid is not None) for ip, pid in found or ()]
    assert "python" in words
    assert UNNAMED == holder("127.0.0.1", port)
