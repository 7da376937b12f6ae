"""``connect``, ``disconnect``, ``status``, and ``events`` against a real daemon and a real sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.command_line import run_cli
from tests.support.connecting import connecting
from tests.support.daemon import DaemonProcess
from tests.support.sample_app import SampleApp
from tests.support.terminal import at_terminal
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes
from upstash_helper.cli.sandbox.browserless_login import BrowserSession
from upstash_helper.protocol import wire
from upstash_helper.protocol.messages import METHODS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.support.sandbox import Sandbox


async def sign_in(sandbox: Sandbox, url: str) -> str:
    """Create an account, follow the redirect to the daemon's page, and return the email."""
    email = f"cli-{secrets.token_hex(4)}@example.com"
    redirect = await sandbox.authorize(url, email, PASSWORD)
    await asyncio.to_thread(BrowserSession().follow, redirect)
    return email


async def test_connect_waits_for_the_sign_in(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    It prints the address, waits for the sign-in, and shows the connected account.
    """
    async with connecting(running) as command:
        email = await sign_in(sandbox, command.url)
        code, out, err = await command.ended()

    assert (0, "") == (code, err)
    assert f"Connected as {email}" in out


async def test_connect_as_json(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    With --json the result is the connection; the address is printed to stderr.
    """
    async with connecting(running, "--json") as command:
        email = await sign_in(sandbox, command.url)
        code, out, _ = await command.ended()

    connection = msgspec.json.decode(out, type=wire.Connection)
    assert (0, "connected", wire.Account(email=email)) == (code, connection.state, connection.account)


async def test_denied_sign_in_fails_with_the_reason(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    If the user cancels the sign-in, the error says so.
    """
    async with connecting(running, "--json") as command:
        redirect = await sandbox.cancel(command.url)
        visiting = asyncio.create_task(asyncio.to_thread(_look, redirect))
        code, out, err = await command.ended()
        await visiting

    assert (exit_codes.FAILURE, "") == (code, out)
    assert "access_denied" == json.loads(err)["code"]


def _look(url: str) -> None:
    from upstash_helper.cli.sandbox.browserless_login import UnexpectedPage

    with contextlib.suppress(UnexpectedPage):  # the page shows that the sign-in failed
        BrowserSession().follow(url)


async def test_ctrl_c_cancels_the_attempt(running: DaemonProcess) -> None:
    """
    Ctrl-C exits with 130 and cancels the attempt.
    """
    async with connecting(running) as command:
        command.process.send_signal(signal.SIGINT)
        code, _, err = await command.ended()

    assert (exit_codes.INTERRUPTED, "Interrupted.") == (code, err.strip().splitlines()[-1])
    attempt = running.client.connection().attempt
    assert attempt is not None
    assert ("failed", "cancelled") == (attempt.state, attempt.reason)


async def test_ctrl_c_does_not_cancel_another_programs_attempt(running: DaemonProcess) -> None:
    """
    An attempt that another program started stays pending.
    """
    started = running.client.connect(open_browser=False)

    async with connecting(running) as command:
        command.process.send_signal(signal.SIGINT)
        code, _, _ = await command.ended()

    assert exit_codes.INTERRUPTED == code
    assert isinstance(started, wire.StartedAttempt)
    assert "pending" == running.client.attempt(started.attempt_id).state


async def test_no_wait_returns_the_attempt(shell: Shell, running: DaemonProcess) -> None:
    """
    With --no-wait the command prints the attempt and exits.
    """
    ran = await shell("connect", "--no-wait", "--json")

    started = msgspec.json.decode(ran.out, type=wire.StartedAttempt)
    assert 0 == ran.code
    assert "pending" == running.client.attempt(started.attempt_id).state
    assert started.authorization_url in ran.err


async def test_timeout_leaves_the_attempt_pending(shell: Shell) -> None:
    """
    With --timeout the command exits, and says that the attempt is still pending.
    """
    ran = await shell("connect", "--timeout", "0.2")

    assert exit_codes.FAILURE == ran.code
    assert "did not finish within 0.2 s" in ran.err


async def test_already_connected_succeeds(shell: Shell, connected: str) -> None:
    """
    Connecting again succeeds, and shows how to sign in again.
    """
    ran = await shell("connect")

    assert 0 == ran.code
    assert f"Already connected as {connected}" in ran.out
    assert "--force" in ran.out


async def test_force_replaces_the_account(running: DaemonProcess, sandbox: Sandbox, connected: str) -> None:
    """
    With --force another account replaces the connected one.
    """
    async with connecting(running, "--force") as command:
        email = await sign_in(sandbox, command.url)
        code, out, _ = await command.ended()

    assert 0 == code
    assert connected != email
    assert f"Connected as {email}" in out


async def test_missing_client_id_names_both_ways_to_connect(tmp_path: Path) -> None:
    """
    The error names how to get a client ID, and --api-key.
    """
    with DaemonProcess.running(tmp_path / "home", sign_in="partner") as daemon:
        ran = await run_cli("connect", environment=daemon.environment)

    assert exit_codes.FAILURE == ran.code
    assert "client_id" in ran.err
    assert "--api-key" in ran.err


async def test_missing_email_can_be_given_later(running: DaemonProcess, sandbox: Sandbox, shell: Shell) -> None:
    """
    If the sign-in does not provide the email, the command shows how to give it; --email completes the connection.
    """
    await sandbox.settings(id_token_email=False, userinfo=False)
    async with connecting(running) as command:
        email = await sign_in(sandbox, command.url)
        code, _, err = await command.ended()
    await sandbox.settings()

    wrong = await shell("connect", "--email", "somebody-else@example.com")
    right = await shell("connect", "--email", email)

    assert exit_codes.NOT_CONNECTED == code
    assert "--email EMAIL" in err
    assert 0 != wrong.code
    assert (0, "connected") == (right.code, running.client.connection().state)


async def test_email_option_is_used_if_the_sign_in_has_none(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    An email on the command line is used if the sign-in does not provide one.
    """
    await sandbox.settings(id_token_email=False, userinfo=False)
    email = f"cli-{secrets.token_hex(4)}@example.com"
    async with connecting(running, "--email", email) as command:
        redirect = await sandbox.authorize(command.url, email, PASSWORD)
        await asyncio.to_thread(_look, redirect)
        code, out, err = await command.ended()
    await sandbox.settings()

    assert 0 == code, err
    assert f"Connected as {email}" in out


async def test_api_key_is_prompted_without_echo(running: DaemonProcess, sandbox: Sandbox) -> None:
    """
    On a terminal the email and the key are prompted for; the key is not echoed.
    """
    await sandbox.account("asked@example.com", PASSWORD)
    key = await sandbox.api_key("asked@example.com", "asked")

    ran = await at_terminal(
        "connect", "--api-key", environment=running.environment, typed=("asked@example.com\n", f"{key}\n")
    )

    assert 0 == ran.code, ran.err
    assert "Connected as asked@example.com" in ran.out
    assert key not in ran.out + ran.err


@pytest.mark.parametrize(
    ("arguments", "typed", "reported"),
    [
        (("connect", "--api-key"), "key\n", "--email"),
        (("connect", "--api-key", "--email", "a@b.example"), "", "No API key"),
        (("connect", "--api-key", "--email", "a@b.example"), "\n", "No API key"),
        (("connect", "--api-key", "--email", "no e-mail"), "key\n", "no @"),
        (("connect", "--api-key", "--email", "a@b.example"), "k\u00e9y\n", "characters"),
    ],
)
async def test_api_key_is_read_from_stdin(shell: Shell, arguments: tuple[str, ...], typed: str, reported: str) -> None:
    """
    In a script the key is the first line of stdin; a missing or malformed one is an error.
    """
    ran = await shell(*arguments, typed=typed)

    assert (exit_codes.USAGE, "") == (ran.code, ran.out)
    assert reported in ran.err
    assert "Traceback" not in ran.err


async def test_disconnect_names_the_key_to_delete(running: DaemonProcess, sandbox: Sandbox, shell: Shell) -> None:
    """
    After a sign-in, `disconnect` names the API key that is left in the Upstash console.
    """
    async with connecting(running) as command:
        await sign_in(sandbox, command.url)
        await command.ended()

    ran = await shell("disconnect", "--yes", "--json")

    found = msgspec.json.decode(ran.out, type=wire.Disconnected)
    assert 0 == ran.code
    assert found.api_key_name is not None
    assert found.api_key_name.startswith("UPSTASH_HELPER_API_KEY_")
    assert "disconnected" == running.client.connection().state


@pytest.mark.parametrize(("typed", "code", "state"), [("y\n", 0, "disconnected"), ("n\n", 1, "connected")])
async def test_disconnect_asks_for_confirmation(
    running: DaemonProcess, connected: str, typed: str, code: int, state: str
) -> None:
    """
    On a terminal the user is asked first.
    """
    ran = await at_terminal("disconnect", environment=running.environment, typed=(typed,))

    assert code == ran.code
    assert f"Disconnect {connected}?" in ran.err
    assert state == running.client.connection().state


async def test_status_shows_the_daemon_and_the_connection(shell: Shell, running: DaemonProcess, connected: str) -> None:
    """
    It shows the addresses, the account, and the credential store.
    """
    ran = await shell("status")

    assert 0 == ran.code
    assert f"process {running.pid}" in ran.out
    assert f"127.0.0.1:{running.port}" in ran.out
    assert f"Connected as {connected}" in ran.out
    assert METHODS["api_key"] in ran.out
    assert "memory: ok" in ran.out


async def test_status_without_a_connection_shows_how_to_connect(shell: Shell) -> None:
    """
    Without a connection, it shows the next step.
    """
    ran = await shell("status")

    assert 0 == ran.code
    assert "No account connected" in ran.out
    assert "upstash-helper connect" in ran.err


async def test_status_as_json(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json the status is the API's answer.
    """
    ran = await shell("status", "--json")

    assert running.client.status() == msgspec.json.decode(ran.out, type=wire.DaemonStatus)


def following(daemon: DaemonProcess, *flags: str) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    """Start ``events`` and wait until it is subscribed."""

    @contextlib.asynccontextmanager
    async def start() -> AsyncIterator[asyncio.subprocess.Process]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "upstash_helper", "events", *flags,
            env=daemon.environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr is not None
        try:
            async with asyncio.timeout(30):
                assert b"Waiting for events. Press Ctrl-C to stop.\n" == await process.stderr.readline()
            yield process
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    return start()


async def test_events_are_printed_as_they_happen(running: DaemonProcess, connected: str) -> None:
    """
    With --json each event is a line, without buffering, also into a pipe; the command exits when the daemon stops.
    """
    async with following(running, "--json") as process:
        new = wire.CreateDatabase(name="orders", primary_region="us-east-1")
        made = running.client.create_database(new, idempotency_key="k")
        assert process.stdout is not None
        async with asyncio.timeout(30):
            line = json.loads(await process.stdout.readline())
        running.client.stop()
        async with asyncio.timeout(30):
            _, err = await process.communicate()

    assert ("database", {"change": "created", "id": made.id, "name": "orders"}) == (line["event"], line["data"])
    assert line["id"]
    assert (0, b"The daemon stopped.\n") == (process.returncode, err)


async def test_events_of_apps_show_identity_and_name(running: DaemonProcess) -> None:
    """
    Requests, decisions, and revocations are lines with the identity and the app's name in quotes.
    """
    lines = list[str]()
    async with following(running) as process:
        app = SampleApp.approved(running, origin="https://app.example.com", name="Orders")
        running.client.revoke_app(app.app_id)
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while not lines or "revoked" not in lines[-1]:
                lines.append((await process.stdout.readline()).decode())

    asked = f'https://app.example.com  calls itself "Orders"  code {app.code}\n'
    assert lines[0].endswith(f"  pairing     pending  {asked}")
    assert lines[1].endswith(f"  pairing     approved  {asked}")
    assert lines[-1].endswith(f'  revoked     by you  {app.app_id}  "Orders"\n')


async def test_ctrl_c_ends_events(running: DaemonProcess) -> None:
    """
    Ctrl-C exits with 130.
    """
    async with following(running) as process:
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            await process.communicate()

    assert exit_codes.INTERRUPTED == process.returncode


async def test_events_end_if_the_daemon_is_killed(running: DaemonProcess) -> None:
    """
    The command exits, and shows how to start the daemon.
    """
    async with following(running) as process:
        running.kill()
        async with asyncio.timeout(30):
            _, err = await process.communicate()

    assert exit_codes.NOT_RUNNING == process.returncode
    assert b"upstash-helper start" in err
