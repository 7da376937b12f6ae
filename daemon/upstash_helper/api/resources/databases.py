"""``/v1/databases`` and ``/v1/regions``: listing, creating, changing, and deleting databases."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web
from msgspec import UNSET

from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import BODY, RECORD_FIRST, TARGET, Parameter, Policy, Route, caller_of
from upstash_helper.broker import models
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.databases import create as idempotency
from upstash_helper.broker.databases.operations import REGIONS
from upstash_helper.broker.errors import InvalidPageToken, InvalidRequest
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.databases.create import CreateDatabase
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials

PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 200

_READ = Policy("token", "databases:read")
_RESET = Policy("token", "databases:write", audit="database.reset_password", order=RECORD_FIRST)
_UPSTREAM = (409, 422, 424, 429, 502, 503, 504)

_IF_MATCH = Parameter(name="If-Match", where="header", description="Proceed only if the database still has this ETag.")
_PAGING = (
    Parameter(
        name="page_size", where="query", description="1 to 200. Larger values are reduced to 200.",
        schema={"type": "integer", "minimum": 0, "default": PAGE_SIZE},
    ),
    Parameter(name="page_token", where="query", description="The previous page's `next_page_token`."),
    Parameter(
        name="refresh", where="query", description="Query Upstash even if the list is only a few seconds old.",
        schema={"type": "boolean", "default": False},
    ),
    Parameter(name="If-None-Match", where="header", description="Return 304 if the ETag is still the same."),
)  # fmt: skip


class DatabasesResource:
    """Handlers for databases and regions."""

    def __init__(self, *, databases: Databases, create: CreateDatabase, credentials: ReadCredentials) -> None:
        self._databases = databases
        self._create = create
        self._credentials = credentials
        self._pages = PageTokens()

    def routes(self) -> list[Route]:
        """Return the routes."""
        collection, item = "/v1/databases", "/v1/databases/{database_id}"
        return [
            Route(
                method="GET", path="/v1/regions", handler=self.regions, policy=Policy("open"),
                operation_id="listRegions", summary="List the regions in which databases can be created",
                answers={200: wire.RegionList},
            ),
            Route(
                method="GET", path=collection, handler=self.page, policy=_READ,
                operation_id="listDatabases", summary="List the account's databases, without credentials",
                answers={200: wire.DatabaseList, 304: None}, problems=(400, *_UPSTREAM), parameters=_PAGING,
            ),
            Route(
                method="POST", path=collection, handler=self.create,
                policy=Policy("token", "databases:write", "json", audit="database.create", order=RECORD_FIRST),
                operation_id="createDatabase", summary="Create a database, once per Idempotency-Key",
                body=wire.CreateDatabase, answers={201: wire.Database}, problems=(400, *_UPSTREAM),
                parameters=(
                    Parameter(
                        name="Idempotency-Key", where="header", required=True,
                        description=(
                            "1 to 255 visible ASCII characters. Within 24 hours, the same key means the same database."
                        ),
                    ),
                ),
            ),
            Route(
                method="GET", path=item, handler=self.get, policy=_READ,
                operation_id="getDatabase", summary="Get a database",
                answers={200: wire.Database, 304: None}, problems=(404, *_UPSTREAM), parameters=_PAGING[-1:],
            ),
            Route(
                method="PATCH", path=item, handler=self.change,
                policy=Policy("token", "databases:write", "json", audit="database.change", order=RECORD_FIRST),
                operation_id="changeDatabase", summary="Rename a database or change its settings",
                body=wire.ChangeDatabase, answers={200: wire.Database}, problems=(404, 412, *_UPSTREAM),
                parameters=(_IF_MATCH,),
            ),
            Route(
                method="DELETE", path=item, handler=self.delete,
                policy=Policy("token", "databases:delete", audit="database.delete", order=RECORD_FIRST),
                operation_id="deleteDatabase", summary="Delete a database and all its data",
                answers={204: None}, problems=(404, 412, *_UPSTREAM), parameters=(_IF_MATCH,),
            ),
            Route(
                method="GET", path=f"{item}/credentials", handler=self.credentials,
                policy=Policy("token", "databases:credentials", audit="database.credentials"),
                operation_id="getCredentials", summary="Get a database's connection credentials",
                answers={200: wire.DatabaseCredentials}, problems=(404, *_UPSTREAM),
            ),
            Route(
                method="POST", path=f"{item}/reset-password", handler=self.reset_password, policy=_RESET,
                operation_id="resetPassword", summary="Replace a database's password and REST tokens",
                answers={200: wire.Database}, problems=(404, *_UPSTREAM),
            ),
        ]  # fmt: skip

    async def regions(self, _request: web.Request) -> web.Response:
        """Return the regions."""
        regions = tuple(
            wire.Region(id=it.id, name=it.name, platform=it.platform, primary=it.primary, read=it.read)
            for it in REGIONS
        )

        return render.json(wire.RegionList(regions=regions))

    async def page(self, request: web.Request) -> web.Response:
        """Return one page of databases, or 304."""
        size = page_size(request.query.get("page_size"))
        start = self._pages.read(request.query.get("page_token"))
        refresh = _boolean(request.query.get("refresh", ""))

        databases = await self._databases.list(refresh=refresh)
        rest = [it for it in databases if start is None or (it.name.casefold(), it.id) > start]
        shown, more = rest[:size], len(rest) > size

        return _with_etag(
            request,
            wire.DatabaseList(
                databases=tuple(render.database(it) for it in shown),
                next_page_token=self._pages.make((shown[-1].name.casefold(), shown[-1].id)) if more else None,
            ),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Create a database."""
        caller = caller_of(request)
        keys = request.headers.getall("Idempotency-Key", [])
        key = idempotency.parse(caller.id, ", ".join(keys) if keys else None)
        wanted = cast("wire.CreateDatabase", decode(request[BODY], wire.CreateDatabase))
        new = new_database(wanted)
        request[TARGET] = audit_target.to_create(new)

        database, replayed = await self._create(new, key, caller)

        request[TARGET] = audit_target.created(database)
        response = render.json(render.database(database), status=201)
        response.headers["Location"] = f"/v1/databases/{database.id}"
        if replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    async def get(self, request: web.Request) -> web.Response:
        """Return a database, or 304."""
        database = await self._databases.get(_id(request))

        return _with_etag(request, render.database(database))

    async def credentials(self, request: web.Request) -> web.Response:
        """Return a database's connection credentials."""
        access = await self._credentials(_id(request), caller_of(request))

        return render.json(render.credentials(access))

    async def change(self, request: web.Request) -> web.Response:
        """Apply the requested changes."""
        wanted = cast("wire.ChangeDatabase", decode(request[BODY], wire.ChangeDatabase))

        requested = changes(wanted)
        made = [change for _, change in requested]
        request[TARGET] = audit_target.changed(_id(request), made)
        before = ""

        def is_unchanged(now: models.Database) -> bool:
            nonlocal before
            before = now.name
            return condition is None or condition(now)

        condition = _if_match(request)
        # Read even without a condition before it is renamed: its former name is in no other entry of the audit log.
        reads = condition is not None or any(isinstance(change, models.Rename) for change in made)
        database = await self._databases.change(_id(request), requested, unchanged=is_unchanged if reads else None)

        request[TARGET] = audit_target.changed(database.id, made, name=before or database.name)
        return _with_etag(request, render.database(database))

    async def reset_password(self, request: web.Request) -> web.Response:
        """Replace a database's password and tokens."""
        database = await self._databases.reset_password(_id(request))

        request[TARGET] = audit_target.named(database.id, database.name)
        return _with_etag(request, render.database(database))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete a database."""
        condition = _if_match(request)

        def is_unchanged(now: models.Database) -> bool:
            # Read even without a condition: the name is all that the user remembers of it later.
            request[TARGET] = audit_target.named(now.id, now.name)
            return condition is None or condition(now)

        await self._databases.delete(_id(request), unchanged=is_unchanged)

        return web.Response(status=204)


def new_database(wanted: wire.CreateDatabase) -> models.NewDatabase:
    """Return the broker's model of the request."""
    return models.NewDatabase(
        name=wanted.name.strip(),
        primary_region=wanted.primary_region,
        read_regions=wanted.read_regions,
        platform=wanted.platform,
        plan=wanted.plan,
        budget=wanted.budget,
        eviction=wanted.eviction,
        tls=wanted.tls,
    )


