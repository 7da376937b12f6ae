"""
Fixtures for pytest: a local sandbox of Upstash, and an empty database for each test.

pytest loads this module in every run, whether the fixtures are used or not, so it imports nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.testing.sandbox import SandboxDatabase, TestingSandbox


@pytest.fixture(scope="session")
def upstash_sandbox() -> Iterator[TestingSandbox]:
    """
    A sandbox with its own daemon, which approves every access request. It starts when the first test uses it, in a
    temporary folder and on free ports, and stops at the end of the run, even if pytest is killed. With pytest-xdist,
    each worker has its own.
    """
    from upstash_helper.testing.sandbox import TestingSandbox

    with TestingSandbox.running() as sandbox:
        yield sandbox


@pytest.fixture
def upstash_database(upstash_sandbox: TestingSandbox) -> Iterator[SandboxDatabase]:
    """An empty database. It is deleted after the test."""
    database = upstash_sandbox.create_database()
    yield database
    upstash_sandbox.delete_database(database.id)
