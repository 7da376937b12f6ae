"""The commands that only look: ``databases list|get|credentials|env|regions``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from upstash_helper.cli.commands.databases import database_argument, find
from upstash_helper.cli.options import command
from upstash_helper.cli.output import moment, note, print_json, sheet, table, yes_no
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client.dotenv import EnvFormat, env_lines

if TYPE_CHECKING:
    from upstash_helper.protocol.wire import Database


@command("list")
@click.option("--refresh", is_flag=True, help="Ask Upstash even if the daemon knows a recent list.")
@pass_session
def list_databases(session: Session, *, refresh: bool) -> None:
    """List the databases of the account."""
    from upstash_helper.protocol.wire import DatabaseList

    with session.progress("Asking Upstash"):
        found = tuple(session.client.databases(refresh=refresh))

    if session.json:
        print_json(DatabaseList(databases=found))
    elif found:
        rows = [(one.name, one.id, one.primary_region, one.plan, one.state, one.host) for one in found]
        click.echo(table(rows, header=("NAME", "ID", "REGION", "PLAN", "STATE", "HOST")))
    else:
        create = session.command("databases", "create", "NAME", "--region", "us-east-1")
        note(f"The account has no databases. Make one with: {create}")


@command("get")
@database_argument
@pass_session
def get(session: Session, *, database: str) -> None:
    """Show one database."""
    found = session.client.database(find(session, database).id)

    show(session, found)


@command("credentials")
@database_argument
@pass_session
def credentials(session: Session, *, database: str) -> None:
    """
    Show what lets a client into a database.

    The output holds secrets.
    """
    found = session.client.credentials(find(session, database).id)

    if session.json:
        print_json(found)
        return
    rows = [
        ("Redis URL", found.redis_url),
        ("Host", found.host),
        ("Port", str(found.port)),
        ("TLS", yes_no(found.tls)),
        ("User", found.username),
        ("Password", found.password),
        ("REST URL", found.rest_url),
        ("REST token", found.rest_token),
        ("Read-only REST token", found.read_only_rest_token),
    ]
    click.echo(sheet(rows))


_ENV_HELP = """
Print the variables with which clients find a database.

\b
  upstash-helper databases env NAME >> .env
  eval "$(upstash-helper databases env NAME --export)"

The output holds secrets.
"""


@command("env", help=_ENV_HELP)
@database_argument
@click.option(
    "--format", "form", type=click.Choice(["dotenv", "shell", "powershell", "json"]), default="dotenv",
    show_default=True, help="Lines for a .env file, for a shell to evaluate, or JSON.",
)  # fmt: skip
@click.option("--export", is_flag=True, help="The same as --format shell.")
@pass_session
def env(session: Session, *, database: str, form: str, export: bool) -> None:
    """Print variables."""
    variables = session.client.credentials(find(session, database).id).env
    chosen = "json" if session.json else "shell" if export else form

    click.echo(env_lines(variables, cast("EnvFormat", chosen)))


@command("regions")
@pass_session
def regions(session: Session) -> None:
    """List the regions that a database can be in."""
    from upstash_helper.protocol.wire import RegionList

    found = session.client.regions()

    if session.json:
        print_json(RegionList(regions=found))
        return
    rows = [
        (one.id, one.name, one.platform, "yes" if one.primary else "no", "yes" if one.read else "no") for one in found
    ]
    click.echo(table(rows, header=("ID", "PLACE", "PLATFORM", "PRIMARY", "READ")))


def show(session: Session, database: Database) -> None:
    """Show a database as the result of a command."""
    if session.json:
        print_json(database)
        return
    rows = [
        ("Name", database.name),
        ("Id", database.id),
        ("State", database.state),
        ("Host", f"{database.host}:{database.port}"),
        ("TLS", yes_no(database.tls)),
        ("REST URL", database.rest_url),
        ("Primary region", database.primary_region),
        ("Read regions", ", ".join(database.read_regions) or "none"),
        ("Plan", database.plan),
        ("Budget", "none" if database.budget is None else f"${database.budget} a month"),
        ("Eviction", yes_no(database.eviction)),
        ("Auto-upgrade", yes_no(database.auto_upgrade)),
        ("Daily backup", yes_no(database.daily_backup)),
        ("Created", moment(database.created_at)),
    ]
    click.echo(sheet(rows))
