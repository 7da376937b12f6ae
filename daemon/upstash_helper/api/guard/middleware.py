"""
The middleware before every handler: checks access, reads the body, and records the request in the audit log.

Besides the rules in ``policy`` it takes care of what needs the aiohttp request itself: CORS headers, requests that the
bridge page forwards on behalf of another page, and service workers that another program left behind on our origin.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.guard.policy import (
    Denied,
    RequestFacts,
    authorize,
    check_request,
    is_forwarded_redirect,
    is_own_page,
    may_read,
)
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import problems, refusal_page
from upstash_helper.api.server.body import (
    BodyError,
    BodyNotAllowed,
    BodyTimeout,
    BodyTooLarge,
    UnsupportedEncoding,
    read_body,
)
from upstash_helper.api.server.connections import Connection
from upstash_helper.api.server.routes import (
    BODY,
    CALLER,
    FORWARDED_FROM,
    ON_OWN_PAGES,
    ORIGIN,
    VIA_BRIDGE,
    Order,
    Policy,
)
from upstash_helper.broker.apps.rate_limits import TokenBuckets
from upstash_helper.broker.errors import AccessEnded, HelperError, RateLimited
from upstash_helper.broker.identity import CURRENT_CALLER, of_origin
from upstash_helper.protocol.pages_origin import new_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from upstash_helper.api.guard.audit import RequestAudit
    from upstash_helper.api.guard.policy import LazyCallers, ServerAddress
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock, Peers

logger = logging.getLogger(__name__)

REQUESTS_PER_MINUTE: Final = 300
REQUESTS_AT_ONCE: Final = 60

UPSTASH_PREFIX: Final = "/upstash/"
"""The path below which requests are passed through to Upstash."""

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


AskerKey = Callable[[str | None, str, bytes | None], str]
"""
Takes the origin, the pairing's ID, and the token of a request without access. Returns the key to count it under.
"""


class PolicyError(Exception):
    """
    A route has no policy, or changes state without an audit entry or without an order. The daemon does not start with
    such a route.
    """


class Guard:
    """Collects the facts of a request, applies the policy of its route, and reads the body within its limits."""

    def __init__(
        self,
        *,
        address: ServerAddress,
        callers: LazyCallers,
        apps: AppRegistry,
        peers: Peers,
        audit: RequestAudit,
        asker_key: AskerKey,
        clock: Clock,
    ) -> None:
        self._address = address
        self._callers = callers
        self._apps = apps
        self._peers = peers
        self._audit = audit
        self._asker_key = asker_key
        self._requests = TokenBuckets(per_minute=REQUESTS_PER_MINUTE, burst=REQUESTS_AT_ONCE, keys=1024, clock=clock)
        self._policies: dict[web.AbstractRoute, Policy] = {}

    def pages_origin(self) -> str:
        """Return the origin of the owner's pages, which changes; see ``rename_pages``."""
        return self._address.pages_origin

    def rename_pages(self) -> None:
        """
        Give the owner's pages a new name, because another program may have received requests to the present one. Pages
        that are open stop working.
        """
        self._address = msgspec.structs.replace(self._address, pages_name=new_name())

    def serve_pages_at(self, numeric_host: str | None) -> None:
        """Serve the owner's pages at this Host as well, in place of a former one. None: only at their name."""
        self._address = msgspec.structs.replace(self._address, numeric_host=numeric_host)

    def declare(self, route: web.AbstractRoute, policy: Policy) -> None:
        """Set the policy of ``route``."""
        self._policies[route] = policy

    def require_policies(self, app: web.Application) -> None:
        """
        Check the routes of ``app``.

        Raises:
            PolicyError: If a route has no policy, or changes state without an audit entry or an order.
        """
        for route in app.router.routes():
            policy = self._policies.get(route)
            if policy is None:
                raise PolicyError(f"{route.method} {route.resource} has no policy")
            if route.method in _SAFE_METHODS or policy.access not in ("token", "owner", "pairing", "program"):
                continue
            if policy.order is Order.BY_HANDLER:
                continue
            if policy.access not in ("pairing", "program") and policy.audit is None:
                raise PolicyError(f"{route.method} {route.resource} changes state without an audit entry")
            if policy.order is None:
                message = f"{route.method} {route.resource} does not declare whether it acts or records first"
                raise PolicyError(message)

    @property
    def middleware(self) -> Middleware:
        """The guard as an aiohttp middleware."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await answered(request, handler)
            if request.raw_path.startswith(UPSTASH_PREFIX):
                problems.for_upstash_clients(response)
            if refusal_page.is_navigation(request.headers):
                # The user sees it, who came from a link, a bookmark, or a sign-in.
                problems.as_page(response, home=request.headers.get(hdrs.HOST, "").lower() in self._address.hosts)
            return response

        async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await self._handle(request, handler)
            except (HelperError, problems.BodyInvalid, web.HTTPException, BodyError) as error:
                return _error_response(error)
            except ConnectionResetError:
                raise
            except Exception as error:  # noqa: BLE001 - the last resort: a bug is a bare 500, logged by type and place
                fields = {"error": type(error).__name__, "where": where(error), "route": _name(request)}
                logger.error("handler_failed", extra=fields)  # noqa: TRY400 - a traceback's lines may hold values
                return problems.answer(500, "internal_error")

        return guard

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        sent = self._as_ours(request, await self._facts(request))
        facts = resolve_on_behalf(sent, self._address)
        if isinstance(facts, Denied):
            return await self._deny(check_request(sent, self._address) or facts, sent)
        request[ORIGIN] = facts.origin
        request[VIA_BRIDGE] = bool(sent.on_behalf)
        request[ON_OWN_PAGES] = facts.host in self._address.pages_hosts
        denied = check_request(facts, self._address)
        if denied is None or not denied.close:
            await self._load_callers(facts, required=denied is None and not facts.preflight)
            if may_read(facts, self._address, self._callers):
                allow_reading(request, facts.origin)
        if self._address.has_api and is_worker_update(facts) and (denied is None or not denied.close):
            return unregistering_worker()
        decision = denied or authorize(facts, self._address, self._callers)
        if isinstance(decision, Denied):
            return await self._deny(decision, facts)
        policy = facts.policy
        if facts.preflight or policy is None:
            return preflight_response(facts.allowed_methods)
        self._apply_rate_limit(request, facts, decision.caller)
        _begin_for(request, decision.caller)
        if policy.body != "any":
            request[BODY] = await _read_body(request, policy) if facts.has_body else b""
            # The body may have taken seconds to arrive, and the caller's access may have been revoked meanwhile.
            decision = authorize(facts, self._address, self._callers)
            if isinstance(decision, Denied):
                return await self._deny(decision, facts)
        request[CALLER] = decision.caller
        response = await self._audit(request, handler, policy)
        if self._is_late(request, response, decision.caller):
            raise AccessEnded
        return response

    def _as_ours(self, request: web.Request, sent: RequestFacts) -> RequestFacts:
        """Return a redirect through a forwarded port as if it had been sent to our own port, at which it arrived."""
        request[FORWARDED_FROM] = ""
        if not refusal_page.is_navigation(request.headers) or not is_forwarded_redirect(sent, self._address):
            return sent
        request[FORWARDED_FROM] = sent.host
        return msgspec.structs.replace(sent, hosts=self._address.shared_hosts[:1])

    def _is_late(self, request: web.Request, response: web.StreamResponse, caller: Caller | None) -> bool:
        """
        Return whether the app has lost its access before it could read what it asked for: Upstash, the keyring, or the
        disk may have taken seconds. A change is finished, and the app gets its result, which has no secret.
        """
        if caller is None or response.prepared or request.method not in _SAFE_METHODS:
            return False
        return not self._apps.has_access(caller)

    async def _load_callers(self, facts: RequestFacts, *, required: bool) -> None:
        """
        Load the approved apps on the first request that depends on them: an idle daemon keeps no ledger open.

        Requests that don't depend on them succeed even if the ledger cannot be read.
        """
        guarded = facts.policy is not None and facts.policy.access in ("token", "owner", "pairing")
        foreign = facts.origin is not None and not self._address.is_here(facts.origin)
        if not foreign and not (guarded and self._has_unknown_token(facts)):
            return
        try:
            await self._callers.ready()
        except HelperError:
            if required and guarded:
                raise

    def _has_unknown_token(self, facts: RequestFacts) -> bool:
        basic = facts.policy is not None and facts.policy.basic
        token = token_of(facts.authorizations, basic=basic)
        return token is not None and self._callers.find(token) is None

    def _apply_rate_limit(self, request: web.Request, facts: RequestFacts, caller: Caller | None) -> None:
        """Limit the requests of each app, and of senders that request access. The owner and open routes are exempt."""
        if caller is not None and not caller.is_owner:
            key = caller.id
        elif facts.policy is not None and facts.policy.access == "pairing":
            pairing_id = request.match_info.get("pairing_id", "")
            key = self._asker_key(facts.origin, pairing_id, token_of(facts.authorizations))
        elif facts.policy is not None and facts.policy.access == "program":
            key = f"program:{request.path}"  # each on its own: a flood of registrations does not prevent a refresh
        else:
            return
        wait = self._requests.take(key)
        if wait > 0:
            raise RateLimited(f"More than {REQUESTS_PER_MINUTE} requests per minute.", retry_after=wait)
        if caller is not None:
            self._apps.used(caller.id)

    async def _deny(self, denied: Denied, facts: RequestFacts) -> web.Response:
        if denied.misused is not None and denied.misused.is_owner:
            logger.warning("owner_token_misused")
        elif denied.misused is not None:
            await self._apps.misused(denied.misused.id, where=facts.origin or "no origin")
        response = problems.answer(
            denied.status, denied.code, denied.detail, links=dict(denied.links), headers=denied.headers
        )
        if denied.close or facts.has_body:
            # An unread body must not be parsed as the connection's next request.
            response.force_close()
        return response

    async def _facts(self, request: web.Request) -> RequestFacts:
        headers = request.headers
        requested_method = headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        preflight = request.method == hdrs.METH_OPTIONS and requested_method is not None and hdrs.ORIGIN in headers
        match = request.match_info
        if preflight and requested_method in hdrs.METH_ALL:
            match = await request.app.router.resolve(request.clone(method=requested_method))
        failure = match.http_exception
        methods = failure.allowed_methods if isinstance(failure, web.HTTPMethodNotAllowed) else _methods(match)
        return RequestFacts(
            method=request.method,
            target=request.raw_path,
            hosts=tuple(headers.getall(hdrs.HOST, [])),
            origins=tuple(headers.getall(hdrs.ORIGIN, [])),
            on_behalf=tuple(headers.getall(ON_BEHALF_HEADER, [])),
            other_user=self._is_other_user(request),
            fetch_site=headers.get("Sec-Fetch-Site"),
            fetch_mode=headers.get("Sec-Fetch-Mode"),
            fetch_dest=headers.get("Sec-Fetch-Dest"),
            purpose=headers.get("Sec-Purpose") or headers.get("Purpose"),
            authorizations=tuple(headers.getall(hdrs.AUTHORIZATION, [])),
            content_types=tuple(headers.getall(hdrs.CONTENT_TYPE, [])),
            has_body=request.body_exists,
            policy=None if failure is not None else self._policies.get(match.route),
            allowed_methods=tuple(methods),
            preflight=preflight,
        )

    def _is_other_user(self, request: web.Request) -> bool:
        """Return whether another user's process opened the connection. The system is queried once per connection."""
        connection = request.protocol
        if isinstance(connection, Connection) and connection.other_user is not None:
            return connection.other_user
        transport = request.transport
        if transport is None:
            return False
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        other = bool(local and remote) and self._peers.is_other_user(local[:2], remote[:2])
        if isinstance(connection, Connection):
            connection.other_user = other
        return other


