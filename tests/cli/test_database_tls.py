"""Redis clients and the URLs of the sandbox's databases, with and without TLS."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.npm import installed_packages
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.usefixtures("connected")

AS_GIVEN = {
    "redis-py": 'redis.from_url(os.environ["REDIS_URL"])',
    "ioredis": "new Redis(process.env.REDIS_URL)",
    "node-redis": "createClient({ url: process.env.REDIS_URL })",
}
"""The code that the clients' documentation has for a URL."""

PROGRAMS = {
    "redis-py": "import os, redis; client = {}; print('PONG' if client.ping() else '')",
    "ioredis": """
        import fs from "node:fs";
        import Redis from "ioredis";
        const client = {};
        client.on("error", (error) => {{ console.error(error.message); process.exit(1); }});
        console.log(await client.ping());
        client.disconnect();
    """,
    "node-redis": """
        import fs from "node:fs";
        import {{ createClient }} from "redis";
        const client = {};
        client.on("error", (error) => {{ console.error(error.message); process.exit(1); }});
        await client.connect();
        console.log(await client.ping());
        client.destroy();
    """,
}
OF_NODE = ("ioredis", "node-redis")

every_client = pytest.mark.parametrize("client", AS_GIVEN)


async def run(*command: str, folder: Path, variables: Mapping[str, str]) -> tuple[int | None, str]:
    """Run a program. Return its exit code and its output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        out, _ = await process.communicate()
    return process.returncode, out.decode().strip()


async def connect(client: str, code: str, folder: Path, variables: Mapping[str, str]) -> tuple[int | None, str]:
    """Run a program that connects with a line of code. Return its exit code and its output."""
    if client == "redis-py":
        return await run(sys.executable, "-c", PROGRAMS[client].format(code), folder=folder, variables=variables)
    await write_app(client, code, folder)
    return await run("node", "app.js", folder=folder, variables=variables)


async def write_app(client: str, code: str, folder: Path) -> None:
    """Write a program for Node.js that connects with a line of code."""
    modules = await installed_packages()
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "app.js").write_text(PROGRAMS[client].format(code))


async def create(shell: Shell, *options: str) -> wire.DatabaseCredentials:
    """Create a database with the command, and return its credentials."""
    made = await shell("databases", "create", "orders", "--region", "us-east-1", *options)
    assert 0 == made.code, made.err
    shown = await shell("databases", "credentials", "orders", "--json")
    return msgspec.json.decode(shown.out, type=wire.DatabaseCredentials)


@every_client
async def test_url_works_as_given(shell: Shell, tmp_path: Path, client: str) -> None:
    """
    A database that is created without any option has no TLS, and clients need nothing but its URL.
    """
    credentials = await create(shell)

    connected = await connect(client, AS_GIVEN[client], tmp_path, credentials.env)

    assert credentials.redis_url.startswith("redis://")
    assert (None, {}) == (credentials.ca_file, credentials.ca_usage)
    assert (0, "PONG") == connected


@every_client
async def test_url_with_tls_works_with_the_line_for_the_client(shell: Shell, tmp_path: Path, client: str) -> None:
    """
    With TLS, clients refuse the sandbox's certificate, and connect with the line that the credentials have for them.
    """
    credentials = await create(shell, "--tls")

    refused, reason = await connect(client, AS_GIVEN[client], tmp_path, credentials.env)
    connected = await connect(client, credentials.ca_usage[client], tmp_path, credentials.env)

    assert credentials.redis_url.startswith("rediss://")
    assert 1 == refused
    assert "certificate" in reason
    assert (0, "PONG") == connected


@pytest.mark.skipif(sys.platform == "win32", reason="platform: the line is for a POSIX shell")
@pytest.mark.parametrize("client", OF_NODE)
async def test_node_programs_need_no_change(shell: Shell, tmp_path: Path, client: str) -> None:
    """
    With the line for Node.js, a program that passes only the URL to its client connects with TLS.
    """
    credentials = await create(shell, "--tls")
    await write_app(client, AS_GIVEN[client], tmp_path)

    connected = await run("sh", "-c", credentials.ca_usage["Node.js"], folder=tmp_path, variables=credentials.env)

    assert (0, "PONG") == connected


async def test_output_names_the_file_and_the_lines(shell: Shell, sandbox: Sandbox) -> None:
    """
    `credentials` and `env` have the file and the line for each client.
    """
    credentials = await create(shell, "--tls")

    shown = await shell("databases", "credentials", "orders")
    env = await shell("databases", "env", "orders")

    assert sandbox.ready.tls_ca == credentials.ca_file == credentials.env["REDIS_CA_FILE"]
    assert f"CA file: {credentials.ca_file}" in " ".join(shown.out.split())
    assert f'REDIS_CA_FILE="{credentials.ca_file}"' in env.out.splitlines()
    for client, code in credentials.ca_usage.items():
        assert f"{client}: {code}" in " ".join(shown.out.split())
        assert f"# {client}: {code}" in env.out.splitlines()


@pytest.mark.parametrize(("options", "expected"), [((), "off"), (("--no-tls",), "off"), (("--tls",), "on")], ids=str)
async def test_tls_is_as_given(shell: Shell, options: tuple[str, ...], expected: str) -> None:
    """
    `--tls` turns TLS on, `--no-tls` turns it off, and in the sandbox it is off without an option.
    """
    await create(shell, *options)

    shown = await shell("databases", "get", "orders")

    assert f"TLS: {expected}" in " ".join(shown.out.split())
