"""
``/``: where the authorization server's redirect arrives, and the pages that a person sees then.

The code is taken out of the address at once: what the browser shows, keeps and sends on is ``/?attempt=…``, which is no
secret. The pages are static HTML without a script; the one that waits asks again by itself.
"""

from __future__ import annotations

import html
from functools import cache
from string import Template
from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api import redirects
from upstash_helper.api.files import CSP, read
from upstash_helper.api.guard import Policy
from upstash_helper.api.routes import Parameter, Route
from upstash_helper.broker.attempts import Exchanging, Expired, Failed, Pending, Succeeded
from upstash_helper.broker.errors import AttemptNotFound

if TYPE_CHECKING:
    from upstash_helper.broker.attempts import Attempt
    from upstash_helper.broker.connection import Connection

_HTML: Final = "text/html"


class Page:
    """What one page says."""

    def __init__(self, title: str, *paragraphs: str, mark: str = "none", again: str | None = None) -> None:
        """
        Args:
            title: The heading.
            paragraphs: Plain text; escaped here.
            mark: Which sign stands above it: ``ok``, ``busy``, ``bad`` or ``none``.
            again: The address that is asked again in a second.
        """
        self.title, self.paragraphs, self.mark, self.again = title, paragraphs, mark, again

    def response(self, *, status: int = 200) -> web.Response:
        """Return the page."""
        text = _template().substitute(
            title=html.escape(self.title),
            body="\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in self.paragraphs),
            mark=self.mark,
            refresh=f'<meta http-equiv="refresh" content="1;url={html.escape(self.again)}">' if self.again else "",
        )
        response = web.Response(status=status, text=text, content_type=_HTML)
        response.headers["Content-Security-Policy"] = CSP
        return response


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
            return noise()

        attempt = await self._connection.flow.redirected(redirect)

        if attempt is None or isinstance(attempt, Pending | Expired):
            return noise()
        # RFC 9700, section 4.3.1: the code leaves the address, and with it the history and the Referer.
        return web.Response(status=303, headers={"Location": f"/?attempt={attempt.id}"})

    async def _outcome(self, attempt_id: str) -> web.Response:
        try:
            attempt = self._connection.flow.attempt(attempt_id)
        except AttemptNotFound as error:
            return Page("This sign-in is over", error.detail, mark="bad").response(status=404)
        email = (await self._connection.status()).email
        return outcome(attempt, email).response()

    async def _home(self) -> web.Response:
        return Page(
            "upstash-helper is running",
            "It connects the apps on this computer to Upstash, so that none of them has to keep your API key.",
            "In a terminal, upstash-helper status shows the connection and upstash-helper connect makes one.",
        ).response()


def noise() -> web.Response:
    """Answer an arrival that belongs to no attempt: constant, and the attempt that may be running goes on."""
    return Page(
        "Nothing to do here",
        "This address belongs to no sign-in that is waiting: it may be old, used already, or not from Upstash.",
        "Nothing was changed. Go back to the app and choose Connect Upstash again.",
        mark="bad",
    ).response(status=400)


def outcome(attempt: Attempt, email: str | None) -> Page:
    """Return the page that tells what came of an attempt."""
    match attempt:
        case Pending():
            return Page("Waiting for Upstash", "Finish the sign-in in the other window.", mark="busy")
        case Exchanging():
            return Page(
                "Connecting your account",
                "Upstash has signed you in. Your API key is being made and stored in the keyring of this computer.",
                mark="busy",
                again=f"/?attempt={attempt.id}",
            )
        case Succeeded(needs_email=True):
            return Page(
                "One thing is missing",
                "Your API key is stored, but Upstash did not tell which e-mail it belongs to.",
                "In a terminal, run: upstash-helper connect --email",
                mark="bad",
            )
        case Succeeded():
            who = f"You are connected as {email}." if email else "You are connected."
            return Page(
                "Your account has been connected", who, "You can close this window and go back to the app.", mark="ok"
            )
        case Failed():
            return Page("The account was not connected", attempt.detail, mark="bad")
        case Expired():
            return Page("The sign-in took too long", "Go back to the app and choose Connect Upstash again.", mark="bad")


@cache
def _template() -> Template:
    return Template(read("page.html").decode())
