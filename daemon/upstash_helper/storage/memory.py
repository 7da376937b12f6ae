"""A credential store that lasts as long as the daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upstash_helper.broker.ports import StoreHealth

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential


class MemoryStore:
    """The ``CredentialStore`` port without a trace: for trying things out, and for tests."""

    def __init__(self) -> None:
        self._credential: Credential | None = None

    async def load(self) -> Credential | None:
        """Return what was saved since the start."""
        return self._credential

    async def save(self, credential: Credential) -> None:
        """Keep ``credential`` until the daemon stops."""
        self._credential = credential

    async def delete(self) -> None:
        """Forget it."""
        self._credential = None

    def health(self) -> StoreHealth:
        """Memory is always there."""
        return StoreHealth(kind="memory", state="ok")
