"""What the endpoint ``/mcp`` and the stdio bridge share: versions, header fields, and metadata."""

from __future__ import annotations

import base64
import re
from typing import Final

from upstash_helper import __version__

STATELESS_VERSIONS: Final = ("2026-07-28",)
"""The versions without sessions, in which each request is self-contained, newest first."""
SESSION_VERSIONS: Final = ("2025-11-25", "2025-06-18")
"""The versions that begin with ``initialize``, newest first."""

VERSION_HEADER: Final = "MCP-Protocol-Version"
METHOD_HEADER: Final = "Mcp-Method"
NAME_HEADER: Final = "Mcp-Name"
SESSION_HEADER: Final = "Mcp-Session-Id"

META_PREFIX: Final = "io.modelcontextprotocol/"

NAME_OF: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
"""The parameter that ``Mcp-Name`` repeats, by method."""

_ENCODED: Final = re.compile(r"=\?base64\?.*\?=")


def header_value(text: str) -> str:
    """Return a value for a header field: unchanged if it is plain ASCII, otherwise encoded in Base64."""
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
    "Tools for the user's Upstash account, through upstash-helper on this computer. If there are no tools, ask the "
    "user to approve this agent in upstash-helper. The available tools depend on what the user has granted. Results "
    "contain no passwords or tokens unless the user has granted this: to connect a project to a database, use "
    "env_write, which writes the database's variables to the project's .env file. The user is asked before a "
    "database, a backup, or an index is deleted. If the user says no, do not try again."
)


def can_change(kind: str) -> bool:
    """Return whether clients are notified when a list changes: ``tools``, ``prompts``, or ``resources``."""
    return CAPABILITIES[kind]["listChanged"]


def negotiated(requested: str) -> str:
    """Return the version for a session: the requested one, otherwise the newest, which the client may decline."""
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
    """Return the result of ``server/discover``, without the members that all results have."""
    return {
        "supportedVersions": [*STATELESS_VERSIONS, *SESSION_VERSIONS],
        "capabilities": CAPABILITIES,
        "instructions": INSTRUCTIONS,
    }


def completed(members: dict[str, object], *, ttl_ms: int | None) -> dict[str, object]:
    """
    Return a result with the members that the stateless versions require of all results.

    Args:
        members: The result.
        ttl_ms: How long a client may cache it; None: clients do not cache this kind of result.
    """
    hints: dict[str, object] = {} if ttl_ms is None else {"ttlMs": ttl_ms, "cacheScope": "private"}
    return {"resultType": "complete", **hints, **members, "_meta": {f"{META_PREFIX}serverInfo": SERVER}}
