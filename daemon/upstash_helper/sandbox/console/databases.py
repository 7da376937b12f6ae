"""The console's page about databases, indexes, and buckets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from upstash_helper.sandbox.accounts import Account, Owner
from upstash_helper.sandbox.admin import NewDatabase
from upstash_helper.sandbox.console.elements import Form, choice, entry, field, items, moment, section, submit
from upstash_helper.sandbox.console.markup import Html, join, tag
from upstash_helper.sandbox.console.overview import Addresses
from upstash_helper.sandbox.console.page import Action, Fields, Page, only, read
from upstash_helper.sandbox.indexes import IndexRecord
from upstash_helper.sandbox.redis.databases import Database

if TYPE_CHECKING:
    from aiohttp import web


class DatabasesPage(Page):
    """The databases, indexes, and buckets of all accounts and teams."""

    PATH = "databases"
    NAVIGATION = "databases"

    def __init__(self, *arguments: Any, addresses: Addresses, host: str) -> None:
        super().__init__(*arguments)
        self._rest = addresses.rest
        self._host = f"[{host}]" if ":" in host else host

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Databases"

    def content(self, _request: web.Request, form: Form) -> list[Html]:
        """Return the lists, and the form for a new database."""
        owners = self._admin.owners()
        owned = [(owner, self._admin.resources(owner)) for owner in owners]
        databases = [self._database(it, owner) for owner, all_ in owned for it in all_.databases]
        vector = [self._index(it, owner) for owner, all_ in owned for it in all_.vector_indexes]
        search = [self._index(it, owner) for owner, all_ in owned for it in all_.search_indexes]
        buckets = [
            entry(it.name, f"{it.visibility.capitalize()} · {self._of(owner)}", _id(it.id))
            for owner, all_ in owned
            for it in all_.buckets
        ]
        return [
            section("Redis", items(databases, empty="There are no databases.")),
            section("Vector", items(vector, empty="There are no Vector indexes.")),
            section("Search", items(search, empty="There are no Search indexes.")),
            section("Blob", items(buckets, empty="There are no buckets.")),
            section(
                "New database",
                form(
                    field("Name", "database_name", required=True, maxlength=64, autocomplete="off"),
                    choice("Belongs to", "owner", [(owner.id, self._of(owner)) for owner in owners]),
                    submit("Create database"),
                    intent="create",
                )
                if owners
                else tag("p", "Create an account first: the database will belong to it.", class_="hint"),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {"create": self._create}

    async def _create(self, request: web.Request, fields: Fields) -> None:
        owner_id = fields.get("owner", "")
        account = self._admin.accounts.get(owner_id)
        owner = account or self._admin.owner(team_id=owner_id)
        new = read({"database_name": "", **only(fields, "database_name")}, NewDatabase)
        await self._admin.create_database(owner, new.to_new_database(), ip=request.remote)

    def _database(self, database: Database, owner: Owner) -> Html:
        record = database.record
        scheme = "rediss" if record.tls else "redis"
        return entry(
            record.name,
            f"{'Running' if database.server.running else 'Stopped; starts when it is used'} · {self._of(owner)} · "
            f"{record.plan} · {record.primary_region} · created {moment(record.created_at)}",
            join("TCP: ", tag("code", f"{scheme}://{self._host}:{record.port}")),
            join("REST: ", tag("code", self._rest)),
            _id(record.id),
        )

    def _index(self, index: IndexRecord, owner: Owner) -> Html:
        return entry(
            index.name,
            f"Only a record, without a server · {self._of(owner)} · {index.plan} · {index.region}",
            _id(index.id),
        )

    def _of(self, owner: Owner) -> str:
        if isinstance(owner, Account):
            return owner.email
        return f"team {self._admin.teams.by_id(owner.id).team_name}"


def _id(text: str) -> Html:
    return join("ID: ", tag("code", text))
