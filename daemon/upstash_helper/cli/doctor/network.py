"""Checks of the connection to Upstash: DNS, TCP, the proxy, TLS, and the clock. No other host is contacted."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import sys
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.system.proxies import UnsupportedProxy, find_proxy, ignored_socks_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext

REACH_SECONDS: Final = 3.0
"""For each step: resolving a name, connecting, a handshake."""
MAX_SKEW: Final = 60.0
"""In seconds. With more, certificates and tokens begin to look expired or not yet valid."""

_CHECK_NETWORK: Final = "Check this machine's network, firewall, and proxy settings."


class _Route(msgspec.Struct, frozen=True, kw_only=True):
    """The route to a service."""

    host: str
    port: int
    tls: bool
    proxy: tuple[str, int] | None = None
    proxy_headers: dict[str, str] = {}

    @property
    def first(self) -> tuple[str, int]:
        """The address to connect to."""
        return self.proxy or (self.host, self.port)

    @property
    def description(self) -> str:
        """That address as text, without a proxy's password."""
        host, port = self.first
        return f"the proxy {host}:{port} for {self.host}" if self.proxy else f"{host}:{port}"

    def connection(self, context: ssl.SSLContext | None) -> http.client.HTTPConnection:
        """Return a connection that is not open yet."""
        host, port = self.first
        if not self.tls or context is None:
            connection = http.client.HTTPConnection(host, port, timeout=REACH_SECONDS)
        else:
            connection = http.client.HTTPSConnection(host, port, timeout=REACH_SECONDS, context=context)
        if self.proxy and self.tls:
            connection.set_tunnel(self.host, self.port, headers=self.proxy_headers)
        return connection


def sign_in(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the authorization server is reachable, with a valid certificate."""
    yield from _address(context, "Sign-in", "auth_url")


def developer_api(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether the Developer API is reachable, with a valid certificate."""
    yield from _address(context, "Developer API", "api_url")


def _address(context: DoctorContext, name: str, setting: Literal["auth_url", "api_url"]) -> Iterator[CheckResult]:
    """Check the address that the running daemon uses. It may have been started with other settings than these."""
    url, here = context.address(setting), getattr(context.settings, setting)
    if url != here:
        detail = f"the running daemon uses {url}, which is checked here; the settings name {here}"
        yield warning(name, detail, f"To use the settings: {context.command('restart')}")
    yield from _reachable(name, url)


def _reachable(name: str, url: str) -> Iterator[CheckResult]:
    try:
        route = _route(url)
    except UnsupportedProxy as problem:
        yield error(name, str(problem), _CHECK_NETWORK)
        return
    ignored = ignored_socks_proxy() if route.tls and urlsplit(url).hostname not in LOOPBACK_HOSTS else None
    if ignored:
        yield warning(name, ignored, "If this machine needs a proxy, set HTTPS_PROXY to an HTTP proxy.")
    host, port = route.first
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as problem:
        fix = "Check this machine's network and DNS settings."
        yield error(name, f"{host} cannot be resolved: {_reason(problem)}", fix)
        return
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except OSError as problem:
        yield error(name, f"{route.description} is not reachable: {_reason(problem)}", _CHECK_NETWORK)
        return
    yield ok(name, f"{route.description} is reachable")
    if route.tls:
        yield _tls(route)


# --- TLS --------------------------------------------------------------------------------------------------------------


def _tls(route: _Route) -> CheckResult:
    name = "TLS"
    connection = route.connection(ssl.create_default_context())
    try:
        with contextlib.closing(connection):
            connection.connect()
            return ok(name, f"{route.host}: {_described(connection.sock)}")
    except ssl.SSLCertVerificationError as problem:
        issuer = _issuer(route)
        by = f" It was issued by {issuer}." if issuer else ""
        detail = f"{route.host}: the certificate is not trusted: {problem.verify_message}.{by}"
        return error(name, detail, _fix_of(problem))
    except ssl.SSLError as problem:
        detail = f"{route.host}: TLS failed: {(problem.reason or 'the handshake failed').replace('_', ' ').lower()}"
        return error(name, detail, "A proxy or firewall on the route may not support TLS. Check them.")
    except (OSError, http.client.HTTPException) as problem:
        # A proxy that refuses to connect causes an OSError without a number.
        return error(name, f"{route.description}: TLS failed: {_reason(problem)}", _CHECK_NETWORK)


def _described(connected: socket.socket) -> str:
    if not isinstance(connected, ssl.SSLSocket):
        return "no TLS"
    certificate = connected.getpeercert() or {}
    return f"{connected.version()}, certificate issued by {_issuer_in(certificate) or 'a trusted issuer'}"


def _fix_of(problem: ssl.SSLCertVerificationError) -> str:
    # x509_vfy.h: X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED, X509_V_ERR_HOSTNAME_MISMATCH
    if problem.verify_code in {9, 10}:
        return "Check this machine's clock. If it is right, the certificate's owner has to renew it."
    if problem.verify_code == 62:
        return "Another server responds in its place. Check the proxy, DNS, and /etc/hosts."
    return (
        "If your company's proxy inspects TLS, put its certificate in a file, set SSL_CERT_FILE to that file where the"
        " daemon is started, and restart it. Otherwise do not use this network."
    )


def _issuer(route: _Route) -> str:
    """
    Return the issuer of a certificate that is not trusted.

    The ssl module parses only trusted certificates. So the certificate is first fetched without verification, and then
    trusted for a second handshake, in which no data is sent.
    """
    try:
        with contextlib.closing(route.connection(_unverified())) as connection:
            connection.connect()
            der = _certificate(connection)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=der)
        with contextlib.closing(route.connection(context)) as connection:
            connection.connect()
            return _issuer_in(connection.sock.getpeercert() if isinstance(connection.sock, ssl.SSLSocket) else None)
    except (OSError, http.client.HTTPException, ValueError):
        return ""


