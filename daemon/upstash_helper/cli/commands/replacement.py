"""The question whether the account of an app's sign-in replaces the connected one, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from msgspec import UNSET

from upstash_helper.cli import exit_codes
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm
from upstash_helper.cli.output import discard_typed, interactive, key_values, note, printable, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.cli.session import Session
    from upstash_helper.protocol.wire import Attempt, Connection, Replacement

T = TypeVar("T")


def _ask(question: Callable[[], T]) -> T:
    # Imported late: a command that only shows that there is a question does not ask it.
    from upstash_helper.cli.decision_prompt import ask

    return ask(question)


def question_of(attempt: Attempt | None) -> Replacement | None:
    """Return what ``attempt`` waits for the user to decide; None if it does not."""
    if attempt is None or attempt.state != "confirmation_required" or attempt.replacement is UNSET:
        return None
    return attempt.replacement


def show_question(session: Session, connection: Connection) -> None:
    """Print the question that is pending, and the commands that answer it."""
    question = question_of(connection.attempt)
    if question is not None:
        replace, keep = session.command("connect", "--replace"), session.command("connect", "--keep")
        note(f"{printable(question.title)} Requested by {printable(question.requested_by)}.")
        note(f"  To replace the account: {replace}\n  To keep it: {keep}")


def ask(session: Session, attempt: Attempt) -> Attempt:
    """Ask the user, who is at a terminal, and return the attempt after the answer. The default is to keep."""
    import click

    question = _required(attempt)
    _present(question)
    replace = _ask(lambda: click.confirm(printable(question.title), default=False, err=True))
    return _answer(session, attempt, replace=replace)


def ask_now_or_later(session: Session, attempt: Attempt) -> Attempt | None:
    """Like ``ask``, but the user can also leave it undecided. Return None then."""
    import click

    question = _required(attempt)
    note("")
    _present(question)
    answer = _ask(
        lambda: click.prompt(
            f"{printable(question.title)} y: yes, n: no, keep the account, l: later",
            type=click.Choice(["y", "n", "l"], case_sensitive=False),
            default="n",
            show_choices=False,
            err=True,
        )
    )
    return None if answer == "l" else _answer(session, attempt, replace=answer == "y")


def answer(session: Session, *, replace: bool, attempt_id: str | None, yes: bool) -> Attempt:
    """
    Answer the question that is pending, and return the attempt after it.

    Args:
        session: The session.
        replace: Whether the account of the sign-in replaces the connected one.
        attempt_id: The sign-in that the answer is for; None: the one that is waiting.
        yes: Replace without asking the user again.

    Raises:
        Failure: If nothing is waiting, or the user does not confirm.
    """
    attempt = session.client.connection().attempt
    question = question_of(attempt)
    if attempt is None or question is None or attempt_id not in (None, attempt.attempt_id):
        message = "No sign-in is waiting for your decision. It may have been decided elsewhere or have ended."
        raise Failure(message, code="nothing_to_confirm", exit_code=exit_codes.NOT_FOUND)
    if replace and not yes:
        if interactive():
            _present(question)
        _ask(lambda: confirm(printable(question.title), yes=False))
    return _answer(session, attempt, replace=replace)


def _answer(session: Session, attempt: Attempt, *, replace: bool) -> Attempt:
    if not replace:
        return session.client.cancel_attempt(attempt.attempt_id)
    session.client.confirm_attempt(attempt.attempt_id)
    with session.progress("Finishing the connection"):
        return session.client.wait_for_attempt(attempt.attempt_id)


def _required(attempt: Attempt) -> Replacement:
    question = question_of(attempt)
    if question is None:
        message = "No sign-in is waiting for your decision. It may have been decided elsewhere or have ended."
        raise Failure(message, code="nothing_to_confirm", exit_code=exit_codes.NOT_FOUND)
    return question


def _present(question: Replacement) -> None:
    """Print what the user decides about. What was typed before cannot be an answer to it."""
    rows = [
        ("Connected", question.replaces or "an account with an unknown email address"),
        ("New", question.email or "an account with an unknown email address"),
        ("Requested by", question.requested_by),
        ("Calls itself", f"{quoted(question.claimed_name)} (not verified)"),
    ]
    note(f"{key_values(rows)}\n\n{printable(question.detail)}\n")
    discard_typed()
