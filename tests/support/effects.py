"""What a request must leave as it was: the ledger, the store, Upstash, and what waits for the user."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from upstash_helper.broker.ledger import App, AuditEntry, AuditQuery, Block, Pairing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.world import World
    from upstash_helper.broker.models import Credential


@dataclass(frozen=True)
class State:
    """Everything that a refused request could have changed."""

    apps: tuple[App, ...]
    pairings: tuple[Pairing, ...]
    blocks: tuple[Block, ...]
    audit: tuple[AuditEntry, ...]
    credential: Credential | None
    opened: tuple[str, ...]
    shown: tuple[tuple[str, str], ...]
    upstream: tuple[tuple[str, str], ...]


async def state(world: World) -> State:
    """Return it as it is now; when an app was last heard of is no effect."""
    await world.daemon.background.drain(5)
    pairings, blocks = await world.ledger.pairings.load()
    apps = await world.ledger.apps.load()
    return State(
        apps=tuple(msgspec.structs.replace(app, last_used_at=0.0) for app in apps),
        pairings=pairings,
        blocks=blocks,
        audit=await world.ledger.audit.page(AuditQuery(limit=1000)),
        credential=await world.store.load(),
        opened=tuple(world.browser.opened),
        shown=tuple(world.desktop.shown),
        upstream=tuple((seen["method"], seen["path"]) for seen in await world.sandbox.requests()),
    )


@asynccontextmanager
async def no_effect(world: World, *, audited: bool = False) -> AsyncIterator[None]:
    """See that nothing of it has changed on leaving; with ``audited``, but that it was tried."""
    before = await state(world)
    yield
    after = await state(world)
    assert before == (replace(after, audit=before.audit) if audited else after)
