"""Questions from apps that have access, as the command ``approvals`` shows and answers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli.arguments import stored_name
from upstash_helper.cli.decision_prompt import ask
from upstash_helper.cli.options import confirm, require_terminal
from upstash_helper.cli.output import (
    discard_typed,
    key_values,
    note,
    note_if_not_recorded,
    print_json,
    printable,
    quoted,
    say,
)
from upstash_helper.protocol.messages import IDENTITY_KINDS

if TYPE_CHECKING:
    from upstash_helper.cli.session import Session
    from upstash_helper.protocol.wire_apps import Confirmation


def waiting(session: Session) -> tuple[Confirmation, ...]:
    """Return the questions that wait for the user. With a daemon of an earlier version, there are none."""
    from upstash_helper.client.errors import ApiProblem

    try:
        return session.client.confirmations()
    except ApiProblem as error:
        if error.code == "not_found":
            return ()
        raise


def summary(it: Confirmation) -> str:
    """Return a question in one line."""
    return f"{printable(stored_name(it.identity))}: {printable(it.title)}"


def described(it: Confirmation) -> str:
    """Return a question in several lines: first the app's verified identity, then what it asks."""
    rows = [(IDENTITY_KINDS[it.identity.kind], stored_name(it.identity))]
    rows += [("" if number else "Warning", warning.text) for number, warning in enumerate(it.identity.warnings)]
    rows += [("Calls itself", f"{quoted(it.claimed_name)} (not verified)"), ("Asks", it.title)]
    if it.detail:
        rows.append(("", it.detail))
    rows += [("Time left", f"{_seconds_left(it)} s"), ("ID", it.id)]
    return key_values(rows)


def allow(session: Session, it: Confirmation, *, yes: bool) -> None:
    """
    Answer a question with yes, after the user has confirmed it unless ``yes``.

    Raises:
        Failure: If the user does not confirm it.
    """
    from upstash_helper.cli.session import note_if_sandbox

    if not yes:
        note_if_sandbox(session)
        require_terminal(command=session.command("approvals", "approve", it.id, "--yes"))
        _present(it)
        ask(lambda: confirm(f"{printable(it.title)}{' Allow this from now on?' if it.lasting else ''}", yes=False))
    with session.progress("Saving"):
        allowed = session.client.allow_confirmation(it.id)
    _show(session, allowed)


def deny(session: Session, it: Confirmation) -> None:
    """Answer a question with no."""
    with session.progress("Saving"):
        denied = session.client.deny_confirmation(it.id)
    _show(session, denied)
    note_if_not_recorded(denied)


def ask_about_new(session: Session, asked: set[str]) -> None:
    """Ask the user about each question that waits and is not in ``asked``, and add it to ``asked``."""
    from upstash_helper.client.errors import ApiProblem

    # The list is read again before each question, since others may have been decided elsewhere.
    while new := [one for one in waiting(session) if one.id not in asked]:
        it = new[0]
        asked.add(it.id)
        note("")
        _present(it)
        answer = _answer(it)
        try:
            if answer == "y":
                _show(session, session.client.allow_confirmation(it.id))
            elif answer == "n":
                deny(session, it)
        except ApiProblem as error:
            # It may have expired, or been decided in another terminal. That is no reason to stop watching.
            note(f"Error: {error.detail}")


def _answer(it: Confirmation) -> str:
    answer: str = ask(
        lambda: click.prompt(
            f"{printable(it.title)} y: allow{' from now on' if it.lasting else ''}, n: deny, l: later",
            type=click.Choice(["y", "n", "l"], case_sensitive=False),
            default="n",
            show_choices=False,
            err=True,
        )
    )
    return answer


def _present(it: Confirmation) -> None:
    """Print the question. Anything typed before it is discarded, since it cannot be an answer."""
    note(described(it))
    note("")
    discard_typed()


def _show(session: Session, it: Confirmation) -> None:
    if session.json:
        print_json(it)
    else:
        say(f"{'Allowed' if it.state == 'allowed' else 'Denied'}: {summary(it)}")


def _seconds_left(it: Confirmation) -> int:
    from datetime import UTC, datetime

    return max(0, round((datetime.fromisoformat(it.expires_at) - datetime.now(UTC)).total_seconds()))
