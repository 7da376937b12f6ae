"""The commands that change an app: ``apps rename|revoke``."""

from __future__ import annotations

import click
import msgspec

from upstash_helper.cli.app_reading import show
from upstash_helper.cli.commands.apps import app_argument, find
from upstash_helper.cli.identities import lasting
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import print_json, quoted, shown
from upstash_helper.cli.session import Session, pass_session


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
