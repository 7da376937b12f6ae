"""The tools of ``/mcp`` for Vector, Search, and QStash, and the former names of those for Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agents import Agent
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.broker.errors import ReadOnlyAccess, UpstreamRejected

if TYPE_CHECKING:
    from tests.support.world import World

ACCOUNT = ("upstash:read", "upstash:write")
REDIS = ("databases:read", "databases:write", "databases:delete", "databases:commands")
VECTOR = {
    "product": "vector",
    "name": "embeddings",
    "region": "eu-west-1",
    "similarity_function": "COSINE",
    "dimension_count": 3,
}
SEARCH = {"product": "search", "name": "pages", "region": "eu-west-1"}

both = pytest.mark.parametrize("wanted", [VECTOR, SEARCH], ids=["vector", "search"])


@pytest.fixture
async def connected(world: World) -> World:
    """A daemon with a connected account."""
    await world.connect()
    return world


@pytest.fixture
async def agent(connected: World) -> Agent:
    """An agent with access to everything but credentials."""
    return await Agent.approved(connected, *ACCOUNT)


# --- Vector and Search ------------------------------------------------------------------------------------------------


@both
async def test_an_index_is_created_shown_and_renamed(agent: Agent, wanted: dict[str, Any]) -> None:
    """Its tokens are in no result, since they were not requested."""
    made = await agent.call("index_create", **wanted)
    of = {"product": wanted["product"], "index_id": made["id"]}
    refused = await agent.call("index_update", **of, name="refused")
    agent.allows = True
    await agent.call("index_update", **of, name="renamed")

    shown = await agent.call("index_get", **of)
    stats = await agent.call("index_get_stats", **of)
    listed = await agent.call("index_list", product=wanted["product"])

    assert (wanted["name"], False, "renamed") == (made["name"], refused["done"], shown["name"])
    assert "refused" in agent.asked[0].detail
    assert [made["id"]] == [index["id"] for index in listed["indexes"]]
    assert 0 == stats["vector_count"]
    assert not {"token", "read_only_token"} & (made.keys() | shown.keys())


async def test_an_index_gets_another_plan_only_with_the_users_yes(agent: Agent) -> None:
    """It costs the user's money. One question names all that the call would change."""
    made = await agent.call("index_create", **VECTOR)
    of = {"product": "vector", "index_id": made["id"]}

    refused = [
        await agent.call("index_update", **of, plan="payg"),
        await agent.call("index_update", **of, plan="payg", name="renamed"),
    ]
    still = await agent.call("index_get", **of)
    agent.allows = True
    allowed = await agent.call("index_update", **of, plan="payg")

    assert [False, False, True] == [*(it["done"] for it in refused), allowed["done"]]
    assert made == still
    plan, both_changes, _ = agent.asked
    assert f'Change the plan of the Vector index "{made["name"]}"?' == plan.title
    assert "will move to the plan payg, which can cost more" in plan.detail
    assert 'will be renamed to "renamed" and move to the plan payg' in both_changes.detail
    assert "payg" == (await agent.call("index_get", **of))["type"]


@both
async def test_an_index_is_deleted_only_with_the_users_yes(agent: Agent, wanted: dict[str, Any]) -> None:
    """The question names the index with its ID and region."""
    made = await agent.call("index_create", **wanted)
    of = {"product": wanted["product"], "index_id": made["id"]}

    denied = await agent.call("index_delete", **of)
    left = (await agent.call("index_get", **of))["name"]
    agent.allows = True
    allowed = await agent.call("index_delete", **of)

    assert (False, wanted["name"], True) == (denied["done"], left, allowed["done"])
    assert [] == (await agent.call("index_list", product=wanted["product"]))["indexes"]
    for part in (wanted["name"], made["id"], "eu-west-1"):
        assert part in agent.asked[0].title + agent.asked[0].detail


@both
async def test_tokens_of_an_index_are_replaced_only_with_the_users_yes(
    connected: World, wanted: dict[str, Any]
) -> None:
    """The new ones are not in the result."""
    agent = await Agent.approved(connected, *ACCOUNT, "databases:credentials")
    made = await agent.call("index_create", **wanted, include_credentials=True)
    of = {"product": wanted["product"], "index_id": made["id"]}

    denied = await agent.call("index_reset_password", **of)
    unchanged = await agent.call("index_get", **of, include_credentials=True)
    agent.allows = True
    allowed = await agent.call("index_reset_password", **of)
    changed = await agent.call("index_get", **of, include_credentials=True)

    assert (False, made["token"], True) == (denied["done"], unchanged["token"], allowed["done"])
    assert changed["token"] not in (made["token"], str(allowed))


