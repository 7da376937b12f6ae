"""An answer of Upstash, read within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import ClientResponse

# Nobody should wait longer because of a header.
_LONGEST_WAIT_SECONDS: Final = 86_400.0
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A whole answer. Its body may hold secrets and does not print."""

    status: int
    media_type: str
    """``application/json``: lower case, without parameters."""
    retry_after: float | None
    body: bytes = field(repr=False)


async def read(response: ClientResponse, *, limit: int, now: float) -> Reply | None:
    """
    Return the answer, or None if its body is larger than ``limit`` bytes, decompressed.

    Reading stops at the limit, and what was declared larger is not read at all: neither a huge body nor a
    decompression bomb takes more memory than that.

    Args:
        response: Open; whoever opened it closes it, and with that the connection if something is left unread.
        limit: In bytes.
        now: Unix time, for a ``Retry-After`` that is a date.
    """
    if response.content_length is not None and response.content_length > limit:
        return None
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return Reply(
        status=response.status,
        media_type=response.headers.get("Content-Type", "").partition(";")[0].strip().lower(),
        retry_after=retry_after(response.headers.get("Retry-After"), now=now),
        body=bytes(body),
    )


def retry_after(header: str | None, *, now: float) -> float | None:
    """
    Return the seconds that a ``Retry-After`` header asks for (RFC 9110, section 10.2.3), at most a day.

    None for no header and for one that is neither seconds nor a date.
    """
    text = (header or "").strip()
    if _DELTA_SECONDS.fullmatch(text):
        return min(float(text), _LONGEST_WAIT_SECONDS)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT_SECONDS)
