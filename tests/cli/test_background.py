"""``run``, ``start``, ``stop``, and ``restart``: the daemon's process."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.until import SECONDS, until
from upstash_helper.cli import exit_codes
from upstash_helper.client import DaemonClient
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
async def environment(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """A user with a temporary profile, whose daemon is stopped at the end."""
    folder = tmp_path / "home" / "config"
    folder.mkdir(parents=True)
    settings = f'port = {free_port()}\ncredential_store = "memory"\nopen_browser = false\n'
    (folder / "config.toml").write_text(settings, encoding="utf-8")
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path / "home")}
    yield environment
    await run_cli("stop", environment=environment)


def client(tmp_path: Path) -> DaemonClient:
    return DaemonClient.discover(tmp_path / "home" / "run")


async def test_start_returns_when_the_daemon_answers(environment: dict[str, str], tmp_path: Path) -> None:
    """
    When `start` returns, the daemon answers at the printed address, in the printed process.
    """
    ran = await run_cli("start", "--json", environment=environment)

    status = client(tmp_path).status()
    assert (0, False) == (ran.code, ran.json["already_running"])
    assert (status.pid, client(tmp_path).base_url) == (ran.json["pid"], ran.json["base_url"])


async def test_second_start_starts_nothing(environment: dict[str, str]) -> None:
    """
    Starting a running daemon succeeds and starts nothing.
    """
    first = await run_cli("start", "--json", environment=environment)
    second = await run_cli("start", "--json", environment=environment)

    assert (0, True) == (second.code, second.json["already_running"])
    assert first.json["pid"] == second.json["pid"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no sessions of this kind")
async def test_background_daemon_is_detached(environment: dict[str, str], tmp_path: Path) -> None:
    """
    It leaves the session, the working directory, and the files of the terminal.
    """
    import os

    ran = await run_cli("start", "--json", environment=environment)

    process = psutil.Process(ran.json["pid"])
    assert process.pid == os.getsid(process.pid)
    assert str(tmp_path / "home" / "log") == process.cwd()
    assert 0 == (tmp_path / "home" / "log" / "start.log").stat().st_mode & 0o077


@contextlib.contextmanager
def started_without_streams(environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start a daemon without standard input, output, and error, as Task Scheduler starts ``pythonw``."""
    command = ("-P", "-m", "upstash_helper", "run")
    if sys.platform == "win32":
        windowed = str(Path(sys.executable).with_name("pythonw.exe"))
        process = subprocess.Popen((windowed, *command), env=environment, creationflags=subprocess.DETACHED_PROCESS)
    else:
        shell = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
        process = subprocess.Popen((*shell, sys.executable, *command), env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_daemon_without_standard_streams_serves_and_leaves_its_errors_in_a_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """
    It has nowhere to print to, so start.log shows why it ended: here an error message and a traceback.
    """
    log = tmp_path / "home" / "log" / "start.log"

    def code_of(**changes: str) -> int:
        with started_without_streams(environment | changes) as process:
            return process.wait(SECONDS)

    with started_without_streams(environment) as daemon:
        until((tmp_path / "home" / "run" / "daemon.json").exists)
        running = client(tmp_path).status().profile
        client(tmp_path).stop()
        stopped = daemon.wait(SECONDS)
    nothing = log.read_text()
    invalid = code_of(UPSTASH_HELPER_LOG_LEVEL="loud")
    reported = log.read_text()
    broken = tmp_path / "packages" / "aiohttp.py"
    broken.parent.mkdir()
    broken.write_text("raise RuntimeError('the package is broken')")
    failed = code_of(PYTHONPATH=str(broken.parent))

    assert ("default", 0, "") == (running, stopped, nothing)
    assert (2, True) == (invalid, reported.startswith("Error: UPSTASH_HELPER_LOG_LEVEL: setting 'log_level'"))
    assert (1, True) == (failed, log.read_text().endswith("RuntimeError: the package is broken\n"))
    assert sys.platform == "win32" or 0 == log.stat().st_mode & 0o077


async def test_start_passes_flags_to_the_daemon(environment: dict[str, str], tmp_path: Path) -> None:
    """
    Flags of `start` are settings of the daemon that it starts.
    """
    port = free_port()

    ran = await run_cli("start", "--port", str(port), "--log-level", "debug", environment=environment)

    assert 0 == ran.code, ran.err
    assert f"http://127.0.0.1:{port}" == client(tmp_path).base_url


async def test_start_on_a_busy_port_names_the_program(environment: dict[str, str]) -> None:
    """
    If the daemon cannot start, `start` prints its reason and exits with its code.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = await run_cli("start", "--port", str(port), "--json", environment=environment)

    problem = msgspec.json.decode(ran.err)
    assert (exit_codes.PORT_BUSY, "port_busy") == (ran.code, problem["code"])
    assert str(port) in problem["detail"]
    assert str(psutil.Process().pid) in problem["detail"]


async def test_daemon_reads_settings_from_the_environment(environment: dict[str, str], tmp_path: Path) -> None:
    """
    Variables of the shell that runs `start` are settings of the daemon.
    """
    port = free_port()

    await run_cli("start", environment=environment | {"UPSTASH_HELPER_PORT": str(port)})

    assert f"http://127.0.0.1:{port}" == client(tmp_path).base_url


async def test_profiles_have_separate_daemons(environment: dict[str, str], tmp_path: Path) -> None:
    """
    Two profiles have two daemons; stopping one leaves the other running.
    """
    profile = ("--profile", "second")
    flags = ("--port", str(free_port()), "--credential-store", "memory")
    try:
        first = await run_cli("start", "--json", environment=environment)
        second = await run_cli(*profile, "start", *flags, "--json", environment=environment)
        status = await run_cli(*profile, "status", "--json", environment=environment)
    finally:
        stopped = await run_cli(*profile, "stop", "--json", environment=environment)

    assert first.json["pid"] != second.json["pid"]
    assert "second" == status.json["profile"]
    assert {"was_running": True} == stopped.json
    assert first.json["pid"] == client(tmp_path).status().pid


async def test_restart_starts_a_new_process(environment: dict[str, str], tmp_path: Path) -> None:
    """
    After a restart another process answers; if none was running, one is started.
    """
    first = await run_cli("restart", "--json", environment=environment)
    second = await run_cli("restart", "--json", environment=environment)

    assert [0, 0] == [first.code, second.code]
    assert first.json["pid"] != second.json["pid"]
    assert second.json["pid"] == client(tmp_path).status().pid


async def test_stop_returns_when_the_daemon_has_exited(environment: dict[str, str], tmp_path: Path) -> None:
    """
    When `stop` returns, the address is free.
    """
    await run_cli("start", environment=environment)

    ran = await run_cli("stop", environment=environment)

    assert (0, "The daemon was stopped.\n") == (ran.code, ran.out)
    assert not discovery.is_running(tmp_path / "home" / "run")
    assert discovery.read(tmp_path / "home" / "run") is None


def test_daemon_stops_with_its_parent(tmp_path: Path) -> None:
    """
    With --stop-with-parent, the daemon stops when the other end of the pipe is closed.
    """
    with DaemonProcess.running(tmp_path / "home") as daemon:
        code = daemon.close_stdin()

        assert 0 == code
        assert discovery.read(daemon.folders.runtime) is None


def test_daemon_collects_garbage(tmp_path: Path) -> None:
    """
    Garbage collection, which is disabled for a quick start, is enabled when the daemon is running.
    """
    script = tmp_path / "sitecustomize.py"
    # The daemon's process reports its state when it exits.
    script.write_text(
        "import atexit, gc, sys\natexit.register(lambda: print('collecting', gc.isenabled()))\n", encoding="utf-8"
    )

    with DaemonProcess.running(tmp_path / "home", environment={"PYTHONPATH": str(tmp_path)}) as daemon:
        daemon.stop()

        assert "collecting True" in daemon.output()


async def test_run_reports_json_errors(environment: dict[str, str]) -> None:
    """
    With --json `run` prints its error as JSON.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = await run_cli("run", "--json", "--port", str(taken.getsockname()[1]), environment=environment)

    assert (exit_codes.PORT_BUSY, "port_busy") == (ran.code, msgspec.json.decode(ran.err)["code"])