def _begin_for(request: web.Request, caller: Caller | None) -> None:
    """
    Record whose request it is. This precedes reading the body: a connection that owes one is closed before others, but
    not the owner's.
    """
    CURRENT_CALLER.set("" if caller is None else caller.id)
    connection = request.protocol
    if caller is not None and isinstance(connection, Connection) and not connection.begin_for(caller):
        raise RateLimited(
            "Too many requests from this app, or from all apps together, are in progress.", retry_after=1.0
        )


async def _read_body(request: web.Request, policy: Policy) -> bytes:
    if policy.body == "none":
        raise BodyNotAllowed
    return await read_body(request, limit=policy.body_limit)


def _methods(match: web.UrlMappingMatchInfo) -> set[str]:
    resource = match.route.resource
    return set() if resource is None else {route.method for route in resource}


def _error_response(error: Exception) -> web.Response:
    match error:
        case HelperError():
            return problems.of_error(error)
        case problems.BodyInvalid():
            return error.response
        case web.HTTPNotFound():
            return problems.answer(404, "not_found")
        case BodyTooLarge():
            response = problems.answer(413, "body_too_large", f"The body is too large: {error}.")
        case BodyNotAllowed():
            response = problems.answer(400, "body_not_allowed")
        case BodyTimeout():
            response = problems.answer(408, "body_timeout", f"The body did not arrive in time: {error}.")
        case UnsupportedEncoding():
            response = problems.answer(415, "unsupported_encoding", f"The body cannot be read: {error}.")
        case _:
            response = problems.answer(
                400, "malformed_request", "The body's framing is invalid, or the body is cut off."
            )
    # An unread body must not be parsed as the connection's next request.
    response.force_close()
    return response


