"""Waiting for what another thread or process does."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0

_Seen = TypeVar("_Seen")


def until(look: Callable[[], _Seen], *, seconds: float = SECONDS) -> _Seen:
    """Look until there is something to see, and return that."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            message = f"It did not happen within {seconds:g} s; last seen: {seen!r}"
            raise AssertionError(message)
        time.sleep(0.01)


async def until_async(look: Callable[[], _Seen], *, seconds: float = SECONDS) -> _Seen:
    """The same, while the loop goes on serving."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            message = f"It did not happen within {seconds:g} s; last seen: {seen!r}"
            raise AssertionError(message)
        await asyncio.sleep(0.01)
