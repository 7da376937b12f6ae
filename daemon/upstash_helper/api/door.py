"""
The port of sign-ins, where that is not the API's: it takes the redirect, sends the browser on, and knows nothing else.

At other times another program may be there, such as a developer's own server. So nothing of this stays in the browser:
nothing cached, no entry in its history, no connection; and a service worker that it finds is left to whoever put it
there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api import redirects
from upstash_helper.api.guard.policy.policy import Policy
from upstash_helper.api.server.app import create_app
from upstash_helper.api.server.routes import Route

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from upstash_helper.api.guard.middleware import Gate
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.identity import Caller

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
        redirect = redirects.read(request.query.items())

        attempt = None if redirect is None else await self._connection.flow.redirected(redirect)

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
