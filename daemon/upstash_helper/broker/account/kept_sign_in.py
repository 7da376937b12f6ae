"""
The sign-in that is awaited outlives a crash of the daemon: the browser that comes back meets the next one.

Only what is pending can be kept. A code that has come is spent once, and whether it was is not known after a crash.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import msgspec

from upstash_helper.broker.account.attempts import Attempt, Pending
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.background import Background


class KeptSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What the next daemon has to know of a pending attempt."""

    id: str
    authorization_url: str
    expires_at: float
    """Unix time."""
    state: Secret
    code_verifier: Secret
    requesters: tuple[Caller, ...]


class SignInStore(Protocol):
    """
    Where one pending sign-in is kept, for this user alone. Nothing here raises: where it cannot be kept, a crash ends
    it, as it would without.
    """

    async def save(self, kept: KeptSignIn) -> None:
        """Keep this one, in place of another."""

    async def load(self) -> KeptSignIn | None:
        """Return what is kept, or None."""

    async def forget(self) -> None:
        """Keep nothing."""


class Keeping:
    """Keeps exactly the sign-in that is pending now."""

    def __init__(
        self,
        *,
        store: SignInStore,
        alive: Callable[[], Attempt | None],
        requesters: Callable[[str], tuple[Caller, ...]],
        background: Background,
    ) -> None:
        """
        Args:
            store: Where it is kept.
            alive: Returns the attempt that can still succeed.
            requesters: Returns who wanted an attempt.
            background: Finishes what was begun, whoever goes away.
        """
        self._store = store
        self._alive = alive
        self._askers = requesters
        self._background = background
        self._turn = asyncio.Lock()
        self._kept: str | None = None

    async def load(self) -> KeptSignIn | None:
        """Return what a daemon that has crashed was waiting for."""
        kept = await self._store.load()
        self._kept = None if kept is None else kept.id
        return kept

    async def settle(self) -> None:
        """Keep what is pending, and nothing else. To be called whenever an attempt has changed."""
        await self._background.finish(self._settle())

    async def forget(self) -> None:
        """Keep nothing, for this daemon ends by its own will, and its sign-in with it."""
        async with self._turn:
            if self._kept is not None:
                await self._store.forget()
                self._kept = None

    async def _settle(self) -> None:
        async with self._turn:
            alive = self._alive()
            if not isinstance(alive, Pending):
                if self._kept is not None:
                    await self._store.forget()
                    self._kept = None
            elif alive.id != self._kept:
                await self._store.save(
                    KeptSignIn(
                        id=alive.id,
                        authorization_url=alive.authorization_url,
                        expires_at=alive.expires_at,
                        state=alive.state,
                        code_verifier=alive.code_verifier,
                        requesters=self._askers(alive.id),
                    )
                )
                self._kept = alive.id
