"""What a browser does with the one-time link, or the private page, that it is started with."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

_REFRESH = re.compile(r'http-equiv="refresh" content="0;url=([^"]*)"')


def page_file(address: str) -> Path:
    """Return the file of an address that was passed to a browser."""
    found = urlsplit(address)
    assert "file" == found.scheme, address
    return Path(unquote(found.path))


def page_of(address: str) -> str:
    """Return the page at an address that was passed to a browser. A link is used up by that."""
    if not address.startswith("http:"):
        return page_file(address).read_text(encoding="utf-8")
    navigation = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    with urlopen(Request(address, headers=navigation), timeout=20) as response:  # noqa: S310 - see above
        text: str = response.read().decode()
    return text


def target_of(address: str) -> str:
    """Return the address to which the page redirects."""
    found = _REFRESH.search(page_of(address))
    assert found is not None
    return html.unescape(found[1])
