"""What stands before every handler: the facts of a request, the guard's decision, the body, the audit."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.guard.policy import Deny, Facts, Policy, admit, may_read, turned_away
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import problems
from upstash_helper.api.server.body import BodyError, BodyTimeout, BodyTooLarge, UnsupportedEncoding, read_body
from upstash_helper.api.server.connections import Connection
from upstash_helper.api.server.routes import BODY, CALLER, ORIGIN
from upstash_helper.broker.apps.rate_limits import TokenBuckets
from upstash_helper.broker.errors import HelperError, RateLimited
from upstash_helper.broker.identity import of_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from upstash_helper.api.guard.audit import Witness
    from upstash_helper.api.guard.policy import Callers, Surface
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock, Peers

_READER: web.RequestKey[str] = web.RequestKey("reader", str)

ALLOWED_HEADERS: Final = "authorization, content-type, idempotency-key, if-match, if-none-match, last-event-id"
EXPOSED_HEADERS: Final = (
    "etag, idempotency-replayed, location, retry-after, upstash-helper-probe, via, www-authenticate"
)
MAX_AGE: Final = 600
"""Seconds. A browser that remembers a yes for longer would ask on after the user has revoked the app."""


def let_read(request: web.Request, origin: str | None) -> None:
    """Let the page of ``origin`` read the answer to ``request``."""
    if origin is not None:
        request[_READER] = origin


def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Say so in the answer, whatever it is: an error that the page cannot read helps nobody."""
    if hdrs.ORIGIN in request.headers:
        response.headers[hdrs.VARY] = "Origin"
    origin = request.get(_READER)
    if origin is not None:
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = EXPOSED_HEADERS


def preflight(methods: Iterable[str]) -> web.Response:
    """Answer a browser that asks first."""
    return web.Response(
        status=204,
        headers={
            hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(methods)),
            hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ALLOWED_HEADERS,
            hdrs.ACCESS_CONTROL_MAX_AGE: str(MAX_AGE),
        },
    )


# Without the fragment: to the same address with it, a browser would go without asking us.
_SCRIPT: Final = """\
// upstash-helper runs at this address now. It has no service worker, and this takes out the one that was here before.
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil((async () => {
  await registration.unregister();
  for (const client of await clients.matchAll({ type: "window" })) client.navigate(client.url.split("#")[0]);
})()));
"""


def updated(facts: Facts) -> bool:
    """Return whether a browser looks for a new version of a service worker. We never registered one."""
    return facts.method == "GET" and facts.fetch_dest == "serviceworker" and facts.fetch_site == "same-origin"


def last_version() -> web.Response:
    """Return the script that ends it."""
    return web.Response(text=_SCRIPT, content_type="text/javascript")


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


logger = logging.getLogger(__name__)

REQUESTS_PER_MINUTE: Final = 300
REQUESTS_AT_ONCE: Final = 60

_SAFE: Final = frozenset({"GET", "HEAD"})


class UndeclaredRoute(Exception):
    """A route has no policy, or changes something unseen: the daemon does not start with such a door."""


