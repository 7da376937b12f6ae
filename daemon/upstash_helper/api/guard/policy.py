"""
The access rules: who may call which route.

``decide`` is a pure function of the facts of a request, so that each rule is a row in a table of tests. The order of
the rules matters: the cheapest and most general ones come first, and nothing about tokens is disclosed to a sender that
should not be here in the first place. A request that no rule explicitly allows is denied.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import parse_qs, unquote_to_bytes

import msgspec

from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server.routes import Policy
from upstash_helper.broker.identity import Caller, of_origin
from upstash_helper.protocol.pages_origin import SITE
from upstash_helper.protocol.shorten import shorten

if TYPE_CHECKING:
    from upstash_helper.protocol.literals import Scope

_LOOPBACK: Final = re.compile(
    r"https?://(?:(?:[^/:]+\.)?localhost\.?|127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?", re.IGNORECASE
)

MAX_TARGET_LENGTH: Final = 2048
"""Characters."""
MAX_REDIRECT_LENGTH: Final = 16_384
"""The same for the OAuth redirect, whose code, state, and error description the authorization server chooses."""

_LOOPBACK_HOST: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE | re.ASCII)

_REDIRECTS: Final = frozenset({"/", "/callback"})

REALM: Final = 'Bearer realm="upstash-helper"'
PAIRINGS: Final = "/v1/pairings"

# --- what is known, and what is decided -------------------------------------------------------------------------------


class RequestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it was sent, before any of it is trusted."""

    method: str
    target: str
    """The request-target as it was sent (RFC 9112, section 3.2)."""
    hosts: tuple[str, ...]
    origins: tuple[str, ...]
    on_behalf: tuple[str, ...] = ()
    """The origins for which the sender claims to forward the request; only our bridge page may."""
    other_user: bool = False
    """Whether the operating system reports that another user's process opened the connection."""
    fetch_site: str | None = None
    fetch_mode: str | None = None
    fetch_dest: str | None = None
    purpose: str | None = None
    authorizations: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()
    has_body: bool = False
    policy: Policy | None = None
    """The policy of the matched route, if any; for a preflight, that of the request to come."""
    allowed_methods: tuple[str, ...] = ()
    """Set if the path is known and the method is not."""
    preflight: bool = False
    """Whether it is a CORS preflight request (Fetch standard, section 3.2.2)."""

    @property
    def origin(self) -> str | None:
        """The request's origin, if it has one."""
        return self.origins[0] if self.origins else None

    @property
    def host(self) -> str:
        """The host that the request was sent to, in lower case; empty if there is not exactly one."""
        return self.hosts[0].lower() if len(self.hosts) == 1 else ""


