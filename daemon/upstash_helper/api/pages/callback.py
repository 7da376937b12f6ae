"""
``/``: where the authorization server's redirect arrives, and the pages that a person sees then.

The code is taken out of the address at once: what the browser shows, keeps and sends on is ``/?attempt=…``, which is no
secret. The pages can be read without a script; with it, the one that waits turns into the next by itself.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiohttp import web

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.pages import outcome
from upstash_helper.api.pages.icons import sprite
from upstash_helper.api.pages.static import CSP, read
from upstash_helper.api.server import render
from upstash_helper.api.server.app import create_app
from upstash_helper.api.server.routes import Parameter, Route
from upstash_helper.broker.account.attempts import Expired, Pending, Redirect
from upstash_helper.broker.errors import AttemptNotFound, InvalidRequest
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aiohttp.typedefs import Handler

    from upstash_helper.api.guard.middleware import Gate
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.identity import Caller

_LONGEST: Final = 4096
_ONE_EACH: Final = frozenset({"code", "state", "error", "iss"})
# The browser may have forced https: that is one of the reasons for which an address is pasted.
_PLACE: Final = re.compile(r"(?:https?://)?(?P<host>[^/]+)/?", re.IGNORECASE)


def parse_redirect(query: Iterable[tuple[str, str]]) -> Redirect | None:
    """Return what a query says; None where it says a thing twice, or what no authorization server sends."""
    values: dict[str, str] = {}
    for name, value in query:
        if name in values:
            return None
        if name in _ONE_EACH:
            values[name] = value
    code, error, state = values.get("code"), values.get("error"), values.get("state")
    if (code is None) == (error is None) or not state:
        return None
    # RFC 6749, appendix A.11 and A.7: visible ASCII.
    for given in (code, error, state):
        if given is not None and not (given.isascii() and given.isprintable() and 0 < len(given) <= _LONGEST):
            return None
    return Redirect(state=state, code=None if code is None else Secret(code), error=error, issuer=values.get("iss"))


def parse_pasted_address(address: str, *, hosts: Sequence[str]) -> Redirect:
    """
    Return what an address says that the user copied: all of it, all but its scheme, or its query alone.

    Args:
        address: As it was pasted, perhaps in quotes.
        hosts: What this daemon is called, with its port; the first one is shown.

    Raises:
        InvalidRequest: If it cannot be what the authorization server sent the browser to. What was pasted is not
            repeated: it may hold a code.
    """
    text = address.strip(" \t\r\n\"'<>").partition("#")[0]
    place, mark, query = text.partition("?")
    if not mark and "=" in place:
        place, query = "", place
    found = _PLACE.fullmatch(place)
    if place and (found is None or found["host"].lower() not in hosts):
        message = f"This is not an address of the helper: it would begin with http://{hosts[0]}/?"
        raise InvalidRequest(message, pointer="/address")
    redirect = parse_redirect(parse_qsl(query, keep_blank_values=True))
    if redirect is None:
        message = (
            "This address is not what a sign-in ends at: it must have code and state (or error and state) once each. "
            "Copy all of it, from the http to the end."
        )
        raise InvalidRequest(message, pointer="/address")
    return redirect


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
        redirect = parse_redirect(request.query.items())
        if redirect is None:
            return outcome.no_attempt().response(status=400)

        attempt = await self._connection.flow.handle_redirect(redirect)

        if attempt is None or isinstance(attempt, Pending | Expired):
            return outcome.no_attempt().response(status=400)
        # RFC 9700, section 4.3.1: the code leaves the address, and with it the history and the Referer.
        return web.Response(status=303, headers={"Location": f"/?attempt={attempt.id}"})

    async def _outcome(self, attempt_id: str) -> web.Response:
        try:
            attempt = self._connection.flow.attempt(attempt_id)
        except AttemptNotFound:
            return outcome.no_attempt().response(status=404)
        status = await self._connection.status()
        return outcome.outcome(attempt, status, self._connection.flow.requesters(attempt.id)).response()

    async def state(self, request: web.Request) -> web.Response:
        """
        Answer with one word. The page has no token to ask for more, and whoever does not know the attempt's 128 random
        bits does not even get that.
        """
        attempt = self._connection.flow.attempt(request.match_info["attempt_id"])

        return web.Response(text=render.ATTEMPT_STATES[type(attempt)])

    async def _home(self) -> web.Response:
        """Answer with the dashboard: a shell that holds nothing, and asks for all of it with its session's token."""
        page = read("dashboard/dashboard.html").decode().replace("<!-- icons -->", sprite())
        response = web.Response(text=page, content_type=_HTML)
        response.headers["Content-Security-Policy"] = CSP
        return response


# Of no attempt: the page then says that the sign-in is over.
_NONE: Final = "none"

# No redirect of HTTP: browsers hold the whole chain of redirects after a form to the `form-action` of the page that had
# the form (CSP 3, section 6.4.1), and a sign-in page may list the address that is registered with it, and no other. A
# refresh begins anew, and takes the place of this page in the history (HTML, "shared declarative refresh steps").
_ON: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="0;url={url}">
<title>upstash-helper</title>
<p><a href="{url}">Go on to upstash-helper</a></p>
"""


class Nobody:
    """Who has been let in here: no token is taken, and no page may read an answer."""

    async def ready(self) -> None:
        """Return at once."""

    def find(self, token: bytes) -> Caller | None:  # noqa: ARG002 - whatever it is
        """Return None."""
        return None

    def approved(self, origin: str) -> bool:  # noqa: ARG002 - as above
        """Return False."""
        return False


class DoorResource:
    """The handler."""

    def __init__(self, *, connection: Connection, api_port: int) -> None:
        """
        Args:
            connection: The connection.
            api_port: Where the pages are.
        """
        self._connection = connection
        self._api_port = api_port

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method="GET", path="/", handler=self.land, policy=Policy("landing"), operation_id="landAtDoor",
                summary="The OAuth 2.0 redirect URI", answers={200: "text/html"}, problems=(404,),
            ),
        ]  # fmt: skip

    async def land(self, request: web.Request) -> web.Response:
        """
        Take the redirect. Whatever might hold a code leaves the address (RFC 9700, section 4.3.1), also if it belongs
        to no sign-in of ours: the next program on this port would be sent it again by the browser's history.
        """
        if not {"code", "error", "state"} & request.query.keys():
            raise web.HTTPNotFound
        redirect = parse_redirect(request.query.items())

        attempt = None if redirect is None else await self._connection.flow.handle_redirect(redirect)

        url = f"http://localhost:{self._api_port}/?attempt={_NONE if attempt is None else attempt.id}"
        return web.Response(text=_ON.format(url=url), content_type="text/html")


def create_door(connection: Connection, *, api_port: int, gate: Gate) -> web.Application:
    """
    Return the application of the port of sign-ins.

    Args:
        connection: The connection.
        api_port: Where the pages are.
        gate: Stands before it, for a surface without API.
    """
    app = create_app(DoorResource(connection=connection, api_port=api_port).routes(), gate=gate)
    app.middlewares.insert(0, _once)
    return app


@web.middleware
async def _once(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Close after every answer: what the browser asks of this port next may be meant for another program."""
    response = await handler(request)
    response.force_close()
    return response