def where(error: BaseException) -> str:
    """Return the function and line that raised ``error``."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_qualname}:{traceback.tb_lineno}"


def _name(request: web.Request) -> str:
    """Return the route's name, without the values of its path."""
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else ''}"


# --- CORS -------------------------------------------------------------------------------------------------------------

_READER: web.RequestKey[str] = web.RequestKey("reader", str)

ALLOWED_HEADERS: Final = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id"
EXPOSED_HEADERS: Final = (
    "etag, idempotency-replayed, location, retry-after, upstash-helper-probe, via, www-authenticate"
)
MAX_AGE: Final = 600
"""Seconds. A browser that cached a preflight longer would keep sending requests after the user revoked the app."""


def allow_reading(request: web.Request, origin: str | None) -> None:
    """Let the page of ``origin`` read the response to ``request``."""
    if origin is not None:
        request[_READER] = origin


def add_cors_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the CORS headers. Errors get them too: a page can only handle an error that it can read."""
    if hdrs.ORIGIN in request.headers:
        response.headers[hdrs.VARY] = "Origin"
    origin = request.get(_READER)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS


def preflight_response(methods: Iterable[str]) -> web.Response:
    """Return the response to an allowed preflight request."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE),
        },
    )


# --- requests that the bridge page forwards ---------------------------------------------------------------------------

