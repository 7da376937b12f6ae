"""``approvals``: pending requests for access, questions from apps that have access, and blocks."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, get_args

import click
import msgspec

from upstash_helper.cli import confirmations, exit_codes
from upstash_helper.cli.arguments import fetch_for_completion, match_id, stored_name
from upstash_helper.cli.command import group
from upstash_helper.cli.commands.replacement import ask_now_or_later, question_of
from upstash_helper.cli.commands.status import connection_summary
from upstash_helper.cli.decision_prompt import ask
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, require_terminal, yes_option
from upstash_helper.cli.output import (
    discard_typed,
    interactive,
    key_values,
    local_time,
    note,
    note_if_not_recorded,
    print_json,
    printable,
    quoted,
    say,
    table,
)
from upstash_helper.cli.session import Session, note_if_sandbox, pass_session
from upstash_helper.protocol.literals import Scope
from upstash_helper.protocol.messages import IDENTITY_KINDS, VIA_BRIDGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import Blocked, Confirmation, Identity, Pairing

_SAVING: Final = "Saving"

_NATIVE: Final = "(its file, according to the system; a script is shown as its interpreter)"
_NATIVE_UNKNOWN: Final = "(the system cannot identify it)"
_PAGE: Final = "(make sure that this is your browser: only a browser can identify a page)"


class Unblocked(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``unblock`` as JSON."""

    unblocked: bool
    id: str
    identity: str


@group("approvals")
def approvals() -> None:
    """
    Approve or deny apps that request access to your Upstash account.

    Apps that have access may have to ask you before they delete or write something. You answer such a question in the
    same way.

    Refer to a request by the code that its app shows, by its ID, or by at least the first four characters of its ID.
    If only one request is pending, it can be omitted. A request expires after two minutes, and a question after five.
    """


# --- arguments --------------------------------------------------------------------------------------------------------


