"""The sandbox's README lists the Redis commands that it refuses."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from install.environment import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.sandbox.callers import Caller

README = ROOT / "daemon/upstash_helper/sandbox/README.md"
SECONDS = 60


def documented(label: str) -> set[str]:
    """Return the names in a row of the README's table."""
    [row] = [line for line in README.read_text("utf-8").splitlines() if line.startswith(f"| {label} |")]
    return set(re.findall(r"`([A-Z.][A-Z. -]*)`", row))


def as_documented(found: Iterable[str], names: set[str]) -> set[str]:
    """Return the names of commands, without the subcommand where the README names the whole command."""
    return {name.partition(" ")[0] if name.partition(" ")[0] in names else name for name in found}


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database, as the Developer API describes it."""
    return await caller.create()


async def commands_of(database: dict[str, Any]) -> list[str]:
    """Return the names of all commands that the database's server has, and of their subcommands."""
    client: Any = Redis(host=database["endpoint"], port=database["port"], password=database["password"])
    async with client:
        listed: dict[str, dict[str, Any]] = await client.execute_command("COMMAND")
    names = [*listed, *(_text(one[0]) for command in listed.values() for one in command["subcommands"])]
    return sorted(name.replace("|", " ").upper() for name in names)


async def answers(database: dict[str, Any], commands: Iterable[str]) -> dict[str, str]:
    """
    Send each command without arguments, on a connection of its own, and return the first line of each answer.

    Most are refused for their number of arguments. A command that is not available is refused before that.
    """
    found = {}
    for command in commands:
        reader, writer = await asyncio.open_connection(database["endpoint"], database["port"])
        async with asyncio.timeout(SECONDS):
            writer.write(f"AUTH {database['password']}\r\n{command}\r\n".encode())
            await reader.readline()
            found[command] = (await reader.readline()).decode()
            writer.close()
            await writer.wait_closed()
    return found


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()


async def test_refused_commands_are_those_in_the_readme(database: dict[str, Any]) -> None:
    """
    The commands that the server has and clients cannot use are exactly those that the README names.
    """
    found = await answers(database, await commands_of(database))
    refused = {command for command, line in found.items() if line.startswith("-NOPERM")}
    names = documented("refused: they administer the server")

    assert len(found) > 300
    assert names == as_documented(refused, names)


async def test_commands_refused_over_rest_are_those_in_the_readme(caller: Caller, database: dict[str, Any]) -> None:
    """
    The commands that can be used over TCP only are exactly those that the README names.
    """
    names = [name for name in await commands_of(database) if " " not in name]
    response = await caller.rest(database["rest_token"], "/pipeline", method="POST", json=[[name] for name in names])
    errors = {name: answer.get("error", "") for name, answer in zip(names, response.json, strict=True)}
    refused = {name for name, error in errors.items() if "is not allowed in REST" in error}

    assert documented("only over TCP, as at Upstash") == refused


async def test_added_commands_are_known(database: dict[str, Any]) -> None:
    """
    The server answers to the commands that the README lists as added, as to any command without its arguments.
    """
    names = documented("added by the sandbox")
    own = await commands_of(database)
    found = await answers(database, names)

    assert len(names) > 24
    assert names.isdisjoint(own)
    assert {name: f"-ERR wrong number of arguments for '{name.lower()}' command" for name in names} == {
        name: line.strip() for name, line in found.items()
    }


async def test_missing_commands_are_those_in_the_readme(database: dict[str, Any]) -> None:
    """
    What the README lists as missing is unknown to the server.
    """
    names = documented("missing: Valkey has nothing similar")
    found = await answers(database, names)

    assert names
    assert names == {command for command, line in found.items() if line.startswith("-ERR unknown command")}