ON_BEHALF_HEADER: Final = "Upstash-Helper-On-Behalf-Of"

# Constant, so that the sender learns nothing else from it.
ON_BEHALF_DENIED: Final = Denied(
    status=403,
    code="on_behalf_not_allowed",
    detail=f"{ON_BEHALF_HEADER} is reserved for the helper's own bridge page, and has to name one web origin.",
)


def resolve_on_behalf(facts: RequestFacts, address: ServerAddress) -> RequestFacts | Denied:
    """
    Return the facts with the origin of the page that the bridge forwards the request for, if it does.

    Only the bridge page is believed, which is at the named origin of the owner's pages. A preflight cannot come from
    it, because it calls the API at its own origin.
    """
    if not facts.on_behalf:
        return facts
    if len(facts.on_behalf) > 1 or facts.preflight or not _is_same_origin(facts, address):
        return ON_BEHALF_DENIED
    [origin] = facts.on_behalf
    identity = None if address.is_here(origin) else of_origin(origin)
    if identity is None or identity.kind != "web":
        # Extensions can reach the daemon directly, and our own pages are not apps that could be approved.
        return ON_BEHALF_DENIED
    return msgspec.structs.replace(facts, origins=(origin,))


def _is_same_origin(facts: RequestFacts, address: ServerAddress) -> bool:
    """Return whether the bridge sent it. With a GET browsers send no Origin, only Sec-Fetch-Site: same-origin."""
    if facts.fetch_site not in (None, "same-origin") or facts.host not in address.bridge_hosts:
        return False
    return is_own_page(facts, address) if facts.origins else facts.fetch_site == "same-origin"


# --- service workers that another program left behind -----------------------------------------------------------------

# The URL is reloaded without its fragment: to the same URL with it, a browser would navigate without a request.
_UNREGISTERING_SCRIPT: Final = """\
// upstash-helper now runs at this address and has no service worker. This script unregisters the previous one.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil((async () => {
  await registration.unregister();
  for (const client of await clients.matchAll({ type: "window" })) client.navigate(client.url.split("#")[0]);
})()));
"""


def is_worker_update(facts: RequestFacts) -> bool:
    """
    Return whether a browser checks for a new version of a service worker.

    The daemon has never registered one, so it belongs to a program that used this port before, and would answer
    requests in the daemon's place. It may have had the path of one of our files.
    """
    return facts.method == "GET" and facts.fetch_dest == "serviceworker" and facts.fetch_site == "same-origin"


def unregistering_worker() -> web.Response:
    """Return a service worker that unregisters itself."""
    return web.Response(text=_UNREGISTERING_SCRIPT, content_type="text/javascript")
