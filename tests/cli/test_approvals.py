"""``approvals …`` against a real daemon; the apps are what they send."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.sample_app import SampleApp
from tests.support.terminal import at_terminal, terminal
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire_apps

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

PAGE = "https://app.example.com"
OTHER = "https://other.example"
ASKED = b"[y/N]: "
WATCHED = b"[n]: "


async def test_list_begins_with_who_is_verified(shell: Shell, running: DaemonProcess) -> None:
    """
    First comes the origin that the browser vouches for; the name and the reason are the app's own words, in quotes.
    """
    app = SampleApp.requesting(running, "databases:read", origin=PAGE, name="Upstash", reason="To list them")

    ran = await shell("approvals", "list")

    [who, sender, name, code, wish, why, left, number] = ran.out.splitlines()
    assert ["Web page:", PAGE] == who.rsplit(maxsplit=1)
    assert f"{Path(sys.executable).resolve()} (your browser?" in sender
    assert name.endswith('"Upstash" (nobody vouches for this name)')
    assert app.code in code
    assert wish.endswith("List your databases and their settings, without passwords (databases:read)")
    assert why.endswith('"To list them"')
    assert 0 < int(left.split()[-2]) <= 120
    assert number.endswith(app.id)
    assert f"upstash-helper approvals approve {app.code}" in ran.err


async def test_list_says_what_is_known_of_a_program(shell: Shell, running: DaemonProcess) -> None:
    """
    A native program is shown as its file and process, with how far that goes.
    """
    SampleApp.requesting(running)

    first, second = (await shell("approvals", "list")).out.splitlines()[:2]

    assert first.startswith("Program:")
    assert f"(process {os.getpid()})" in first
    assert "a script shows as its interpreter" in second


async def test_words_of_an_app_cannot_pass_for_ours(shell: Shell, running: DaemonProcess) -> None:
    """
    A name can neither end its quotes, nor the line, nor steer the terminal.
    """
    SampleApp.requesting(running, origin=PAGE, name='Orders" (verified)\n\x1b[2Jby "Upstash', reason='"\r\nId: 1')

    ran = await shell("approvals", "list")

    assert "\"Orders' (verified) [2Jby 'Upstash\" (nobody vouches for this name)" in ran.out
    assert '"\' Id: 1"' in ran.out
    assert "\x1b" not in ran.out
    assert 8 == len(ran.out.splitlines())


async def test_lists_are_the_apis_own_json(shell: Shell, running: DaemonProcess) -> None:
    """
    With --json the lists are the API's answers, each on one line.
    """
    SampleApp.requesting(running, origin=PAGE)
    running.client.block(SampleApp.requesting(running, origin=OTHER).id)

    listed, blocked = await shell("approvals", "list", "--json"), await shell("approvals", "blocked", "--json")

    assert running.client.pairings() == msgspec.json.decode(listed.out, type=wire_apps.PairingList).pairings
    assert running.client.blocks() == msgspec.json.decode(blocked.out, type=wire_apps.BlockList).blocks
    assert (1, 1) == (listed.out.count("\n"), blocked.out.count("\n"))


@pytest.mark.parametrize("command", ["list", "blocked"])
async def test_empty_lists_say_so(shell: Shell, command: str) -> None:
    """
    An empty list is empty on stdout, and a sentence on stderr.
    """
    ran = await shell("approvals", command)

    assert (0, "") == (ran.code, ran.out)
    assert ran.err


# --- approve ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "code", "state"),
    [("y\n", 0, "approved"), ("n\n", 1, "pending"), ("\n", 1, "pending"), ("\x04", 130, "pending")],
)
async def test_approve_shows_and_asks(running: DaemonProcess, typed: str, code: int, state: str) -> None:
    """
    At a terminal the user sees who asks and for what before deciding; anything but yes means no.
    """
    app = SampleApp.requesting(running, "databases:delete", origin=PAGE)

    ran = await at_terminal("approvals", "approve", environment=running.environment, typed=(typed,), asked=ASKED)

    assert code == ran.code, ran.err
    assert (
        ran.err.index(PAGE)
        < ran.err.index('"Orders"')
        < ran.err.index("Delete databases")
        < ran.err.index("Let it in?")
    )
    assert state == app.state


async def test_what_was_typed_before_is_no_answer(running: DaemonProcess) -> None:
    """
    A yes that was typed before the question was shown was meant for something else.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "approve", environment=running.environment) as screen:
        screen.type("y\n")
        await screen.shows(ASKED)
        screen.type("n\n")
        ran = await screen.ended()

    assert exit_codes.FAILURE == ran.code
    assert "pending" == app.state


async def test_an_approved_app_gets_in(shell: Shell, running: DaemonProcess) -> None:
    """
    After a yes the app fetches its token and has all that it wished for.
    """
    app = SampleApp.requesting(running, "connection:read", "databases:read", origin=PAGE)

    ran = await shell("approvals", "approve", app.code, "--yes")

    assert 0 == ran.code, ran.err
    assert f'Approved: {PAGE}, which calls itself "Orders"' in ran.out
    fetched = app.fetch().json
    assert (["connection:read", "databases:read"], False, None) == (
        fetched["scopes"],
        fetched["all_databases"],
        fetched["expires_at"],
    )


