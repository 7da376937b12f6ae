"""Upstash's published command line, used unchanged behind ``/upstash/``, with an app's token as its API key."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

from tests.support.npm import installed_packages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import App, World

# Its address is fixed, so requests are redirected below its code.
REDIRECT = """\
const send = globalThis.fetch;
globalThis.fetch = (url, init) => send(String(url).replace("https://api.upstash.com", process.env.HELPER_URL), init);
"""


class UpstashCli:
    """The command line of one app."""

    def __init__(self, world: World, modules: Path, folder: Path, app: App) -> None:
        self._preload = folder / "redirect.mjs"
        self._preload.write_text(REDIRECT, encoding="utf-8")
        self._modules = modules
        self._folder = folder
        self._environment = os.environ | {
            "HELPER_URL": f"http://127.0.0.1:{world.settings.port}/upstash",
            "UPSTASH_EMAIL": "me@example.com",
            "UPSTASH_API_KEY": app.token,
            "UPSTASH_CONFIG_HOME": str(folder),
        }

    async def run(self, *arguments: str) -> tuple[int | None, Any]:
        """Run a command. Return its exit code and its JSON, which is on stderr if it failed."""
        process = await asyncio.create_subprocess_exec(
            "node", "--import", str(self._preload), str(self._modules / "@upstash" / "cli" / "dist" / "cli.js"),
            *arguments, cwd=self._folder, env=self._environment,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        return process.returncode, json.loads(out or err)


async def test_upstash_cli_manages_databases_through_the_helper(world: World, tmp_path: Path) -> None:
    """It needs no API key of its own: an app's token does."""
    modules = await installed_packages()
    await world.connect()
    cli = UpstashCli(world, modules, tmp_path, await world.pair("upstash:read", "upstash:write"))

    created, database = await cli.run("redis", "create", "--name", "from-the-cli", "--region", "us-east-1")
    at = ("--db-id", database["database_id"])
    renamed = await cli.run("redis", "rename", *at, "--name", "renamed")
    evicting = await cli.run("redis", "enable-eviction", *at)
    hidden = await cli.run("redis", "get", *at, "--hide-credentials")
    listed = await cli.run("redis", "list")
    stats, _ = await cli.run("redis", "stats", *at)
    deleted = await cli.run("redis", "delete", *at)
    after = await cli.run("redis", "list")

    assert (0, "renamed", (0, "OK")) == (created, renamed[1]["database_name"], evicting)
    assert ("renamed", True) == (hidden[1]["database_name"], "password" not in hidden[1])
    assert [database["database_id"]] == [one["database_id"] for one in listed[1]]
    assert (0, True, (0, [])) == (stats, deleted[1]["deleted"], after)


async def test_upstash_cli_shows_refusals_in_words(world: World, tmp_path: Path) -> None:
    """It prints the member ``error``, and would print a whole document without it."""
    modules = await installed_packages()
    await world.connect()
    reader = UpstashCli(world, modules, tmp_path, await world.pair("upstash:read"))

    denied = await reader.run("redis", "create", "--name", "no", "--region", "us-east-1")
    keys = await reader.run("redis", "get", "--db-id", "../../apikeys")
    missing = await reader.run("redis", "get", "--db-id", "no-such-id")

    assert (1, True) == (denied[0], "requires the scope upstash:write" in denied[1]["error"])
    assert (1, True) == (keys[0], "API keys cannot be created or read through the helper" in keys[1]["error"])
    assert (1, {"error": "database not found"}) == missing
