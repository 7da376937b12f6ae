"""The retries that are scheduled: an event to wait for, where a sleep would be a guess."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import stamina

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stamina.instrumentation import RetryDetails


@contextmanager
def retries(then: Callable[[], None] | None = None) -> Iterator[list[RetryDetails]]:
    """Collect each retry as it is scheduled, before its pause; call ``then`` at that moment."""
    seen: list[RetryDetails] = []

    def note(details: RetryDetails) -> None:
        seen.append(details)
        if then is not None:
            then()

    stamina.instrumentation.set_on_retry_hooks([note])
    try:
        yield seen
    finally:
        stamina.instrumentation.set_on_retry_hooks(None)
