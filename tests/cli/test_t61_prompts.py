"""T61 at the terminal: a question appears, changes, or is answered by a paste while the user types something else."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import pytest

from tests.support.sample_app import SampleApp
from tests.support.terminal import at_terminal, terminal
from upstash_helper.cli import exit_codes
from upstash_helper.cli.decision_prompt import typed_at_console

if TYPE_CHECKING:
    from tests.support.daemon import DaemonProcess

PAGE, OTHER = "https://app.example.com", "https://other.example"
EXTENSION = f"chrome-extension://{'a' * 32}"
ASKED = b"[y/N]: "
WATCHED = b"[n]: "
CODE = b"Type the code that the app shows: "


@pytest.mark.parametrize("command", ["approve", "block"])
async def test_t61_input_typed_while_the_request_is_shown_is_discarded(running: DaemonProcess, command: str) -> None:
    """What is typed between the request and the question, which comes a moment later, is no answer, even in part."""
    app = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", command, environment=running.environment) as screen:
        if command == "approve":
            await screen.shows(b"ID:")
        screen.type("y\ny")
        await screen.shows(ASKED)
        screen.type("\n")
        ran = await screen.ended()

    assert exit_codes.FAILURE == ran.code
    assert ("pending", ()) == (app.state, running.client.blocks())


async def test_t61_pasted_text_is_no_answer(running: DaemonProcess) -> None:
    """The first line of a pasted text does not answer the question, which is asked again."""
    app = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "approve", environment=running.environment) as screen:
        await screen.shows(ASKED)
        screen.type("y\nrm -r build\nmake")
        said = await screen.shows(ASKED)
        state = app.state
        screen.type("y\n")
        ran = await screen.ended()

    assert "is ignored" in said
    assert (0, "pending", "approved") == (ran.code, state, app.state)


async def test_t61_answer_about_a_replaced_request_decides_nothing(running: DaemonProcess) -> None:
    """The new request is shown, with the code and the scopes that it has, and the command that approves it."""
    SampleApp.requesting(running, "databases:read", origin=PAGE)

    async with terminal("approvals", "approve", environment=running.environment) as screen:
        await screen.shows(ASKED)
        new = SampleApp.requesting(running, "upstash:write", origin=PAGE)
        screen.type("y\n")
        ran = await screen.ended()

    assert (exit_codes.FAILURE, "pending") == (ran.code, new.state)
    assert "(upstash:write)" in ran.err
    assert "No decision was made" in " ".join(ran.err.split())
    assert f"approvals approve {new.code}" in " ".join(ran.err.split())


async def test_t61_strong_scope_takes_the_code(running: DaemonProcess) -> None:
    """After yes, the code of the request must be typed. Anything else, such as another yes, decides nothing."""
    app = SampleApp.requesting(running, "databases:read", "upstash:write", origin=PAGE)

    refused, approved = [
        await at_terminal(
            "approvals", "approve", environment=running.environment, typed=("y\n", code), asked=(ASKED, CODE)
        )
        for code in ("y\n", f"{app.code.lower()}\n")
    ]

    lets = refused.err.partition("This lets the app:")[2]
    assert exit_codes.FAILURE == refused.code
    assert "That is not the code of this request. Nothing was changed." in refused.err
    assert "List your databases" not in lets
    assert (0, "approved") == (approved.code, app.state)


async def test_t61_scopes_that_are_not_granted_need_no_code(running: DaemonProcess) -> None:
    """Only what is granted counts, not what was requested."""
    app = SampleApp.requesting(running, "databases:read", "databases:delete", origin=PAGE)

    ran = await at_terminal(
        "approvals", "approve", "--scope", "databases:read",
        environment=running.environment, typed=("y\n",), asked=ASKED,
    )  # fmt: skip

    assert (0, "approved") == (ran.code, app.state)


async def test_t61_watch_takes_the_code(running: DaemonProcess) -> None:
    """A wrong code leaves the request pending, and the next request is asked about."""
    app = SampleApp.requesting(running, "upstash:write", origin=PAGE)

    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(WATCHED)
        screen.type("y\n")
        await screen.shows(CODE)
        screen.type("y\n")
        said = await screen.shows(b"still pending.\n")
        other = SampleApp.requesting(running, "upstash:read", origin=OTHER)
        await screen.shows(WATCHED)
        screen.type("y\n")
        await screen.shows(CODE)
        screen.type(f"{other.code}\n")
        assert screen.process.stdout is not None
        await screen.process.stdout.readline()

    assert "That is not the code of this request." in said
    assert ("pending", "approved") == (app.state, other.state)


async def test_t61_withdrawn_request_passes_its_answer_to_no_other(running: DaemonProcess) -> None:
    """An answer that comes after the request was withdrawn does not apply to the next one, nor does a second one."""
    first = SampleApp.requesting(running, origin=PAGE)

    async with terminal("approvals", "watch", environment=running.environment) as screen:
        await screen.shows(WATCHED)
        first.send("DELETE", f"/v1/pairings/{first.id}", token=first.pairing["poll_secret"])
        second = SampleApp.requesting(running, origin=OTHER)
        screen.type("y\n")
        said = await screen.shows(b"Time left")
        screen.type("y\n")
        await screen.shows(WATCHED)
        state = second.state
        screen.type("n\n")
        assert screen.process.stdout is not None
        await screen.process.stdout.readline()

    assert "Error: " in said
    assert ("pending", "denied") == (state, second.state)


async def test_t61_watch_blocks_the_site(running: DaemonProcess) -> None:
    """
    The answer s blocks what the question names: the whole site, or every program. An extension has no s: it is asked
    again.
    """
    questions, refused = [], []

    async with terminal("approvals", "watch", environment=running.environment) as screen:
        assert screen.process.stdout is not None
        extension = SampleApp.requesting(running, origin=EXTENSION)
        questions.append((await screen.shows(WATCHED)).splitlines()[-1])
        screen.type("s\n")
        said = await screen.shows(WATCHED)
        screen.type("l\n")
        state = extension.state
        # The programs last: their block includes the pages that this program makes up.
        for asked_by, neighbor in (("https://a.example.com", "https://b.example.com:8443"), (None, None)):
            SampleApp.requesting(running, origin=asked_by)
            questions.append((await screen.shows(WATCHED)).splitlines()[-1])
            screen.type("s\n")
            await screen.process.stdout.readline()
            request = {"name": "Orders", "scopes": ["connection:read"]}
            refused.append(SampleApp(running, origin=neighbor).send("POST", "/v1/pairings", request).status)

    shown = [one.site.shown for one in running.client.blocks() if one.site]
    assert [403, 403] == refused
    assert 2 == len(shown)
    assert all(f"s: block {it}" in question for it, question in zip(shown, questions[1:], strict=True))
    assert "s: block" not in questions[0]
    assert "is not one of" in said
    assert "pending" == state


# --- Windows ----------------------------------------------------------------------------------------------------------


def test_t61_windows_keys_are_discarded() -> None:
    """What was typed ahead in a Windows console is discarded; nothing typed is reported as such."""
    keys = deque("y\ry")

    typed = typed_at_console(lambda: bool(keys), keys.popleft, seconds=0)
    typed_again = typed_at_console(lambda: bool(keys), keys.popleft, seconds=0)

    assert (True, False, deque()) == (typed, typed_again, keys)


def test_t61_windows_interrupt_is_not_discarded() -> None:
    """Ctrl-C, which a Windows console passes on as a character, still interrupts."""
    keys = deque("y\x03")

    with pytest.raises(KeyboardInterrupt):
        typed_at_console(lambda: bool(keys), keys.popleft, seconds=0)
