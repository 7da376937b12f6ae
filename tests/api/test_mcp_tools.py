"""The tools of ``/mcp`` for databases and their backups, called by agents with the rights of an approval."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.agents import Agent
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.broker.errors import AccessEnded, DatabaseNotFound, HelperError, NotTheCreator, UpstreamRejected

if TYPE_CHECKING:
    from tests.support.world import World

DATABASES = ("databases:read", "databases:write", "databases:delete")


@pytest.fixture
async def connected(world: World) -> World:
    """A daemon with a connected account."""
    await world.connect()
    return world


@pytest.fixture
async def agent(connected: World) -> Agent:
    """An agent that may do everything with databases but see credentials and run commands."""
    return await Agent.approved(connected, *DATABASES)


async def create(agent: Agent, name: str = "orders", **wanted: Any) -> Any:
    """Create a database."""
    return await agent.call("redis_create_database", name=name, primary_region="us-east-1", **wanted)


# --- lists ------------------------------------------------------------------------------------------------------------


async def test_databases_are_listed_in_pages_sorted_by_name(agent: Agent) -> None:
    """Each database is on exactly one page, and the last page has no cursor."""
    for name in ("delta", "Alpha", "charlie", "bravo", "alpha"):
        await agent.world.create(name)

    names: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await agent.call("redis_list_databases", limit=2, cursor=cursor)
        assert (5, True) == (page["total"], len(page["databases"]) <= 2)
        names += [database["database_name"] for database in page["databases"]]
        cursor = page["next_cursor"]

    assert ["alpha", "alpha", "bravo", "charlie", "delta"] == [name.lower() for name in names]


async def test_a_list_can_be_narrowed_by_name(agent: Agent) -> None:
    """Only the databases whose name contains the text, in any case, are listed and counted."""
    for name in ("orders", "Orders-test", "users"):
        await agent.world.create(name)

    page = await agent.call("redis_list_databases", name_contains="ORDERS", limit=1)

    assert (2, 1) == (page["total"], len(page["databases"]))


@pytest.mark.parametrize("cursor", ["x", "é", "AAAA", "eyJhIjoxfQ", "-" * 1024])
async def test_a_made_up_cursor_is_a_readable_error(agent: Agent, cursor: str) -> None:
    """The message says what to do."""
    with pytest.raises(ToolError, match="Omit it to get the first page"):
        await agent.call("redis_list_databases", cursor=cursor)


async def test_the_regions_are_those_of_the_api(agent: Agent) -> None:
    """The agent is offered what the API offers."""
    result = await agent.call("redis_list_regions")

    regions = (await agent.world.get("/v1/regions")).json["regions"]
    assert [region["id"] for region in regions] == [region["id"] for region in result["regions"]]


# --- creating and reading ---------------------------------------------------------------------------------------------


async def test_created_database_is_the_agents_own(agent: Agent) -> None:
    """The database is recorded as created by the agent, so that it may use it, and another agent may not."""
    other = await Agent.approved(agent.world, "databases:read", "databases:credentials", name="Other")
    same_rights = await Agent.approved(agent.world, *DATABASES, "databases:credentials", name="Creator")

    made = await create(same_rights)

    shown = await same_rights.call("redis_get_database", database_id=made["database_id"], include_credentials=True)
    assert shown["credentials"]["rest_token"]
    with pytest.raises(NotTheCreator):
        await other.call("redis_get_database", database_id=made["database_id"], include_credentials=True)


async def test_the_same_idempotency_key_creates_one_database(agent: Agent) -> None:
    """A repeated call returns the database of the first one."""
    first = await create(agent, idempotency_key="k1")
    second = await create(agent, idempotency_key="k1")

    assert first["database_id"] == second["database_id"]
    assert (False, True) == (first["already_existed"], second["already_existed"])


async def test_without_a_key_each_call_creates_a_database(agent: Agent) -> None:
    """Two databases may have the same name."""
    first, second = await create(agent), await create(agent)

    assert first["database_id"] != second["database_id"]


async def test_after_a_lost_response_the_agent_learns_how_to_repeat_the_call(agent: Agent) -> None:
    """Upstash may have created the database. The message has the key with which a repetition is safe."""
    await agent.world.sandbox.fault(path="/v2/redis/database", method="POST", status=502, times=1)

    with pytest.raises(ToolError, match=r"idempotency_key 'mcp-[0-9a-f]{32}'"):
        await create(agent, name="lost")


async def test_an_unknown_region_is_explained_with_the_closest(agent: Agent) -> None:
    """The agent can correct itself."""
    with pytest.raises(UpstreamRejected, match="us-east-1"):
        await agent.call("redis_create_database", name="x", primary_region="us-eest-1")


async def test_credentials_need_the_scope_even_if_they_are_requested(agent: Agent) -> None:
    """Nothing is created or read, and the message names what works without credentials."""
    made = await create(agent)

    with pytest.raises(ToolError, match="env_write"):
        await agent.call("redis_get_database", database_id=made["database_id"], include_credentials=True)
    with pytest.raises(ToolError, match="databases:credentials"):
        await create(agent, name="second", include_credentials=True)

    assert 1 == (await agent.call("redis_list_databases"))["total"]


async def test_credentials_are_null_unless_they_are_requested(connected: World) -> None:
    """The scope alone does not put credentials into a result; the disclosure of requested ones is recorded."""
    agent = await Agent.approved(connected, *DATABASES, "databases:credentials")

    made = await create(agent)
    shown = await agent.call("redis_get_database", database_id=made["database_id"])
    requested = await create(agent, name="second", include_credentials=True)

    assert (None, None) == (made["credentials"], shown["credentials"])
    real = (await connected.get(f"/v1/databases/{requested['database_id']}/credentials")).json
    assert real["rest_token"] == requested["credentials"]["rest_token"]
    actions = [entry["action"] for entry in (await agent.call("audit_list"))["entries"]]
    assert ["database.credentials", "database.create", "database.create"] == actions[:3]


# --- changing ---------------------------------------------------------------------------------------------------------


async def test_settings_are_changed_without_a_question(agent: Agent) -> None:
    """In a database that the agent created, what can be set back is not confirmed. The results name the new state."""
    made = await create(agent)
    of = {"database_id": made["database_id"]}

    renamed = await agent.call("redis_rename_database", **of, name="invoices")
    await agent.call("redis_set_auto_upgrade", **of, enabled=True)
    await agent.call("redis_update_regions", **of, read_regions=["eu-west-1"])
    await agent.call("redis_set_daily_backup", **of, enabled=True)
    await agent.call("redis_set_eviction", **of, enabled=False)

    now = await agent.call("redis_get_database", **of)
    assert "The database was renamed to 'invoices'." == renamed["message"]
    assert ("invoices", True, ["eu-west-1"], True) == (
        now["database_name"],
        now["auto_upgrade"],
        now["read_regions"],
        now["daily_backup_enabled"],
    )
    assert [] == agent.asked


async def test_eviction_is_turned_on_only_with_the_users_yes(agent: Agent) -> None:
    """Eviction deletes keys, so the user decides."""
    made = await create(agent)

    denied = await agent.call("redis_set_eviction", database_id=made["database_id"], enabled=True)
    before = await agent.call("redis_get_database", database_id=made["database_id"])
    agent.allows = True
    allowed = await agent.call("redis_set_eviction", database_id=made["database_id"], enabled=True)

    assert (False, False, True) == (denied["done"], before["eviction"], allowed["done"])
    assert "Eviction is on for 'orders'." == allowed["message"]


async def test_a_database_is_deleted_only_with_the_users_yes(agent: Agent) -> None:
    """The question names the database with its ID and region. A denial is a result, and nothing was changed."""
    made = await create(agent)

    denied = await agent.call("redis_delete_database", database_id=made["database_id"])
    left = (await agent.call("redis_list_databases"))["total"]
    agent.allows = True
    allowed = await agent.call("redis_delete_database", database_id=made["database_id"])

    assert (False, 1) == (denied["done"], left)
    assert "did not allow this" in denied["message"]
    assert allowed["done"]
    assert 0 == (await agent.call("redis_list_databases"))["total"]
    first, second = agent.asked
    assert first == second, "each call asks"
    for part in ("orders", made["database_id"], "us-east-1"):
        assert part in first.title + first.detail
    assert ("database.delete", made["database_id"]) == (first.action, first.target)


async def test_a_denial_leaves_no_change_in_the_audit_log(agent: Agent) -> None:
    """The question comes before everything else, so that the call can be repeated up to there."""
    made = await create(agent)

    await agent.call("redis_delete_database", database_id=made["database_id"])

    actions = [entry["action"] for entry in (await agent.call("audit_list"))["entries"]]
    assert "database.delete" not in actions


@pytest.mark.parametrize("all_databases", [False, True])
@pytest.mark.parametrize(
    ("tool", "arguments", "field", "value", "said"),
    [
        ("redis_rename_database", {"name": "tmp-test"}, "database_name", "tmp-test", 'will be renamed to "tmp-test"'),
        ("redis_set_eviction", {"enabled": False}, "eviction", False, "will refuse to write"),
        ("redis_set_auto_upgrade", {"enabled": True}, "auto_upgrade", True, "a larger plan, which costs more"),
        ("redis_update_regions", {"read_regions": []}, "read_regions", [], "no longer be read from: eu-west-1."),
        (
            "redis_update_regions", {"read_regions": ["eu-west-1", "us-west-1"]}, "read_regions",
            ["eu-west-1", "us-west-1"], "will also be read from, which can cost more: us-west-1.",
        ),
        ("redis_set_daily_backup", {"enabled": True}, "daily_backup_enabled", True, "Upstash will back up"),
    ],
)  # fmt: skip
async def test_settings_of_a_database_of_others_are_changed_only_if_the_user_agrees(
    connected: World, tool: str, arguments: dict[str, Any], field: str, value: Any, *, said: str, all_databases: bool
) -> None:
    """
    The user relies on them, and knows the database by its name. The option "all databases" is about something else.
    What changes nothing is not asked about.
    """
    agent = await Agent.approved(connected, *DATABASES, all_databases=all_databases)
    made = await connected.create("production", read_regions=["eu-west-1"], eviction=True)
    of = {"database_id": made["id"]}

    before = await agent.call("redis_get_database", **of)
    refused = await agent.call(tool, **of, **arguments)
    still = await agent.call("redis_get_database", **of)
    agent.allows = True
    allowed = await agent.call(tool, **of, **arguments)
    again = await agent.call(tool, **of, **arguments)
    after = await agent.call("redis_get_database", **of)

    assert (False, True, True) == (refused["done"], allowed["done"], again["done"])
    assert before == still
    assert value == after[field]
    assert 2 == len(agent.asked)
    for question in agent.asked:
        assert ("database.change", made["id"]) == (question.action, question.target)
        assert 'the database "production"?' in question.title
        assert said in question.detail
        assert made["id"] in question.detail


async def test_what_ends_the_users_way_back_is_asked_about_in_every_database(agent: Agent) -> None:
    """Daily backups, and copies in other regions: also if the agent has created the database."""
    made = await create(agent, read_regions=["eu-west-1"])
    of = {"database_id": made["database_id"]}
    await agent.call("redis_set_daily_backup", **of, enabled=True)

    refused = [
        await agent.call("redis_set_daily_backup", **of, enabled=False),
        await agent.call("redis_update_regions", **of, read_regions=["us-west-1"]),
    ]

    now = await agent.call("redis_get_database", **of)
    assert [False, False] == [it["done"] for it in refused]
    assert (True, ["eu-west-1"]) == (now["daily_backup_enabled"], now["read_regions"])
    off, replaced = agent.asked
    assert 'Turn off daily backups of the database "orders"?' == off.title
    assert "will no longer be read from: eu-west-1. It will also be read from" in replaced.detail


async def test_region_that_was_added_during_the_question_is_not_removed(agent: Agent) -> None:
    """The user agreed to remove the one that the question named."""
    made = await create(agent, read_regions=["eu-west-1"])
    agent.allows = True
    confirm = agent.confirm

    async def add_meanwhile(question: Any) -> bool:
        body = {"read_regions": ["eu-west-1", "us-west-1"]}
        await agent.world.call("PATCH", f"/v1/databases/{made['database_id']}", body)
        return await confirm(question)

    agent.confirm = add_meanwhile  # type: ignore[method-assign]
    with pytest.raises(HelperError) as refused:
        await agent.call("redis_update_regions", database_id=made["database_id"], read_regions=[])

    now = await agent.call("redis_get_database", database_id=made["database_id"])
    assert "precondition_failed" == refused.value.code
    assert ["eu-west-1", "us-west-1"] == now["read_regions"]


async def test_question_has_what_an_agent_cannot_change(agent: Agent) -> None:
    """The host and the day on which the database was created, besides the name and the ID."""
    made = await create(agent)

    await agent.call("redis_delete_database", database_id=made["database_id"])

    [question] = agent.asked
    for fact in (made["database_id"], made["endpoint"], f"created {made['created_at'][:10]}"):
        assert fact in question.detail


async def test_a_database_that_was_renamed_during_the_question_is_not_deleted(agent: Agent) -> None:
    """The user agreed to delete the database that the question named."""
    made = await create(agent)
    agent.allows = True
    confirm = agent.confirm

    async def rename_meanwhile(question: Any) -> bool:
        body = {"name": "production"}
        await agent.world.call("PATCH", f"/v1/databases/{made['database_id']}", body)
        return await confirm(question)

    agent.confirm = rename_meanwhile  # type: ignore[method-assign]
    with pytest.raises(HelperError) as refused:
        await agent.call("redis_delete_database", database_id=made["database_id"])

    assert "precondition_failed" == refused.value.code
    assert 1 == (await agent.call("redis_list_databases"))["total"]


async def test_the_question_shows_a_name_without_hidden_characters(agent: Agent) -> None:
    """A name cannot reorder or continue the question."""
    owned = await agent.world.call(
        "POST",
        "/upstash/v2/redis/database",
        {"database_name": "a\u202eb\nSafe:", "platform": "aws", "primary_region": "us-east-1"},
    )
    assert owned.status == 200, owned.text

    await agent.call("redis_delete_database", database_id=owned.json["database_id"])

    assert 'Delete the database "ab Safe:"?' == agent.asked[0].title


async def test_a_password_is_reset_only_with_the_users_yes(connected: World) -> None:
    """The old token works until the user agrees, and the result has no new one."""
    agent = await Agent.approved(connected, *DATABASES)
    made = await create(agent)
    path = f"/v1/databases/{made['database_id']}/credentials"
    before = (await connected.get(path)).json

    denied = await agent.call("redis_reset_password", database_id=made["database_id"])
    unchanged = (await connected.get(path)).json
    agent.allows = True
    allowed = await agent.call("redis_reset_password", database_id=made["database_id"])
    after = (await connected.get(path)).json

    assert (False, True) == (denied["done"], allowed["done"])
    assert before == unchanged
    assert after["rest_token"] not in (before["rest_token"], str(allowed))


async def test_an_unknown_database_is_an_error_before_the_user_is_asked(agent: Agent) -> None:
    """The user is not bothered with a database that does not exist."""
    agent.allows = True

    for name in ("redis_delete_database", "redis_reset_password"):
        with pytest.raises(DatabaseNotFound):
            await agent.call(name, database_id="no-such-database")

    assert [] == agent.asked


# --- backups and statistics -------------------------------------------------------------------------------------------


async def backup(agent: Agent, database_id: str, name: str) -> Any:
    """Create a backup, and return it."""
    await agent.call("redis_create_backup", database_id=database_id, name=name)
    return (await agent.call("redis_list_backups", database_id=database_id))["backups"][0]


async def test_a_backup_is_restored_and_deleted_only_with_the_users_yes(connected: World) -> None:
    """Both destroy data. The question names the database and the backup."""
    agent = await Agent.approved(connected, *DATABASES, "databases:commands")
    database_id = (await create(agent))["database_id"]
    await agent.call("redis_run_command", database_id=database_id, command=["SET", "key", "old"])
    made = await backup(agent, database_id, "before")
    await agent.call("redis_run_command", database_id=database_id, command=["SET", "key", "new"])
    of = {"database_id": database_id, "backup_id": made["backup_id"]}

    async def value() -> Any:
        got = await agent.call("redis_run_command", database_id=database_id, command=["GET", "key"])
        return got["results"][0]["result"]

    denied = await agent.call("redis_restore_backup", **of)
    assert (False, "new") == (denied["done"], await value())
    agent.allows = True
    restored = await agent.call("redis_restore_backup", **of)
    assert (True, "old") == (restored["done"], await value())
    agent.allows = False
    assert not (await agent.call("redis_delete_backup", **of))["done"]
    agent.allows = True
    assert (await agent.call("redis_delete_backup", **of))["done"]

    assert [] == (await agent.call("redis_list_backups", database_id=database_id))["backups"]
    for question in agent.asked:
        for part in ("orders", database_id, "us-east-1", "before", made["backup_id"]):
            assert part in question.title + question.detail


async def test_backups_are_listed_in_pages(agent: Agent) -> None:
    """Each backup is on exactly one page."""
    database_id = (await create(agent))["database_id"]
    for name in ("one", "two", "three"):
        await agent.call("redis_create_backup", database_id=database_id, name=name)

    first = await agent.call("redis_list_backups", database_id=database_id, limit=2)
    second = await agent.call("redis_list_backups", database_id=database_id, limit=2, cursor=first["next_cursor"])

    names = {it["name"] for it in (*first["backups"], *second["backups"])}
    assert ({"one", "two", "three"}, None) == (names, second["next_cursor"])


async def test_an_unknown_backup_is_an_error_before_the_user_is_asked(agent: Agent) -> None:
    """The message names the tool that lists them."""
    database_id = (await create(agent))["database_id"]

    with pytest.raises(ToolError, match="redis_list_backups"):
        await agent.call("redis_delete_backup", database_id=database_id, backup_id="none")

    assert [] == agent.asked


async def test_statistics_are_numbers_of_the_database(connected: World) -> None:
    """Keys that were written are counted, and one series has its points."""
    agent = await Agent.approved(connected, *DATABASES, "databases:commands")
    database_id = (await create(agent))["database_id"]
    await agent.call("redis_run_command", database_id=database_id, command=["MSET", "a", 1, "b", 2])

    stats = await agent.call("redis_get_stats", database_id=database_id, stat_type="keyspace")

    keyspace = next(it for it in stats["series"] if it["stat_type"] == "keyspace")
    assert (2, "keys") == (keyspace["latest"], keyspace["unit"])
    assert [2] == [point["value"] for point in stats["points"]]


# --- arguments, errors, and the audit log -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("redis_get_database", {"database_id": "../team"}),
        ("redis_get_database", {"database_id": "x?credentials=show"}),
        ("redis_get_database", {"database": "x"}),
        ("redis_list_databases", {"limit": 0}),
        ("redis_list_databases", {"limit": 101}),
        ("redis_create_database", {"name": "", "primary_region": "us-east-1"}),
        ("redis_delete_backup", {"database_id": "x", "backup_id": "y/../z"}),
    ],
)
async def test_invalid_arguments_are_rejected_with_their_place(
    agent: Agent, name: str, arguments: dict[str, Any]
) -> None:
    """The types reject them before a handler runs."""
    with pytest.raises(msgspec.ValidationError):
        await agent.call(name, **arguments)


async def test_an_agent_reads_its_own_entries_only(connected: World) -> None:
    """Entries of other apps are not shown, not even to an agent whose ID another app has as its name."""
    agent = await Agent.approved(connected, *DATABASES)
    other = await Agent.approved(connected, *DATABASES, name=agent.caller.id)
    await create(other, name="others")
    for name in ("one", "two", "three"):
        await create(agent, name=name)

    first = await agent.call("audit_list", limit=2)
    rest = await agent.call("audit_list", limit=100, cursor=first["next_cursor"])

    own = [entry for entry in (*first["entries"], *rest["entries"]) if entry["action"] == "database.create"]
    assert 3 == len(own)
    assert all(entry["result"] == "ok" for entry in own)


async def test_a_refused_change_is_recorded_with_its_reason(agent: Agent) -> None:
    """The user sees what the agent tried."""
    with pytest.raises(DatabaseNotFound):
        await agent.call("redis_rename_database", database_id="no-such-database", name="x")

    entry = (await agent.call("audit_list"))["entries"][0]
    assert ("database.change", "database_not_found") == (entry["action"], entry["result"])


async def test_a_change_ends_with_the_agents_access(agent: Agent) -> None:
    """After a revocation, handlers that are still called do nothing at Upstash."""
    database_id = (await create(agent))["database_id"]
    revoked = await agent.world.call("DELETE", f"/v1/apps/{agent.caller.id}")
    assert revoked.status == 204, revoked.text

    with pytest.raises(HelperError) as refused:
        await agent.call("redis_create_backup", database_id=database_id, name="late")

    assert "invalid_token" == refused.value.code


@pytest.mark.parametrize("tool", ["redis_delete_database", "redis_reset_password"])
async def test_a_change_that_was_not_sent_is_not_made_after_a_revocation(agent: Agent, tool: str) -> None:
    """For a user who has said yes by mistake, that is the only way to stop it. The audit log has what became of it."""
    made = await create(agent)
    await agent.world.sandbox.forget_requests()

    async def allow_and_revoke(question: Any) -> bool:
        await agent.world.daemon.apps.revoke(agent.caller.id, reason="owner")
        return True

    agent.confirm = allow_and_revoke  # type: ignore[method-assign]
    with pytest.raises(AccessEnded):
        await agent.call(tool, database_id=made["database_id"])

    assert {"GET"} == {it["method"] for it in await agent.world.sandbox.requests()}
    entry = (await agent.world.get("/v1/audit")).json["entries"][0]
    assert (tool.removeprefix("redis_").split("_")[0], f'{made["database_id"]} "orders"', "invalid_token") == (
        entry["action"].removeprefix("database.").split("_")[0],
        entry["target"],
        entry["result"],
    )


async def test_a_database_is_not_deleted_after_a_revocation_while_it_is_read(agent: Agent) -> None:
    """Its name is compared with that in the question before anything is deleted, and Upstash may be slow."""
    made = await create(agent)
    asked = asyncio.Event()

    async def slow_from_now_on(question: Any) -> bool:
        await agent.world.sandbox.fault(path=f"*/{made['database_id']}", method="GET", latency=3.0)
        await agent.world.sandbox.forget_requests()
        asked.set()
        return True

    agent.confirm = slow_from_now_on  # type: ignore[method-assign]
    calling = asyncio.create_task(agent.call("redis_delete_database", database_id=made["database_id"]))
    await asked.wait()
    while not await agent.world.sandbox.requests():  # noqa: ASYNC110 - another process makes it true
        await asyncio.sleep(0.01)
    await agent.world.daemon.apps.revoke(agent.caller.id, reason="owner")
    with pytest.raises(AccessEnded):
        await calling

    assert {"GET"} == {it["method"] for it in await agent.world.sandbox.requests()}
