"""Pages of lists: short enough for a model, in a fixed order, with a cursor to the next page."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

import msgspec

from upstash_helper.api.mcp.tool import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
Position = tuple[str, str]
"""Where an entry is in the order of the list, such as its name in lower case and its ID."""


def page(
    entries: Iterable[T], position: Callable[[T], Position], *, cursor: str, limit: int
) -> tuple[tuple[T, ...], str | None]:
    """
    Return one page of ``entries``, and the cursor of the next page if there is one.

    A cursor names the last entry of its page, so entries that are added or deleted meanwhile do not shift the next
    page. It is not secret: a made-up one only selects another page.

    Raises:
        ToolError: If ``cursor`` is not one.
    """
    after = _read(cursor)
    ordered = sorted(entries, key=position)
    rest = [entry for entry in ordered if after is None or position(entry) > after]
    found = tuple(rest[:limit])
    return found, _make(position(found[-1])) if len(rest) > limit else None


def _make(position: Position) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode().rstrip("=")


def _read(cursor: str) -> Position | None:
    if not cursor:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        position: Position = msgspec.json.decode(raw, type=Position)
    except (binascii.Error, ValueError):
        raise ToolError("This cursor is not valid. Omit it to get the first page.") from None
    return position
