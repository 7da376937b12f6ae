"""Assembles the application: every route behind the guard, and security headers on every response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from upstash_helper.api.guard.middleware import add_cors_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upstash_helper.api.guard.middleware import Guard
    from upstash_helper.api.server.routes import Route

_SECURITY_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_app(routes: Iterable[Route], *, guard: Guard) -> web.Application:
    """
    Return an application that serves ``routes`` behind ``guard``.

    Raises:
        PolicyError: If a route has no policy, or changes state without an audit entry or an order.
    """
    app = web.Application(middlewares=[guard.middleware])
    for route in routes:
        guard.declare(app.router.add_route(route.method, route.path, route.handler), route.policy)
    guard.require_policies(app)
    app.on_response_prepare.append(_add_headers)
    return app


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    add_cors_headers(request, response)
    # Don't disclose the server's version.
    response.headers.popall(hdrs.SERVER, None)
