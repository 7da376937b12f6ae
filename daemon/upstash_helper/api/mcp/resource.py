"""
The route ``/mcp``, for local agents.

The endpoint is imported and created at the first request, so a daemon that no agent uses does not pay for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.api.server.routes import BY_HANDLER, Policy, Route, caller_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from upstash_helper.api.mcp.endpoint import Endpoint

BODY_LIMIT: Final = 128 * 1024
"""In bytes. A call may contain values to store in a database."""

_POLICY: Final = Policy("token", body="json", order=BY_HANDLER, audience="mcp", body_limit=BODY_LIMIT)


class McpResource:
    """The handlers of the route."""

    def __init__(self, create: Callable[[], Endpoint]) -> None:
        """
        Args:
            create: Returns the endpoint.
        """
        self._create = create
        self._endpoint: Endpoint | None = None

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="POST", path="/mcp", handler=self.post, policy=_POLICY,
                operation_id="sendMcpMessage", summary="Send a Model Context Protocol (MCP) message",
                answers={200: "application/json", 202: None}, problems=(404, 406),
            ),
            Route(
                method="GET", path="/mcp", handler=self.get, policy=Policy("token", audience="mcp"),
                operation_id="followMcpMessages", summary="Follow the messages of an MCP session",
                answers={200: "text/event-stream"}, problems=(400, 404, 406, 429),
            ),
            Route(
                method="DELETE", path="/mcp", handler=self.delete,
                policy=Policy("token", order=BY_HANDLER, audience="mcp"),
                operation_id="endMcpSession", summary="End an MCP session",
                answers={204: None}, problems=(400, 404),
            ),
        ]  # fmt: skip

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Handle one message."""
        return await self._get().post(request, caller_of(request))

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Open the stream of a session."""
        return await self._get().get(request, caller_of(request))

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """End a session."""
        return await self._get().delete(request, caller_of(request))

    def close(self) -> None:
        """End the requests that wait for the user, because the daemon is stopping."""
        if self._endpoint is not None:
            self._endpoint.close()

    def _get(self) -> Endpoint:
        if self._endpoint is None:
            self._endpoint = self._create()
        return self._endpoint
