"""A response of Upstash: reading it within limits, its ``Retry-After``, and the error text in it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_MAX_RETRY_AFTER: Final = 86_400.0
_DELTA_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

_MAX_TEXT: Final = 300
# More than is shown, so that a secret that crosses the cut is still found and removed.
_MAX_SCANNED: Final = 4096
# Control characters, and invisible characters that reorder or hide text.
_UNSAFE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)
_HTML: Final = re.compile(r"\s*<[!/a-z]", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete response. Its body may contain secrets, so the repr leaves it out."""

    status: int
    media_type: str
    """In lower case, without parameters: ``application/json``."""
    retry_after: float | None
    """Seconds."""
    body: bytes = field(repr=False)


async def read(response: ClientResponse, *, limit: int, now: float) -> Response | None:
    """
    Read a response. Return None if its body is larger than ``limit`` bytes, decompressed.

    Reading stops at the limit, and a body that is declared larger is not read. So neither a huge body nor a
    decompression bomb uses more memory than that.

    Args:
        response: An open response. The caller closes it, which closes the connection unless the body was read.
        limit: In bytes.
        now: The Unix time, for a ``Retry-After`` that is a date.
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
    Return the seconds in a ``Retry-After`` header (RFC 9110, section 10.2.3), at most a day.

    None if there is no header, or it is neither a number of seconds nor a date.
    """
    text = (header or "").strip()
    if _DELTA_SECONDS.fullmatch(text):
        return min(float(text), _MAX_RETRY_AFTER)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError, OSError):
        return None
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


def parse_json(body: bytes) -> Any:
    """Return the JSON document, or None if ``body`` is not one."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def error_text(response: Response, *secrets: str | None) -> str:
    """
    Return the error message in a response, or an empty string if there is none.

    Like Upstash's own command line, this uses ``error``, ``message``, or the body itself, in this order. OAuth
    endpoints have ``error_description``, which is more specific than ``error`` (RFC 6749, section 5.2).

    Args:
        response: The response.
        secrets: Strings to remove from the message.
    """
    document = parse_json(response.body)
    if isinstance(document, dict):
        text = next(
            (text for key in ("error_description", "error", "message") if (text := _text(document.get(key)))), ""
        )
    elif isinstance(document, str):
        text = document
    elif document is None and response.media_type in {"", "text/plain", "application/json"}:
        text = response.body[:_MAX_SCANNED].decode("utf-8", "replace")
    else:
        text = ""
    return "" if _HTML.match(text) else sanitize(text, *secrets)


def sanitize(text: str, *secrets: str | None) -> str:
    """Return ``text`` on one line, without ``secrets`` and unsafe characters, shortened to 300 characters."""
    text = text[:_MAX_SCANNED]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(re.escape(secret), "…", text, flags=re.IGNORECASE)
    text = " ".join(_UNSAFE.sub(" ", text).split())
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"


def _text(value: object) -> str:
    """Return a text, also from one level below: ``{"error": {"message": "…"}}``."""
    if isinstance(value, dict):
        value = value.get("message")
    return value if isinstance(value, str) else ""
