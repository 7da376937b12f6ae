"""
The versions of the protocol, and how a request shows which one it uses.

Since 2026-07-28, each request is self-contained: it has its version and the client's capabilities in ``_meta``, and
repeats the version, its method, and the name of its tool, prompt, or resource in header fields, for proxies. With
earlier versions, a client begins with ``initialize``, and later requests name the session that this opened.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from upstash_helper.api.mcp.jsonrpc import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    UNSUPPORTED_VERSION,
    Notification,
    Request,
    RpcError,
)
from upstash_helper.protocol.mcp import (
    META_PREFIX,
    METHOD_HEADER,
    NAME_HEADER,
    NAME_OF,
    SESSION_HEADER,
    VERSION_HEADER,
)
from upstash_helper.protocol.mcp import SESSION_VERSIONS as WITH_SESSIONS
from upstash_helper.protocol.mcp import STATELESS_VERSIONS as STATELESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from upstash_helper.api.mcp.jsonrpc import Message

VERSION_KEY: Final = f"{META_PREFIX}protocolVersion"
CAPABILITIES_KEY: Final = f"{META_PREFIX}clientCapabilities"
CLIENT_KEY: Final = f"{META_PREFIX}clientInfo"
SERVER_KEY: Final = f"{META_PREFIX}serverInfo"
SUBSCRIPTION_KEY: Final = f"{META_PREFIX}subscriptionId"

_ENCODED: Final = re.compile(r"=\?base64\?(?P<data>.*)\?=")


@dataclass(frozen=True)
class Envelope:
    """The protocol version and the capabilities of a request's client."""

    version: str
    capabilities: dict[str, Any]

    @property
    def elicits_forms(self) -> bool:
        """Whether the client can show its user a form. An empty object means forms, as in the first versions."""
        elicitation = self.capabilities.get("elicitation")
        return isinstance(elicitation, dict) and (not elicitation or "form" in elicitation)


def kept(capabilities: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a client's capabilities that a session keeps. The client may send them in any size."""
    known = {"elicitation": ("form", "url"), "sampling": (), "roots": ()}
    return {
        name: {part: {} for part in parts if part in capabilities[name]}
        for name, parts in known.items()
        if isinstance(capabilities.get(name), dict)
    }


class HeaderFields(Protocol):
    """The header fields of a request, by names in any case."""

    def __contains__(self, name: object, /) -> bool: ...
    def get(self, name: str, /) -> str | None:
        """Return the first value of a field, or None."""

    def getall(self, name: str, default: list[str], /) -> list[str]:
        """Return all values of a field, or ``default``."""


def is_stateless(headers: HeaderFields, message: Message) -> bool:
    """
    Return whether a message belongs to a version without sessions, or claims to.

    The body takes precedence: a client of an earlier version may send its newest version as a header when it
    initializes.
    """
    if isinstance(message, Request | Notification) and VERSION_KEY in meta_of(message.params):
        return True
    if SESSION_HEADER in headers or (isinstance(message, Request) and message.method == "initialize"):
        return False
    return METHOD_HEADER in headers or headers.get(VERSION_HEADER) in STATELESS


def meta_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``_meta`` of parameters; empty if there is none."""
    meta = params.get("_meta")
    return meta if isinstance(meta, dict) else {}


def check_stateless(headers: HeaderFields, request: Request) -> Envelope:
    """
    Return the envelope of a request without a session.

    Raises:
        RpcError: With status 400, if the envelope is incomplete, the header fields differ from the body, or the version
            is not supported.
    """
    meta = meta_of(request.params)
    missing = [key for key in (VERSION_KEY, CAPABILITIES_KEY) if key not in meta]
    if missing:
        message = f"_meta must contain {' and '.join(missing)}."
        raise RpcError(INVALID_PARAMS, message, status=400, request_id=request.id)
    version, capabilities = meta[VERSION_KEY], meta[CAPABILITIES_KEY]
    if not isinstance(version, str) or not isinstance(capabilities, dict):
        message = f"{VERSION_KEY} must be a string, and {CAPABILITIES_KEY} an object."
        raise RpcError(INVALID_PARAMS, message, status=400, request_id=request.id)
    _check_header(headers, VERSION_HEADER, version, request)
    _check_header(headers, METHOD_HEADER, request.method, request)
    name = request.params.get(NAME_OF.get(request.method, ""))
    if isinstance(name, str):
        _check_header(headers, NAME_HEADER, name, request)
    if version not in STATELESS:
        raise unsupported(version, request)
    return Envelope(version, capabilities)


def check_notification(headers: HeaderFields) -> None:
    """
    Check the version of a notification without a session. It requires no other header fields.

    Raises:
        RpcError: With status 400, if the version is not supported.
    """
    version = headers.get(VERSION_HEADER)
    if version is not None and version not in STATELESS:
        raise unsupported(version, None)


def unsupported(version: str, request: Request | None) -> RpcError:
    """Return the error for a version that is not supported."""
    return RpcError(
        UNSUPPORTED_VERSION,
        "This version of the protocol is not supported.",
        data={"supported": [*STATELESS, *WITH_SESSIONS], "requested": version[:64]},
        status=400,
        request_id=None if request is None else request.id,
    )


def _check_header(headers: HeaderFields, name: str, expected: str, request: Request) -> None:
    values = headers.getall(name, [])
    # Proxies that read the first of several and servers that read the last would disagree.
    if len(values) != 1:
        problem = "is missing" if not values else "is repeated"
    elif (_decoded(values[0]) if name == NAME_HEADER else values[0]) != expected:
        problem = "differs from the body"
    else:
        return
    raise RpcError(HEADER_MISMATCH, f"The header field {name} {problem}.", status=400, request_id=request.id)


def _decoded(value: str) -> str | None:
    """Return a header value, decoded if it is encoded because it is not plain ASCII; None if it is malformed."""
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        data = base64.b64decode(match["data"], validate=True)
        return data.decode() if base64.b64encode(data).decode() == match["data"] else None
    except (binascii.Error, ValueError):
        return None
