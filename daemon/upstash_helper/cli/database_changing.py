"""The commands that change a database: ``databases rename|update|reset-password|delete``."""

from __future__ import annotations

import typing

import click
import msgspec
from msgspec import UNSET

from upstash_helper.cli.commands.databases import complete_region, database_argument, find
from upstash_helper.cli.database_reading import show
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import print_json
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.protocol import wire


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of ``delete`` as JSON."""

    deleted: bool
    id: str
    name: str


@command("rename")
@database_argument
@click.argument("new_name")
@pass_session
def rename(session: Session, *, database: str, new_name: str) -> None:
    """Give a database another name."""
    _change(session, database, wire.ChangeDatabase(name=new_name))


@command("update")
@database_argument
@click.option("--eviction/--no-eviction", default=None, help="Evict entries when the memory is full.")
@click.option("--auto-upgrade/--no-auto-upgrade", default=None, help="Move to a larger plan when it is full.")
@click.option("--daily-backup/--no-daily-backup", default=None, help="Make a backup each day.")
@click.option("--plan", type=click.Choice(typing.get_args(wire.Plan)), help="What it costs.")
@click.option("--budget", type=click.IntRange(min=0), metavar="USD", help="Most that it may cost a month.")
@click.option(
    "--read-region", "read_regions", multiple=True, metavar="ID", shell_complete=complete_region,
    help="All read regions that it shall have; may be given several times.",
)  # fmt: skip
@click.option("--no-read-regions", is_flag=True, help="It shall have none.")
@click.option("--tls", is_flag=True, help="Take TLS connections only. There is no way back.")
@pass_session
def update(
    session: Session,
    *,
    database: str,
    eviction: bool | None,
    auto_upgrade: bool | None,
    daily_backup: bool | None,
    plan: wire.Plan | None,
    budget: int | None,
    read_regions: tuple[str, ...],
    no_read_regions: bool,
    tls: bool,
) -> None:
    """Change a database; what is not named stays as it is."""
    if read_regions and no_read_regions:
        raise click.UsageError("Take either --read-region or --no-read-regions.", click.get_current_context())
    change = wire.ChangeDatabase(
        eviction=UNSET if eviction is None else eviction,
        auto_upgrade=UNSET if auto_upgrade is None else auto_upgrade,
        daily_backup=UNSET if daily_backup is None else daily_backup,
        plan=UNSET if plan is None else plan,
        budget=UNSET if budget is None else budget,
        read_regions=read_regions if read_regions or no_read_regions else UNSET,
        tls=True if tls else UNSET,
    )
    if change == wire.ChangeDatabase():
        raise click.UsageError("Name what to change, such as --eviction.", click.get_current_context())
    _change(session, database, change)


@command("reset-password")
@database_argument
@yes_option
@pass_session
def reset_password(session: Session, *, database: str, yes: bool) -> None:
    """
    Give a database a new password and new REST tokens.

    The old ones stop working at once, in every app that uses them.
    """
    found = find(session, database)
    confirm(f"Reset the password of {found.name} ({found.id})? Clients with the old one are shut out.", yes=yes)

    with session.progress("Resetting the password"):
        changed = session.client.reset_password(found.id)
    if session.json:
        print_json(changed)
    else:
        click.echo(f"{changed.name} has a new password and new tokens.")
        click.echo(f"See them with: {session.command('databases', 'credentials', changed.name)}")


@command("delete")
@database_argument
@yes_option
@pass_session
def delete(session: Session, *, database: str, yes: bool) -> None:
    """Delete a database and what is in it. There is no way back."""
    found = find(session, database)
    confirm(f"Delete {found.name} ({found.id}, {found.primary_region}) and what is in it, for good?", yes=yes)

    with session.progress("Deleting"):
        session.client.delete_database(found.id)
    if session.json:
        print_json(Deleted(deleted=True, id=found.id, name=found.name))
    else:
        click.echo(f"{found.name} is deleted.")


def _change(session: Session, named: str, change: wire.ChangeDatabase) -> None:
    found = find(session, named)
    with session.progress(f"Changing {found.name}"):
        changed = session.client.change_database(found.id, change)
    show(session, changed)
