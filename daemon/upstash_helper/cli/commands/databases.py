"""``databases``: the group, and how its commands find a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from upstash_helper.cli import exit_codes
from upstash_helper.cli.arguments import quietly
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.lazy_group import Lazy, LazyGroup
from upstash_helper.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from click.shell_completion import CompletionItem

    from upstash_helper.protocol.wire import Database


@click.group(
    "databases",
    cls=LazyGroup,
    lazy={
        "list": Lazy("database_reading:list_databases", "List the databases of the account."),
        "get": Lazy("database_reading:get", "Show one database."),
        "credentials": Lazy("database_reading:credentials", "Show what lets a client into a database."),
        "env": Lazy("database_reading:env", "Print the variables for a .env file."),
        "regions": Lazy("database_reading:regions", "List the regions that a database can be in."),
        "create": Lazy("database_creating:create", "Make a database."),
        "rename": Lazy("database_changing:rename", "Give a database another name."),
        "update": Lazy("database_changing:update", "Change eviction, plan, budget, regions and so on."),
        "reset-password": Lazy("database_changing:reset_password", "Give a database a new password and new tokens."),
        "delete": Lazy("database_changing:delete", "Delete a database and what is in it."),
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
