"""``connect`` and ``disconnect``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, cast

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import command
from upstash_helper.cli.commands.status import connection_summary
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import interactive, note, note_if_not_recorded, print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.messages import ATTEMPTS, FAILURES
from upstash_helper.protocol.wire import Connection
from upstash_helper.system import text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.protocol.messages import Message
    from upstash_helper.protocol.wire import Attempt, StartedAttempt

_MAX_LINE: Final = 65_536
"""Bytes. An address or a key is much shorter."""

_EXAMPLES: Final = """
# Sign in with the browser
upstash-helper connect

# Use an API key from the Upstash console (Account > Management API)
upstash-helper connect --api-key --email you@example.com
upstash-helper connect --api-key --email you@example.com < key.txt

# Finish a sign-in whose browser could not return to the helper
upstash-helper connect --paste
"""


@command("connect", examples=_EXAMPLES)
@click.option("--api-key", is_flag=True, help="Use an API key instead of signing in. Read from a prompt or stdin.")
@click.option(
    "--email", metavar="EMAIL", help="The account's email, for --api-key or if the sign-in does not provide it."
)
@click.option("--paste", is_flag=True, help="Finish the pending sign-in with the address from the address bar.")
@click.option("--no-browser", is_flag=True, help="Print the sign-in address instead of opening the browser.")
@click.option("--force", is_flag=True, help="Sign in again even if an account is connected.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the sign-in to finish.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Maximum time to wait.")
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

    Opens the browser to sign in. Signing in requires an OAuth client ID (the setting client_id); without one, use
    --api-key.

    If the browser cannot return to the helper after you have signed in, use --paste. It reads the address in the
    browser's address bar from a prompt or from stdin.
    """
    if api_key:
        _show(session, _use_api_key(session, email))
        return
    if paste:
        _show(session, _finish(session, _paste(session, timeout), email))
        return
    if email and session.client.connection().state == "needs_email":
        _show(session, session.client.give_email(email))
        return

    started = session.client.connect(open_browser=False if no_browser else None, force=force)
    if isinstance(started, Connection):
        _show(session, started)
        return
    if no_wait:
        _show_address(started)
        if session.json:
            print_json(started)
        return
    _show(session, _finish(session, _wait(session, started, timeout), email))


@command("disconnect")
@yes_option
@pass_session
def disconnect(session: Session, *, yes: bool) -> None:
    """Disconnect the Upstash account. Its databases are not affected."""
    connection = session.client.connection()
    account = f" {connection.account.email}" if connection.account else " the account"
    confirm(f"Disconnect{account}? Apps on this machine lose access to it.", yes=yes)

    result = session.client.disconnect()
    if session.json:
        print_json(result)
    else:
        click.echo(result.detail)
    note_if_not_recorded(result)


def _use_api_key(session: Session, email: str | None) -> Connection:
    client = session.client  # first, so that nobody types a key for a daemon that is not running
    if email is None:
        if not interactive():
            message = "--api-key needs --email EMAIL if standard input is not a terminal."
            raise Failure(message, code="usage", exit_code=exit_codes.USAGE)
        email = click.prompt("Email of the account", err=True)
    if interactive():
        api_key = click.prompt("API key (not shown)", hide_input=True, err=True).strip()
    else:
        api_key = _read_line("The API key")
    if not api_key:
        raise Failure("No API key on standard input.", code="usage", exit_code=exit_codes.USAGE)
    with session.progress("Checking the key with Upstash"):
        return client.use_api_key(email=email, api_key=api_key)


def _read_line(what: str) -> str:
    """
    Return the first line of standard input without surrounding white space; empty if there is none.

    Args:
        what: The subject of an error, such as "The API key".

    Raises:
        Failure: If it is not in UTF-8. A byte order mark is skipped.
    """
    try:
        return text.decode_utf8(sys.stdin.buffer.readline(_MAX_LINE)).strip()
    except text.NotUtf8 as error:
        message = f"{what} on standard input {error}"
        raise Failure(message, code="usage", exit_code=exit_codes.USAGE) from None


