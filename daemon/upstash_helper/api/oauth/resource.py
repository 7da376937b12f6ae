"""
The routes of ``/oauth`` and its well-known addresses. Their handlers are imported at the first request.

The endpoints for programs refuse every page, so they have no CORS headers. The sign-in page is at the address that the
program opened, not at the origin of the owner's pages, which not every browser can open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.api.resources.pairings import program_of
from upstash_helper.api.server.routes import ACT_FIRST, RECORD_FIRST, Parameter, Policy, Route

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.authorization.server import McpAuthorization
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Peers

_HTML: Final = "text/html"
_JSON: Final = "application/json"
_PROGRAM: Final = Policy("program")
_RESOURCE: Final = "/.well-known/oauth-protected-resource"
_SERVER: Final = "/.well-known/oauth-authorization-server"

_PARAMETERS: Final = tuple(
    Parameter(name=name, where="query", description=source)
    for name, source in (
        ("response_type", "`code` (RFC 6749, section 4.1.1)"),
        ("client_id", "The registered client"),
        ("redirect_uri", "A registered redirect URI; the port of a loopback address may differ (RFC 8252)"),
        ("code_challenge", "RFC 7636, section 4.3"),
        ("code_challenge_method", "`S256`"),
        ("resource", "The address of `/mcp` (RFC 8707)"),
        ("scope", "By default: read, change, and delete databases, and run commands in them"),
        ("state", "RFC 6749, section 4.1.1"),
    )
)


class OAuthResource:
    """Handlers for the authorization server of ``/mcp``."""

    def __init__(
        self,
        *,
        server: Callable[[], McpAuthorization],
        pairings: Pairings,
        peers: Peers,
        hosts: tuple[str, ...],
        open_dashboard: Callable[[Caller], Awaitable[bool]],
        can_open: bool,
        list_command: str,
    ) -> None:
        """
        Args:
            server: Returns the authorization server, which is composed at the first call.
            pairings: The requests for access. Their limits apply to registrations, too.
            peers: Identifies the program at the other end of a connection.
            hosts: The hosts at which programs reach the daemon, the preferred one first.
            open_dashboard: Opens the dashboard for a request of an app.
            can_open: Whether the daemon opens browser windows.
            list_command: The command that lists the requests of this daemon.
        """
        self._server = server
        self._pairings = pairings
        self._peers = peers
        self._hosts = hosts
        self._open_dashboard = open_dashboard
        self._can_open = can_open
        self._list_command = list_command

    def routes(self) -> list[Route]:
        """Return the routes."""
        item = "/oauth/requests/{key}"
        metadata = [
            Route(
                method="GET", path=path, handler=handler, policy=_PROGRAM, operation_id=operation, summary=summary,
                answers={200: _JSON}, types=_types_of("resource" if handler == self.resource else "server"),
            )
            for path, handler, operation, summary in (
                (_RESOURCE, self.resource, "getResourceMetadata", "Get the metadata of `/mcp` (RFC 9728)"),
                (f"{_RESOURCE}/mcp", self.resource, "getMcpMetadata", "Get the metadata of `/mcp`, by its path"),
                (_SERVER, self.metadata, "getServerMetadata", "Get the authorization server's metadata (RFC 8414)"),
                (
                    f"{_SERVER}/mcp", self.metadata, "getMcpServerMetadata",
                    "Get the authorization server's metadata, by the path of `/mcp`",
                ),
            )
        ]  # fmt: skip
        return [
            *metadata,
            Route(
                method="POST", path="/oauth/register", handler=self.register,
                policy=Policy("program", body="json", order=RECORD_FIRST),
                operation_id="registerClient", summary="Register an OAuth client (RFC 7591)",
                answers={201: _JSON, 400: _JSON, 403: _JSON, 429: _JSON, 503: _JSON}, types=_types_of("register"),
            ),
            Route(
                method="GET", path="/oauth/authorize", handler=self.authorize, policy=Policy("landing"),
                operation_id="authorize", summary="Ask the user to approve access for an OAuth client",
                answers={200: _HTML, 303: None, 400: _HTML}, parameters=_PARAMETERS,
            ),
            Route(
                method="GET", path=item, handler=self.show, policy=Policy("landing"),
                operation_id="showAuthorizationRequest", summary="Show the page of an authorization request",
                answers={200: _HTML, 303: None, 404: _HTML},
            ),
            Route(
                method="POST", path=f"{item}/decision", handler=self.decision, policy=Policy("form"),
                operation_id="awaitDecision", summary="Wait for the user's decision; for the page of the request",
                answers={200: "text/plain"},
            ),
            Route(
                method="POST", path=f"{item}/dashboard", handler=self.dashboard, policy=Policy("form", body="form"),
                operation_id="openDashboardToDecide", summary="Open the dashboard in the user's browser",
                answers={200: _HTML, 404: _HTML},
            ),
            Route(
                method="POST", path="/oauth/token", handler=self.token,
                policy=Policy("program", body="form", order=RECORD_FIRST),
                operation_id="getTokens", summary="Get tokens for a code or a refresh token (RFC 6749)",
                answers={200: _JSON, 400: _JSON, 401: _JSON, 503: _JSON}, types=_types_of("token"),
            ),
            Route(
                method="POST", path="/oauth/revoke", handler=self.revoke,
                policy=Policy("program", body="form", order=ACT_FIRST),
                operation_id="revokeTokens", summary="Revoke a token (RFC 7009)",
                answers={200: None, 400: _JSON, 401: _JSON, 503: _JSON}, types=_types_of("revoke"),
            ),
        ]  # fmt: skip

    async def resource(self, request: web.Request) -> web.Response:
        """Return the metadata of ``/mcp``."""
        from upstash_helper.api.oauth import endpoints

        return endpoints.resource_metadata(self._origin(request))

    async def metadata(self, request: web.Request) -> web.Response:
        """Return the metadata of the authorization server."""
        from upstash_helper.api.oauth import endpoints

        return endpoints.server_metadata(self._origin(request))

    async def register(self, request: web.Request) -> web.Response:
        """Register a client."""
        from upstash_helper.api.oauth import endpoints

        async def work() -> web.Response:
            await self._pairings.precheck(None)
            return await endpoints.register(request, self._server(), await program_of(request, self._peers))

        return await endpoints.answered(work)

    async def authorize(self, request: web.Request) -> web.Response:
        """Begin an authorization request."""
        from upstash_helper.api.oauth import authorize

        resources = frozenset(f"http://{host}/mcp" for host in self._hosts)
        return await authorize.authorize(request, self._server(), issuer=self._origin(request), resources=resources)

    async def show(self, request: web.Request) -> web.Response:
        """Return the page of a request."""
        from upstash_helper.api.oauth import authorize

        return await authorize.show(
            request.match_info["key"], self._server(), can_open=self._can_open, list_command=self._list_command
        )

    async def decision(self, request: web.Request) -> web.Response:
        """Wait for the decision."""
        from upstash_helper.api.oauth import authorize

        return await authorize.decision(request.match_info["key"], self._server())

    async def dashboard(self, request: web.Request) -> web.Response:
        """Open the dashboard."""
        from upstash_helper.api.oauth import authorize

        return await authorize.open_dashboard(
            request.match_info["key"],
            self._server(),
            opens=self._open_dashboard,
            can_open=self._can_open,
            list_command=self._list_command,
        )

    async def token(self, request: web.Request) -> web.Response:
        """Return tokens."""
        from upstash_helper.api.oauth import endpoints

        async def work() -> web.Response:
            return await endpoints.token(request, self._server(), await program_of(request, self._peers))

        return await endpoints.answered(work)

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a token."""
        from upstash_helper.api.oauth import endpoints

        return await endpoints.answered(lambda: endpoints.revoke(request, self._server()))

    def _origin(self, request: web.Request) -> str:
        """
        Return the daemon's origin with the host that the program uses, which the guard has checked. Each host is an
        issuer of its own: if another program has the port of ::1, only 127.0.0.1 leads here.
        """
        host = request.headers.get("Host", "").lower()
        return f"http://{host if host in self._hosts else self._hosts[0]}"


def _types_of(endpoint: str) -> Callable[[], Mapping[str, object]]:
    """Return what ``Route.types`` calls."""

    def types() -> Mapping[str, object]:
        from upstash_helper.api.oauth import wire

        failed = dict.fromkeys((400, 401, 503), wire.OAuthProblem)
        match endpoint:
            case "resource":
                return {"answers": {200: wire.ResourceMetadata}}
            case "server":
                return {"answers": {200: wire.ServerMetadata}}
            case "register":
                refused = dict.fromkeys((400, 403, 429, 503), wire.OAuthProblem)
                return {"body": wire.ClientMetadata, "answers": {201: wire.RegisteredClient, **refused}}
            case "token":
                return {"body": wire.TokenForm, "answers": {200: wire.TokenResponse, **failed}}
            case _:
                return {"body": wire.RevocationForm, "answers": {200: None, **failed}}

    return types