def changes(wanted: wire.ChangeDatabase) -> list[tuple[str, models.Change]]:
    """
    Return the requested changes with their fields. Those that Upstash may refuse for billing or limits come first.

    Raises:
        InvalidRequest: If there are none.
    """
    makers: dict[str, Callable[..., models.Change]] = {
        "plan": models.SetPlan,
        "budget": models.SetBudget,
        "read_regions": models.SetReadRegions,
        "tls": lambda _: models.EnableTls(),
        "eviction": models.SetEviction,
        "auto_upgrade": models.SetAutoUpgrade,
        "daily_backup": models.SetDailyBackup,
        "name": models.Rename,
    }
    found = [
        (field, make(getattr(wanted, field))) for field, make in makers.items() if getattr(wanted, field) is not UNSET
    ]
    if not found:
        message = f"Set at least one of: {', '.join(sorted(makers))}."
        raise InvalidRequest(message)
    return found


def page_size(text: str | None) -> int:
    """
    Parse ``page_size``. 0 and nothing mean the default.

    Raises:
        InvalidPageToken: If it is not a whole number.
    """
    if text is None or text == "":
        return PAGE_SIZE
    if not (text.isascii() and text.isdigit()):
        message = f"page_size must be a whole number from 1 to {MAX_PAGE_SIZE}."
        raise InvalidPageToken(message)
    return min(int(text[:12]), MAX_PAGE_SIZE) or PAGE_SIZE


