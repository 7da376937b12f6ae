"""
Dynamic registration of clients (RFC 7591).

Clients are public: a program on the user's computer cannot keep a secret from the user's other programs (RFC 8252,
section 8.4). Client ID metadata documents are not supported: the daemon would have to fetch an address that any local
program can choose, and the document would still show less about the program than the system reports.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.display_text import MAX_NAME, clean
from upstash_helper.broker.authorization.errors import OAuthError
from upstash_helper.broker.authorization.redirect_uris import MAX_URIS, is_supported
from upstash_helper.broker.authorization_records import Client

if TYPE_CHECKING:
    from upstash_helper.broker.authorization.store import AuthorizationStore
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ports import Clock

UNNAMED: Final = "MCP client"
"""The name of a client that does not send one."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a client's metadata that is used here."""

    redirect_uris: tuple[str, ...] = ()
    client_name: str = ""
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)


class Registration:
    """Registers clients."""

    def __init__(self, *, store: AuthorizationStore, clock: Clock) -> None:
        """
        Args:
            store: The clients.
            clock: The clock.
        """
        self._store = store
        self._clock = clock

    async def register(self, wanted: Wanted, *, program: Identity) -> Client:
        """
        Register a client. Redirect URIs that are not supported are left out.

        Args:
            wanted: Its metadata.
            program: The program that sent the request.

        Raises:
            OAuthError: ``invalid_redirect_uri`` if no URI is supported, or ``invalid_client_metadata``.
            LedgerUnavailable: If it cannot be recorded.
            LedgerFull: Like LedgerUnavailable.
        """
        if len(wanted.redirect_uris) > MAX_URIS:
            raise OAuthError("invalid_redirect_uri", f"Register at most {MAX_URIS} redirect URIs.")
        supported = tuple(dict.fromkeys(uri for uri in wanted.redirect_uris if is_supported(uri)))
        if not supported:
            raise OAuthError(
                "invalid_redirect_uri",
                "Register a redirect URI on this computer: http://localhost, http://127.0.0.1, or http://[::1] with "
                "any port and path, or a private-use scheme such as com.example.app:/callback.",
            )
        if "authorization_code" not in wanted.grant_types or "code" not in wanted.response_types:
            raise OAuthError("invalid_client_metadata", "Only the authorization code flow with PKCE is supported.")
        await self._store.ready()
        now = self._clock.time()
        client = Client(
            id=f"uhi_{secrets.token_urlsafe(16)}",
            name=clean(wanted.client_name, MAX_NAME) or UNNAMED,
            identity=msgspec.structs.replace(program.lasting, pid=None),
            redirect_uris=supported,
            created_at=now,
            used_at=now,
        )
        await self._store.add_client(client)
        return client
