"""Whose tokens these are: the e-mails in their claims."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.upstream.words import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# Good enough for a guess that is proved by a call. No colon: HTTP Basic ends the user name there (RFC 7617, section 2).
_EMAIL: Final = re.compile(r"[^\s@:\x00-\x1f\x7f]{1,64}@[^\s@:\x00-\x1f\x7f]{1,190}")


def email(value: object) -> str | None:
    """Return ``value`` if it may be an e-mail address."""
    return value if isinstance(value, str) and _EMAIL.fullmatch(value) else None


def emails_of(claims: Mapping[str, Any]) -> Iterator[str]:
    """
    Yield the e-mails of a claim set: ``email``, then claims such as ``https://upstash.com/email``.

    Auth0 lets a tenant add claims to an access token only under a namespace.
    """
    names = sorted((name for name in claims if name == "email" or name.endswith("/email")), key="email".__ne__)
    yield from filter(None, (email(claims[name]) for name in names))


def claims_of(token: str) -> dict[str, Any]:
    """
    Return the claims of a JWT, or nothing if it is not one: an access token may be opaque.

    The signature is not looked at. The token came straight from the token endpoint over TLS, in which case OpenID
    Connect Core 1.0, section 3.1.3.7, item 6 takes the TLS server's certificate in place of the signature.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    payload = parts[1]
    try:
        body = base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return {}
    claims = parsed(body)
    return claims if isinstance(claims, dict) else {}
