"""
The gate: who may call what.

One pure function over the facts of a request, so that every rule is a row in a table of tests. The order is part of it:
the cheapest and most general refusals come first, and nothing about tokens is said to somebody who should not be here
at all. Whatever is not let in by a rule in plain sight is refused.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final, Literal, Protocol
from urllib.parse import unquote_to_bytes

import msgspec

from upstash_helper.api.guard.tokens import token_of
from upstash_helper.broker.identity import Caller, of_origin
from upstash_helper.protocol.literals import Scope

LONGEST_TARGET: Final = 2048

REALM: Final = 'Bearer realm="upstash-helper"'
PAIRINGS: Final = "/v1/pairings"


class Deny(msgspec.Struct, frozen=True, kw_only=True):
    """Turned away."""

    status: int
    code: str
    detail: str
    headers: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Where to go on, by what is there."""
    close: bool = False
    """Whether the connection cannot be trusted any further."""
    misused: Caller | None = None
    """Whose token came from where it does not belong."""


# Constant, so that a page which may load it as an image or script learns nothing, not even which rule it hit.
CROSS_SITE: Final = Deny(status=403, code="cross_site_request", detail="A page of another site may not do this.")
WRONG_USER: Final = Deny(
    status=403, code="wrong_user", detail="This helper serves another user of this machine. Start your own.", close=True
)
OWNER_ONLY: Final = Deny(
    status=403, code="owner_only", detail="Only the user's own tools may do this: the command line and the tray."
)


def of_target(target: str) -> Deny | None:
    """
    Take the origin-form alone (RFC 9112, section 3.2.1). In the absolute form the target names a host of its own, and
    every later question about Host would have two answers.
    """
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


def of_host(hosts: tuple[str, ...], taken: tuple[str, ...]) -> Deny | None:
    """
    Compare Host with an exact set, port included. This is what stops DNS rebinding: the attacker's page then has our
    address, but still says its own name.
    """
    if len(hosts) > 1:
        return _bad("invalid_host", "Send one Host header.")
    host = hosts[0] if hosts else ""
    if host.lower() in taken and host.isascii():
        return None
    detail = f"This is not the host you asked for: {_shown(host) or '(none)'}. Taken are: {', '.join(taken)}."
    return Deny(status=421, code="host_not_allowed", detail=detail, close=True)


def of_origins(origins: tuple[str, ...]) -> Deny | None:
    """Take one Origin at most, and one that names somebody."""
    if len(origins) > 1:
        return _bad("invalid_origin", "Send one Origin header at most.")
    if origins == ("null",):
        # Sandboxed frames, data: and file: pages all say null: it names nobody, so nobody can be approved by it.
        return Deny(status=403, code="origin_not_allowed", detail="The origin 'null' names nobody and is not taken.")
    return None


def of_route(*, known: bool, allowed_methods: tuple[str, ...], has_api: bool) -> Deny | None:
    """Say that there is nothing, or that it is not done in this way."""
    if known:
        return None
    if allowed_methods:
        allow = ", ".join(sorted(allowed_methods))
        detail = f"This path takes: {allow}."
        return Deny(status=405, code="method_not_allowed", detail=detail, headers=(("Allow", allow),))
    where = " The API is listed in /openapi.json." if has_api else ""
    return Deny(status=404, code="not_found", detail=f"There is nothing at this path.{where}")


def of_foreign_origin(origin: str, *, reason: Literal["not_yet", "cannot_be"] = "not_yet") -> Deny:
    """Say that the user has not let this origin in, or never could."""
    if reason == "cannot_be":
        detail = (
            f"The origin {_shown(origin)} cannot be let in: https, http on localhost, and browser extensions can, each "
            "as the browser writes it."
        )
    else:
        detail = f"The origin {_shown(origin)} has not been let in by the user."
    return Deny(status=403, code="origin_not_allowed", detail=detail)


def of_mismatch(origin: str | None, caller: Caller) -> Deny:
    """Say that the token belongs elsewhere."""
    where = "a request without Origin" if origin is None else f"the origin {_shown(origin)}"
    detail = f"This token is not bound to {where}. Whoever sent it may have stolen it."
    return Deny(status=403, code="origin_mismatch", detail=detail, misused=caller)


def of_token(*, sent: bool) -> Deny:
    """Ask for a token (RFC 6750, section 3)."""
    links = (("pair", PAIRINGS),)
    if sent:
        detail = (
            "The token is not known here, or no longer: the user may have revoked it. Ask to be let in: POST "
            f"{PAIRINGS}. (The owner's token changes whenever the helper starts.)"
        )
        challenge = f'{REALM}, error="invalid_token"'
        return Deny(
            status=401, code="invalid_token", detail=detail, headers=(("WWW-Authenticate", challenge),), links=links
        )
    detail = f"Send a token: Authorization: Bearer <token>. An app gets one by asking the user: POST {PAIRINGS}."
    return Deny(
        status=401,
        code="token_required",
        detail=detail,
        headers=(("WWW-Authenticate", REALM), ("Link", f'<{PAIRINGS}>; rel="pair"')),
        links=links,
    )


