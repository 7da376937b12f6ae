"""
The gate: who may call what.

One pure function over the facts of a request, so that every rule is a row in a table of tests. The order is part of it:
the cheapest and most general refusals come first, and nothing about tokens is said to somebody who should not be here
at all. Whatever is not let in by a rule in plain sight is refused.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote_to_bytes

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

Scope = Literal[
    "connection:read",
    "connection:write",
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:credentials",
    "upstash:read",
    "upstash:write",
]

Access = Literal[
    "open",  # anyone, also a page of a foreign origin: the answer is a constant that such a page cannot read
    "page",  # a page or one of its files, for our own origin and for what the user types
    "landing",  # as page, and the one place where a navigation from another site may arrive
    "token",  # whoever has a token with the scope
    "owner",  # the user's own tools alone
]


class Policy(msgspec.Struct, frozen=True):
    """What a route asks of its caller. A route without one stops the daemon from starting."""

    access: Access
    scope: Scope | None = None
    body: Literal["none", "json"] = "none"


class Caller(msgspec.Struct, frozen=True):
    """Who a token belongs to."""

    kind: Literal["owner"]
    id: str

    def may(self, policy: Policy) -> bool:  # noqa: ARG002 - the owner has every scope
        """Return whether this caller has what ``policy`` asks."""
        return self.kind == "owner"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before anything of it is believed."""

    method: str
    target: str
    """The request-target as it was sent (RFC 9112, section 3.2)."""
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    purpose: str | None = None
    authorizations: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    has_body: bool = False
    policy: Policy | None = None
    """Of the route that was found, if one was."""
    allowed_methods: tuple[str, ...] = ()
    """Where the path is known and the method is not."""


