"""Deciding on the command line whether the account of an app's sign-in replaces the connected one (threat T59)."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest_asyncio

from tests.support.terminal import terminal
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes
from upstash_helper.cli.demo.browserless_login import BrowserSession
from upstash_helper.client import Helper, MemoryTokens

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox


@dataclass(frozen=True)
class Question:
    """A question that is pending."""

    attempt_id: str
    connected: str
    new: str

    @property
    def title(self) -> str:
        return f"Replace {self.connected} with {self.new}?"


@pytest_asyncio.fixture
async def question(running: DaemonProcess, sandbox: Sandbox) -> Question:
    """An app has started a sign-in, the user has connected an account, and the app's sign-in was for another one."""
    owner = running.client
    connected, new = (f"{name}-{secrets.token_hex(4)}@example.com" for name in ("own", "new"))

    def start() -> str:
        helper = Helper.pair(
            name="Orders", scopes=("connection:read",), connect_if_needed=True, base_url=owner.base_url,
            on_code=lambda *_: owner.approve(owner.pairings()[0].id), token_store=MemoryTokens(),
        )  # fmt: skip
        urls: list[str] = []
        helper.connect(open_browser=False, wait=False, on_url=urls.append)
        return urls[0]

    url = await asyncio.to_thread(start)
    await sandbox.account(connected, PASSWORD)
    key = await sandbox.api_key(connected, "console")
    await asyncio.to_thread(owner.use_api_key, email=connected, api_key=key)
    redirect = await sandbox.authorize(url, new, PASSWORD)
    await asyncio.to_thread(BrowserSession().follow, redirect)
    async with asyncio.timeout(20):
        while True:
            attempt = (await asyncio.to_thread(owner.connection)).attempt
            assert attempt is not None
            if attempt.state == "confirmation_required":
                return Question(attempt.attempt_id, connected, new)
            await asyncio.sleep(0.01)


def account(daemon: DaemonProcess) -> str:
    connection = daemon.client.connection()
    return connection.account.email if connection.account else ""


async def test_status_and_connect_show_the_question(shell: Shell, question: Question) -> None:
    """With the commands that answer it. Without a terminal nothing is decided."""
    status = await shell("status")
    connect = await shell("connect")

    assert (0, 0) == (status.code, connect.code)
    for shown in (status.err, connect.err):
        assert question.title in shown
        assert "connect --replace" in shown
        assert "connect --keep" in shown
    assert f"Already connected as {question.connected}" in connect.out


async def test_waiting_connect_asks_and_keeps_by_default(running: DaemonProcess, question: Question) -> None:
    """Enter means no."""
    async with terminal("connect", environment=running.environment) as user:
        shown = await user.shows(b"[y/N]: ")
        user.type("\n")
        ended = await user.ended()

    assert question.title in shown
    assert "Orders" in shown
    assert (0, question.connected) == (ended.code, account(running))
    attempt = running.client.attempt(question.attempt_id)
    assert ("failed", "replacement_declined") == (attempt.state, attempt.reason)


async def test_user_replaces_the_account(running: DaemonProcess, question: Question) -> None:
    """After a yes the new account is connected."""
    async with terminal("connect", "--replace", environment=running.environment) as user:
        await user.shows(b"[y/N]: ")
        user.type("y\n")
        ended = await user.ended()

    assert 0 == ended.code, ended.err
    assert f"Connected as {question.new}" in ended.out
    assert question.new == account(running)


async def test_script_replaces_the_account_that_it_names(
    running: DaemonProcess, shell: Shell, question: Question
) -> None:
    """--yes needs the ID: it could be another question than the one that was seen."""
    attempt = json.loads((await shell("status", "--json")).out)["connection"]["attempt"]

    blind = await shell("connect", "--replace", "--yes")
    other = await shell("connect", "--replace", "--yes", "--attempt", "another")
    unattended = await shell("connect", "--replace")
    before = account(running)
    replaced = await shell("connect", "--replace", "--yes", "--attempt", attempt["attempt_id"], "--json")

    assert (exit_codes.USAGE, exit_codes.NOT_FOUND, exit_codes.USAGE) == (blind.code, other.code, unattended.code)
    assert question.connected == before
    assert question.title == attempt["replacement"]["title"]
    assert (0, question.new) == (replaced.code, json.loads(replaced.out)["account"]["email"])


async def test_account_is_kept(running: DaemonProcess, shell: Shell, question: Question) -> None:
    """A second answer finds nothing to decide."""
    kept = await shell("connect", "--keep", "--json")
    late = await shell("connect", "--replace", "--yes", "--attempt", question.attempt_id)

    assert (0, question.connected) == (kept.code, json.loads(kept.out)["account"]["email"])
    assert (exit_codes.NOT_FOUND, question.connected) == (late.code, account(running))


async def test_flags_that_do_not_fit_are_refused(shell: Shell) -> None:
    """Nothing is sent."""
    for flags in ("--replace --keep", "--attempt a", "--yes", "--keep --yes --attempt a"):
        assert exit_codes.USAGE == (await shell("connect", *flags.split())).code, flags
