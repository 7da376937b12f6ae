"""
On whose behalf a request comes that the bridge has carried.

Some browsers let no https page reach http://localhost. Such a page opens ``/bridge``, a page of ours, which carries its
requests, and names the page's origin as the browser has told it. From then on that origin is who asks: for a pairing,
with a token, for everything. Only a page of ours can be believed about that: no other page runs scripts in our origin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.api.denials import Deny
from upstash_helper.broker.apps.identity import of_origin

if TYPE_CHECKING:
    from upstash_helper.api.guard.policy.policy import Facts, Surface

HEADER: Final = "Upstash-Helper-On-Behalf-Of"

# Constant: whoever is refused here learns nothing but that.
NOT_ALLOWED: Final = Deny(
    status=403,
    code="on_behalf_not_allowed",
    detail=f"{HEADER} is for the helper's own bridge page, which names the origin of one web page with it.",
)


def speaking(facts: Facts, surface: Surface) -> Facts | Deny:
    """
    Return the facts as they are to be judged: those of the page that a request was carried for, if it was.

    A preflight is never one of ours, for our page and our API are of one origin.
    """
    if not facts.on_behalf:
        return facts
    if len(facts.on_behalf) > 1 or facts.preflight or not _from_ours(facts, surface):
        return NOT_ALLOWED
    [origin] = facts.on_behalf
    named = None if origin in surface.origins else of_origin(origin)
    if named is None or named.kind != "web":
        # Extensions reach us by themselves. Our own pages are let in by nobody, so nothing is done for them either.
        return NOT_ALLOWED
    return msgspec.structs.replace(facts, origins=(origin,))


def _from_ours(facts: Facts, surface: Surface) -> bool:
    """Return whether a page of ours has sent it. With a GET the browser says no origin, but that it is the same."""
    if facts.fetch_site not in (None, "same-origin"):
        return False
    if facts.origins:
        return len(facts.origins) == 1 and facts.origins[0] in surface.origins
    return facts.fetch_site == "same-origin"
