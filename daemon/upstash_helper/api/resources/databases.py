"""``/v1/databases`` and ``/v1/regions``."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web
from msgspec import UNSET

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import BODY, TARGET, Parameter, Route, caller_of
from upstash_helper.broker import models
from upstash_helper.broker.databases import create as idempotency
from upstash_helper.broker.databases.operations import REGIONS
from upstash_helper.broker.errors import InvalidPageToken, InvalidRequest
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.databases.create import CreateDatabase
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials

PAGE: Final = 50
LARGEST_PAGE: Final = 200

_READ = Policy("token", "databases:read")
_RESET = Policy("token", "databases:write", audit="database.reset_password")
_UPSTREAM = (409, 422, 424, 429, 502, 503, 504)

_IF_MATCH = Parameter(
    name="If-Match", where="header", description="Only if the database is still the one with this ETag."
)
_PAGING = (
    Parameter(
        name="page_size", where="query", description="1 to 200; a larger number is taken as 200.",
        schema={"type": "integer", "minimum": 0, "default": PAGE},
    ),
    Parameter(name="page_token", where="query", description="`next_page_token` of the page before."),
    Parameter(
        name="refresh", where="query", description="Ask Upstash although the last answer is a few seconds old.",
        schema={"type": "boolean", "default": False},
    ),
    Parameter(name="If-None-Match", where="header", description="304 if nothing has changed since this ETag."),
)  # fmt: skip


class DatabasesResource:
    """The handlers."""

    def __init__(self, *, databases: Databases, create: CreateDatabase, credentials: ReadCredentials) -> None:
        self._databases = databases
        self._create = create
        self._credentials = credentials
        self._pages = PageTokens()

    def routes(self) -> list[Route]:
        """Return what is served here."""
        at, one = "/v1/databases", "/v1/databases/{database_id}"
        return [
            Route(
                method="GET", path="/v1/regions", handler=self.regions, policy=Policy("open"),
                operation_id="listRegions", summary="What a create form offers",
                answers={200: wire.RegionList},
            ),
            Route(
                method="GET", path=at, handler=self.page, policy=_READ,
                operation_id="listDatabases", summary="List the account's databases, without credentials",
                answers={200: wire.DatabaseList, 304: None}, problems=(400, *_UPSTREAM), parameters=_PAGING,
            ),
            Route(
                method="POST", path=at, handler=self.create,
                policy=Policy("token", "databases:write", "json", audit="database.create"),
                operation_id="createDatabase", summary="Make a database, once for one Idempotency-Key",
                body=wire.CreateDatabase, answers={201: wire.Database}, problems=(400, *_UPSTREAM),
                parameters=(
                    Parameter(
                        name="Idempotency-Key", where="header", required=True,
                        description="1 to 255 visible ASCII characters. For 24 hours the same key is the same one.",
                    ),
                ),
            ),
            Route(
                method="GET", path=one, handler=self.get, policy=_READ,
                operation_id="getDatabase", summary="Read one database",
                answers={200: wire.Database, 304: None}, problems=(404, *_UPSTREAM), parameters=_PAGING[-1:],
            ),
            Route(
                method="PATCH", path=one, handler=self.change,
                policy=Policy("token", "databases:write", "json", audit="database.change"),
                operation_id="changeDatabase", summary="Rename a database, or change its settings",
                body=wire.ChangeDatabase, answers={200: wire.Database}, problems=(404, 412, *_UPSTREAM),
                parameters=(_IF_MATCH,),
            ),
            Route(
                method="DELETE", path=one, handler=self.delete,
                policy=Policy("token", "databases:delete", audit="database.delete"),
                operation_id="deleteDatabase", summary="Delete a database and all that is in it",
                answers={204: None}, problems=(404, 412, *_UPSTREAM), parameters=(_IF_MATCH,),
            ),
            Route(
                method="GET", path=f"{one}/credentials", handler=self.credentials,
                policy=Policy("token", "databases:credentials", audit="database.credentials"),
                operation_id="getCredentials", summary="Read what lets a client into a database",
                answers={200: wire.DatabaseCredentials}, problems=(404, *_UPSTREAM),
            ),
            Route(
                method="POST", path=f"{one}/reset-password", handler=self.reset_password, policy=_RESET,
                operation_id="resetPassword", summary="Give a database a new password and new tokens",
                answers={200: wire.Database}, problems=(404, *_UPSTREAM),
            ),
        ]  # fmt: skip

    async def regions(self, _request: web.Request) -> web.Response:
        """Answer with the regions."""
        regions = tuple(
            wire.Region(id=it.id, name=it.name, platform=it.platform, primary=it.primary, read=it.read)
            for it in REGIONS
        )

        return render.json(wire.RegionList(regions=regions))

    async def page(self, request: web.Request) -> web.Response:
        """Answer with one page, or 304."""
        size = page_size(request.query.get("page_size"))
        start = self._pages.read(request.query.get("page_token"))
        refresh = _yes(request.query.get("refresh", ""))

        databases = await self._databases.list(refresh=refresh)
        rest = [it for it in databases if start is None or (it.name.casefold(), it.id) > start]
        shown, more = rest[:size], len(rest) > size

        return _validated(
            request,
            wire.DatabaseList(
                databases=tuple(render.database(it) for it in shown),
                next_page_token=self._pages.make((shown[-1].name.casefold(), shown[-1].id)) if more else None,
            ),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Make a database."""
        caller = caller_of(request)
        keys = request.headers.getall("Idempotency-Key", [])
        key = idempotency.parse(caller.id, ", ".join(keys) if keys else None)
        wanted = cast("wire.CreateDatabase", decode(request[BODY], wire.CreateDatabase))
        request[TARGET] = wanted.name

        database, replayed = await self._create(new_database(wanted), key, caller)

        request[TARGET] = database.id
        response = render.json(render.database(database), status=201)
        response.headers["Location"] = f"/v1/databases/{database.id}"
        if replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response

    async def get(self, request: web.Request) -> web.Response:
        """Answer with one database, or 304."""
        database = await self._databases.get(_id(request))

        return _validated(request, render.database(database))

    async def credentials(self, request: web.Request) -> web.Response:
        """Answer with the secrets of one database."""
        access = await self._credentials(_id(request), caller_of(request))

        return render.json(render.credentials(access))

    async def change(self, request: web.Request) -> web.Response:
        """Make the changes that are named."""
        wanted = cast("wire.ChangeDatabase", decode(request[BODY], wire.ChangeDatabase))

        database = await self._databases.change(_id(request), changes(wanted), unchanged=_if_match(request))

        return _validated(request, render.database(database))

    async def reset_password(self, request: web.Request) -> web.Response:
        """Make new secrets."""
        database = await self._databases.reset_password(_id(request))

        return _validated(request, render.database(database))

    async def delete(self, request: web.Request) -> web.Response:
        """Delete one database."""
        await self._databases.delete(_id(request), unchanged=_if_match(request))

        return web.Response(status=204)


