"""What the network between here and an address is like."""

from __future__ import annotations

import ipaddress

from yarl import URL


def is_loopback(url: URL) -> bool:
    """Return whether ``url`` is on this machine's loopback interface."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def proxy_for(url: URL) -> URL | None:
    """Return the proxy that the system names for ``url``: the environment, or Windows' and macOS' settings."""
    from urllib.request import getproxies, proxy_bypass

    host = url.host or ""
    if is_loopback(url) or proxy_bypass(host):
        return None
    proxy = getproxies().get(url.scheme)
    if not proxy:
        return None
    return URL(proxy if "://" in proxy else f"http://{proxy}")
