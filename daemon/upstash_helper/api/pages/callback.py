"""
``/`` and ``/callback``: the OAuth redirect URIs; and at the origin of the owner's pages, the sign-in's result pages and
the dashboard.

The authorization code is removed from the address immediately: the browser shows, stores, and sends ``/?attempt=…``
with a key that opens only the result page. The attempt's ID does not open it. The pages work without scripts; with
them, the page of a pending sign-in updates without reloading.

With ``port_policy = "on-demand"`` the redirect arrives at a separate application on the callback port.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, quote

import msgspec
from aiohttp import web

from upstash_helper.api.app import create_app
from upstash_helper.api.pages import outcome
from upstash_helper.api.pages.continuation import continue_to_result
from upstash_helper.api.pages.icons import sprite
from upstash_helper.api.pages.static import CSP, read
from upstash_helper.api.server import refusal_page, render
from upstash_helper.api.server.routes import FORWARDED_FROM, ON_OWN_PAGES, Parameter, Policy, Route
from upstash_helper.broker.account.attempts import Expired, Failed, Pending, Redirect
from upstash_helper.broker.errors import AttemptNotFound, InvalidRequest
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from aiohttp.typedefs import Handler

    from upstash_helper.api.guard.middleware import Guard
    from upstash_helper.broker.account.attempts import Attempt
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.identity import Caller

_HTML: Final = "text/html"
INCOMPLETE: Final = "incomplete"
"""In place of the key of a result page: the redirect was cut off. No attempt has this key."""

# --- the redirect's parameters ----------------------------------------------------------------------------------------

_MAX_LENGTH: Final = 4096
_PARAMETERS: Final = frozenset({"code", "state", "error", "iss"})
# https is accepted: a browser that forces it is one of the reasons for pasting a URL.
_SCHEME: Final = re.compile(r"https?://", re.IGNORECASE)
# With a forwarded port, the browser's address has another one. What counts is the state.
_OTHER_PORT: Final = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE)
_AUTHORIZATION: Final = frozenset({"client_id", "redirect_uri", "response_type"})


def parse_redirect(query: Iterable[tuple[str, str]]) -> Redirect | None:
    """Parse a redirect's query. Return None if it repeats a parameter, or no authorization server would send it."""
    values: dict[str, str] = {}
    for name, value in query:
        if name in values:
            return None
        if name in _PARAMETERS:
            values[name] = value
    code, error, state = values.get("code"), values.get("error"), values.get("state")
    if (code is None) == (error is None) or not state:
        return None
    # RFC 6749, appendix A.11 and A.7: visible ASCII.
    for sent in (code, error, state):
        if sent is not None and not (sent.isascii() and sent.isprintable() and 0 < len(sent) <= _MAX_LENGTH):
            return None
    return Redirect(state=state, code=None if code is None else Secret(code), error=error, issuer=values.get("iss"))


def parse_pasted_address(address: str, *, redirects: Sequence[str]) -> Redirect:
    """
    Parse a redirect's URL that the user copied: complete, without its scheme, or only its query.

    Args:
        address: The pasted text, possibly in quotes.
        redirects: Where a redirect may arrive: host, port, and path. Error messages show the first one.

    Raises:
        InvalidRequest: If it cannot be a redirect. The message does not repeat the text, which may contain a code.
    """
    from upstash_helper.system import pasted

    text = pasted.clean(address).strip(" <>").partition("#")[0]
    location, mark, query = text.partition("?")
    if not mark and "=" in location:
        location, query = "", location
    parameters = parse_qsl(query, keep_blank_values=True)
    host, _, path = _SCHEME.sub("", location, count=1).rstrip("/").lower().partition("/")
    paths = {redirect.partition("/")[2].rstrip("/") for redirect in redirects}
    if location and not (_OTHER_PORT.fullmatch(host) and path in paths):
        if _AUTHORIZATION & dict(parameters).keys():
            message = (
                "This is the address of the sign-in page. Sign in there first, then copy the address where the "
                f"browser ends up, which starts with http://{redirects[0]}?"
            )
        else:
            message = f"This is not an address of the helper, which starts with http://{redirects[0]}?"
        raise InvalidRequest(message, pointer="/address")
    redirect = parse_redirect(parameters)
    if redirect is None:
        raise InvalidRequest(_why_no_redirect(dict(parameters)), pointer="/address")
    return redirect


def _why_no_redirect(parameters: Mapping[str, str]) -> str:
    if is_cut_off(parameters):
        from upstash_helper.protocol.messages import CUT_OFF

        return CUT_OFF
    return (
        "This is not the address at the end of a sign-in, which has code and state (or error and state) once each. "
        "Copy the complete address, starting with http."
    )


