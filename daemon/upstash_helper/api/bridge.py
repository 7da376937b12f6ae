"""``/bridge``: the page that carries requests for a page that its browser keeps from http://localhost."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.api.files import CSP, read
from upstash_helper.api.guard import Policy
from upstash_helper.api.routes import Route


class BridgeResource:
    """The handler."""

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method="GET", path="/bridge", handler=self.page, policy=Policy("landing"),
                operation_id="openBridge", summary="A window that carries the requests of the page that opened it",
                answers={200: "text/html"},
            ),
        ]  # fmt: skip

    async def page(self, _request: web.Request) -> web.Response:
        """Answer with the page. It is the same for all: who has opened it, the browser tells its script."""
        response = web.Response(body=read("pages/bridge.html"), content_type="text/html", charset="utf-8")
        response.headers["Content-Security-Policy"] = CSP
        return response