class ServerAddress(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """
    The port that an application is served on, with the Host values that belong to it.

    Only the owner's pages have an origin of their own. ``localhost`` and the addresses have been used by other
    programs, and may be again: nothing at those origins has the owner's rights, whatever it sends.
    """

    port: int
    has_api: bool = True
    """False for the callback port, which serves nothing but the OAuth redirect."""
    pages_name: str | None = None
    """The name of the owner's pages. None if they are not served here."""
    numeric_host: str | None = None
    """The Host of the owner's pages for browsers that do not resolve the name, while such an address is open."""

    @cached_property
    def shared_hosts(self) -> tuple[str, ...]:
        """The values of ``Host`` that other programs have used as well."""
        return self._with_port("localhost", "127.0.0.1", "[::1]")

    @cached_property
    def entry_hosts(self) -> tuple[str, ...]:
        """The values of ``Host`` that only redirect to the owner's pages."""
        return () if self.pages_name is None else self._with_port(SITE)

    @cached_property
    def pages_hosts(self) -> tuple[str, ...]:
        """The values of ``Host`` of the owner's pages."""
        return self.bridge_hosts if self.numeric_host is None else (*self.bridge_hosts, self.numeric_host)

    @cached_property
    def bridge_hosts(self) -> tuple[str, ...]:
        """The values of ``Host`` of the bridge, which is only at the name of the owner's pages."""
        return () if self.pages_name is None else self._with_port(self.pages_name)

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """The accepted values of ``Host``, in lower case."""
        return (*self.shared_hosts, *self.entry_hosts, *self.pages_hosts)

    @cached_property
    def pages_origin(self) -> str:
        """The origin of the owner's pages; empty if they are not served here."""
        # A browser leaves out the default port, which the last of the names does.
        return "" if self.pages_name is None else f"http://{self._with_port(self.pages_name)[-1]}"

    def is_here(self, origin: str) -> bool:
        """
        Return whether ``origin`` is at this port of this computer, or is one of the owner's pages. None of them is an
        app's: the daemon has the port, so every other page there is one that an earlier program has left behind.
        """
        if origin.removeprefix("http://") in self.pages_hosts:
            return True
        match = _LOOPBACK.fullmatch(origin)
        default = 443 if origin.startswith("https:") else 80
        return match is not None and int(match["port"] or default) == self.port

    def _with_port(self, *names: str) -> tuple[str, ...]:
        with_port = tuple(f"{name}:{self.port}" for name in names)
        # RFC 9110, section 4.2.3: clients leave the default port out.
        return with_port + names if self.port == 80 else with_port


class Callers(Protocol):
    """The callers that have access."""

    def find(self, token: bytes) -> Caller | None:
        """Return the caller that ``token`` belongs to, or None."""

    def approved(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""


class LazyCallers(Callers, Protocol):
    """Callers that may have to be loaded first."""

    async def ready(self) -> None:
        """
        Load the callers, unless that has been done.

        Raises:
            HelperError: If they cannot be loaded.
        """


class Allowed(msgspec.Struct, frozen=True):
    """The request may be handled. ``caller`` is None if the route requires no token."""

    caller: Caller | None


class Denied(msgspec.Struct, frozen=True, kw_only=True):
    """The request is refused, with this response."""

    status: int
    code: str
    detail: str = ""
    """By default the text of ``code`` in the catalog, ``protocol.messages``."""
    headers: tuple[tuple[str, str], ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """Related resources: relation and path."""
    close: bool = False
    """Whether to close the connection because its framing or its sender cannot be trusted."""
    misused: Caller | None = None
    """The caller whose token was sent from somewhere it is not bound to."""


# --- the decision -----------------------------------------------------------------------------------------------------


def decide(facts: RequestFacts, address: ServerAddress, callers: Callers) -> Allowed | Denied:
    """
    Decide about one request. An allowed preflight must be answered by the guard, never passed to a handler.

    Args:
        facts: The request, and the policy of its route.
        address: The address that the application is served on.
        callers: The callers that have access.
    """
    return check_request(facts, address) or authorize(facts, address, callers)


def check_request(facts: RequestFacts, address: ServerAddress) -> Denied | None:
    """Apply the rules that do not depend on the caller."""
    return (
        (WRONG_USER if facts.other_user else None)
        or check_target(facts.target, limit=MAX_REDIRECT_LENGTH if _is_landing(facts) else MAX_TARGET_LENGTH)
        or check_host(facts.hosts, address)
        or check_origins(facts.origins)
        or _check_fetch_metadata(facts, address)
        or _check_place(facts, address)
        or check_route(known=facts.policy is not None, allowed_methods=facts.allowed_methods, has_api=address.has_api)
    )


def authorize(facts: RequestFacts, address: ServerAddress, callers: Callers) -> Allowed | Denied:
    """Authenticate the caller, and apply the route's policy."""
    policy = facts.policy
    if policy is None:
        return Denied(status=403, code="forbidden")
    if facts.preflight:
        readable = may_read(facts, address, callers)
        return Allowed(None) if readable else deny_origin(facts.origin or "")
    match policy.access:
        case "token" | "owner":
            return _authorize_token(facts, policy, address, callers)
        case "open":
            return check_content_type(facts) or Allowed(None)
        case _:
            return _check_sender(facts, policy, address) or check_content_type(facts) or Allowed(None)


def may_read(facts: RequestFacts, address: ServerAddress, callers: Callers) -> bool:
    """
    Return whether the requesting page may read the response, including errors.

    It may if its origin has access; pages of other origins may read what they need for requesting access.
    """
    origin = facts.origin
    if len(facts.origins) != 1 or origin is None or address.is_here(origin) or of_origin(origin) is None:
        return False
    policy = facts.policy
    if policy is not None and (policy.audience == "mcp" or policy.access in ("program", "form")):
        return False
    return callers.approved(origin) or (policy is not None and (policy.access == "pairing" or policy.readable))


# --- rules that do not depend on the caller ---------------------------------------------------------------------------

# Constant, so that a page that loads the response as an image or script learns nothing, not even which rule applied.
CROSS_SITE: Final = Denied(status=403, code="cross_site_request")
WRONG_USER: Final = Denied(status=403, code="wrong_user", close=True)
OWNER_ONLY: Final = Denied(status=403, code="owner_only")
NO_PAGES: Final = Denied(
    status=403,
    code="origin_not_allowed",
    detail="Pages and browser extensions have no access to /mcp, not even those that the user has approved.",
)
NOT_HERE: Final = Denied(status=404, code="not_found", detail="There is nothing at this path of this host.")


def check_target(target: str, *, limit: int = MAX_TARGET_LENGTH) -> Denied | None:
    """
    Accept only the origin-form (RFC 9112, section 3.2.1).

    In the absolute form the target names a host as well, and every later check of Host would have two answers.
    """
    if not target.startswith("/"):
        return _malformed("invalid_target", "Send only the path as the request target, such as /v1/databases.")
    if "#" in target:
        # RFC 9112, section 3.2.1: a request-target has no fragment. aiohttp would silently drop it.
        return _malformed("invalid_target", "The request target must not have a fragment.")
    if len(target) > limit:
        return _malformed("invalid_target", f"The request target is longer than {limit} characters.")
    path = unquote_to_bytes(target.partition("?")[0])
    segments = path.split(b"/")
    if b"." in segments or b".." in segments or b"" in segments[1:-1] or re.search(rb"[\x00-\x1f\x7f-\xff\\]", path):
        return _malformed("invalid_target", "The path has an empty, '.', or '..' segment, or an invalid character.")
    if "%2f" in target.partition("?")[0].lower():
        return _malformed("invalid_target", "The path has an encoded slash.")
    return None


def _is_landing(facts: RequestFacts) -> bool:
    return facts.policy is not None and facts.policy.access == "landing"


def is_forwarded_redirect(facts: RequestFacts, address: ServerAddress) -> bool:
    """
    Return whether an OAuth redirect has come through a port that is forwarded to ours, such as by ``ssh -L``.

    The user has changed the port in the browser's address bar. It is no DNS rebinding: the name is a loopback name
    itself, which no other site has. What such a request can do, it could do with our own port as well: the state has to
    match, and the response has nothing that belongs to the owner.
    """
    path, _, query_string = facts.target.partition("?")
    query = parse_qs(query_string)
    return (
        facts.method == "GET"
        and path in _REDIRECTS
        and _is_landing(facts)
        and facts.host not in address.hosts
        and _LOOPBACK_HOST.fullmatch(facts.host) is not None
        and bool(query.get("state"))
        and bool(query.get("code") or query.get("error"))
        and not facts.origins
        and not facts.on_behalf
    )


def check_host(hosts: tuple[str, ...], address: ServerAddress) -> Denied | None:
    """
    Compare Host, including the port, with an exact list.

    This prevents DNS rebinding: the attacker's page then resolves to our address but still sends its own host name. It
    can read the response, so that does not have the names of the owner's pages.
    """
    if len(hosts) > 1:
        return _malformed("invalid_host")
    host = hosts[0] if hosts else ""
    if host.lower() in address.hosts and host.isascii():
        return None
    detail = f'Host "{_printable(host)}" is not allowed. Allowed hosts: {", ".join(address.shared_hosts)}.'
    if _LOOPBACK_HOST.fullmatch(host):
        detail += " If you forward a port to the helper, use the same port number on both sides."
    return Denied(status=421, code="host_not_allowed", detail=detail, close=True)


def check_origins(origins: tuple[str, ...]) -> Denied | None:
    """Accept at most one Origin, and only one that identifies a site."""
    if len(origins) > 1:
        return _malformed("invalid_origin")
    if origins == ("null",):
        # Sandboxed frames and data: and file: pages all send null, so it identifies no one who could be approved.
        return Denied(
            status=403,
            code="origin_not_allowed",
            detail='The origin "null" is not allowed: it does not identify a site.',
        )
    return None


def check_route(*, known: bool, allowed_methods: tuple[str, ...], has_api: bool) -> Denied | None:
    """Deny unknown paths and methods."""
    if known:
        return None
    if allowed_methods:
        allow = ", ".join(sorted(allowed_methods))
        detail = f"Method not allowed. Allowed methods: {allow}."
        return Denied(status=405, code="method_not_allowed", detail=detail, headers=(("Allow", allow),))
    hint = " See /openapi.json for the API." if has_api else ""
    return Denied(status=404, code="not_found", detail=f"There is nothing at this path.{hint}")


def _check_fetch_metadata(facts: RequestFacts, address: ServerAddress) -> Denied | None:
    """
    Rely on the browser for where a request comes from (W3C Fetch Metadata).

    A missing Origin proves nothing: an ``<img>`` sends none. ``same-site`` is a page of another program on another port
    of localhost, so it counts as foreign. ``same-origin`` counts as ours only at the origin of the owner's pages:
    elsewhere it is a page or a service worker that another program has left behind.
    """
    if "prefetch" in (facts.purpose or "").lower():
        return Denied(status=403, code="prefetch_not_allowed")
    if facts.fetch_site in (None, "none") or (facts.fetch_site == "same-origin" and facts.host in address.pages_hosts):
        return None
    if facts.policy is not None and facts.policy.embeddable and facts.method == "GET":
        return None
    access = facts.policy.access if facts.policy else None
    # What a form sends to another origin is refused later, by its Origin.
    if access in ("landing", "form") and facts.fetch_mode == "navigate" and facts.fetch_dest == "document":
        return None
    if facts.origins and facts.fetch_mode == "cors":
        return None  # the later rules decide by its origin, and the page may learn the reason
    return CROSS_SITE


def _check_place(facts: RequestFacts, address: ServerAddress) -> Denied | None:
    """Deny what is not served at the host that the request was sent to."""
    if facts.policy is None or facts.host in address.pages_hosts:
        return None
    if facts.host in address.entry_hosts:
        return None if facts.policy.access == "landing" or facts.policy.embeddable else NOT_HERE
    return NOT_HERE if facts.policy.access == "page" else None


# --- rules of a policy ------------------------------------------------------------------------------------------------


def check_content_type(facts: RequestFacts) -> Denied | None:
    """
    Accept only JSON bodies, or only forms where OAuth has them.

    The types that an HTML form can send are those that a browser posts across sites without a preflight.
    """
    body = "none" if facts.policy is None else facts.policy.body
    if body == "any":
        return None
    accepted = "application/x-www-form-urlencoded" if body == "form" else "application/json"
    if body == "json" or (facts.has_body and facts.method not in ("GET", "HEAD", "OPTIONS")):
        kind = facts.content_types[0].partition(";")[0].strip().lower() if len(facts.content_types) == 1 else ""
        if kind != accepted:
            detail = f"Send the body as {accepted}." if body == "form" else ""
            return Denied(status=415, code="unsupported_media_type", detail=detail, headers=(("Accept", accepted),))
    return None


def is_own_page(facts: RequestFacts, address: ServerAddress) -> bool:
    """Return whether the request has the Origin of one of the owner's pages, and was sent to that same origin."""
    return facts.host in address.pages_hosts and facts.origins == (f"http://{facts.host}",)


def _check_sender(facts: RequestFacts, policy: Policy, address: ServerAddress) -> Denied | None:
    match policy.access:
        case "pairing":
            return _check_pairing_caller(facts, address)
        case "program":
            return _check_program(facts)
        case "form":
            return _check_form(facts)
        case _:
            return _check_own_page(facts, policy, address)


def _check_own_page(facts: RequestFacts, policy: Policy, address: ServerAddress) -> Denied | None:
    if is_own_page(facts, address) or (facts.origin is None and policy.access != "own_page"):
        return None
    return deny_origin(facts.origin or "(none)")


def _check_program(facts: RequestFacts) -> Denied | None:
    """
    Accept programs. A browser sends Origin with every POST, and Fetch Metadata with every request. Sec-Fetch-Site is
    ``none`` only for an address that the user entered.
    """
    if facts.origin is not None:
        return deny_origin(facts.origin, reason="program")
    is_typed = facts.fetch_site == "none" and facts.method in ("GET", "HEAD")
    return None if facts.fetch_site is None or is_typed else CROSS_SITE


def _check_form(facts: RequestFacts) -> Denied | None:
    """Accept a form that was sent from the origin that it is sent to. Another program may have put a page there."""
    if facts.origins == (f"http://{facts.host}",) and facts.fetch_site in (None, "same-origin"):
        return None
    return deny_origin(facts.origin or "(none)")


def _check_pairing_caller(facts: RequestFacts, address: ServerAddress) -> Denied | None:
    """Accept every sender that could be granted access. A native app of this user sends neither Origin nor metadata."""
    origin = facts.origin
    if origin is not None:
        refused = address.is_here(origin) or of_origin(origin) is None
        return deny_origin(origin, reason="unsupported") if refused else None
    if facts.fetch_site == "same-origin" or (facts.method not in ("GET", "HEAD") and facts.fetch_site is not None):
        # One of our pages, which are not apps; or a browser that withholds Origin, although it sends it with every POST
        # (Fetch standard, section 3.2).
        return CROSS_SITE
    return None


def _authorize_token(facts: RequestFacts, policy: Policy, address: ServerAddress, callers: Callers) -> Allowed | Denied:
    if policy.audience == "mcp" and (facts.origins or facts.fetch_site not in (None, "none")):
        return NO_PAGES
    token = token_of(facts.authorizations, basic=policy.basic)
    caller = None if token is None else callers.find(token)
    if caller is None and policy.audience == "mcp":
        return deny_agent(address, facts.host, sent=token is not None)
    if caller is None:
        origin = facts.origin
        if origin is not None and not address.is_here(origin) and not may_read(facts, address, callers):
            return deny_origin(origin)
        return deny_token(sent=token is not None)
    return _check_rights(caller, facts, policy, address) or check_content_type(facts) or Allowed(caller)


def _check_rights(caller: Caller, facts: RequestFacts, policy: Policy, address: ServerAddress) -> Denied | None:
    if not _token_matches_sender(caller, facts):
        return deny_mismatch(facts.origin, caller)
    if caller.audience != policy.audience:
        return deny_audience(policy, address, facts.host)
    if policy.access == "owner" and not caller.is_owner:
        return OWNER_ONLY
    if policy.scope is not None and not caller.has(policy.scope):
        return deny_scope(policy.scope)
    return None


def _token_matches_sender(caller: Caller, facts: RequestFacts) -> bool:
    """
    Return whether the token was sent from where it is bound to.

    The owner's token and native apps' tokens are bound to programs: sent from a page, even the daemon's own, they have
    leaked. An extension with host permission for this address sends no Origin with a GET, and the browser then reports
    that no page initiated it.
    """
    if caller.page is not None:
        # Browsers send Origin with requests that change state; for a GET, Fetch Metadata shows that it is same-origin.
        from_page = facts.origins == (caller.page,) or (not facts.origins and facts.fetch_site == "same-origin")
        return from_page and caller.page == f"http://{facts.host}"
    identity = caller.identity
    if identity is None or identity.kind == "native":
        return not facts.origins and facts.fetch_site in (None, "none")
    if not facts.origins:
        return identity.kind == "extension" and facts.method in ("GET", "HEAD") and facts.fetch_site in (None, "none")
    return facts.origins == (identity.name,)


# --- denials ----------------------------------------------------------------------------------------------------------


def deny_origin(origin: str, *, reason: Literal["not_approved", "unsupported", "program"] = "not_approved") -> Denied:
    """Deny an origin without access, or one that can never have access."""
    if reason == "unsupported":
        detail = (
            f"The origin {_printable(origin)} cannot be given access. Supported origins are https, http on localhost, "
            "and browser extensions, in the form in which the browser sends them."
        )
    elif reason == "program":
        detail = "Only programs on this computer can use this address. Pages cannot, whatever their origin."
    else:
        detail = f"The origin {_printable(origin)} does not have access. The user has to approve it first."
    return Denied(status=403, code="origin_not_allowed", detail=detail)


def deny_mismatch(origin: str | None, caller: Caller) -> Denied:
    """Deny a token that was sent from somewhere it is not bound to."""
    where = "a request without Origin" if origin is None else f"the origin {_printable(origin)}"
    detail = f"This token is not bound to {where}. It may have been stolen."
    return Denied(status=403, code="origin_mismatch", detail=detail, misused=caller)


def deny_token(*, sent: bool) -> Denied:
    """Require a valid token (RFC 6750, section 3)."""
    links = (("pair", PAIRINGS),)
    if sent:
        detail = (
            "The token is not valid; the user may have revoked it. Request access with POST "
            f"{PAIRINGS}. (The owner's token changes each time the helper starts.)"
        )
        challenge = f'{REALM}, error="invalid_token"'
        return Denied(
            status=401, code="invalid_token", detail=detail, headers=(("WWW-Authenticate", challenge),), links=links
        )
    detail = f"Send a token: Authorization: Bearer <token>. To get one, request access with POST {PAIRINGS}."
    return Denied(
        status=401,
        code="token_required",
        detail=detail,
        headers=(("WWW-Authenticate", REALM), ("Link", f'<{PAIRINGS}>; rel="pair"')),
        links=links,
    )


def deny_audience(policy: Policy, address: ServerAddress, host: str) -> Denied:
    """Deny a token that was issued for something else (RFC 6750, section 3.1; RFC 8707)."""
    if policy.audience == "mcp":
        return deny_agent(address, host, sent=True, detail="This token is accepted by the API, but not at /mcp.")
    return Denied(
        status=401,
        code="invalid_token",
        detail="This token is accepted only at /mcp.",
        headers=(("WWW-Authenticate", f'{REALM}, error="invalid_token"'),),
    )


def deny_agent(address: ServerAddress, host: str, *, sent: bool, detail: str = "") -> Denied:
    """Require a valid token for ``/mcp``, and show the client where to get one (RFC 9728, section 5.1)."""
    if not detail:
        detail = (
            "The token is not valid; the user may have revoked it, or it has expired."
            if sent
            else "Send a token: Authorization: Bearer <token>."
        )
        detail += " An MCP client gets a token by signing in; WWW-Authenticate shows where."
    return Denied(
        status=401,
        code="invalid_token" if sent else "token_required",
        detail=detail,
        headers=(("WWW-Authenticate", agent_challenge(address, host, error="invalid_token" if sent else "")),),
    )


def agent_challenge(address: ServerAddress, host: str = "", *, error: str = "", scopes: tuple[Scope, ...] = ()) -> str:
    """Return ``WWW-Authenticate`` for a client of ``/mcp``."""
    parts = [REALM]
    if error:
        parts.append(f'error="{error}"')
    if scopes:
        parts.append(f'scope="{" ".join(scopes)}"')
    # With the host that the client uses, which it compares with the address in the document (RFC 9728, section 3.3).
    name = host if host in address.shared_hosts else address.shared_hosts[0]
    parts.append(f'resource_metadata="http://{name}/.well-known/oauth-protected-resource/mcp"')
    return ", ".join(parts)


def deny_scope(scope: Scope) -> Denied:
    """Deny a token without the required scope (RFC 6750, section 3.1)."""
    challenge = f'{REALM}, error="insufficient_scope", scope="{scope}"'
    detail = f"This requires the scope {scope}, which the user has not granted. Request it with a new pairing."
    return Denied(status=403, code="insufficient_scope", detail=detail, headers=(("WWW-Authenticate", challenge),))


def _malformed(code: str, detail: str = "") -> Denied:
    return Denied(status=400, code=code, detail=detail, close=True)


def _printable(text: str) -> str:
    return shorten(text.encode("ascii", "backslashreplace").decode(), 100)