async def test_indexes_are_listed_in_pages(agent: Agent) -> None:
    """Each index is on exactly one page."""
    for name in ("one", "two", "three"):
        await agent.call("index_create", **VECTOR | {"name": name})

    first = await agent.call("index_list", product="vector", limit=2)
    second = await agent.call("index_list", product="vector", limit=2, cursor=first["next_cursor"])

    assert ["one", "three", "two"] == [it["name"] for it in (*first["indexes"], *second["indexes"])]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("index_create", {**SEARCH, "dimension_count": 3}, "Omit dimension_count for Search"),
        ("index_create", {"product": "vector", "name": "x", "region": "eu-west-1"}, "requires similarity_function"),
        ("index_update", {"product": "vector", "index_id": "x"}, "Send name, plan, or both"),
        ("index_update", {"product": "search", "index_id": "x", "plan": "payg"}, "Upstash console"),
        ("index_get", {"product": "vector", "index_id": "x", "include_credentials": True}, "databases:credentials"),
        ("qstash_list_users", {"include_credentials": True}, "databases:credentials"),
    ],
)
async def test_what_cannot_be_done_is_said_before_anything_is_sent(
    agent: Agent, name: str, arguments: dict[str, Any], said: str
) -> None:
    """The message says what is missing."""
    await agent.world.sandbox.forget_requests()

    with pytest.raises(ToolError, match=said):
        await agent.call(name, **arguments)

    assert [] == [it for it in await agent.world.sandbox.requests() if "/v2/" in it["path"]]


async def test_an_unknown_index_is_an_error_with_upstashs_explanation(agent: Agent) -> None:
    """It is not a failure of the daemon."""
    with pytest.raises(UpstreamRejected, match="404"):
        await agent.call("index_get", product="vector", index_id="none")


# --- QStash -----------------------------------------------------------------------------------------------------------


async def test_qstash_users_are_listed_without_tokens(agent: Agent) -> None:
    """They can be narrowed to a region, and have statistics."""
    users = (await agent.call("qstash_list_users"))["users"]
    none = (await agent.call("qstash_list_users", region="us"))["users"]
    stats = await agent.call("qstash_get_stats", qstash_id=users[0]["id"], period="7d")

    assert (1, 0) == (len(users), len(none))
    assert ("eu-central-1", None, None) == (users[0]["region"], users[0]["token"], users[0]["read_only_token"])
    assert ({"delivered": 0}, 0) == (stats["messages"], stats["dlq_messages"])


async def test_tokens_of_qstash_are_returned_if_they_are_granted_and_requested(connected: World) -> None:
    """The disclosure is recorded first."""
    agent = await Agent.approved(connected, "databases:read", "upstash:read", "databases:credentials")

    user = (await agent.call("qstash_list_users", region="eu", include_credentials=True))["users"][0]

    real = (await connected.get("/upstash/v2/qstash/users")).json[0]
    assert (real["token"], real["read_only_token"]) == (user["token"], user["read_only_token"])
    entry = (await agent.call("audit_list"))["entries"][0]
    assert ("qstash.credentials", user["id"]) == (entry["action"], entry["target"])


# --- read-only access -------------------------------------------------------------------------------------------------


async def test_with_read_only_access_no_tool_writes_or_returns_credentials(open_world: World) -> None:
    """An agent with every scope sees no tool that writes, cannot call one, and gets no credential."""
    await open_world.connect()
    everything = (*ACCOUNT, *REDIS, "databases:credentials")
    agent = await Agent.approved(open_world, *everything, all_databases=True)
    made = await agent.call("redis_create_database", name="orders", primary_region="us-east-1")
    index = await agent.call("index_create", **VECTOR)
    before = await agent.tools()
    await open_world.connect(force=True, sign_up=False, full_access=False)

    tools = await agent.tools()
    database = await agent.call("redis_get_database", database_id=made["database_id"], include_credentials=True)
    shown = await agent.call("index_get", product="vector", index_id=index["id"], include_credentials=True)
    users = await agent.call("qstash_list_users", include_credentials=True)

    assert all(tool.annotations.read_only_hint for tool in tools.values())
    hidden = before.keys() - tools.keys()
    assert {"redis_create_database", "redis_delete_database", "index_delete", "redis_database_delete"} <= hidden
    assert {"redis_list_databases", "redis_run_command", "index_list", "audit_list"} <= tools.keys()
    assert (None, None) == (database["credentials"], users["users"][0]["token"])
    assert "token" not in shown
    for result in (database, shown, users):
        assert "is read-only" in result["note"]


