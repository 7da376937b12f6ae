"""``connect`` and ``disconnect``."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Final, cast

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.command import command
from upstash_helper.cli.commands.replacement import answer, ask, question_of, show_question
from upstash_helper.cli.commands.status import account_name, connection_summary
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import interactive, note, note_if_not_recorded, print_json, printable, say
from upstash_helper.cli.session import Session, note_if_sandbox, pass_session
from upstash_helper.cli.typed_lines import TypedLines, read_line
from upstash_helper.protocol.messages import API_KEYS_URL, ATTEMPTS, FAILURES, PROBLEMS
from upstash_helper.protocol.wire import Connection
from upstash_helper.system import browser, pasted, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.client.errors import ApiProblem
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

# On a server or in a container: sign in with any browser, and paste the address that it ends up at
upstash-helper connect --no-browser

# Finish a pending sign-in from another terminal or a script
upstash-helper connect --paste < address.txt

# Decide whether an app's sign-in replaces the connected account
upstash-helper connect --replace
upstash-helper connect --keep
"""


@command("connect", examples=_EXAMPLES)
@click.option("--api-key", is_flag=True, help="Use an API key instead of signing in. Read from a prompt or stdin.")
@click.option(
    "--email", metavar="EMAIL", help="The account's email, for --api-key or if the sign-in does not provide it."
)
@click.option("--paste", is_flag=True, help="Finish the pending sign-in with the address from the address bar.")
@click.option("--no-browser", is_flag=True, help="Print the sign-in address, but do not open a browser.")
@click.option("--force", is_flag=True, help="Sign in again even if an account is connected.")
@click.option("--no-wait", is_flag=True, help="Do not wait for the sign-in to finish.")
@click.option(
    "--replace", is_flag=True, help="Replace the connected account with the one of an app's sign-in, after asking you."
)
@click.option("--keep", is_flag=True, help="Keep the connected account, and cancel the app's sign-in.")
@click.option(
    "--attempt",
    metavar="ID",
    help="ID of the sign-in to --replace or --keep (see `status --json`). Required with --yes.",
)
@yes_option
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
    replace: bool,
    keep: bool,
    attempt: str | None,
    yes: bool,
    timeout: float | None,
) -> None:
    """
    Connect an Upstash account.

    Prints the address of Upstash's sign-in, and opens it in the browser if there is one. There, you choose your
    personal account or a team, and read-only or full access. To use an API key instead, see --api-key.

    If the browser cannot return to the helper after you have signed in, for example because it is on another computer,
    copy the address from its address bar and paste it while the command waits, or use --paste later.

    If an app signs in to another account than the connected one, you decide with --replace or --keep. Without an
    answer, the connected account is kept.
    """
    _check_answer(replace=replace, keep=keep, attempt=attempt, yes=yes)
    note_if_sandbox(session)
    if replace or keep:
        _answer(session, replace=replace, attempt_id=attempt, yes=yes)
        return
    if api_key:
        _show(session, _use_api_key(session, email))
        return
    if paste:
        _show(session, _finish(session, _paste(session, timeout), email))
        return
    if email and session.client.connection().state == "needs_email":
        _show(session, session.client.give_email(email))
        return

    started = _start(session, email, force=force, no_browser=no_browser)
    if isinstance(started, Connection):
        _show(session, _decided(session, started))
        return
    if no_wait:
        opened = _show_address(session, started, open_browser=not no_browser)
        if started.authorization_url and (remote := browser.remote_session()):
            finish = session.command("connect", "--paste")
            note(f"{_REMOTE[remote]} If it shows an error, pass the address from its address bar to: {finish}")
        if session.json:
            print_json(msgspec.structs.replace(started, browser_opened=opened, link=""))
        return
    _show(session, _finish(session, _wait(session, started, timeout, open_browser=not no_browser), email))


def _start(session: Session, email: str | None, *, force: bool, no_browser: bool) -> StartedAttempt | Connection:
    """Start a sign-in, or connect with an API key if that is not possible and the user prefers it to an error."""
    from upstash_helper.client.errors import ApiProblem

    try:
        # The browser is opened here, where the user is, after the address has been printed.
        return session.client.connect(open_browser=False, force=force, link=not no_browser)
    except ApiProblem as problem:
        _note_network(session, problem.code)
        if not _is_key_wanted(session, problem):
            raise
        return _use_api_key(session, email)


