"""The ``DatabasesApi`` port: the Redis part of the Developer API."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote, urlsplit

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
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.upstream.authorization import authorization, secrets_of
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed
from upstash_helper.upstream.response import error_text
from upstash_helper.upstream.wire import DatabaseDocument

if TYPE_CHECKING:
    from upstash_helper.broker.models import Change, Credential, Database, DatabaseSecrets, NewDatabase
    from upstash_helper.upstream.response import Response

READ_SECONDS: Final = 15.0
WRITE_SECONDS: Final = 30.0
MAX_RESPONSE_BYTES: Final = 8 * 1024 * 1024

# Upstash's ids are UUIDs. Nothing else may end up in a path, where it could name another resource.
ID: Final = re.compile(r"(?!\.+$)[A-Za-z0-9._~-]{1,128}")

REFUSED: Final = "Upstash no longer accepts the connected account's credential. Connect again."
_UNREADABLE: Final = "Upstash sent an unreadable response."

_T = TypeVar("_T")


class DeveloperApi:
    """The adapter."""

    def __init__(
        self,
        *,
        http: HttpClient,
        api_url: str,
        rest_url: str = "https://{host}",
        read_seconds: float = READ_SECONDS,
        write_seconds: float = WRITE_SECONDS,
    ) -> None:
        """
        Args:
            http: The HTTP client.
            api_url: The Developer API's URL without ``/v2``.
            rest_url: The template for a database's REST URL.
            read_seconds: Deadline for reading, including retries.
            write_seconds: Deadline for creating, changing or deleting.
        """
        self._http = http
        self._base = f"{api_url.rstrip('/')}/v2/redis"
        self._is_local = urlsplit(api_url).hostname in LOOPBACK_HOSTS
        self._rest_url = rest_url
        self._read_seconds = read_seconds
        self._write_seconds = write_seconds

    async def list(self, credential: Credential) -> tuple[Database, ...]:
        """Return all databases of the account."""
        response = await self._call(credential, "GET", "databases")
        documents = _decoded(response, list[DatabaseDocument])
        return tuple(document.database(self._rest_url) for document in documents)

    async def get(self, credential: Credential, database_id: str) -> tuple[Database, DatabaseSecrets]:
        """Return one database with its secrets."""
        response = await self._call(credential, "GET", "database/{id}", database_id=database_id)
        document = _decoded(response, DatabaseDocument)
        secrets = document.secrets()
        if secrets is None:
            raise UpstreamUnavailable("Upstash sent the database without its password and tokens.")
        if self._is_local and document.tls_ca is not None:
            # Only a sandbox on this machine may say what clients on this machine should trust.
            secrets = msgspec.structs.replace(secrets, ca_file=await asyncio.to_thread(document.ca_file))
        return document.database(self._rest_url), secrets

    async def create(self, credential: Credential, new: NewDatabase) -> Database:
        """Create a database. The request is sent once."""
        try:
            response = await self._send(credential, "POST", "database", _creation_body(new))
        except TransportFailed as error:
            failure = error
        else:
            return self._created(response, credential, new)
        if failure.stage == "connecting":
            raise as_helper_error(failure)
        raise OutcomeUnknown(_outcome_unknown(new, failure.detail))

    async def change(self, credential: Credential, database_id: str, change: Change) -> None:
        """Apply one change."""
        method, path, body = _route(change)
        await self._call(credential, method, path, body, database_id=database_id)

    async def delete(self, credential: Credential, database_id: str) -> None:
        """Delete a database with its data."""
        await self._call(credential, "DELETE", "database/{id}", database_id=database_id)

    def _created(self, response: Response, credential: Credential, new: NewDatabase) -> Database:
        if response.status >= 500:
            # With a 502 or 504 of a gateway, the backend may have created it, and the other codes are no different.
            raise OutcomeUnknown(_outcome_unknown(new, f"Upstash failed (status {response.status})."))
        check(response, credential)
        try:
            return _decoded(response, DatabaseDocument).database(self._rest_url)
        except UpstreamUnavailable:
            pass
        raise OutcomeUnknown(_outcome_unknown(new, _UNREADABLE))

    async def _call(
        self, credential: Credential, method: str, path: str, body: object = None, *, database_id: str | None = None
    ) -> Response:
        if database_id is not None:
            if not ID.fullmatch(database_id):
                raise DatabaseNotFound("There is no such database: the ID is invalid.")
            path = path.format(id=quote(database_id, safe=""))
        try:
            response = await self._send(credential, method, path, body)
        except TransportFailed as error:
            failure = error
        else:
            check(response, credential, database_id)
            return response
        raise as_helper_error(failure, changing=method != "GET")

    async def _send(self, credential: Credential, method: str, path: str, body: object) -> Response:
        reading = method == "GET"
        headers = {"Authorization": authorization(credential), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return await self._http.send(
            Request(
                method=method,
                url=f"{self._base}/{path}",
                headers=headers,
                body=None if body is None else msgspec.json.encode(body),
                retry=RetryPolicy.ALWAYS if reading else RetryPolicy.UNSENT,
                deadline=self._read_seconds if reading else self._write_seconds,
                limit=MAX_RESPONSE_BYTES,
            )
        )


def _creation_body(new: NewDatabase) -> dict[str, Any]:
    """Return the request body for a new database, with only the fields that were given."""
    region = operations.find_region(new.primary_region)
    body: dict[str, Any] = {
        "database_name": new.name,
        "platform": new.platform or (region.platform if region else "aws"),
        "primary_region": new.primary_region,
    }
    if new.read_regions:
        body["read_regions"] = new.read_regions
    given = {"plan": new.plan, "budget": new.budget, "eviction": new.eviction, "tls": new.tls}
    return body | {name: value for name, value in given.items() if value is not None}


def _route(change: Change) -> tuple[str, str, dict[str, Any] | None]:  # noqa: PLR0911 - one return for each change
    """Return method, path and body, as in the OpenAPI document."""
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


def _decoded(response: Response, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(response.body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # Raised outside the handler, since the decoder's error may quote the document.
    raise UpstreamUnavailable(f"{_UNREADABLE} Try again.")


_ERROR_BY_STATUS: Final[dict[int, tuple[type[HelperError], str]]] = {
    401: (ReconnectRequired, REFUSED),
    403: (UpstreamForbidden, "Upstash does not allow this with the connected account's access."),
    409: (UpstreamConflict, "The request conflicts with the current state."),
    429: (UpstreamRateLimited, "Upstash's rate limit has been reached. Try again later."),
}


def check(response: Response, credential: Credential, database_id: str | None = None) -> None:
    """
    Check that the status is 2xx.

    Raises:
        HelperError: If it is not, with Upstash's explanation.
    """
    if 200 <= response.status < 300:
        return
    if response.status >= 500:
        detail = f"Upstash failed (status {response.status}). Try again later."
        raise UpstreamUnavailable(detail, retry_after=response.retry_after)

    rejected = (UpstreamRejected, f"Upstash rejected the request (status {response.status}).")
    kind, text = _ERROR_BY_STATUS.get(response.status, rejected)
    if response.status == 404 and database_id is not None:
        kind, text = DatabaseNotFound, "The account has no such database."
    message = error_text(response, *secrets_of(credential))
    raise kind(f"{text} Upstash says: {message}" if message else text, retry_after=response.retry_after)


def as_helper_error(failure: TransportFailed, *, changing: bool = False) -> HelperError:
    """
    Return the domain's error for a request without a response.

    Args:
        failure: The failure.
        changing: Whether the request changes anything. If it may have been processed, the error states that.
    """
    detail = failure.detail
    if changing and failure.stage != "connecting":
        detail += " The change may have been made anyway."
    kind = UpstreamTimeout if failure.kind == "timeout" else UpstreamUnavailable
    return kind(detail, retry_after=failure.retry_after)


def _outcome_unknown(new: NewDatabase, problem: str) -> str:
    return f"{problem} A database named {new.name!r} may have been created. Check the list before you try again."