def _complete_request(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    requests = [
        CompletionItem(one.user_code, help=_summary(one))
        for one in fetch_for_completion(ctx, lambda session: session.client.pairings())
        if _normalized(one.user_code).startswith(_normalized(incomplete))
    ]
    questions = [
        CompletionItem(one.id, help=confirmations.summary(one))
        for one in fetch_for_completion(ctx, confirmations.waiting)
        if one.id.startswith(incomplete)
    ]
    return requests + questions


def _complete_block(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [
        CompletionItem(one.id, help=printable(_blocked_name(one)))
        for one in fetch_for_completion(ctx, lambda session: session.client.blocks())
        if one.id.startswith(incomplete)
    ]


request_argument = click.argument(
    "request", required=False, metavar="[ID|CODE]", shell_complete=_complete_request
)  # fmt: skip


def _find(session: Session, text: str | None) -> Pairing | Confirmation:
    """
    Return the pending request or question with the code or ID ``text``, or the only pending one if ``text`` is None.

    Raises:
        Failure: If there is none, or more than one.
    """
    from upstash_helper.protocol import wire_apps

    pairings, questions = session.client.pairings(), confirmations.waiting(session)
    found: list[Pairing | Confirmation] = (
        [*pairings, *questions] if text is None else _matching(pairings, questions, text)
    )
    if not found:
        raise Failure(_not_found(session, text), code="pairing_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} requests match. Use the code or ID of one of them:"]
        lines += [
            f"  {one.id}  {confirmations.summary(one)}"
            if isinstance(one, wire_apps.Confirmation)
            else f"  {one.user_code}  {_summary(one)}"
            for one in found
        ]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(
    pairings: Sequence[Pairing], questions: Sequence[Confirmation], text: str
) -> list[Pairing | Confirmation]:
    by_code = [one for one in pairings if _normalized(one.user_code) == _normalized(text)]
    return [*by_code] or [*match_id(pairings, text), *match_id(questions, text)]


def _normalized(code: str) -> str:
    """Return a code as it is compared: people leave the hyphen out, and type lowercase letters."""
    return code.replace("-", "").upper()


def _not_found(session: Session, text: str | None) -> str:
    if text is None:
        return "No requests are pending."
    see = session.command("approvals", "list")
    return (
        f"No pending request has the code or ID {text!r}. It was already decided, or has expired."
        f" List pending requests with: {see}"
    )


@contextlib.contextmanager
def _shown_if_replaced(session: Session, pairing: Pairing) -> Iterator[None]:
    """
    Show the app's new request if it replaced ``pairing`` before the user decided.

    Raises:
        Failure: In that case, because the user has not seen the new request.
    """
    from upstash_helper.client.errors import PairingReplaced

    try:
        yield
    except PairingReplaced as error:
        new = next((one for one in session.client.pairings() if one.replaces == pairing.id), None)
        if new is None:  # it was replaced again, decided, or withdrawn
            raise
        if interactive():
            note(_described(new))
        message = (
            f"The app has sent a new request, which replaces the one with the code {pairing.user_code}. No decision was"
            f" made. If the app now shows the code {new.user_code}, and you trust it:"
            f" {session.command('approvals', 'approve', new.user_code)}"
        )
        raise Failure(message, code=error.code) from None


def _require_request(request: str | None, *, yes: bool) -> None:
    """Refuse ``--yes`` without a request: it could be another one than the user has seen."""
    if yes and request is None:
        raise click.UsageError("--yes requires the code or ID of a request.", click.get_current_context())


# --- pending requests -------------------------------------------------------------------------------------------------


@approvals.command("list")
@pass_session
def list_approvals(session: Session) -> None:
    """
    List pending access requests and questions.

    Questions are from apps that already have access. Each entry starts with the app's identity, as the browser or the
    operating system reports it. Text in quotes was chosen by the app.
    """
    with session.progress("Reading"):
        found, questions = session.client.pairings(), confirmations.waiting(session)

    if session.json:
        print_json({"pairings": found, "confirmations": questions})
    elif found or questions:
        note_if_sandbox(session)
        described = [*map(_described, found), *map(confirmations.described, questions)]
        click.echo("\n\n".join(described))
        note("")
        if found:
            code = found[0].user_code if len(found) == 1 else "CODE"
            approve = session.command("approvals", "approve", code)
            note(f"If the app shows the same code and you trust it: {approve}")
        if questions:
            one = questions[0].id if len(questions) == 1 else "ID"
            once = "" if any(it.lasting for it in questions) else ", once"
            note(f"To allow what the app asks{once}: {session.command('approvals', 'approve', one)}")
        note(f"Otherwise, use deny{' or block' if found else ''} instead of approve.")
    else:
        note("No requests are pending.")


_APPROVE_EXAMPLES: Final = """
# The only pending request, after a confirmation prompt
upstash-helper approvals approve

# Only some of the requested scopes, for one hour
upstash-helper approvals approve BCDF-GHJK --scope databases:read --once

# In a script
upstash-helper approvals approve BCDF-GHJK --yes
"""


@approvals.command("approve", examples=_APPROVE_EXAMPLES)
@request_argument
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(get_args(Scope)), metavar="SCOPE",
    help="Grant only this requested scope. Can be repeated.",
)  # fmt: skip
@click.option(
    "--all-databases",
    is_flag=True,
    help="Extend databases:credentials and databases:commands to databases that the app did not create.",
)
@click.option("--once", is_flag=True, help="Grant access for one hour only.")
@yes_option
@pass_session
def approve(
    session: Session, *, request: str | None, scopes: tuple[Scope, ...], all_databases: bool, once: bool, yes: bool
) -> None:
    """
    Approve a request, or allow what an app asks.

    The app's identity and the requested scopes are shown first. Without --scope, every requested scope is granted.
    To grant a scope that can delete data, read passwords, or reach the whole account, type the request's code as well.
    A question is allowed once, unless it says otherwise, and takes no options except --yes. Without a terminal, pass
    the request and --yes.
    """
    from upstash_helper.protocol import wire_apps

    _require_request(request, yes=yes)
    pairing = _find(session, request)
    if isinstance(pairing, wire_apps.Confirmation):
        if scopes or all_databases or once:
            message = "--scope, --all-databases, and --once apply to requests for access. This is an app's question."
            raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)
        confirmations.allow(session, pairing, yes=yes)
        return
    chosen = scopes or None
    _check_grant(pairing, chosen, all_databases=all_databases)
    if not yes:
        note_if_sandbox(session)
        options = [word for scope in scopes for word in ("--scope", scope)]
        options += [option for option, given in (("--all-databases", all_databases), ("--once", once)) if given]
        require_terminal(command=session.command("approvals", "approve", pairing.user_code, *options, "--yes"))
        _present(_described(pairing), _grant(pairing, scopes=chosen, all_databases=all_databases, once=once))
        ask(lambda: confirm("Approve?", yes=False))
        if not _knows_code(pairing, _strong(pairing, chosen, all_databases=all_databases)):
            raise Failure("That is not the code of this request. Nothing was changed.", code="not_confirmed")

    with _shown_if_replaced(session, pairing), session.progress(_SAVING):
        approved = session.client.approve(pairing.id, scopes=chosen, all_databases=all_databases, once=once)
    _show(session, approved, _approved(session, approved))


