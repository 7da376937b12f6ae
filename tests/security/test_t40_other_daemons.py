"""T40: no secret is sent to another program that has the port, and the user learns which program it is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment
from tests.support.other_programs import NOBODY, HttpServer, other_program, skip_unless_root
from tests.support.process import own_name
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import InstanceLock
from upstash_helper.system.ports import holder

if TYPE_CHECKING:
    from pathlib import Path

# Loads all imports while the process can still read them.
HOLDER_AS_ANOTHER_USER = """
import os, sys
import psutil, pwd
from upstash_helper.system import peers, ports, socket_owners
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
print(ports.holder("127.0.0.1", int(sys.argv[1])))
"""


def settings(home: Path, port: int) -> dict[str, str]:
    """Return the environment of a user whose daemon is configured for this port."""
    ours = {"HOME": str(home), "PORT": str(port), "CREDENTIAL_STORE": "memory", "OPEN_BROWSER": "false"}
    return clean_environment() | {f"UPSTASH_HELPER_{name}": value for name, value in ours.items()}


async def test_t40_second_daemon_does_not_contact_the_port(tmp_path: Path) -> None:
    """
    The lock shows that a daemon of this user is running: a second one exits with success, without contacting the
    port.
    """
    async with HttpServer.listening() as server:
        environment = settings(tmp_path, server.port)
        with InstanceLock(tmp_path / "run"):
            ran = await run_cli("run", environment=environment)

        assert exit_codes.OK == ran.code
        assert "already running" in ran.err
        assert [] == await server.received()


@pytest.mark.parametrize("command", ["run", "start", "restart"])
async def test_t40_server_on_the_port_is_named_and_not_contacted(tmp_path: Path, command: str) -> None:
    """If another server has the port, the daemon does not start, names the program, and never contacts it."""
    async with HttpServer.listening() as server:
        ran = await run_cli(command, environment=settings(tmp_path, server.port))

        assert exit_codes.PORT_BUSY == ran.code
        assert f"is in use by {own_name()}" in ran.err
        assert [] == await server.received()


async def test_t40_program_of_another_user_is_named_with_its_user(tmp_path: Path) -> None:
    """If a program of another user, such as that user's daemon, has the port, the error names the user."""
    skip_unless_root()
    with other_program("listen", "127.0.0.1", 0, user=NOBODY) as theirs:
        ran = await run_cli("run", environment=settings(tmp_path, theirs.port))

    assert exit_codes.PORT_BUSY == ran.code
    assert f"(process {theirs.pid} of user nobody)" in ran.err


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_t40_hidden_program_is_named_by_its_user(host: str) -> None:
    """The system may hide which program of another user it is, but not which user it belongs to."""
    skip_unless_root()
    if sys.platform != "linux":
        pytest.skip("platform: only Linux discloses the users of sockets")
    with other_program("listen", host, 0) as theirs:
        command = [sys.executable, "-c", HOLDER_AS_ANOTHER_USER, str(theirs.port), str(NOBODY)]
        # That user could not write the coverage data.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        output = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout

    assert "another user's program (user root)\n" == output


def test_t40_own_program_is_named_without_the_user() -> None:
    """For one of the user's own programs the user name is omitted."""
    with other_program("listen", "127.0.0.1", 0) as ours:
        assert holder("127.0.0.1", ours.port).endswith(f"(process {ours.pid})")


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("status",), exit_codes.NOT_RUNNING),
        (("databases", "list"), exit_codes.NOT_RUNNING),
        (("databases", "create", "x", "--region", "us-east-1"), exit_codes.NOT_RUNNING),
        (("connect",), exit_codes.NOT_RUNNING),
        (("disconnect", "--yes"), exit_codes.NOT_RUNNING),
        (("events",), exit_codes.NOT_RUNNING),
        (("stop",), exit_codes.OK),
        (("start",), exit_codes.PORT_BUSY),
        (("restart",), exit_codes.PORT_BUSY),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_t40_stale_discovery_file_is_not_used(tmp_path: Path, command: tuple[str, ...], code: int) -> None:
    """
    A killed daemon leaves its discovery file with the owner's token. A program that then takes the port is never
    contacted, because no running daemon holds the lock.
    """
    with DaemonProcess.running(tmp_path) as daemon:
        daemon.kill()
    left = discovery.read(daemon.folders.runtime)
    assert left is not None

    async with HttpServer.listening(daemon.port) as server:
        ran = await run_cli(*command, environment=settings(tmp_path, daemon.port))

        assert left.port == server.port
        assert code == ran.code
        assert left.owner_token not in ran.out + ran.err
        assert [] == await server.received()


async def test_t40_doctor_does_not_contact_the_port(tmp_path: Path) -> None:
    """`doctor` checks whether the port is free without contacting the program that has it."""
    with DaemonProcess.running(tmp_path) as daemon:
        daemon.kill()

    async with HttpServer.listening(daemon.port) as server:
        await run_cli("doctor", environment=settings(tmp_path, daemon.port))

        assert b"" == b"".join(await server.received())
