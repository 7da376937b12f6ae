"""What a browser does with the private page that it is started with."""

from __future__ import annotations

import html
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_REFRESH = re.compile(r'http-equiv="refresh" content="0;url=([^"]*)"')


def page_file(address: str) -> Path:
    """Return the file of an address that was passed to a browser."""
    found = urlsplit(address)
    assert "file" == found.scheme, address
    return Path(unquote(found.path))


def target_of(address: str) -> str:
    """Return the address to which the page redirects."""
    found = _REFRESH.search(page_file(address).read_text(encoding="utf-8"))
    assert found is not None
    return html.unescape(found[1])
