"""
The pages that a browser shows during an authorization request.

They are at an address that other programs have used and may use again. So they show nothing that is only for the owner,
not even the path of the program, which the approval shows.

The page of a pending request is reloaded when the user has decided, and then redirects to the program. Without scripts,
the browser reloads it every two seconds.
"""

from __future__ import annotations

import hashlib
import html
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING, Final

from aiohttp import web

from upstash_helper.api.pages.icons import IconName, svg
from upstash_helper.api.pages.static import read
from upstash_helper.broker.identity import MEANING

if TYPE_CHECKING:
    from upstash_helper.broker.authorization.requests import AuthorizationRequest

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
{head}
<title>{title} · upstash-helper</title>
<style>{style}</style>
</head>
<body>
<main{data}>
<div class="sign {tone}">{sign}</div>
<h1>{title}</h1>
<p class="lead">{lead}</p>
{body}
{closing}
</main>
<footer>upstash-helper on this computer</footer>
</body>
</html>
"""

_MORE: Final = """
.code { font: 600 1.25rem/1.5 var(--mono); letter-spacing: .04em; }
.facts .stacked { display: block; }
.wanted { margin: .25rem 0 0; padding-left: 1.25rem; }
.wanted li + li { margin-top: .25rem; }
.buttons form { margin: 0; }
.buttons .continue {
  display: inline-flex; align-items: center; min-height: 2.75rem; padding: .25rem .875rem;
  border-radius: var(--radius-small); background: var(--accent); color: var(--on-accent);
  font-size: .875rem; font-weight: 500; text-decoration: none;
}
"""

_WHERE: Final = """<h2>Where you can decide</h2>
<ul class="steps">
<li><p>In the dashboard, or in the menu of the tray icon.</p></li>
<li><p>In a terminal:</p><div class="command"><code>{command}</code></div></li>
</ul>"""


def waiting(request: AuthorizationRequest, *, can_open: bool, list_command: str, note: str = "") -> web.Response:
    """
    Return the page of a request that the user has not decided.

    Args:
        request: The request.
        can_open: Whether the daemon can open the dashboard.
        list_command: The command that lists the requests of this daemon.
        note: The result of pressing the button; empty if it was not pressed.
    """
    address = f"/oauth/requests/{html.escape(request.key)}"
    name = html.escape(request.client.name)
    wanted = "".join(f"<li>{html.escape(MEANING[scope])}</li>" for scope in request.scopes)
    button = (
        f'<div class="buttons"><form method="post" action="{address}/dashboard"><button>Open the dashboard to decide'
        f"</button></form></div>"
        if can_open
        else ""
    )
    where = _WHERE.format(command=html.escape(list_command))
    # What to do comes before the facts, so that it can be seen without scrolling.
    body = f"""{button or where}
<p class="outcome" role="status">{html.escape(note)}</p>
<dl class="facts">
<div><dt>Code</dt><dd><span class="code">{html.escape(request.user_code)}</span>
<small>upstash-helper must show the same code</small></dd></div>
<div class="stacked"><dt>Wants to</dt><dd><ul class="wanted">{wanted}</ul></dd></div>
</dl>
{where if button else ""}"""
    return _response(
        title=f"“{name}” requests access",
        lead="A program with this name requests access to your Upstash account. Allow or deny it in "
        '<span class="unbroken">upstash-helper</span>, which shows which program it is.',
        icon="question",
        tone="busy",
        body=body,
        closing="This page continues when you decide. If you did not start this sign-in, deny it.",
        head=f'<noscript><meta http-equiv="refresh" content="2;url={address}"></noscript>\n'
        f'<script type="module">{_script()[0]}</script>',
        data=f' data-request="{html.escape(request.key)}"',
    )


def over() -> web.Response:
    """Return the page for a request that has been answered, or is unknown."""
    return _response(
        title="This sign-in has ended",
        lead="You can close this page. If the program is still waiting, start the sign-in there again.",
        icon="check",
        status=404,
    )


def continuing(name: str, address: str, *, is_allowed: bool) -> web.Response:
    """Return the page that opens a program by its private-use scheme: the browser stays on this page."""
    title = "Access allowed" if is_allowed else "Access denied"
    link = html.escape(address)
    return _response(
        title=title,
        # Without a click, browsers do not always open a program.
        lead=f"“{html.escape(name)}” should open now. If it does not, press the button.",
        icon="check" if is_allowed else "cross",
        tone="good" if is_allowed else "plain",
        body=f'<div class="buttons"><a class="continue" href="{link}">Go back to the program</a></div>',
        head=f'<meta http-equiv="refresh" content="0;url={link}">',
    )


def refused(title: str, detail: str) -> web.Response:
    """Return the page for an error that cannot be sent back to the client."""
    return _response(title=html.escape(title), lead=html.escape(detail), icon="warning", tone="bad", status=400)


def _response(
    *,
    title: str,
    lead: str,
    icon: IconName,
    tone: str = "plain",
    body: str = "",
    closing: str = "",
    head: str = "",
    data: str = "",
    status: int = 200,
) -> web.Response:
    style, style_digest = _style()
    script_digest = _script()[1]
    text = _PAGE.format(
        title=title,
        lead=lead,
        sign=svg(icon),
        tone=tone,
        body=body,
        closing=f'<div class="closing">{closing}</div>' if closing else "",
        head=head,
        data=data,
        style=style,
    )
    response = web.Response(status=status, text=text, content_type="text/html")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'sha256-{script_digest}'; style-src 'sha256-{style_digest}'; "
        "connect-src 'self'; worker-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    # With "no-referrer", a browser sends the form with the origin "null".
    response.headers["Referrer-Policy"] = "same-origin"
    return response


# Both are inline, because we serve no files at this origin: a page of any site could load them.


@cache
def _style() -> tuple[str, str]:
    """Return the style of the pages, and its SHA-256 for the content security policy."""
    style = "".join(read(f"pages/{name}").decode() for name in ("tokens.css", "page.css")) + _MORE
    return style, _digest(style)


@cache
def _script() -> tuple[str, str]:
    """Return the script of the waiting page, and its SHA-256."""
    script = read("pages/oauth_waiting.js").decode()
    return script, _digest(script)


def _digest(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()
