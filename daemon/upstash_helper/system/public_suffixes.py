"""
Registrable domains, by the Public Suffix List (https://publicsuffix.org).

Everyone can get any number of names below a domain, but a domain only from its registry, or with an account at a host
such as github.io. The list is bundled with the package ``publicsuffixlist``; nothing is downloaded. It is read when the
first page requests access, which takes about 20 ms.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from publicsuffixlist import PublicSuffixList


class ListedSuffixes:
    """The ``PublicSuffixes`` port."""

    def registrable_domain(self, host: str) -> str:
        """Return the registrable domain of ``host``, or ``host`` itself if it has none, such as ``github.io``."""
        return _registrable_domain(host)


@functools.lru_cache(maxsize=256)
def _registrable_domain(host: str) -> str:
    # Only a program can send a host with an empty label. It must not be a way to another name for the same domain.
    labels = [label for label in host.split(".") if label]
    domain = _suffixes().privatesuffix(".".join(map(_decoded, labels)))
    return ".".join(labels if domain is None else labels[-(domain.count(".") + 1) :])


def _decoded(label: str) -> str:
    """Return a label as it is in the list, which has Unicode (RFC 3492)."""
    if not label.startswith("xn--"):
        return label
    try:
        return label[4:].encode().decode("punycode")
    except UnicodeError:
        return label


@functools.cache
def _suffixes() -> PublicSuffixList:
    from publicsuffixlist import PublicSuffixList

    # Encoding the list's names would take three quarters of the time. Few hosts have such names.
    return PublicSuffixList(accept_encoded_idn=False)
