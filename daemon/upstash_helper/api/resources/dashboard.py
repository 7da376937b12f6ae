"""``/v1/dashboard``: a session for the daemon's own pages, by a one-time ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import hdrs, web

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import BODY, Route
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS, TICKET_SECONDS
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import wire_apps as wire

if TYPE_CHECKING:
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.ports import Clock


class DashboardResource:
    """The handlers."""

    def __init__(self, *, sessions: DashboardSessions, port: int, clock: Clock) -> None:
        self._sessions = sessions
        self._port = port
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what is served here."""
        at = "/v1/dashboard"
        return [
            Route(
                method="POST", path=f"{at}/tickets", handler=self.ticket,
                policy=Policy("owner", audit="dashboard.open"),
                operation_id="openDashboard", summary="An address that opens the dashboard, once",
                answers={201: wire.DashboardTicket},
            ),
            Route(
                method="POST", path=f"{at}/sessions", handler=self.begin, policy=Policy("ours", body="json"),
                operation_id="beginSession", summary="For the daemon's own page: a token for a ticket",
                body=wire.BeginSession, answers={201: wire.DashboardSession},
            ),
            Route(
                method="DELETE", path=f"{at}/sessions", handler=self.end,
                policy=Policy("owner", audit="dashboard.close"),
                operation_id="endSession", summary="End the session of the calling page", answers={204: None},
            ),
        ]  # fmt: skip

    async def ticket(self, _request: web.Request) -> web.Response:
        """Answer with an address; the ticket is in its fragment, which browsers send to nobody."""
        ticket = self._sessions.ticket()

        # localhost, whose other name 127.0.0.1 is another origin to a browser: all pages are of one.
        url = f"http://localhost:{self._port}/#ticket={ticket.reveal()}"
        expires_at = render.timestamp(self._clock.time() + TICKET_SECONDS)
        return render.json(wire.DashboardTicket(url=url, expires_at=expires_at), status=201)

    async def begin(self, request: web.Request) -> web.Response:
        """Begin a session. The gate has seen to it that a page of ours asks."""
        given = cast("wire.BeginSession", decode(request[BODY], wire.BeginSession))

        token = self._sessions.begin(Secret(given.ticket), page=request.headers[hdrs.ORIGIN])

        expires_at = render.timestamp(self._clock.time() + IDLE_SECONDS)
        return render.json(wire.DashboardSession(token=token.reveal(), expires_at=expires_at), status=201)

    async def end(self, request: web.Request) -> web.Response:
        """End the session whose token was sent."""
        self._sessions.end(token_of(tuple(request.headers.getall(hdrs.AUTHORIZATION, []))) or b"")

        return web.Response(status=204)
