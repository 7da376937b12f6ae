"""The application: every route behind the one gate, every error an answer."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from upstash_helper.api import problems
from upstash_helper.api.body import BodyError, BodyTimeout, BodyTooLarge, UnsupportedEncoding, read_body
from upstash_helper.api.guard import Deny, Facts, Policy, decide
from upstash_helper.api.routes import BODY, CALLER
from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp.typedefs import Handler, Middleware

    from upstash_helper.api.caller import Tokens
    from upstash_helper.api.guard import Surface
    from upstash_helper.api.routes import Route

logger = logging.getLogger(__name__)

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class UndeclaredRoute(Exception):
    """A route has no policy: the daemon does not start with a door that nobody thought about."""


def create_app(routes: Iterable[Route], *, surface: Surface, tokens: Tokens) -> web.Application:
    """
    Return the application that serves ``routes``.

    Raises:
        UndeclaredRoute: If a route of the application has no policy.
    """
    gate = Gate(surface=surface, tokens=tokens)
    app = web.Application(middlewares=[gate.middleware])
    for route in routes:
        gate.declare(app.router.add_route(route.method, route.path, route.handler), route.policy)
    gate.check(app)
    app.on_response_prepare.append(_harden)
    return app


class Gate:
    """Gathers the facts of a request, asks the guard, and reads the body within its limits."""

    def __init__(self, *, surface: Surface, tokens: Tokens) -> None:
        self._surface = surface
        self._tokens = tokens
        self._policies: dict[web.AbstractRoute, Policy] = {}

    def declare(self, route: web.AbstractRoute, policy: Policy) -> None:
        """Say what ``route`` asks of its callers."""
        self._policies[route] = policy

    def check(self, app: web.Application) -> None:
        """Refuse an application with a route that has no policy."""
        for route in app.router.routes():
            if route not in self._policies:
                message = f"{route.method} {route.resource} has no policy"
                raise UndeclaredRoute(message)

    @property
    def middleware(self) -> Middleware:
        """The gate, as aiohttp takes it."""

        @web.middleware
        async def gate(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._admit(request, handler)

        return gate

    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        facts = self._facts(request)
        decision = decide(facts, self._surface, self._tokens.find)
        if isinstance(decision, Deny):
            response = problems.of_denial(decision)
            if facts.has_body:
                # What follows on this connection is a body that nobody reads: it must not be taken for a request.
                response.force_close()
            return response
        request[CALLER] = decision.caller
        try:
            request[BODY] = await read_body(request) if facts.has_body else b""
            return await handler(request)
        except (HelperError, problems.BodyInvalid, web.HTTPException, BodyError) as error:
            return _refused(error)
        except ConnectionResetError:
            raise
        except Exception as error:  # noqa: BLE001 - the last line: a bug is a bare 500, logged by its name and place
            logger.error(  # noqa: TRY400 - a traceback's lines may hold values
                "handler_failed", extra={"error": type(error).__name__, "where": _where(error), "route": _name(request)}
            )
            return problems.answer(500, "internal_error", "The helper has a fault. Its log tells where.")

    def _facts(self, request: web.Request) -> Facts:
        found = request.match_info
        headers = request.headers
        failure = found.http_exception
        return Facts(
            method=request.method,
            target=request.raw_path,
            hosts=tuple(headers.getall(hdrs.HOST, [])),
            origins=tuple(headers.getall(hdrs.ORIGIN, [])),
            fetch_site=headers.get("Sec-Fetch-Site"),
            fetch_mode=headers.get("Sec-Fetch-Mode"),
            fetch_dest=headers.get("Sec-Fetch-Dest"),
            purpose=headers.get("Sec-Purpose") or headers.get("Purpose"),
            authorizations=tuple(headers.getall(hdrs.AUTHORIZATION, [])),
            content_types=tuple(headers.getall(hdrs.CONTENT_TYPE, [])),
            has_body=request.body_exists,
            policy=None if failure is not None else self._policies.get(found.route),
            allowed_methods=tuple(failure.allowed_methods) if isinstance(failure, web.HTTPMethodNotAllowed) else (),
        )


async def _harden(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - aiohttp's signature
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    # Neither the server's version nor a clock is anybody's business.
    response.headers.popall(hdrs.SERVER, None)


def _refused(error: Exception) -> web.Response:
    match error:
        case HelperError():
            return problems.of_error(error)
        case problems.BodyInvalid():
            return error.response
        case web.HTTPNotFound():
            return problems.answer(404, "not_found", "There is nothing at this path.")
        case BodyTooLarge():
            response = problems.answer(413, "body_too_large", "The body is larger than 16 KiB.")
        case BodyTimeout():
            response = problems.answer(408, "body_timeout", "The body did not arrive within 5 seconds.")
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
