"""The answer to requests for products and operations of the Developer API that the sandbox does not have."""

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
    Answer an unknown path of the Developer API with 501 and what is missing.

    A 404 would mean that Upstash does not have the path either, or that a resource does not exist.
    """
    try:
        return await handler(request)
    except web.HTTPNotFound:
        if request.path != BASE and not request.path.startswith(f"{BASE}/"):
            raise
        raise RequestError(501, _missing(request)) from None


def _missing(request: web.Request) -> str:
    # The raw path is ASCII. The decoded one can have characters that cannot be encoded as JSON.
    path = request.rel_url.raw_path
    shown = path if len(path) <= MAX_SHOWN_CHARACTERS else f"{path[:MAX_SHOWN_CHARACTERS]}..."
    product = _first_part(path)
    if product in PRODUCTS and product not in {_first_part(it.canonical) for it in request.app.router.resources()}:
        return f"The sandbox has no {PRODUCTS[product]}, so it cannot answer {request.method} {shown}."
    return f"The sandbox has no operation {request.method} {shown}."


def _first_part(path: str) -> str:
    """Return the part after ``BASE``: ``redis`` for ``/v2/redis/databases``."""
    return path.removeprefix(f"{BASE}/").partition("/")[0]
