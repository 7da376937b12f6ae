"""The first five minutes at a terminal: every command names the way to connect that works, and it is one sentence."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.notifications import Desktop, session_bus
from tests.support.other_programs import occupied
from tests.support.terminal import terminal
from tests.support.until import until_async
from tests.support.world import PASSWORD, free_port
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.support.sandbox import Sandbox

CONSOLE = "https://console.upstash.com/account/api"


@pytest.fixture(name="without_sign_in")
def _without_sign_in(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[DaemonProcess]:
    """A daemon that can start no sign-in, because another program has the callback port."""
    settings = {
        "client_id": sandbox.client_id, "auth_url": sandbox.auth_url, "api_url": sandbox.api_url,
        "rest_url": sandbox.rest_url, "port_policy": "on-demand", "api_port": free_port(),
    }  # fmt: skip
    with (
        occupied("127.0.0.1", daemon_port),
        DaemonProcess.running(tmp_path / "home", port=daemon_port, **settings) as daemon,
    ):
        yield daemon


async def test_connect_offers_the_key_if_no_sign_in_is_possible(
    without_sign_in: DaemonProcess, sandbox: Sandbox
) -> None:
    """At a terminal, the same command connects with a key. It names the page on which one is created."""
    email = f"first-{secrets.token_hex(4)}@example.com"
    await sandbox.account(email, PASSWORD)
    key = await sandbox.api_key(email, "made-in-the-console")

    async with terminal("connect", environment=without_sign_in.environment) as screen:
        offered = await screen.shows(b"[Y/n]: ")
        screen.type("\n")
        await screen.shows(b"Email of the account: ")
        screen.type(f"{email}\n")
        await screen.shows(b"API key (not shown): ")
        screen.type(f"\x1b[200~UPSTASH_API_KEY={key}\x1b[201~\n")
        ran = await screen.ended()

    assert CONSOLE in offered
    assert "another program" in offered
    assert (0, True) == (ran.code, email in ran.out), ran.err
    assert key not in ran.out + ran.err


async def test_declined_key_is_the_error(without_sign_in: DaemonProcess) -> None:
    """Nothing is changed, and the reason is the daemon's."""
    async with terminal("connect", environment=without_sign_in.environment) as screen:
        await screen.shows(b"[Y/n]: ")
        screen.type("n\n")
        ran = await screen.ended()

    assert exit_codes.OK != ran.code
    assert "Error: " in ran.err


async def test_script_is_not_asked(without_sign_in: DaemonProcess) -> None:
    """Without a terminal, it is an error, as before."""
    ran = await run_cli("connect", "--json", environment=without_sign_in.environment)

    assert (exit_codes.OK, "") != (ran.code, ran.out)
    assert '"port_conflict"' in ran.err


async def test_status_and_doctor_name_the_next_step(shell: Shell) -> None:
    """In one and the same sentence."""
    status, doctor = await shell("status"), await shell("doctor")

    assert "Connect an account: upstash-helper connect\n" in status.err
    assert "Connect an account: upstash-helper connect\n" in doctor.out + doctor.err


async def test_first_start_is_announced_once(tmp_path: Path, sandbox: Sandbox) -> None:
    """A notification says that the helper is ready and how to connect. Later starts are silent."""
    with session_bus() as session:
        environment = {**session.env, "UPSTASH_HELPER_OPEN_BROWSER": "false"}
        # In threads, because the notification server answers in this one.
        daemon = DaemonProcess(
            tmp_path / "home",
            environment=environment,
            quietly=False,
            client_id=sandbox.client_id,
            auth_url=sandbox.auth_url,
        )
        try:
            async with Desktop.on(session) as desktop:
                await asyncio.to_thread(daemon.start)
                await until_async(lambda: desktop.shown)
                await asyncio.to_thread(daemon.stop)
                daemon.kill()
                await asyncio.to_thread(daemon.start)
                await asyncio.to_thread(daemon.client.connection)
                await asyncio.to_thread(daemon.stop)
        finally:
            daemon.kill()

    [shown] = desktop.shown
    assert "upstash-helper is ready: connect your account" == shown.title
    assert "upstash-helper connect" in shown.body
