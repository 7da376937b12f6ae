"""
Documents of the Developer API that have no model in the broker.

A document is read with a type that has only the fields that a result may show. Everything else in it is dropped, so a
secret that Upstash adds to a document later does not reach an agent.
"""

from __future__ import annotations

import math
from typing import TypeVar

import msgspec

from upstash_helper.broker.errors import UpstreamUnavailable

T = TypeVar("T")

Text = str | int | float | bool | None
"""The values that Upstash may send for a field that is shown as text or as a number."""


def text(value: Text) -> str:
    """Return a field as text. It is empty if Upstash does not send it."""
    return "" if value is None else str(value)


def number(value: Text) -> float:
    """Return a field as a number; 0 if it is not one."""
    if isinstance(value, int):
        return value
    try:
        found = float(value or 0)
    except ValueError:
        return 0
    return found if math.isfinite(found) else 0


def read(document: bytes, kind: type[T]) -> T:
    """
    Return a document as ``kind``.

    Raises:
        UpstreamUnavailable: If it is not one.
    """
    try:
        return msgspec.json.decode(document, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    # Raised outside the handler, since the decoder's error may quote the document.
    raise UpstreamUnavailable("Upstash sent an unreadable response. Try again.")


def read_list(document: bytes, kind: type[T]) -> list[T]:
    """
    Return a document that is a list of ``kind``. A list without entries may be null.

    Raises:
        UpstreamUnavailable: If it is neither.
    """
    return [] if document.strip() == b"null" else read(document, list[kind])  # type: ignore[valid-type]
