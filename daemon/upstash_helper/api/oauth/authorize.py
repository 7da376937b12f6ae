"""The part in the browser: an authorization request, its page, and the redirect back to the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from upstash_helper.api.oauth import page
from upstash_helper.api.oauth.form import parse
from upstash_helper.broker.authorization.errors import OAuthError, RefusedOnPage
from upstash_helper.broker.authorization.redirect_uris import is_private_use
from upstash_helper.broker.authorization.requests import Redirection
from upstash_helper.broker.errors import HelperError, RateLimited
from upstash_helper.broker.identity import Caller

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.authorization.server import McpAuthorization

_WAIT_SECONDS: Final = 25.0
"""How long the page waits for one response. Then it asks again."""


async def authorize(
    request: web.Request, server: McpAuthorization, *, issuer: str, resources: frozenset[str]
) -> web.Response:
    """Begin an authorization request, and redirect to its page, whose address has none of the parameters."""
    try:
        parameters = parse(request.raw_path.partition("?")[2])
        begun = await server.requests.begin(parameters, issuer=issuer, resources=resources)
    except OAuthError as error:
        return page.refused("This sign-in cannot start", error.description)
    except RefusedOnPage as error:
        return page.refused(error.title, error.detail)
    if isinstance(begun, Redirection):
        return _to_client(begun)
    return web.Response(status=303, headers={hdrs.LOCATION: f"/oauth/requests/{begun.key}"})


async def show(key: str, server: McpAuthorization, *, can_open: bool, list_command: str) -> web.Response:
    """Return the page of a request, or redirect to the program if the user has decided."""
    waiting = server.requests.find(key)
    if waiting is None:
        return page.over()
    redirection = await server.requests.settled(waiting)
    if redirection is not None:
        return _to_client(redirection)
    return page.over() if waiting.is_over else page.waiting(waiting, can_open=can_open, list_command=list_command)


async def decision(key: str, server: McpAuthorization) -> web.Response:
    """Wait for the user's decision. The response is one word: whether the page has to be reloaded."""
    waiting = server.requests.find(key)
    is_decided = waiting is None or await server.requests.is_decided(waiting, wait_seconds=_WAIT_SECONDS)
    return web.Response(text="decided" if is_decided else "waiting")


async def open_dashboard(
    key: str,
    server: McpAuthorization,
    *,
    opens: Callable[[Caller], Awaitable[bool]],
    can_open: bool,
    list_command: str,
) -> web.Response:
    """
    Open the dashboard in the user's browser, where the user decides. This gives the page no rights: another program may
    use its origin.

    The response is a page and not a redirect: browsers apply a page's ``form-action`` to all redirects that follow a
    form, and the redirect to the program would be one of them.
    """
    waiting = server.requests.find(key)
    if waiting is None or waiting.is_over:
        return page.over()
    client = waiting.client
    try:
        opened = await opens(Caller(kind="app", id="oauth", name=client.name, identity=client.identity))
        note = "The dashboard is opening in your browser." if opened else _NOT_OPENED
    except RateLimited:
        note = "The dashboard was opened a short time ago. Look for its window."
    except HelperError as error:
        note = error.detail
    return page.waiting(waiting, can_open=can_open, list_command=list_command, note=note)


_NOT_OPENED: Final = "No browser could be opened. Use the menu of the tray icon or a terminal."


def _to_client(redirection: Redirection) -> web.Response:
    address = redirection.url.reveal()
    if is_private_use(redirection.redirect_uri):
        return page.continuing(redirection.client.name, address, is_allowed=redirection.is_allowed)
    headers = {hdrs.LOCATION: address, "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)
