"""The response to requests that match no route: an error that names what the sandbox does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from upstash_helper.sandbox.errors import RequestError

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

BASE = "/v2"
PRODUCTS = {
    "blob": "Blob",
    "kafka": "Kafka",
    "qstash": "QStash",
    "redis": "Redis",
    "search": "Search",
    "vector": "Vector",
}
"""Upstash's products, by the first part of their paths below ``BASE``."""
MAX_SHOWN_CHARACTERS = 200


@web.middleware
async def name_what_is_missing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """
    Answer an unknown path with 501 and what is missing.

    A 404 would mean that Upstash does not have the path either, or that a resource does not exist. Below
    ``/.well-known/``, it is 404, which clients expect there: they look for several kinds of metadata.
    """
    try:
        return await handler(request)
    except web.HTTPNotFound:
        status = 404 if request.path.startswith("/.well-known/") else 501
        raise RequestError(status, _missing(request)) from None
    except web.HTTPMethodNotAllowed as error:
        allowed = sorted(error.allowed_methods)
        message = f"{request.method} is not allowed at {_shown_path(request)}. Allowed: {', '.join(allowed)}."
        raise RequestError(405, message, allow=",".join(allowed)) from None


def _missing(request: web.Request) -> str:
    path = request.rel_url.raw_path
    if path != BASE and not path.startswith(f"{BASE}/"):
        return f"The sandbox has no {request.method} {_shown_path(request)} at this address."
    product = _first_part(path)
    if product in PRODUCTS and product not in {_first_part(it.canonical) for it in request.app.router.resources()}:
        return f"The sandbox has no {PRODUCTS[product]}, so it cannot answer {request.method} {_shown_path(request)}."
    return f"The sandbox has no operation {request.method} {_shown_path(request)}."


def _shown_path(request: web.Request) -> str:
    # The raw path is ASCII. The decoded one can have characters that cannot be encoded as JSON.
    path = request.rel_url.raw_path
    return path if len(path) <= MAX_SHOWN_CHARACTERS else f"{path[:MAX_SHOWN_CHARACTERS]}..."


def _first_part(path: str) -> str:
    """Return the part after ``BASE``: ``redis`` for ``/v2/redis/databases``."""
    return path.removeprefix(f"{BASE}/").partition("/")[0]
