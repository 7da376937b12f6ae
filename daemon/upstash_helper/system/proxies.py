"""
The proxy for a connection: that of the settings, of the environment, or of Windows or macOS, as for curl.

Only HTTP proxies are supported. A SOCKS proxy is named together with the variable that it comes from, because ignoring
it would connect directly, which its user may not want. The address of a proxy may contain a password, which nothing
here shows.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUPPORTED: Final = frozenset({"http", "https"})
_SYSTEM: Final = "The proxy setting of this system"


class UnsupportedProxy(ValueError):
    """The proxy is not an HTTP proxy, or not a URL. ``str()`` names the variable, and says what to do."""

    def __init__(self, message: str, source: str) -> None:
        """
        Args:
            message: The text.
            source: The setting or variable, as ``Proxy.source``.
        """
        super().__init__(message)
        self.source: Final = source


class ProxySettings:
    """The settings ``https_proxy`` and ``no_proxy``. They take precedence over the environment, each on its own."""

    __slots__ = ("https_proxy", "no_proxy")

    def __init__(self, https_proxy: str | None = None, no_proxy: str | None = None) -> None:
        self.https_proxy: Final = https_proxy
        self.no_proxy: Final = no_proxy


FROM_ENVIRONMENT: Final = ProxySettings()


class Proxy(NamedTuple):
    """A proxy."""

    url: str
    """With its user and password, if it has any. Not to be shown; see ``without_password``."""
    source: str
    """The setting or variable that names it, at the beginning of a sentence."""

    def __repr__(self) -> str:
        return f"Proxy({without_password(self.url)!r}, {self.source!r})"


def find_proxy(scheme: str, host: str, configured: ProxySettings = FROM_ENVIRONMENT) -> Proxy | None:
    """
    Return the proxy for connections to ``host``, or None to connect directly.

    Args:
        scheme: ``http`` or ``https``.
        host: The host to connect to. Loopback hosts are left to the caller.
        configured: The settings.

    Raises:
        UnsupportedProxy: If it is not an HTTP proxy, or not a valid URL.
    """
    from urllib.request import getproxies

    if _is_direct(host, configured):
        return None
    proxy, source = "", "The setting https_proxy"
    if configured.https_proxy and scheme == "https":
        proxy = configured.https_proxy.strip()
    else:
        proxy, source = getproxies().get(scheme, "").strip(), _variable(f"{scheme}_proxy", os.environ) or _SYSTEM
    if not proxy:
        return None
    url = with_scheme(proxy)
    problem = proxy_problem(proxy)
    if problem is None:
        return Proxy(url, source)
    where = "in config.toml" if source.startswith("The setting") else "where the daemon is started"
    exception = "no_proxy" if source.startswith("The setting") else "NO_PROXY"
    fix = f"Set it to an HTTP proxy or add {host} to {exception}, {where}. Then restart the daemon."
    message = f"{source} {problem}. {fix}"
    raise UnsupportedProxy(message, source)


def with_scheme(proxy: str) -> str:
    """Return a proxy's URL: as for curl, one without a scheme is an HTTP proxy."""
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_problem(proxy: str) -> str | None:
    """Return a predicate about why ``proxy`` cannot be used, without its value, or None if it can."""
    url = with_scheme(proxy)
    kind = "socks" if proxy.lower().startswith("socks") else url.partition("://")[0].lower()
    if kind not in _SUPPORTED:
        named = "SOCKS proxy" if kind == "socks" else f"proxy of the kind {kind[:20]!r}"
        return f"names a {named}, which is not supported"
    return None if _is_url(url) else "is not the address of a proxy, such as http://proxy.example.com:8080"


def without_password(proxy: str) -> str:
    """Return a proxy's address for people, with ``…`` in place of its user and password."""
    scheme, _, rest = with_scheme(proxy).partition("://")
    # The last @, as in RFC 3986: a password that was not encoded may contain one.
    authority, slash, path = rest.partition("/")
    user, at, place = authority.rpartition("@")
    if "@" in path:  # an unencoded slash in the password
        return f"{scheme}://…@{path.rpartition('@')[2]}"
    return f"{scheme}://{'…@' if at and user else ''}{place}{slash}{path}".removesuffix("/")


def has_password(proxy: str) -> bool:
    """Return whether a proxy's address has a user or a password."""
    return without_password(proxy) != with_scheme(proxy).removesuffix("/")


def _is_direct(host: str, configured: ProxySettings) -> bool:
    """Return whether connections to ``host`` use no proxy."""
    from urllib.request import proxy_bypass

    if configured.no_proxy is None and not configured.https_proxy:
        return bool(proxy_bypass(host))
    # Not the exceptions of Windows or macOS, which belong to the system's proxy.
    if configured.no_proxy is not None:
        return is_exempt(host, configured.no_proxy)
    return is_exempt(host, os.environ.get(exceptions_variable(os.environ) or "", ""))


def is_exempt(host: str, exceptions: str) -> bool:
    """Return whether a list such as ``NO_PROXY`` has ``host``, or a domain that it belongs to."""
    return any(_matches(host.lower(), one.strip().lower()) for one in exceptions.split(","))


def _matches(host: str, pattern: str) -> bool:
    """Return whether a pattern is for a host: ``*``, its name, or the end of its name, with or without a dot."""
    name = pattern.lstrip(".")
    return pattern == "*" or (bool(name) and (host == name or host.endswith(f".{name}")))


def _is_url(url: str) -> bool:
    """Return whether an http(s) URL has a host and, if any, a valid port."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0 and not re.search(r"[\s\x00-\x1f]", url)
    except ValueError:
        return False


def ignored_socks_proxy(
    environ: Mapping[str, str] | None = None, configured: ProxySettings = FROM_ENVIRONMENT
) -> str | None:
    """Return a sentence about a SOCKS proxy for all protocols, which is not used, or None if there is none."""
    environ = os.environ if environ is None else environ
    source = _variable("all_proxy", environ)
    if source is None or not environ[source].strip().lower().startswith("socks"):
        return None
    if configured.https_proxy or _variable("https_proxy", environ) is not None:
        return None
    return f"{source} names a SOCKS proxy, which is not supported, so connections are made directly."


def proxy_variable(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable with the proxy for Upstash, as it is set."""
    return _variable("https_proxy", environ)


def exceptions_variable(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable with the hosts that need no proxy, as it is set."""
    return _variable("no_proxy", environ)


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable as it is set; lower case takes precedence, as in urllib."""
    return next((one for one in (name, name.upper()) if environ.get(one)), None)