class Gate:
    """Gathers the facts of a request, asks the guard, and reads the body within its limits."""

    def __init__(
        self, *, surface: Surface, tokens: Callers, apps: AppRegistry, peers: Peers, witness: Witness, clock: Clock
    ) -> None:
        self._surface = surface
        self._tokens = tokens
        self._apps = apps
        self._peers = peers
        self._witness = witness
        self._requests = TokenBuckets(per_minute=REQUESTS_PER_MINUTE, burst=REQUESTS_AT_ONCE, keys=1024, clock=clock)
        self._policies: dict[web.AbstractRoute, Policy] = {}

    def declare(self, route: web.AbstractRoute, policy: Policy) -> None:
        """Say what ``route`` asks of its callers."""
        self._policies[route] = policy

    def check(self, app: web.Application) -> None:
        """Refuse an application with a route that has no policy, or that changes something and is in no audit."""
        for route in app.router.routes():
            policy = self._policies.get(route)
            if policy is None:
                raise UndeclaredRoute(f"{route.method} {route.resource} has no policy")
            if route.method not in _SAFE and policy.access in ("token", "owner") and policy.audit is None:
                raise UndeclaredRoute(f"{route.method} {route.resource} would change something unseen by the audit")

    @property
    def middleware(self) -> Middleware:
        """The gate, as aiohttp takes it."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                return await self._admit(request, handler)
            except (HelperError, problems.BodyInvalid, web.HTTPException, BodyError) as error:
                return _refused(error)
            except ConnectionResetError:
                raise
            except Exception as error:  # noqa: BLE001 - the last line: a bug is a bare 500, logged by its name and place
                fields = {"error": type(error).__name__, "where": _where(error), "route": _name(request)}
                logger.error("handler_failed", extra=fields)  # noqa: TRY400 - a traceback's lines may hold values
                return problems.answer(500, "internal_error", "The helper has a fault. Its log tells where.")

        return gate

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        sent = await self._facts(request)
        facts = speaking(sent, self._surface)
        if isinstance(facts, Deny):
            return await self._deny(turned_away(sent, self._surface) or facts, sent)
        request[ORIGIN] = facts.origin
        refusal = turned_away(facts, self._surface)
        if refusal is None or not refusal.close:
            await self._learn(facts, needed=refusal is None and not facts.preflight)
            if may_read(facts, self._surface, self._tokens):
                let_read(request, facts.origin)
        if refusal is not None and refusal.status == 404 and self._surface.has_api and updated(facts):
            return last_version()
        decision = refusal or admit(facts, self._surface, self._tokens)
        if isinstance(decision, Deny):
            return await self._deny(decision, facts)
        policy = facts.policy
        if facts.preflight or policy is None:
            return preflight(facts.allowed_methods)
        self._count(facts, decision.caller)
        if policy.body != "any":
            request[BODY] = await read_body(request) if facts.has_body else b""
            # A body may take its time, and its sender may have been revoked meanwhile.
            decision = admit(facts, self._surface, self._tokens)
            if isinstance(decision, Deny):
                return await self._deny(decision, facts)
        request[CALLER] = decision.caller
        return await self._witness(request, handler, policy)

    async def _learn(self, facts: Facts, *, needed: bool) -> None:
        """
        Read who has been let in, once, and not before somebody else than the owner comes: an idle daemon has no ledger
        open. What can do without is not held up by a ledger that cannot be read.
        """
        guarded = facts.policy is not None and facts.policy.access in ("token", "owner", "pairing")
        stranger = facts.origin is not None and facts.origin not in self._surface.origins
        if not stranger and not (guarded and self._has_unknown_token(facts)):
            return
        try:
            await self._tokens.ready()
        except HelperError:
            if needed and guarded:
                raise

    def _has_unknown_token(self, facts: Facts) -> bool:
        basic = facts.policy is not None and facts.policy.basic
        token = token_of(facts.authorizations, basic=basic)
        return token is not None and self._tokens.find(token) is None

    def _count(self, facts: Facts, caller: Caller | None) -> None:
        """Bound what an app may ask for, and who is not let in yet; the owner and what is open to all are not."""
        if caller is not None and not caller.is_owner:
            key = caller.id
        elif facts.policy is not None and facts.policy.access == "pairing":
            key = facts.origin or "native"
        else:
            return
        wait = self._requests.take(key)
        if wait > 0:
            raise RateLimited(f"More than {REQUESTS_PER_MINUTE} requests a minute.", retry_after=wait)
        if caller is not None:
            self._apps.used(caller.id)

    async def _deny(self, deny: Deny, facts: Facts) -> web.Response:
        if deny.misused is not None and deny.misused.is_owner:
            logger.warning("owner_token_misused")
        elif deny.misused is not None:
            try:
                await self._apps.misused(deny.misused.id, where=facts.origin or "no origin")
            except HelperError as error:
                logger.warning("misuse_not_noted", extra={"app": deny.misused.id, "error": error.code})
        response = problems.of_denial(deny)
        if facts.has_body:
            # What follows on this connection is a body that nobody reads: it must not be taken for a request.
            response.force_close()
        return response

    async def _facts(self, request: web.Request) -> Facts:
        headers = request.headers
        wanted = headers.get(hdrs.ACCESS_CONTROL_REQUEST_METHOD)
        preflight = request.method == hdrs.METH_OPTIONS and wanted is not None and hdrs.ORIGIN in headers
        found = request.match_info
        if preflight and wanted in hdrs.METH_ALL:
            found = await request.app.router.resolve(request.clone(method=wanted))
        failure = found.http_exception
        methods = failure.allowed_methods if isinstance(failure, web.HTTPMethodNotAllowed) else _methods(found)
        return Facts(
            method=request.method,
            target=request.raw_path,
            hosts=tuple(headers.getall(hdrs.HOST, [])),
            origins=tuple(headers.getall(hdrs.ORIGIN, [])),
            on_behalf=tuple(headers.getall(HEADER, [])),
            other_user=self._is_other_user(request),
            fetch_site=headers.get("Sec-Fetch-Site"),
            fetch_mode=headers.get("Sec-Fetch-Mode"),
            fetch_dest=headers.get("Sec-Fetch-Dest"),
            purpose=headers.get("Sec-Purpose") or headers.get("Purpose"),
            authorizations=tuple(headers.getall(hdrs.AUTHORIZATION, [])),
            content_types=tuple(headers.getall(hdrs.CONTENT_TYPE, [])),
            has_body=request.body_exists,
            policy=None if failure is not None else self._policies.get(found.route),
            allowed_methods=tuple(methods),
            preflight=preflight,
        )

    def _is_other_user(self, request: web.Request) -> bool:
        """Ask the system once for each connection."""
        connection = request.protocol
        if isinstance(connection, Connection) and connection.other_user is not None:
            return connection.other_user
        transport = request.transport
        if transport is None:
            return False
        ours, theirs = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        other = bool(ours and theirs) and self._peers.is_other_user(ours[:2], theirs[:2])
        if isinstance(connection, Connection):
            connection.other_user = other
        return other


def _methods(found: web.UrlMappingMatchInfo) -> set[str]:
    resource = found.route.resource
    return set() if resource is None else {route.method for route in resource}


def _refused(error: Exception) -> web.Response:
    match error:
        case HelperError():
            return problems.of_error(error)
        case problems.BodyInvalid():
            return error.response
        case web.HTTPNotFound():
            return problems.answer(404, "not_found", "There is nothing at this path.")
        case BodyTooLarge():
            response = problems.answer(413, "body_too_large", f"The body is too large: {error}.")
        case BodyTimeout():
            response = problems.answer(408, "body_timeout", f"The body did not arrive in time: {error}.")
        case UnsupportedEncoding():
            response = problems.answer(415, "unsupported_encoding", "Send the body as it is, without Content-Encoding.")
        case _:
            response = problems.answer(400, "malformed_request", "The body's framing is broken or it ended too soon.")
    # What was not read of the body must not be taken for the next request.
    response.force_close()
    return response


def _where(error: BaseException) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return "" if place is None else f"{place.tb_frame.f_code.co_qualname}:{place.tb_lineno}"


def _name(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return f"{request.method} {resource.canonical if resource else ''}"
