"""The Redis part of the Developer API."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from upstash_helper.broker import models
from upstash_helper.broker.databases import operations
from upstash_helper.broker.errors import (
    DatabaseNotFound,
    HelperError,
    OutcomeUnknown,
    ReconnectRequired,
    UpstreamConflict,
    UpstreamForbidden,
    UpstreamRateLimited,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from upstash_helper.upstream.http_client import Upstream
from upstash_helper.upstream.request import Call, Resend, TransportFailed
from upstash_helper.upstream.response import words_of
from upstash_helper.upstream.wire import DatabaseDocument

if TYPE_CHECKING:
    from upstash_helper.broker.models import Change, Credential, Database, DatabaseSecrets, NewDatabase
    from upstash_helper.upstream.response import Reply

READ_SECONDS: Final = 15.0
WRITE_SECONDS: Final = 30.0
LARGEST_ANSWER: Final = 8 * 1024 * 1024

# Upstash's are UUIDs. Anything else must not get a chance to become another path.
_ID: Final = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]{1,128}")

_T = TypeVar("_T")


class DeveloperApi:
    """The ``DatabasesApi`` port over HTTP."""

    def __init__(
        self,
        *,
        http: Upstream,
        api_url: str,
        rest_url: str = "https://{host}",
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        """
        Args:
            http: The client.
            api_url: The Developer API without ``/v2``.
            rest_url: The template of a database's REST address.
            read_seconds: Deadline of a list or get, its retries included.
            write_seconds: Deadline of a create, change or delete.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/v2/redis"
        self._rest_url = rest_url
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds

    async def list(self, credential: Credential) -> tuple[Database, ...]:
        """Return all databases of the account."""
        reply = await self._call(credential, "GET", "databases")
        documents = _decoded(reply, list[DatabaseDocument])
        return tuple(document.database(self._rest_url) for document in documents)

    async def get(self, credential: Credential, database_id: str) -> tuple[Database, DatabaseSecrets]:
        """Return one database with its secrets."""
        reply = await self._call(credential, "GET", "database/{id}", database_id=database_id)
        document = _decoded(reply, DatabaseDocument)
        secrets = document.secrets()
        if secrets is None:
            raise UpstreamUnavailable("Upstash sent the database without its password and tokens.")
        return document.database(self._rest_url), secrets

    async def create(self, credential: Credential, new: NewDatabase) -> Database:
        """Make a database; sent once."""
        try:
            reply = await self._send(credential, "POST", "database", _order(new))
        except TransportFailed as error:
            failure = error
        else:
            return self._created(reply, credential, new)
        if failure.stage == "connecting":
            raise transport_error(failure)
        raise OutcomeUnknown(_unknown(new, failure.detail))

    async def change(self, credential: Credential, database_id: str, change: Change) -> None:
        """Make one change."""
        method, path, body = _route(change)
        await self._call(credential, method, path, body, database_id=database_id)

    async def delete(self, credential: Credential, database_id: str) -> None:
        """Delete the database and what is in it."""
        await self._call(credential, "DELETE", "database/{id}", database_id=database_id)

    def _created(self, reply: Reply, credential: Credential, new: NewDatabase) -> Database:
        if reply.status >= 500:
            # A gateway says 502 or 504 of what its backend may well have done; nothing tells the other codes apart.
            raise OutcomeUnknown(_unknown(new, f"Upstash failed (status {reply.status})."))
        _check(reply, credential)
        try:
            return _decoded(reply, DatabaseDocument).database(self._rest_url)
        except UpstreamUnavailable as error:
            unreadable = error.detail
        raise OutcomeUnknown(_unknown(new, unreadable))

    async def _call(
        self, credential: Credential, method: str, path: str, body: object = None, *, database_id: str | None = None
    ) -> Reply:
        if database_id is not None:
            if not _ID.fullmatch(database_id):
                raise DatabaseNotFound("There is no such database: this is no id of a database.")
            path = path.format(id=quote(database_id, safe=""))
        try:
            reply = await self._send(credential, method, path, body)
        except TransportFailed as error:
            failure = error
        else:
            _check(reply, credential, database_id)
            return reply
        raise transport_error(failure, changing=method != "GET")

    async def _send(self, credential: Credential, method: str, path: str, body: object) -> Reply:
        reading = method == "GET"
        headers = {"Authorization": f"Basic {basic(credential)}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._http.send(
            Call(
                method=method,
                url=f"{self._base}/{path}",
                headers=headers,
                body=None if body is None else msgspec.json.encode(body),
                resend=Resend.ALWAYS if reading else Resend.UNSENT,
                deadline=self._read_seconds if reading else self._write_seconds,
                limit=LARGEST_ANSWER,
            )
        )


