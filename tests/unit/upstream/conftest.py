from collections.abc import Iterator

import pytest
import stamina
from stamina.instrumentation import RetryDetails


@pytest.fixture
def retries() -> Iterator[list[RetryDetails]]:
    """Every retry that is scheduled while the test runs."""
    seen: list[RetryDetails] = []

    def note(details: RetryDetails) -> None:
        seen.append(details)

    stamina.instrumentation.set_on_retry_hooks([note])
    yield seen
    stamina.instrumentation.set_on_retry_hooks(None)
