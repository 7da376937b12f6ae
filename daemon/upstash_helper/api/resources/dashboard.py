"""``/v1/dashboard``: sessions for the daemon's own pages, created with one-time tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import hdrs, web

from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, Parameter, Policy, Route
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS, TICKET_SECONDS
from upstash_helper.broker.errors import InvalidRequest, PortConflict
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import wire_apps as wire
from upstash_helper.protocol.wire import Recorded

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.ports import Clock, NumericAddress
    from upstash_helper.protocol.wire import Listener


class DashboardResource:
    """Handlers for tickets and sessions."""

    def __init__(
        self,
        *,
        sessions: DashboardSessions,
        pages_origin: str,
        numeric: NumericAddress,
        listeners: Callable[[], tuple[Listener, ...]],
        clock: Clock,
    ) -> None:
        """
        Args:
            sessions: The tickets and sessions.
            pages_origin: The origin of the owner's pages.
            numeric: Their numeric address.
            listeners: Returns the states of the daemon's loopback addresses.
            clock: The clock.
        """
        self._sessions = sessions
        self._pages_origin = pages_origin
        self._numeric = numeric
        self._listeners = listeners
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes."""
        at = "/v1/dashboard"
        return [
            Route(
                method="POST", path=f"{at}/tickets", handler=self.ticket,
                policy=Policy("owner", audit="dashboard.open", order=ACT_FIRST),
                operation_id="openDashboard", summary="Create a URL that opens the dashboard. It works once",
                answers={201: wire.DashboardTicket}, problems=(422, 503),
                parameters=(
                    Parameter(
                        name="numeric", where="query", schema={"type": "boolean"},
                        description="Whether to return `numeric_url` as well, and open its address for that.",
                    ),
                ),
            ),
            Route(
                method="POST", path=f"{at}/sessions", handler=self.begin, policy=Policy("own_page", body="json"),
                operation_id="beginSession", summary="Exchange a ticket for a session token, for the helper's own page",
                body=wire.BeginSession, answers={201: wire.DashboardSession},
            ),
            Route(
                method="DELETE", path=f"{at}/sessions", handler=self.end,
                policy=Policy("owner", audit="dashboard.close", order=ACT_FIRST),
                operation_id="endSession", summary="End the calling page's session",
                answers={204: None, 200: Recorded},
            ),
        ]  # fmt: skip

    async def ticket(self, request: web.Request) -> web.Response:
        """Create a ticket. It is in the URL's fragment, which browsers do not send anywhere."""
        is_numeric_wanted = _is_numeric_wanted(request)
        ticket = self._sessions.ticket()
        # The name resolves to ::1 as well, and browsers prefer that: another program there would get the ticket.
        is_taken = any(one.state == "taken" and one.use != "sign_in" for one in self._listeners())

        host = None
        if is_taken or is_numeric_wanted:
            host = await self._numeric.open(self._in_use)
        if is_taken and host is None:
            raise PortConflict("Another program has the same port of [::1]. Stop it, and open the dashboard again.")
        fragment = f"#ticket={ticket.reveal()}"
        numeric_url = None if host is None else f"http://{host}/{fragment}"
        answer = wire.DashboardTicket(
            url=numeric_url if numeric_url and is_taken else f"{self._pages_origin}/{fragment}",
            numeric_url=numeric_url,
            expires_at=render.timestamp(self._clock.time() + TICKET_SECONDS),
        )
        return render.json(answer, status=201)

    def _in_use(self, host: str) -> bool:
        """Return whether a page has a session at this host, or may get one."""
        return self._sessions.has_tickets or self._sessions.is_open_at(f"http://{host}")

    async def begin(self, request: web.Request) -> web.Response:
        """Create a session. The guard has checked that one of our own pages sent the request."""
        given = cast("wire.BeginSession", decode(request[BODY], wire.BeginSession))

        token = self._sessions.begin(Secret(given.ticket), page=request.headers[hdrs.ORIGIN])

        expires_at = render.timestamp(self._clock.time() + IDLE_SECONDS)
        return render.json(wire.DashboardSession(token=token.reveal(), expires_at=expires_at), status=201)

    async def end(self, request: web.Request) -> web.Response:
        """End the session that the request's token belongs to."""
        self._sessions.end(token_of(tuple(request.headers.getall(hdrs.AUTHORIZATION, []))) or b"")

        return web.Response(status=204)


def _is_numeric_wanted(request: web.Request) -> bool:
    values = request.query.getall("numeric", ["false"])
    if values not in (["true"], ["false"]):
        raise InvalidRequest("numeric must be true or false.")
    return values == ["true"]