async def test_a_write_is_refused_even_if_access_becomes_read_only_after_the_list(open_world: World) -> None:
    """The list is only what is shown: the broker refuses the change, before Upstash would."""
    await open_world.connect()
    agent = await Agent.approved(open_world, *ACCOUNT, *REDIS)
    made = await agent.call("redis_create_database", name="orders", primary_region="us-east-1")
    tools = await agent.tools()
    await open_world.connect(force=True, sign_up=False, full_access=False)
    create = tools["redis_create_backup"]

    with pytest.raises(ReadOnlyAccess):
        await create.handler(agent, create.arguments(database_id=made["database_id"], name="late"))


# --- scopes -----------------------------------------------------------------------------------------------------------


async def test_an_agent_sees_the_tools_of_its_scopes_only(connected: World) -> None:
    """Each tool belongs to one scope, and the order is always the same."""
    reader = await Agent.approved(connected, "databases:read", name="Reader")
    all_scopes = await Agent.approved(connected, *ACCOUNT, *REDIS, name="Everything")

    of_reader, of_all = await reader.tools(), await all_scopes.tools()

    assert {"databases:read"} == {tool.scope for tool in of_reader.values()}
    assert [name for name in of_all if name in of_reader] == list(of_reader)
    assert list(of_all) == [tool.name for tool in connected.daemon.tools()]


# --- former names -----------------------------------------------------------------------------------------------------


async def test_former_names_are_answered_and_not_listed(connected: World) -> None:
    """A prompt for ``@upstash/mcp-server`` works: with its names, its arguments, and the same questions."""
    agent = await Agent.approved(connected, *REDIS)
    tools = await agent.tools()
    call = agent.call

    made = await call("redis_database_create_new", name="old", primary_region="us-east-1", read_regions=["eu-west-1"])
    database_id = made["database_id"]
    listed = await call("redis_database_list_databases")
    details = await call("redis_database_get_details", database_id=database_id)
    await call("redis_database_update_regions", id=database_id, read_regions=["eu-west-1", "us-west-1"])
    await call("redis_database_set_daily_backup", database_id=database_id, enable=True)
    ran = await call("redis_database_run_redis_commands", database_id=database_id, commands=[["SET", "a", "1"]])
    single = await call("redis_database_run_single_redis_command", database_id=database_id, command=["GET", "a"])
    many = await call("redis_database_run_multiple_redis_commands", database_id=database_id, commands=[["GET", "a"]])
    stats = await call("redis_database_get_statistics", id=database_id, period="1h")
    await call("redis_database_manage_backup", database_id=database_id, operation="create", backup_name="one")
    await call("redis_database_create_backup", database_id=database_id, backup_name="two")
    backups = (await call("redis_database_list_backups", database_id=database_id))["backups"]
    one = {"database_id": database_id, "backup_id": backups[0]["backup_id"]}
    denials = [
        await call("redis_database_reset_password", id=database_id),
        await call("redis_database_manage_backup", **one, operation="restore"),
        await call("redis_database_manage_backup", **one, operation="delete"),
        await call("redis_database_restore_backup", **one),
        await call("redis_database_delete_backup", **one),
        await call("redis_database_delete", database_id=database_id),
    ]

    assert not any(tool.listed for name, tool in tools.items() if name.startswith("redis_database_"))
    assert all(tool.listed for name, tool in tools.items() if not name.startswith("redis_database_"))
    assert ([database_id], "old") == ([it["database_id"] for it in listed["databases"]], details["database_name"])
    assert ("OK", "1", "1") == tuple(it["results"][0]["result"] for it in (ran, single, many))
    assert stats["points"]
    assert {"one", "two"} == {it["name"] for it in backups}
    assert [False] * 6 == [it["done"] for it in denials]
    assert 6 == len(agent.asked)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        (
            "redis_database_run_redis_commands",
            {"commands": [["PING"]], "database_rest_url": "https://x", "database_rest_token": "t"},
            "Send only database_id",
        ),
        ("redis_database_run_redis_commands", {"commands": [["PING"]]}, "Send database_id"),
        ("redis_database_manage_backup", {"database_id": "x", "operation": "create"}, "Send backup_name"),
        (
            "redis_database_manage_backup",
            {"database_id": "x", "operation": "delete", "backup_id": "y"},
            "has not granted databases:delete",
        ),
    ],
)
async def test_former_arguments_that_do_not_work_here_are_explained(
    connected: World, name: str, arguments: dict[str, Any], said: str
) -> None:
    """No token of an agent is used, and no operation goes beyond the scopes."""
    agent = await Agent.approved(connected, "databases:write", "databases:commands")

    with pytest.raises(ToolError, match=said):
        await agent.call(name, **arguments)
