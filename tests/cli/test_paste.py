"""``connect --paste``, and what ``connect`` and ``status`` show if the browser cannot return. T43 for the CLI."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from yarl import URL

from tests.support.announced import announced
from tests.support.clock import FakeClock
from tests.support.command_line import run_cli
from tests.support.terminal import at_terminal
from tests.support.tls import tls_hello
from tests.support.world import PASSWORD, World
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox


async def signed_in(daemon: DaemonProcess, sandbox: Sandbox) -> tuple[str, str]:
    """Start a sign-in, create an account, and return the email and the redirect's target."""
    started = daemon.client.connect(open_browser=False)
    assert isinstance(started, wire.StartedAttempt)
    email = f"cli-{secrets.token_hex(4)}@example.com"
    return email, await sandbox.authorize(started.authorization_url, email, PASSWORD)


async def test_t43_address_is_prompted_without_echo(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    On a terminal the address is prompted for and not echoed; it completes the sign-in.
    """
    email, address = await signed_in(running, sandbox)

    ran = await at_terminal("connect", "--paste", environment=running.environment, typed=(f"{address}\n",))

    assert 0 == ran.code, ran.err
    assert f"Connected as {email}" in ran.out
    assert URL(address).query["code"] not in ran.out + ran.err


async def test_t43_address_is_read_from_stdin(running: DaemonProcess, sandbox: Sandbox, shell: Shell) -> None:
    """
    In a script the address is the first line of stdin; with --json the result is the connection.
    """
    email, address = await signed_in(running, sandbox)

    ran = await shell("connect", "--paste", "--json", typed=f"{address}\n")

    connection = msgspec.json.decode(ran.out, type=wire.Connection)
    assert (0, "") == (ran.code, ran.err)
    assert ("connected", wire.Account(email=email)) == (connection.state, connection.account)


async def test_t43_paste_without_a_pending_sign_in_is_an_error(shell: Shell) -> None:
    """
    The error comes before the prompt, and shows how to start a sign-in.
    """
    ran = await shell("connect", "--paste", "--json", typed="http://localhost/?code=c&state=s\n")

    problem = json.loads(ran.err)
    assert (exit_codes.NOT_FOUND, "attempt_not_found") == (ran.code, problem["code"])
    assert "upstash-helper connect" in problem["detail"]


@pytest.mark.parametrize(
    ("typed", "reported"),
    [
        ("http://localhost.example:3000/?code=secret-code&state=s\n", "not an address of the helper"),
        ("http://localhost:1/?code=secret-code&state=s\n", "another sign-in"),
        ("?code=secret-code&state=s\n", "another sign-in"),
        ("what?\n", "not an address of the helper"),
        ("http://localhost:3000/?code=secret-code\n", "cut off"),
        ("http://localhost:3000/?error=access_denied\n", "in quotes"),
        ("https://auth.example/authorize?client_id=c&redirect_uri=r&state=s\n", "address of the sign-in page"),
        ("\n", "No address"),
        ("", "No address"),
    ],
)
async def test_t43_wrong_address_keeps_the_sign_in_pending(
    running: DaemonProcess, sandbox: Sandbox, shell: Shell, typed: str, reported: str
) -> None:
    """
    The user sees what is wrong with it, and can paste another one.
    """
    email, address = await signed_in(running, sandbox)

    wrong = await shell("connect", "--paste", typed=typed)
    right = await shell("connect", "--paste", typed=address)

    assert (exit_codes.USAGE, "") == (wrong.code, wrong.out)
    assert reported in wrong.err
    assert "secret-code" not in wrong.err
    assert 0 == right.code, right.err
    assert f"Connected as {email}" in right.out


# --- the hint ---------------------------------------------------------------------------------------------------------


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield world


@pytest.fixture(name="environment")
def _environment(world: World, tmp_path: Path) -> Iterator[dict[str, str]]:
    with announced(world, tmp_path) as environment:
        yield environment


@contextlib.asynccontextmanager
async def waiting(environment: Mapping[str, str]) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """Start ``connect`` and yield it with the printed address, once it waits for the sign-in."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", "connect", env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        url = await line(process.stderr, "http")
        await line(process.stderr, "Waiting")
        yield process, url.strip()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line(stream: asyncio.StreamReader, word: str) -> str:
    """Read up to a line that contains ``word``, and return it."""
    async with asyncio.timeout(30):
        while word not in (text := (await stream.readline()).decode()):
            assert text, f"it ended without {word}"
    return text


async def test_t43_connect_prints_the_hint_once(world: World, clock: FakeClock, environment: dict[str, str]) -> None:
    """
    While it waits, the hint is printed once; --paste in another terminal lets it succeed.
    """
    async with waiting(environment) as (process, url):
        assert process.stderr is not None
        address = await world.sign_in({"authorization_url": url})
        clock.advance(90)
        hint = await line(process.stderr, "--paste")
        clock.advance(60)
        pasted = await run_cli("connect", "--paste", environment=environment, typed=address)
        async with asyncio.timeout(30):
            out, err = await process.communicate()

    assert "service worker" in hint
    assert 0 == pasted.code, pasted.err
    assert (0, b"") == (process.returncode, err)
    assert f"Connected as {world.email}" in out.decode()


async def test_t43_t42_status_shows_hints_about_the_sign_in(
    world: World, clock: FakeClock, environment: dict[str, str]
) -> None:
    """
    `status` explains a browser that forces https, and a sign-in that does not return.
    """
    await tls_hello(world.settings.port)
    https = await run_cli("status", environment=environment)
    await world.start()
    clock.advance(90)

    waits = await run_cli("status", environment=environment)

    assert (0, 0) == (https.code, waits.code)
    assert "chrome://net-internals/#hsts" in https.err
    assert "Waiting for your sign-in" in waits.out
    assert "connect --paste" in waits.err
