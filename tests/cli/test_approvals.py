"""``approvals …`` against a real daemon, with requests from apps."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import pytest

from tests.support.sample_app import SampleApp
from tests.support.terminal import at_terminal, terminal
from upstash_helper.api.guard.middleware import ON_BEHALF_HEADER
from upstash_helper.cli import exit_codes
from upstash_helper.protocol import wire_apps
from upstash_helper.protocol.messages import SAME_PROGRAM_ASKS, VIA_BRIDGE

if TYPE_CHECKING:
    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

PAGE = "https://app.example.com"
OTHER = "https://other.example"
ASKED = b"[y/N]: "
WATCHED = b"[n]: "
CODE = b"Type the code that the app shows: "


async def test_list_starts_with_the_verified_identity(shell: Shell, running: DaemonProcess) -> None:
    """
    The origin that the browser verifies comes first; the name and the reason, which the app chose, are in quotes.
    """
    app = SampleApp.requesting(running, "databases:read", origin=PAGE, name="Upstash", reason="To list them")

    ran = await shell("approvals", "list")

    [who, sender, name, code, scopes, reason, left, number] = ran.out.splitlines()
    assert ["Web page:", PAGE] == who.rsplit(maxsplit=1)
    assert f"{Path(sys.executable).resolve()} (process {os.getpid()}) (make sure that this is your browser" in sender
    assert name.endswith('"Upstash" (not verified)')
    assert app.code in code
    assert scopes.endswith(
        "List your databases with their settings, usage, and backups, without passwords (databases:read)"
    )
    assert reason.endswith('"To list them"')
    assert 0 < int(left.split()[-2]) <= 120
    assert number.endswith(app.id)
    assert f"upstash-helper approvals approve {app.code}" in ran.err


async def test_list_says_that_a_request_came_over_the_bridge(shell: Shell, running: DaemonProcess) -> None:
    """Below the program that sent it."""
    host = urlsplit(running.client.open_dashboard().url).netloc
    sent = {"Host": host, "Origin": f"http://{host}", "Content-Type": "application/json", ON_BEHALF_HEADER: PAGE}
    with contextlib.closing(HTTPConnection("127.0.0.1", running.port)) as connection:
        connection.request("POST", "/v1/pairings", '{"name": "Orders", "scopes": ["connection:read"]}', sent)
        status = connection.getresponse().status

    lines = (await shell("approvals", "list")).out.splitlines()

    assert 202 == status
    assert lines[0].endswith(PAGE)
    assert lines[2].strip() == VIA_BRIDGE


async def test_list_says_what_else_a_program_requests(shell: Shell, running: DaemonProcess) -> None:
    """The requests of an agent that connects in two ways name each other's code, below their program."""
    requests = [{"name": name, "scopes": ["databases:read"], "audience": "mcp"} for name in ("Agent", "My agent")]
    first, second = (SampleApp(running).send("POST", "/v1/pairings", it).json["user_code"] for it in requests)

    lines = (await shell("approvals", "list")).out.splitlines()

    said = [line.strip() for line in lines if line.strip().startswith("The same program")]
    assert [SAME_PROGRAM_ASKS.format(codes=other) for other in (second, first)] == said


async def test_list_shows_a_programs_file_and_process(shell: Shell, running: DaemonProcess) -> None:
    """
    A native program is shown with its file and process, and what that proves.
    """
    SampleApp.requesting(running)

    first, second = (await shell("approvals", "list")).out.splitlines()[:2]

    assert first.startswith("Program:")
    assert f"(process {os.getpid()})" in first
    assert "a script is shown as its interpreter" in second


async def test_text_from_an_app_stays_inside_its_quotes(shell: Shell, running: DaemonProcess) -> None:
    """
    A name can end neither its quotes nor the line, and cannot control the terminal.
    """
    SampleApp.requesting(running, origin=PAGE, name='Orders" (verified)\n\x1b[2Jby "Upstash', reason='"\r\nId: 1')

    ran = await shell("approvals", "list")

    assert "\"Orders' (verified) [2Jby 'Upstash\" (not verified)" in ran.out
    assert '"\' Id: 1"' in ran.out
    assert "\x1b" not in ran.out
    assert 8 == len(ran.out.splitlines())


async def test_lists_as_json_are_the_apis_answers(shell: Shell, running: DaemonProcess) -> None:
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
async def test_empty_list_prints_a_note_to_stderr(shell: Shell, command: str) -> None:
    """
    For an empty list, stdout is empty and stderr has a sentence.
    """
    ran = await shell("approvals", command)

    assert (0, "") == (ran.code, ran.out)
    assert ran.err


# --- approve ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "code", "state"),
    [("y\n", 0, "approved"), ("n\n", 1, "pending"), ("\n", 1, "pending"), ("\x04", 130, "pending")],
)
async def test_approve_shows_the_request_and_asks(running: DaemonProcess, typed: str, code: int, state: str) -> None:
    """
    On a terminal the user sees the identity and the scopes before deciding; anything but yes declines.
    """
    app = SampleApp.requesting(running, "databases:write", origin=PAGE)

    ran = await at_terminal("approvals", "approve", environment=running.environment, typed=(typed,), asked=ASKED)

    assert code == ran.code, ran.err
    assert ran.err.index(PAGE) < ran.err.index('"Orders"') < ran.err.index("Create, rename") < ran.err.index("Approve?")
    assert state == app.state


