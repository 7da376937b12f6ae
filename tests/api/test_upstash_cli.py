"""Upstash's published command line, used unchanged behind ``/upstash/``, with an app's token as its API key."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import upstash_cli_commands as commands
from tests.support.upstash_cli import UpstashCli
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World

# The user of the connection is chosen by the daemon, not by the app.
ANYONE = "me@example.com"


async def cli_of(world: World, folder: Path, *scopes: str) -> UpstashCli:
    """Return the command line of a new app."""
    app = await world.pair(*scopes)
    return await UpstashCli.new(folder, f"http://127.0.0.1:{world.settings.port}/upstash", ANYONE, app.token)


@pytest.mark.slow
async def test_every_command_works_through_the_helper(world: World, tmp_path: Path) -> None:
    """It needs no API key of its own: an app's token does, for every command that uses the account."""
    await world.connect()
    cli = await cli_of(world, tmp_path, "upstash:read", "upstash:write")
    other = f"eve-{secrets.token_hex(6)}@example.com"
    await world.sandbox.account(other, PASSWORD)
    team_id = await world.sandbox.team(world.email, "Library")

    async with asyncio.TaskGroup() as products:
        products.create_task(commands.databases(cli, world.sandbox.rest_url, team_id))
        products.create_task(commands.vector(cli, team_id))
        products.create_task(commands.search(cli, team_id))
        products.create_task(commands.qstash(cli, team_id))
        products.create_task(commands.teams(cli, world.email, other))

    # That these are all commands is what the sandbox's test of the command line shows.
    assert len(cli.commands) > 50


async def test_upstash_cli_shows_refusals_in_words(world: World, tmp_path: Path) -> None:
    """It prints the member ``error``, and would print a whole document without it."""
    await world.connect()
    reader = await cli_of(world, tmp_path, "upstash:read")

    denied = await reader.run("redis", "create", "--name", "no", "--region", "us-east-1")
    keys = await reader.run("redis", "get", "--db-id", "../../apikeys")
    missing = await reader.run("redis", "get", "--db-id", "no-such-id")

    assert (1, True) == (denied[0], "requires the scope upstash:write" in denied[1]["error"])
    assert (1, True) == (keys[0], "API keys cannot be created or read through the helper" in keys[1]["error"])
    assert (1, {"error": "database not found"}) == missing
