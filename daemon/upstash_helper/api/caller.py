"""Tokens and the callers that they stand for."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from upstash_helper.api.guard import Caller
from upstash_helper.broker.secret import Secret

OWNER: Final = Caller("owner", "owner")


class Tokens:
    """
    Knows the tokens by their SHA-256 alone.

    The owner's is drawn anew at every start: a discovery file that a crash left behind opens nothing.
    """

    def __init__(self) -> None:
        self.owner_token: Final = Secret(f"uho_{secrets.token_urlsafe(32)}")
        self._owner: Final = _digest(self.owner_token.reveal().encode())

    def find(self, token: bytes) -> Caller | None:
        """Return whose ``token`` is. Digests are compared, so that the time taken tells nothing of the token."""
        return OWNER if hmac.compare_digest(_digest(token), self._owner) else None


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