def of_scope(scope: Scope) -> Deny:
    """Say which scope is missing (RFC 6750, section 3.1)."""
    challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
    detail = f"This needs the scope {scope}, which the user has not granted. Ask for it with a new pairing."
    return Deny(status=403, code="insufficient_scope", detail=detail, headers=(("WWW-Authenticate", challenge),))


def of_content(facts: Facts) -> Deny | None:
    """
    Take JSON bodies alone. The types that an HTML form can send are the ones that a browser posts across sites without
    asking first.
    """
    body = "none" if facts.policy is None else facts.policy.body
    if body == "any":
        return None
    if body == "json" or (facts.has_body and facts.method not in ("GET", "HEAD", "OPTIONS")):
        kind = facts.content_types[0].partition(";")[0].strip().lower() if len(facts.content_types) == 1 else ""
        if kind != "application/json":
            detail = "Send the body as JSON with Content-Type: application/json."
            return Deny(
                status=415, code="unsupported_media_type", detail=detail, headers=(("Accept", "application/json"),)
            )
    return None


def _bad(code: str, detail: str) -> Deny:
    return Deny(status=400, code=code, detail=detail, close=True)


def _shown(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:100]


Access = Literal[
    "open",  # anyone, also a page of a foreign origin: the answer is a constant that such a page cannot read
    "page",  # a page or one of its files, for our own origin and for what the user types
    "landing",  # as page, and a navigation from another site may arrive there, in a window of its own
    "ours",  # a page of the daemon's own
    "pairing",  # whoever could be let in; the handler knows it by its poll secret
    "token",  # whoever has a token with the scope
    "owner",  # the user's own tools alone
]

Body = Literal[
    "none",
    "json",
    "any",  # of any type, and streamed by the handler; a token in a header already rules out simple cross-site requests
]


class Policy(msgspec.Struct, frozen=True):
    """What a route asks of its caller. A route without one stops the daemon from starting."""

    access: Access
    scope: Scope | None = None
    """None: any token will do."""
    body: Body = "none"
    basic: bool = False
    """Whether HTTP Basic is taken, with the app's token as password: for existing clients of Upstash."""
    readable: bool = False
    """Whether a page may read the answer although its origin has not been let in, or no longer."""
    audit: str | None = None
    """What the audit calls it. Whatever changes something must have one."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request before anything of it is believed."""

    method: str
    target: str
    """The request-target as it was sent (RFC 9112, section 3.2)."""
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    on_behalf: tuple[str, ...] = ()
    """For whom one of our pages says that it carries the request."""
    other_user: bool = False
    """Whether the operating system says that the connection is another user's."""
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    purpose: str | None = None
    authorizations: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    has_body: bool = False
    policy: Policy | None = None
    """Of the route that was found, if one was; of a preflight, that of the request to come."""
    allowed_methods: tuple[str, ...] = ()
    """Where the path is known and the method is not."""
    preflight: bool = False
    """Whether a browser asks before it sends a page's request (Fetch standard, section 3.2.2)."""

    @property
    def origin(self) -> str | None:
        """The origin, where there is one."""
        return self.origins[0] if self.origins else None


