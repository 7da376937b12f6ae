"""
Responses that are not from Upstash: of a captive portal, the page at which a network's users sign in, or of a proxy.

A portal answers in place of the server: with a certificate of another name, with a redirect to its page, with that page
itself, or with status 511 (RFC 6585, section 6). The Developer API and the authorization servers do none of that.
Nothing is concluded about the account then, and nothing that is stored is deleted.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

SIGN_IN: Final = (
    "This is probably a captive portal (a network's sign-in page) or a proxy. Open any web page in a browser, sign in"
    " to the network, and try again."
)

_NETWORK_AUTHENTICATION_REQUIRED: Final = 511
_WITHOUT_CONTENT: Final = frozenset({204, 205})
"""Such a response has no page, whatever type a server's framework gives it (RFC 9110, section 15.3.5)."""
_HTML: Final = frozenset({"text/html", "application/xhtml+xml"})


def describe(host: str | None, status: int, media_type: str, location: str | None) -> str | None:
    """
    Return what was received in place of a response from ``host``, and what to do; None if it may be the server's.

    Args:
        host: The host that was asked for JSON.
        status: The status of the response.
        media_type: In lower case, without parameters.
        location: The ``Location`` of a redirect.
    """
    if status == _NETWORK_AUTHENTICATION_REQUIRED:
        return f"The network requires you to sign in before {host} can be reached. {SIGN_IN}"
    if 300 <= status < 400 and status != 304:
        target = _host_of(location)
        if target and target.lower() != (host or "").lower():
            # It is not named: the portal chooses it, and may put what it has received there.
            return f"A redirect to another site was received in place of a response from {host}. {SIGN_IN}"
    if 200 <= status < 300 and status not in _WITHOUT_CONTENT and media_type in _HTML:
        return f"A web page was received in place of a response from {host}. {SIGN_IN}"
    return None


def _host_of(location: str | None) -> str | None:
    try:
        return urlsplit(location or "").hostname
    except ValueError:
        return None