@approvals.command("deny")
@request_argument
@pass_session
def deny(session: Session, *, request: str | None) -> None:
    """
    Deny a request, or what an app asks.

    The app can request access again after a delay, which grows with each denial.
    """
    from upstash_helper.protocol import wire_apps

    pairing = _find(session, request)
    if isinstance(pairing, wire_apps.Confirmation):
        confirmations.deny(session, pairing)
        return

    with _shown_if_replaced(session, pairing), session.progress(_SAVING):
        denied = session.client.deny(pairing.id)
    _show(session, denied, _denied(denied))
    note_if_not_recorded(denied)


_BLOCK_EXAMPLES: Final = """
# The page, extension, or program whose request is the only pending one
upstash-helper approvals block

# Also the other addresses of its site, such as every subdomain of example.com
upstash-helper approvals block BCDF-GHJK --site
"""


@approvals.command("block", examples=_BLOCK_EXAMPLES)
@request_argument
@click.option(
    "--site", is_flag=True, help="Block the whole site: the registered domain, all of localhost, or all programs."
)
@yes_option
@pass_session
def block(session: Session, *, request: str | None, site: bool, yes: bool) -> None:
    """
    Deny a request and all future requests from the same app.

    The block applies to the web page, extension, or program, whatever name it gives itself. A page can have other
    addresses: --site covers every subdomain and port of its registered domain. For a page on localhost, it covers every
    page on this computer, and for a program, every program.
    """
    from upstash_helper.protocol import wire_apps

    _require_request(request, yes=yes)
    pairing = _find(session, request)
    if isinstance(pairing, wire_apps.Confirmation):
        message = (
            "This is a question from an app that has access. To deny it:"
            f" {session.command('approvals', 'deny', pairing.id)}. To end the app's access:"
            f" {session.command('apps', 'revoke', pairing.app_id)}"
        )
        raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)
    if not yes:
        options = ["--site"] if site else []
        require_terminal(command=session.command("approvals", "block", pairing.user_code, *options, "--yes"))
        if site and pairing.site is not None:
            note(pairing.site.detail)
        ask(lambda: confirm(f"Ignore all future requests from {_block_scope(pairing, site=site)}?", yes=False))

    with session.progress(_SAVING):
        blocked = session.client.block(pairing.id, scope="site" if site else "identity")
    _show(session, blocked, _blocked(session, blocked))
    note_if_not_recorded(blocked)


def _check_grant(pairing: Pairing, scopes: tuple[Scope, ...] | None, *, all_databases: bool) -> None:
    """
    Check that the options fit the request, before the user is asked about it.

    Raises:
        Failure: If they do not.
    """
    requested = [one.scope for one in pairing.scopes]
    extra = [scope for scope in scopes or () if scope not in requested]
    if extra:
        message = f"The app did not request {', '.join(extra)}. Requested scopes: {', '.join(requested)}."
        raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)
    if all_databases and not {"databases:credentials", "databases:commands"} & set(scopes or requested):
        message = "--all-databases requires databases:credentials or databases:commands, and neither would be granted."
        raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)


def _strong(pairing: Pairing, scopes: tuple[Scope, ...] | None = None, *, all_databases: bool = False) -> list[str]:
    """Return what the user would grant that can destroy, spend, or reveal something."""
    granted = [one for one in pairing.scopes if scopes is None or one.scope in scopes]
    strong = [one.meaning for one in granted if one.strong]
    return [*strong, pairing.all_databases_meaning or ""] if all_databases else strong


def _knows_code(pairing: Pairing, strong: list[str]) -> bool:
    """Have the user type the code of the request if it is for anything ``strong``. Return whether that was right."""
    if not strong:
        return True
    note("")
    note(key_values(_numbered("This lets the app", strong)))
    typed = ask(lambda: click.prompt("Type the code that the app shows", default="", show_default=False, err=True))
    return _normalized(typed.strip()) == _normalized(pairing.user_code)


def _block_scope(pairing: Pairing, *, site: bool) -> str:
    """
    Return who a block applies to, as a phrase that follows "from". For a program, that is every process that runs the
    same file, which is a script's interpreter, whatever else makes it doubtful; but one in a sandbox is apart.
    """
    identity = pairing.identity
    if site and pairing.site is not None:
        return printable(pairing.site.shown)
    if identity.kind != "native":
        return printable(identity.name)
    if identity.name:
        is_apart = any(warning.code == "sandboxed" for warning in identity.warnings)
        return f"any program that runs as {printable(stored_name(identity) if is_apart else identity.name)}"
    return "any program that the system cannot identify"


