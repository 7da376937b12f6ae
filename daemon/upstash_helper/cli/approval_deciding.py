"""The commands that decide: ``approvals approve|deny|block``."""

from __future__ import annotations

import typing

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.commands.approvals import find, pairing_argument
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.identities import lasting
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import interactive, print_json, quoted, shown
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol.wire_apps import Scope

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
    from upstash_helper.cli.approval_prompt import described, granted, present

    if interactive():
        present(described(pairing), granted(pairing, scopes=scopes, all_databases=all_databases, once=once))
    confirm("Let it in?", yes=False)
