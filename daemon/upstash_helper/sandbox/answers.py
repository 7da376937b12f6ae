"""JSON in and out, and errors as Upstash shapes them: an object with ``error``."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from upstash_helper.sandbox.errors import Refused, ServerFailed

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)

Body = TypeVar("Body")

LARGEST_BODY = 1024 * 1024
"""Bytes. Requests of the Developer API are small."""


def json_answer(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return ``value`` as JSON that nobody may keep."""
    return web.Response(
        body=msgspec.json.encode(value),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """Return an error as Upstash words it."""
    return json_answer({"error": message}, status=status, headers=headers)


async def read_json(request: web.Request, kind: type[Body]) -> Body:
    """
    Return the request's body, decoded and checked.

    Raises:
        Refused: With 400, naming the field that is wrong.
    """
    body = await request.read()
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise Refused(400, f"invalid request body: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Refused(400, "invalid request body: it is not JSON") from None
    except RecursionError:
        raise Refused(400, "invalid request body: it is nested too deeply") from None


@web.middleware
async def errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer."""
    if request.headers.get("Content-Encoding", "identity") != "identity":
        return error_answer(415, "request bodies are taken without Content-Encoding")
    try:
        return await handler(request)
    except Refused as error:
        return error_answer(error.status, error.message)
    except ServerFailed as error:
        return error_answer(503, str(error))
    except web.HTTPException as error:
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else None
        return error_answer(error.status, (error.text or error.reason).removeprefix(f"{error.status}: "), allow)
    except Exception:
        # A mistake of ours. The message could hold what the request held, so the log has the route and the traceback.
        log.exception("%s %s failed", request.method, request.match_info.route.resource)
        return error_answer(500, "the sandbox failed; its log says why")
