"""A daemon with an account at a Developer API of the test, for passed-through requests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from tests.support.upstream_api import upstream_api
from tests.support.world import World
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.upstream_api import Handler, UpstreamApi

ACCOUNT: Final = Credential(email="ada@upstash.example", api_key=Secret("key-s3cret"), method="api_key", since=0.0)


@contextlib.asynccontextmanager
async def passed_to(
    handler: Handler, tmp_path: Path, sandbox: Sandbox, port: int, **options: Any
) -> AsyncIterator[tuple[World, UpstreamApi]]:
    """Run a Developer API that answers with ``handler``, and a daemon in front of it."""
    store = MemoryStore()
    await store.save(ACCOUNT)
    async with (
        upstream_api(handler) as upstream,
        World.running(tmp_path, sandbox, port, store=store, api_url=upstream.url, **options) as world,
    ):
        yield world, upstream