def _certificate(connection: http.client.HTTPConnection) -> bytes:
    found = connection.sock.getpeercert(binary_form=True) if isinstance(connection.sock, ssl.SSLSocket) else None
    return found or b""


def _unverified() -> ssl.SSLContext:
    """Return a context without verification, to learn a certificate's issuer or a server's clock. No secret is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _issuer_in(certificate: object) -> str:
    if not isinstance(certificate, dict):
        return ""
    names = {key: value for part in certificate.get("issuer", ()) for key, value in part}
    found = [names[key] for key in ("organizationName", "commonName") if names.get(key)]
    return "".join(one for one in ", ".join(found) if one.isprintable())[:120]


# --- the clock --------------------------------------------------------------------------------------------------------


def clock(context: DoctorContext) -> Iterator[CheckResult]:
    """Whether this machine's clock agrees with the authorization server's."""
    name, url = "Clock", context.address("auth_url")
    try:
        route = _route(url)
    except UnsupportedProxy:
        return  # reported by the other checks
    began = time.time()
    try:
        date = _date(route, url)
    except (OSError, http.client.HTTPException) as problem:
        yield warning(name, f"could not be compared with {route.host}: {_reason(problem)}")
        return
    ended = time.time()
    if date is None:
        yield warning(name, f"could not be compared with {route.host}, which sends no date")
        return
    # The header has whole seconds, and was written some time between the two.
    skew = 0.0 if began - 1 <= date <= ended else (began + ended) / 2 - date - 0.5
    if abs(skew) <= MAX_SKEW:
        yield ok(name, f"agrees with {route.host} within {max(abs(skew), 1):.0f} s")
        return
    which = "ahead of" if skew > 0 else "behind"
    detail = f"{_span(abs(skew))} {which} {route.host}: certificates and sign-ins may be rejected"
    yield warning(name, detail, _CLOCK_FIX.get(sys.platform, "Synchronize it with network time."))


_CLOCK_FIX: Final = {
    "linux": "Synchronize it with network time: timedatectl set-ntp true",
    "darwin": "Synchronize it with network time: System Settings > General > Date & Time",
    "win32": "Synchronize it with network time: w32tm /resync",
}


def _date(route: _Route, url: str) -> float | None:
    # Without verification: a wrong clock is itself a reason why a certificate may not be trusted.
    with contextlib.closing(route.connection(_unverified())) as connection:
        through = route.proxy and not route.tls
        connection.request("HEAD", url if through else "/", headers=route.proxy_headers if through else {})
        with connection.getresponse() as response:
            date = response.headers.get("Date", "")
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return None


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"


# --- the route --------------------------------------------------------------------------------------------------------


def _route(url: str) -> _Route:
    """
    Return the route to a service.

    Raises:
        UnsupportedProxy: If the proxy is not an HTTP proxy.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    proxy = _proxy(parts.scheme, host)
    if proxy is None:
        return _Route(host=host, port=port, tls=tls)
    place = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return _Route(
        host=host,
        port=port,
        tls=tls,
        proxy=(place.hostname or "", place.port or (443 if place.scheme == "https" else 80)),
        proxy_headers=_authorization(place.username, place.password),
    )


def _proxy(scheme: str, host: str) -> str | None:
    """Return the proxy that the daemon uses: the system's, as for curl."""
    return None if host in LOOPBACK_HOSTS else find_proxy(scheme, host)


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    import base64

    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _reason(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return f"no response within {REACH_SECONDS:.0f} s"
    if isinstance(problem, OSError):
        return problem.strerror or str(problem)
    return type(problem).__name__
