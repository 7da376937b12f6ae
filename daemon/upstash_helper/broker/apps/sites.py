"""
Sites: what one party controls, however many names, ports, and addresses it uses.

A page can be served from any number of subdomains and ports, and every program can listen on loopback. So limits and
blocks apply to a site and not only to an exact origin (https://html.spec.whatwg.org/multipage/browsers.html#sites;
here, the scheme does not matter).
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final, cast, get_args

from upstash_helper.protocol.literals import SiteKind

if TYPE_CHECKING:
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ports import PublicSuffixes

LOOPBACK: Final = "loopback:"
PROGRAMS: Final = "programs:"

# The smallest network that is assigned to one customer (RFC 6177), who can use any of its addresses.
_IPV6_NETWORK: Final = 64


class Sites:
    """Finds the site of an identity. A site is a string, such as ``domain:example.com``; see ``kind_of``."""

    def __init__(self, *, suffixes: PublicSuffixes) -> None:
        self._suffixes = suffixes

    def of(self, identity: Identity) -> str:
        """
        Return the site of ``identity``: the registrable domain, all of loopback, the extension, or all programs, since
        a program can copy itself to any number of files.
        """
        match identity.kind:
            case "native":
                return PROGRAMS
            case "extension":
                return f"extension:{identity.name.lower()}"  # a UUID, in either case
            case "web":
                return self._of_host(_host(identity.name))

    def limit_key(self, identity: Identity) -> str:
        """Return the key under which a limit counts an app: its site; for a program, its file."""
        return identity.limits_key if identity.kind == "native" else self.of(identity)

    def _of_host(self, host: str) -> str:
        name = host.rstrip(".")
        if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
            return LOOPBACK
        address = _address(name)
        if address is None:
            return f"domain:{self._suffixes.registrable_domain(name)}"
        if address.is_loopback or address.is_unspecified:  # systems connect to loopback for 0.0.0.0 and ::
            return LOOPBACK
        if address.version == 6:
            return f"domain:{ipaddress.ip_network((address, _IPV6_NETWORK), strict=False)}"
        return f"domain:{address}"


def _host(origin: str) -> str:
    authority = origin.partition("://")[2]
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def kind_of(site: str) -> SiteKind | None:
    """Return the kind of a site that is more than one identity; None for an extension."""
    kind = site.partition(":")[0]
    return cast("SiteKind", kind) if kind in get_args(SiteKind) else None


def name_of(site: str) -> str:
    """Return the domain of a site of kind ``domain``."""
    return site.partition(":")[2]
