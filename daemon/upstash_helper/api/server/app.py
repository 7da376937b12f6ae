"""The application: every route behind the one gate, every error an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from upstash_helper.api.guard import middleware

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.api.guard.middleware import Gate
    from upstash_helper.api.server.routes import Route

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(routes: Iterable[Route], *, gate: Gate) -> web.Application:
    """
    Return the application that serves ``routes`` behind ``gate``.

    Raises:
        UndeclaredRoute: If a route of the application has no policy.
    """
    app = web.Application(middlewares=[gate.middleware])
    for route in routes:
        gate.declare(app.router.add_route(route.method, route.path, route.handler), route.policy)
    gate.check(app)
    app.on_response_prepare.append(_harden)
    return app


async def _harden(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    middleware.add_headers(request, response)
    # Neither the server's version nor a clock is anybody's business.
    response.headers.popall(hdrs.SERVER, None)
