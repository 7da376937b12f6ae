"""
How a server proves that it knows a token before a client sends the token to it.

Another program can take the helper's port while the helper does not run, imitate its responses, and wait for tokens.
So a client first sends the token's key ID and a random nonce. Only a server that knows the SHA-256 of the token, which
is what the helper stores, can return the matching HMAC (RFC 2104). The HMAC covers the address as well, so that an
imitation cannot obtain it from the helper on another port.

The same computation in JavaScript is in ``web/connect/proof.js``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

# RFC 5869, section 3.2: values for different purposes are derived with different labels.
_KEY_ID: Final = b"upstash-helper key id v1\n"
_PROOF: Final = "upstash-helper proof v1\n{host}\n{nonce}"

KEY_ID: Final = re.compile(r"[0-9a-f]{32}")
NONCE: Final = re.compile(r"[0-9a-f]{32}")


def new_nonce() -> str:
    """Return 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def digest_of(token: str) -> bytes:
    """Return the SHA-256 of a token."""
    return hashlib.sha256(token.encode()).digest()


def key_id(digest: bytes) -> str:
    """Return the ID of the token with this SHA-256: 128 bits in hexadecimal, from which neither can be computed."""
    return hashlib.sha256(_KEY_ID + digest).hexdigest()[:32]


def compute(digest: bytes, *, host: str, nonce: str) -> str:
    """
    Return the proof in hexadecimal.

    Args:
        digest: The SHA-256 of the token.
        host: The value of ``Host`` in the client's request, such as ``localhost:3000``.
        nonce: The client's nonce.
    """
    message = _PROOF.format(host=host.lower(), nonce=nonce)
    return hmac.digest(digest, message.encode(), "sha256").hex()


def is_valid(proof: str, digest: bytes, *, host: str, nonce: str) -> bool:
    """Return whether ``proof`` is what ``compute`` returns, in constant time."""
    return hmac.compare_digest(proof.encode(), compute(digest, host=host, nonce=nonce).encode())
