"""Databases as results. Their fields have the names that Upstash's Developer API uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from upstash_helper.api.mcp.tools.fields import Moment, NextCursor, Result, moment

if TYPE_CHECKING:
    from upstash_helper.broker.databases.operations import DatabaseAccess
    from upstash_helper.broker.models import Database


class Credentials(Result, frozen=True, kw_only=True):
    """The credentials of a database."""

    password: str
    rest_token: str
    read_only_rest_token: str
    redis_url: Annotated[str, Meta(description="For Redis clients.")]

    def __repr__(self) -> str:
        return "Credentials(…)"


class DatabaseSummary(Result, frozen=True, kw_only=True):
    """What a list shows of a database."""

    database_id: str
    database_name: str
    state: str
    plan: str
    primary_region: str
    read_regions: tuple[str, ...]


class DatabasePage(Result, frozen=True, kw_only=True):
    """A page of databases."""

    databases: tuple[DatabaseSummary, ...]
    total: Annotated[int, Meta(description="Number of matching databases on all pages.")]
    next_cursor: NextCursor = None


class DatabaseDetails(DatabaseSummary, frozen=True, kw_only=True):
    """A database, and its credentials if they were requested."""

    endpoint: Annotated[str, Meta(description="The host for Redis clients.")]
    port: int
    tls: bool
    rest_url: str
    eviction: Annotated[bool, Meta(description="Whether keys are deleted when the memory is full.")]
    auto_upgrade: Annotated[bool, Meta(description="Whether Upstash moves a full database to a larger plan.")]
    daily_backup_enabled: bool
    budget: Annotated[int | None, Meta(description="Per month, in US dollars.")]
    created_at: Moment
    credentials: Annotated[
        Credentials | None, Meta(description="Null unless include_credentials is true. Treat them as secrets.")
    ] = None
    note: str = ""


class CreatedDatabase(DatabaseDetails, frozen=True, kw_only=True):
    """A new database."""

    already_existed: Annotated[
        bool, Meta(description="True: an earlier call with the same idempotency_key created it.")
    ] = False


def summary(it: Database) -> DatabaseSummary:
    """Return what a list shows of a database."""
    return DatabaseSummary(
        database_id=it.id,
        database_name=it.name,
        state=it.state,
        plan=it.plan,
        primary_region=it.primary_region,
        read_regions=it.read_regions,
    )


def details(it: Database, access: DatabaseAccess | None = None, *, note: str = "") -> DatabaseDetails:
    """Return a database with the credentials in ``access``, if there are any."""
    return DatabaseDetails(**_fields(it), credentials=_credentials(access), note=note)


def created(it: Database, access: DatabaseAccess | None, *, note: str, already_existed: bool) -> CreatedDatabase:
    """Return a new database."""
    return CreatedDatabase(**_fields(it), credentials=_credentials(access), note=note, already_existed=already_existed)


def _credentials(access: DatabaseAccess | None) -> Credentials | None:
    if access is None:
        return None
    return Credentials(
        password=access.secrets.password.reveal(),
        rest_token=access.secrets.rest_token.reveal(),
        read_only_rest_token=access.secrets.read_only_rest_token.reveal(),
        redis_url=access.redis_url,
    )


def _fields(it: Database) -> dict[str, Any]:
    return {
        "database_id": it.id,
        "database_name": it.name,
        "state": it.state,
        "plan": it.plan,
        "primary_region": it.primary_region,
        "read_regions": it.read_regions,
        "endpoint": it.host,
        "port": it.port,
        "tls": it.tls,
        "rest_url": it.rest_url,
        "eviction": it.eviction,
        "auto_upgrade": it.auto_upgrade,
        "daily_backup_enabled": it.daily_backup,
        "budget": it.budget,
        "created_at": moment(it.created_at),
    }
