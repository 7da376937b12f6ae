"""What an answer says in words, made fit to be shown: bounded, one line, no secret, no HTML."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from upstash_helper.upstream.response import Reply

LONGEST: Final = 300
# Some characters more than are shown, so that a secret across the cut is still found.
_LOOKED_AT: Final = 4096
# Control characters, and the invisible ones that reorder or hide text.
_UNSHOWABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+"
)
_HTML: Final = re.compile(r"\s*<[!/a-z]", re.IGNORECASE)


def words_of(reply: Reply, *secrets: str | None) -> str:
    """
    Return why Upstash refused, or an empty string if it did not say so in words.

    Read as Upstash's own command line reads it: ``error``, then ``message``, then the text itself. At OAuth endpoints
    ``error_description`` says more than ``error`` (RFC 6749, section 5.2).

    Args:
        reply: The answer.
        secrets: What must not be shown even if the answer repeats it.
    """
    document = parsed(reply.body)
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
    return "" if _HTML.match(said) else fit(said, *secrets)


def fit(text: str, *secrets: str | None) -> str:
    """Return ``text`` without ``secrets``, on one line, cut to a length that a person reads."""
    text = text[:_LOOKED_AT]
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = re.sub(re.escape(secret), "…", text, flags=re.IGNORECASE)
    text = " ".join(_UNSHOWABLE.sub(" ", text).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def parsed(body: bytes) -> Any:
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
