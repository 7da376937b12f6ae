"""What the commands show about the account, the access, and the sign-in, against a real daemon and a real sandbox."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import Ran, run_cli
from tests.support.connecting import FLOWS, Flow, connected, connecting, settings_for
from tests.support.daemon import DaemonProcess, clean_environment, free_port
from tests.support.open_sign_in import allow
from tests.support.terminal import at_terminal
from tests.support.world import PASSWORD
from upstash_helper.cli.sandbox.browserless_login import BrowserSession

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

ABOUT_CLIENT_IDS = re.compile(r"client.?id", re.IGNORECASE)


@pytest.fixture
def daemon(tmp_path: Path, sandbox: Sandbox) -> Iterator[DaemonProcess]:
    """A daemon without a client ID."""
    with DaemonProcess.running(tmp_path / "home", **settings_for(sandbox, "open")) as daemon:
        yield daemon


async def cli(daemon: DaemonProcess, *arguments: str, typed: str | None = None) -> Ran:
    return await run_cli(*arguments, environment=daemon.environment, typed=typed)


def new_email() -> str:
    return f"status-{secrets.token_hex(4)}@example.com"


def row(ran: Ran, name: str) -> str:
    """Return the value of a row of ``status``."""
    return next(line.partition(":")[2].strip() for line in ran.out.splitlines() if line.startswith(f"{name}:"))


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flow", FLOWS)
async def test_status_without_an_account_names_the_sign_in(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, flow: Flow
) -> None:
    """As JSON, and in words how to start it."""
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, **settings_for(sandbox, flow)) as daemon:
        shown, sent = await cli(daemon, "status"), await cli(daemon, "status", "--json")

    assert ("disconnected", flow) == (sent.json["connection"]["state"], sent.json["connection"]["sign_in"])
    assert row(shown, "Connection") == "No account connected"
    assert "upstash-helper connect" in shown.err


async def test_status_without_any_sign_in_names_the_setting(tmp_path: Path, sandbox: Sandbox) -> None:
    """The settings ask for the partner sign-in, and have no client ID."""
    settings = settings_for(sandbox, "open") | {"sign_in": "partner"}
    with DaemonProcess.running(tmp_path / "home", **settings) as daemon:
        shown, sent = await cli(daemon, "status"), await cli(daemon, "status", "--json")

    assert ("disconnected", None) == (sent.json["connection"]["state"], sent.json["connection"]["sign_in"])
    assert row(shown, "Connection") == "No account connected"
    assert 'set sign_in = "auto" in config.toml' in shown.err


@pytest.mark.parametrize("access", ["full", "read_only"])
async def test_status_of_a_personal_account(daemon: DaemonProcess, sandbox: Sandbox, access: str) -> None:
    """The account, the access, the sign-in, where the console lists it; and how to get full access."""
    email = new_email()
    connection = await connected(daemon, sandbox, "open", email, full_access=access == "full")

    shown, sent = await cli(daemon, "status"), await cli(daemon, "status", "--json")

    assert (access, "grant") == (sent.json["connection"]["access"], sent.json["connection"]["method"])
    assert f"{email}, personal account" == row(shown, "Account")
    assert row(shown, "Access").startswith("full" if access == "full" else "read-only")
    assert "Through Upstash's open sign-in" == row(shown, "Connected")
    assert "by signing in" not in shown.out  # that is said once
    assert f"{connection.grant_name}, under Account > OAuth Clients" == row(shown, "In the console")
    assert (access == "read_only") == ("choose full access" in shown.err)
    assert (access == "read_only") == ("upstash-helper connect --force" in shown.err)


async def test_status_of_a_team(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """With the user's role in it."""
    email = new_email()
    await sandbox.account(email, PASSWORD)
    team_id = await sandbox.team(email, "Crew")
    await connected(daemon, sandbox, "open", email, sign_up=False, team_id=team_id, full_access=True)

    shown = await cli(daemon, "status")

    assert f"{email}, team {team_id} (owner)" == row(shown, "Account")
    assert f"Connected as {email} (team {team_id})" in row(shown, "Connection")


async def test_status_and_doctor_explain_a_revoked_grant(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """The reason, which account it was, and the command that helps. Neither calls it an API key."""
    email = new_email()
    await connected(daemon, sandbox, "open", email, full_access=True)
    for grant in await sandbox.grants(email):
        await sandbox.revoke_grant(grant["id"])
    refused = await cli(daemon, "databases", "list")

    shown, checked = await cli(daemon, "status"), await cli(daemon, "doctor")

    assert 4 == refused.code
    for text in (shown.out + shown.err, checked.out + checked.err):
        assert "Your sign-in at Upstash has ended" in text
        assert "revoked in the Upstash console" in " ".join(text.split())
        assert "upstash-helper connect --force" in text
        assert "no longer accepts the API key" not in text
    assert f"{email}, personal account" == row(shown, "Account")


# --- disconnect -------------------------------------------------------------------------------------------------------


async def test_disconnect_asks_about_the_team_and_says_what_is_left(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """The prompt names the account; the output names the grant, and where the console lists it."""
    email = new_email()
    await sandbox.account(email, PASSWORD)
    team_id = await sandbox.team(email, "Crew")
    connection = await connected(daemon, sandbox, "open", email, sign_up=False, team_id=team_id, full_access=True)

    ran = await at_terminal("disconnect", environment=daemon.environment, typed=("y\n",))

    assert f"Disconnect {email} (team {team_id})?" in ran.err
    assert f"{connection.grant_name} (Account > OAuth Clients)" in ran.out
    assert "API key" not in ran.out + ran.err


# --- the first minutes ------------------------------------------------------------------------------------------------


async def test_new_user_connects_and_creates_a_database_without_reading_about_a_client_id(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """Every command of the first minutes, with nothing configured but where the sandbox is."""
    environment = {name: value for name, value in clean_environment().items() if not name.startswith("XDG_")} | {
        "HOME": str(tmp_path),
        "UPSTASH_HELPER_HOME": str(tmp_path / "helper"),
        "UPSTASH_HELPER_PORT": str(free_port()),
        "UPSTASH_HELPER_CREDENTIAL_STORE": "file",
        "UPSTASH_HELPER_OPEN_BROWSER": "false",
        **{f"UPSTASH_HELPER_{name.upper()}": value for name, value in settings_for(sandbox, "open").items()},
    }
    email, printed = new_email(), []

    async def run(*arguments: str) -> Ran:
        ran = await run_cli(*arguments, environment=environment)
        printed.append(ran.out + ran.err)
        return ran

    helper = DaemonProcess(tmp_path / "helper", environment=environment)
    before = [await run("--help"), await run("start"), await run("status")]
    try:
        # Their exit codes depend on this machine.
        for arguments in (("install", "--dry-run"), ("doctor",), ("uninstall", "--dry-run")):
            await run(*arguments)
        async with connecting(helper, "--no-browser") as command:
            address = await allow(command.url, email, PASSWORD, full_access=True)
            BrowserSession().follow(address)
            code, out, err = await command.ended()
        printed.append(out + err)
        after = [
            await run("status"),
            await run("connect"),
            await run("databases", "create", "orders", "--region", "us-east-1"),
            await run("databases", "list"),
            await run("disconnect", "--yes"),
            await run("connect", "--help"),
        ]
    finally:
        await run("stop")

    assert [0] * (len(before) + len(after)) == [ran.code for ran in (*before, *after)], printed
    assert (0, True) == (code, out.startswith(f"Connected as {email}"))
    assert "orders" in after[3].out
    assert [] == [text for text in printed if ABOUT_CLIENT_IDS.search(text)]
