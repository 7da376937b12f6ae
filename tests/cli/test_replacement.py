"""Deciding on the command line whether the account of an app's sign-in replaces the connected one (threat T59)."""

from __future__ import annotations

import asyncio
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.support.sample_app import SampleApp
from tests.support.terminal import Terminal, terminal
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes
from upstash_helper.cli.sandbox.browserless_login import BrowserSession
from upstash_helper.client import Helper, MemoryTokens

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox

ASKED = b"[y/N]: "
WATCHED = b"[n]: "


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
    return await ask_as_app(running, sandbox)


async def ask_as_app(running: DaemonProcess, sandbox: Sandbox, *, approved_by: Terminal | None = None) -> Question:
    """Cause the question. The app is approved by the owner, or at a terminal that watches requests."""
    owner = running.client
    connected, new = (f"{name}-{secrets.token_hex(4)}@example.com" for name in ("own", "new"))

    def start() -> str:
        helper = Helper.pair(
            name="Orders", scopes=("connection:read",), connect_if_needed=True, base_url=owner.base_url,
            on_code=lambda *_: None if approved_by else owner.approve(owner.pairings()[0].id),
            token_store=MemoryTokens(),
        )  # fmt: skip
        urls: list[str] = []
        helper.connect(open_browser=False, wait=False, on_url=urls.append)
        return urls[0]

    starting = asyncio.create_task(asyncio.to_thread(start))
    if approved_by:
        await approved_by.shows(WATCHED)
        approved_by.type("y\n")
    url = await starting
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


@pytest.mark.parametrize("command", [("connect",), ("connect", "--replace")], ids=" ".join)
async def test_t61_input_before_the_question_and_pasted_text_are_no_answer(
    running: DaemonProcess, question: Question, command: tuple[str, ...]
) -> None:
    """The question appears because an app has signed in, perhaps while the user types something else."""
    async with terminal(*command, environment=running.environment) as user:
        await user.shows(b"Calls itself:")
        user.type("y\ny")
        await user.shows(ASKED)
        user.type("y\nmake\n")
        await user.shows(ASKED)
        state = running.client.attempt(question.attempt_id).state
        user.type("\n")
        await user.ended()

    assert ("confirmation_required", question.connected) == (state, account(running))


@pytest.mark.parametrize("answer", ["y", "", "l"])
async def test_t59_watch_asks_whether_to_replace_the_account(
    running: DaemonProcess, question: Question, answer: str
) -> None:
    """`approvals watch` asks like the dashboard and the tray. Enter means no, and the user can leave it undecided."""
    async with terminal("approvals", "watch", environment=running.environment) as user:
        asked = await user.shows(WATCHED)
        user.type("y\ny\n")
        await user.shows(WATCHED)
        state = running.client.attempt(question.attempt_id).state
        user.type(f"{answer}\n")
        assert user.process.stdout is not None
        printed = "" if answer == "l" else (await user.process.stdout.readline()).decode()
        if answer == "l":
            SampleApp.requesting(running, origin="https://app.example.com")
            assert "https://app.example.com" in await user.shows(WATCHED)  # and not the same question again

    attempt = running.client.attempt(question.attempt_id)
    assert question.title in asked
    assert "Orders" in asked
    assert "confirmation_required" == state
    match answer:
        case "y":
            assert (question.new, "succeeded") == (account(running), attempt.state)
            assert f"Connected as {question.new}" in printed
        case "l":
            assert (question.connected, "confirmation_required") == (account(running), attempt.state)
        case _:
            assert (question.connected, "replacement_declined") == (account(running), attempt.reason)
            assert "You decided not to replace" in printed


async def test_t59_watch_asks_when_the_question_arrives(running: DaemonProcess, sandbox: Sandbox) -> None:
    """Also if it runs already. A decision elsewhere does not end it."""
    async with terminal("approvals", "watch", "--json", environment=running.environment) as user:
        await user.shows(b"Press Ctrl-C to stop.\n")
        question = await ask_as_app(running, sandbox, approved_by=user)
        await user.shows(question.title.encode())
        await user.shows(WATCHED)
        running.client.cancel_attempt(question.attempt_id)
        user.type("y\n")
        await user.shows(b"Error: ")
        SampleApp.requesting(running, origin="https://app.example.com")
        await user.shows(WATCHED)

    assert question.connected == account(running)


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
