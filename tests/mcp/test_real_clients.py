"""
Published clients of the protocol, used unchanged: each signs in, is approved once, and then lists, creates, runs
commands, deletes (refused and allowed), and has credentials written to a file. Over HTTP, and through the command that
clients start which know only that.
"""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.mcp import clients
from tests.mcp.clients import Call, Job, Server
from tests.mcp.journey import Journey, structured
from tests.mcp.user import User
from tests.support.announced import announced
from tests.support.clock import FakeClock
from tests.support.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path
    from typing import Any

    from tests.mcp.clients import Outcome
    from tests.support.sandbox import Sandbox

    Client = Callable[..., Coroutine[Any, Any, Outcome]]

SCOPES = ("connection:read", "databases:read", "databases:write", "databases:commands", "databases:delete")
BRIDGE = (sys.executable, "-m", "upstash_helper", "mcp", *(f"--scope={scope}" for scope in SCOPES))
VERSIONS = {"auto": "2026-07-28", "legacy": "2025-11-25"}
"""The version that is used, by what the client knows."""
YES_NO = {True: "accept", False: "decline"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of the user's project."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture(params=["http", "stdio"])
def server(request: pytest.FixtureRequest, world: World, tmp_path: Path) -> Iterator[Server]:
    """How the client reaches the daemon."""
    if request.param == "http":
        yield Server(url=f"http://localhost:{world.port}/mcp")
        return
    home = tmp_path / "home"
    home.mkdir()
    with announced(world, home):
        ours = {"UPSTASH_HELPER_HOME": str(home), "UPSTASH_HELPER_CREDENTIAL_STORE": "file"}
        yield Server(command=BRIDGE, environment=ours)


def shown(user: User) -> list[str]:
    """Return the questions as the user has seen them."""
    return [f"{it['title']}\n{it['detail']}" for it in user.questions]


async def assert_one_approval(world: World, user: User) -> None:
    """Check that one agent asked for access, once."""
    apps = (await world.get("/v1/apps")).json["apps"]
    assert [("mcp", 1)] == [(app["audience"], len(user.requests)) for app in apps]


@pytest.mark.slow
@pytest.mark.parametrize(("client", "mode"), [(clients.python, "legacy"), (clients.typescript, "auto")])
async def test_client_does_everything_and_the_user_decides_in_the_helper(
    world: World, server: Server, project: Path, client: Client, mode: str
) -> None:
    """A client that cannot ask its user: the helper asks, and the client waits."""
    await world.connect()
    journey, user = Journey(project), User(world, answers=Journey.answers)

    async with user.present():
        outcome = await client(Job(server, journey.calls, mode), user)

    assert VERSIONS[mode] == outcome.version
    journey.check(outcome, shown(user))
    await assert_one_approval(world, user)


@pytest.mark.slow
@pytest.mark.parametrize(("client", "mode"), [(clients.python, "auto"), (clients.typescript, "legacy")])
async def test_client_does_everything_and_asks_the_user_itself(
    world: World, server: Server, project: Path, client: Client, mode: str
) -> None:
    """A client that can ask its user is asked itself (elicitation), and the helper asks nothing."""
    await world.connect()
    journey, user = Journey(project), User(world)
    answers = [YES_NO[answer] for answer in Journey.answers]

    async with user.present():
        outcome = await client(Job(server, journey.calls, mode, answers), user)

    assert VERSIONS[mode] == outcome.version
    assert [] == user.questions
    journey.check(outcome, outcome.asked)
    await assert_one_approval(world, user)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "legacy"])
@pytest.mark.parametrize("client", [clients.python, clients.typescript])
async def test_client_asks_for_a_scope_that_the_user_has_left_out(world: World, client: Client, mode: str) -> None:
    """A call that requires it leads to a second question to the user, and is then made. No other scope is lost."""
    await world.connect()
    user = User(world, first={"scopes": ["databases:read", "databases:write"]})
    calls = [
        Call("redis_create_database", {"name": "books", "primary_region": "us-east-1"}),
        Call("redis_run_command", {"database_id": "$database", "command": ["SET", "title", "Momo"]}),
        Call("redis_run_command", {"database_id": "$database", "command": ["GET", "title"]}),
        Call("redis_list_databases"),
    ]

    async with user.present():
        outcome = await client(Job(Server(url=f"http://localhost:{world.port}/mcp"), calls, mode), user)

    created, _, got, listed = map(structured, outcome.results)
    assert VERSIONS[mode] == outcome.version
    assert "Momo" in json.dumps(got)
    assert [created["database_id"]] == [it["database_id"] for it in listed["databases"]]
    assert 2 == len(user.requests)
    [app] = (await world.get("/v1/apps")).json["apps"]
    granted = {it["scope"] for it in app["scopes"]}
    assert {"databases:read", "databases:write", "databases:commands"} <= granted


@pytest.mark.slow
async def test_inspector_does_everything(world: World, server: Server, project: Path, tmp_path: Path) -> None:
    """The Inspector's command line is one process for each call, and is approved once."""
    await world.connect()
    journey, user = Journey(project), User(world, answers=Journey.answers)
    era = "legacy" if server.url else "modern"

    async with user.present():
        outcome = await clients.inspector(Job(server, journey.calls, era), user, tmp_path)

    assert len(journey.calls) == len(outcome.results)
    journey.check(outcome, shown(user))
    await assert_one_approval(world, user)


@pytest.mark.slow
async def test_inspector_stays_signed_in(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """When its access token has ended, it gets another one for its refresh token, without a question to the user."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        await world.connect()
        user = User(world)
        server = Server(url=f"http://localhost:{world.port}/mcp")
        inspect = await clients.Inspector.of(server, "legacy", user, tmp_path)
        async with user.present():
            first = await inspect("--method", "tools/list")
            before = access_tokens(tmp_path)
            clock.advance(2 * 60 * 60)
            second = await inspect("--method", "tools/list")

        assert first["tools"]
        assert first == second
        assert 1 == len(before)
        assert set() == before & access_tokens(tmp_path)
        assert 1 == len(user.requests)


def access_tokens(home: Path) -> set[str]:
    """Return the access tokens that are in the files below a folder."""
    files = [file.read_text(encoding="utf-8", errors="replace") for file in home.rglob("*.json")]
    return {token for text in files for token in re.findall(r"uhm_[\w-]{43}", text)}
