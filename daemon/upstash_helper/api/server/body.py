"""
Reads request bodies within limits of size and time.

aiohttp waits for a body as long as the connection is open: a Content-Length of 10^12 followed by three bytes would
never time out. Here the declared length and Content-Encoding are checked before anything is read.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

BODY_LIMIT: Final = 16 * 1024
"""Bytes. The API's own bodies have a few hundred at most."""
BODY_SECONDS: Final = 5.0
"""From the end of the headers. A client on the same machine has its body ready."""


class BodyError(Exception):
    """The body was not read to its end. The response must close the connection."""


class BodyTooLarge(BodyError):
    """The body is larger than the limit, as declared or as received."""


class BodyTimeout(BodyError):
    """The body did not arrive in time."""


class BodyNotAllowed(BodyError):
    """The route takes no body. It is not awaited: RFC 9110, section 9.3.1, allows refusing it and closing."""


class UnsupportedEncoding(BodyError):
    """The body is encoded. No body here is large enough to need it, and decompression can exhaust memory."""


class MalformedBody(BodyError):
    """The body's framing is invalid (RFC 9112, section 7.1), or it ended before its declared length."""


async def read_body(request: BaseRequest, *, limit: int = BODY_LIMIT, deadline: float = BODY_SECONDS) -> bytes:
    """
    Return the body of ``request``.

    Args:
        request: The request. Its body must not have been read yet.
        limit: The maximum size in bytes.
        deadline: Seconds for the entire body.

    Raises:
        UnsupportedEncoding: If it declares a Content-Encoding other than ``identity``, or a Transfer-Encoding other
            than ``chunked``. Nothing is read.
        BodyTooLarge: If it declares more than ``limit`` bytes, in which case nothing is read, or if more arrive.
        BodyTimeout: If it is not complete after ``deadline`` seconds.
        MalformedBody: If its framing is invalid.
    """
    _require(request, hdrs.CONTENT_ENCODING, "identity")
    require_chunked(request)
    declared = request.content_length
    if declared is not None and declared > limit:
        message = f"it has {declared} bytes, and the limit is {limit}"
        raise BodyTooLarge(message)
    try:
        async with asyncio.timeout(deadline):
            return await _read(request, limit)
    except TimeoutError:
        message = f"it was not complete after {deadline:g} seconds"
        raise BodyTimeout(message) from None
    except web.RequestPayloadError:
        message = "its framing is invalid"
        raise MalformedBody(message) from None


def require_chunked(request: BaseRequest) -> None:
    """
    Check that the body has no transfer coding but ``chunked``. aiohttp leaves the others as they are.

    Raises:
        UnsupportedEncoding: If it has one.
    """
    _require(request, hdrs.TRANSFER_ENCODING, "chunked")


def _require(request: BaseRequest, header: str, supported: str) -> None:
    if any(value.strip().lower() != supported for value in request.headers.getall(header, ())):
        message = f"{header} must be {supported}"
        raise UnsupportedEncoding(message)


async def _read(request: BaseRequest, limit: int) -> bytes:
    body = bytearray()
    # In chunks: request.read() would buffer all of a chunked body before its size could be checked.
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            message = f"it has more than {limit} bytes"
            raise BodyTooLarge(message)
    return bytes(body)