async def test_t61_input_typed_before_the_question_is_discarded(running: DaemonProcess) -> None:
    """
    A yes typed before the question was shown does not answer it.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "approve", environment=running.environment) as screen:
        screen.type("y\n")
        await screen.shows(ASKED)
        screen.type("n\n")
        ran = await screen.ended()

    assert exit_codes.FAILURE == ran.code
    assert "pending" == app.state


async def test_approved_app_gets_the_requested_scopes(shell: Shell, running: DaemonProcess) -> None:
    """
    After approval the app fetches its token, with all scopes that it requested.
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


async def test_grant_can_differ_from_the_request(running: DaemonProcess) -> None:
    """
    Fewer scopes, all databases, one hour: the grant is shown before the question, and takes effect.
    """
    app = SampleApp.requesting(running, "databases:read", "databases:credentials", "databases:delete", origin=PAGE)

    ran = await at_terminal(
        "approvals", "approve", "--scope", "databases:credentials", "--all-databases", "--once", "--json",
        environment=running.environment, typed=("y\n", f"{app.code}\n"),
        asked=(ASKED, CODE),
    )  # fmt: skip

    shown = ran.err.partition("You grant only:")[2]
    assert "databases:credentials" in shown
    assert "databases:delete" not in shown
    assert "of all your databases" in shown
    assert "in one hour" in shown
    assert "approved" == ran.json["state"]
    fetched = app.fetch().json
    assert (["databases:credentials"], True) == (fetched["scopes"], fetched["all_databases"])
    assert fetched["expires_at"]


@pytest.mark.parametrize(
    ("flags", "reported"),
    [
        (("--scope", "databases:write"), "The app did not request databases:write. Requested scopes: databases:read."),
        (("--all-databases",), "databases:credentials or databases:commands, and neither would be granted"),
        (("--scope", "everything"), "is not one of"),
    ],
)
async def test_invalid_grant_is_rejected_before_asking(
    running: DaemonProcess, flags: tuple[str, ...], reported: str
) -> None:
    """
    An invalid grant is rejected before the user is asked, and nothing is decided.
    """
    app = SampleApp.requesting(running, "databases:read", origin=PAGE)

    ran = await at_terminal("approvals", "approve", *flags, environment=running.environment, typed=())

    assert exit_codes.USAGE == ran.code
    assert reported in ran.err
    assert "pending" == app.state


@pytest.mark.parametrize("command", ["approve", "block"])
async def test_scripts_need_yes_and_a_request(shell: Shell, running: DaemonProcess, command: str) -> None:
    """
    Without a terminal, both --yes and the request are required.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    unasked = await shell("approvals", command, app.id, typed="y\n")
    unnamed = await shell("approvals", command, "--yes", typed="y\n")

    assert [exit_codes.USAGE] * 2 == [unasked.code, unnamed.code]
    assert f"To confirm: upstash-helper approvals {command} {app.code} --yes\n" in unasked.err
    assert "requires the code or ID of a request" in unnamed.err
    assert "pending" == app.state


@pytest.mark.parametrize("how", ["id", "code", "small", "dashless", "prefix"])
async def test_request_is_found_by_code_or_id(shell: Shell, running: DaemonProcess, how: str) -> None:
    """
    The code in either case, with or without its hyphen, the id, and the beginning of the id all work.
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
async def test_unknown_request_is_not_found(shell: Shell, running: DaemonProcess, named: str) -> None:
    """
    An unknown request exits with 5, and so does an id prefix that is too short.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    ran = await shell("approvals", "approve", app.id[:3] if named == "short" else named, "--yes")

    assert exit_codes.NOT_FOUND == ran.code
    assert "upstash-helper approvals list" in ran.err
    assert "pending" == app.state


async def test_no_pending_request_is_not_found(shell: Shell) -> None:
    """
    Without pending requests the exit code is 5.
    """
    ran = await shell("approvals", "deny", "--json")

    assert (exit_codes.NOT_FOUND, "pairing_not_found") == (ran.code, msgspec.json.decode(ran.err)["code"])


async def test_several_pending_requests_need_a_choice(shell: Shell, running: DaemonProcess) -> None:
    """
    If several requests are pending and none is given, all are listed with their codes, and nothing is decided.
    """
    apps = [SampleApp.requesting(running, origin=origin) for origin in (PAGE, OTHER)]

    ran = await shell("approvals", "deny")

    assert exit_codes.USAGE == ran.code
    assert all(f"{app.code}  {app.origin}" in ran.err for app in apps)
    assert ["pending", "pending"] == [app.state for app in apps]


# --- deny and block ---------------------------------------------------------------------------------------------------


async def test_deny_reaches_the_app(shell: Shell, running: DaemonProcess) -> None:
    """
    The only pending request needs no code; the app learns that it was denied.
    """
    app = SampleApp.requesting(running, origin=PAGE)

    ran = await shell("approvals", "deny", "--json")

    assert (0, "denied", app.id) == (ran.code, ran.json["state"], ran.json["id"])
    assert "denied" == app.state


@pytest.mark.parametrize(("typed", "code", "blocked"), [("y\n", 0, 1), ("\n", 1, 0)])
async def test_block_asks_for_confirmation(running: DaemonProcess, typed: str, code: int, blocked: int) -> None:
    """
    On a terminal the user is asked, with the identity that the block applies to.
    """
    SampleApp.requesting(running, origin=PAGE)

    ran = await at_terminal("approvals", "block", environment=running.environment, typed=(typed,), asked=ASKED)

    assert code == ran.code, ran.err
    assert f"Ignore all future requests from {PAGE}?" in ran.err
    assert blocked == len(running.client.blocks())


@pytest.mark.parametrize("named", ["id", "prefix", "origin"])
async def test_blocked_app_cannot_request_until_unblocked(shell: Shell, running: DaemonProcess, named: str) -> None:
    """
    A blocked app's requests are refused; it is listed, and can request access again after unblock and the delay.
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