def basic(credential: Credential) -> str:
    """Return the user and password of RFC 7617, in UTF-8."""
    if credential.email is None:
        raise ReconnectRequired("The e-mail of the Upstash account is not known. Connect again.")
    return base64.b64encode(f"{credential.email}:{credential.api_key.reveal()}".encode()).decode()


def _order(new: NewDatabase) -> dict[str, Any]:
    """Return the body of a create in the current dialect, with the fields that were given and no other."""
    region = operations.find_region(new.primary_region)
    order: dict[str, Any] = {
        "database_name": new.name,
        "platform": new.platform or (region.platform if region else "aws"),
        "primary_region": new.primary_region,
    }
    if new.read_regions:
        order["read_regions"] = new.read_regions
    given = {"plan": new.plan, "budget": new.budget, "eviction": new.eviction, "tls": new.tls}
    return order | {name: value for name, value in given.items() if value is not None}


def _route(change: Change) -> tuple[str, str, dict[str, Any] | None]:  # noqa: PLR0911 - one change, one route
    """Return method, path and body, as the OpenAPI document has them."""
    match change:
        case models.Rename(name):
            return "POST", "rename/{id}", {"name": name}
        case models.SetEviction(enabled):
            return "POST", f"{_verb(enabled=enabled)}-eviction/{{id}}", None
        case models.SetAutoUpgrade(enabled):
            return "POST", f"{_verb(enabled=enabled)}-autoupgrade/{{id}}", None
        case models.SetDailyBackup(enabled):
            return "PATCH", f"{_verb(enabled=enabled)}-dailybackup/{{id}}", None
        case models.SetReadRegions(read_regions):
            return "POST", "update-regions/{id}", {"read_regions": read_regions}
        case models.SetPlan(plan):
            return "POST", "{id}/change-plan", {"plan_name": plan}
        case models.SetBudget(budget):
            return "PATCH", "update-budget/{id}", {"budget": budget}
        case models.EnableTls():
            return "POST", "enable-tls/{id}", None
        case models.ResetPassword():
            return "POST", "reset-password/{id}", None


def _verb(*, enabled: bool) -> str:
    return "enable" if enabled else "disable"


def _decoded(reply: Reply, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(reply.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # Outside of the handler: the decoder's message may quote the document.
    raise UpstreamUnavailable("Upstash sent an answer that cannot be read. Try again.")


_REFUSALS: Final[dict[int, tuple[type[HelperError], str]]] = {
    401: (ReconnectRequired, "Upstash does not take the stored API key any more. Connect again."),
    403: (UpstreamForbidden, "Upstash does not let this API key do that."),
    409: (UpstreamConflict, "The request conflicts with what is there."),
    429: (UpstreamRateLimited, "Upstash asks for fewer requests. Try again later."),
}


def _check(reply: Reply, credential: Credential, database_id: str | None = None) -> None:
    """Raise the error for a status that is no success."""
    if 200 <= reply.status < 300:
        return
    if reply.status >= 500:
        detail = f"Upstash failed (status {reply.status}). Try again later."
        raise UpstreamUnavailable(detail, retry_after=reply.retry_after)

    kind, text = _REFUSALS.get(reply.status, (UpstreamRejected, f"Upstash refused the request ({reply.status})."))
    if reply.status == 404 and database_id is not None:
        kind, text = DatabaseNotFound, "The account has no such database."
    said = words_of(reply, credential.api_key.reveal(), credential.email, basic(credential))
    raise kind(f"{text} Upstash says: {said}" if said else text, retry_after=reply.retry_after)


def transport_error(failure: TransportFailed, *, changing: bool = False) -> HelperError:
    """Return the domain's word for a request without an answer."""
    detail = failure.detail
    if changing and failure.stage != "connecting":
        detail += " The change may have been made all the same."
    kind = UpstreamTimeout if failure.kind == "timeout" else UpstreamUnavailable
    return kind(detail, retry_after=failure.retry_after)


def _unknown(new: NewDatabase, what: str) -> str:
    return f"{what} A database called {new.name!r} may have been made: look at the list before you ask for it again."