def is_cut_off(parameters: Mapping[str, str]) -> bool:
    """Return whether the beginning of a redirect's query is there, and its end is missing."""
    return bool(parameters.get("code") or parameters.get("error")) and not parameters.get("state")


def _may_be_redirect(request: web.Request) -> bool:
    return bool({"code", "error", "state"} & request.query.keys())


# --- the API's port ---------------------------------------------------------------------------------------------------


class SignInPagesResource:
    """Handlers for ``/`` and for the state of a sign-in."""

    def __init__(
        self,
        *,
        connection: Connection,
        pages_origin: Callable[[], str],
        redirect_path: str,
        is_sandbox: Callable[[], Awaitable[bool]],
    ) -> None:
        """
        Args:
            connection: The connection.
            pages_origin: Returns the origin of the owner's pages.
            redirect_path: The path of the redirect URI. A redirect at another one belongs to no sign-in.
            is_sandbox: Returns whether accounts belong to a sandbox.
        """
        self._is_sandbox = is_sandbox
        self._connection = connection
        self._pages_origin = pages_origin
        self._redirect_path = redirect_path

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/", handler=self.land, policy=Policy("landing"),
                operation_id="land", summary="The OAuth 2.0 redirect URI, and the result page of a sign-in",
                answers={200: _HTML, 303: None, 400: _HTML},
                parameters=tuple(
                    Parameter(name=name, where="query", description="RFC 6749, section 4.1.2")
                    for name in ("code", "state", "error", "error_description")
                ),
            ),
            Route(
                method="GET", path="/callback", handler=self.callback, policy=Policy("landing"),
                operation_id="handleCallback", summary="The OAuth 2.0 redirect URI of the open sign-in",
                answers={200: _HTML, 303: None, 400: _HTML},
                parameters=tuple(
                    Parameter(name=name, where="query", description=source)
                    for name, source in (
                        ("code", "RFC 6749, section 4.1.2"), ("state", "RFC 6749, section 4.1.2"),
                        ("iss", "RFC 9207"), ("error", "RFC 6749, section 4.1.2.1"),
                        ("error_description", "RFC 6749, section 4.1.2.1"),
                    )
                ),
            ),
            Route(
                method="GET", path="/attempts/{page}/state", handler=self.state, policy=Policy("page"),
                operation_id="getAttemptState", summary="Get a sign-in's state, for the result page",
                answers={200: "text/plain"}, problems=(404,),
            ),
        ]  # fmt: skip

    async def land(self, request: web.Request) -> web.Response:
        """At the origin of the owner's pages, show the result or the dashboard. Elsewhere, continue there."""
        query = request.query
        if request[ON_OWN_PAGES]:
            return await self._result(query["attempt"]) if "attempt" in query else await self._dashboard()
        if _may_be_redirect(request):
            return await self._redirect(request)
        # The address of a result page was at this origin in earlier versions. The id goes in a query, so it is encoded.
        rest = f"?attempt={quote(query['attempt'], safe='')}" if "attempt" in query else ""
        return web.Response(status=303, headers={"Location": f"{self._pages_origin()}/{rest}"})

    async def callback(self, request: web.Request) -> web.Response:
        """Handle the redirect of the open sign-in. Without its parameters, continue at the owner's pages."""
        if not request[ON_OWN_PAGES] and _may_be_redirect(request):
            return await self._redirect(request)
        return web.Response(status=303, headers={"Location": f"{self._pages_origin()}/"})

    async def _redirect(self, request: web.Request) -> web.Response:
        """Handle the OAuth redirect. RFC 9700, section 4.3.1: the code is removed from the address and the history."""
        is_here = request.path == self._redirect_path
        redirect = parse_redirect(request.query.items()) if is_here else None

        attempt = None if redirect is None else await self._connection.flow.handle_redirect(redirect)

        if request[FORWARDED_FROM]:
            return _forwarded(request, attempt)
        if redirect is None and is_cut_off(request.query):
            return continue_to_result(INCOMPLETE, pages_origin=self._pages_origin(), status=400, cleans=True)
        if attempt is None or isinstance(attempt, Pending | Expired):
            return continue_to_result(None, pages_origin=self._pages_origin(), status=400, cleans=True)
        page = self._connection.flow.page(attempt.id)
        return continue_to_result(page, pages_origin=self._pages_origin(), cleans=True)

    async def state(self, request: web.Request) -> web.Response:
        """
        Return an attempt's state as one word.

        The page has no token. Only the key in its address, 128 random bits, gives access to the state.
        """
        attempt = self._connection.flow.by_page(request.match_info["page"])

        return web.Response(text=render.ATTEMPT_STATES[type(attempt)])

    async def _result(self, page: str) -> web.Response:
        flow = self._connection.flow
        if page == INCOMPLETE:
            return outcome.cut_off().response(status=400)
        try:
            attempt = flow.by_page(page)
        except AttemptNotFound:
            return outcome.no_attempt().response(status=404)
        status = await self._connection.status()
        shown = outcome.outcome(attempt, status, flow.requesters(attempt.id), page=page)
        return msgspec.structs.replace(shown, is_sandbox=await self._is_sandbox()).response()

    async def _dashboard(self) -> web.Response:
        """Return the dashboard's shell. It has no data, and loads all of it with its session's token."""
        page = read("dashboard/dashboard.html").decode().replace("<!-- icons -->", sprite())
        response = web.Response(text=page, content_type=_HTML)
        response.headers["Content-Security-Policy"] = CSP
        # No other page keeps a reference to the window. The dashboard keeps one to the window of its sign-in.
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
        return response


