"""What the authorization server keeps across restarts. It contains no secrets: of tokens, only the SHA-256 is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from upstash_helper.broker.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Iterable


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """A registered client (RFC 7591)."""

    id: str
    name: str
    """The name that it gives itself, made safe to show."""
    identity: Identity
    """The program that registered it, as the system reported it, without its process, which may have ended."""
    redirect_uris: tuple[str, ...]
    created_at: float
    used_at: float
    """Unix time of the last request of this client that was accepted."""


class RefreshToken(msgspec.Struct, frozen=True, kw_only=True):
    """
    A family of refresh tokens: one and all that replace it, since each refresh does so (RFC 9700, section 4.14.2). Only
    the newest is valid. Each contains its family, so that an older one is recognized without being stored.
    """

    family: str
    digest: bytes
    """SHA-256 of the newest token."""
    client_id: str
    app_id: str
    resource: str
    created_at: float


class AuthorizationRecords(Protocol):
    """
    The registered clients and the refresh tokens. Every method may raise ``LedgerUnavailable`` and ``LedgerFull``, and
    nothing else.
    """

    async def load(self) -> tuple[tuple[Client, ...], tuple[RefreshToken, ...]]:
        """Return all clients and all refresh tokens of existing apps, each oldest first."""

    async def save_client(self, client: Client, *, forget: Iterable[str] = ()) -> None:
        """Store ``client``, replacing one with the same ID, and remove the clients with the IDs ``forget``."""

    async def save_token(self, token: RefreshToken, *, forget: Iterable[str] = ()) -> None:
        """Store ``token``, replacing the one of its family, and remove the families ``forget``."""

    async def forget_tokens(self, families: Iterable[str]) -> None:
        """Remove these families, if they exist."""
