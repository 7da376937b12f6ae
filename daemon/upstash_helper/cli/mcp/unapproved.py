"""
The bridge's responses without the daemon: when a client starts, and until the user approves its agent.

Clients give a server a few seconds to start. The keyring and the daemon may take that long, and the user takes longer.
So the client can connect immediately: ``initialize`` and ``server/discover`` are answered as the daemon would answer.
Without access, the lists are empty, as for an agent without scopes. A tool call waits for the user, and then returns a
text that the model can act on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from upstash_helper.protocol.mcp import (
    CAPABILITIES,
    STATELESS_VERSIONS,
    can_change,
    completed,
    discover_result,
    initialize_result,
)

if TYPE_CHECKING:
    from upstash_helper.cli.mcp.lines import Message

LISTS: Final = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The methods that return lists, with the names of the lists."""
CHANGES: Final = {
    method: f"notifications/{kind}/list_changed"
    for method, kind in LISTS.items()
    if kind in CAPABILITIES and can_change(kind)
}
"""The notifications after which a client asks for a list again."""

LIST_SECONDS: Final = 2.0
"""
How long a list waits for the user, who may be approving right now. Clients give a server 10 seconds or more to start,
and some do not request the list again.
"""
CALL_SECONDS: Final = 40.0
"""How long a tool call waits for the user. Clients end a call after 60 seconds or more."""
_TTL_MS: Final = 60_000
"""The same as the daemon's."""


def seconds_for(method: str) -> float:
    """Return how long a request waits for the user before it is answered without a token."""
    return LIST_SECONDS if method in LISTS else CALL_SECONDS


def answer_at_once(message: Message) -> dict[str, Any] | None:
    """Return the result of a valid request that does not need the daemon; None for every other request."""
    if message.is_stateless:
        at_once = message.method == "server/discover"
    else:
        at_once = message.method == "ping" or (message.method == "initialize" and message.params.version is not None)
    return result_of(message, "") if at_once else None


def result_of(message: Message, explanation: str) -> dict[str, Any] | None:
    """
    Return the result of a request, or None if the only answer is an error.

    Args:
        message: The request.
        explanation: Why there is no access, for the model.
    """
    result = _result(message, explanation)
    if result is None or not message.is_stateless:
        return result
    is_discovery = message.method == "server/discover"
    # A list that is about to change must not be cached.
    ttl = _TTL_MS if is_discovery else 0 if message.method in LISTS else None
    return completed(result, ttl_ms=ttl)


def _result(message: Message, explanation: str) -> dict[str, Any] | None:
    if message.is_stateless and message.params.meta.version not in STATELESS_VERSIONS:
        return None
    result: dict[str, Any] | None = None
    match message.method, message.is_stateless:
        case "tools/call", _:
            result = {"content": [{"type": "text", "text": explanation}], "isError": True}
        case "server/discover", True:
            result = discover_result()
        case "initialize", False:
            result = initialize_result(message.params.version or "")
        case "ping", False:
            result = {}
        case method, _ if method in LISTS:
            result = {LISTS[method]: []}
        case _:
            pass
    return result
