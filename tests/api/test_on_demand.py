"""
``port_policy = "on-demand"``: a dev server on the callback port next to the helper, with both as processes, and real
sign-ins at the sandbox.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from typing import TYPE_CHECKING, Any
from urllib.request import ProxyHandler, build_opener

import pytest
from aiohttp import ClientSession
from yarl import URL

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonFailed, DaemonProcess
from tests.support.dev_server import DevServer
from tests.support.other_programs import NOBODY, occupied, other_program, skip_unless_root
from tests.support.process import own_name
from tests.support.world import PASSWORD, free_port
from upstash_helper.cli import exit_codes
from upstash_helper.client import Helper, MemoryTokens
from upstash_helper.client.errors import ApiProblem
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox


def options(sandbox: Sandbox, port: int, **more: Any) -> dict[str, Any]:
    """Return a daemon's options, with the sandbox as Upstash and ``port`` as the callback port."""
    return {
        "port": port, "port_policy": "on-demand", "api_port": free_port(), "client_id": sandbox.client_id,
        "auth_url": sandbox.auth_url, "api_url": sandbox.api_url, "rest_url": sandbox.rest_url, **more,
    }  # fmt: skip


def get(url: str) -> bytes:
    """Fetch ``url``, following redirects."""
    with build_opener(ProxyHandler({})).open(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


async def signed_in(daemon: DaemonProcess, sandbox: Sandbox, *, force: bool = False) -> tuple[str, str, wire.Attempt]:
    """Sign up as a user with a browser does; return the email address, the final URL, and the attempt."""
    started = await asyncio.to_thread(daemon.client.connect, open_browser=False, force=force)
    assert isinstance(started, wire.StartedAttempt)
    email = f"user-{secrets.token_hex(6)}@example.com"
    address = await sandbox.authorize(started.authorization_url, email, PASSWORD)
    async with ClientSession() as browser, browser.get(address) as page:
        assert page.status == 200
        found = re.search(r'content="0;url=([^"]+)"', await page.text())
        assert found
        ended = found[1]
        # As a browser resolves the name, which not every system does.
        named = URL(ended)
        async with browser.get(named.with_host("127.0.0.1"), headers={"Host": named.authority}) as outcome:
            assert outcome.status == 200
    return email, ended, await asyncio.to_thread(daemon.client.wait_for_attempt, started.attempt_id, timeout=30)


async def test_dev_server_and_helper_share_the_callback_port(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """
    The helper works while a dev server has the port. A sign-in reports the dev server, and succeeds once it is stopped,
    without restarting the helper. Afterwards the dev server can start again at once.
    """
    with DevServer.running(daemon_port, "the dev server's page") as dev:
        email = f"user-{secrets.token_hex(6)}@example.com"
        await sandbox.account(email, PASSWORD)
        key = await sandbox.api_key(email, "from the console")
        with DaemonProcess.running(tmp_path / "home", **options(sandbox, daemon_port)) as daemon:
            connected = await asyncio.to_thread(daemon.client.use_api_key, email=email, api_key=key)
            created = await run_cli(
                "databases", "create", "orders", "--region", "us-east-1", environment=daemon.environment
            )
            listed = await run_cli("databases", "list", environment=daemon.environment)
            with pytest.raises(ApiProblem) as refused:
                await asyncio.to_thread(daemon.client.connect, open_browser=False, force=True)
            still = await asyncio.to_thread(daemon.client.connection)
            pages = [await asyncio.to_thread(get, f"http://127.0.0.1:{daemon_port}/any/path")]
            dev.stop()

            new, ended, attempt = await signed_in(daemon, sandbox, force=True)
            with DevServer.running(daemon_port, "it is back"):
                pages.append(await asyncio.to_thread(get, f"http://127.0.0.1:{daemon_port}/"))
                status = await asyncio.to_thread(daemon.client.status)
                again = await run_cli("databases", "list", environment=daemon.environment)

    assert "connected" == connected.state
    assert (0, 0, 0) == (created.code, listed.code, again.code), created.err + listed.err + again.err
    assert "orders" in listed.out
    assert (503, "port_conflict") == (refused.value.status, refused.value.code)
    assert f"(process {dev.process.pid})" in refused.value.detail
    assert "Stop that program during the sign-in" in refused.value.detail
    assert "--api-key" in refused.value.detail
    assert "connected" == still.state
    assert [b"the dev server's page", b"it is back"] == pages
    assert "succeeded" == attempt.state
    assert f":{daemon_port}" not in ended
    assert "code=" not in ended
    assert status.connection.account is not None
    assert (new, "connected") == (status.connection.account.email, status.connection.state)


async def test_status_and_open_show_the_ports(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """``status`` shows the API's address and when the callback port is used; ``open`` uses the API's address."""
    chosen = options(sandbox, daemon_port)
    with DaemonProcess.running(tmp_path / "home", **chosen) as daemon, DevServer.running(daemon_port, host="::1"):
        at_rest = await run_cli("status", environment=daemon.environment)
        doctor = await run_cli("doctor", environment=daemon.environment)
        conflict = await run_cli("connect", "--no-browser", environment=daemon.environment)
        opened = await run_cli("open", "--print", environment=daemon.environment)
        description = await asyncio.to_thread(get, f"http://127.0.0.1:{chosen['api_port']}/openapi.json")

    assert f"http://127.0.0.1:{chosen['api_port']}" in at_rest.out
    assert f"port {daemon_port}, only while a sign-in is pending" in at_rest.out
    assert f"{daemon_port} is used only while a sign-in is pending" in doctor.out
    assert exit_codes.OF_PROBLEM["port_conflict"] == conflict.code
    assert f"[::1]:{daemon_port} belongs to" in conflict.err
    assert f".upstash-helper.localhost:{chosen['api_port']}/" in opened.out
    assert f"http://localhost:{chosen['api_port']}".encode() in description


async def test_python_app_finds_the_api_port(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the discovery file. The program on the callback port receives nothing."""
    with DevServer.running(daemon_port) as dev:
        chosen = options(sandbox, daemon_port)
        with DaemonProcess.running(tmp_path / "home", **chosen) as daemon:
            monkeypatch.setenv("UPSTASH_HELPER_HOME", str(daemon.home))

            def on_code(*_: object) -> None:
                [pairing] = daemon.client.pairings()
                daemon.client.approve(pairing.id)

            helper = await asyncio.to_thread(
                Helper.pair, name="app", scopes=("connection:read",), token_store=MemoryTokens(), on_code=on_code
            )
            seen = dev.requests()

    assert f"http://127.0.0.1:{chosen['api_port']}" == helper.base_url
    assert [] == seen


async def test_callback_port_of_another_user_is_reported(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The user is named. The helper keeps working, and sign-ins succeed once the port is free."""
    skip_unless_root()
    with DaemonProcess.running(tmp_path / "home", **options(sandbox, daemon_port)) as daemon:
        with other_program("listen", "127.0.0.1", daemon_port, user=NOBODY), pytest.raises(ApiProblem) as refused:
            await asyncio.to_thread(daemon.client.connect, open_browser=False)
        _, _, attempt = await signed_in(daemon, sandbox)

    assert "port_conflict" == refused.value.code
    assert "of user nobody" in refused.value.detail
    assert "succeeded" == attempt.state


def test_daemon_exits_if_no_api_port_is_free(tmp_path: Path, daemon_port: int) -> None:
    """It has its own exit code, and the message names the program and the setting."""
    with occupied("127.0.0.1") as taken:
        port = taken.getsockname()[1]
        refused = DaemonProcess(tmp_path / "home", port=daemon_port, port_policy="on-demand", api_port=port)
        with pytest.raises(DaemonFailed) as failed:
            refused.start()
        refused.kill()

    assert exit_codes.PORT_BUSY == failed.value.returncode
    assert f"Port {port} on 127.0.0.1 is in use by {own_name()}" in failed.value.output
    assert "--api-port" in failed.value.output


def test_default_api_port_is_the_first_that_pages_try(tmp_path: Path, daemon_port: int) -> None:
    """Pages find the helper there."""
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, port_policy="on-demand") as daemon:
        api = [one.address for one in daemon.client.status().listeners if one.use == "api"]

    assert api[0].rpartition(":")[2] in {"26300", "26301", "26302"}
