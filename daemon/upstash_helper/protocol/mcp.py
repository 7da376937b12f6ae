"""What the endpoint ``/mcp`` and the stdio bridge have to agree on: versions, header fields, and metadata."""

from __future__ import annotations

import base64
import re
from typing import Final

STATELESS_VERSIONS: Final = ("2026-07-28",)
"""The versions in which each request stands alone, the newest first."""
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