async def test_t62_block_of_a_site_names_what_it_covers(shell: Shell, running: DaemonProcess) -> None:
    """
    The question says what else is blocked, the list shows the site, and its name unblocks it.
    """
    SampleApp.requesting(running, origin="http://a.localhost:8000")
    site = "every page on this computer"

    asked = await at_terminal(
        "approvals", "block", "--site", environment=running.environment, typed=("y\n",), asked=ASKED
    )
    refused = SampleApp(running, "http://localhost:5173").send(
        "POST", "/v1/pairings", {"name": "x", "scopes": ["connection:read"]}
    )
    listed = await shell("approvals", "blocked")
    lifted = await shell("approvals", "unblock", site)

    assert f"Ignore all future requests from {site}?" in asked.err
    assert "pages that you run or develop yourself" in " ".join(asked.err.split())
    assert (403, "app_blocked") == (refused.status, refused.code)
    assert site in listed.out
    assert f"Unblocked {site}." in lifted.out
    assert () == running.client.blocks()


async def test_unknown_block_is_not_found(shell: Shell) -> None:
    """
    Removing an unknown block exits with 5, and the error shows how to list blocks.
    """
    ran = await shell("approvals", "unblock", "https://nobody.example")

    assert exit_codes.NOT_FOUND == ran.code
    assert "upstash-helper approvals blocked" in ran.err


async def test_block_of_a_program_names_every_program_with_its_file(running: DaemonProcess) -> None:
    """
    The question says that the block applies to every program that runs from the same file.
    """
    SampleApp.requesting(running)

    ran = await at_terminal("approvals", "block", environment=running.environment, typed=("n\n",), asked=ASKED)

    assert "any program that runs as /" in ran.err


# --- watch ------------------------------------------------------------------------------------------------------------


async def test_watch_asks_about_each_request(running: DaemonProcess) -> None:
    """
    Pending and new requests are asked about in turn; the answers are yes, no, block, and later.
    """
    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(b"Press Ctrl-C to stop.\n")
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


async def test_watch_continues_after_a_decision_elsewhere(running: DaemonProcess) -> None:
    """
    A request that was decided in another terminal causes an error message, and the next one is asked about.
    """
    first = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(WATCHED)
        running.client.deny(first.id)
        second = SampleApp.requesting(running, origin=OTHER)
        screen.type("y\n")
        shown = await screen.shows(WATCHED)
        screen.type("y\n")
        assert screen.process.stdout is not None
        await screen.process.stdout.readline()

    assert "Error: The request was already denied." in shown
    assert ("denied", "approved") == (first.state, second.state)


async def test_watch_needs_a_terminal(shell: Shell) -> None:
    """
    Without a terminal it fails, and names the commands that work without one.
    """
    ran = await shell("approvals", "watch", typed="y\n")

    assert exit_codes.USAGE == ran.code
    assert "approve --yes" in ran.err


# --- where else they show ---------------------------------------------------------------------------------------------


async def test_status_shows_pending_requests(shell: Shell, running: DaemonProcess) -> None:
    """
    `status` shows the number of pending requests.
    """
    before = await shell("status")
    SampleApp.requesting(running, origin=PAGE)
    after = await shell("status")

    assert "approvals" not in before.err
    assert "1 app requests access. See: upstash-helper approvals list" in after.err


@pytest.mark.skipif(sys.platform == "win32", reason="platform: symbolic links take rights on Windows")
async def test_status_works_without_the_ledger(shell: Shell, running: DaemonProcess) -> None:
    """
    An unreadable ledger is an error of the commands that need it; `status` still shows the rest.
    """
    running.folders.state.mkdir(parents=True, exist_ok=True)
    running.folders.ledger_file.symlink_to(running.home / "elsewhere.db")

    status, listed = await shell("status"), await shell("approvals", "list", "--json")

    assert (0, True) == (status.code, "127.0.0.1" in status.out)
    assert (exit_codes.FAILURE, "ledger_unavailable") == (listed.code, msgspec.json.decode(listed.err)["code"])
