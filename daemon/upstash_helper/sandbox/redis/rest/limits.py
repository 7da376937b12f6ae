"""The maximum size of a request, which Upstash also applies to replies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.records import MAX_REQUEST_BYTES
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

DETAILS = "See https://upstash.com/docs/redis/troubleshooting/max_request_size_exceeded for details"


async def read_body(request: web.Request) -> bytes:
    """
    Return the request's body.

    Raises:
        RequestError: If it is larger than the maximum.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        # A body without Content-Length is not read to its end, so its size is not known.
        raise RequestError(400, _too_large(request.content_length)) from None


def within_limit(reply: Reply) -> Reply:
    """Return the reply, or the error in its place if it is larger than the maximum."""
    if isinstance(reply, (bytes, list)) and (size := _size(reply)) > MAX_REQUEST_BYTES:
        return ErrorReply(_too_large(size).encode())
    return reply


def _size(reply: Reply) -> int:
    if isinstance(reply, bytes):
        return len(reply)
    return _total(reply) if isinstance(reply, list) else 0


def _total(replies: Sequence[Reply]) -> int:
    return sum(map(_size, replies))


def _too_large(size: int | None) -> str:
    actual = f", Actual: {size} bytes" if size else ""
    return f"ERR max request size exceeded. Limit: {MAX_REQUEST_BYTES} bytes{actual}. {DETAILS}"
