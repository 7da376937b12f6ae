"""Clients of ``/mcp`` that send exactly what a test wants, in each era of the protocol."""

from __future__ import annotations

import asyncio
import contextlib
import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

STATELESS: Final = "2026-07-28"
WITH_SESSION: Final = "2025-11-25"
ACCEPT: Final = "application/json, text/event-stream"
PREFIX: Final = "io.modelcontextprotocol/"
SECONDS: Final = 20.0
"""For what happens at once unless something is broken."""


@dataclass(frozen=True)
class Reply:
    """A response that was read completely."""

    status: int
    headers: Mapping[str, str]
    messages: list[Any]
    """The messages of a stream, or the only one."""

    @property
    def last(self) -> Any:
        """The last message."""
        return self.messages[-1]

    @property
    def result(self) -> Any:
        """The result."""
        assert "result" in self.last, self.last
        return self.last["result"]

    @property
    def text(self) -> str:
        """The text of a tool's result."""
        return str(self.result["content"][0]["text"])

    @property
    def code(self) -> int:
        """The code of an error."""
        assert "error" in self.last, self.last
        return int(self.last["error"]["code"])


class Stream:
    """A response that is being read."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> Any:
        """Return the next message; None at the end. Comments are skipped."""
        async with asyncio.timeout(SECONDS):
            while line := await self.response.content.readline():
                if line.startswith(b"data: "):
                    return msgspec.json.decode(line[6:])
        return None


@dataclass
class Agent:
    """A client. ``headers`` are sent with each request."""

    session: aiohttp.ClientSession
    url: str
    headers: dict[str, str] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    session_id: str | None = None
    """Set by ``initialize``. Without it, requests have no session."""
    number: int = 0
    """The ID of the last request."""

    @contextlib.asynccontextmanager
    async def open(
        self, method: str, params: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Stream]:
        """Send a request, and read its response message by message."""
        body, sent = self.request(method, params)
        async with self.session.post(
            self.url, data=msgspec.json.encode(body), headers=sent | dict(headers or {})
        ) as it:
            yield Stream(it)

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send a request, and return its response."""
        body, sent = self.request(method, params)
        return await self.post(body, sent | dict(headers or {}))

    async def tool(self, name: str, arguments: Mapping[str, Any] | None = None, **params: Any) -> Reply:
        """Call a tool."""
        return await self.call("tools/call", {"name": name, "arguments": dict(arguments or {}), **params})

    def request(self, method: str, params: Mapping[str, Any] | None) -> tuple[dict[str, Any], dict[str, str]]:
        """Return a request and its header fields."""
        self.number += 1
        given = dict(params or {})
        sent = {"Accept": ACCEPT, "Content-Type": "application/json", **self.headers}
        if self.session_id is not None:
            sent |= {"Mcp-Session-Id": self.session_id, "MCP-Protocol-Version": WITH_SESSION}
        else:
            sent |= {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method}
            name = given.get("name", given.get("uri"))
            if isinstance(name, str):
                sent["Mcp-Name"] = name
            about = {f"{PREFIX}protocolVersion": STATELESS, f"{PREFIX}clientCapabilities": self.capabilities}
            given["_meta"] = about | given.get("_meta", {})
        return {"jsonrpc": "2.0", "id": self.number, "method": method, "params": given}, sent

    async def post(self, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Send a message, or bytes, or what is streamed."""
        data = body if isinstance(body, bytes | io.BytesIO) else msgspec.json.encode(body)
        sent = {"Accept": ACCEPT, "Content-Type": "application/json", **self.headers, **(headers or {})}
        if self.session_id is not None:
            sent.setdefault("Mcp-Session-Id", self.session_id)
        async with asyncio.timeout(SECONDS), self.session.post(self.url, data=data, headers=sent) as response:
            return Reply(response.status, response.headers.copy(), _messages(response, await response.read()))

    async def initialize(self, version: str = WITH_SESSION) -> Reply:
        """Begin a session."""
        about = {"name": "raw", "version": "1"}
        params = {"protocolVersion": version, "capabilities": self.capabilities, "clientInfo": about}
        reply = await self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        self.session_id = reply.headers.get("Mcp-Session-Id")
        await self.notify("notifications/initialized")
        return reply

    async def notify(self, method: str, params: Mapping[str, Any] | None = None) -> int:
        """Send a notification, and return the status."""
        return (await self.post({"jsonrpc": "2.0", "method": method, "params": dict(params or {})})).status

    async def respond(self, request: Mapping[str, Any], result: Any) -> int:
        """Respond to a request of the server, and return the status."""
        return (await self.post({"jsonrpc": "2.0", "id": request["id"], "result": result})).status


def _messages(response: aiohttp.ClientResponse, data: bytes) -> list[Any]:
    if response.content_type == "text/event-stream":
        lines = data.decode().splitlines()
        return [msgspec.json.decode(line[6:]) for line in lines if line.startswith("data: ")]
    return [msgspec.json.decode(data)] if data and "json" in response.content_type else []