def _paste(session: Session, timeout: float | None) -> Attempt:
    """Pass the address that the browser ended at to the pending sign-in attempt, and return its outcome."""
    from upstash_helper.client.errors import WaitTimedOut

    client = session.client
    attempt = client.connection().attempt
    if attempt is None or attempt.state not in {"pending", "exchanging"}:
        message = f"No sign-in is pending. Start one with: {session.command('connect')}"
        raise Failure(message, code="attempt_not_found", exit_code=exit_codes.NOT_FOUND)
    if attempt.state == "pending":
        # The address contains the authorization code. It is neither echoed nor an argument, to keep it out of the
        # scrollback and the shell's history.
        if interactive():
            address = click.prompt("Address from the browser (not shown)", hide_input=True, err=True).strip()
        else:
            address = _read_line("The address")
        if not address:
            raise Failure("No address on standard input.", code="usage", exit_code=exit_codes.USAGE)
        client.redirect_attempt(attempt.attempt_id, address)
    try:
        with session.progress("Storing an API key"):
            return client.wait_for_attempt(attempt.attempt_id, timeout=timeout)
    except WaitTimedOut:
        raise _timed_out(attempt, timeout) from None


def _show_address(started: StartedAttempt) -> None:
    if started.joined:
        note("A sign-in is already pending.")
    if started.browser_opened:
        note("Opening your browser. If it does not show Upstash's sign-in page, open this address in it:\n")
    else:
        note("Open this address in a browser on this machine and sign in:\n")
    note(f"  {started.authorization_url}\n")


def _wait(session: Session, started: StartedAttempt, timeout: float | None) -> Attempt:
    from upstash_helper.client.errors import WaitTimedOut

    try:
        # In the try block, because Ctrl-C can come as soon as the address is printed.
        _show_address(started)
        note("Waiting for the sign-in. Press Ctrl-C to cancel.")
        return session.client.wait_for_attempt(started.attempt_id, timeout=timeout, on_progress=_DetailOnce())
    except KeyboardInterrupt:
        # An attempt that another program started is not ours to cancel.
        if not started.joined:
            session.client.cancel_attempt(started.attempt_id)
        raise
    except WaitTimedOut:
        raise _timed_out(started, timeout) from None


def _timed_out(attempt: Attempt, timeout: float | None) -> Failure:
    message = f"The sign-in did not finish within {timeout or 0:g} s. It remains pending until {attempt.expires_at}."
    return Failure(message, code="timed_out")


class _DetailOnce:
    """Prints once what may be holding up a sign-in."""

    def __init__(self) -> None:
        self._printed = False

    def __call__(self, attempt: Attempt) -> None:
        if attempt.waiting and attempt.detail and not self._printed:
            self._printed = True
            note(f"\n{attempt.detail}")


def _finish(session: Session, attempt: Attempt, email: str | None) -> Connection:
    """
    Return the connection after an attempt has ended, once its account's email is known.

    Raises:
        Failure: If the attempt did not succeed.
    """
    if attempt.state != "succeeded":
        reason = attempt.reason or attempt.state
        detail = attempt.detail or _failure_text(attempt)
        exit_code = exit_codes.OF_ATTEMPT.get(reason, exit_codes.FAILURE)
        raise Failure(detail, code=reason, exit_code=exit_code)

    connection = session.client.connection()
    if connection.state != "needs_email":
        return connection
    if email is None and interactive():
        email = click.prompt("Email of the account (the sign-in did not provide it)", err=True)
    return session.client.give_email(email) if email else connection


def _failure_text(attempt: Attempt) -> str:
    # A newer daemon may send a reason that this version does not know.
    failures = cast("Mapping[str, Message]", FAILURES)
    message = failures.get(attempt.reason) if attempt.reason else ATTEMPTS.get(attempt.state)
    return message.text if message else f"The sign-in failed ({attempt.reason or attempt.state})."


def _show(session: Session, connection: Connection) -> None:
    if session.json:
        print_json(connection)
    elif connection.already_connected:
        force = session.command("connect", "--force")
        summary = connection_summary(connection)
        click.echo(f"Already {summary[:1].lower()}{summary[1:]}. To sign in again: {force}")
    else:
        click.echo(f"{connection_summary(connection)}.")
    if connection.state == "needs_email":
        message = f"The account's email is missing. Provide it with: {session.command('connect', '--email', 'EMAIL')}"
        raise Failure(message, code="needs_email", exit_code=exit_codes.NOT_CONNECTED)
