"""What the audit log says about changes: enough to answer what an app did, also when the database no longer exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agents import Agent
from upstash_helper.broker import models
from upstash_helper.broker.audit import MAX_TEXT_BYTES
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from tests.support.world import World

ALL = ("databases:read", "databases:write", "databases:delete", "upstash:read", "upstash:write")


@pytest.fixture
async def allowed(world: World) -> Agent:
    """An agent whose user answers with yes."""
    await world.connect()
    agent = await Agent.approved(world, *ALL)
    agent.allows = True
    return agent


async def newest(world: World, action: str) -> dict[str, Any]:
    """Return the newest entry of an action."""
    entries = (await world.get("/v1/audit")).json["entries"]
    found: dict[str, Any] = next(it for it in entries if it["action"] == action)
    return found


async def test_creating_is_recorded_with_name_region_and_plan(allowed: Agent) -> None:
    """These decide what it costs and where the data is."""
    regions = {"primary_region": "eu-west-1", "read_regions": ["us-east-1"]}
    made = await allowed.call("redis_create_database", name="orders", plan="payg", **regions)

    entry = await newest(allowed.world, "database.create")

    assert f'{made["database_id"]} "orders" in eu-west-1, plan payg, read regions: us-east-1' == entry["target"]


async def test_a_failed_creation_says_what_was_wanted(allowed: Agent) -> None:
    """There is no ID."""
    with pytest.raises(HelperError):
        await allowed.call("redis_create_database", name="my orders", primary_region="eu-west-9", plan="free")

    entry = await newest(allowed.world, "database.create")

    assert '"my orders" in eu-west-9, plan free' == entry["target"]
    assert "ok" != entry["result"]


@pytest.mark.parametrize(
    ("tool", "arguments", "shown"),
    [
        ("redis_rename_database", {"name": "paid"}, '"orders": renamed to "paid"'),
        ("redis_set_eviction", {"enabled": True}, '"orders": eviction on'),
        ("redis_set_auto_upgrade", {"enabled": True}, '"orders": automatic upgrades on'),
        ("redis_update_regions", {"read_regions": ["us-west-1"]}, '"orders": read regions: us-west-1'),
        ("redis_update_regions", {"read_regions": []}, '"orders": read regions: none'),
        ("redis_set_daily_backup", {"enabled": False}, '"orders": daily backups off'),
    ],
)
async def test_a_change_says_what_is_changed(allowed: Agent, tool: str, arguments: dict[str, Any], shown: str) -> None:
    """Also under which name the user knew the database."""
    made = await allowed.call("redis_create_database", name="orders", primary_region="us-east-1", plan="payg")

    done = await allowed.call(tool, database_id=made["database_id"], **arguments)

    assert done["done"], done
    assert f"{made['database_id']} {shown}" == (await newest(allowed.world, "database.change"))["target"]


async def test_deleting_is_recorded_with_the_name(allowed: Agent) -> None:
    """The ID alone says nothing once the database no longer exists."""
    made = await allowed.call("redis_create_database", name="orders", primary_region="us-east-1")

    await allowed.call("redis_reset_password", database_id=made["database_id"])
    await allowed.call("redis_delete_database", database_id=made["database_id"])

    for action in ("database.reset_password", "database.delete"):
        assert f'{made["database_id"]} "orders"' == (await newest(allowed.world, action))["target"]


async def test_backups_are_recorded_with_their_names(allowed: Agent) -> None:
    """Which backup was restored is recorded, too."""
    database_id = (await allowed.call("redis_create_database", name="orders", primary_region="us-east-1"))[
        "database_id"
    ]
    await allowed.call("redis_create_backup", database_id=database_id, name="before")
    [backup] = (await allowed.call("redis_list_backups", database_id=database_id))["backups"]
    of = {"database_id": database_id, "backup_id": backup["backup_id"]}

    await allowed.call("redis_restore_backup", **of)
    await allowed.call("redis_delete_backup", **of)

    named = f'{database_id} "orders", backup {backup["backup_id"]} "before"'
    assert f'{database_id} "before"' == (await newest(allowed.world, "backup.create"))["target"]
    for action in ("backup.restore", "backup.delete"):
        assert named == (await newest(allowed.world, action))["target"]


async def test_indexes_are_recorded_with_their_names(allowed: Agent) -> None:
    """Like databases."""
    vectors = {"similarity_function": "COSINE", "dimension_count": 3}
    made = await allowed.call("index_create", product="vector", name="docs", region="eu-west-1", **vectors)
    of = {"product": "vector", "index_id": made["id"]}

    await allowed.call("index_update", **of, plan="payg")
    plan = (await newest(allowed.world, "index.change"))["target"]
    await allowed.call("index_update", **of, name="texts")
    await allowed.call("index_delete", **of)

    assert f'{made["id"]} "docs": plan payg' == plan
    assert {
        "index.create": f'{made["id"]} "docs" in eu-west-1, plan free',
        "index.change": f'{made["id"]} "docs": renamed to "texts"',
        "index.delete": f'{made["id"]} "texts"',
    } == {
        action: (await newest(allowed.world, action))["target"]
        for action in ("index.create", "index.change", "index.delete")
    }


@pytest.mark.parametrize("condition", [{}, {"If-Match": "*"}], ids=["always", "if-match"])
async def test_requests_of_the_api_are_recorded_like_tools(world: World, condition: dict[str, str]) -> None:
    """The command line, the dashboard, and apps use it."""
    await world.connect()
    database = await world.create("orders", plan="payg")
    at = f"/v1/databases/{database['id']}"

    created = (await newest(world, "database.create"))["target"]
    changed = await world.call("PATCH", at, {"name": "paid", "auto_upgrade": True}, headers=condition)
    setting = await world.call("PATCH", at, {"eviction": True}, headers=condition)
    await world.call("POST", f"{at}/reset-password")
    deleted = await world.call("DELETE", at, headers=condition)

    assert [200, 200, 204] == [changed.status, setting.status, deleted.status]
    assert f'{database["id"]} "orders" in us-east-1, plan payg' == created
    entries = (await world.get("/v1/audit")).json["entries"]
    assert [
        ("database.delete", f'{database["id"]} "paid"'),
        ("database.reset_password", f'{database["id"]} "paid"'),
        ("database.change", f'{database["id"]} "paid": eviction on'),
        ("database.change", f'{database["id"]} "orders": automatic upgrades on, renamed to "paid"'),
    ] == [(it["action"], it["target"]) for it in entries[:4]]


async def test_a_refused_deletion_is_recorded_with_the_name(world: World) -> None:
    """Nothing was deleted, and the entry says which database was meant."""
    await world.connect()
    database = await world.create("orders")

    refused = await world.call("DELETE", f"/v1/databases/{database['id']}", headers={"If-Match": '"other"'})

    entry = await newest(world, "database.delete")
    assert 412 == refused.status
    assert (f'{database["id"]} "orders"', refused.code) == (entry["target"], entry["result"])


def test_a_name_cannot_pass_for_the_text_around_it() -> None:
    """Names come from apps and from elsewhere: they are on one line, without hidden characters, and in their quotes."""
    name = 'x", plan free\n\u202eevil'

    target = audit_target.changed("db-1", [models.Rename(name), models.SetEviction(enabled=True)], name=name)

    assert 'db-1 "x\', plan free evil": renamed to "x\', plan free evil", eviction on' == target


def test_a_long_name_leaves_room_for_what_was_done() -> None:
    """The audit keeps the beginning and the end of a text that is too long."""
    target = audit_target.changed(36 * "i", [models.SetEviction(enabled=True)], name=500 * "n")

    assert len(target.encode()) < MAX_TEXT_BYTES
    assert target.endswith('n": eviction on')
