"""Reading the token of a request."""

from __future__ import annotations

import base64
import binascii


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