class Surface(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Where the daemon stands: what it is called and what its own pages' origins are."""

    port: int
    has_api: bool = True
    """Else nothing is here but the place at which sign-ins arrive."""

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


class Known(Protocol):
    """Who has been let in."""

    def find(self, token: bytes) -> Caller | None:
        """Return whose ``token`` is, or None."""

    def approved(self, origin: str) -> bool:
        """Return whether some app of ``origin`` is let in."""


class Callers(Known, Protocol):
    """Who has been let in, where that may have to be read first."""

    async def ready(self) -> None:
        """
        Read it, if that has not been done.

        Raises:
            HelperError: If it cannot be read.
        """


class Allow(msgspec.Struct, frozen=True):
    """Let in; ``caller`` is None where none was asked for."""

    caller: Caller | None


SAFE_FETCH_SITES: Final = frozenset({None, "none", "same-origin"})


def decide(facts: Facts, surface: Surface, known: Known) -> Allow | Deny:
    """
    Decide about one request. A preflight that is allowed is to be answered, and never handled.

    Args:
        facts: What was sent, and the policy of its route.
        surface: Where the daemon stands.
        known: Who has been let in.
    """
    return turned_away(facts, surface) or admit(facts, surface, known)


def turned_away(facts: Facts, surface: Surface) -> Deny | None:
    """Refuse what can be refused whoever it comes from."""
    return (
        of_target(facts.target)
        or of_host(facts.hosts, surface.hosts)
        or (WRONG_USER if facts.other_user else None)
        or of_origins(facts.origins)
        or _fetch_metadata(facts)
        or of_route(known=facts.policy is not None, allowed_methods=facts.allowed_methods, has_api=surface.has_api)
    )


def admit(facts: Facts, surface: Surface, known: Known) -> Allow | Deny:
    """Let in who has been let in, as far as that goes."""
    policy = facts.policy
    if policy is None:
        return Deny(status=403, code="forbidden", detail="No policy lets this request in.")
    if facts.preflight:
        readable = may_read(facts, surface, known)
        return Allow(None) if readable else of_foreign_origin(facts.origin or "")
    match policy.access:
        case "token" | "owner":
            return _token(facts, policy, surface, known)
        case "pairing":
            return _newcomer(facts, surface) or of_content(facts) or Allow(None)
        case "open":
            return of_content(facts) or Allow(None)
        case "ours" | "page" | "landing":
            return _not_ours(facts, policy, surface) or of_content(facts) or Allow(None)


def may_read(facts: Facts, surface: Surface, known: Known) -> bool:
    """
    Return whether the page that sent the request may read the answer, errors too: its origin is let in, or anybody's
    page may, for what it needs in order to ask.
    """
    origin = facts.origin
    if len(facts.origins) != 1 or origin is None or origin in surface.origins or of_origin(origin) is None:
        return False
    policy = facts.policy
    return known.approved(origin) or (policy is not None and (policy.access == "pairing" or policy.readable))


def _fetch_metadata(facts: Facts) -> Deny | None:
    """
    Believe the browser about where a request comes from (W3C Fetch Metadata). A missing Origin proves nothing: an
    ``<img>`` sends none. ``same-site`` is another program's page on another port of localhost, so it is foreign.
    """
    if "prefetch" in (facts.purpose or "").lower():
        return Deny(status=403, code="prefetch_not_allowed", detail="Nothing here is fetched ahead of time.")
    if facts.fetch_site in SAFE_FETCH_SITES:
        return None
    access = facts.policy.access if facts.policy else None
    if access == "landing" and facts.fetch_mode == "navigate" and facts.fetch_dest == "document":
        return None
    if facts.origins and facts.fetch_mode == "cors":
        return None  # its origin is what counts, and the page may get to know why
    return CROSS_SITE


def _not_ours(facts: Facts, policy: Policy, surface: Surface) -> Deny | None:
    if facts.origin in surface.origins or (facts.origin is None and policy.access != "ours"):
        return None
    return of_foreign_origin(facts.origin or "(none)")


def _newcomer(facts: Facts, surface: Surface) -> Deny | None:
    """Let ask whoever could be let in. A program of this user has no origin, and no browser speaks for it."""
    origin = facts.origin
    if origin is not None:
        refused = origin in surface.origins or of_origin(origin) is None
        return of_foreign_origin(origin, reason="cannot_be") if refused else None
    if facts.method not in ("GET", "HEAD") and facts.fetch_site is not None:
        # Fetch standard, section 3.2: a browser names the origin with every POST. This one hides it.
        return CROSS_SITE
    return None


def _token(facts: Facts, policy: Policy, surface: Surface, known: Known) -> Allow | Deny:
    token = token_of(facts.authorizations, basic=policy.basic)
    caller = None if token is None else known.find(token)
    if caller is None:
        origin = facts.origin
        if origin is not None and origin not in surface.origins and not may_read(facts, surface, known):
            return of_foreign_origin(origin)
        return of_token(sent=token is not None)
    if not _belongs(caller, facts):
        return of_mismatch(facts.origin, caller)
    if policy.access == "owner" and not caller.is_owner:
        return OWNER_ONLY
    if policy.scope is not None and not caller.has(policy.scope):
        return of_scope(policy.scope)
    return of_content(facts) or Allow(caller)


def _belongs(caller: Caller, facts: Facts) -> bool:
    """
    Return whether the token came from where it was given to.

    The owner's token and those of native programs are for programs: in a page, even one of ours, they are out of place,
    for something leaked them. An extension with permission for this host sends no Origin with a GET, and the browser
    then says that no page is behind it.
    """
    if caller.page is not None:
        # Our own page names its origin with what changes something; with a GET the browser says that it is the same.
        return facts.origins == (caller.page,) or (not facts.origins and facts.fetch_site == "same-origin")
    identity = caller.identity
    if identity is None or identity.kind == "native":
        return not facts.origins and facts.fetch_site in (None, "none")
    if not facts.origins:
        return identity.kind == "extension" and facts.method in ("GET", "HEAD") and facts.fetch_site in (None, "none")
    return facts.origins == (identity.name,)
