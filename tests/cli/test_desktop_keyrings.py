"""The main job with an account in KWallet or KeePassXC."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_main_job import cli, connect
from tests.support.daemon import DaemonProcess
from tests.support.secret_services import DesktopKeyring, KeePassXC, KWallet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.command_line import Ran
    from tests.support.sandbox import Sandbox

# KeePassXC asks a program that has just started for access to an entry, and each program before it deletes one.
ACCESS = ("Access Request", "Return")
DELETE = ("Delete entry?", "Left", "Return")


@pytest.fixture(name="program", params=[KWallet, KeePassXC], ids=["KWallet", "KeePassXC"])
def _program(request: pytest.FixtureRequest) -> Iterator[DesktopKeyring]:
    with request.param.running() as program:
        if isinstance(program, KWallet):
            program.open()
        yield program


@pytest.fixture
def daemon(program: DesktopKeyring, tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Iterator[DaemonProcess]:
    """A daemon in the session of the keyring."""
    options = {
        "port": daemon_port,
        "client_id": sandbox.client_id,
        "auth_url": sandbox.auth_url,
        "api_url": sandbox.api_url,
        "rest_url": sandbox.rest_url,
        "credential_store": "keyring",
    }
    with DaemonProcess.running(tmp_path / "home", **options) as daemon:
        yield daemon


async def asked(program: DesktopKeyring, question: tuple[str, ...], daemon: DaemonProcess, *arguments: str) -> Ran:
    """Run a command, and answer the window that KeePassXC shows. KWallet shows none."""
    running = asyncio.ensure_future(cli(daemon, *arguments))
    if isinstance(program, KeePassXC):
        await asyncio.to_thread(program.answer, *question)
    return await running


async def test_account_is_kept_by_the_desktops_keyring(
    program: DesktopKeyring, daemon: DaemonProcess, sandbox: Sandbox
) -> None:
    """Connecting stores the account in it, a restarted daemon finds it there, and disconnecting deletes it."""
    windows = program.windows()
    before = program.entries()
    await connect(daemon, sandbox, f"{type(program).__name__.lower()}@example.com")
    quiet = program.windows()
    stored = program.entries()

    daemon.stop()
    daemon.kill()  # closes its output
    daemon.start()
    listed = await asked(program, ACCESS, daemon, "databases", "list", "--json")
    forgotten = await asked(program, DELETE, daemon, "disconnect", "--yes")
    after = program.entries()

    assert windows == quiet
    assert (0, []) == (listed.code, listed.json["databases"])
    assert 0 == forgotten.code, forgotten.err
    assert stored != before == after
    assert [] == list(daemon.home.rglob("credentials*"))
