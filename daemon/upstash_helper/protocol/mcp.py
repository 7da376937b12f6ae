"""What the endpoint ``/mcp`` and the stdio bridge have to agree on: versions, header fields, and metadata."""

from __future__ import annotations

import base64
import re
from typing import Final

from upstash_helper import __version__

STATELESS_VERSIONS: Final = ("2026-07-28",)
"""The versions without sessions, in which each request is complete, the newest first."""
SESSION_VERSIONS: Final = ("2025-11-25", "2025-06-18")
"""The versions that begin with ``initialize``, the newest first."""

VERSION_HEADER: Final = "MCP-Protocol-Version"
METHOD_HEADER: Final = "Mcp-Method"
NAME_HEADER: Final = "Mcp-Name"
SESSION_HEADER: Final = "Mcp-Session-Id"

META_PREFIX: Final = "io.modelcontextprotocol/"

NAME_OF: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The parameter that ``Mcp-Name`` repeats, by method."""

_ENCODED: Final = re.compile(r"=\?base64\?.*\?=")


def header_value(text: str) -> str:
    """Return a value as a header field carries it: as it is if it is plain ASCII, otherwise encoded in Base64."""
    is_plain = text.isascii() and text.isprintable() and text == text.strip(" ") and not _ENCODED.fullmatch(text)
    return text if is_plain else f"=?base64?{base64.b64encode(text.encode('utf-8', 'surrogatepass')).decode()}?="


# --- what the server says about itself --------------------------------------------------------------------------------

SERVER: Final = {"name": "upstash-helper", "title": "Upstash (upstash-helper)", "version": __version__}
CAPABILITIES: Final = {
    "tools": {"listChanged": True},
    "prompts": {"listChanged": False},
    "resources": {"listChanged": False},
}
INSTRUCTIONS: Final = (
    "Tools for the user's Upstash account, through upstash-helper on this computer. Which tools there are depends on "
    "what the user has granted. No result has a password or token unless the user has granted that: to connect a "
    "project to a database, have its variables written to the project's .env file. The user is asked before "
    "something is deleted; a refusal is final."
)


def negotiated(requested: str) -> str:
    """Return the version for a session: the requested one, or else the newest, which the client may decline."""
    return requested if requested in SESSION_VERSIONS else SESSION_VERSIONS[0]


def initialize_result(requested: str) -> dict[str, object]:
    """Return the result of ``initialize`` for the version that a client requests."""
    return {
        "protocolVersion": negotiated(requested),
        "capabilities": CAPABILITIES,
        "serverInfo": SERVER,
        "instructions": INSTRUCTIONS,
    }


def discover_result() -> dict[str, object]:
    """Return the result of ``server/discover``, without what all results have."""
    return {
        "supportedVersions": [*STATELESS_VERSIONS, *SESSION_VERSIONS],
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
    }


def completed(members: dict[str, object], *, ttl_ms: int | None) -> dict[str, object]:
    """
    Return a result with what the stateless versions require of all results.

    Args:
        members: The result.
        ttl_ms: How long a client may keep it; None: it is not of a kind that clients keep.
    """
    hints: dict[str, object] = {} if ttl_ms is None else {"ttlMs": ttl_ms, "cacheScope": "private"}
    return {"resultType": "complete", **hints, **members, "_meta": {f"{META_PREFIX}serverInfo": SERVER}}
