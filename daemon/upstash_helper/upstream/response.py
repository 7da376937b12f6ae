"""An answer of Upstash, read within bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from aiohttp import ClientResponse

# Nobody should wait longer because of a header.
_LONGEST_WAIT_SECONDS: Final = 86_400.0
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A whole answer. Its body may hold secrets and does not print."""

    status: int
    media_type: str
    """``application/json``: lower case, without parameters."""
    retry_after: float | None
    body: bytes = field(repr=False)


async def read(response: ClientResponse, *, limit: int, now: float) -> Response | None:
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
    return Response(
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


LONGEST: Final = 300
# Some characters more than are shown, so that a secret across the cut is still found.
_LOOKED_AT: Final = 4096
# Control characters, and the invisible ones that reorder or hide text.
_UNSHOWABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)
_HTML: Final = re.compile(r"\s*<[!/a-z]", re.IGNORECASE)


def error_text(reply: Response, *secrets: str | None) -> str:
    """
    Return why Upstash refused, or an empty string if it did not say so in words.

    Read as Upstash's own command line reads it: ``error``, then ``message``, then the text itself. At OAuth endpoints
    ``error_description`` says more than ``error`` (RFC 6749, section 5.2).

    Args:
        reply: The answer.
        secrets: What must not be shown even if the answer repeats it.
    """
    document = parse_json(reply.body)
    if isinstance(document, dict):
        said = next(
            (text for key in ("error_description", "error", "message") if (text := _text(document.get(key)))), ""
        )
    elif isinstance(document, str):
        said = document
    elif document is None and reply.media_type in {"", "text/plain", "application/json"}:
        said = reply.body[:_LOOKED_AT].decode("utf-8", "replace")
    else:
        said = ""
    return "" if _HTML.match(said) else sanitize(said, *secrets)


def sanitize(text: str, *secrets: str | None) -> str:
    """Return ``text`` without ``secrets``, on one line, cut to a length that a person reads."""
    text = text[:_LOOKED_AT]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(re.escape(secret), "…", text, flags=re.IGNORECASE)
    text = " ".join(_UNSHOWABLE.sub(" ", text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def parse_json(body: bytes) -> Any:
    """Return the JSON document, or None if it is not one."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _text(value: object) -> str:
    """Return a text, also one level down: ``{"error": {"message": "…"}}``."""
    if isinstance(value, dict):
        value = value.get("message")
    return value if isinstance(value, str) else ""
