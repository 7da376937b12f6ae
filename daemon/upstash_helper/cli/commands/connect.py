"""``connect`` and ``disconnect``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.commands.status import described
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import interactive, note, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.wire import Connection

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Attempt, StartedAttempt


@command("connect")
@click.option("--api-key", is_flag=True, help="Give an API key made in the console: asked for, or read from stdin.")
@click.option("--email", metavar="EMAIL", help="The e-mail of the account, for --api-key or when the sign-in hides it.")
@click.option(
    "--paste", is_flag=True, help="Finish the sign-in that runs with the address in the browser's address bar."
)
@click.option("--no-browser", is_flag=True, help="Do not open the browser; only show the address.")
@click.option("--force", is_flag=True, help="Sign in anew although an account is connected.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the sign-in is done.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Wait at most this long."
)
@pass_session
def connect(
    session: Session,
    *,
    api_key: bool,
    email: str | None,
    paste: bool,
    no_browser: bool,
    force: bool,
    no_wait: bool,
    timeout: float | None,
) -> None:
    """
    Connect an Upstash account.

    Signs you in with the browser. Without an OAuth client id use --api-key, with a key made in the Upstash console
    (Account > Management API).

    If the browser does not get back to the helper after the sign-in, use --paste: it asks for the address that the
    browser ended at, or reads it from stdin.
    """
    if api_key:
        _show(session, _with_api_key(session, email))
        return
    if paste:
        _show(session, _finish(session, _pasted(session, timeout), email))
        return
    if email and session.client.connection().state == "needs_email":
        _show(session, session.client.give_email(email))
        return

    started = session.client.connect(open_browser=False if no_browser else None, force=force)
    if isinstance(started, Connection):
        _show(session, started)
        return
    if no_wait:
        _invite(started)
        if session.json:
            print_json(started)
        return
    _show(session, _finish(session, _wait(session, started, timeout), email))


@command("disconnect")
@yes_option
@pass_session
def disconnect(session: Session, *, yes: bool) -> None:
    """Forget the Upstash account; its databases stay as they are."""
    connection = session.client.connection()
    whom = f" of {connection.account.email}" if connection.account else ""
    confirm(f"Forget the connection{whom}? Apps on this machine can then no longer use it.", yes=yes)

    result = session.client.disconnect()
    if session.json:
        print_json(result)
    else:
        click.echo(result.detail)


def _with_api_key(session: Session, email: str | None) -> Connection:
    client = session.client  # an absent daemon is told before a key is asked for
    if email is None:
        if not interactive():
            message = "Pass --email EMAIL: there is no terminal to ask on."
            raise Failure(message, code="usage", exit_code=exit_codes.USAGE)
        email = click.prompt("E-mail of the account", err=True)
    if interactive():
        api_key = click.prompt("API key (not shown)", hide_input=True, err=True).strip()
    else:
        api_key = sys.stdin.readline().strip()
    if not api_key:
        raise Failure("No API key came on stdin.", code="usage", exit_code=exit_codes.USAGE)
    with session.progress("Asking Upstash whether it takes the key"):
        return client.use_api_key(email=email, api_key=api_key)


def _pasted(session: Session, timeout: float | None) -> Attempt:
    """Return what became of the sign-in that runs, once the user has given the address that the browser ended at."""
    from upstash_helper.client.errors import WaitTimedOut

    client = session.client
    attempt = client.connection().attempt
    if attempt is None or attempt.state not in {"pending", "exchanging"}:
        message = f"No sign-in is running that an address could belong to. Start one: {session.command('connect')}"
        raise Failure(message, code="attempt_not_found", exit_code=exit_codes.NOT_FOUND)
    if attempt.state == "pending":
        # It holds a code: it is neither echoed nor an argument, so that it stands in no scrollback and no history.
        if interactive():
            address = click.prompt("Address from the browser (not shown)", hide_input=True, err=True).strip()
        else:
            address = sys.stdin.readline().strip()
        if not address:
            raise Failure("No address came on stdin.", code="usage", exit_code=exit_codes.USAGE)
        client.redirect_attempt(attempt.attempt_id, address)
    try:
        with session.progress("Storing an API key"):
            return client.wait_for_attempt(attempt.attempt_id, timeout=timeout)
    except WaitTimedOut:
        raise _late(attempt, timeout) from None


def _invite(started: StartedAttempt) -> None:
    if started.joined:
        note("A sign-in is running already.")
    if started.browser_opened:
        note("Your browser was opened. If it does not show the Upstash login, open this address in it:\n")
    else:
        note("Open this address in a browser on this machine and sign in:\n")
    note(f"  {started.authorization_url}\n")


def _wait(session: Session, started: StartedAttempt, timeout: float | None) -> Attempt:
    from upstash_helper.client.errors import WaitTimedOut

    try:
        # Within the try: a user who reads the address may press Ctrl-C before the next line is written.
        _invite(started)
        note("Waiting for the sign-in (Ctrl-C gives up) …")
        return session.client.wait_for_attempt(started.attempt_id, timeout=timeout, on_progress=_Teller())
    except KeyboardInterrupt:
        # One that another program started goes on without us.
        if not started.joined:
            session.client.cancel_attempt(started.attempt_id)
        raise
    except WaitTimedOut:
        raise _late(started, timeout) from None


def _late(attempt: Attempt, timeout: float | None) -> Failure:
    message = f"The sign-in was not done within {timeout or 0:g} s. It goes on until {attempt.expires_at}."
    return Failure(message, code="timed_out")


class _Teller:
    """Tells once what may be in the way of a sign-in."""

    def __init__(self) -> None:
        self._told = False

    def __call__(self, attempt: Attempt) -> None:
        if attempt.waiting and attempt.detail and not self._told:
            self._told = True
            note(f"\n{attempt.detail}")


def _finish(session: Session, attempt: Attempt, email: str | None) -> Connection:
    """Return the connection that came of an attempt; ask for the e-mail where the sign-in did not tell it."""
    if attempt.state != "succeeded":
        reason = attempt.reason or attempt.state
        detail = attempt.detail or f"The sign-in did not succeed ({reason}). Try again."
        exit_code = exit_codes.OF_ATTEMPT.get(reason, exit_codes.FAILURE)
        raise Failure(detail, code=reason, exit_code=exit_code)

    connection = session.client.connection()
    if connection.state != "needs_email":
        return connection
    if email is None and interactive():
        email = click.prompt("E-mail of the account (the sign-in did not tell it)", err=True)
    return session.client.give_email(email) if email else connection


def _show(session: Session, connection: Connection) -> None:
    if session.json:
        print_json(connection)
    elif connection.already_connected:
        click.echo(f"Already {described(connection)}. To sign in anew: {session.command('connect', '--force')}")
    else:
        text = described(connection)
        click.echo(f"{text[:1].upper()}{text[1:]}.")
    if connection.state == "needs_email":
        message = f"Name the account with: {session.command('connect', '--email', 'EMAIL')}"
        raise Failure(message, code="needs_email", exit_code=exit_codes.NOT_CONNECTED)
