"""Authorization codes. They work once, within a minute, and only for the client that requested them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.registry import token_digest
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from upstash_helper.broker.ports import Clock

CODE_SECONDS: Final = 60.0
"""Lifetime of a code. The client is a program on this computer, which waits for it."""
_REMEMBERED_SECONDS: Final = 600.0
_MAX: Final = 256

# RFC 7636, section 4.1.
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
"""A code challenge of the method S256: the SHA-256 in Base64."""


class Code(msgspec.Struct, kw_only=True):
    """What a code was issued for, and the access that it gave."""

    client_id: str
    redirect_uri: str
    challenge: str
    resource: str
    pairing_id: str
    poll_secret: Secret
    issued_at: float
    is_used: bool = False
    app_id: str = ""
    """The app that got access with it; empty until then."""

    def fits(self, verifier: str) -> bool:
        """Return whether ``verifier`` belongs to the code's challenge (RFC 7636, section 4.6)."""
        if not _VERIFIER.fullmatch(verifier):
            return False
        digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
        return hmac.compare_digest(digest, self.challenge.encode())


class Codes:
    """The codes of this run of the daemon. Only the SHA-256 of each is kept; used ones are remembered for a while."""

    def __init__(self, *, clock: Clock) -> None:
        """
        Args:
            clock: The clock.
        """
        self._clock = clock
        self._codes: dict[bytes, Code] = {}

    def issue(self, **fields: object) -> Secret:
        """Return a new code for ``fields``, which are those of ``Code`` without the time."""
        self._prune()
        code = Secret(f"uhc_{secrets.token_urlsafe(32)}")
        issued_at = self._clock.monotonic()
        self._codes[token_digest(code.reveal().encode())] = Code(issued_at=issued_at, **fields)  # type: ignore[arg-type]
        return code

    def find(self, code: str) -> Code | None:
        """Return what a code was issued for, even if it was used or has expired; None if it is unknown."""
        self._prune()
        return self._codes.get(token_digest(code.encode()))

    def is_over(self, code: Code) -> bool:
        """Return whether a code has expired."""
        return self._clock.monotonic() - code.issued_at >= CODE_SECONDS

    def _prune(self) -> None:
        since = self._clock.monotonic() - _REMEMBERED_SECONDS
        self._codes = {digest: code for digest, code in self._codes.items() if code.issued_at > since}
        while len(self._codes) >= _MAX:
            del self._codes[next(iter(self._codes))]
