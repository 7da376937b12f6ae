"""The main job with the command line: a daemon, a sandbox, a browser, and ordinary Redis clients."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.command_line import Ran, run_cli
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.platforms import not_under_wine
from tests.support.world import PASSWORD
from upstash_helper.protocol import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.sandbox import Sandbox

EMAIL = "by-hand@example.com"


@pytest.fixture
def daemon(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[DaemonProcess]:
    """A daemon that uses the sandbox and logs at debug level."""
    options = {
        "port": daemon_port,
        "client_id": sandbox.client_id,
        "auth_url": sandbox.auth_url,
        "api_url": sandbox.api_url,
        "rest_url": sandbox.rest_url,
        "credential_store": "file",
        "log_level": "debug",
    }
    with DaemonProcess.running(tmp_path / "home", **options) as daemon:
        yield daemon


def owner_token(daemon: DaemonProcess) -> str:
    found = discovery.read(daemon.folders.runtime)
    assert found is not None
    return found.owner_token


async def cli(daemon: DaemonProcess, *arguments: str, typed: str | None = None) -> Ran:
    return await run_cli(*arguments, environment=daemon.environment, typed=typed)


async def connect(daemon: DaemonProcess, sandbox: Sandbox, email: str) -> str:
    """Run connect, sign in at the printed address, and follow the redirect to the daemon's page."""
    connecting = asyncio.create_task(cli(daemon, "connect", "--no-browser"))
    async with aiohttp.ClientSession() as session:
        bearer = {"Authorization": f"Bearer {owner_token(daemon)}"}
        base = f"http://127.0.0.1:{daemon.port}"
        async with asyncio.timeout(30):
            while True:
                async with session.get(f"{base}/v1/connection", headers=bearer) as reply:
                    if (await reply.json())["attempt"]:
                        break
                await asyncio.sleep(0.02)
        async with session.post(f"{base}/v1/connection", json={}, headers=bearer) as reply:
            url = (await reply.json())["authorization_url"]
        redirect = await sandbox.authorize(url, email, PASSWORD)
        navigation = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        async with session.get(redirect.replace("localhost", "127.0.0.1"), headers=navigation) as reply:
            assert reply.status == 200
    ran = await connecting
    assert ran.code == 0, ran.err
    assert url in ran.out + ran.err
    return redirect


