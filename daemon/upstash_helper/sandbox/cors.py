"""Cross-origin requests (the Fetch standard's CORS protocol)."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware


def allow_any_origin(paths: Collection[str]) -> Middleware:
    """Return the middleware that lets pages of every origin use these paths, without cookies."""

    @web.middleware
    async def allow(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path not in paths:
            return await handler(request)
        is_preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        response = _preflight_response(request) if is_preflight else await handler(request)
        response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = "*"
        return response

    return allow


def _preflight_response(request: web.Request) -> web.Response:
    headers = {hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST", hdrs.ACCESS_CONTROL_MAX_AGE: "600"}
    if requested := request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS):
        # Any: Auth0's library sends `Auth0-Client`, for instance. A "*" would not include `Authorization`.
        headers[hdrs.ACCESS_CONTROL_ALLOW_HEADERS] = requested
    return web.Response(status=204, headers=headers)