class Surface(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Where the daemon stands: what it is called and what its own pages' origins are."""

    port: int

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The only values of ``Host`` that are taken, lower case."""
        names = ("localhost", "127.0.0.1", "[::1]")
        with_port = tuple(f"{name}:{self.port}" for name in names)
        # RFC 9110, section 4.2.3: clients leave the default port out.
        return with_port + names if self.port == 80 else with_port

    @cached_property
    def origins(self) -> tuple[str, ...]:
        """The origins of the daemon's own pages."""
        return tuple(f"http://{host}" for host in self.hosts)


class Allow(msgspec.Struct, frozen=True):
    """Let in; ``caller`` is None where none was asked for."""

    caller: Caller | None


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """Turned away."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    """Whether the connection cannot be trusted any further."""


LONGEST_TARGET: Final = 2048
SAFE_FETCH_SITES: Final = frozenset({None, "none", "same-origin"})

# Constant, so that a page which may load it as an image or script learns nothing, not even which rule it hit.
FORBIDDEN: Final = "A page of another site may not do this."


def decide(facts: Facts, surface: Surface, find: Callable[[bytes], Caller | None]) -> Allow | Deny:
    """
    Decide about one request.

    Args:
        facts: What was sent, and the policy of its route.
        surface: Where the daemon stands.
        find: Returns whose a token is, or None.
    """
    return (
        _target(facts)
        or _host(facts, surface)
        or _origin(facts)
        or _fetch_metadata(facts, surface)
        or _route(facts)
        or _foreign_origin(facts, surface)
        or _token(facts, find)
    )


def _target(facts: Facts) -> Deny | None:
    """
    Take the origin-form alone (RFC 9112, section 3.2.1). In the absolute form the target names a host of its own, and
    every later question about Host would have two answers.
    """
    target = facts.target
    if not target.startswith("/"):
        return _bad("invalid_target", "Send the path alone as the request target, such as /v1/databases.")
    if "#" in target:
        # RFC 9112, section 3.2.1: there is no fragment in a request-target; aiohttp would pass over it in silence.
        return _bad("invalid_target", "The request target has a fragment.")
    if len(target) > LONGEST_TARGET:
        return _bad("invalid_target", f"The request target is longer than {LONGEST_TARGET} characters.")
    path = unquote_to_bytes(target.partition("?")[0])
    segments = path.split(b"/")
    if b"." in segments or b".." in segments or b"" in segments[1:-1] or re.search(rb"[\x00-\x1f\x7f-\xff\\]", path):
        return _bad("invalid_target", "The path has empty, '.' or '..' segments, or characters that no path here has.")
    if "%2f" in target.partition("?")[0].lower():
        return _bad("invalid_target", "The path has an encoded slash.")
    return None


def _host(facts: Facts, surface: Surface) -> Deny | None:
    """
    Compare Host with an exact set, port included. This is what stops DNS rebinding: the attacker's page then has our
    address, but still says its own name.
    """
    if len(facts.hosts) > 1:
        return _bad("invalid_host", "Send one Host header.")
    host = facts.hosts[0] if facts.hosts else ""
    if host.lower() in surface.hosts and host.isascii():
        return None
    shown = host.encode("ascii", "backslashreplace").decode()[:100] or "(none)"
    detail = f"This is not the host you asked for: {shown}. Taken are: {', '.join(surface.hosts)}."
    return Deny(status=421, code="host_not_allowed", detail=detail, close=True)


def _origin(facts: Facts) -> Deny | None:
    if len(facts.origins) > 1:
        return _bad("invalid_origin", "Send one Origin header at most.")
    if facts.origins == ("null",):
        # Sandboxed frames, data: and file: pages all say null: it names nobody, so nobody can be approved by it.
        return Deny(status=403, code="origin_not_allowed", detail="The origin 'null' names nobody and is not taken.")
    return None


def _fetch_metadata(facts: Facts, surface: Surface) -> Deny | None:
    """
    Believe the browser about where a request comes from (W3C Fetch Metadata). A missing Origin proves nothing: an
    ``<img>`` sends none. ``same-site`` is another program's page on another port of localhost, so it is foreign.
    """
    prefetched = "prefetch" in (facts.purpose or "").lower()
    if prefetched:
        return Deny(status=403, code="prefetch_not_allowed", detail="Nothing here is fetched ahead of time.")
    if facts.fetch_site in SAFE_FETCH_SITES:
        return None
    access = facts.policy.access if facts.policy else None
    if access == "landing" and facts.fetch_mode == "navigate" and facts.fetch_dest == "document":
        return None
    if access == "open" and facts.fetch_mode == "cors" and facts.origins:
        return None
    if facts.origins and facts.origins[0].lower() not in surface.origins and facts.fetch_mode == "cors":
        # A CORS request: the page gets to know why, once its origin has been approved.
        return _origin_refused(facts)
    return Deny(status=403, code="cross_site_request", detail=FORBIDDEN)


def _route(facts: Facts) -> Deny | None:
    if facts.policy is not None:
        return None
    if facts.allowed_methods:
        allow = ", ".join(sorted(facts.allowed_methods))
        detail = f"{facts.method[:20]} is not taken here. Taken: {allow}."
        return Deny(status=405, code="method_not_allowed", detail=detail, headers=(("Allow", allow),))
    return Deny(
        status=404, code="not_found", detail="There is nothing at this path. The API is listed in /openapi.json."
    )


def _foreign_origin(facts: Facts, surface: Surface) -> Deny | None:
    if not facts.origins or facts.origins[0] in surface.origins:
        return None
    if facts.policy is not None and facts.policy.access == "open":
        return None
    if facts.authorizations:
        return _mismatch(facts)
    return _origin_refused(facts)


def _token(facts: Facts, find: Callable[[bytes], Caller | None]) -> Allow | Deny:
    policy = facts.policy
    if policy is None:
        return Deny(status=403, code="forbidden", detail="No policy lets this request in.")
    if policy.access in ("open", "page", "landing"):
        return _content(facts, policy, None)

    token = bearer(facts.authorizations)
    caller = None if token is None else find(token)
    if caller is None:
        return _unauthorized(known=token is not None)
    if facts.origins:
        # The owner's token is for programs. In a page, even one of ours, it is out of place: something leaked it.
        return _mismatch(facts)
    if not caller.may(policy):
        return Deny(status=403, code="insufficient_scope", detail=f"This needs the scope {policy.scope}.")
    return _content(facts, policy, caller)


def _content(facts: Facts, policy: Policy, caller: Caller | None) -> Allow | Deny:
    """
    Take JSON bodies alone. The types that an HTML form can send are the ones that a browser posts across sites without
    asking first.
    """
    if policy.body == "json" or (facts.has_body and facts.method not in ("GET", "HEAD", "OPTIONS")):
        kind = facts.content_types[0].partition(";")[0].strip().lower() if len(facts.content_types) == 1 else ""
        if kind != "application/json":
            detail = "Send the body as JSON with Content-Type: application/json."
            return Deny(
                status=415, code="unsupported_media_type", detail=detail, headers=(("Accept", "application/json"),)
            )
    return Allow(caller)


def bearer(authorizations: tuple[str, ...]) -> bytes | None:
    """Return the token of a single ``Authorization: Bearer`` header (RFC 6750, section 2.1), else None."""
    if len(authorizations) != 1:
        return None
    scheme, _, token = authorizations[0].partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not token:
        return None
    return token.encode("utf-8", "surrogateescape")


def _bad(code: str, detail: str) -> Deny:
    return Deny(status=400, code=code, detail=detail, close=True)


def _origin_refused(facts: Facts) -> Deny:
    detail = f"The origin {_shown(facts.origins[0])} has not been let in by the user."
    return Deny(status=403, code="origin_not_allowed", detail=detail)


def _mismatch(facts: Facts) -> Deny:
    detail = f"This token is not bound to the origin {_shown(facts.origins[0])}."
    return Deny(status=403, code="origin_mismatch", detail=detail)


def _unauthorized(*, known: bool) -> Deny:
    """Ask for a token (RFC 6750, section 3); ``known``: one was sent, and is not good."""
    challenge = 'Bearer realm="upstash-helper"'
    if known:
        detail = "The token is not known here, or no longer. The owner's token changes whenever the helper starts."
        return Deny(
            status=401,
            code="invalid_token",
            detail=detail,
            headers=(("WWW-Authenticate", f'{challenge}, error="invalid_token"'),),
        )
    detail = "Send a token: Authorization: Bearer <token>."
    return Deny(status=401, code="token_required", detail=detail, headers=(("WWW-Authenticate", challenge),))


def _shown(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:100]
