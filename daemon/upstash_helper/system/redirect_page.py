"""The page that continues to a secret address, so that a browser's command line has another address."""

from __future__ import annotations

import hashlib
import html
from base64 import b64encode
from typing import Final
from urllib.parse import urlsplit

# Whether a browser opens the name shows in whether it gets any response from there.
_SCRIPT: Final = """
const { address, fallback } = document.currentScript.dataset;
fetch(new URL("/reachable", address), { mode: "no-cors", cache: "no-store", signal: AbortSignal.timeout(5000) }).then(
  () => location.replace(address),
  () => fallback ? location.replace(fallback) : document.getElementById("unreachable").removeAttribute("hidden"),
);
"""
_TRY: Final = """\
<p id="unreachable" hidden>This browser cannot open the page. Is the helper running? Try again: upstash-helper open</p>
<script data-address="{address}" data-fallback="{fallback}">{script}</script>"""


def render(address: str, fallback: str | None = None) -> str:
    """
    Return a page that continues to ``address``. It names no referrer, keeps the fragment, and reaches the daemon as a
    navigation to ``/``, which it accepts.

    Args:
        address: The address.
        fallback: The address for a browser that gets no response from the first one, which a script tries; empty: show
            an error. None: it is not tried, and no script is needed.
    """
    escaped = html.escape(address)
    refresh = f'<meta http-equiv="refresh" content="0;url={escaped}">'
    script = ""
    if fallback is not None:
        refresh = f"<noscript>{refresh}</noscript>"
        script = _TRY.format(address=escaped, fallback=html.escape(fallback), script=_SCRIPT)
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="referrer" content="no-referrer">
{refresh}
<title>upstash-helper</title>
<p>Opening the page. If nothing happens, <a href="{escaped}">open it here</a>.</p>
{script}
</html>
"""


def policy(address: str) -> str:
    """Return the page's Content-Security-Policy, for a page that is not a file."""
    digest = b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    parts = urlsplit(address)
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; connect-src {parts.scheme}://{parts.netloc}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
