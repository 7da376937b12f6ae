"""``/mcp`` with the real tools: what an agent can do after one approval, in each era of the protocol."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.mcp.raw_client import Agent
from tests.support import agents
from upstash_helper.broker.confirmations import MAX_PER_APP
from upstash_helper.protocol import mcp as protocol

if TYPE_CHECKING:
    from tests.support.world import World

SCOPES = ("databases:read", "databases:write", "databases:delete", "databases:commands")
YES: dict[str, Any] = {"action": "accept", "content": {"confirm": True}}
NO: dict[str, Any] = {"action": "decline"}


async def agent_of(world: World, *scopes: str, forms: bool = True) -> Agent:
    """Give an agent access, and return its client, which can show its user forms."""
    token = (await agents.Agent.approved(world, *scopes)).token
    headers = {"Authorization": f"Bearer {token}"}
    return Agent(world.session, f"http://127.0.0.1:{world.port}/mcp", headers, {"elicitation": {}} if forms else {})


async def audited(world: World) -> list[tuple[str, str, str]]:
    """Return what agents did: the action, its target, and its result, the oldest first."""
    entries = (await world.get("/v1/audit")).json["entries"]
    return [
        (it["action"], it["target"], it["result"])
        for it in reversed(entries)
        if it["action"].startswith(("confirmation", "data"))
    ]


async def created(agent: Agent, name: str) -> str:
    """Create a database, and return its ID."""
    reply = await agent.tool("redis_create_database", {"name": name, "primary_region": "us-east-1"})
    assert "isError" not in reply.result, reply.text
    return str(reply.result["structuredContent"]["database_id"])


async def test_agent_without_a_session_creates_uses_and_deletes_a_database(world: World) -> None:
    """The user is asked before the deletion. What was done is recorded with its target."""
    await world.connect()
    agent = await agent_of(world, *SCOPES)
    database = {"database_id": await created(agent, "orders")}
    ran = await agent.tool("redis_run_command", {**database, "commands": [["SET", "a", "1"], ["GET", "a"]]})

    async def delete(answer: dict[str, Any]) -> str:
        asked = (await agent.tool("redis_delete_database", database)).result
        [key] = asked["inputRequests"]
        assert "orders" in asked["inputRequests"][key]["params"]["message"]
        answered = {"inputResponses": {key: answer}, "requestState": asked["requestState"]}
        return (await agent.tool("redis_delete_database", database, **answered)).text

    refused = await delete(NO)
    still = [it["name"] for it in (await world.get("/v1/databases?refresh=true")).json["databases"]]
    await delete(YES)
    gone = (await world.get("/v1/databases?refresh=true")).json["databases"]

    assert "isError" not in ran.result, ran.text
    assert ["orders"] == still, refused
    assert [] == gone
    found = await audited(world)
    named = f'{database["database_id"]} "orders"'
    assert [("database.create", "ok")] == [(it[0], it[2]) for it in found if it[1].startswith(f"{named} in us-east-1")]
    assert [("database.delete", named, "ok")] == [it for it in found if it[0] == "database.delete"]


async def test_agent_with_a_session_is_asked_during_its_call(world: World) -> None:
    """The earlier versions have the same tools."""
    await world.connect()
    agent = await agent_of(world, *SCOPES)
    await agent.initialize()
    database = {"database_id": await created(agent, "orders")}

    async with agent.open("tools/call", {"name": "redis_delete_database", "arguments": database}) as stream:
        question = await stream.next()
        await agent.respond(question, YES)
        last = await stream.next()

    assert "orders" in question["params"]["message"]
    assert "isError" not in last["result"]
    yes = ("confirmation.allow_in_client", f"database.delete {database['database_id']}", "ok")
    assert [yes] == [it for it in await audited(world) if it[0] == yes[0]]
    assert [] == (await world.get("/v1/databases?refresh=true")).json["databases"]


@pytest.mark.parametrize(
    "answer", [NO, {"action": "cancel"}, {"action": "accept", "content": {"confirm": False}}], ids=str
)
async def test_a_no_in_the_client_is_recorded_with_what_was_asked(world: World, answer: dict[str, Any]) -> None:
    """Like a yes. No other entry shows what the agent wanted to do."""
    await world.connect()
    agent = await agent_of(world, *SCOPES)
    database = {"database_id": await created(agent, "orders")}
    asked = (await agent.tool("redis_delete_database", database)).result
    [key] = asked["inputRequests"]

    answered = {"inputResponses": {key: answer}, "requestState": asked["requestState"]}
    refused = (await agent.tool("redis_delete_database", database, **answered)).result

    assert refused["structuredContent"]["done"] is False
    target = f'database.delete {database["database_id"]} Delete the database "orders"?'
    assert [("confirmation.deny_in_client", target, "ok")] == (await audited(world))[1:]


async def test_tools_are_those_of_the_granted_scopes(world: World) -> None:
    """With their schemas, whose root is an object. All of them fit on one page."""
    await world.connect()
    reader, writer = await agent_of(world, "databases:read"), await agent_of(world, *SCOPES)

    read = (await reader.call("tools/list")).result
    written = (await writer.call("tools/list")).result

    assert "redis_list_databases" in {tool["name"] for tool in read["tools"]}
    assert {True} == {tool["annotations"]["readOnlyHint"] for tool in read["tools"]}
    assert {tool["name"] for tool in read["tools"]} < {tool["name"] for tool in written["tools"]}
    assert {"object"} == {tool["inputSchema"]["type"] for tool in written["tools"]}
    assert {"object"} == {tool["outputSchema"]["type"] for tool in written["tools"] if "outputSchema" in tool}
    assert "nextCursor" not in written


async def test_read_only_account_leaves_only_tools_that_read(open_world: World) -> None:
    """Whatever the agent was granted. The tools come back with full access, and a client that listens learns of it."""
    await open_world.connect(full_access=False)
    agent = await agent_of(open_world, *SCOPES)

    listed = (await agent.call("tools/list")).result["tools"]
    refused = await agent.tool("redis_create_database", {"name": "orders", "primary_region": "us-east-1"})
    async with agent.open("subscriptions/listen", {"notifications": {"toolsListChanged": True}}) as stream:
        await stream.next()
        await open_world.connect(force=True, sign_up=False)
        changed = await stream.next()
    afterwards = (await agent.call("tools/list")).result["tools"]

    assert {True} == {tool["annotations"]["readOnlyHint"] for tool in listed}
    assert refused.result["isError"] is True
    assert "read_only_access" in refused.text
    assert "notifications/tools/list_changed" == changed["method"]
    assert False in {tool["annotations"]["readOnlyHint"] for tool in afterwards}


@pytest.mark.parametrize("tool", ["redis_list_databases", "redis_get_database"])
async def test_failure_of_the_daemon_is_a_result_that_the_model_can_read(world: World, tool: str) -> None:
    """Without an account, a tool says what the user has to do."""
    agent = await agent_of(world, *SCOPES)

    reply = await agent.tool(tool, {} if "list" in tool else {"database_id": "db"})

    assert reply.result["isError"] is True
    assert "(not_connected)" in reply.text


async def test_bridge_and_endpoint_agree_on_what_there_is(world: World) -> None:
    """The bridge begins a session before the daemon knows of it."""
    agent = await agent_of(world, "databases:read")

    discovered = (await agent.call("server/discover")).result
    begun = (await agent.initialize("2025-06-18")).result

    assert protocol.completed(protocol.discover_result(), ttl_ms=discovered["ttlMs"]) == discovered
    assert protocol.initialize_result("2025-06-18") == begun


async def test_resource_of_a_database_has_the_names_of_its_variables(world: World) -> None:
    """And no value of them."""
    await world.connect()
    made = await world.create("orders")
    credentials = (await world.get(f"/v1/databases/{made['id']}/credentials")).json
    agent = await agent_of(world, "databases:read")

    [listed] = (await agent.call("resources/list")).result["resources"]
    [read] = (await agent.call("resources/read", {"uri": listed["uri"]})).result["contents"]

    assert "orders.env" == listed["name"]
    lines = [line for line in read["text"].splitlines() if not line.startswith("#")]
    assert [f"{name}=" for name in credentials["env"]] == lines
    assert not [value for value in credentials["env"].values() if value in read["text"]]


@pytest.mark.parametrize("uri", ["upstash-helper://redis/unknown/env", "upstash-helper://redis/../env", "file:///etc"])
async def test_unknown_resource_is_an_error_with_its_uri(world: World, uri: str) -> None:
    """Whatever it looks like."""
    await world.connect()
    agent = await agent_of(world, "databases:read")

    reply = await agent.call("resources/read", {"uri": uri})

    assert -32602 == reply.code
    assert {"uri": uri} == reply.last["error"]["data"]


async def test_agent_that_may_not_list_databases_has_no_resources(world: World) -> None:
    """They would show the names of the databases."""
    await world.connect()
    made = await world.create("orders")
    agent = await agent_of(world, "connection:read")

    listed = (await agent.call("resources/list")).result["resources"]
    templates = (await agent.call("resources/templates/list")).result["resourceTemplates"]
    read = await agent.call("resources/read", {"uri": f"upstash-helper://redis/{made['id']}/env"})

    assert ([], []) == (listed, templates)
    assert -32602 == read.code


async def test_prompt_adds_redis_to_a_project(world: World) -> None:
    """With or without the name of an existing database."""
    agent = await agent_of(world, "databases:read")

    [prompt] = (await agent.call("prompts/list")).result["prompts"]
    new = (await agent.call("prompts/get", {"name": prompt["name"]})).result["messages"]
    given = {"name": prompt["name"], "arguments": {"database": "orders"}}
    existing = (await agent.call("prompts/get", given)).result["messages"]

    assert "Add Redis to this project" == prompt["title"]
    assert "create one" in new[0]["content"]["text"]
    assert 'named "orders"' in existing[0]["content"]["text"]


# --- what the user reads before commands run --------------------------------------------------------------------------


async def test_a_question_about_commands_is_never_cut(world: World) -> None:
    """In a form and in upstash-helper, the user reads the longest question from its first to its last character."""
    await world.connect()
    agent, without_forms = await agent_of(world, *SCOPES), await agent_of(world, *SCOPES, forms=False)
    script = f"return {'1' * 1300}"
    commands = [["EVAL", script, 0], *([name] for name in ("EVALSHA", "FCALL", "FLUSHDB", "FLUSHALL"))]
    run = "redis_run_command"

    asked = await agent.tool(run, {"database_id": await created(agent, "first"), "commands": commands})
    of_second = {"database_id": await created(without_forms, "second"), "commands": commands}
    waiting = asyncio.create_task(without_forms.tool(run, of_second))
    async with asyncio.timeout(30):
        while True:
            if questions := (await world.get("/v1/confirmations")).json["confirmations"]:
                break
            await asyncio.sleep(0.02)
    assert 200 == (await world.call("POST", f"/v1/confirmations/{questions[0]['id']}/deny")).status
    denied = await waiting

    [form] = asked.result["inputRequests"].values()
    for text in (form["params"]["message"], questions[0]["title"] + questions[0]["detail"]):
        assert "EVAL, EVALSHA, FCALL, FLUSHDB, FLUSHALL" in text
        assert "FLUSHALL deletes all keys" in text
        assert text.endswith(f'Commands: EVAL "{script}" 0; EVALSHA; FCALL; FLUSHDB; FLUSHALL')
    assert not denied.result["structuredContent"]["done"]


async def test_each_call_that_may_wait_asks_the_user(world: World) -> None:
    """A call that waits for an answer has a question that the user can see. Only one more than that is refused."""
    await world.connect()
    agent = await agent_of(world, *SCOPES, forms=False)
    databases = [await created(agent, f"database-{number}") for number in range(MAX_PER_APP)]
    waiting = [
        asyncio.create_task(agent.tool("redis_delete_database", {"database_id": database_id}))
        for database_id in databases
    ]
    async with asyncio.timeout(30):
        while len(questions := (await world.get("/v1/confirmations")).json["confirmations"]) < MAX_PER_APP:
            await asyncio.wait(waiting, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
            assert [] == [it.result().text for it in waiting if it.done()]

    refused = await agent.tool("redis_delete_database", {"database_id": databases[0]})
    for question in questions:
        assert 200 == (await world.call("POST", f"/v1/confirmations/{question['id']}/allow")).status
    done = [(await it).result["structuredContent"]["done"] for it in waiting]

    assert "too many requests are waiting" in refused.text
    assert [True] * MAX_PER_APP == done


# --- former names -----------------------------------------------------------------------------------------------------

OF: dict[str, Any] = {"database_id": "d"}
PING = [["PING"]]
INVALID: list[tuple[str, dict[str, Any], str]] = [
    ("list_databases", {"limit": 101}, "/limit"),
    ("get_details", {"database_id": ""}, "/database_id"),
    ("create_new", {"name": "", "primary_region": "us-east-1"}, "/name"),
    ("create_new", {"name": "n", "primary_region": "us-east-1", "read_regions": ["r"] * 21}, "/read_regions"),
    ("delete", {"database_id": ""}, "/database_id"),
    ("update_regions", {"id": "d", "read_regions": ["r"] * 21}, "/read_regions"),
    ("update_regions", {"id": "d", "read_regions": [""]}, "/read_regions/0"),
    ("reset_password", {"id": ""}, "/id"),
    ("get_statistics", {"id": "", "period": "1h"}, "/id"),
    ("run_redis_commands", {**OF, "commands": []}, "/commands"),
    ("run_redis_commands", {**OF, "commands": [*PING, []]}, "/commands/1"),
    ("run_redis_commands", {**OF, "commands": PING * 51}, "/commands"),
    ("run_redis_commands", {**OF, "commands": [["DEL"] * 10_001]}, "/commands/0"),
    ("run_single_redis_command", {**OF, "command": ["DEL"] * 10_001}, "/command"),
    ("run_multiple_redis_commands", {**OF, "commands": [[]]}, "/commands/0"),
    ("run_multiple_redis_commands", {**OF, "commands": PING * 51}, "/commands"),
    ("list_backups", {"database_id": ""}, "/database_id"),
    ("create_backup", {**OF, "backup_name": ""}, "/backup_name"),
    ("create_backup", {**OF, "backup_name": "n" * 65}, "/backup_name"),
    ("delete_backup", {**OF, "backup_id": ""}, "/backup_id"),
    ("restore_backup", {**OF, "backup_id": ""}, "/backup_id"),
    ("set_daily_backup", {"database_id": "", "enable": True}, "/database_id"),
    ("manage_backup", {**OF, "operation": "create", "backup_name": "n" * 65}, "/backup_name"),
    ("manage_backup", {**OF, "operation": "delete", "backup_id": ""}, "/backup_id"),
]


async def test_each_former_name_has_the_limits_of_the_tool(world: World) -> None:
    """Empty values and too many are refused, with the place of the value and what it must be."""
    await world.connect()
    agent = await agent_of(world, *SCOPES)
    former = {tool.name for tool in world.daemon.tools() if not tool.listed}
    assert former == {f"redis_database_{name}" for name, _, _ in INVALID}, "each name is called"

    for name, arguments, pointer in INVALID:
        reply = await agent.tool(f"redis_database_{name}", arguments)

        assert reply.result.get("isError"), (name, arguments)
        assert reply.text.startswith(f"{pointer}: Must "), (name, reply.text)
