"""
``/``: where the authorization server's redirect arrives, and the pages that a person sees then.

The code is taken out of the address at once: what the browser shows, keeps and sends on is ``/?attempt=…``, which is no
secret. The pages can be read without a script; with it, the one that waits turns into the next by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api import outcomes, redirects
from upstash_helper.api.files import CSP, read
from upstash_helper.api.guard import Policy
from upstash_helper.api.routes import Parameter, Route
from upstash_helper.api.signs import sprite
from upstash_helper.broker.attempts import Expired, Pending
from upstash_helper.broker.errors import AttemptNotFound

if TYPE_CHECKING:
    from upstash_helper.broker.connection import Connection

_HTML: Final = "text/html"


class PagesResource:
    """The handlers."""

    def __init__(self, *, connection: Connection) -> None:
        self._connection = connection

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method="GET", path="/", handler=self.land, policy=Policy("landing"),
                operation_id="land", summary="The OAuth 2.0 redirect URI, and the page that tells what came of it",
                answers={200: _HTML, 303: None, 400: _HTML},
                parameters=tuple(
                    Parameter(name=name, where="query", description="RFC 6749, section 4.1.2")
                    for name in ("code", "state", "error", "error_description")
                ),
            ),
            Route(
                method="GET", path="/attempts/{attempt_id}/state", handler=self.state, policy=Policy("page"),
                operation_id="getAttemptState", summary="For the page of a sign-in: the word for how it is",
                answers={200: "text/plain"}, problems=(404,),
            ),
        ]  # fmt: skip

    async def land(self, request: web.Request) -> web.Response:
        """Take the redirect, or show what came of it."""
        query = request.query
        if "attempt" in query:
            return await self._outcome(query["attempt"])
        if not {"code", "error", "state"} & query.keys():
            return await self._home()
        redirect = redirects.read(request.query.items())
        if redirect is None:
            return outcomes.noise().response(status=400)

        attempt = await self._connection.flow.redirected(redirect)

        if attempt is None or isinstance(attempt, Pending | Expired):
            return outcomes.noise().response(status=400)
        # RFC 9700, section 4.3.1: the code leaves the address, and with it the history and the Referer.
        return web.Response(status=303, headers={"Location": f"/?attempt={attempt.id}"})

    async def _outcome(self, attempt_id: str) -> web.Response:
        try:
            attempt = self._connection.flow.attempt(attempt_id)
        except AttemptNotFound as error:
            return outcomes.over(error.detail).response(status=404)
        status = await self._connection.status()
        return outcomes.outcome(attempt, status, self._connection.flow.askers(attempt.id)).response()

    async def state(self, request: web.Request) -> web.Response:
        """
        Answer with one word. The page has no token to ask for more, and whoever does not know the attempt's 128 random
        bits does not even get that.
        """
        attempt = self._connection.flow.attempt(request.match_info["attempt_id"])

        return web.Response(text=outcomes.STATES[type(attempt)])

    async def _home(self) -> web.Response:
        """Answer with the dashboard: a shell that holds nothing, and asks for all of it with its session's token."""
        page = read("dashboard/dashboard.html").decode().replace("<!-- icons -->", sprite())
        response = web.Response(text=page, content_type=_HTML)
        response.headers["Content-Security-Policy"] = CSP
        return response
