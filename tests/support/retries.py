"""Records scheduled retries, so that tests can act on a retry instead of sleeping."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import stamina

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stamina.instrumentation import RetryDetails


@contextmanager
def retries(then: Callable[[], None] | None = None) -> Iterator[list[RetryDetails]]:
    """Collect each retry when it is scheduled, before its delay, and call ``then`` at that moment."""
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
