"""
``upstash-helper connect`` as a process, in either of the two flows.

    async with connecting(daemon, "--no-browser") as command:
        await page.goto(command.url)
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Final, Literal

from tests.support.open_sign_in import allow
from tests.support.world import PASSWORD
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox

Flow = Literal["open", "partner"]
FLOWS: Final[tuple[Flow, ...]] = ("open", "partner")


def settings_for(sandbox: Sandbox, flow: Flow) -> dict[str, str]:
    """Return the settings of a daemon that uses ``sandbox`` in place of Upstash, with a client ID or without one."""
    settings = {"issuer_url": sandbox.issuer_url, "api_url": sandbox.api_url, "rest_url": sandbox.rest_url}
    return settings if flow == "open" else settings | {"client_id": sandbox.client_id, "auth_url": sandbox.auth_url}


class Connecting:
    """A running ``connect``, with the address that it printed."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url

    async def ended(self) -> tuple[int, str, str]:
        """Return the exit code, the output, and the rest of the error output."""
        async with asyncio.timeout(30):
            out, err = await self.process.communicate()
        return self.process.returncode or 0, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def connecting(daemon: DaemonProcess, *flags: str) -> AsyncIterator[Connecting]:
    """Start ``connect`` and read the address that it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", "connect", *flags,
        env=daemon.environment,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        url = ""
        async with asyncio.timeout(30):
            while not url.startswith("http"):
                url = (await process.stderr.readline()).decode().strip()
            while "Waiting" not in (await process.stderr.readline()).decode():
                pass
        yield Connecting(process, url)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def connected(daemon: DaemonProcess, sandbox: Sandbox, flow: Flow, email: str, **choice: Any) -> wire.Connection:
    """Sign in without a browser; ``choice`` is that of ``open_sign_in.allow``. Return the connection."""
    client = daemon.client
    started = client.connect(open_browser=False, force=True)
    assert isinstance(started, wire.StartedAttempt)
    if flow == "open":
        address = await allow(started.authorization_url, email, PASSWORD, **choice)
    else:
        address = await sandbox.authorize(started.authorization_url, email, PASSWORD, **choice)
    client.redirect_attempt(started.attempt_id, address)
    ended = await asyncio.to_thread(client.wait_for_attempt, started.attempt_id, timeout=30)
    assert ended.state == "succeeded", ended
    return client.connection()