async def test_a_yes_can_be_less_and_more(running: DaemonProcess) -> None:
    """
    Fewer scopes, all databases, an hour: what a yes would grant is shown before it is given, and granted so.
    """
    app = SampleApp.requesting(running, "databases:read", "databases:credentials", "databases:delete", origin=PAGE)

    ran = await at_terminal(
        "approvals", "approve", "--scope", "databases:credentials", "--all-databases", "--once", "--json",
        environment=running.environment, typed=("y\n",), asked=ASKED,
    )  # fmt: skip

    shown = ran.err.partition("You grant only:")[2]
    assert "databases:credentials" in shown
    assert "databases:delete" not in shown
    assert "of all your databases" in shown
    assert "an hour from now" in shown
    assert "approved" == ran.json["state"]
    fetched = app.fetch().json
    assert (["databases:credentials"], True) == (fetched["scopes"], fetched["all_databases"])
    assert fetched["expires_at"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--scope", "databases:write"), "It does not wish for databases:write. It wishes for: databases:read."),
        (("--all-databases",), "databases:credentials, which would not be granted"),
        (("--scope", "everything"), "is not one of"),
    ],
)
async def test_what_cannot_be_granted_is_not_asked(running: DaemonProcess, flags: tuple[str, ...], said: str) -> None:
    """
    A grant that makes no sense is refused before the user is asked, and nothing is decided.
    """
    app = SampleApp.requesting(running, "databases:read", origin=PAGE)

    ran = await at_terminal("approvals", "approve", *flags, environment=running.environment, typed=())

    assert exit_codes.USAGE == ran.code
    assert said in ran.err
    assert "pending" == app.state


@pytest.mark.parametrize("command", ["approve", "block"])
async def test_without_a_terminal_it_takes_yes_and_a_name(shell: Shell, running: DaemonProcess, command: str) -> None:
    """
    A script says --yes, and which request it means: nobody says yes unseen to whatever happens to wait.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    unasked = await shell("approvals", command, app.id, typed="y\n")
    unnamed = await shell("approvals", command, "--yes", typed="y\n")

    assert [exit_codes.USAGE] * 2 == [unasked.code, unnamed.code]
    assert "--yes" in unasked.err
    assert "name the request" in unnamed.err
    assert "pending" == app.state


@pytest.mark.parametrize("how", ["id", "code", "small", "dashless", "prefix"])
async def test_a_request_has_several_names(shell: Shell, running: DaemonProcess, how: str) -> None:
    """
    The code in either case, with or without its dash, the id, and the beginning of the id all name a request.
    """
    app, other = SampleApp.requesting(running, origin=PAGE), SampleApp.requesting(running, origin=OTHER)
    names = {
        "id": app.id,
        "code": app.code,
        "small": app.code.lower(),
        "dashless": app.code.replace("-", ""),
        "prefix": app.id[:8],
    }

    ran = await shell("approvals", "deny", names[how])

    assert 0 == ran.code, ran.err
    assert ("denied", "pending") == (app.state, other.state)


@pytest.mark.parametrize("named", ["XXXX-XXXX", "", "short"])
async def test_unknown_requests_are_not_found(shell: Shell, running: DaemonProcess, named: str) -> None:
    """
    What names nothing exits with 5; so does the beginning of an id that is too short to mean it.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    ran = await shell("approvals", "approve", app.id[:3] if named == "short" else named, "--yes")

    assert exit_codes.NOT_FOUND == ran.code
    assert "upstash-helper approvals list" in ran.err
    assert "pending" == app.state


async def test_nothing_to_decide_is_not_found(shell: Shell) -> None:
    """
    Where nobody waits there is nothing to decide.
    """
    ran = await shell("approvals", "deny", "--json")

    assert (exit_codes.NOT_FOUND, "pairing_not_found") == (ran.code, msgspec.json.decode(ran.err)["code"])


async def test_of_several_one_must_be_named(shell: Shell, running: DaemonProcess) -> None:
    """
    Where several wait and none is named, all are listed with their codes, and nothing is decided.
    """
    apps = [SampleApp.requesting(running, origin=origin) for origin in (PAGE, OTHER)]

    ran = await shell("approvals", "deny")

    assert exit_codes.USAGE == ran.code
    assert all(f"{app.code}  {app.origin}" in ran.err for app in apps)
    assert ["pending", "pending"] == [app.state for app in apps]


# --- deny and block ---------------------------------------------------------------------------------------------------


