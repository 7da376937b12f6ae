"""The Python example in the README, with a daemon, a keyring, and a user who approves it."""

from __future__ import annotations

import asyncio
import re
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import DaemonProcess
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from tests.support.world import PASSWORD
from upstash_helper.cli.sandbox.browserless_login import BrowserSession
from upstash_helper.client import DaemonClient
from upstash_helper.protocol import wire, wire_apps

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.sandbox import Sandbox

README = Path(__file__).parents[2] / "README.md"
SECONDS = 60.0


def example() -> str:
    """Return the code of the example."""
    section = README.read_text(encoding="utf-8").partition("\n## For native apps\n")[2].partition("\n## ")[0]
    [block] = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return str(block)


@pytest.fixture
def keyring() -> Iterator[PrivateKeyring]:
    skip_unless_there_is_one()
    with PrivateKeyring() as keyring:
        yield keyring


@pytest.fixture
def daemon(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[DaemonProcess]:
    with DaemonProcess.running(
        tmp_path / "home",
        port=daemon_port,
        environment={"BROWSER": "true %s"},
        client_id=sandbox.client_id,
        auth_url=sandbox.auth_url,
        api_url=sandbox.api_url,
        rest_url=sandbox.rest_url,
    ) as daemon:
        yield daemon


async def run(environment: Mapping[str, str]) -> tuple[int | None, str, str]:
    """Run the example as a separate program."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", example(), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), err.decode()


def approve_and_get_sign_in(owner: DaemonClient) -> str:
    """Approve every access request until a sign-in starts, and return the address of the sign-in."""
    for event in owner.events(hello=True, timeout=SECONDS):
        match event.data:
            case None:
                pending = owner.pairings()
            case wire_apps.Pairing(state="pending"):
                pending = (event.data,)
            case wire.Attempt(state="pending"):
                joined = owner.connect(open_browser=False)
                assert isinstance(joined, wire.StartedAttempt)
                return joined.authorization_url
            case _:
                pending = ()
        for pairing in pending:
            owner.approve(pairing.id)
    message = "no sign-in was started"
    raise AssertionError(message)


def test_example_has_at_most_ten_lines() -> None:
    """The documents promise that."""
    lines = [line for line in example().splitlines() if line.strip()]

    assert len(lines) <= 10


async def test_example_in_the_readme_runs(keyring: PrivateKeyring, daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """It gets access, connects, and creates and uses a database. A second run asks for nothing."""
    environment = daemon.environment | keyring.env
    running = asyncio.create_task(run(environment))
    url = await asyncio.to_thread(approve_and_get_sign_in, daemon.client)
    landing = await sandbox.authorize(url, f"readme-{secrets.token_hex(4)}@example.com", PASSWORD)
    await asyncio.to_thread(BrowserSession().follow, landing)

    first = await running
    second = await run(environment)

    [app] = daemon.client.apps()
    assert (0, "a bicycle\n") == first[:2], first
    assert (0, "a bicycle\n", "") == second
    assert "Orders tool" == app.name
    assert 1 == len(tuple(daemon.client.databases()))
    assert not [path for path, content in keyring.files().items() if b"uha_" in content]
