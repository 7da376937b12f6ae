"""The commands that show who is let in: ``apps list|show``."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from upstash_helper.cli.commands.apps import app_argument, find
from upstash_helper.cli.identities import lasting
from upstash_helper.cli.options import command
from upstash_helper.cli.output import Progress, moment, note, print_json, sheet, table
from upstash_helper.cli.session import Session, pass_session

if TYPE_CHECKING:
    from upstash_helper.protocol.wire_apps import App


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