def _is_key_wanted(session: Session, problem: ApiProblem) -> bool:
    """Offer the way that works, at a terminal, if no sign-in can be started."""
    if not interactive() or (problem.code != "port_conflict" and session.client.connection().can_sign_in):
        return False
    known = PROBLEMS.get(problem.code)
    note(f"You cannot sign in now. {known.detail if known else problem.detail}\n")
    note(f"You can connect with an API key. Create one at {API_KEYS_URL} (Account > Management API).\n")
    return click.confirm("Connect with an API key?", default=True, err=True)


def _check_answer(*, replace: bool, keep: bool, attempt: str | None, yes: bool) -> None:
    context = click.get_current_context()
    if replace and keep:
        message = "--replace and --keep cannot be combined."
        raise click.UsageError(message, context)
    if (attempt is not None and not (replace or keep)) or (yes and not replace):
        message = "--attempt and --yes are for --replace."
        raise click.UsageError(message, context)
    if yes and attempt is None:
        # It could be another question than the user has seen.
        message = "--yes requires --attempt ID."
        raise click.UsageError(message, context)


def _answer(session: Session, *, replace: bool, attempt_id: str | None, yes: bool) -> None:
    ended = answer(session, replace=replace, attempt_id=attempt_id, yes=yes)
    _show(session, _finish(session, ended, None) if replace else session.client.connection())


def _decided(session: Session, connection: Connection) -> Connection:
    """Return the connection, after the user has decided about an app's sign-in that is waiting for that."""
    if connection.attempt is None or question_of(connection.attempt) is None:
        return connection
    if not interactive():
        show_question(session, connection)
        return connection
    ask(session, connection.attempt)
    return session.client.connection()


@command("disconnect")
@yes_option
@pass_session
def disconnect(session: Session, *, yes: bool) -> None:
    """Disconnect the Upstash account. Its databases are not affected."""
    connection = session.client.connection()
    account = printable(account_name(connection.account)) if connection.account else "the account"
    confirm(f"Disconnect {account}? Apps on this machine lose access to it.", yes=yes)

    result = session.client.disconnect()
    if session.json:
        print_json(result)
    else:
        say(result.detail)
    note_if_not_recorded(result)


def _use_api_key(session: Session, email: str | None) -> Connection:
    client = session.client  # first, so that nobody types a key for a daemon that is not running
    if email is None:
        if not interactive():
            message = "--api-key needs --email EMAIL if standard input is not a terminal."
            raise Failure(message, code="usage", exit_code=exit_codes.USAGE)
        email = click.prompt("Email of the account", err=True)
    api_key = read_line("API key (not shown): ") if interactive() else _read_line("The API key")
    if not api_key:
        raise Failure("No API key on standard input.", code="usage", exit_code=exit_codes.USAGE)
    with session.progress("Checking the key with Upstash"):
        return client.use_api_key(email=email, api_key=api_key)


def _read_line(what: str) -> str:
    """
    Return the first line of standard input that is not blank, without surrounding white space; empty if there is none.

    Args:
        what: The subject of an error, such as "The API key".

    Raises:
        Failure: If it is not in UTF-8. A byte order mark is skipped.
    """
    try:
        for line in iter(lambda: sys.stdin.buffer.readline(_MAX_LINE), b""):
            if found := pasted.clean(text.decode_utf8(line)):
                return found
    except text.NotUtf8 as error:
        message = f"{what} on standard input {error}"
        raise Failure(message, code="usage", exit_code=exit_codes.USAGE) from None
    return ""


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
            address = pasted.clean(read_line("Address from the browser (not shown): "))
        else:
            address = _read_line("The address")
        if not address:
            raise Failure("No address on standard input.", code="usage", exit_code=exit_codes.USAGE)
        client.redirect_attempt(attempt.attempt_id, address)
    try:
        with session.progress("Finishing the connection"):
            return client.wait_for_attempt(attempt.attempt_id, timeout=timeout)
    except WaitTimedOut:
        raise _timed_out(attempt, timeout) from None


def _show_address(session: Session, started: StartedAttempt, *, open_browser: bool) -> bool:
    """Print where to sign in, then open the browser. Return whether it was started."""
    if started.joined:
        note("A sign-in is already pending.")
    if not started.authorization_url:
        return False
    remote = browser.remote_session()
    where = "in any browser" if remote else "in a browser on this computer"
    note(f"Open this address {where} and sign in:\n\n  {started.authorization_url}\n")
    if remote == "ssh" and (forward := _forwarding(started.authorization_url)):
        note(f"To let your browser return to the helper, first run this on your computer:\n\n  {forward}\n")
    if started.joined or not (open_browser and browser.is_available() and session.client.status().open_browser):
        return False
    opened = browser.browse_privately(
        started.authorization_url, link=started.link or None, folder=session.folders.runtime, name="sign-in"
    )
    note("Opening your browser." if opened else "No browser could be started.")
    return opened


