"""Reading a request's body within its limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp import StreamReader

LIMIT: Final = 16 * 1024
DEADLINE: Final = 5.0


class BodyTooLarge(Exception):  # noqa: N818 - the state of a body
    """The body is, or says that it is, larger than is taken."""


class BodyTimeout(Exception):  # noqa: N818 - the state of a body
    """The body did not arrive in time."""


class UnsupportedEncoding(Exception):  # noqa: N818 - the state of a body
    """The body is compressed: what it grows to would have to be found out by doing it."""


async def read_body(request: web.Request, *, limit: int = LIMIT, deadline: float = DEADLINE) -> bytes:
    """
    Return the whole body.

    Args:
        request: Whose body it is.
        limit: Bytes; a declared length above it is refused before anything is read.
        deadline: Seconds for all of it, however it drips.

    Raises:
        BodyTooLarge: If it is larger than ``limit``.
        BodyTimeout: If it takes longer than ``deadline``.
        UnsupportedEncoding: If it has a ``Content-Encoding``.
    """
    encodings = request.headers.getall(hdrs.CONTENT_ENCODING, [])
    if any(encoding.strip().lower() not in ("", "identity") for encoding in encodings):
        raise UnsupportedEncoding
    if request.content_length is not None and request.content_length > limit:
        raise BodyTooLarge
    try:
        async with asyncio.timeout(deadline):
            return await _read(request.content, limit)
    except TimeoutError:
        raise BodyTimeout from None


async def _read(content: StreamReader, limit: int) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)
