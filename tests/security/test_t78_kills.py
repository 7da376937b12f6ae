"""
T78: ``kill -9`` at each step of renewing a grant's access token: before the request, while Upstash handles it, while
its answer is on the way, and while it is stored.

After each kill the daemon starts again. Either the account is connected and a call works, or the state asks the user to
connect again; and Upstash never sees a refresh token for the second time, which would end the whole login.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.support import open_sign_in
from tests.support.process import DaemonProcess, daemon_process
from tests.support.world import PASSWORD, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

KILLS = 30
EXPECTED = {
    "connected": (200, None),
    "disconnected": (409, "not_connected"),  # before the first sign-in only
    "reconnect_required": (424, "reconnect_required"),
}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no kill -9")


class User:
    """A user of the open sign-in, whose daemon is killed and started again. The grant is in a file."""

    def __init__(self, home: Path, sandbox: Sandbox) -> None:
        self.home = home
        self.sandbox = sandbox
        self.email = f"user-{secrets.token_hex(6)}@example.com"
        self.port = free_port()
        self.is_new = True

    @contextlib.contextmanager
    def daemon(self) -> Iterator[DaemonProcess]:
        """Run the daemon."""
        settings = {
            "CREDENTIAL_STORE": "file",
            "API_URL": self.sandbox.api_url,
            "ISSUER_URL": self.sandbox.issuer_url,
            "NOTIFICATIONS": "false",
        }
        with daemon_process(self.home, self.port, **settings) as daemon:
            yield daemon

    async def connect(self, daemon: DaemonProcess) -> None:
        """Sign in."""
        _, started = await call(daemon, "POST", "/v1/connection", {"force": True})
        address = await open_sign_in.allow(
            started["authorization_url"], self.email, PASSWORD, sign_up=self.is_new, full_access=True
        )
        self.is_new = False
        path = f"/v1/connection/attempts/{started['attempt_id']}/redirect"
        status, _ = await call(daemon, "POST", path, {"address": address})
        assert status == 200
        async with asyncio.timeout(20):
            while await state(daemon) != "connected":  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.02)

    async def kill_while_renewing(self, daemon: DaemonProcess, number: int) -> None:
        """
        Let a daemon make a call whose access token has expired, and kill it.

        The kills are spread: in a third of them Upstash has not handled the request yet, in a third its answer is on
        the way, and in a third nothing is slowed down.
        """
        phase, delay = number % 3, (number // 3) * 0.006
        (grant,) = await self.sandbox.grants(self.email)
        await self.sandbox.expire_access_tokens(grant["id"])
        await self.sandbox.forget_requests()
        if phase < 2:
            when = "before" if phase == 0 else "after"
            await self.sandbox.fault(listener="issuer", path="/oauth/token", when=when, latency=0.3)
        asking = asyncio.create_task(call(daemon, "GET", "/v1/databases?refresh=true"))
        if phase < 2:
            await self.wait_for_refresh()
        await asyncio.sleep(delay)
        daemon.process.kill()
        daemon.wait()
        with contextlib.suppress(aiohttp.ClientError):
            await asking
        await asyncio.sleep(0.3 if phase < 2 else 0.05)  # until the sandbox has handled what it received
        await self.sandbox.clear_faults()

    async def wait_for_refresh(self) -> None:
        """Wait until Upstash has received a token request since the last ``forget_requests``."""
        async with asyncio.timeout(10):
            while not await self.token_requests():  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.01)

    async def token_requests(self) -> list[int | None]:
        """Return the statuses of the token requests."""
        seen = await self.sandbox.requests()
        return [one["status"] for one in seen if (one["listener"], one["path"]) == ("issuer", "/oauth/token")]


async def call(daemon: DaemonProcess, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {daemon.announced.owner_token}"}
    async with (
        aiohttp.ClientSession(daemon.announced.base_url) as session,
        session.request(method, path, json=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def state(daemon: DaemonProcess) -> str:
    """Return the state of the connection."""
    return str((await call(daemon, "GET", "/v1/connection"))[1]["state"])


async def test_t78_kills_never_send_a_refresh_token_twice(tmp_path: Path, sandbox: Sandbox) -> None:
    """And never leave a daemon that says that it is connected and is not."""
    user = User(tmp_path, sandbox)
    outcomes: list[str] = []
    for number in range(KILLS + 1):
        with user.daemon() as daemon:
            shown = await state(daemon)
            status, answer = await call(daemon, "GET", "/v1/databases")
            assert EXPECTED[shown] == (status, answer.get("code")), (number, shown, answer)
            if number:
                # The sandbox revokes the grant if it sees a refresh token that it has replaced.
                assert 1 == len(await sandbox.grants(user.email)), (number, shown)
                outcomes.append(shown)
            if shown != "connected":
                await user.connect(daemon)
            if number < KILLS:
                await user.kill_while_renewing(daemon, number)

    assert {"connected", "reconnect_required"} == set(outcomes)
