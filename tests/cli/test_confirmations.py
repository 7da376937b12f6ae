"""Questions of apps that have access, in ``approvals …``."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.cli.test_completion import completed
from tests.support.announced import announced
from tests.support.command_line import run_cli
from tests.support.questions import DELETE, FOLDER, asking
from tests.support.terminal import at_terminal, terminal
from upstash_helper.broker.confirmations import Question
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire_apps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.world import App, World

ASKED = b"[y/N]: "
WATCHED = b"[n]: "


@pytest.fixture
def environment(world: World, tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """The environment of commands that find the test's daemon."""
    with announced(world, tmp_path) as found:
        yield found


async def agent(world: World) -> App:
    """Give an agent access."""
    return await world.pair("databases:delete", audience="mcp", name="Agent")


def ids(world: World) -> list[str]:
    """Return the IDs of the questions that wait."""
    return [it.id for it in world.daemon.confirmations().waiting]


async def test_list_shows_what_would_be_destroyed(world: World, environment: Mapping[str, str]) -> None:
    """After the verified program, and the name that it gave itself. The command that allows it is complete."""
    app = await agent(world)
    async with asking(world, app.id):
        ran = await run_cli("approvals", "list", environment=environment)
        listed = await run_cli("approvals", "list", "--json", environment=environment)
        [number] = ids(world)

    [who, name, asks, detail, left, last] = ran.out.splitlines()
    assert who.startswith("Program:")
    assert "python" in who
    assert name.endswith('"Agent" (not verified)')
    assert asks.endswith(DELETE.title)
    assert detail.strip() == DELETE.detail
    assert 0 < int(left.split()[-2]) <= 300
    assert last.endswith(number)
    assert f"upstash-helper approvals approve {number}" in ran.err
    shown = msgspec.json.decode(listed.out)
    assert [] == shown["pairings"]
    [one] = msgspec.convert(shown["confirmations"], tuple[wire_apps.Confirmation, ...])
    assert (number, DELETE.target) == (one.id, one.target)


async def test_status_mentions_a_question(world: World, environment: Mapping[str, str]) -> None:
    """A user who does not see notifications finds it, too."""
    app = await agent(world)
    async with asking(world, app.id):
        status = await run_cli("status", environment=environment)

    assert "An app needs your confirmation. See: upstash-helper approvals list" in status.err


async def test_events_show_a_question_and_its_end(world: World, environment: Mapping[str, str]) -> None:
    """With the verified program."""
    app = await agent(world)
    async with terminal("events", environment=environment) as following:
        assert following.process.stdout is not None
        await following.shows(b"Press Ctrl-C to stop.")
        async with asking(world, app.id):
            begun = await asyncio.wait_for(following.process.stdout.readline(), 60)
        ended = await asyncio.wait_for(following.process.stdout.readline(), 60)

    for line, state in ((begun, "pending"), (ended, "expired")):
        assert f"confirmation  {state}  " in line.decode()
        assert "python" in line.decode()
        assert line.decode().rstrip().endswith(DELETE.title)


async def test_requests_and_questions_are_listed_together(world: World, environment: Mapping[str, str]) -> None:
    """Each with what distinguishes it. Without one of them, a command does not guess."""
    app = await agent(world)
    await world.ask("databases:read", origin="https://page.example.com", name="Page")
    async with asking(world, app.id):
        listed = await run_cli("approvals", "list", environment=environment)
        denied = await run_cli("approvals", "deny", environment=environment)
        [number] = ids(world)

    assert listed.out.index("https://page.example.com") < listed.out.index(DELETE.title)
    assert exit_codes.USAGE == denied.code
    assert "2 requests match" in denied.err
    assert f"{number}  " in denied.err