def new_database(wanted: wire.CreateDatabase) -> models.NewDatabase:
    """Return the broker's word for it."""
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
    Return what to change, each with its field: what can be refused for money or limits before what cannot.

    Raises:
        InvalidRequest: If nothing is to be changed.
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
        message = f"Name at least one of: {', '.join(sorted(makers))}."
        raise InvalidRequest(message)
    return found


def page_size(text: str | None) -> int:
    """
    Return how many databases a page has.

    Raises:
        InvalidRequest: If it is no number from 0 (the default) up.
    """
    if text is None or text == "":
        return PAGE
    if not (text.isascii() and text.isdigit()):
        message = f"page_size takes a whole number from 1 to {LARGEST_PAGE}."
        raise InvalidPageToken(message)
    return min(int(text[:12]), LARGEST_PAGE) or PAGE


class PageTokens:
    """Page tokens that only this run of the daemon can have made: they come back through strangers' hands."""

    def __init__(self) -> None:
        self._key: Final = secrets.token_bytes(32)

    def make(self, last: tuple[str, str]) -> str:
        """Return the token of the page after the database with this name and id."""
        place = "\0".join(last).encode("utf-8", "surrogatepass")
        return base64.urlsafe_b64encode(self._mac(place) + place).decode().rstrip("=")

    def read(self, token: str | None) -> tuple[str, str] | None:
        """
        Return the place that the token names; None for no token.

        Raises:
            InvalidPageToken: If it was not made here.
        """
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        mac, place = raw[:16], raw[16:]
        if not hmac.compare_digest(mac, self._mac(place)):
            message = (
                "This page_token was not made here, or before the helper was restarted. Begin with the first page."
            )
            raise InvalidPageToken(message)
        name, _, database_id = place.decode("utf-8", "surrogatepass").rpartition("\0")
        return name, database_id

    def _mac(self, place: bytes) -> bytes:
        return hashlib.blake2b(place, key=self._key, digest_size=16).digest()


def _id(request: web.Request) -> str:
    return request.match_info["database_id"]


def _yes(text: str) -> bool:
    if text.lower() not in ("", "0", "1", "false", "true"):
        raise InvalidRequest("refresh takes true or false.")
    return text.lower() in ("1", "true")


def _validated(request: web.Request, value: object) -> web.Response:
    """Return ``value`` with its ETag, or 304 if the caller has it (RFC 9110, section 13.1.2)."""
    response = render.json(value)
    response.etag = render.etag(value)
    if request.method == "GET" and _names(request.headers.getall("If-None-Match", []), render.etag(value)):
        unchanged = web.Response(status=304)
        unchanged.etag = render.etag(value)
        return unchanged
    return response


def _if_match(request: web.Request) -> Callable[[models.Database], bool] | None:
    """Return what tells whether a database is the one that the caller last saw (RFC 9110, section 13.1.1)."""
    values = request.headers.getall("If-Match", [])
    if not values:
        return None
    return lambda database: _names(values, render.etag(render.database(database)))


def _names(values: list[str], etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for value in values for tag in value.split(",")]
    return "*" in tags or f'"{etag}"' in tags