async def test_deny_is_told_to_the_app(shell: Shell, running: DaemonProcess) -> None:
    """
    The only one that waits needs no name; the app learns of the no.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    ran = await shell("approvals", "deny", "--json")

    assert (0, "denied", app.id) == (ran.code, ran.json["state"], ran.json["id"])
    assert "denied" == app.state


@pytest.mark.parametrize(("typed", "code", "blocked"), [("y\n", 0, 1), ("\n", 1, 0)])
async def test_block_asks(running: DaemonProcess, typed: str, code: int, blocked: int) -> None:
    """
    At a terminal the user is asked, with whom the block is for.
    """
    SampleApp.requesting(running, origin=PAGE)

    ran = await at_terminal("approvals", "block", environment=running.environment, typed=(typed,), asked=ASKED)

    assert code == ran.code, ran.err
    assert f"Never be asked again by {PAGE}?" in ran.err
    assert blocked == len(running.client.blocks())


@pytest.mark.parametrize("named", ["id", "prefix", "origin"])
async def test_the_blocked_cannot_ask_until_unblocked(shell: Shell, running: DaemonProcess, named: str) -> None:
    """
    Who is blocked may not ask; the list names them; after unblock they may ask again, once a no has cooled down.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    blocked = await shell("approvals", "block", app.code, "--yes", "--json")
    refused = SampleApp(running, PAGE).send("POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]})
    listed = await shell("approvals", "blocked")
    names = {"id": blocked.json["id"], "prefix": blocked.json["id"][:6], "origin": PAGE}
    lifted = await shell("approvals", "unblock", names[named], "--json")
    again = SampleApp(running, PAGE).send("POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]})

    assert (403, "app_blocked") == (refused.status, refused.code)
    assert [PAGE, blocked.json["id"]] == listed.out.splitlines()[1].split()[:2]
    assert {"unblocked": True, "id": blocked.json["id"], "identity": PAGE} == lifted.json
    assert "too_many_pairings" == again.code


async def test_unknown_blocks_are_not_found(shell: Shell) -> None:
    """
    Lifting a block that is none exits with 5 and tells where the blocks are.
    """
    ran = await shell("approvals", "unblock", "https://nobody.example")

    assert exit_codes.NOT_FOUND == ran.code
    assert "upstash-helper approvals blocked" in ran.err


async def test_blocking_a_program_says_how_wide_that_is(running: DaemonProcess) -> None:
    """
    A native program is blocked by its file, and the question says that it is for all that run it.
    """
    SampleApp.requesting(running)

    ran = await at_terminal("approvals", "block", environment=running.environment, typed=("n\n",), asked=ASKED)

    assert "any program that runs as /" in ran.err


# --- watch ------------------------------------------------------------------------------------------------------------


async def test_watch_asks_for_each_as_it_comes(running: DaemonProcess) -> None:
    """
    Who waits already and who comes later is asked about in turn; the user says yes, no, never, or later.
    """
    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(b"Ctrl-C ends it.\n")
        states = []
        for origin, answer in ((PAGE, "y\n"), (OTHER, "\n"), ("https://third.example", "b\n"), (None, "l\n")):
            app = SampleApp.requesting(running, origin=origin)
            prompt = await screen.shows(WATCHED)
            screen.type(answer)
            if origin:
                assert screen.process.stdout is not None
                await screen.process.stdout.readline()
            states.append((app.code in prompt, app.state))
        screen.process.send_signal(signal.SIGINT)
        ran = await screen.ended()

    assert [(True, "approved"), (True, "denied"), (True, "denied"), (True, "pending")] == states
    assert ["https://third.example"] == [one.identity.name for one in running.client.blocks()]
    assert exit_codes.INTERRUPTED == ran.code


async def test_watch_goes_on_after_a_decision_from_elsewhere(running: DaemonProcess) -> None:
    """
    What was decided in another terminal meanwhile is told, and the next one is asked about.
    """
    first = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(WATCHED)
        running.client.deny(first.id)
        second = SampleApp.requesting(running, origin=OTHER)
        screen.type("y\n")
        told = await screen.shows(WATCHED)
        screen.type("y\n")
        assert screen.process.stdout is not None
        await screen.process.stdout.readline()

    assert "Error: It was denied already." in told
    assert ("denied", "approved") == (first.state, second.state)


async def test_watch_needs_a_terminal(shell: Shell) -> None:
    """
    Without a terminal nobody can be asked; the ways to decide without one are named.
    """
    ran = await shell("approvals", "watch", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "approve --yes" in ran.err


# --- where else they show ---------------------------------------------------------------------------------------------


async def test_status_tells_that_somebody_waits(shell: Shell, running: DaemonProcess) -> None:
    """
    Whoever looks at the status learns that a decision is waited for.
    """
    before = await shell("status")
    SampleApp.requesting(running, origin=PAGE)
    after = await shell("status")

    assert "approvals" not in before.err
    assert "1 app waits for your decision. See: upstash-helper approvals list" in after.err


@pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links take rights on Windows")
async def test_status_does_without_the_ledger(shell: Shell, running: DaemonProcess) -> None:
    """
    A ledger that cannot be read is an error of what needs it, and status still tells all the rest.
    """
    running.folders.state.mkdir(parents=True, exist_ok=True)
    running.folders.ledger_file.symlink_to(running.home / "elsewhere.db")

    status, listed = await shell("status"), await shell("approvals", "list", "--json")

    assert (0, True) == (status.code, "127.0.0.1" in status.out)
    assert (exit_codes.FAILURE, "ledger_unavailable") == (listed.code, msgspec.json.decode(listed.err)["code"])
