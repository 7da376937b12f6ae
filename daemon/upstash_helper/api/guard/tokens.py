"""Bearer tokens, and the callers they belong to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.identity import OWNER, Caller
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import proof

if TYPE_CHECKING:
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.registry import AppRegistry


def token_of(authorizations: tuple[str, ...], *, basic: bool = False) -> bytes | None:
    """
    Return the token of the only ``Authorization`` header, or None.

    Args:
        authorizations: The values of all such headers.
        basic: Also accept HTTP Basic (RFC 7617) with the token as the password. The user name is ignored.
    """
    if len(authorizations) != 1:
        return None
    scheme, _, credentials = authorizations[0].partition(" ")
    credentials = credentials.strip(" ")
    if not credentials:
        return None
    if scheme.lower() == "bearer":  # RFC 6750, section 2.1
        return credentials.encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic" and basic:
        return _password(credentials)
    return None


def _password(credentials: str) -> bytes | None:
    try:
        _, colon, password = base64.b64decode(credentials, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return password if colon and password else None


class Tokens:
    """
    The ``LazyCallers`` of the API: the owner, dashboard sessions, and apps, looked up by the SHA-256 of their tokens.

    The owner's token is generated at each start, so that a discovery file left behind by a crash is worthless.
    """

    def __init__(self, apps: AppRegistry, sessions: DashboardSessions) -> None:
        self.owner_token: Final = Secret(f"uho_{secrets.token_urlsafe(32)}")
        self._owner: Final = _digest(self.owner_token.reveal().encode())
        self._owner_key_id: Final = proof.key_id(self._owner)
        self._apps = apps
        self._sessions = sessions

    async def ready(self) -> None:
        """
        Load the apps, unless that has been done. Until then only the owner and sessions are known.

        Raises:
            LedgerUnavailable: If they cannot be loaded.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._apps.ready()

    def find(self, token: bytes) -> Caller | None:
        """Return the caller that ``token`` belongs to. Comparing digests avoids a timing side channel."""
        if hmac.compare_digest(_digest(token), self._owner):
            return OWNER
        return self._sessions.find(token) or self._apps.find(token)

    def digest_of(self, key_id: str) -> bytes | None:
        """Return the SHA-256 of the owner's or an app's token with this key ID (see ``protocol.proof``), or None."""
        if hmac.compare_digest(key_id, self._owner_key_id):
            return self._owner
        return self._apps.digest_of(key_id)

    def approved(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""
        return self._apps.approved(origin)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