def _forwarding(authorization_url: str) -> str | None:
    """Return the command that forwards the port to which the browser is redirected; None if that is unknown."""
    from urllib.parse import parse_qs, urlsplit

    from upstash_helper.system.ssh import forwarding_command

    try:
        (redirect,) = parse_qs(urlsplit(authorization_url).query)["redirect_uri"]
        port = urlsplit(redirect).port
    except (KeyError, ValueError):
        return None
    return None if port is None else forwarding_command(port, os.environ)


_REMOTE: Final = {
    "ssh": "This is an SSH session, so your browser may not be able to return to the helper after the sign-in.",
    "container": "This is a container, so your browser may not be able to return to the helper after the sign-in.",
    "no_screen": "There is no display here, so your browser may be on another computer and not able to return here.",
}


def _wait(session: Session, started: StartedAttempt, timeout: float | None, *, open_browser: bool) -> Attempt:
    from upstash_helper.client.errors import WaitTimedOut

    remote = browser.remote_session()
    typed = TypedLines(lambda line: _submit(session, started.attempt_id, line), piped=remote is not None)
    began = time.monotonic()
    try:
        # In the try block, because Ctrl-C can come as soon as the address is printed.
        with typed:
            _show_address(session, started, open_browser=open_browser)
            if typed.is_read:
                reason = f"{_REMOTE[remote]} If it" if remote else "If the browser"
                later = f" (In another terminal: {session.command('connect', '--paste')})" if remote else ""
                note(
                    f"{reason} shows an error, copy the whole address from its address bar and paste it here.{later}\n"
                )
            elif remote:
                paste = session.command("connect", "--paste")
                note(
                    f"{_REMOTE[remote]} If it shows an error, copy the whole address from its address bar, and run:"
                    f" {paste}\n"
                )
            note("Waiting for the sign-in. Press Ctrl-C to cancel.")
            return session.client.wait_for_attempt(
                started.attempt_id,
                timeout=None if timeout is None else max(0.0, timeout - (time.monotonic() - began)),
                on_progress=_Progress(session, typed),
            )
    except KeyboardInterrupt:
        # An attempt that another program started is not ours to cancel.
        if not started.joined:
            session.client.cancel_attempt(started.attempt_id)
        raise
    except WaitTimedOut:
        raise _timed_out(started, timeout) from None


def _submit(session: Session, attempt_id: str, address: str) -> None:
    """Pass an address that was pasted while ``connect`` waits, which then reports the outcome."""
    from upstash_helper.protocol.errors import ClientError

    try:
        session.client.redirect_attempt(attempt_id, address)
    except ClientError as error:
        note(f"{getattr(error, 'detail', error)}\nStill waiting for the sign-in.")
    else:
        note("The address was received.")


def _timed_out(attempt: Attempt, timeout: float | None) -> Failure:
    message = f"The sign-in did not finish within {timeout or 0:g} s. It remains pending until {attempt.expires_at}."
    return Failure(message, code="timed_out")


class _Progress:
    """Prints once what may be holding up a sign-in, and asks the user what only the user can decide."""

    def __init__(self, session: Session, typed: TypedLines) -> None:
        self._session = session
        self._typed = typed
        self._asked = False
        self._printed = False

    def __call__(self, attempt: Attempt) -> None:
        if question_of(attempt) is not None and not self._asked:
            self._asked = True
            if interactive():
                with self._typed.paused():
                    ask(self._session, attempt)
            else:
                show_question(self._session, self._session.client.connection())
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
        _note_network(session, reason)
        raise Failure(detail, code=reason, exit_code=exit_code)

    connection = session.client.connection()
    if connection.state != "needs_email":
        return connection
    if email is None and interactive():
        email = click.prompt("Email of the account (the sign-in did not provide it)", err=True)
    return session.client.give_email(email) if email else connection


def _note_network(session: Session, code: str) -> None:
    """Name what this terminal has for the way to Upstash and the daemon lacks, if that may be why it failed."""
    from upstash_helper.cli.daemon_network import hints_after

    for hint in hints_after(session, code):
        note(hint)


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
        summary = printable(connection_summary(connection))
        say(f"Already {summary[:1].lower()}{summary[1:]}. To sign in again: {force}")
    else:
        say(f"{printable(connection_summary(connection))}.")
    if connection.state == "needs_email":
        message = f"The account's email is missing. Provide it with: {session.command('connect', '--email', 'EMAIL')}"
        raise Failure(message, code="needs_email", exit_code=exit_codes.NOT_CONNECTED)
