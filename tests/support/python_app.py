"""An app that uses the Python client, and the user who decides on its requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.support.faulty import Answer, Faulty, Step, answer, faulty
from upstash_helper.client import DaemonClient, Helper, MemoryTokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from tests.support.world import World
    from upstash_helper.client import TokenStore
    from upstash_helper.client.app_session import OnCode
    from upstash_helper.protocol.literals import Scope

ALL: tuple[Scope, ...] = (
    "connection:read",
    "connection:write",
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:credentials",
)
TOKEN = "uha_a-token-of-another-time"


STARTED: dict[str, Any] = {
    "id": "p",
    "poll_secret": "s",
    "user_code": "A-B",
    "expires_at": "2026-01-01T00:00:00Z",
    "interval": 0,
}
NEW_TOKEN: dict[str, Any] = {
    "token": "uha_x",
    "app_id": "a",
    "scopes": ["databases:read"],
    "all_databases": False,
    "expires_at": None,
}


class User:
    """The user. Each method returns an ``on_code`` that decides on the request, or does something else meanwhile."""

    def __init__(self, world: World) -> None:
        self.codes: list[str] = []
        self.until: list[datetime] = []
        self.owner = DaemonClient(url_of(world), world.owner)

    def approves(self, *scopes: Scope, **granted: bool) -> OnCode:
        return self._doing(lambda pairing: self.owner.approve(pairing, scopes=scopes or None, **granted))

    def denies(self) -> OnCode:
        return self._doing(self.owner.deny)

    def blocks(self) -> OnCode:
        return self._doing(self.owner.block)

    def does(self, action: Callable[[], object]) -> OnCode:
        return self._doing(lambda _: action())

    def _doing(self, decide: Callable[[str], object]) -> OnCode:
        def on_code(user_code: str, expires_at: datetime) -> None:
            self.codes.append(user_code)
            self.until.append(expires_at)
            [pairing] = [it for it in self.owner.pairings() if it.user_code == user_code]
            decide(pairing.id)

        return on_code


def url_of(world: World) -> str:
    return f"http://127.0.0.1:{world.settings.port}"


async def pair(
    world: World, on_code: OnCode, *, scopes: tuple[Scope, ...] = ALL, store: TokenStore | None = None, **options: Any
) -> Helper:
    """Pair on another thread, since the client is synchronous."""
    options = {"base_url": url_of(world), **options}
    return await asyncio.to_thread(
        Helper.pair,
        name="Orders tool",
        scopes=scopes,
        reason="To keep the orders",
        on_code=on_code,
        token_store=MemoryTokens() if store is None else store,
        **options,
    )


def pair_at(url: str, *, store: TokenStore | None = None, timeout: float | None = None) -> Helper:
    return Helper.pair(
        name="Orders tool",
        scopes=("databases:read",),
        timeout=timeout,
        base_url=url,
        token_store=MemoryTokens() if store is None else store,
    )


KNOWN = (TOKEN, NEW_TOKEN["token"], STARTED["poll_secret"])


@contextlib.asynccontextmanager
async def a_helper(*steps: Step, knows: tuple[str, ...] = KNOWN) -> AsyncIterator[Faulty]:
    """Serve ``steps`` as a server that identifies itself as the helper before each of them, and knows some tokens."""
    async with faulty(*steps) as server:
        server.tokens = knows
        yield server


def a_status(state: str) -> Answer:
    return answer({"id": "p", "state": state, "user_code": "A-B", "expires_at": "2026-01-01T00:00:00Z"})
