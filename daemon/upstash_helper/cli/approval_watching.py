"""``approvals watch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.approval_deciding import told_approved, told_blocked, told_denied
from upstash_helper.cli.approval_prompt import described, present
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command
from upstash_helper.cli.output import interactive, note, print_json
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Pairing

_QUESTION = "Let it in? y: yes, n: no, b: never ask again, l: later"


@command("watch")
@pass_session
def watch(session: Session) -> None:
    """
    Wait for apps, and decide about each as it comes, until Ctrl-C or the daemon stops.

    A yes grants all that the app wishes for; to grant less, say l and use `approvals approve --scope`. With --json each
    decision is a line.
    """
    if not interactive():
        message = (
            "This asks for decisions, and there is no terminal to ask on. See `approvals list` and `approve --yes`."
        )
        raise Failure(message, code="confirmation_required", exit_code=exit_codes.USAGE)
    note("Waiting for apps. Ctrl-C ends it.")
    asked: set[str] = set()
    for event in session.client.events(hello=True):
        if event.event in {"hello", "reset", "pairing"}:
            _ask_for_each(session, asked)
    note("The daemon has stopped.")


def _ask_for_each(session: Session, asked: set[str]) -> None:
    # What waits now, and not what the event said: while one question was open, others were decided elsewhere.
    while fresh := [one for one in session.client.pairings() if one.id not in asked]:
        asked.add(fresh[0].id)
        _ask(session, fresh[0])


def _ask(session: Session, pairing: Pairing) -> None:
    from upstash_helper.client.errors import ApiProblem

    present("", described(pairing))
    answer = click.prompt(
        _QUESTION,
        type=click.Choice(["y", "n", "b", "l"], case_sensitive=False),
        default="n",
        show_choices=False,
        err=True,
    )
    try:
        _decide(session, pairing, answer)
    except ApiProblem as error:
        # Such as: its time is over, or it was decided in another terminal. The next one may still be decided.
        note(f"Error: {error.detail}")


def _decide(session: Session, pairing: Pairing, answer: str) -> None:
    client = session.client
    if answer == "l":
        return
    if answer == "b":
        blocked = client.block(pairing.id)
        _show(session, blocked, told_blocked(session, blocked))
        return
    decided = client.approve(pairing.id) if answer == "y" else client.deny(pairing.id)
    _show(session, decided, told_approved(session, decided) if answer == "y" else told_denied(decided))


def _show(session: Session, answer: object, text: str) -> None:
    if session.json:
        print_json(answer)
    else:
        click.echo(text)