# --- the callback port ------------------------------------------------------------------------------------------------


class NoCallers:
    """The ``LazyCallers`` of the callback port, which accepts no tokens and lets no page read a response."""

    async def ready(self) -> None:
        """Return immediately."""

    def find(self, token: bytes) -> Caller | None:  # noqa: ARG002 - the protocol's signature
        """Return None."""
        return None

    def approved(self, origin: str) -> bool:  # noqa: ARG002 - as above
        """Return False."""
        return False


class CallbackResource:
    """The handler of the redirect on the callback port."""

    def __init__(self, *, connection: Connection, pages_origin: Callable[[], str]) -> None:
        """
        Args:
            connection: The connection.
            pages_origin: Returns the origin of the owner's pages.
        """
        self._connection = connection
        self._pages_origin = pages_origin

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/", handler=self.redirect, policy=Policy("landing"), operation_id="handleRedirect",
                summary="The OAuth 2.0 redirect URI", answers={200: "text/html"}, problems=(404,),
            ),
        ]  # fmt: skip

    async def redirect(self, request: web.Request) -> web.Response:
        """
        Handle the OAuth redirect.

        Everything that may contain a code is removed from the address (RFC 9700, section 4.3.1), even if it matches no
        attempt: from the browser's history it could otherwise reach the next program that uses this port.
        """
        if not _may_be_redirect(request):
            raise web.HTTPNotFound
        redirect = parse_redirect(request.query.items())

        attempt = None if redirect is None else await self._connection.flow.handle_redirect(redirect)

        if request[FORWARDED_FROM]:
            return _forwarded(request, attempt)
        page = None if attempt is None else self._connection.flow.page(attempt.id)
        if redirect is None and is_cut_off(request.query):
            page = INCOMPLETE
        return continue_to_result(page, pages_origin=self._pages_origin())


def _forwarded(request: web.Request, attempt: Attempt | None) -> web.Response:
    """
    Return the response to a redirect through a forwarded port: a page in words.

    The page with the result is at the origin of the owner's pages, which the browser cannot open through that port.
    """
    from upstash_helper.protocol import messages

    state = "expired" if attempt is None else render.ATTEMPT_STATES[type(attempt)]
    if attempt is None or isinstance(attempt, Pending | Expired):
        message = messages.NO_ATTEMPT
    elif isinstance(attempt, Failed):
        message = messages.of_attempt(state, attempt.reason)
    else:
        message = messages.FORWARDED
    sockname = () if request.transport is None else request.transport.get_extra_info("sockname", ())
    why = messages.FORWARDED_PORT.format(host=request[FORWARDED_FROM], port=sockname[1] if sockname else "3000")
    page = refusal_page.render(message.title, message.detail, why)
    status = 400 if message is messages.NO_ATTEMPT else 200
    response = web.Response(status=status, body=page, content_type=_HTML, charset="utf-8")
    response.headers["Content-Security-Policy"] = refusal_page.policy()
    return response


def create_callback_app(connection: Connection, *, pages_origin: Callable[[], str], guard: Guard) -> web.Application:
    """
    Return the application of the callback port.

    Args:
        connection: The connection.
        pages_origin: Returns the origin of the owner's pages.
        guard: The guard, for a ``ServerAddress`` without API.
    """
    app = create_app(CallbackResource(connection=connection, pages_origin=pages_origin).routes(), guard=guard)
    app.middlewares.insert(0, _close_connection)
    return app


@web.middleware
async def _close_connection(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Close after every response: the browser's next request to this port may be meant for another program."""
    response = await handler(request)
    response.force_close()
    return response
