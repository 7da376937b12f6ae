"""Tokens and the callers that they stand for."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.identity import OWNER, Caller
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.registry import AppRegistry


def token_of(authorizations: tuple[str, ...], *, basic: bool = False) -> bytes | None:
    """
    Return the token of a single ``Authorization`` header, else None.

    Args:
        authorizations: The headers' values.
        basic: Take HTTP Basic too (RFC 7617), whose password is the token; the user name is not looked at.
    """
    if len(authorizations) != 1:
        return None
    scheme, _, given = authorizations[0].partition(" ")
    given = given.strip(" ")
    if not given:
        return None
    if scheme.lower() == "bearer":  # RFC 6750, section 2.1
        return given.encode("utf-8", "surrogateescape")
    if scheme.lower() == "basic" and basic:
        return _password(given)
    return None


def _password(given: str) -> bytes | None:
    try:
        _, colon, password = base64.b64decode(given, validate=True).partition(b":")
    except (binascii.Error, ValueError):
        return None
    return password if colon and password else None


class Tokens:
    """
    Knows the tokens by their SHA-256 alone: the owner's, those of the dashboard's sessions, and those of the apps.

    The owner's is drawn anew at every start: a discovery file that a crash left behind opens nothing.
    """

    def __init__(self, apps: AppRegistry, sessions: DashboardSessions) -> None:
        self.owner_token: Final = Secret(f"uho_{secrets.token_urlsafe(32)}")
        self._owner: Final = _digest(self.owner_token.reveal().encode())
        self._apps = apps
        self._sessions = sessions

    async def ready(self) -> None:
        """
        Read who has been let in, if that has not been done. Before that only the owner is known.

        Raises:
            LedgerUnavailable: If it cannot be read.
            LedgerFull: As LedgerUnavailable.
        """
        await self._apps.ready()

    def find(self, token: bytes) -> Caller | None:
        """Return whose ``token`` is. Digests are compared, so that the time taken tells nothing of the token."""
        if hmac.compare_digest(_digest(token), self._owner):
            return OWNER
        return self._sessions.find(token) or self._apps.find(token)

    def approved(self, origin: str) -> bool:
        """Return whether some app of ``origin`` is let in."""
        return self._apps.approved(origin)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
