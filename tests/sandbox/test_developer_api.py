"""The Developer API's 22 Redis operations, on real databases."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.sandbox.callers import Caller, basic, send

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

OK = "OK"


def client(database: dict[str, Any], **options: Any) -> redis.Redis:
    """Return a Redis client of a database."""
    fields = {"username": "default", "password": database["password"], "retry": Retry(NoBackoff(), 0), **options}
    return redis.Redis(host=database["endpoint"], port=database["port"], **fields)


# --- authentication ---------------------------------------------------------------------------------------------------


async def test_wrong_credentials_are_401(sandbox: Sandbox, caller: Caller) -> None:
    """
    Missing, malformed, and wrong credentials are 401, and so is a valid key with another account's email.
    """
    other = await Caller.new(sandbox, caller.session)
    url = f"{sandbox.api_url}/v2/redis/databases"

    values = [
        "",
        "Basic",
        "Basic !",
        f"Bearer {caller.api_key}",
        "Basic " + base64.b64encode(b"no colon").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        basic(caller.email, "wrong")["Authorization"],
        basic(other.email, caller.api_key)["Authorization"],
    ]
    responses = [await send(caller.session, "GET", url, headers={"Authorization": value}) for value in values]

    assert [401] * len(values) == [response.status for response in responses]
    assert all(response.json["error"] for response in responses)


async def test_revoked_key_is_rejected(sandbox: Sandbox, caller: Caller) -> None:
    """
    A key that was revoked in the console stops working immediately.
    """
    await sandbox.revoke_api_key(caller.email, "tests")

    assert (await caller.call("GET", "databases")).status == 401


async def test_read_only_key_cannot_make_changes(sandbox: Sandbox, caller: Caller) -> None:
    """
    With a read-only key, reads work, and every change is 403 and has no effect.
    """
    database = await caller.create()
    reader = Caller(sandbox, caller.session, caller.email, await sandbox.api_key(caller.email, "r", read_only=True))
    id_ = database["database_id"]

    changes = [
        ("POST", "database"),
        ("DELETE", f"database/{id_}"),
        ("POST", f"rename/{id_}"),
        ("POST", f"reset-password/{id_}"),
        ("PATCH", f"update-budget/{id_}"),
    ]
    statuses = [(await reader.call(method, path, {"name": "x", "budget": 1})).status for method, path in changes]

    assert [403] * len(changes) == statuses
    assert [database] == (await reader.call("GET", "databases")).json


async def test_database_of_another_account_is_404(sandbox: Sandbox, caller: Caller) -> None:
    """
    Every operation on another account's database is 404, and the database is not listed.
    """
    database = await caller.create()
    other = await Caller.new(sandbox, caller.session)

    responses = [
        await other.call(method, path.format(id=database["database_id"]), body) for method, path, body in WITH_ID
    ]

    assert [404] * len(WITH_ID) == [response.status for response in responses]
    assert [] == (await other.call("GET", "databases")).json
    assert database == await caller.get(database)


WITH_ID: list[tuple[str, str, Any]] = [
    ("GET", "database/{id}", None),
    ("DELETE", "database/{id}", None),
    ("POST", "rename/{id}", {"name": "x"}),
    ("POST", "reset-password/{id}", None),
    ("POST", "enable-tls/{id}", None),
    ("POST", "enable-eviction/{id}", None),
    ("POST", "disable-eviction/{id}", None),
    ("POST", "enable-autoupgrade/{id}", None),
    ("POST", "disable-autoupgrade/{id}", None),
    ("POST", "{id}/change-plan", {"plan_name": "payg"}),
    ("POST", "change-plan/{id}", {"plan": "payg"}),
    ("PATCH", "update-budget/{id}", {"budget": 1}),
    ("POST", "update-regions/{id}", {"read_regions": []}),
    ("GET", "stats/{id}", None),
    ("GET", "list-backup/{id}", None),
    ("POST", "create-backup/{id}", {"name": "x"}),
    ("DELETE", "delete-backup/{id}/x", None),
    ("POST", "restore-backup/{id}", {"backup_id": "x"}),
    ("PATCH", "enable-dailybackup/{id}", None),
    ("PATCH", "disable-dailybackup/{id}", None),
    ("POST", "enable-dailybackup/{id}", None),
    ("POST", "disable-dailybackup/{id}", None),
]


# --- create, list, get, delete ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"database_name": "books", "platform": "aws", "primary_region": "eu-west-1"},
        {"name": "books", "region": "global", "primary_region": "eu-west-1", "read_regions": [], "tls": False},
        {"database_name": "books", "region": "global", "primary_region": "eu-west-1"},
    ],
    ids=["current", "older", "command line"],
)
async def test_all_request_formats_create_a_database(caller: Caller, body: dict[str, Any]) -> None:
    """
    The documented request, the older format, and that of Upstash's command line create the same database.
    """
    response = await caller.call("POST", "database", body)

    database = response.json
    assert (200, "books", "eu-west-1") == (response.status, database["database_name"], database["primary_region"])
    assert ("global", "active", False) == (database["region"], database["state"], database["tls"])
    assert "tls_ca" not in database
    assert [database] == (await caller.call("GET", "databases")).json


async def test_new_database_is_usable_immediately(caller: Caller) -> None:
    """
    As soon as it is created, a database can be used over TCP and over REST, with the same data.
    """
    database = await caller.create()

    async with client(database) as connected:
        await connected.set("name", "Ada")
    assert await caller.run(database, "GET", "name") == "Ada"


async def test_database_is_created_as_requested(caller: Caller) -> None:
    """
    Plan, budget, read regions, and eviction are as requested, and the server is configured accordingly.
    """
    database = await caller.create(
        plan="fixed_1gb", budget=20, read_regions=["us-west-1", "eu-west-1"], eviction=True, primary_region="us-east-1"
    )

    assert (20, "paid", True, True) == (
        database["budget"],
        database["type"],
        database["eviction"],
        database["db_eviction"],
    )
    assert ["us-west-1", "eu-west-1"] == database["read_regions"]
    assert ["us-east-1", "us-west-1", "eu-west-1"] == database["all_members"]
    async with client(database) as connected:
        memory = await connected.info("memory")
    assert ("allkeys-lru", 1024**3) == (memory["maxmemory_policy"], memory["maxmemory"])


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"database_name": ""}, "database_name"),
        ({"database_name": "x" * 65}, "database_name"),
        ({"database_name": 5}, "database_name"),
        ({"platform": "azure"}, "platform"),
        ({"platform": "gcp"}, "not a region of platform gcp"),
        ({"primary_region": "moon-1"}, "primary_region"),
        ({"primary_region": None}, "primary_region"),
        ({"read_regions": ["us-east-1"]}, "primary region"),
        ({"read_regions": ["us-west-1", "us-west-1"]}, "twice"),
        ({"read_regions": "us-west-1"}, "read_regions"),
        ({"plan": "huge"}, "plan"),
        ({"budget": -1}, "budget"),
        ({"budget": 10**400}, "budget"),
        ({"tls": "yes"}, "tls"),
    ],
)
async def test_invalid_request_creates_nothing(caller: Caller, changes: dict[str, Any], part: str) -> None:
    """
    An invalid field is 400 with its name or the reason, and no database is created.
    """
    body = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1", **changes}

    response = await caller.call("POST", "database", body)

    assert response.status == 400
    assert part in response.json["error"]
    assert [] == (await caller.call("GET", "databases")).json


@pytest.mark.parametrize("missing", ["database_name", "platform", "primary_region"])
async def test_required_fields(caller: Caller, missing: str) -> None:
    """
    A missing required field is 400 with the field's name.
    """
    body = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1"}
    del body[missing]

    response = await caller.call("POST", "database", body)

    assert response.status == 400
    assert missing in response.json["error"]


@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"null", b"[]", b'{"a":', b"\xff\xfe{}", b"[" * 200_000, b'{"database_name": NaN}']
)
async def test_body_that_is_not_a_json_object_is_rejected(caller: Caller, data: bytes) -> None:
    """
    A body that is not a JSON object is 400 with a JSON error.
    """
    response = await caller.call("POST", "database", data=data)

    assert response.status == 400
    assert response.json["error"]


async def test_oversized_and_encoded_bodies_are_rejected(caller: Caller) -> None:
    """
    A body over the size limit is 413, and one with a Content-Encoding is 415.
    """
    url = f"{caller.sandbox.api_url}/v2/redis/database"
    headers = basic(caller.email, caller.api_key)

    large = await send(caller.session, "POST", url, data=io.BytesIO(b"x" * (1024 * 1024 + 1)), headers=headers)
    encoded = await send(caller.session, "POST", url, data=b"bogus", headers={**headers, "Content-Encoding": "gzip"})

    assert (413, 415) == (large.status, encoded.status)


async def test_names_need_not_be_unique(caller: Caller) -> None:
    """
    Databases are identified by their ID, so two can have the same name.
    """
    first, second = await asyncio.gather(caller.create(), caller.create())

    assert first["database_id"] != second["database_id"]
    assert first["port"] != second["port"]
    assert await caller.run(first, "SET", "who", "first") == OK
    assert await caller.run(second, "GET", "who") is None


async def test_credentials_can_be_hidden(caller: Caller) -> None:
    """
    `?credentials=hide` leaves out only the three secrets.
    """
    database = await caller.create()

    hidden = (await caller.call("GET", f"database/{database['database_id']}?credentials=hide")).json

    assert {"password", "rest_token", "read_only_rest_token"} == database.keys() - hidden.keys()


async def test_deleting_stops_the_server_and_removes_its_files(caller: Caller) -> None:
    """
    A deleted database is not listed, its port refuses connections, its token is invalid, and its folder is removed.
    """
    database = await caller.create()
    folder = Path(caller.sandbox.ready.data) / "databases" / database["database_id"]
    assert folder.exists()

    response = await caller.call("DELETE", f"database/{database['database_id']}")

    assert (200, OK) == (response.status, response.json)
    assert [] == (await caller.call("GET", "databases")).json
    assert (await caller.call("DELETE", f"database/{database['database_id']}")).status == 404
    assert (await caller.rest(database["rest_token"], "/get/name")).status == 401
    assert not folder.exists()
    with pytest.raises(redis.ConnectionError):
        await client(database).ping()


# --- changing ---------------------------------------------------------------------------------------------------------


async def test_rename(caller: Caller) -> None:
    """
    The response and later reads have the new name.
    """
    database = await caller.create()

    response = await caller.call("POST", f"rename/{database['database_id']}", {"name": "papers"})

    assert (200, "papers") == (response.status, response.json["database_name"])
    assert (await caller.get(database))["database_name"] == "papers"


async def test_resetting_the_password_replaces_all_secrets(caller: Caller) -> None:
    """
    After a password reset, the old password and both old tokens are rejected, connections are closed, and data is kept.
    """
    database = await caller.create()
    connected = client(database, single_connection_client=True)
    await connected.set("name", "Ada")

    response = await caller.call("POST", f"reset-password/{database['database_id']}")

    reset = response.json
    assert response.status == 200
    with pytest.raises((redis.ConnectionError, redis.AuthenticationError)):
        await connected.get("name")
    await connected.aclose()
    with pytest.raises(redis.AuthenticationError):
        await client(database).ping()
    for token in ("rest_token", "read_only_rest_token"):
        assert (await caller.rest(database[token], "/get/name")).status == 401
        assert (await caller.rest(reset[token], "/get/name")).json == {"result": "Ada"}
    async with client(reset) as reconnected:
        assert await reconnected.get("name") == b"Ada"
    assert reset == await caller.get(database)


async def test_eviction_changes_the_server_policy(caller: Caller) -> None:
    """
    Enabling and disabling eviction changes the running server's policy and the database's state.
    """
    database = await caller.create()
    results = []

    for action in ("enable", "disable"):
        response = await caller.call("POST", f"{action}-eviction/{database['database_id']}")
        assert (200, OK) == (response.status, response.json)
        async with client(database) as connected:
            policy = (await connected.info("memory"))["maxmemory_policy"]
        results.append((policy, (await caller.get(database))["eviction"]))

    assert [("allkeys-lru", True), ("noeviction", False)] == results


async def test_enabling_tls_requires_tls(caller: Caller) -> None:
    """
    After enabling TLS, the same port requires TLS with a certificate of the sandbox's authority. REST still works.
    """
    database = await caller.create()
    await caller.run(database, "SET", "name", "Ada")

    response = await caller.call("POST", f"enable-tls/{database['database_id']}")

    secured = response.json
    assert (200, True, database["port"]) == (response.status, secured["tls"], secured["port"])
    assert caller.sandbox.ready.tls_ca == secured["tls_ca"]
    async with client(secured, ssl=True, ssl_ca_certs=caller.sandbox.ready.tls_ca) as connected:
        assert await connected.get("name") == b"Ada"
    with pytest.raises(redis.ConnectionError):
        await client(secured).ping()
    assert await caller.run(secured, "GET", "name") == "Ada"
    assert (await caller.call("POST", f"enable-tls/{database['database_id']}")).status == 200


async def test_database_created_with_tls(caller: Caller) -> None:
    """
    A database created with `tls: true` accepts TLS connections, and names the certificate that clients must trust.
    """
    database = await caller.create(tls=True)

    assert caller.sandbox.ready.tls_ca == database["tls_ca"]
    async with client(database, ssl=True, ssl_ca_certs=database["tls_ca"]) as connected:
        assert await connected.ping()


@pytest.mark.parametrize(
    ("method", "path", "body", "shown"),
    [
        ("POST", "enable-autoupgrade/{id}", None, {"auto_upgrade": True}),
        ("POST", "disable-autoupgrade/{id}", None, {"auto_upgrade": False}),
        ("PATCH", "enable-dailybackup/{id}", None, {"daily_backup_enabled": True}),
        ("PATCH", "disable-dailybackup/{id}", None, {"daily_backup_enabled": False}),
        ("POST", "enable-dailybackup/{id}", None, {"daily_backup_enabled": True}),
        ("POST", "disable-dailybackup/{id}", None, {"daily_backup_enabled": False}),
        ("PATCH", "update-budget/{id}", {"budget": 42}, {"budget": 42}),
        ("POST", "update-regions/{id}", {"read_regions": ["us-west-2"]}, {"read_regions": ["us-west-2"]}),
        ("POST", "{id}/change-plan", {"plan_name": "fixed_250mb"}, {"db_memory_threshold": 250 * 1024**2}),
        ("POST", "change-plan/{id}", {"plan": "fixed_250mb"}, {"db_memory_threshold": 250 * 1024**2}),
        ("POST", "{id}/change-plan", {"plan": "fixed_250mb"}, {"db_memory_threshold": 250 * 1024**2}),
        ("POST", "change-plan/{id}", {"plan_name": "fixed_250mb"}, {"db_memory_threshold": 250 * 1024**2}),
        ("POST", "{id}/change-plan", {"plan_name": "payg", "prod_pack_enabled": True}, {"prod_pack_enabled": True}),
        ("POST", "{id}/change-plan", {"plan_name": "payg", "auto_upgrade": True}, {"auto_upgrade": True}),
    ],
)
async def test_change_is_stored_and_returned(
    caller: Caller, method: str, path: str, body: Any, shown: dict[str, Any]
) -> None:
    """
    Each change returns the string OK, and is visible in the database afterwards.
    """
    path = path.format(id=(database := await caller.create())["database_id"])
    await caller.call(method, path.replace("disable-", "enable-"), body)

    response = await caller.call(method, path, body)

    assert (200, OK) == (response.status, response.json)
    after = await caller.get(database)
    assert shown == {name: after[name] for name in shown}


async def test_changing_the_plan_changes_the_memory_limit(caller: Caller) -> None:
    """
    The running server's memory limit is that of the new plan.
    """
    database = await caller.create()

    await caller.call("POST", f"{database['database_id']}/change-plan", {"plan_name": "fixed_250mb"})

    async with client(database) as connected:
        assert (await connected.info("memory"))["maxmemory"] == 250 * 1024**2


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "rename/{id}", {"name": ""}),
        ("POST", "rename/{id}", {}),
        ("PATCH", "update-budget/{id}", {"budget": "much"}),
        ("PATCH", "update-budget/{id}", {"budget": -5}),
        ("POST", "update-regions/{id}", {"read_regions": ["us-east-1"]}),
        ("POST", "update-regions/{id}", {"read_regions": ["moon-1"]}),
        ("POST", "{id}/change-plan", {"plan_name": "huge"}),
        ("POST", "{id}/change-plan", {}),
        ("POST", "change-plan/{id}", {"plan": "huge"}),
        ("POST", "create-backup/{id}", {}),
        ("POST", "restore-backup/{id}", {"backup_id": 5}),
        ("POST", "move-to-team", {"team_id": "t"}),
    ],
)
async def test_invalid_change_is_rejected(caller: Caller, method: str, path: str, body: Any) -> None:
    """
    An invalid change is 400, and the database is unchanged.
    """
    database = await caller.create()

    response = await caller.call(method, path.format(id=database["database_id"]), body)

    assert response.status == 400
    assert response.json["error"]
    assert database == await caller.get(database)


async def test_moving_to_a_team_is_rejected(caller: Caller) -> None:
    """
    The account has no team, so moving a database is rejected, and the list of teams is empty.
    """
    database = await caller.create()

    response = await caller.call("POST", "move-to-team", {"team_id": "no-team", "database_id": database["database_id"]})

    assert (400, "team not found") == (response.status, response.json["error"])
    assert [] == (await caller.call("GET", "/v2/teams")).json


# --- backups and statistics -------------------------------------------------------------------------------------------


async def test_restoring_a_backup_replaces_the_data(caller: Caller) -> None:
    """
    A backup is listed with its size, and restoring it brings back exactly the data of that time.
    """
    database = await caller.create()
    id_ = database["database_id"]
    await caller.run(database, "SET", "name", "Ada")

    created = await caller.call("POST", f"create-backup/{id_}", {"name": "first"})
    await caller.run(database, "SET", "name", "Eve")
    await caller.run(database, "SET", "later", "1")
    (backup,) = (await caller.call("GET", f"list-backup/{id_}")).json
    restored = await caller.call("POST", f"restore-backup/{id_}", {"backup_id": backup["backup_id"]})

    assert [OK, OK] == [created.json, restored.json]
    assert ("first", "completed", id_) == (backup["name"], backup["state"], backup["database_id"])
    assert backup["backup_size"] > 0
    assert ("Ada", None) == (await caller.run(database, "GET", "name"), await caller.run(database, "GET", "later"))


async def test_deleted_backup_is_removed(caller: Caller) -> None:
    """
    A deleted backup is not listed, cannot be restored, and its file is removed.
    """
    database = await caller.create()
    id_ = database["database_id"]
    await caller.call("POST", f"create-backup/{id_}", {"name": "first"})
    (backup,) = (await caller.call("GET", f"list-backup/{id_}")).json
    files = Path(caller.sandbox.ready.data) / "databases" / id_ / "backups"

    response = await caller.call("DELETE", f"delete-backup/{id_}/{backup['backup_id']}")

    assert (200, OK) == (response.status, response.json)
    assert [] == (await caller.call("GET", f"list-backup/{id_}")).json
    assert [] == list(files.iterdir())
    gone = await caller.call("POST", f"restore-backup/{id_}", {"backup_id": backup["backup_id"]})
    assert (404, "backup not found") == (gone.status, gone.json["error"])


async def test_backup_belongs_to_its_database(caller: Caller) -> None:
    """
    A backup can be restored into or deleted from only its own database.
    """
    first, second = await asyncio.gather(caller.create(), caller.create())
    await caller.call("POST", f"create-backup/{first['database_id']}", {"name": "first"})
    (backup,) = (await caller.call("GET", f"list-backup/{first['database_id']}")).json

    restore = await caller.call("POST", f"restore-backup/{second['database_id']}", {"backup_id": backup["backup_id"]})
    delete = await caller.call("DELETE", f"delete-backup/{second['database_id']}/{backup['backup_id']}")

    assert [404, 404] == [restore.status, delete.status]
    assert len((await caller.call("GET", f"list-backup/{first['database_id']}")).json) == 1


async def test_statistics(caller: Caller) -> None:
    """
    Statistics contain the actual reads, writes, keys, hits, misses, and connections.
    """
    database = await caller.create()
    for command in (["SET", "a", "1"], ["SET", "b", "2"], ["GET", "a"], ["GET", "none"], ["HGETALL", "none"]):
        await caller.run(database, *command)

    async with client(database, single_connection_client=True) as connected:
        await connected.ping()
        stats = (await caller.call("GET", f"stats/{database['database_id']}")).json

    assert (5, 3, 2) == tuple(stats[f"daily_{name}"] for name in ("net_commands", "read_requests", "write_requests"))
    assert [2, 1, 2, 1] == [stats[name][0]["y"] for name in ("keyspace", "hits", "misses", "connection_count")]
    counts = {item["metric_identifier"]: item["data_points"][0]["y"] for item in stats["command_counts"]}
    assert {"GET": 2, "SET": 2, "HGETALL": 1} == counts
    assert stats["dailybandwidth"] > 0


# --- the audit log ----------------------------------------------------------------------------------------------------


async def test_audit_log_has_the_accounts_changes(sandbox: Sandbox, caller: Caller) -> None:
    """
    An account's audit log has its own changes, newest first, with the API key that made them.
    """
    other = await Caller.new(sandbox, caller.session)
    database = await caller.create()
    await caller.call("POST", f"rename/{database['database_id']}", {"name": "papers"})
    await caller.call("DELETE", f"database/{database['database_id']}")
    await caller.call("POST", "database", {})

    entries = (await caller.call("GET", "/auditlogs")).json

    actions = [entry["action_string"] for entry in entries]
    assert ["Delete Database", "Rename Database", "Create Database", "Create API Key"] == actions
    assert {"API_KEY - tests"} == {entry["source"] for entry in entries[:3]}
    assert ["Create API Key"] == [entry["action_string"] for entry in (await other.call("GET", "/auditlogs")).json]


async def test_terminated_server_is_started_again(caller: Caller) -> None:
    """
    If a database's server is terminated, the next use starts it again with its saved data.
    """
    database = await caller.create()
    await caller.run(database, "SET", "name", "Ada")
    (server,) = [
        child
        for child in psutil.Process(caller.sandbox.ready.pid).children()
        if database["database_id"] in " ".join(child.cmdline())
    ]

    server.terminate()
    await asyncio.to_thread(psutil.wait_procs, [server], timeout=10)

    assert await caller.run(database, "GET", "name") == "Ada"
