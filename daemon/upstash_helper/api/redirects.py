"""
Reading what the authorization server sent the browser back with.

It arrives as the query of ``GET /``; or, where a browser does not get that far, as an address that the user copied.
Both are read by the same rules.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from upstash_helper.broker.account.attempts import Redirect
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LONGEST: Final = 4096
_ONE_EACH: Final = frozenset({"code", "state", "error", "iss"})
# The browser may have forced https: that is one of the reasons for which an address is pasted.
_PLACE: Final = re.compile(r"(?:https?://)?(?P<host>[^/]+)/?", re.IGNORECASE)


def read(query: Iterable[tuple[str, str]]) -> Redirect | None:
    """Return what a query says; None where it says a thing twice, or what no authorization server sends."""
    values: dict[str, str] = {}
    for name, value in query:
        if name in values:
            return None
        if name in _ONE_EACH:
            values[name] = value
    code, error, state = values.get("code"), values.get("error"), values.get("state")
    if (code is None) == (error is None) or not state:
        return None
    # RFC 6749, appendix A.11 and A.7: visible ASCII.
    for given in (code, error, state):
        if given is not None and not (given.isascii() and given.isprintable() and 0 < len(given) <= _LONGEST):
            return None
    return Redirect(state=state, code=None if code is None else Secret(code), error=error, issuer=values.get("iss"))


def of_address(address: str, *, hosts: Sequence[str]) -> Redirect:
    """
    Return what an address says that the user copied: all of it, all but its scheme, or its query alone.

    Args:
        address: As it was pasted, perhaps in quotes.
        hosts: What this daemon is called, with its port; the first one is shown.

    Raises:
        InvalidRequest: If it cannot be what the authorization server sent the browser to. What was pasted is not
            repeated: it may hold a code.
    """
    text = address.strip(" \t\r\n\"'<>").partition("#")[0]
    place, mark, query = text.partition("?")
    if not mark and "=" in place:
        place, query = "", place
    found = _PLACE.fullmatch(place)
    if place and (found is None or found["host"].lower() not in hosts):
        message = f"This is not an address of the helper: it would begin with http://{hosts[0]}/?"
        raise InvalidRequest(message, pointer="/address")
    redirect = read(parse_qsl(query, keep_blank_values=True))
    if redirect is None:
        message = (
            "This address is not what a sign-in ends at: it must have code and state (or error and state) once each. "
            "Copy all of it, from the http to the end."
        )
        raise InvalidRequest(message, pointer="/address")
    return redirect
