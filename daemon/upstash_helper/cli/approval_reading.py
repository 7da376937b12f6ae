"""The commands that show who waits and who may not ask: ``approvals list|blocked|unblock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.abbreviations import with_id
from upstash_helper.cli.arguments import quietly
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.identities import lasting
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, shown, table
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import Blocked


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
    from upstash_helper.cli.approval_prompt import described
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
