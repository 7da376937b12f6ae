"""``redis_run_command``: real commands in the sandbox's databases, without the agent seeing a token."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.agents import Agent
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.api.mcp.tools.commands import CommandResults
from upstash_helper.broker.databases.commands import REMOVED
from upstash_helper.broker.errors import AccessEnded, DatabaseNotFound, HelperError, NotTheCreator

if TYPE_CHECKING:
    from tests.support.world import World

SCOPES = ("databases:read", "databases:write", "databases:commands")


@pytest.fixture
async def connected(world: World) -> World:
    """A daemon with a connected account."""
    await world.connect()
    return world


@pytest.fixture
async def agent(connected: World) -> Agent:
    """An agent that may run commands in the databases that it creates."""
    return await Agent.approved(connected, *SCOPES)


async def new_database(agent: Agent) -> str:
    """Create a database as the agent, and return its ID."""
    made = await agent.call("redis_create_database", name="orders", primary_region="us-east-1")
    return str(made["database_id"])


async def run(agent: Agent, database_id: str, *command: Any) -> Any:
    """Run one command, and return its result."""
    done = await agent.call("redis_run_command", database_id=database_id, command=command)
    (result,) = done["results"]
    return result


# --- running ----------------------------------------------------------------------------------------------------------


async def test_a_command_runs_and_returns_what_redis_replies(agent: Agent) -> None:
    """Texts, numbers, nothing, and lists are returned as JSON has them."""
    database_id = await new_database(agent)

    assert "OK" == (await run(agent, database_id, "SET", "Grüße", "wörld"))["result"]
    assert "wörld" == (await run(agent, database_id, "GET", "Grüße"))["result"]
    assert 3 == (await run(agent, database_id, "INCRBY", "n", 3))["result"]
    assert None is (await run(agent, database_id, "GET", "none"))["result"]
    await run(agent, database_id, "RPUSH", "list", "a", 1, 2.5)
    assert ["a", "1", "2.5"] == (await run(agent, database_id, "LRANGE", "list", 0, -1))["result"]


async def test_several_commands_run_in_order_in_one_call(agent: Agent) -> None:
    """One that fails does not keep the later ones from running, and its error is readable."""
    database_id = await new_database(agent)

    done = await agent.call(
        "redis_run_command", database_id=database_id, commands=[["SET", "k", "text"], ["INCR", "k"], ["GET", "k"]]
    )

    first, failed, last = done["results"]
    assert ("OK", None, "text") == (first["result"], failed["result"], last["result"])
    assert "not an integer" in failed["error"]
    assert ["SET k text", "INCR k", "GET k"] == [result["command"] for result in done["results"]]


@pytest.mark.parametrize("arguments", [{}, {"command": ["PING"], "commands": [["PING"]]}, {"command": []}])
async def test_either_a_command_or_several_are_required(agent: Agent, arguments: dict[str, Any]) -> None:
    """What is ambiguous is not run."""
    with pytest.raises(ToolError, match="either command or commands"):
        await agent.call("redis_run_command", database_id="any", **arguments)


async def test_a_line_instead_of_arguments_is_explained(agent: Agent) -> None:
    """A frequent mistake of models gets an example."""
    with pytest.raises(ToolError, match="separate item"):
        await agent.call("redis_run_command", database_id="any", command=["SET key value"])


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["BLPOP", "k", 0], "blocks the connection"),
        (["xread", "block", 0, "STREAMS", "s", "$"], "blocks the connection"),
        (["XREADGROUP", "GROUP", "g", "c", "BLOCK", "5", "STREAMS", "s", ">"], "blocks the connection"),
        (["SUBSCRIBE", "c"], "receives messages"),
        (["MONITOR"], "receives messages"),
        (["MULTI"], "you can send several commands in one call"),
        (["AUTH", "x"], "the daemon connects and authenticates"),
        (["select", "1"], "the daemon connects and authenticates"),
    ],
)
async def test_a_command_for_tcp_only_is_explained(agent: Agent, command: list[Any], said: str) -> None:
    """The message says why it cannot run, and with what it can. Nothing of the call has run."""
    database_id = await new_database(agent)

    with pytest.raises(ToolError, match="requires a Redis client that uses REDIS_URL") as refused:
        await agent.call("redis_run_command", database_id=database_id, commands=[["SET", "a", "1"], command])

    assert said in str(refused.value)
    assert 0 == (await run(agent, database_id, "EXISTS", "a"))["result"]


async def test_a_key_called_block_does_not_wait(agent: Agent) -> None:
    """Only the option BLOCK waits, not a key of this name."""
    database_id = await new_database(agent)

    result = await run(agent, database_id, "XREAD", "COUNT", 1, "STREAMS", "BLOCK", "0")

    assert (None, None) == (result["result"], result["error"])


# --- whose databases --------------------------------------------------------------------------------------------------


async def test_commands_run_in_the_agents_own_databases_only(agent: Agent) -> None:
    """In others only if the user chose "all databases". The refusal comes before any question."""
    database_id = (await agent.world.create("production"))["id"]
    trusted = await Agent.approved(agent.world, *SCOPES, name="Trusted", all_databases=True)

    for command in (["GET", "k"], ["FLUSHALL"]):
        with pytest.raises(NotTheCreator, match="run commands only in databases that it created"):
            await agent.call("redis_run_command", database_id=database_id, command=command)

    assert [] == agent.asked
    assert "PONG" == (await run(trusted, database_id, "PING"))["result"]


async def test_an_unknown_database_is_an_error(connected: World) -> None:
    """It is the error of the API."""
    trusted = await Agent.approved(connected, *SCOPES, all_databases=True)

    with pytest.raises(DatabaseNotFound):
        await run(trusted, "no-such-database", "PING")


# --- what the user confirms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ["FLUSHALL"],
        [" flushdb ", "ASYNC"],
        ["EVAL", "return redis.call('FLUSH' .. 'ALL')", 0],
        ["EVALSHA", "0" * 40, 0],
        ["FCALL", "f", 0],
        ["function", "flush"],
        ["FUNCTION", "load", "replace", "#!lua name=l"],
        ["UNLINK", *(f"k{number}" for number in range(51))],
        ["mset", *(part for number in range(51) for part in (f"k{number}", ""))],
        ["JSON.MSET", *(part for number in range(51) for part in (f"k{number}", "$", "{}"))],
    ],
    ids=lambda command: str(command[0]).strip(),
)
async def test_a_command_that_destroys_much_runs_only_with_the_users_yes(agent: Agent, command: list[Any]) -> None:
    """The question names the command and the database. After a denial nothing has run, not even what came before."""
    database_id = await new_database(agent)
    await run(agent, database_id, "SET", "k1", "v")

    denied = await agent.call("redis_run_command", database_id=database_id, commands=[["SET", "k2", "v"], command])

    assert (False, []) == (denied["done"], denied["results"])
    assert "did not allow this" in denied["note"]
    assert 1 == (await run(agent, database_id, "EXISTS", "k1", "k2"))["result"]
    (question,) = agent.asked
    for part in (str(command[0]).strip().upper(), "orders", database_id, "us-east-1"):
        assert part in question.title + question.detail
    assert ("database.commands", database_id) == (question.action, question.target)


async def test_keys_that_a_call_deletes_are_counted_together(agent: Agent) -> None:
    """Many small commands need the same confirmation as a large one."""
    database_id = await new_database(agent)
    commands = [["DEL", *(f"k{number}-{key}" for key in range(10))] for number in range(6)]

    denied = await agent.call("redis_run_command", database_id=database_id, commands=commands)

    assert not denied["done"]
    assert "DEL deletes keys, 60 in all" in agent.asked[0].detail


async def test_keys_whose_values_a_call_replaces_are_counted_like_deleted_ones(agent: Agent) -> None:
    """What was in them is lost as well. The question has some of the keys, and none of the values."""
    database_id = await new_database(agent)
    await run(agent, database_id, "MSET", *(part for number in range(40) for part in (f"k{number}", "precious")))
    commands = [
        ["MSET", *(part for number in range(40) for part in (f"k{number}", "empty"))],
        ["DEL", *(f"x{number}" for number in range(11))],
    ]

    denied = await agent.call("redis_run_command", database_id=database_id, commands=commands)

    assert not denied["done"]
    assert "precious" == (await run(agent, database_id, "GET", "k39"))["result"]
    (question,) = agent.asked
    assert 'Run MSET, DEL in the database "orders"?' == question.title
    assert "MSET replaces the values of keys, 40 in all; DEL deletes keys, 11 in all." in question.detail
    assert 'MSET with 40 keys ("k0", "k1", "k2", …); DEL with 11 keys' in question.detail
    assert "empty" not in question.detail


async def test_of_keys_to_delete_only_the_number_and_the_first_are_shown(agent: Agent) -> None:
    """So that any number of them can be deleted, and a long key hides nothing of what else would run."""
    database_id = await new_database(agent)
    commands = [["DEL", "a, b", "k" * 10_000, "c", *("d" * 100 for _ in range(50))], ["DEL", "x"], ["FLUSHALL"]]

    await agent.call("redis_run_command", database_id=database_id, commands=commands)

    (question,) = agent.asked
    assert question.detail.endswith(f'Commands: DEL with 54 keys ("a, b", "{"k" * 40}…", "c", …); FLUSHALL')


async def test_a_question_shows_scripts_exactly(agent: Agent) -> None:
    """It shows where an argument and a line end, and what cannot be seen or is shown in another order."""
    database_id = await new_database(agent)
    command = ["EVAL", "-- a comment\nreturn redis.call('FLUSHALL') \u202e -- \"", 0, "k; GET x", ""]

    await agent.call("redis_run_command", database_id=database_id, command=command)

    (question,) = agent.asked
    shown = r'''EVAL "-- a comment\nreturn redis.call('FLUSHALL') \u202e -- \"" 0 "k; GET x" ""'''
    assert question.detail.endswith(f"Commands: {shown}")


@pytest.mark.parametrize(
    "commands",
    [
        [["EVAL", "return 1", 0, "x" * 1500], ["FLUSHALL"]],
        [["FLUSHALL"], ["EVAL", "--" + " " * 2_000_000 + "\nreturn 1", 0]],
        [["EVAL", f"return {'1' * 40}", 0]] * 40,
    ],
    ids=["long", "huge", "many"],
)
async def test_what_is_too_long_to_read_is_refused_without_a_question(agent: Agent, commands: list[Any]) -> None:
    """A question that is cut would hide what the user agrees to."""
    database_id = await new_database(agent)
    agent.allows = True
    await run(agent, database_id, "SET", "k", "v")

    with pytest.raises(ToolError, match=r"Nothing was run: the commands are too long for the user to review\."):
        await agent.call("redis_run_command", database_id=database_id, commands=commands)

    assert [] == agent.asked
    assert "v" == (await run(agent, database_id, "GET", "k"))["result"]


async def test_with_the_users_yes_it_runs(agent: Agent) -> None:
    """Each call asks again."""
    database_id = await new_database(agent)
    agent.allows = True

    for _ in range(2):
        await run(agent, database_id, "SET", "k", "v")
        assert "OK" == (await run(agent, database_id, "FLUSHALL"))["result"]

    assert 0 == (await run(agent, database_id, "DBSIZE"))["result"]
    assert 2 == len(agent.asked)


async def test_ordinary_commands_and_reading_scripts_run_without_a_question(agent: Agent) -> None:
    """Redis keeps these scripts from writing."""
    database_id = await new_database(agent)

    await run(agent, database_id, "DEL", *(f"k{number}" for number in range(50)))
    await run(agent, database_id, "MSET", *(f"{part}{number}" for number in range(50) for part in "kv"))
    await run(agent, database_id, "MSETNX", *(f"{part}{number}" for number in range(90) for part in "kv"))
    await run(agent, database_id, "EVAL_RO", "return 1", 0)

    assert [] == agent.asked


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [["ACL", "LIST"], ["acl", "getuser", "default"], ["ACL", "RESTTOKEN", "default", "x"], ["ACL", "SETUSER", "me"]],
)
async def test_commands_about_credentials_need_that_scope(agent: Agent, command: list[Any]) -> None:
    """They would show or create what databases:credentials protects."""
    database_id = await new_database(agent)

    with pytest.raises(ToolError, match="has not granted databases:credentials"):
        await run(agent, database_id, *command)


async def test_the_databases_own_credentials_are_removed_from_replies(agent: Agent) -> None:
    """Even where a key or a list holds one: an agent that runs commands needs no token."""
    database_id = await new_database(agent)
    real = (await agent.world.get(f"/v1/databases/{database_id}/credentials")).json
    await run(
        agent, database_id, "HSET", "leak", "url", f"https://x?_token={real['rest_token']}", "p", real["password"]
    )

    result = await run(agent, database_id, "HGETALL", "leak")

    assert ["url", f"https://x?_token={REMOVED}", "p", REMOVED] == result["result"]


# --- long replies -----------------------------------------------------------------------------------------------------


async def test_a_long_reply_is_cut_with_a_note_on_how_to_read_the_rest(agent: Agent) -> None:
    """The agent sees that it was cut, how long it is, and which command reads it in parts."""
    database_id = await new_database(agent)
    await run(agent, database_id, "SET", "long", "x" * 50_000)

    done = await agent.call("redis_run_command", database_id=database_id, command=["GET", "long"])

    (result,) = done["results"]
    assert (True, 20_000) == (result["truncated"], len(result["result"]))
    assert "The reply to GET long has 50002 characters; the first 20000 are shown." in done["note"]
    assert "GETRANGE" in done["note"]


async def test_many_replies_share_the_limit(agent: Agent) -> None:
    """A short reply after long ones is still shown whole."""
    database_id = await new_database(agent)
    await run(agent, database_id, "SET", "long", "x" * 15_000)

    done = await agent.call(
        "redis_run_command", database_id=database_id, commands=[["GET", "long"]] * 3 + [["STRLEN", "long"]]
    )

    assert [False, True, True, False] == [result["truncated"] for result in done["results"]]
    assert 15_000 == done["results"][-1]["result"]
    assert sum(len(str(result["result"])) for result in done["results"]) < 21_000


async def test_a_reply_that_is_too_large_to_read_is_an_error(agent: Agent) -> None:
    """The daemon does not hold it in memory."""
    database_id = await new_database(agent)
    await run(agent, database_id, "SET", "huge", "")
    await run(agent, database_id, "SETRANGE", "huge", 5 * 1024 * 1024, "x")

    with pytest.raises(HelperError, match="larger than") as refused:
        await run(agent, database_id, "GET", "huge")

    assert "upstream_unavailable" == refused.value.code


# --- read-only access, and the audit ----------------------------------------------------------------------------------


async def test_with_read_only_access_the_database_itself_refuses_to_write(open_world: World) -> None:
    """The commands run with the read-only token, so nothing depends on which commands the daemon knows."""
    await open_world.connect()
    agent = await Agent.approved(open_world, *SCOPES, all_databases=True)
    database_id = await new_database(agent)
    await run(agent, database_id, "SET", "k", "v")
    await open_world.connect(force=True, sign_up=False, full_access=False)

    tool = (await agent.tools())["redis_run_command"]
    done = await agent.call(
        "redis_run_command", database_id=database_id, commands=[["GET", "k"], ["SET", "k", "w"], ["FLUSHALL"]]
    )

    read, written, flushed = done["results"]
    assert ("v", None, None) == (read["result"], written["result"], flushed["result"])
    assert "NOPERM" in written["error"]
    assert "NOPERM" in flushed["error"]
    assert "is read-only" in done["note"]
    assert (True, False) == (tool.annotations.read_only_hint, tool.annotations.destructive_hint)
    assert [] == agent.asked


async def test_commands_are_recorded_without_their_keys_and_values(agent: Agent) -> None:
    """The user sees which commands ran where; the data stays in the database."""
    database_id = await new_database(agent)

    await agent.call(
        "redis_run_command", database_id=database_id, commands=[["SET", "private-key", "private-value"], ["GET", "x"]]
    )

    entry = (await agent.call("audit_list"))["entries"][0]
    assert ("database.commands", f"{database_id} SET, GET", "ok") == (entry["action"], entry["target"], entry["result"])


async def test_harmless_commands_do_not_hide_one_that_destroys_much_in_the_audit_log(agent: Agent) -> None:
    """Its name comes first, each name is there once, and it is visible that some are left out."""
    database_id = await new_database(agent)
    agent.allows = True
    unknown = [[f"UNKNOWN{number:02}", "x"] for number in range(45)]
    commands = [
        *unknown[:20],
        ["DEL", *(f"k{number}" for number in range(51))],
        ["FLUSHALL"],
        *unknown[20:],
        ["GET", "x"],
    ]

    await agent.call("redis_run_command", database_id=database_id, commands=commands)

    target = (await agent.call("audit_list"))["entries"][0]["target"]
    shown, ellipsis, more = target.partition(", …, ")
    names = shown.removeprefix(f"{database_id} ").split(", ")
    assert ["FLUSHALL", "DEL", "UNKNOWN00", "UNKNOWN01"] == names[:4]
    assert (", …, ", f"{48 - len(names)} more") == (ellipsis, more)


async def test_names_of_commands_in_the_audit_log_cannot_hide_or_reorder_text(agent: Agent) -> None:
    """The agent chooses them. They are shown in the dashboard and returned by the API."""
    database_id = await new_database(agent)
    hostile = "FOO\x1b[31m\u202e\nBAR\u200b" + "x" * 50_000

    await agent.call("redis_run_command", database_id=database_id, commands=[[hostile], ["\u2066"], ["GET", "a"]])

    entry = (await agent.world.get("/v1/audit")).json["entries"][0]
    assert "database.commands" == entry["action"]
    assert entry["target"].startswith(f"{database_id} FOO[31M BAR")
    assert entry["target"].endswith("X, (no name), GET")
    assert entry["target"].replace("…", "").isascii()
    assert entry["target"].isprintable()
    assert len(entry["target"]) < len(database_id) + 60


async def test_a_running_command_ends_with_the_agents_access(agent: Agent) -> None:
    """The agent gets no reply after a revocation."""
    database_id = await new_database(agent)
    await agent.world.sandbox.forget_requests()
    await agent.world.sandbox.fault(listener="rest", latency=60)
    running = asyncio.create_task(run(agent, database_id, "GET", "k"))
    async with asyncio.timeout(30):
        while True:
            if any(request["listener"] == "rest" for request in await agent.world.sandbox.requests()):
                break
            await asyncio.sleep(0.02)

    assert 204 == (await agent.world.call("DELETE", f"/v1/apps/{agent.caller.id}")).status
    with pytest.raises(AccessEnded):
        async with asyncio.timeout(30):
            await running


@pytest.mark.parametrize("depth", [400, 900])
async def test_a_deeply_nested_reply_is_returned_or_cut(agent: Agent, depth: int) -> None:
    """It is not parsed, so its depth does not matter."""
    database_id = await new_database(agent)
    text = "[" * depth + "]" * depth
    await agent.world.sandbox.fault(listener="rest", path="/pipeline", status=200, body=f'[{{"result":{text}}}]')

    tool = (await agent.tools())["redis_run_command"]
    done = await tool.handler(agent, tool.arguments(database_id=database_id, command=("GET", "k")))

    assert isinstance(done, CommandResults)
    assert text == bytes(done.results[0].result).decode()
