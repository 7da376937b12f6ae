"""Variables of a database in a project's file: what the user is asked, and what the app gets to know."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from tests.api.test_mcp import agent_of, created
from tests.support.until import until_async
from tests.support.world import World
from upstash_helper.broker.apps.registry import MAX_FOLDERS, caller_of
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.env_files import Written
from upstash_helper.broker.errors import AccessEnded, AppNotFound, DatabaseNotFound, FileRefused, LedgerUnavailable
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import App
    from upstash_helper.broker.identity import Caller


class Agent:
    """An agent with access, whose user answers what the test has set."""

    def __init__(self, world: World, app: App, project: Path) -> None:
        self.world = world
        self.app = app
        self.project = project
        self.answer = True
        self.asked: list[Question] = []

    @classmethod
    async def with_access(cls, world: World, tmp_path: Path, **granted: Any) -> Agent:
        """Connect an account, and give an agent access."""
        await world.connect()
        scopes = ("databases:read", "databases:write", "databases:credentials")
        app = await world.pair(*scopes, audience="mcp", name="Agent", **granted)
        project = tmp_path.resolve() / "project"
        project.mkdir()
        return cls(world, app, project)

    async def caller(self) -> Caller:
        """Return the agent as the daemon knows it now."""
        return caller_of(await self.world.daemon.apps.get(self.app.id))

    async def own_database(self, name: str = "mine") -> dict[str, Any]:
        """Create a database in the name of the agent."""
        made = await self.world.create(name)
        caller = await self.caller()
        credential = await self.world.daemon.connection.usable()
        account = credential.account_key
        await self.world.ledger.creates.done(
            _key(caller.id, made["id"]), _database(made), owner=caller.creator_key, account=account
        )
        return made

    async def write(self, database: dict[str, Any], path: str | Path = "", **options: Any) -> Written | None:
        """Write the variables, by default to the project's ``.env``."""
        return await self.world.daemon.write_env_file()(
            await self.caller(),
            database["id"],
            str(path or self.project / ".env"),
            redis_url=options.pop("redis_url", False),
            confirm=options.pop("confirm", self._confirm),
        )

    async def _confirm(self, question: Question) -> bool:
        self.asked.append(question)
        return self.answer

    async def values(self, database: dict[str, Any]) -> dict[str, str]:
        """Return the database's variables."""
        found: dict[str, str] = (await self.world.get(f"/v1/databases/{database['id']}/credentials")).json["env"]
        return found


def _key(caller: str, database_id: str) -> Any:
    from upstash_helper.broker.ledger import CreateKey

    return CreateKey(caller, f"key-{database_id}")


def _database(made: dict[str, Any]) -> Any:
    from upstash_helper.broker.models import Database

    return Database(**{name: made[name] for name in Database.__struct_fields__ if name in made} | {"created_at": 0})


@pytest.fixture
async def agent(world: World, tmp_path: Path) -> Agent:
    """An agent with access to the account's databases, but only to the credentials of its own."""
    return await Agent.with_access(world, tmp_path)


