"""``databases``: the account's Redis databases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast, get_args

import click
import msgspec
from msgspec import UNSET

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import fetch_for_completion
from upstash_helper.cli.command import closest, group
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import (
    key_values,
    local_time,
    note,
    on_off,
    print_for_programs,
    print_json,
    printable,
    say,
    table,
)
from upstash_helper.cli.session import Session, note_if_sandbox, pass_session
from upstash_helper.client.dotenv import EnvFormat, env_lines
from upstash_helper.protocol import literals, wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

# After these errors nobody knows whether the database was created. Repeating with the same key is safe.
_UNCERTAIN: Final = frozenset({"outcome_unknown", "request_in_progress", "upstream_timeout", "upstream_unavailable"})


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``delete`` as JSON."""

    deleted: bool
    id: str
    name: str


@group("databases")
def databases() -> None:
    """
    List, create, change, and delete Redis databases.

    Refer to a database by its name or its ID.
    """


# --- arguments --------------------------------------------------------------------------------------------------------


def _complete_database(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    known = fetch_for_completion(ctx, lambda session: session.client.databases())
    return [
        CompletionItem(one.name, help=printable(one.primary_region))
        for one in known
        if one.name.startswith(incomplete) and one.name.isprintable()
    ]


def _complete_region(ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    known = fetch_for_completion(ctx, lambda session: session.client.regions())
    return [CompletionItem(one.id, help=printable(one.name)) for one in known if one.id.startswith(incomplete)]


database_argument = click.argument("database", shell_complete=_complete_database)
eviction_option = click.option("--eviction/--no-eviction", default=None, help="Evict entries when the memory is full.")
budget_option = click.option("--budget", type=click.IntRange(min=0), metavar="USD", help="Maximum cost per month.")


def _find(session: Session, text: str) -> wire.Database:
    """
    Return the database whose id or name is ``text``.

    Raises:
        Failure: If there is none, or more than one with this name.
    """
    found = _matching(session.client.databases(), text)
    if not found:
        # The daemon's list may be some seconds old, and the database newer.
        known = list(session.client.databases(refresh=True))
        found = _matching(known, text)
        if not found:
            message = _not_found(session, text, known)
            raise Failure(message, code="database_not_found", exit_code=exit_codes.NOT_FOUND)
    if len(found) > 1:
        ids = ", ".join(one.id for one in found)
        message = f"{len(found)} databases have the name {text!r}. Use the ID of one of them: {ids}."
        raise Failure(message, code="ambiguous_name", exit_code=exit_codes.USAGE)
    return found[0]


def _matching(known: Iterable[wire.Database], text: str) -> list[wire.Database]:
    databases = list(known)
    # Ids first: they are unique, and a database may have the id of another as its name.
    return [one for one in databases if one.id == text] or [one for one in databases if one.name == text]


def _not_found(session: Session, text: str, known: list[wire.Database]) -> str:
    match = closest(text, [one.name for one in known])
    hint = f"Did you mean {match!r}?" if match else f"List them with: {session.command('databases', 'list')}"
    return f"No database has the name or ID {text!r}. {hint}"


# --- reading ----------------------------------------------------------------------------------------------------------


@databases.command("list")
@click.option("--refresh", is_flag=True, help="Ask Upstash even if the daemon has a recent list.")
@pass_session
def list_databases(session: Session, *, refresh: bool) -> None:
    """List the account's databases."""
    with session.progress("Asking Upstash"):
        found = tuple(session.client.databases(refresh=refresh))

    note_if_sandbox(session)
    if session.json:
        print_json(wire.DatabaseList(databases=found))
    elif found:
        rows = [(one.name, one.id, one.primary_region, one.plan, one.state, one.host) for one in found]
        click.echo(table(rows, header=("NAME", "ID", "REGION", "PLAN", "STATE", "HOST")))
    else:
        create = session.command("databases", "create", "NAME", "--region", "us-east-1")
        note(f"The account has no databases. Create one with: {create}")


@databases.command("get")
@database_argument
@pass_session
def get(session: Session, *, database: str) -> None:
    """Show a database."""
    found = session.client.database(_find(session, database).id)

    _show(session, found)


@databases.command("credentials")
@database_argument
@pass_session
def credentials(session: Session, *, database: str) -> None:
    """
    Show a database's connection credentials.

    The output contains secrets.
    """
    found = session.client.credentials(_find(session, database).id)

    if session.json:
        print_json(found)
        return
    rows = [
        ("Redis URL", found.redis_url),
        ("Host", found.host),
        ("Port", str(found.port)),
        ("TLS", on_off(found.tls)),
        ("User", found.username),
        ("Password", found.password),
        ("REST URL", found.rest_url),
        ("REST token", found.rest_token),
        ("Read-only REST token", found.read_only_rest_token),
    ]
    if found.ca_file is not None:
        rows += [("CA file", found.ca_file), *found.ca_usage.items()]
    click.echo(key_values(rows))


_ENV_EXAMPLES: Final = """
# Append the variables to a .env file
upstash-helper databases env orders >> .env

# Set them in the current shell
eval "$(upstash-helper databases env orders --export)"
"""


@databases.command("env", examples=_ENV_EXAMPLES)
@database_argument
@click.option(
    "--format", "form", type=click.Choice(["dotenv", "shell", "powershell", "json"]), default="dotenv",
    show_default=True, help="Output format.",
)  # fmt: skip
@click.option("--export", is_flag=True, help="Same as --format shell.")
@pass_session
def env(session: Session, *, database: str, form: str, export: bool) -> None:
    """
    Print a database's environment variables.

    These are the variables that Redis and Upstash clients read. The output contains secrets.
    """
    found = session.client.credentials(_find(session, database).id)
    chosen = "json" if session.json else "shell" if export else form

    print_for_programs(env_lines(found.env, cast("EnvFormat", chosen), found.ca_usage))


@databases.command("regions")
@pass_session
def regions(session: Session) -> None:
    """List the regions that a database can be in."""
    found = session.client.regions()

    if session.json:
        print_json(wire.RegionList(regions=found))
        return
    rows = [
        (one.id, one.name, one.platform, "yes" if one.primary else "no", "yes" if one.read else "no") for one in found
    ]
    click.echo(table(rows, header=("ID", "LOCATION", "PLATFORM", "PRIMARY", "READ")))


def _show(session: Session, database: wire.Database) -> None:
    if session.json:
        print_json(database)
        return
    rows = [
        ("Name", database.name),
        ("ID", database.id),
        ("State", database.state),
        ("Host", f"{database.host}:{database.port}"),
        ("TLS", on_off(database.tls)),
        ("REST URL", database.rest_url),
        ("Primary region", database.primary_region),
        ("Read regions", ", ".join(database.read_regions) or "none"),
        ("Plan", database.plan),
        ("Budget", "none" if database.budget is None else f"${database.budget} a month"),
        ("Eviction", on_off(database.eviction)),
        ("Auto-upgrade", on_off(database.auto_upgrade)),
        ("Daily backup", on_off(database.daily_backup)),
        ("Created", local_time(database.created_at)),
    ]
    click.echo(key_values(rows))


# --- changing ---------------------------------------------------------------------------------------------------------


_CREATE_EXAMPLES: Final = """
# A database in one region
upstash-helper databases create orders --region us-east-1

# With a read replica and a spending limit
upstash-helper databases create orders --region eu-west-1 --read-region us-east-1 --budget 20
"""


@databases.command("create", examples=_CREATE_EXAMPLES)
@click.argument("name")
@click.option(
    "--region", required=True, metavar="ID", shell_complete=_complete_region,
    help="Primary region. See `databases regions`.",
)  # fmt: skip
@click.option(
    "--read-region", "read_regions", multiple=True, metavar="ID", shell_complete=_complete_region,
    help="Region of a read replica. Can be repeated.",
)  # fmt: skip
@click.option(
    "--platform",
    type=click.Choice(get_args(literals.Platform)),
    help="Cloud platform. Default: that of the region.",
)
@click.option("--plan", type=click.Choice(get_args(literals.Plan)), help="Pricing plan. Default: chosen by Upstash.")
@budget_option
@eviction_option
@click.option(
    "--tls/--no-tls", default=None,
    help="Require TLS. This cannot be undone. Default: chosen by Upstash; off in the sandbox.",
)  # fmt: skip
@click.option(
    "--idempotency-key", metavar="KEY", help="Makes a retry safe: the same key never creates a second database."
)
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
    tls: bool | None,
    idempotency_key: str | None,
) -> None:
    """Create a database."""
    from uuid import uuid4

    request = wire.CreateDatabase(
        name=name,
        primary_region=region,
        read_regions=read_regions,
        platform=platform,
        plan=plan,
        budget=budget,
        eviction=eviction,
        tls=tls,
    )
    created = _create(session, request, idempotency_key or str(uuid4()))

    _show(session, created)
    if not session.json:
        note(f"Print its environment variables with: {session.command('databases', 'env', name)}")


def _create(session: Session, request: wire.CreateDatabase, key: str) -> wire.Database:
    from upstash_helper.client.errors import ApiProblem, DaemonUnreachable

    client = session.client  # outside the try: if it is unreachable here, nothing was sent
    try:
        with session.progress(f"Creating {request.name}"):
            return client.create_database(request, idempotency_key=key)
    except (ApiProblem, DaemonUnreachable, KeyboardInterrupt) as error:
        if not isinstance(error, ApiProblem) or error.code in _UNCERTAIN:
            note(f"The database may have been created. To retry safely, add: --idempotency-key {key}")
        raise


@databases.command("rename")
@database_argument
@click.argument("new_name")
@pass_session
def rename(session: Session, *, database: str, new_name: str) -> None:
    """Rename a database."""
    _change(session, database, wire.ChangeDatabase(name=new_name))


_UPDATE_EXAMPLES: Final = """
# Evict entries when the memory is full, and cap the cost
upstash-helper databases update orders --eviction --budget 20

# Replace the list of read regions
upstash-helper databases update orders --read-region us-east-1 --read-region eu-west-1
"""


@databases.command("update", examples=_UPDATE_EXAMPLES)
@database_argument
@eviction_option
@click.option("--auto-upgrade/--no-auto-upgrade", default=None, help="Move to a larger plan when the limit is reached.")
@click.option("--daily-backup/--no-daily-backup", default=None, help="Back up every day.")
@click.option("--plan", type=click.Choice(get_args(literals.Plan)), help="Pricing plan.")
@budget_option
@click.option(
    "--read-region", "read_regions", multiple=True, metavar="ID", shell_complete=_complete_region,
    help="Read region. Can be repeated; replaces the current list.",
)  # fmt: skip
@click.option("--no-read-regions", is_flag=True, help="Remove all read regions.")
@click.option("--tls", is_flag=True, help="Require TLS. This cannot be undone.")
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
    """Change a database's settings. Settings without an option stay unchanged."""
    if read_regions and no_read_regions:
        message = "--read-region and --no-read-regions cannot be used together."
        raise click.UsageError(message, click.get_current_context())
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
        raise click.UsageError("Nothing to change: pass an option such as --eviction.", click.get_current_context())
    _change(session, database, change)


def _change(session: Session, text: str, change: wire.ChangeDatabase) -> None:
    found = _find(session, text)
    with session.progress(f"Changing {found.name}"):
        changed = session.client.change_database(found.id, change)
    _show(session, changed)


@databases.command("reset-password")
@database_argument
@yes_option
@pass_session
def reset_password(session: Session, *, database: str, yes: bool) -> None:
    """
    Reset a database's password and REST tokens.

    The old ones stop working immediately, in every app that uses them.
    """
    found = _find(session, database)
    confirm(
        f"Reset the password of {printable(found.name)} ({found.id})? Clients with the old one lose access.", yes=yes
    )

    with session.progress("Resetting the password"):
        changed = session.client.reset_password(found.id)
    if session.json:
        print_json(changed)
    else:
        say(f"The password and REST tokens of {printable(changed.name)} were reset.")
        named = changed.name if changed.name.isprintable() else changed.id
        say(f"Show the new ones with: {session.command('databases', 'credentials', named)}")


@databases.command("delete")
@database_argument
@yes_option
@pass_session
def delete(session: Session, *, database: str, yes: bool) -> None:
    """Delete a database and its data. This cannot be undone."""
    found = _find(session, database)
    shown = f"{printable(found.name)} ({found.id}, {printable(found.primary_region)})"
    confirm(f"Permanently delete {shown} and its data?", yes=yes)

    with session.progress("Deleting"):
        session.client.delete_database(found.id)
    if session.json:
        print_json(Deleted(deleted=True, id=found.id, name=found.name))
    else:
        say(f"Deleted {printable(found.name)}.")