@pytest.mark.parametrize(("typed", "code", "state"), [("y\n", 0, "allowed"), ("n\n", 1, None), ("\n", 1, None)])
async def test_approve_asks_with_the_name_of_what_is_destroyed(
    world: World, environment: Mapping[str, str], typed: str, code: int, state: str | None
) -> None:
    """Anything but yes leaves it undecided."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        ran = await at_terminal("approvals", "approve", environment=environment, typed=(typed,), asked=ASKED)
        answer = await task if state else None
        left = ids(world)

    assert code == ran.code, ran.err
    assert ran.err.index("python") < ran.err.index('"Agent"') < ran.err.index(DELETE.detail)
    assert f"{DELETE.title} [y/N]" in ran.err
    assert state == answer
    assert (state is None) == bool(left)
    assert not state or "Allowed: " in ran.out


async def test_yes_that_is_not_only_for_this_once_says_so(world: World, environment: Mapping[str, str]) -> None:
    """In the list, and where it is given."""
    app = await agent(world)
    listed = []
    for question in (DELETE, FOLDER):
        async with asking(world, app.id, question):
            listed.append((await run_cli("approvals", "list", environment=environment)).err)
    async with asking(world, app.id, FOLDER):
        approving = await at_terminal("approvals", "approve", environment=environment, typed=("n\n",), asked=ASKED)
        async with terminal("approvals", "watch", environment=environment) as watching:
            watched = await watching.shows(WATCHED)

    assert [True, False] == [", once: " in it for it in listed]
    assert f"{FOLDER.title} Allow this from now on? [y/N]" in approving.err
    assert f"{FOLDER.title} y: allow from now on, n: deny, l: later" in watched


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_script_decides_by_id(world: World, environment: Mapping[str, str], decision: str) -> None:
    """The first characters are enough. The JSON has the result."""
    app = await agent(world)
    yes = ["--yes"] if decision == "approve" else []
    async with asking(world, app.id) as task:
        [number] = ids(world)
        ran = await run_cli("approvals", decision, number[:6], *yes, "--json", environment=environment)
        answer = await task

    expected = {"approve": "allowed", "deny": "denied"}[decision]
    assert 0 == ran.code, ran.err
    assert expected == answer
    assert (number, expected) == (msgspec.json.decode(ran.out)["id"], msgspec.json.decode(ran.out)["state"])


async def test_complete_command_is_named_without_a_terminal(world: World, environment: Mapping[str, str]) -> None:
    """The command that allows it in a script has the question's ID."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        [number] = ids(world)
        ran = await run_cli("approvals", "approve", environment=environment)

        assert not task.done()
    assert exit_codes.USAGE == ran.code
    assert f"To confirm: upstash-helper approvals approve {number} --yes\n" in ran.err


async def test_yes_without_an_id_is_refused(world: World, environment: Mapping[str, str]) -> None:
    """It could be another question than the user has seen."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        ran = await run_cli("approvals", "approve", "--yes", environment=environment)

        assert not task.done()
    assert exit_codes.USAGE == ran.code


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["approve", "--once", "--yes"], "--once apply to requests for access"),
        (["approve", "--scope", "databases:read", "--yes"], "--scope, --all-databases, and --once apply to"),
        (["block", "--yes"], "upstash-helper apps revoke"),
    ],
)
async def test_what_is_for_requests_is_refused_for_a_question(
    world: World, environment: Mapping[str, str], arguments: list[str], text: str
) -> None:
    """With what to do instead. The question stays."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        [number] = ids(world)
        command, *options = arguments
        ran = await run_cli("approvals", command, number, *options, environment=environment)

        assert not task.done()
    assert exit_codes.USAGE == ran.code
    assert text in ran.err


async def test_question_that_is_over_is_not_found(world: World, environment: Mapping[str, str]) -> None:
    """Also if another one waits: a decision is for the question that it names."""
    app = await agent(world)
    async with asking(world, app.id):
        [number] = ids(world)
    async with asking(world, app.id) as task:
        ran = await run_cli("approvals", "approve", number, "--yes", environment=environment)

        assert not task.done()
    assert exit_codes.NOT_FOUND == ran.code


async def test_id_of_a_question_is_completed(world: World, environment: Mapping[str, str]) -> None:
    """Together with the codes of requests."""
    app = await agent(world)
    requested = (await world.ask("databases:read", origin="https://page.example.com", name="Page")).json
    async with asking(world, app.id):
        [number] = ids(world)
        every = await asyncio.to_thread(completed, dict(environment), "approvals", "deny", "")
        one = await asyncio.to_thread(completed, dict(environment), "approvals", "approve", number[:5])

    assert ([requested["user_code"], number], [number]) == (every, one)


async def test_app_is_shown_with_the_folders_that_the_user_agreed_to(
    world: World, environment: Mapping[str, str]
) -> None:
    """One on each line. They end with the app's access."""
    app = await agent(world)
    for folder in ("/home/me/one", "/home/me/two\x1b[2J"):
        await world.daemon.apps.agree(app.id, folder)

    shown = await run_cli("apps", "show", "Agent", environment=environment)

    lines = [line.strip() for line in shown.out.splitlines()]
    first = next(number for number, line in enumerate(lines) if line.endswith("/home/me/one"))
    assert lines[first].startswith("May write .env files in")
    assert lines[first + 1].startswith("/home/me/two")
    assert "\x1b" not in shown.out


async def test_watch_asks_as_questions_arrive(world: World, environment: Mapping[str, str]) -> None:
    """One after another. Names that an app chose cannot control the terminal."""
    app = await agent(world)
    async with terminal("approvals", "watch", environment=environment) as watching:
        await watching.shows(b"Press Ctrl-C to stop.")
        async with asking(world, app.id) as first:
            shown = await watching.shows(WATCHED)
            watching.type("y\n")
            answered = await asyncio.wait_for(first, 60)
        hostile = Question(action="database.delete", title='Delete "\x1b[2J\u202e"?', detail="x", target="y")
        async with asking(world, app.id, hostile) as second:
            other = await watching.shows(WATCHED)
            watching.type("n\n")
            denied = await asyncio.wait_for(second, 60)

    assert ("allowed", "denied") == (answered, denied)
    assert DELETE.detail in shown
    assert f"{DELETE.title} y: allow, n: deny, l: later" in shown
    assert "\x1b" not in other
    assert "\u202e" not in other