class PageTokens:
    """Page tokens, authenticated with a key of this run of the daemon, since clients could modify them."""

    def __init__(self) -> None:
        self._key: Final = secrets.token_bytes(32)

    def make(self, last: tuple[str, str]) -> str:
        """Return the token of the page after the database with this name and id."""
        position = "\0".join(last).encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(self._mac(position) + position).decode().rstrip("=")

    def read(self, token: str | None) -> tuple[str, str] | None:
        """
        Return the name and id that the token holds, or None if there is no token.

        Raises:
            InvalidPageToken: If this daemon did not create it.
        """
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        mac, position = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._mac(position)):
            message = "This page_token is not valid, or the helper has been restarted. Start with the first page."
            raise InvalidPageToken(message)
        name, _, database_id = position.decode("utf-8", "surrogatepass").rpartition("\0")
        return name, database_id

    def _mac(self, position: bytes) -> bytes:
        return hashlib.blake2b(position, key=self._key, digest_size=16).digest()


def _id(request: web.Request) -> str:
    return request.match_info["database_id"]


def _boolean(text: str) -> bool:
    if text.lower() not in ("", "0", "1", "false", "true"):
        raise InvalidRequest("refresh must be true or false.")
    return text.lower() in ("1", "true")


def _with_etag(request: web.Request, value: object) -> web.Response:
    """Return ``value`` with its ETag, or 304 if the client already has it (RFC 9110, section 13.1.2)."""
    response = render.json(value)
    response.etag = render.etag(value)
    if request.method == "GET" and _matches(request.headers.getall("If-None-Match", []), render.etag(value)):
        unchanged = web.Response(status=304)
        unchanged.etag = render.etag(value)
        return unchanged
    return response


def _if_match(request: web.Request) -> Callable[[models.Database], bool] | None:
    """Return a predicate for the ``If-Match`` precondition (RFC 9110, section 13.1.1), or None if there is none."""
    values = request.headers.getall("If-Match", [])
    if not values:
        return None
    return lambda database: _matches(values, render.etag(render.database(database)))


def _matches(values: list[str], etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for value in values for tag in value.split(",")]
    return "*" in tags or f'"{etag}"' in tags
