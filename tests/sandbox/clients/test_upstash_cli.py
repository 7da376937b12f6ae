"""`@upstash/cli`, used unchanged with the sandbox's Developer API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.sandbox.callers import PASSWORD, unique_email
from tests.support import upstash_cli_commands as commands
from tests.support.upstash_cli import UpstashCli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.sandbox.callers import Caller

WITHOUT_ACCOUNT = {"login", "logout"}


@pytest.fixture
async def cli(caller: Caller, tmp_path: Path) -> UpstashCli:
    """The command line, with the API key of a new account."""
    return await UpstashCli.new(tmp_path, caller.sandbox.api_url, caller.email, caller.api_key)


@pytest.mark.slow
async def test_every_command_has_its_effect(cli: UpstashCli, caller: Caller) -> None:
    """
    Every command that the command line's help names changes or shows what it says.
    """
    sandbox, other = caller.sandbox, unique_email()
    await sandbox.account(other, PASSWORD)
    team_id = await sandbox.team(caller.email, "Library")

    async with asyncio.TaskGroup() as products:
        products.create_task(commands.databases(cli, sandbox.rest_url, team_id))
        products.create_task(commands.vector(cli, team_id))
        products.create_task(commands.search(cli, team_id))
        products.create_task(commands.qstash(cli, team_id))
        products.create_task(commands.teams(cli, cli.email, other))
        documented = products.create_task(cli.all_commands())

    assert documented.result() - WITHOUT_ACCOUNT == cli.commands


async def test_login_stores_what_was_verified(cli: UpstashCli) -> None:
    """
    `login` asks the Developer API before it stores the credentials, which other commands use until `logout`.
    """
    key = ("--email", cli.email, "--api-key")

    refused, reason = await cli.run(*key, "wrong", "login", signed_in=False)
    before, _ = await cli.run("team", "list", signed_in=False)
    stored, _ = await cli.run(*key, cli.api_key, "login", signed_in=False)
    used, teams = await cli.run("team", "list", signed_in=False)
    removed, _ = await cli.run("logout", signed_in=False)

    assert (1, True) == (refused, "Authentication failed" in reason)
    assert (1, 0, 0, [], 0) == (before, stored, used, teams, removed)
    assert not cli.config.exists()


async def test_errors_are_shown_in_words(cli: UpstashCli) -> None:
    """
    The command line prints the sandbox's reason, and exits with 1.
    """
    missing = await cli.run("redis", "get", "--db-id", "no-such-id")
    region = await cli.run("redis", "create", "--name", "books", "--region", "mars-1")
    wrong = await cli.run("--email", cli.email, "--api-key", "wrong", "redis", "list")

    assert (1, {"error": "database not found"}) == missing
    assert (1, True) == (region[0], "mars-1" in region[1]["error"])
    assert (1, ["error"]) == (wrong[0], list(wrong[1]))
