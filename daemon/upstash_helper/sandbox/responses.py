"""JSON requests and responses, and errors in Upstash's format: an object with ``error``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from upstash_helper.sandbox.errors import RequestError, ServerError
from upstash_helper.system import validation

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)

Body = TypeVar("Body")

MAX_BODY_BYTES = 1024 * 1024
"""Requests to the Developer API are small."""


def json_response(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return ``value`` as JSON that must not be cached."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def error_response(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return an error in Upstash's format."""
    return json_response({"error": message}, status=status, headers=headers)


async def read_json(request: web.Request, kind: type[Body]) -> Body:
    """
    Decode the request's body as ``kind`` and validate it.

    Raises:
        RequestError: With status 400, naming the invalid field.
    """
    body = await request.read()
    try:
        return validation.decode_json(body, kind)
    except validation.ValuesInvalid as error:
        raise invalid_values(error) from None
    except validation.JsonInvalid as error:
        raise RequestError(400, f"invalid request body: it is not JSON. {error}") from None


def invalid_values(error: validation.ValuesInvalid) -> RequestError:
    """Return the error for a body with invalid values, which names the first of them."""
    first = error.errors[0]
    where = first.pointer.removeprefix("/").replace("/", ".")
    return RequestError(400, f"invalid request body: {where + ': ' if where else ''}{first.detail}")


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a handler's exceptions into JSON error responses."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        return error_response(415, "request bodies must be sent without Content-Encoding")
    try:
        return await handler(request)
    except RequestError as error:
        return error_response(error.status, error.message, {"Allow": error.allow} if error.allow else None)
    except (ServerError, ConnectionError) as error:  # if the connection is lost, nobody receives this
        return error_response(503, str(error))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        too_large = isinstance(error, web.HTTPRequestEntityTooLarge)
        return error_response(error.status, "the request body is too large" if too_large else error.reason, allow)
    except Exception:
        # A bug. The message could contain data from the request, so only the route and the traceback are logged.
        log.exception("%s %s failed", request.method, request.match_info.route.resource)
        return error_response(500, "internal error of the sandbox; see its log")
