"""
Reading a request's body within limits of size and time.

aiohttp reads what it is sent for as long as it is sent: a length of 10^12 with three bytes behind it would be waited
for for ever. Here the declared length is judged before a byte is read, and so is Content-Encoding.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

BODY_LIMIT: Final = 16 * 1024
"""Bytes. The largest body of the API's own is a few hundred."""
BODY_SECONDS: Final = 5.0
"""From the end of the headers. A program on the same machine has its body ready."""


class BodyError(Exception):
    """A body that was not read to its end. The answer to it must close the connection."""


class BodyTooLarge(BodyError):
    """The body is larger than its limit, as declared or as it came."""


class BodyTimeout(BodyError):
    """The body did not arrive in time."""


class UnsupportedEncoding(BodyError):
    """The body is encoded. Nothing here is large enough for that, and a decompressor is a way to a full memory."""


class MalformedBody(BodyError):
    """The body breaks the rules of its framing (RFC 9112, section 7.1), or ended before its declared length."""


async def read_body(request: BaseRequest, *, limit: int = BODY_LIMIT, deadline: float = BODY_SECONDS) -> bytes:
    """
    Return the body of ``request``.

    Args:
        request: Whose body has not been read yet.
        limit: Bytes that are taken at most.
        deadline: Seconds that all of it may take.

    Raises:
        UnsupportedEncoding: If a Content-Encoding other than ``identity``, or a Transfer-Encoding other than
            ``chunked``, is declared; nothing is read.
        BodyTooLarge: If more than ``limit`` bytes are declared, in which case nothing is read, or come.
        BodyTimeout: If it is not there after ``deadline``.
        MalformedBody: If its framing is broken.
    """
    for header, taken in ((hdrs.CONTENT_ENCODING, "identity"), (hdrs.TRANSFER_ENCODING, "chunked")):
        if any(value.strip().lower() != taken for value in request.headers.getall(header, ())):
            message = f"{header} may be {taken} alone"
            raise UnsupportedEncoding(message)
    declared = request.content_length
    if declared is not None and declared > limit:
        message = f"{declared} bytes were declared, {limit} are taken"
        raise BodyTooLarge(message)
    try:
        async with asyncio.timeout(deadline):
            return await _read(request, limit)
    except TimeoutError:
        message = f"the body was not there after {deadline} seconds"
        raise BodyTimeout(message) from None
    except web.RequestPayloadError:
        message = "the body's framing is broken"
        raise MalformedBody(message) from None


async def _read(request: BaseRequest, limit: int) -> bytes:
    body = bytearray()
    # Piece by piece: request.read() would hold all of a chunked body before its size could be judged.
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > limit:
            message = f"more than {limit} bytes came"
            raise BodyTooLarge(message)
    return bytes(body)
