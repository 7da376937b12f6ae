"""``apps``: the group, and how its commands find an app."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import is_word, lasting, quietly, with_id
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import Progress, moment, note, print_json, quoted, sheet, shown, table
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire_apps import App


@click.group(
    "apps",
    cls=LazyGroup,
    lazy={
        "list": Lazy("commands.apps:list_apps", "List the apps that are let in."),
        "show": Lazy("commands.apps:show_app", "Show one app and what it may do."),
        "rename": Lazy("commands.apps:rename", "Give an app the name that you want to see."),
        "revoke": Lazy("commands.apps:revoke", "Let an app in no longer."),
    },
)
def apps() -> None:
    """
    Show, rename and revoke the apps that are let in.

    An app is named by its name, by its id, or by the beginning of its id (four characters at least). What wants in is
    in `approvals`, what was done in `audit`.
    """


def complete_app(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete the name of an app, or its id where the name is more than a word."""
    from click.shell_completion import CompletionItem

    items = []
    for one in quietly(ctx, lambda session: session.client.apps()):
        offered = [one.name if is_word(one.name) else one.id]
        offered += [one.id] if incomplete else []
        help_text = f"{shown(lasting(one.identity))}, {quoted(one.name)}"
        items += [CompletionItem(it, help=help_text) for it in dict.fromkeys(offered) if it.startswith(incomplete)]
    return items


app_argument = click.argument("app", shell_complete=complete_app)


def find(session: Session, named: str) -> App:
    """
    Return the app that ``named`` means.

    Raises:
        Failure: If there is none, or more than one.
    """
    known = session.client.apps()
    found = _matching(known, named)
    if not found:
        raise Failure(_unknown(session, named, known), code="app_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        lines = [f"{len(found)} apps could be meant by {named!r}. Take the id of the one you mean:"]
        lines += [f"  {one.id}  {shown(lasting(one.identity))}, {quoted(one.name)}" for one in found]
        raise Failure("\n".join(lines), code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(known: Sequence[App], named: str) -> list[App]:
    exact = [one for one in known if one.id == named]
    # An app chooses its name itself, also one like the beginning of another's id: then it is for the user to say.
    either = {one.id: one for one in [*with_id(known, named), *(one for one in known if one.name == named)]}
    return exact or list(either.values())


def _unknown(session: Session, named: str, known: Sequence[App]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(named, [one.name for one in known], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"List them with: {session.command('apps', 'list')}"
    return f"There is no app with the name or id {named!r}. {hint}"


@command("list")
@pass_session
def list_apps(session: Session) -> None:
    """List the apps that are let in, the newest first: who each is, its name, and what it may do."""
    from upstash_helper.protocol.wire_apps import AppList

    with Progress("Reading"):
        found = session.client.apps()

    if session.json:
        print_json(AppList(apps=found))
    elif found:
        rows = [(lasting(one.identity), one.name, one.id, moment(one.last_used_at), _scopes(one)) for one in found]
        click.echo(table(rows, header=("WHO", "NAME", "ID", "LAST USED", "MAY USE")))
    else:
        note(f"No app is let in. Those that wait for your decision: {session.command('approvals', 'list')}")


@command("show")
@app_argument
@pass_session
def show_app(session: Session, *, app: str) -> None:
    """Show one app and what it may do."""
    show(session, find(session, app))


def show(session: Session, app: App) -> None:
    """Show an app as the result of a command."""
    if session.json:
        print_json(app)
        return
    rows = [("Who", lasting(app.identity)), ("Name", app.name), ("Id", app.id)]
    rows += [("" if number else "May", f"{it.meaning} ({it.scope})") for number, it in enumerate(app.scopes)]
    if app.all_databases:
        rows.append(("", "Also those of all your other databases"))
    rows += [
        ("Let in", moment(app.created_at)),
        ("Last used", moment(app.last_used_at)),
        ("Until", moment(app.expires_at) if app.expires_at else "it has not called for 90 days, or you revoke it"),
    ]
    if app.mismatches:
        rows.append(("Misused", f"{app.mismatches} times its token came from where it does not belong"))
    click.echo(sheet(rows))


def _scopes(app: App) -> str:
    """Return the scopes in short: ``databases:read,write``."""
    pairs = [one.scope.split(":") for one in app.scopes]
    short = [f"{what}:{','.join(verb for _, verb in some)}" for what, some in groupby(pairs, key=lambda pair: pair[0])]
    return " ".join([*short, "(all databases)"] if app.all_databases else short)


class Revoked(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``revoke`` as JSON."""

    revoked: bool
    id: str
    name: str


@command("rename")
@app_argument
@click.argument("new_name")
@pass_session
def rename(session: Session, *, app: str, new_name: str) -> None:
    """Give an app the name that you want to see. Who it is does not change."""
    found = find(session, app)

    with session.progress("Writing it down"):
        renamed = session.client.rename_app(found.id, new_name)
    show(session, renamed)


@command("revoke")
@app_argument
@yes_option
@pass_session
def revoke(session: Session, *, app: str, yes: bool) -> None:
    """
    Let an app in no longer.

    Its token stops working at once. The databases that it made stay, and passwords that it has read stay valid:
    `databases reset-password` changes them.
    """
    found = find(session, app)
    whom = f"{quoted(found.name)} ({shown(lasting(found.identity))})"
    confirm(f"Revoke {whom}? Its token stops working at once.", yes=yes)

    with session.progress("Writing it down"):
        session.client.revoke_app(found.id)
    if session.json:
        print_json(Revoked(revoked=True, id=found.id, name=found.name))
    else:
        click.echo(f"{whom} is revoked.")
