"""An HTTP request to Upstash, the policy for repeating it, and the error for a request without a usable response."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.system.proxies import FROM_ENVIRONMENT, ProxySettings, ignored_socks_proxy
from upstash_helper.upstream.connector import Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yarl import URL


class RetryPolicy(enum.Enum):
    """When a failed request may be sent again."""

    UNSENT = enum.auto()
    """Only if no connection was made. Repeating it could have a second effect."""
    UNANSWERED = enum.auto()
    """Also if the connection broke before the first byte of a response. The server rejects a repetition."""
    ALWAYS = enum.auto()
    """Also after an incomplete response, or a 502, 503 or 504. It changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request whose response is read completely."""

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)
    retry: RetryPolicy
    deadline: float
    """Seconds for all attempts together, including the response's body."""
    limit: int
    """Maximum size of the response's body in bytes, decompressed."""


class TransportFailed(Exception):
    """There is no complete response. ``detail`` is for the user; it names the host and never contains a secret."""

    def __init__(
        self,
        kind: Literal["network", "timeout", "unreadable", "intercepted"],
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


def intercepted(url: URL, response: aiohttp.ClientResponse, stage: Stage = "answered") -> TransportFailed | None:
    """Return the failure of a request that a captive portal or a proxy has answered, or None."""
    from upstash_helper.upstream import interception  # not at the top: a start of the daemon sends no request

    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    detail = interception.describe(url.host, response.status, media_type, response.headers.get("Location"))
    return None if detail is None else TransportFailed("intercepted", stage, detail)


def transport_failure(
    error: Exception, stage: Stage, url: URL, proxies: ProxySettings = FROM_ENVIRONMENT
) -> TransportFailed:
    """
    Translate an error of aiohttp or a socket.

    Its text is left out: it may contain headers, URLs with passwords, or parts of a response.
    """
    if isinstance(error, TimeoutError):
        return TransportFailed("timeout", stage, f"{url.host} did not accept the connection in time.")
    if stage == "connecting":
        if _is_of_another_name(error):
            from upstash_helper.upstream import interception

            detail = f"The certificate that was received is not for {url.host}. {interception.SIGN_IN}"
            return TransportFailed("intercepted", stage, detail)
        ignored = None if url.scheme != "https" else ignored_socks_proxy(configured=proxies)
        detail = _connection_error(error, url)
        return TransportFailed("network", stage, f"{detail} {ignored}" if ignored else detail)
    if stage == "sent":
        return TransportFailed("network", stage, f"{url.host} closed the connection without a response.")
    if isinstance(error, (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError)):
        return TransportFailed("network", stage, f"The connection to {url.host} broke during the response.")
    return TransportFailed("unreadable", stage, f"{url.host} sent something that is not HTTP.")


def _connection_error(error: Exception, url: URL) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return f"This machine does not trust the certificate of {url.host}. {_CA_FILE}"
        case aiohttp.ClientConnectorDNSError() if error.host != url.host:
            return f"The proxy for {url.host} was not found. Check the setting https_proxy, or HTTPS_PROXY."
        case aiohttp.ClientConnectorDNSError():
            return f"{url.host} was not found. Is this machine online? {_PROXY}"
        case aiohttp.ClientHttpProxyError(status=407):
            return (
                f"The proxy for {url.host} requires a user and a password. Set them in https_proxy in config.toml"
                " (http://user:password@host:port), and run: upstash-helper restart"
            )
        case aiohttp.ClientHttpProxyError() | aiohttp.ClientProxyConnectionError():
            return (
                f"{url.host} could not be reached through this machine's proxy. Check the setting https_proxy, or"
                " HTTPS_PROXY."
            )
        case _:
            is_local = url.host in LOOPBACK_HOSTS
            local = f"Nothing answers at {url.host}, port {url.port}, on this machine. {_SANDBOX}"
            return local if is_local else f"{url.host} could not be reached. {_PROXY}"


_PROXY: Final = "If this network needs a proxy, set https_proxy in config.toml, and run: upstash-helper restart"
_SANDBOX: Final = (
    "If it is your sandbox's address, start the sandbox: upstash-helper sandbox up (or, with another profile,"
    " upstash-helper --profile NAME sandbox up)"
)
_CA_FILE: Final = (
    "If a proxy or a security program inspects TLS, set ca_file in config.toml to its certificate, and run:"
    " upstash-helper restart"
)
_X509_V_ERR_HOSTNAME_MISMATCH: Final = 62
"""x509_vfy.h of OpenSSL."""


def _is_of_another_name(error: Exception) -> bool:
    cause = error.certificate_error if isinstance(error, aiohttp.ClientConnectorCertificateError) else None
    return isinstance(cause, ssl.SSLCertVerificationError) and cause.verify_code == _X509_V_ERR_HOSTNAME_MISMATCH