async def test_user_agrees_to_a_folder_once(agent: Agent) -> None:
    """The question names the database and the whole path. Later files in the folder need none."""
    database = await agent.own_database("orders")
    (agent.project / "sub").mkdir()

    first = await agent.write(database)
    second = await agent.write(database, "sub/.env.local")

    [question] = agent.asked
    assert ("env.write", str(agent.project / ".env"), True) == (question.action, question.target, question.lasting)
    assert f'"orders" ({database["id"]}) to {agent.project / ".env"}?' in question.title
    assert f"{agent.project} and its subfolders, until you revoke its access" in question.detail
    values = await agent.values(database)
    lines = [f'{name}="{values[name]}"' for name in ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")]
    for written, path in ((first, agent.project / ".env"), (second, agent.project / "sub" / ".env.local")):
        assert written is not None
        assert (str(path), lines) == (written.path, path.read_text().splitlines())


async def test_result_has_no_value(agent: Agent) -> None:
    """Nor has the question, or the audit log."""
    database = await agent.own_database()

    written = await agent.write(database, redis_url=True)

    assert written is not None
    assert ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN", "REDIS_URL") == written.variables
    values = await agent.values(database)
    entries = (await agent.world.get("/v1/audit")).json["entries"]
    shown = repr((written, agent.asked, entries))
    assert not [name for name in ("UPSTASH_REDIS_REST_TOKEN", "REDIS_URL") if values[name] in shown]
    [entry] = [it for it in entries if it["action"] == "env.write"]
    assert (agent.app.id, "ok") == (entry["app_id"], entry["result"])
    assert database["id"] in entry["target"]
    [agreement] = [it for it in entries if it["action"] == "app.agree_folder"]
    assert (agent.app.id, str(agent.project)) == (agreement["app_id"], agreement["target"])


@pytest.mark.parametrize(
    ("patterns", "state", "sentence"),
    [
        ("", "not_ignored", "Git does not ignore this file, so it could be committed by mistake."),
        ("x\n" * 5000, "not_known", "It is not known whether Git ignores this file."),
        (".env\n", "ignored", ""),
    ],
)
async def test_user_is_told_if_the_file_could_be_committed(
    agent: Agent, patterns: str, state: str, sentence: str
) -> None:
    """Also if that is not known, and the agent gets to know it, too."""
    database = await agent.own_database()
    (agent.project / ".git").mkdir()
    (agent.project / ".gitignore").write_text(patterns)

    written = await agent.write(database)

    assert written is not None
    [question] = agent.asked
    assert (state, bool(sentence)) == (written.change.git, "committed by mistake" in question.detail)
    assert sentence in question.detail


async def test_nothing_is_written_or_remembered_without_a_yes(agent: Agent) -> None:
    """The next attempt asks again."""
    database = await agent.own_database()
    agent.answer = False

    assert [None, None] == [await agent.write(database), await agent.write(database)]

    assert 2 == len(agent.asked)
    assert [] == list(agent.project.iterdir())
    assert [] == (await agent.world.get("/v1/apps")).json["apps"][0]["folders"]


async def test_agreement_is_listed_and_ends_with_the_access(agent: Agent) -> None:
    """It belongs to this app. Another one of the same program is asked again."""
    database = await agent.own_database()
    await agent.write(database)

    [listed] = (await agent.world.get("/v1/apps")).json["apps"]
    await agent.world.call("DELETE", f"/v1/apps/{agent.app.id}")
    with pytest.raises(AppNotFound):
        await agent.write(database)
    app = await agent.world.pair("databases:read", audience="mcp", name="Agent")
    again = Agent(agent.world, app, agent.project)
    await again.write(database)

    assert [str(agent.project)] == listed["folders"]
    assert 1 == len(again.asked)


@pytest.mark.parametrize("all_databases", [False, True])
async def test_database_of_another_creator_is_asked_about_each_time(
    world: World, tmp_path: Path, *, all_databases: bool
) -> None:
    """
    Even in a folder that the user agreed to, for databases that the app created. The option "all databases" is about
    something else.
    """
    agent = await Agent.with_access(world, tmp_path, all_databases=all_databases)
    theirs = await world.create("theirs")
    await agent.write(await agent.own_database(), agent.project / "first.env")

    for _ in range(2):
        await agent.write(theirs)
    agent.answer = False
    denied = await agent.write(theirs, agent.project / "denied.env")

    assert denied is None
    assert not (agent.project / "denied.env").exists()
    [_, *asked] = agent.asked
    assert 3 == len(asked)
    assert all("The app did not create this database." in it.detail for it in asked)
    assert not any(it.lasting for it in asked)
    assert '"theirs"' in asked[1].title


async def test_other_values_are_replaced_only_after_a_question(agent: Agent) -> None:
    """They could be those of another database, which cannot be brought back."""
    one, two = await agent.own_database("one"), await agent.own_database("two")
    await agent.write(one)
    agent.answer = False
    denied = await agent.write(two)
    unchanged = await agent.write(one)

    assert denied is None
    assert unchanged is not None
    assert not unchanged.change.is_changed
    [_, question] = agent.asked
    # In the sandbox, all databases have the same URL.
    assert "It replaces the current values of: UPSTASH_REDIS_REST_TOKEN." in question.detail
    assert (await agent.values(one))["UPSTASH_REDIS_REST_TOKEN"] in (agent.project / ".env").read_text()


async def test_file_is_refused_before_the_user_is_asked(agent: Agent) -> None:
    """A question about something that cannot be done would only be in the way."""
    database = await agent.own_database()

    for path in (
        "package.json",
        "relative/.env",
        agent.project / "missing" / ".env",
        agent.project / "a\u202eb" / ".env",
    ):
        with pytest.raises(FileRefused):
            await agent.write(database, path)

    assert [] == agent.asked


async def test_unknown_database_is_not_found(agent: Agent) -> None:
    """Nobody is asked."""
    with pytest.raises(DatabaseNotFound):
        await agent.write({"id": "does-not-exist"})

    assert [] == agent.asked


async def test_access_that_ends_during_the_question_writes_nothing(agent: Agent) -> None:
    """Whatever the user answers to the question that is still shown."""
    database = await agent.own_database()

    async def revoke(_: Question) -> bool:
        await agent.world.call("DELETE", f"/v1/apps/{agent.app.id}")
        return True

    with pytest.raises(AccessEnded):
        await agent.write(database, confirm=revoke)

    assert [] == list(agent.project.iterdir())


async def test_password_that_was_reset_during_the_question_is_the_new_one(agent: Agent) -> None:
    """The file never gets one that has stopped working."""
    database = await agent.own_database()

    async def reset(_: Question) -> bool:
        await agent.world.call("POST", f"/v1/databases/{database['id']}/reset-password")
        return True

    await agent.write(database, confirm=reset)

    assert (await agent.values(database))["UPSTASH_REDIS_REST_TOKEN"] in (agent.project / ".env").read_text()


async def test_number_of_folders_is_limited(agent: Agent) -> None:
    """The oldest is asked about again."""
    apps, folders = agent.world.daemon.apps, [f"/folder/{number}" for number in range(MAX_FOLDERS + 2)]
    for folder in (*folders, folders[5]):
        await apps.agree(agent.app.id, folder)

    kept = (await apps.get(agent.app.id)).folders
    assert (*(it for it in folders[2:] if it != folders[5]), folders[5]) == kept


async def test_what_cannot_be_recorded_is_not_written(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """As for every disclosure of credentials."""
    path = tmp_path / "ledger.sqlite3"
    ledger = SqliteLedger(path, deadline=1.0)
    async with World.running(tmp_path, sandbox, daemon_port, ledger=ledger) as world:
        agent = await Agent.with_access(world, tmp_path)
        database = await agent.own_database()
        await agent.write(database)
        (agent.project / ".env").unlink()
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")  # such as a backup

            with pytest.raises(LedgerUnavailable):
                await agent.write(database)

    assert [] == list(agent.project.iterdir())


# --- over /mcp --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", ["allow", "deny"])
async def test_agent_without_forms_waits_for_the_user_in_upstash_helper(
    world: World, tmp_path: Path, decision: str
) -> None:
    """Its result has the names of the variables, and a denial is an ordinary result that it can read."""
    await world.connect()
    agent = await agent_of(world, "databases:read", "databases:write", forms=False)
    database, path = await created(agent, "orders"), tmp_path.resolve() / ".env"

    calling = asyncio.create_task(agent.tool("env_write", {"database": database, "path": str(path)}))
    [question] = await until_async(lambda: world.daemon.confirmations().waiting)
    await world.call("POST", f"/v1/confirmations/{question.id}/{decision}")
    reply = await calling

    env = (await world.get(f"/v1/databases/{database}/credentials")).json["env"]
    assert "isError" not in reply.result, reply.text
    assert env["UPSTASH_REDIS_REST_TOKEN"] not in repr(reply.result)
    assert (decision == "allow") == reply.result["structuredContent"]["written"]
    assert (decision == "allow") == path.exists()
    assert decision == "deny" or env["UPSTASH_REDIS_REST_TOKEN"] in path.read_text()


async def test_file_that_is_refused_is_an_error_that_the_agent_can_read(world: World, tmp_path: Path) -> None:
    """With the reason, so that it can name another file. The user is not asked."""
    await world.connect()
    agent = await agent_of(world, "databases:read", "databases:write")
    database = await created(agent, "orders")

    reply = await agent.tool("env_write", {"database": database, "path": str(tmp_path / "package.json")})

    assert reply.result["isError"]
    assert "Variables can only be written to files such as .env" in reply.text


async def test_agent_that_only_reads_does_not_see_the_tool(world: World) -> None:
    """Nor can it call it."""
    agent = await agent_of(world, "databases:read")

    listed = {it["name"] for it in (await agent.call("tools/list")).result["tools"]}

    assert "redis_list_databases" in listed
    assert "env_write" not in listed
