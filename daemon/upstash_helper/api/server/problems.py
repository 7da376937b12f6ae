"""Errors as responses: RFC 9457 problem details, and the table from domain errors to HTTP statuses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from upstash_helper.api.server import refusal_page
from upstash_helper.broker import errors
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CONTENT_TYPE: Final = "application/problem+json"

STATUS_OF: Final[dict[type[errors.HelperError], int]] = {
    errors.NotConnected: 409,
    # Not 401: the caller's token is valid, but Upstash rejects the helper's API key (RFC 4918, section 11.4).
    errors.ReconnectRequired: 424,
    errors.EmailRequired: 409,
    errors.ReadOnlyAccess: 403,
    errors.AccessRenewed: 503,
    errors.ClientIdMissing: 409,
    errors.PortConflict: 503,
    errors.AttemptNotFound: 404,
    errors.OwnerOnly: 403,
    errors.NotTheStarter: 403,
    errors.NothingToConfirm: 409,
    errors.CredentialRefused: 422,
    errors.EmailNotNeeded: 409,
    errors.StoreLocked: 503,
    errors.StoreUnavailable: 503,
    errors.LedgerUnavailable: 503,
    errors.LedgerFull: 507,
    errors.AccessEnded: 401,
    errors.PairingNotFound: 404,
    errors.PairingPending: 409,
    errors.PairingUndecided: 409,
    errors.PairingDenied: 403,
    errors.PairingExpired: 410,
    errors.PairingReplaced: 410,
    errors.TokenDelivered: 410,
    errors.PairingDecided: 409,
    errors.TooManyPairings: 429,
    errors.AppBlocked: 403,
    errors.AppNotFound: 404,
    errors.BlockNotFound: 404,
    errors.ConfirmationNotFound: 404,
    errors.ConfirmationDecided: 409,
    errors.ConfirmationExpired: 410,
    errors.TooManyConfirmations: 429,
    errors.NotTheCreator: 403,
    errors.TicketNotValid: 403,
    errors.RateLimited: 429,
    errors.InvalidRequest: 422,
    errors.FileRefused: 422,
    errors.FileNotWritten: 503,
    errors.PathNotAllowed: 403,
    errors.InvalidPageToken: 400,
    errors.PreconditionFailed: 412,
    errors.IdempotencyKeyRequired: 400,
    errors.IdempotencyKeyInvalid: 400,
    errors.IdempotencyKeyReused: 422,
    errors.RequestInProgress: 409,
    errors.OutcomeUnknown: 409,
    errors.DatabaseNotFound: 404,
    errors.UpstreamRejected: 422,
    errors.UpstreamForbidden: 424,
    errors.UpstreamConflict: 409,
    errors.UpstreamRateLimited: 429,
    errors.UpstreamUnavailable: 502,
    errors.UpstreamTimeout: 504,
}


def answer(
    status: int,
    code: str,
    detail: str = "",
    *,
    invalid: Iterable[wire.FieldError] = (),
    retry_after: float | None = None,
    applied: tuple[str, ...] = (),
    links: Mapping[str, str] | None = None,
    headers: Iterable[tuple[str, str]] = (),
) -> web.Response:
    """Return a problem as a response. Its title, and by default its detail, are those of ``code`` in the catalog."""
    from upstash_helper.protocol.messages import PROBLEMS

    seconds = None if retry_after is None else max(1, math.ceil(retry_after))
    problem = wire.Problem(
        status=status,
        code=code,
        title=PROBLEMS[code].title,
        detail=detail or PROBLEMS[code].text,
        errors=tuple(invalid),
        retry_after=UNSET if seconds is None else seconds,
        applied=applied,
        links=dict(links or {}),
    )
    response = web.Response(status=status, body=msgspec.json.encode(problem), content_type=CONTENT_TYPE)
    response.headers.extend(headers)
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
    return response


def for_upstash_clients(response: web.StreamResponse) -> None:
    """
    Add the member ``error`` to a problem, in which Upstash's API puts the reason.

    Upstash's command line shows it. Without it, it prints the whole problem as an escaped text.
    """
    if not isinstance(response, web.Response) or response.content_type != CONTENT_TYPE:
        return
    if isinstance(response.body, bytes):
        problem = msgspec.json.decode(response.body, type=wire.Problem)
        # A refusal of another site's page is the same constant on every path.
        if problem.code != "cross_site_request":
            response.body = msgspec.json.encode(msgspec.structs.replace(problem, error=problem.detail))


def as_page(response: web.StreamResponse, *, home: bool) -> None:
    """Turn a problem into a page with the same status, for a browser that would show its user the document."""
    if not isinstance(response, web.Response) or response.content_type != CONTENT_TYPE:
        return
    if isinstance(response.body, bytes):
        problem = msgspec.json.decode(response.body, type=wire.Problem)
        response.body = refusal_page.render(problem.title, problem.detail, home=home)
        response.content_type, response.charset = refusal_page.CONTENT_TYPE, "utf-8"
        response.headers["Content-Security-Policy"] = refusal_page.policy()


def of_error(error: errors.HelperError) -> web.Response:
    """Return a domain error as a response."""
    invalid = (
        [wire.FieldError(pointer=error.pointer, detail=error.detail)]
        if isinstance(error, errors.InvalidRequest)
        else []
    )
    if isinstance(error, errors.PartlyApplied):
        return answer(
            STATUS_OF[type(error.cause)],
            error.code,
            error.detail,
            retry_after=error.retry_after,
            applied=error.applied,
        )
    return answer(
        STATUS_OF[type(error)],
        error.code,
        error.detail,
        invalid=invalid,
        retry_after=error.retry_after,
        links=_links(error),
    )


def _links(error: errors.HelperError) -> dict[str, str]:
    match error:
        case errors.PairingPending():
            return {"pairing": f"/v1/pairings/{error.pairing_id}"}
        case errors.PairingReplaced():
            return {"pairings": "/v1/pairings"}
        case errors.OutcomeUnknown():
            return {"databases": "/v1/databases?refresh=true"}
        case errors.NotTheCreator():
            return {"pair": "/v1/pairings"}
        case _:
            return {}


class BodyInvalid(Exception):
    """A body that is not JSON, or does not match the route's schema."""

    def __init__(self, status: int, code: str, detail: str, *, invalid: Iterable[wire.FieldError] = ()) -> None:
        """Take the same arguments as ``answer``."""
        super().__init__("the body is not valid")
        self.code = code
        self.response = answer(status, code, detail, invalid=invalid)


def decode(body: bytes, kind: type[wire.RequestBody]) -> wire.RequestBody:
    """
    Decode a JSON body as ``kind``.

    Raises:
        BodyInvalid: With 400 ``invalid_json``, or 422 ``invalid_request`` and a JSON pointer to each invalid value.
    """
    # Imported late: a daemon that starts has nothing to decode.
    from upstash_helper.system import validation

    try:
        return validation.decode_json(body, kind, unique_keys=True)
    except validation.ValuesInvalid as error:
        invalid = [wire.FieldError(pointer=one.pointer, detail=one.detail) for one in error.errors]
        raise BodyInvalid(422, "invalid_request", error.errors[0].sentence("The body"), invalid=invalid) from None
    except validation.JsonInvalid as error:
        raise BodyInvalid(400, "invalid_json", f"The body is not valid JSON. {error}") from None
