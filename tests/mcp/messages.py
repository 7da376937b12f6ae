"""Messages of the protocol, as any HTTP client can send them: from the specification, without the product's code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tests.support.world import App

if TYPE_CHECKING:
    from tests.support.world import Reply, World

CURRENT: Final = "2026-07-28"
HANDSHAKE: Final = ("2025-11-25", "2025-06-18")
ACCEPT: Final = "application/json, text/event-stream"
META: Final = "io.modelcontextprotocol/"
_NAMED: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


def envelope(*, version: str = CURRENT, **capabilities: Any) -> dict[str, Any]:
    """Return what a client says about itself in each request."""
    return {
        f"{META}protocolVersion": version,
        f"{META}clientInfo": {"name": "test", "version": "1"},
        f"{META}clientCapabilities": capabilities,
    }


def request(method: str, params: dict[str, Any] | None = None, *, request_id: int = 1) -> dict[str, Any]:
    """Return a request of the current version."""
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": {"_meta": envelope(), **(params or {})}}


def headers_for(message: dict[str, Any]) -> dict[str, str]:
    """Return the headers that the current version requires for a message."""
    headers = {"Accept": ACCEPT, "MCP-Protocol-Version": CURRENT, "Mcp-Method": message["method"]}
    named = _NAMED.get(message["method"])
    return headers if named is None else {**headers, "Mcp-Name": message["params"][named]}


async def send(
    world: World, token: str | None, method: str, params: dict[str, Any] | None = None, **headers: str
) -> Reply:
    """Send a request of the current version with a token. In ``headers``, ``_`` is a ``-``."""
    message = request(method, params)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await world.call("POST", "/mcp", message, headers={**headers_for(message), **given}, token=token)


def answered(reply: Reply) -> dict[str, Any]:
    """Return the response in a reply, which is JSON or the last message of a stream."""
    if not reply.headers["Content-Type"].startswith("text/event-stream"):
        return dict(reply.json)
    messages = [json.loads(line.removeprefix("data:")) for line in reply.text.splitlines() if line.startswith("data:")]
    return dict(messages[-1])


async def agent(world: World, *scopes: str, **granted: Any) -> App:
    """Return an agent that has access with a token for `/mcp`."""
    body = {"name": "Test agent", "scopes": scopes or ("databases:read",), "audience": "mcp"}
    asked = await world.call("POST", "/v1/pairings", body, token=None)
    assert 202 == asked.status, asked.text
    pairing = asked.json
    approved = await world.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
    assert 200 == approved.status, approved.text
    fetched = await world.call("POST", f"/v1/pairings/{pairing['id']}/token", token=pairing["poll_secret"])
    return App(id=fetched.json["app_id"], token=fetched.json["token"], origin=None)
