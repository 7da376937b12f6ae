"""``doctor`` with real keyrings: it opens no window, starts no program, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.examined import Examined
from tests.support.secret_services import KeePassXC, KeePassXCWithoutDatabase, KWallet, KWalletWithoutWallet
from tests.support.until import until
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.cli.doctor import desktop
from upstash_helper.storage.credentials.keyring_store import KeyringStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.secret_services import DesktopKeyring
    from upstash_helper.cli.doctor.check import CheckResult

CREDENTIAL = Credential(email="ada@example.com", api_key=Secret("made-up-key"), method="api_key", since=1_790_000_000.0)
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(name="kwallet", scope="module")
def _kwallet() -> Iterator[KWallet]:
    with KWallet.running() as program:
        yield program


@pytest.fixture(name="keepassxc", scope="module")
def _keepassxc() -> Iterator[KeePassXC]:
    with KeePassXC.running() as program:
        yield program


@pytest.fixture(name="examined")
def _examined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    return Examined(monkeypatch, tmp_path / "home")


def traces(program: DesktopKeyring) -> dict[str, object]:
    """Return what a check could leave behind in the session."""
    return {
        "entries": program.entries(),
        "names": program.names(),
        "processes": program.processes(),
        "windows": program.windows(),
        "files": sorted(str(path) for path in program.session.home.rglob("*")),
    }


def checked(program: DesktopKeyring, examined: Examined) -> CheckResult:
    """Return the result of the check of the keyring, which has left no traces."""
    before = traces(program)
    (found,) = examined.all(desktop.keyring)
    assert before == traces(program)
    return found


# --- KWallet ----------------------------------------------------------------------------------------------------------


def test_open_wallet_is_not_locked(kwallet: KWallet, examined: Examined) -> None:
    """A wallet that was opened at login is open, whatever the Secret Service says. KWallet would keep a file."""
    kwallet.close()
    kwallet.open()

    found = checked(kwallet, examined)

    assert ("ok", True) == (found.state, found.detail.startswith("KWallet: unlocked; not tested with an entry"))


def test_closed_wallet_is_locked_and_stays_closed(kwallet: KWallet, examined: Examined) -> None:
    """The fix names the program in which to open it."""
    kwallet.close()

    found = checked(kwallet, examined)

    assert ("error", "locked") == (found.state, found.detail)
    assert "Open the wallet in KWalletManager" in found.fix
    assert not kwallet.is_open()


def test_wallet_that_asks_is_not_called_locked(kwallet: KWallet, examined: Examined) -> None:
    """With "Prompt on Open", a test entry would open a window, so none is written."""
    kwallet.close()
    kwallet.configure(asks=True)
    kwallet.open()

    found = checked(kwallet, examined)
    kwallet.configure()

    assert ("ok", True) == (found.state, found.detail.startswith("KWallet: unlocked; not tested with an entry"))


def test_missing_wallet_is_not_created(examined: Examined) -> None:
    """KWallet's assistant for the first wallet is not shown."""
    with KWalletWithoutWallet.running() as kwallet:
        found = checked(kwallet, examined)

    assert ("error", "not created yet") == (found.state, found.detail)


# --- KeePassXC --------------------------------------------------------------------------------------------------------


def test_keepassxc_is_not_tested_with_an_entry(keepassxc: KeePassXC, examined: Examined) -> None:
    """It asks before it deletes an entry, so none is written."""
    found = checked(keepassxc, examined)

    assert ("ok", True) == (found.state, found.detail.startswith("KeePassXC: unlocked; not tested with an entry"))


def test_locked_database_is_not_unlocked(keepassxc: KeePassXC, examined: Examined) -> None:
    """The fix names the program in which to unlock it."""
    keepassxc.lock()

    found = checked(keepassxc, examined)
    keepassxc.kill()
    keepassxc.start()

    assert ("error", "locked") == (found.state, found.detail)
    assert "Unlock the database in KeePassXC" in found.fix


def test_missing_database_is_not_created(examined: Examined) -> None:
    """The window for a new database is not shown, and the fix says how to share one."""
    with KeePassXCWithoutDatabase.running() as program:
        found = checked(program, examined)

    assert ("error", "not created yet") == (found.state, found.detail)
    assert "Secret Service Integration" in found.fix


# --- with a daemon ----------------------------------------------------------------------------------------------------


@pytest.fixture(name="program", params=["closed KWallet", "KeePassXC that asks"])
def _program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> DesktopKeyring:
    if "KWallet" in request.param:
        kwallet: KWallet = request.getfixturevalue("kwallet")
        kwallet.session.enter(monkeypatch)
        kwallet.configure()
        if not kwallet.is_open():
            kwallet.open()
        return kwallet
    keepassxc: KeePassXC = request.getfixturevalue("keepassxc")
    keepassxc.session.enter(monkeypatch)
    return keepassxc


async def test_first_start_and_doctor_open_no_window(program: DesktopKeyring, tmp_path: Path, daemon_port: int) -> None:
    """
    With a stored credential that cannot be read without a question, neither the start of the daemon nor ``doctor``
    asks it. ``doctor`` shows the reason once. A command that needs the account asks.
    """
    home, title = tmp_path / "home", "Access Request"
    await KeyringStore("upstash-helper", f"default at {NOWHERE} in {home}", deadline=30).save(CREDENTIAL)
    if isinstance(program, KWallet):
        program.close()
        title = "KDE Wallet Service"
    before = {**traces(program), "files": None}
    settings = {"credential_store": "keyring", "api_url": NOWHERE, "auth_url": NOWHERE, "rest_url": NOWHERE}
    with DaemonProcess.running(home, port=daemon_port, quietly=False, **settings) as daemon:
        until((home / "state" / "welcomed").exists)

        doctor = await run_cli("doctor", "--json", environment=daemon.environment)
        after = {**traces(program), "files": None, "processes": before["processes"]}
        asking = asyncio.ensure_future(run_cli("status", environment=daemon.environment))
        await asyncio.to_thread(program.answer, title, "Escape")
        status = await asking

    found = {one["name"]: one for one in doctor.json["checks"]}
    reason = found["Connection"]["fix"]
    assert before == after
    assert 1 == doctor.out.count(reason)
    if isinstance(program, KWallet):
        assert "The keyring (KWallet) is locked. Open the wallet in KWalletManager" in reason
        assert re.search(r"Open the wallet in KWalletManager|unlock it in its password window", status.err)
    else:
        assert "The keyring (KeePassXC) is open, and asks before a program may use an entry." in reason
        assert "The keyring (KeePassXC) is open, " in status.err
        assert "allow access" in status.err.lower()