async def test_main_job_with_the_command_line(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """Connect, create, list, use, rename, reset, delete, disconnect: one command each."""
    await connect(daemon, sandbox, EMAIL)

    created = await cli(daemon, "databases", "create", "orders", "--region", "eu-west-1", "--json")
    assert 0 == created.code, created.err
    listed = await cli(daemon, "databases", "list", "--json")
    assert ["orders"] == [it["name"] for it in listed.json["databases"]]
    credentials = (await cli(daemon, "databases", "credentials", "orders", "--json")).json
    assert created.json["id"] == credentials["id"]
    renamed = await cli(daemon, "databases", "rename", "orders", "invoices", "--json")
    assert (0, "invoices") == (renamed.code, renamed.json["name"])
    reset = await cli(daemon, "databases", "reset-password", "invoices", "--yes")
    assert 0 == reset.code, reset.err
    changed = (await cli(daemon, "databases", "credentials", "invoices", "--json")).json
    assert credentials["password"] != changed["password"]
    env = await cli(daemon, "databases", "env", "invoices")
    assert f"UPSTASH_REDIS_REST_TOKEN={changed['rest_token']}" in env.out.replace('"', "").replace("'", "")
    unasked = await cli(daemon, "databases", "delete", "invoices")
    assert 2 == unasked.code
    assert "--yes" in unasked.err
    deleted = await cli(daemon, "databases", "delete", "invoices", "--yes")
    assert 0 == deleted.code, deleted.err
    gone = await cli(daemon, "databases", "get", "invoices")
    assert 5 == gone.code
    forgotten = await cli(daemon, "disconnect", "--yes")
    assert 0 == forgotten.code, forgotten.err
    assert "UPSTASH_HELPER_API_KEY_" in forgotten.out + forgotten.err
    assert 4 == (await cli(daemon, "databases", "list")).code


@pytest.mark.skipif(sys.platform == "win32", reason="platform: redis-cli is not made for Windows")
async def test_redis_cli_works_with_the_printed_url(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """The Redis URL works unchanged with redis-cli."""
    if shutil.which("redis-cli") is None:
        pytest.skip("redis-cli is not installed: apt-get install redis-tools")
    await connect(daemon, sandbox, "redis-cli@example.com")
    await cli(daemon, "databases", "create", "cli", "--region", "us-east-1")
    url = (await cli(daemon, "databases", "credentials", "cli", "--json")).json["redis_url"]

    async def redis_cli(*words: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "redis-cli", "--no-auth-warning", "-u", url, *words, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        return out.decode().strip()

    assert "OK" == await redis_cli("SET", "greeting", "hello")
    assert "hello" == await redis_cli("GET", "greeting")


async def test_t29_no_secret_is_written_anywhere(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """After a whole run at debug level, the log, the output, and the process list contain no secret."""
    redirect = await connect(daemon, sandbox, "secretive@example.com")
    await cli(daemon, "databases", "create", "quiet", "--region", "us-east-1")
    credentials = (await cli(daemon, "databases", "credentials", "quiet", "--json")).json
    [stored] = (daemon.home / "state").glob("credential*.json")
    key = re.findall(r'"api_key": ?"([^"]+)"', stored.read_text())[0]
    hidden = {
        "the API key": key,
        "the code": redirect.split("code=")[1].split("&")[0],
        "the state": redirect.split("state=")[1].split("&")[0],
        "the owner's token": owner_token(daemon),
        "a password": credentials["password"],
        "a REST token": credentials["rest_token"],
    }

    seen = {
        "status": (await cli(daemon, "status", "--json")).out,
        "connection": (await cli(daemon, "databases", "list", "--json")).out,
        "command line": _command_line(daemon.pid),
    }
    daemon.stop()
    seen["log"] = daemon.log
    seen["output"] = daemon.output()

    assert "ready" in seen["log"]
    assert not [(what, where) for what, text in hidden.items() for where, reported in seen.items() if text in reported]
    if sys.platform != "win32":  # which has no modes
        assert [] == [path for path in daemon.home.rglob("*") if path.is_file() and path.stat().st_mode & 0o077]


def _command_line(pid: int) -> str:
    import psutil

    return " ".join(psutil.Process(pid).cmdline())


async def test_second_daemon_of_a_profile_is_not_started(daemon: DaemonProcess) -> None:
    """It reports that one is running, and exits with 0."""
    second = await cli(daemon, "run", "--port", str(free_port()))

    assert 0 == second.code
    assert f"{daemon.pid}" in second.err


@not_under_wine("reports no owners of sockets")
async def test_busy_port_names_the_program_and_the_fixes(
    tmp_path: Path, daemon: DaemonProcess, daemon_port: int
) -> None:
    """The daemon of another profile cannot bind the port, and names the program that uses it."""
    environment = {**daemon.environment, "UPSTASH_HELPER_HOME": str(tmp_path / "other")}

    ran = await run_cli("run", "--port", str(daemon_port), environment=environment)

    assert 7 == ran.code
    assert str(daemon.pid) in ran.err
    assert "--port" in ran.err
    assert "Traceback" not in ran.err


signals = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no such signals")


@pytest.mark.parametrize(
    "how", [pytest.param("SIGTERM", marks=signals), pytest.param("SIGINT", marks=signals), "command"]
)
async def test_stopped_daemon_exits_with_0_and_removes_its_discovery_file(daemon: DaemonProcess, how: str) -> None:
    """Stopping is a clean exit."""
    if how == "command":
        assert 0 == (await cli(daemon, "stop")).code
        code = daemon.wait()
    else:
        os.kill(daemon.pid, getattr(signal, how))
        code = daemon.wait()

    assert 0 == code
    assert not (daemon.home / "run" / "daemon.json").exists()
    absent = await cli(daemon, "status")
    assert 3 == absent.code
    assert "upstash-helper start" in absent.err + absent.out


async def test_killed_daemon_can_be_replaced(daemon: DaemonProcess) -> None:
    """Its leftover files do not get in the way, and its token no longer works."""
    old = owner_token(daemon)
    daemon.kill()
    assert 3 == (await cli(daemon, "status")).code

    daemon.start()

    assert old != owner_token(daemon)
    assert 0 == (await cli(daemon, "status")).code


async def test_background_daemon_lifecycle(tmp_path: Path) -> None:
    """start, status, restart, stop."""
    environment = {**clean_environment(), "UPSTASH_HELPER_HOME": str(tmp_path / "home")}
    flags = ("--port", str(free_port()), "--credential-store", "memory", "--no-browser")

    started = await run_cli("start", *flags, environment=environment)
    status = await run_cli("status", "--json", environment=environment)
    again = await run_cli("start", *flags, environment=environment)
    restarted = await run_cli("restart", *flags, environment=environment)
    after = await run_cli("status", "--json", environment=environment)
    stopped = await run_cli("stop", environment=environment)

    assert [0, 0, 0, 0, 0, 0] == [it.code for it in (started, status, again, restarted, after, stopped)], started.err
    assert status.json["pid"] != after.json["pid"]
    assert 3 == (await run_cli("status", environment=environment)).code


async def test_api_key_is_never_an_argument(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """Without a terminal, connect --api-key reads it from stdin."""
    await sandbox.account("typed@example.com", PASSWORD)
    key = await sandbox.api_key("typed@example.com", "typed")

    wrong = await cli(daemon, "connect", "--api-key", "--email", "typed@example.com", typed="not-the-key\n")
    right = await cli(daemon, "connect", "--api-key", "--email", "typed@example.com", typed=f"{key}\n")

    assert 0 != wrong.code
    assert "Traceback" not in wrong.err
    assert 0 == right.code, right.err
    assert "connected" == (await cli(daemon, "status", "--json")).json["connection"]["state"]
    assert key not in right.out + right.err + wrong.err


async def test_status_shows_the_reason_of_an_unusable_keyring_once(tmp_path: Path) -> None:
    """It is the reason of two states, of the connection and of the credentials. Trying again does not help."""
    backend = {"PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}
    with DaemonProcess.running(
        tmp_path / "home", port=free_port(), environment=backend, credential_store="keyring"
    ) as daemon:
        ran = await run_cli("status", environment=daemon.environment)
        listed = await run_cli("databases", "list", environment=daemon.environment)

    assert 0 == ran.code
    assert "unavailable" in ran.out
    assert 'credential_store = "file"' in listed.err
    assert "Try again" not in listed.err
    assert 1 == (ran.out + ran.err).count("keyring.backends.null.Keyring")
