"""
``/v1/dashboard``: sessions for the daemon's own pages, created with one-time tickets.

The result page of a failed sign-in has no session, and must not get one: an app that started the sign-in can open that
page, too. On a click there, the daemon opens the dashboard in the user's browser itself, and the page learns only that.
What the user does in the dashboard, such as starting a sign-in of their own, takes another click there.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final, cast

from aiohttp import hdrs, web
from msgspec.structs import replace

from upstash_helper.api.guard.tokens import token_of
from upstash_helper.api.server import render
from upstash_helper.api.server.problems import decode
from upstash_helper.api.server.routes import ACT_FIRST, BODY, Parameter, Policy, Route, flag_of
from upstash_helper.broker.account.attempts import Expired, Failed
from upstash_helper.broker.account.browser_windows import BrowserWindows
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS, TICKET_SECONDS
from upstash_helper.broker.errors import AttemptNotFound, InvalidRequest, PortConflict, RateLimited
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import wire_apps as wire
from upstash_helper.protocol.wire import Recorded

if TYPE_CHECKING:
    from upstash_helper.api.pages.pages_address import PagesAddress
    from upstash_helper.broker.account.oauth_flow import OAuthFlow
    from upstash_helper.broker.apps.dashboard_sessions import DashboardSessions
    from upstash_helper.broker.apps.one_time_links import OneTimeLinks
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Browser, Clock


_SECTION: Final = re.compile("[a-z]{1,16}")

logger = logging.getLogger(__name__)


class DashboardResource:
    """Handlers for tickets and sessions."""

    def __init__(
        self,
        *,
        sessions: DashboardSessions,
        links: OneTimeLinks,
        address: PagesAddress,
        flow: OAuthFlow,
        browser: Browser | None,
        sites: Sites,
        clock: Clock,
    ) -> None:
        """
        Args:
            sessions: The tickets and sessions.
            links: The one-time links.
            address: The addresses of the owner's pages.
            flow: The sign-ins, whose result pages can open the dashboard.
            browser: The user's browser; None: it is never opened.
            sites: Finds the site of an app, which the limit on browser windows applies to.
            clock: The clock.
        """
        self._flow = flow
        self._browser = browser
        self._windows = BrowserWindows(sites=sites, clock=clock)
        self._sessions = sessions
        self._links = links
        self._address = address
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
                        description="Whether to open the numeric address as well, and return `numeric_url`. With "
                        "`link`, which returns it in any case: whether the link leads only there.",
                    ),
                    Parameter(
                        name="link", where="query", schema={"type": "boolean"},
                        description="Whether to return `link`, for starting a browser.",
                    ),
                    Parameter(
                        name="section", where="query", schema={"type": "string", "pattern": _SECTION.pattern},
                        description="The section of the dashboard that `link` shows.",
                    ),
                ),
            ),
            Route(
                method="POST", path=f"{at}/sessions", handler=self.begin, policy=Policy("own_page", body="json"),
                operation_id="beginSession", summary="Exchange a ticket for a session token, for the helper's own page",
                body=wire.BeginSession, answers={201: wire.DashboardSession},
            ),
            Route(
                method="POST", path="/attempts/{page}/dashboard", handler=self.show,
                policy=Policy("own_page", body="json"), operation_id="showDashboard",
                summary="Open the dashboard in the user's browser, for the result page of a sign-in that has failed",
                body=wire.ShowDashboard, answers={200: wire.DashboardShown}, problems=(404, 429),
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
        is_link_wanted, is_numeric_wanted = flag_of(request, "link"), flag_of(request, "numeric")
        section = _section(request)
        ticket = await self._ticket(is_numeric_wanted=is_numeric_wanted or is_link_wanted)
        if is_link_wanted:
            numeric = "" if ticket.numeric_url is None else ticket.numeric_url + section
            # The name is not tried if it is known not to work: a proxy may answer in its place.
            name = "" if is_numeric_wanted and numeric else ticket.url + section
            link = await self._links.create(name or numeric, fallback=numeric if name else None)
            ticket = replace(ticket, link=link)
        return render.json(ticket, status=201)

    async def show(self, request: web.Request) -> web.Response:
        """
        Open the dashboard in the user's browser, if the page is that of a sign-in that has ended without success.

        An app that started the sign-in may have requested it, so that its windows are limited here as well.
        """
        wanted = cast("wire.ShowDashboard", decode(request[BODY] or b"{}", wire.ShowDashboard))
        attempt = self._flow.by_page(request.match_info["page"])
        if not isinstance(attempt, Failed | Expired):
            raise AttemptNotFound
        requesters = self._flow.requesters(attempt.id)
        opened = await self.open_for(requesters[0] if requesters else None, section=wanted.section)
        return render.json(wire.DashboardShown(opened=opened))

    async def open_for(self, caller: Caller | None, *, section: str = "overview") -> bool:
        """
        Open the dashboard in the user's browser, and return whether that worked.

        Args:
            caller: The app that may have caused it, whose windows are limited; None if no app has.
            section: The section of the dashboard.

        Raises:
            RateLimited: If the app has caused too many windows.
            PortConflict: If another program has the port of ::1.
        """
        if self._browser is None:
            return False
        if caller is not None and (wait := self._windows.take(caller)):
            raise RateLimited("The dashboard was opened a short time ago.", retry_after=wait)
        shown = "" if section == "overview" else f"&section={section}"
        ticket = await self._ticket(is_numeric_wanted=False)
        opened = await self._browser.open(ticket.url + shown)
        logger.info("dashboard_shown", extra={"opened": opened})
        return opened

    async def _ticket(self, *, is_numeric_wanted: bool) -> wire.DashboardTicket:
        ticket = self._sessions.ticket()
        is_taken = self._address.is_taken

        host = None
        if is_taken or is_numeric_wanted:
            host = await self._address.numeric_host()
        if is_taken and host is None:
            raise PortConflict("Another program uses the same port of [::1]. Stop it, then open the dashboard again.")
        fragment = f"#ticket={ticket.reveal()}"
        numeric_url = None if host is None else f"http://{host}/{fragment}"
        return wire.DashboardTicket(
            url=numeric_url if numeric_url and is_taken else f"{self._address.origin()}/{fragment}",
            numeric_url=numeric_url,
            expires_at=render.timestamp(self._clock.time() + TICKET_SECONDS),
        )

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


def _section(request: web.Request) -> str:
    """Return the part of the dashboard's address for the section; empty for the overview."""
    values = request.query.getall("section", ["overview"])
    if len(values) != 1 or not _SECTION.fullmatch(values[0]):
        raise InvalidRequest("section must be the name of a section of the dashboard.")
    return "" if values == ["overview"] else f"&section={values[0]}"
