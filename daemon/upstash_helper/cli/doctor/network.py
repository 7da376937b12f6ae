"""Checks of the way to Upstash: DNS, TCP, the proxy, TLS, and the clock. No other host is contacted."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import socket
import ssl
import sys
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from upstash_helper.cli.doctor.check import CheckResult, error, ok, warning
from upstash_helper.protocol.literals import LOOPBACK_HOSTS
from upstash_helper.system import disk_errors
from upstash_helper.system.proxies import (
    ProxySettings,
    UnsupportedProxy,
    find_proxy,
    ignored_socks_proxy,
    is_exempt,
    without_password,
)
from upstash_helper.system.trust import CaFileUnusable, tls_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.doctor.context import DoctorContext
    from upstash_helper.system.proxies import Proxy
    from upstash_helper.system.shell_network import LostVariable

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


def proxy(context: DoctorContext) -> Iterator[CheckResult]:
    """The proxy and the certificates that are used, and those of this terminal that the daemon does not have."""
    from upstash_helper.cli.daemon_network import advice, lost_by_daemon

    name, problems = "Proxy", 0
    status = context.daemon().status
    for lost in [] if status is None else lost_by_daemon(status):
        problems += 1
        detail = f"{lost.name} is set in this terminal, but the daemon does not have it"
        yield warning(name, detail, advice(context.session, lost))
    for lost in _lost_by_service(context) if status is None else ():
        problems += 1
        detail = f"{lost.name} is set in this terminal, but not for the installed service"
        yield warning(name, detail, advice(context.session, lost))
    try:
        tls_context(context.settings.certificates)
    except CaFileUnusable as problem:
        problems += 1
        yield error(name, str(problem), "Upstash is not contacted until then.")
    if not problems:
        yield from _used_proxy(name, context)


def _lost_by_service(context: DoctorContext) -> list[LostVariable]:
    from upstash_helper.service.context import detect_context
    from upstash_helper.service.control import find
    from upstash_helper.service.environment import lost_by_service

    if context.profile is None or find(context.session.profile, context.folders) is None:
        return []
    return lost_by_service(detect_context(context.session.profile_flag), context.settings, os.environ)


def _used_proxy(name: str, context: DoctorContext) -> Iterator[CheckResult]:
    status = context.daemon().status
    if status is not None and status.network is not None:
        found, source = status.network.proxy, status.network.proxy_source or ""
        certificates = status.network.ca_file
    else:
        host, certificates = _host(context.settings.api_url), context.settings.ca_file
        try:
            used = _proxy("https", host, context.settings.proxies)
        except UnsupportedProxy:
            return  # reported by the other checks
        found, source = (None, "") if used is None else (without_password(used.url), used.source)
    if source and not found:
        fix = f"Set https_proxy in config.toml to an HTTP proxy, then run: {context.command('restart')}"
        yield error(name, f"{source} names a proxy that the daemon cannot use, so it does not reach Upstash", fix)
        return
    detail = (
        f"{found}, from {source[:1].lower()}{source[1:]}" if source.startswith("The ") else f"{found}, from {source}"
    )
    trusted = f"; certificates: {certificates}" if certificates else ""
    yield ok(name, f"{detail if found else 'none: connections are made directly'}{trusted}")


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
    yield from _reachable(name, url, *_means(context))


def _means(context: DoctorContext) -> tuple[ProxySettings, Path | None]:
    """
    Return the proxy and the certificates of the running daemon, as far as they are known: it may have been started with
    flags and variables that this command does not have. Without a daemon, those of the settings.
    """
    settings, status = context.settings, context.daemon().status
    proxies, certificates = settings.proxies, settings.certificates
    network = None if status is None else status.network
    if status is None or network is None:
        return proxies, certificates
    if network.ca_file and Path(network.ca_file).is_file():  # SSL_CERT_DIR is a folder
        certificates = Path(network.ca_file)
    if network.proxy is not None and "…@" not in network.proxy:
        proxies = ProxySettings(network.proxy, network.no_proxy or "")
    elif network.proxy_source is None and not is_exempt(_host(status.api_url), network.no_proxy or ""):
        proxies = ProxySettings(no_proxy="*")
    return proxies, certificates


def _host(url: str | None) -> str:
    return urlsplit(url or "").hostname or ""


def _reachable(name: str, url: str, proxies: ProxySettings, certificates: Path | None) -> Iterator[CheckResult]:
    try:
        route = _route(url, proxies)
    except UnsupportedProxy as problem:
        yield error(name, str(problem), _CHECK_NETWORK)
        return
    ignored = (
        ignored_socks_proxy(configured=proxies) if route.tls and urlsplit(url).hostname not in LOOPBACK_HOSTS else None
    )
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
        yield _tls(route, certificates)


# --- TLS --------------------------------------------------------------------------------------------------------------


def _tls(route: _Route, certificates: Path | None) -> CheckResult:
    name = "TLS"
    try:
        connection = route.connection(tls_context(certificates))
    except CaFileUnusable as problem:
        return error(name, f"{route.host}: not checked. {problem}", "Fix the setting ca_file.")
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
        return (
            "Another server responds in its place, probably a captive portal (a network's sign-in page) or a proxy."
            " Open any web page in a browser, and sign in to the network. If there is none, check the proxy, DNS, and"
            " /etc/hosts."
        )
    return (
        "If your company's proxy inspects TLS, put its certificate in a file, set ca_file in config.toml to that file,"
        " and run: upstash-helper restart. On a network with a sign-in page (a captive portal), sign in to it first."
        " Otherwise do not use this network."
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


def clock(context: DoctorContext, *, platform: str = sys.platform) -> Iterator[CheckResult]:
    """
    Whether this machine's clock agrees with the authorization server's.

    Args:
        context: The settings and the daemon's status.
        platform: Like ``sys.platform``.
    """
    name, url = "Clock", context.address("auth_url")
    try:
        route = _route(url, _means(context)[0])
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
    yield warning(name, detail, _CLOCK_FIX.get(platform, "Synchronize it with network time."))


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


def _route(url: str, proxies: ProxySettings) -> _Route:
    """
    Return the route to a service.

    Raises:
        UnsupportedProxy: If the proxy is not an HTTP proxy.
    """
    parts = urlsplit(url)
    host, tls = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    proxy = _proxy(parts.scheme, host, proxies)
    if proxy is None:
        return _Route(host=host, port=port, tls=tls)
    place = urlsplit(proxy.url)
    return _Route(
        host=host,
        port=port,
        tls=tls,
        proxy=(place.hostname or "", place.port or (443 if place.scheme == "https" else 80)),
        proxy_headers=_authorization(place.username, place.password),
    )


def _proxy(scheme: str, host: str, proxies: ProxySettings) -> Proxy | None:
    """Return the proxy that the daemon uses: that of the settings, or the system's, as for curl."""
    return None if host in LOOPBACK_HOSTS else find_proxy(scheme, host, proxies)


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None:
        return {}
    import base64

    pair = f"{unquote(user)}:{unquote(password or '')}".encode()
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _reason(problem: Exception) -> str:
    if isinstance(problem, TimeoutError):
        return f"no response within {REACH_SECONDS:.0f} s"
    if isinstance(problem, ssl.SSLError):
        return "the TLS handshake failed"
    if isinstance(problem, http.client.RemoteDisconnected):
        return "the connection was closed without a response"
    if not isinstance(problem, OSError):
        return "the response is not HTTP"
    # http.client raises an OSError without a number if a proxy refuses to connect.
    refused = re.fullmatch(r"Tunnel connection failed: (\d{3}).*", str(problem), re.DOTALL)
    return f"the proxy refuses the connection (status {refused[1]})" if refused else disk_errors.reason(problem)
