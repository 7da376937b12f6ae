"""Why the browser may not have come back, in words for the user."""

from __future__ import annotations

from typing import Final

PATIENCE: Final = 90.0
"""
Seconds after which an attempt says what may be in the way. Signing in takes less than that as a rule, and whoever is
told too early goes on signing in.
"""

PASTE: Final = "copy the whole address from the browser's address bar and run: upstash-helper connect --paste"

NO_CALLBACK: Final = (
    "The browser has not come back yet. If you are still signing in, go on. If it shows an error or another program's "
    "page at localhost instead, something on this computer is in the way (a service worker or an extension of another "
    f"local app, or HSTS, which forces https): {PASTE}"
)


def no_callback(tls_hellos: int) -> str:
    """
    Return what to say of an attempt whose browser has not come back in ``PATIENCE`` seconds.

    Args:
        tls_hellos: How many connections have asked for TLS since it began.
    """
    if tls_hellos:
        return f"{https_forced(tls_hellos)} To finish this sign-in: {PASTE}"
    return NO_CALLBACK


def https_forced(tls_hellos: int) -> str:
    """
    Return what to say of connections to the port that asked for TLS.

    Args:
        tls_hellos: How many; at least one.
    """
    times = "once" if tls_hellos == 1 else f"{tls_hellos} times"
    return (
        f"Something asked for https on the helper's port {times}, and only http:// is spoken there. Most likely a "
        "browser forces https on localhost because another local program once told it to (HSTS). To clear that: in "
        "Chrome and Edge, delete localhost at chrome://net-internals/#hsts; in Firefox, choose Forget About This Site "
        "for localhost in the history."
    )
