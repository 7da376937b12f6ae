"""``databases``: the group, and how its commands find a database."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, cast

import click
import msgspec
from msgspec import UNSET

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import quietly
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.options import command, confirm, yes_option
from upstash_helper.cli.output import moment, note, print_json, sheet, table, yes_no
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.client.dotenv import EnvFormat, env_lines
from upstash_helper.protocol import literals, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire import Database


@click.group(
    "databases",
    cls=LazyGroup,
    lazy={
        "list": Lazy("commands.databases:list_databases", "List the databases of the account."),
        "get": Lazy("commands.databases:get", "Show one database."),
        "credentials": Lazy("commands.databases:credentials", "Show what lets a client into a database."),
        "env": Lazy("commands.databases:env", "Print the variables for a .env file."),
        "regions": Lazy("commands.databases:regions", "List the regions that a database can be in."),
        "create": Lazy("commands.databases:create", "Make a database."),
        "rename": Lazy("commands.databases:rename", "Give a database another name."),
        "update": Lazy("commands.databases:update", "Change eviction, plan, budget, regions and so on."),
        "reset-password": Lazy("commands.databases:reset_password", "Give a database a new password and new tokens."),
        "delete": Lazy("commands.databases:delete", "Delete a database and what is in it."),
    },
)
def databases() -> None:
    """
    List, create, change and delete Redis databases.

    A database is named by its name or by its id.
    """


def complete_database(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a database's name from what the daemon knows."""
    from click.shell_completion import CompletionItem

    found = quietly(ctx, lambda session: session.client.databases())
    return [CompletionItem(one.name, help=one.primary_region) for one in found if one.name.startswith(incomplete)]


def complete_region(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Complete a region's id from what the daemon knows."""
    from click.shell_completion import CompletionItem

    found = quietly(ctx, lambda session: session.client.regions())
    return [CompletionItem(one.id, help=one.name) for one in found if one.id.startswith(incomplete)]


database_argument = click.argument("database", shell_complete=complete_database)


def find(session: Session, named: str) -> Database:
    """
    Return the database with the id or the name ``named``.

    Raises:
        Failure: If there is none, or more than one of this name.
    """
    found = _matching(session.client.databases(), named)
    if not found:
        # The list may be some seconds old, and the database just made.
        known = list(session.client.databases(refresh=True))
        found = _matching(known, named)
        if not found:
            raise Failure(_unknown(session, named, known), code="database_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        message = f"{len(found)} databases are called {named!r}. Take the id of the one you mean: {ids}."
        raise Failure(message, code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(known: Iterable[Database], named: str) -> list[Database]:
    databases = list(known)
    # An id is unique, so it is first: a database may be called like another's id.
    return [one for one in databases if one.id == named] or [one for one in databases if one.name == named]


def _unknown(session: Session, named: str, known: list[Database]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(named, [one.name for one in known], n=1)
    hint = f"Did you mean {close[0]!r}?" if close else f"List them with: {session.command('databases', 'list')}"
    return f"There is no database with the name or id {named!r}. {hint}"


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


PLANS = typing.get_args(literals.Plan)

# After these nobody knows whether there is a database now; the same key makes a repetition safe.
_UNCERTAIN = frozenset({"outcome_unknown", "request_in_progress", "upstream_timeout", "upstream_unavailable"})


@command("create")
@click.argument("name")
@click.option("--region", required=True, metavar="ID", shell_complete=complete_region, help="See `databases regions`.")
@click.option(
    "--read-region", "read_regions", multiple=True, metavar="ID", shell_complete=complete_region,
    help="A replica's region; may be given several times.",
)  # fmt: skip
@click.option(
    "--platform", type=click.Choice(typing.get_args(literals.Platform)), help="The cloud; found from the region."
)
@click.option("--plan", type=click.Choice(PLANS), help="What it costs; Upstash's default if left out.")
@click.option("--budget", type=click.IntRange(min=0), metavar="USD", help="Most that it may cost a month.")
@click.option("--eviction/--no-eviction", default=None, help="Evict entries when the memory is full.")
@click.option("--idempotency-key", metavar="KEY", help="Repeat a creation safely: the same key makes one database.")
@pass_session
def create(
    session: Session,
    *,
    name: str,
    region: str,
    read_regions: tuple[str, ...],
    platform: literals.Platform | None,
    plan: literals.Plan | None,
    budget: int | None,
    eviction: bool | None,
    idempotency_key: str | None,
) -> None:
    """Make a database."""
    from uuid import uuid4

    new = wire.CreateDatabase(
        name=name,
        primary_region=region,
        read_regions=read_regions,
        platform=platform,
        plan=plan,
        budget=budget,
        eviction=eviction,
    )
    made = _make(session, new, idempotency_key or str(uuid4()))

    show(session, made)
    if not session.json:
        note(f"Its variables for a .env file: {session.command('databases', 'env', name)}")


def _make(session: Session, new: wire.CreateDatabase, key: str) -> wire.Database:
    from upstash_helper.client.errors import ApiProblem, DaemonUnreachable

    client = session.client  # if this is unreachable, nothing was sent and no key is worth telling
    try:
        with session.progress(f"Creating {new.name}"):
            return client.create_database(new, idempotency_key=key)
    except (ApiProblem, DaemonUnreachable, KeyboardInterrupt) as error:
        if not isinstance(error, ApiProblem) or error.code in _UNCERTAIN:
            note(f"The database may have been made. To repeat the command safely, add: --idempotency-key {key}")
        raise


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
@click.option("--plan", type=click.Choice(typing.get_args(literals.Plan)), help="What it costs.")
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
    plan: literals.Plan | None,
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
