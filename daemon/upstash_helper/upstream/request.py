"""A request, when it may be sent again, and what it fails with."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import aiohttp

from upstash_helper.upstream.connector import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL


class RetryPolicy(enum.Enum):
    """When a request that failed may be sent again."""

    UNSENT = enum.auto()
    """Only if no connection was made: a repeat could do the thing twice."""
    UNANSWERED = enum.auto()
    """Also if the connection broke before the first byte of an answer: the far side refuses a repeat by itself."""
    ALWAYS = enum.auto()
    """Also after a broken answer or a 502, 503, 504: it changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    retry: RetryPolicy
    deadline: float
    """Seconds for all tries together, the answer's body included."""
    limit: int
    """How many bytes of body are read, decompressed; more is an error."""


class TransportFailed(Exception):
    """There is no whole answer. ``detail`` is for a person and names the host, never a secret."""

    def __init__(
        self,
        kind: Literal["network", "timeout", "unreadable"],
        stage: Stage,
        detail: str,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.stage = stage
        self.detail = detail
        self.retry_after = retry_after


def transport_failure(error: Exception, stage: Stage, url: URL) -> TransportFailed:
    """Say what happened without what ``str(error)`` may hold: headers, URLs with passwords, parts of an answer."""
    if isinstance(error, TimeoutError):
        return TransportFailed("timeout", stage, f"{url.host} did not take the connection in time.")
    if stage == "connecting":
        return TransportFailed("network", stage, _unreachable(error, url))
    if stage == "sent":
        return TransportFailed("network", stage, f"{url.host} closed the connection without an answer.")
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return TransportFailed("network", stage, f"The connection to {url.host} broke within the answer.")
    return TransportFailed("unreadable", stage, f"{url.host} sent something that is not HTTP.")


def _unreachable(error: Exception, url: URL) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"The certificate of {url.host} is not one that this machine trusts."
        case aiohttp.ClientConnectorDNSError():
            return f"{url.host} was not found; is this machine online?"
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return f"The proxy of this machine does not lead to {url.host}."
        case _:
            return f"{url.host} could not be reached."