# --- watching ---------------------------------------------------------------------------------------------------------


@approvals.command("watch")
@pass_session
def watch(session: Session) -> None:
    """
    Approve or deny requests as they arrive.

    Runs until Ctrl-C or until the daemon stops. Answering y grants every requested scope; to grant one that can
    delete data, read passwords, or reach the whole account, type the request's code as well. To grant fewer, answer l
    and use `approvals approve --scope`. You are also asked when an app needs your confirmation to delete or write
    something, and when an app's sign-in is for another account than the connected one. With --json, each decision is
    printed as a line.
    """
    if not interactive():
        message = "This needs a terminal. Without one, use `approvals list` and `approvals approve --yes`."
        raise Failure(message, code="confirmation_required", exit_code=exit_codes.USAGE)
    note_if_sandbox(session)
    note("Waiting for requests. Press Ctrl-C to stop.")
    asked: set[str] = set()
    for event in session.client.events(hello=True):
        if event.event in {"hello", "reset", "pairing"}:
            _ask_about_new(session, asked)
        if event.event in {"hello", "reset", "confirmation"}:
            confirmations.ask_about_new(session, asked)
        if event.event in {"hello", "reset", "attempt", "connection"}:
            _ask_about_account(session, asked)
    note("The daemon stopped.")


def _ask_about_new(session: Session, asked: set[str]) -> None:
    # The list is read again before each question: meanwhile, requests were decided elsewhere.
    while new := [one for one in session.client.pairings() if one.id not in asked]:
        asked.add(new[0].id)
        _ask_about(session, new[0])


def _ask_about(session: Session, pairing: Pairing) -> None:
    from upstash_helper.client.errors import ApiProblem

    _present("", _described(pairing))
    choices = ["y", "n", "b", "s", "l"] if pairing.site else ["y", "n", "b", "l"]
    answer = ask(
        lambda: click.prompt(
            _question(pairing),
            type=click.Choice(choices, case_sensitive=False),
            default="n",
            show_choices=False,
            err=True,
        )
    )
    if answer == "y" and not _knows_code(pairing, _strong(pairing)):
        note("That is not the code of this request. It is still pending.")
        return
    try:
        _decide(session, pairing, answer)
    except ApiProblem as error:
        # It may have expired, or been decided in another terminal. That is no reason to stop watching.
        note(f"Error: {error.detail}")


def _ask_about_account(session: Session, asked: set[str]) -> None:
    """Ask whether an app's sign-in replaces the connected account, if that is pending and was not asked yet."""
    from upstash_helper.client.errors import ApiProblem

    attempt = session.client.connection().attempt
    if attempt is None or question_of(attempt) is None or attempt.attempt_id in asked:
        return
    asked.add(attempt.attempt_id)
    try:
        decided = ask_now_or_later(session, attempt)
    except ApiProblem as error:
        note(f"Error: {error.detail}")  # as in `_ask_about`
        return
    if decided is not None:
        _show(session, decided, decided.detail or f"{connection_summary(session.client.connection())}.")


def _question(pairing: Pairing) -> str:
    site = "" if pairing.site is None else f", s: block {printable(pairing.site.shown)}"
    return f"Approve? y: yes, n: no, b: block{site}, l: later"


def _decide(session: Session, pairing: Pairing, answer: str) -> None:
    client = session.client
    match answer:
        case "y":
            approved = client.approve(pairing.id)
            _show(session, approved, _approved(session, approved))
        case "n":
            denied = client.deny(pairing.id)
            _show(session, denied, _denied(denied))
            note_if_not_recorded(denied)
        case "b" | "s":
            blocked = client.block(pairing.id, scope="site" if answer == "s" else "identity")
            _show(session, blocked, _blocked(session, blocked))
            note_if_not_recorded(blocked)
        case _:
            return


# --- blocks -----------------------------------------------------------------------------------------------------------


@approvals.command("blocked")
@pass_session
def blocked(session: Session) -> None:
    """List blocked web pages, extensions, programs, and sites."""
    from upstash_helper.protocol.wire_apps import BlockList

    with session.progress("Reading"):
        found = session.client.blocks()

    if session.json:
        print_json(BlockList(blocks=found))
    elif found:
        rows = [(_blocked_name(one), one.id, local_time(one.blocked_at)) for one in found]
        click.echo(table(rows, header=("WHO", "ID", "SINCE")))
    else:
        note("Nothing is blocked.")


