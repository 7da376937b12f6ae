"""``/links/{key}``: one-time links, which start a browser without a secret on its command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api.server import refusal_page
from upstash_helper.api.server.routes import Policy, Route
from upstash_helper.broker.apps.one_time_links import PATH
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from upstash_helper.broker.apps.one_time_links import OneTimeLinks
    from upstash_helper.broker.ports import Peers

_HTML: Final = "text/html"

_UNKNOWN: Final = (
    "It is only for your own programs, and the system does not report whose program this browser is. To get an address "
    "for this browser, run in a terminal: upstash-helper open --print, or for a sign-in: "
    "upstash-helper connect --no-browser"
)
_USED: Final = (
    "A link works once, for 30 seconds. Choose the item in the tray icon's menu again, or run the command in the "
    "terminal again."
)


class LinksResource:
    """Handles one-time links."""

    def __init__(self, *, links: OneTimeLinks, peers: Peers, checks_user: bool) -> None:
        """
        Args:
            links: The links.
            peers: Identifies the user of a connection.
            checks_user: Whether other users can read a browser's command line, so that a link is opened only for a
                connection that the system reports to be this user's.
        """
        self._links = links
        self._peers = peers
        self._checks_user = checks_user

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path=f"{PATH}{{key}}", handler=self.follow, policy=Policy("page"),
                operation_id="followLink", summary="Continue to where a one-time link leads",
                answers={200: _HTML, 403: _HTML, 410: _HTML}, problems=(404,),
            ),
        ]  # fmt: skip

    async def follow(self, request: web.Request) -> web.Response:
        """
        Continue to the link's destination. The link is used up, unless the sender may be another user, or is no window
        of a browser.
        """
        if not _is_opened(request):
            return _refusal(403, "This link cannot be opened", "It is only for a window or tab of a browser.")
        if self._checks_user and not self._is_this_user(request):
            return _refusal(403, "This link cannot be opened", _UNKNOWN)
        destination = self._links.take(Secret(request.match_info["key"]))
        if destination is None:
            return _refusal(410, "This link has been used or has expired", _USED)
        from upstash_helper.system import redirect_page

        address = destination.address.reveal()
        fallback = None if destination.fallback is None else destination.fallback.reveal()
        response = web.Response(text=redirect_page.render(address, fallback), content_type=_HTML)
        response.headers["Content-Security-Policy"] = redirect_page.policy(address)
        return response

    def _is_this_user(self, request: web.Request) -> bool:
        transport = request.transport
        if transport is None:
            return False
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        return bool(local and remote) and self._peers.is_this_user(local[:2], remote[:2])


def _is_opened(request: web.Request) -> bool:
    """
    Return whether a browser opens the page for its user, as far as it says: the guard has let a request of an extension
    pass, which has no origin either.
    """
    headers = request.headers
    return headers.get("Sec-Fetch-Mode") in (None, "navigate") and headers.get("Sec-Fetch-Dest") in (None, "document")


def _refusal(status: int, title: str, text: str) -> web.Response:
    response = web.Response(status=status, body=refusal_page.render(title, text), content_type=_HTML, charset="utf-8")
    response.headers["Content-Security-Policy"] = refusal_page.policy()
    return response
