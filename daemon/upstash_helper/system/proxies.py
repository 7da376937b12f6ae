"""
The proxy for a connection: that of the environment, or of the settings of Windows or macOS, as for curl.

Only HTTP proxies are supported. A SOCKS proxy is named together with the variable that it comes from, because ignoring
it would connect directly, which its user may not want.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_SUPPORTED: Final = frozenset({"http", "https"})
_SYSTEM: Final = "The proxy setting of this system"


class UnsupportedProxy(ValueError):
    """The proxy is not an HTTP proxy. ``str()`` names the variable, and says what to do."""


def find_proxy(scheme: str, host: str) -> str | None:
    """
    Return the URL of the proxy for connections to ``host``, or None to connect directly.

    Args:
        scheme: ``http`` or ``https``.
        host: The host to connect to. Loopback hosts are left to the caller.

    Raises:
        UnsupportedProxy: If it is not an HTTP proxy.
    """
    from urllib.request import getproxies, proxy_bypass

    if proxy_bypass(host):
        return None
    proxy = getproxies().get(scheme)
    if not proxy:
        return None
    url = proxy if "://" in proxy else f"http://{proxy}"
    kind = url.partition("://")[0].lower()
    if kind not in _SUPPORTED:
        source = _variable(f"{scheme}_proxy", os.environ) or _SYSTEM
        named = "SOCKS proxy" if kind.startswith("socks") else f"proxy of the kind {kind[:20]!r}"
        message = (
            f"{source} names a {named}, which is not supported. Set it to an HTTP proxy, or add {host} to NO_PROXY,"
            " where the daemon is started, and restart it."
        )
        raise UnsupportedProxy(message)
    return url


def ignored_socks_proxy(environ: Mapping[str, str] | None = None) -> str | None:
    """Return a sentence about a SOCKS proxy for all protocols, which is not used, or None if there is none."""
    environ = os.environ if environ is None else environ
    source = _variable("all_proxy", environ)
    if source is None or not environ[source].lower().startswith("socks"):
        return None
    if _variable("https_proxy", environ) is not None:
        return None
    return f"{source} names a SOCKS proxy, which is not supported, so connections are made directly."


def _variable(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable as it is set; lower case takes precedence, as in urllib."""
    return next((one for one in (name, name.upper()) if environ.get(one)), None)