@approvals.command("unblock")
@click.argument("block", metavar="ID", shell_complete=_complete_block)
@pass_session
def unblock(session: Session, *, block: str) -> None:
    """
    Remove a block.

    Refer to a block by its ID, by at least the first four characters of its ID, or by its name in the list of
    `approvals blocked`.
    """
    found = _find_block(session, block)

    with session.progress(_SAVING):
        session.client.unblock(found.id)
    name = _blocked_name(found)
    _show(
        session,
        Unblocked(unblocked=True, id=found.id, identity=stored_name(found.identity)),
        f"Unblocked {printable(name)}. It can request access again.",
    )


def _find_block(session: Session, text: str) -> Blocked:
    known = session.client.blocks()
    found = [one for one in known if _blocked_name(one) == text] or match_id(known, text)
    see = session.command("approvals", "blocked")
    if not found:
        message = f"No block has the ID or identity {text!r}. List blocks with: {see}"
        raise Failure(message, code="block_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        message = f"{len(found)} blocks match {text!r}. List them with: {see}"
        raise Failure(message, code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


# --- output -----------------------------------------------------------------------------------------------------------


def _show(session: Session, result: object, text: str) -> None:
    if session.json:
        print_json(result)
    else:
        say(text)


def _approved(session: Session, pairing: Pairing) -> str:
    see = session.command("apps", "list")
    return f"Approved: {_summary(pairing)}. Once it has fetched its token, it is listed in: {see}"


def _denied(pairing: Pairing) -> str:
    return f"Denied: {_summary(pairing)}."


def _blocked(session: Session, block: Blocked) -> str:
    unblock = session.command("approvals", "unblock", block.id)
    return f"Blocked: {printable(_blocked_name(block))}. To undo: {unblock}"


def _blocked_name(block: Blocked) -> str:
    return stored_name(block.identity) if block.site is None else block.site.shown


def _summary(pairing: Pairing) -> str:
    return f"{printable(pairing.identity.shown)}, which calls itself {quoted(pairing.claimed_name)}"


def _described(pairing: Pairing) -> str:
    """Return a request in several lines."""
    rows = [
        *_identity(pairing.identity),
        *((("", VIA_BRIDGE),) if pairing.via_bridge else ()),
        *((("", pairing.same_program),) if pairing.same_program else ()),
        ("Calls itself", f"{quoted(pairing.claimed_name)} (not verified)"),
        ("Code", f"{pairing.user_code} (the app must show the same code)"),
        *_numbered("Requests", (f"{one.meaning} ({one.scope})" for one in pairing.scopes)),
    ]
    if pairing.reason:
        rows.append(("Reason given", quoted(pairing.reason)))
    rows += [("Time left", f"{_seconds_left(pairing)} s"), ("ID", pairing.id)]
    return key_values(rows)


def _grant(pairing: Pairing, *, scopes: tuple[Scope, ...] | None, all_databases: bool, once: bool) -> str:
    """Return how the grant differs from what the app requested; an empty string if it does not."""
    rows: list[tuple[str, str]] = []
    if scopes is not None:
        rows += _numbered(
            "You grant only", (f"{one.meaning} ({one.scope})" for one in pairing.scopes if one.scope in scopes)
        )
    if all_databases:
        rows.append(("You also grant", pairing.all_databases_meaning or ""))
    if once:
        rows.append(("Expires", "in one hour"))
    return key_values(rows)


def _identity(identity: Identity) -> list[tuple[str, str]]:
    rows = [(IDENTITY_KINDS[identity.kind], identity.shown)]
    if identity.kind == "native":
        rows.append(("", _NATIVE if identity.name else _NATIVE_UNKNOWN))
        if identity.sent_by:
            rows.append(("Through", f"{identity.sent_by}, which it started"))
    else:
        sender = (identity.sent_by or identity.program) if identity.program else _NATIVE_UNKNOWN
        rows.append(("Sent by", f"{sender} {_PAGE}"))
    rows += _numbered("Shared with", identity.others)
    rows += _numbered("Warning", (warning.text for warning in identity.warnings))
    return rows


def _numbered(key: str, values: Iterable[str]) -> list[tuple[str, str]]:
    """Return rows with ``key`` in front of the first value only."""
    return [("" if number else key, value) for number, value in enumerate(values)]


def _seconds_left(pairing: Pairing) -> int:
    from datetime import UTC, datetime

    return max(0, round((datetime.fromisoformat(pairing.expires_at) - datetime.now(UTC)).total_seconds()))


def _present(*texts: str) -> None:
    """Print what the user decides about."""
    for text in texts:
        if text:
            note(text)
    note("")
    discard_typed()
