"""A new database for each client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.sandbox.callers import Caller


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database, as the Developer API describes it."""
    return await caller.create()


@pytest.fixture
def redis_url(database: dict[str, Any]) -> str:
    """The database's URL for TCP."""
    return f"redis://default:{database['password']}@{database['endpoint']}:{database['port']}"


@pytest.fixture
def variables(caller: Caller, database: dict[str, Any], redis_url: str) -> dict[str, str]:
    """The database, as the variables that programs read."""
    return {
        "REDIS_URL": redis_url,
        "REST_URL": caller.sandbox.rest_url,
        "REST_TOKEN": database["rest_token"],
        "READ_ONLY_TOKEN": database["read_only_rest_token"],
    }
