"""``approvals``: the group, and how its commands find a request."""

from __future__ import annotations

import sys
import typing
from typing import TYPE_CHECKING, Final

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import lasting, quietly, with_id
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import interactive, moment, note, print_json, quoted, sheet, shown, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import Blocked, Identity, Pairing


@click.group(
    "approvals",
    cls=LazyGroup,
    lazy={
        "list": Lazy("commands.approvals:list_approvals", "Show the apps that wait for your decision."),
        "approve": Lazy("commands.approvals:approve", "Let an app in."),
        "deny": Lazy("commands.approvals:deny", "Do not let an app in."),
        "block": Lazy("commands.approvals:block", "Never be asked by an app again."),
        "watch": Lazy("commands.approvals:watch", "Wait for apps, and decide about each as it comes."),
        "blocked": Lazy("commands.approvals:blocked", "List who may not ask."),
        "unblock": Lazy("commands.approvals:unblock", "Let somebody ask again."),
    },
)
def approvals() -> None:
    """
    Decide which apps may use your Upstash account.

    A request is named by the code that its app shows, by its id, or by the beginning of its id (four characters at
    least). If only one waits, it need not be named. A request waits for two minutes.
    """


def complete_pairing(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the code of a request that waits."""
    from click.shell_completion import CompletionItem

    found = quietly(ctx, lambda session: session.client.pairings())
    return [
        CompletionItem(one.user_code, help=f"{shown(one.identity.shown)}, calls itself {quoted(one.claimed_name)}")
        for one in found
        if _plain(one.user_code).startswith(_plain(incomplete))
    ]


pairing_argument = click.argument(
    "request", required=False, metavar="[ID|CODE]", shell_complete=complete_pairing
)  # fmt: skip


def find(session: Session, named: str | None) -> Pairing:
    """
    Return the request that waits and has the code or the id ``named``; the only one that waits for None.

    Raises:
        Failure: If there is none, or more than one.
    """
    waiting = session.client.pairings()
    found = list(waiting) if named is None else _matching(waiting, named)
    if not found:
        raise Failure(_unknown(session, named), code="pairing_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} requests could be meant. Name one by its code:"]
        lines += [
            f"  {one.user_code}  {shown(one.identity.shown)}, calls itself {quoted(one.claimed_name)}" for one in found
        ]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(waiting: Sequence[Pairing], named: str) -> list[Pairing]:
    by_code = [one for one in waiting if _plain(one.user_code) == _plain(named)]
    return by_code or with_id(waiting, named)


def _plain(code: str) -> str:
    """Return a code as it is compared: people leave the dash out, and type small letters."""
    return code.replace("-", "").upper()


def _unknown(session: Session, named: str | None) -> str:
    if named is None:
        return "No app waits for your decision."
    see = session.command("approvals", "list")
    return f"No request with the code or id {named!r} waits: it was decided, or its two minutes are over. See: {see}"


_KINDS: Final = {"web": "Web page", "extension": "Browser extension", "native": "Program"}

_NATIVE: Final = "(its file, as the system tells it; a script shows as its interpreter)"
_PAGE: Final = "(your browser? Only a browser can vouch for a page)"
_NATIVE_UNKNOWN: Final = "(the system does not tell which)"


def described(pairing: Pairing) -> str:
    """Return a request in some lines."""
    rows = [
        *_identity(pairing.identity),
        ("Calls itself", f"{quoted(pairing.claimed_name)} (nobody vouches for this name)"),
        ("Code", f"{pairing.user_code} (the app must show the same)"),
        *_rows("Would like to", (f"{one.meaning} ({one.scope})" for one in pairing.scopes)),
    ]
    if pairing.reason:
        rows.append(("Says why", quoted(pairing.reason)))
    rows += [("Time left", f"{seconds_left(pairing)} s"), ("Id", pairing.id)]
    return sheet(rows)


def granted(pairing: Pairing, *, scopes: tuple[Scope, ...] | None, all_databases: bool, once: bool) -> str:
    """Return what a yes would grant, where that is not just what the app wishes for; else nothing."""
    rows: list[tuple[str, str]] = []
    if scopes is not None:
        rows += _rows(
            "You grant only", (f"{one.meaning} ({one.scope})" for one in pairing.scopes if one.scope in scopes)
        )
    if all_databases:
        rows.append(("You grant also", pairing.all_databases_meaning or ""))
    if once:
        rows.append(("Until", "an hour from now"))
    return sheet(rows)


def seconds_left(pairing: Pairing) -> int:
    """Return how long a request waits from now on."""
    from datetime import UTC, datetime

    return max(0, round((datetime.fromisoformat(pairing.expires_at) - datetime.now(UTC)).total_seconds()))


def present(*texts: str) -> None:
    """Show what there is to decide about, on stderr, and forget what was typed before: it was no answer to this."""
    for text in texts:
        if text:
            note(text)
    note("")
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


def _identity(identity: Identity) -> list[tuple[str, str]]:
    rows = [(_KINDS[identity.kind], identity.shown)]
    if identity.kind != "native":
        rows.append(("Sent by", f"{identity.program or _NATIVE_UNKNOWN} {_PAGE}".strip()))
    if identity.kind == "native":
        rows.append(("", _NATIVE if identity.name else _NATIVE_UNKNOWN))
    return rows


def _rows(name: str, values: Iterable[str]) -> list[tuple[str, str]]:
    return [("" if number else name, value) for number, value in enumerate(values)]


class Unblocked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``unblock`` as JSON."""

    unblocked: bool
    id: str
    identity: str


@command("list")
@pass_session
def list_approvals(session: Session) -> None:
    """
    Show the apps that wait for your decision, and what they would like to do.

    First comes who is asking, as the browser or the operating system tells it. What an app says of itself is in quotes.
    """
    # FOLDED
    from upstash_helper.protocol.wire_apps import PairingList

    with session.progress("Reading"):
        found = session.client.pairings()

    if session.json:
        print_json(PairingList(pairings=found))
    elif found:
        click.echo("\n\n".join(described(one) for one in found))
        code = found[0].user_code if len(found) == 1 else "CODE"
        approve = session.command("approvals", "approve", code)
        note(f"\nIf the app shows the same code, and you want it: {approve}\nOtherwise the same with deny or block.")
    else:
        note("No app waits for your decision.")


@command("blocked")
@pass_session
def blocked(session: Session) -> None:
    """List the web pages, extensions and programs that may not ask."""
    from upstash_helper.protocol.wire_apps import BlockList

    with session.progress("Reading"):
        found = session.client.blocks()

    if session.json:
        print_json(BlockList(blocks=found))
    elif found:
        rows = [(lasting(one.identity), one.id, moment(one.blocked_at)) for one in found]
        click.echo(table(rows, header=("WHO", "ID", "SINCE")))
    else:
        note("Nobody is blocked.")


def complete_block(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the id of a block."""
    from click.shell_completion import CompletionItem

    found = quietly(ctx, lambda session: session.client.blocks())
    return [CompletionItem(one.id, help=shown(lasting(one.identity))) for one in found if one.id.startswith(incomplete)]


@command("unblock")
@click.argument("block", metavar="ID", shell_complete=complete_block)
@pass_session
def unblock(session: Session, *, block: str) -> None:
    """
    Let somebody ask again.

    ID is that of the block, its beginning (four characters at least), or who is blocked, as `approvals blocked` lists
    them.
    """
    found = _find(session, block)

    with session.progress("Writing it down"):
        session.client.unblock(found.id)
    if session.json:
        print_json(Unblocked(unblocked=True, id=found.id, identity=lasting(found.identity)))
    else:
        click.echo(f"{shown(lasting(found.identity))} may ask again.")


def _find(session: Session, named: str) -> Blocked:
    known = session.client.blocks()
    found = [one for one in known if lasting(one.identity) == named] or with_id(known, named)
    see = session.command("approvals", "blocked")
    if not found:
        message = f"There is no block {named!r}. See: {see}"
        raise Failure(message, code="block_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        message = f"{len(found)} blocks could be meant by {named!r}. See: {see}"
        raise Failure(message, code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


if typing.TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import Blocked, Pairing

WRITING = "Writing it down"


@command("approve")
@pairing_argument
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(typing.get_args(Scope)), metavar="SCOPE",
    help="Grant this one of what it wishes for, as listed, and not the rest; may be given several times.",
)  # fmt: skip
@click.option(
    "--all-databases", is_flag=True, help="Let it read the passwords of databases that it did not create, too."
)
@click.option("--once", is_flag=True, help="Let it in for an hour.")
@yes_option
@pass_session
def approve(
    session: Session, *, request: str | None, scopes: tuple[Scope, ...], all_databases: bool, once: bool, yes: bool
) -> None:
    """
    Let an app in, after showing you who it is and what it would like to do.

    Without --scope it gets all that it wishes for. Without a terminal, name the request and pass --yes.
    """
    if yes and request is None:
        raise click.UsageError("With --yes, name the request that you mean.", click.get_current_context())
    pairing = find(session, request)
    chosen = scopes or None
    _check(pairing, chosen, all_databases=all_databases)
    if not yes:
        _ask(pairing, chosen, all_databases=all_databases, once=once)

    with session.progress(WRITING):
        approved = session.client.approve(pairing.id, scopes=chosen, all_databases=all_databases, once=once)
    if session.json:
        print_json(approved)
    else:
        click.echo(told_approved(session, approved))


@command("deny")
@pairing_argument
@pass_session
def deny(session: Session, *, request: str | None) -> None:
    """Do not let an app in. It may ask again after a while, which grows with each no."""
    pairing = find(session, request)

    with session.progress(WRITING):
        denied = session.client.deny(pairing.id)
    if session.json:
        print_json(denied)
    else:
        click.echo(told_denied(denied))


@command("block")
@pairing_argument
@yes_option
@pass_session
def block(session: Session, *, request: str | None, yes: bool) -> None:
    """
    Do not let an app in, and never be asked by it again.

    It is the web page, the extension or the program that is blocked, whatever it calls itself.
    """
    if yes and request is None:
        raise click.UsageError("With --yes, name the request that you mean.", click.get_current_context())
    pairing = find(session, request)
    confirm(f"Never be asked again by {whom_a_block_is_for(pairing)}?", yes=yes)

    with session.progress(WRITING):
        blocked = session.client.block(pairing.id)
    if session.json:
        print_json(blocked)
    else:
        click.echo(told_blocked(session, blocked))


def whom_a_block_is_for(pairing: Pairing) -> str:
    """Return who could no longer ask. A program's block is for its file, and a script's file is its interpreter."""
    identity = pairing.identity
    if identity.kind != "native":
        return shown(identity.name)
    return (
        f"any program that runs as {shown(identity.name)}"
        if identity.name
        else "any program that the system cannot name"
    )


def told_approved(session: Session, pairing: Pairing) -> str:
    """Return the sentence after a yes."""
    see = session.command("apps", "list")
    return f"Approved: {_shortly(pairing)}. Once it has fetched its token, you see it in: {see}"


def told_denied(pairing: Pairing) -> str:
    """Return the sentence after a no."""
    return f"Denied: {_shortly(pairing)}."


def told_blocked(session: Session, block: Blocked) -> str:
    """Return the sentence after a no for good."""
    lift = session.command("approvals", "unblock", block.id)
    return f"Blocked: {shown(lasting(block.identity))}. To lift it: {lift}"


def _shortly(pairing: Pairing) -> str:
    return f"{shown(pairing.identity.shown)}, which calls itself {quoted(pairing.claimed_name)}"


def _check(pairing: Pairing, scopes: tuple[Scope, ...] | None, *, all_databases: bool) -> None:
    """Refuse what could not be granted, before the user is asked about it."""
    wished = [one.scope for one in pairing.scopes]
    unwished = [scope for scope in scopes or () if scope not in wished]
    if unwished:
        message = f"It does not wish for {', '.join(unwished)}. It wishes for: {', '.join(wished)}."
        raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)
    if all_databases and "databases:credentials" not in (scopes or wished):
        message = "--all-databases adds to databases:credentials, which would not be granted."
        raise Failure(message, code="invalid_request", exit_code=exit_codes.USAGE)


def _ask(pairing: Pairing, scopes: tuple[Scope, ...] | None, *, all_databases: bool, once: bool) -> None:
    # FOLDED

    if interactive():
        present(described(pairing), granted(pairing, scopes=scopes, all_databases=all_databases, once=once))
    confirm("Let it in?", yes=False)


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
        _ask_approval_watching(session, fresh[0])


def _ask_approval_watching(session: Session, pairing: Pairing) -> None:
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
