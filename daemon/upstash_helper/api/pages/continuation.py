"""
The page at the OAuth redirect URI, which continues to the page with the result, at the origin of the owner's pages.

The origin of the redirect URI is shared with every program that ever used its port, so the page has nothing that
belongs to the owner: a service worker that such a program has left may read it, or answer in its place. It contains
neither the code nor the state.

It is not an HTTP redirect: browsers apply the ``form-action`` directive of a page to the entire redirect chain that
follows a form (CSP 3, section 6.4.1), and a sign-in page may allow only the registered address there. A script or a
refresh starts a new navigation and replaces this page in the history (HTML, "shared declarative refresh steps").

It sends no ``Clear-Site-Data``. ``"storage"`` would remove a service worker that lets the redirect through, but also
the data that a developer's own app keeps at that origin; the page's script removes only the workers. A worker that
answers without a request never sees the header. ``"cache"`` is not needed: the address of a redirect is never the same.
"""

from __future__ import annotations

import hashlib
import html
from base64 import b64encode
from functools import cache
from typing import Final

from aiohttp import web

from upstash_helper.api.pages.static import REACHABLE, read

# Matches no attempt. The result page then shows that the sign-in is over.
_NO_ATTEMPT: Final = "none"

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<noscript><meta http-equiv="refresh" content="0;url={url}"></noscript>
<title>upstash-helper</title>
</head>
<body>
<main>
<h1 hidden>The sign-in has returned to upstash-helper</h1>
<p hidden>This browser cannot open the page that shows the result. You can close this window: the app continues
automatically, and <code>upstash-helper status</code> shows whether an account is connected.</p>
<p><a href="{url}">Continue to upstash-helper</a></p>
</main>
<script data-url="{url}" data-probe="{probe}"{cleans}>{script}</script>
</body>
</html>
"""


def continue_to_result(page: str | None, *, pages_origin: str, status: int = 200, cleans: bool = False) -> web.Response:
    """
    Return the page.

    Args:
        page: The key of the result page (see ``Attempts.page``); None: there is no attempt.
        pages_origin: The origin of the owner's pages.
        status: The status.
        cleans: Whether to remove service workers from the origin. On a port that is the helper's all the time, they are
            in the way; on a port that it has only for a sign-in, they belong to the program that has it otherwise.
    """
    script, digest = _script()
    text = _PAGE.format(
        url=html.escape(f"{pages_origin}/?attempt={_NO_ATTEMPT if page is None else page}"),
        probe=html.escape(pages_origin + REACHABLE),
        cleans=' data-cleans="true"' if cleans else "",
        script=script,
    )
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'sha256-{digest}'; connect-src {pages_origin}; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )
    return response


@cache
def _script() -> tuple[str, str]:
    """Return the script, and its SHA-256 as the policy names it. It is inline: no file of ours is at that origin."""
    script = read("pages/continue.js").decode()
    return script, b64encode(hashlib.sha256(script.encode()).digest()).decode()
