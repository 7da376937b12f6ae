"""A result page: title, icon, explanation, and next steps, as HTML that is readable without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from string import Template
from typing import Final, Literal

import msgspec
from aiohttp import web

from upstash_helper.api.pages.icons import IconName, svg
from upstash_helper.api.pages.static import CSP, read

Tone = Literal["good", "bad", "plain", "busy"]


class Fact(msgspec.Struct, frozen=True):
    """A labeled fact."""

    label: str
    value: str
    note: str = ""


class Step(msgspec.Struct, frozen=True):
    """Something that the user can do next."""

    text: str
    command: str = ""
    """The command that does it, if there is one."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a page. All fields are plain text, which ``response`` escapes."""

    title: str
    lead: str
    icon: IconName
    tone: Tone = "plain"
    facts: tuple[Fact, ...] = ()
    paragraphs: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    details: str = ""
    """Technical details, collapsed by default."""
    closing: str = ""
    """What to do with the window. The script replaces it if it can close the window."""
    reload_url: str = ""
    """The URL that a browser without scripts loads after a second."""
    data: Mapping[str, str] = {}
    """Parameters of the script, as ``data-`` attributes."""
    is_sandbox: bool = False
    """Whether the account belongs to a sandbox."""

    def response(self, *, status: int = 200) -> web.Response:
        """Return the page."""
        text = _template().substitute(
            title=html.escape(self.title),
            heading=_in_lines(self.title),
            lead=_in_lines(self.lead),
            tone=self.tone,
            sign=svg(self.icon),
            warning=svg("warning"),
            data="".join(f' data-{name}="{html.escape(value)}"' for name, value in self.data.items()),
            body="\n".join(filter(None, (self._facts(), self._paragraphs(), self._steps(), self._details()))),
            closing=html.escape(self.closing),
            sandbox=_SANDBOX if self.is_sandbox else "",
            refresh=_REFRESH.format(html.escape(self.reload_url)) if self.reload_url else "",
        )
        response = web.Response(status=status, text=text, content_type="text/html")
        response.headers["Content-Security-Policy"] = CSP
        return response

    def _facts(self) -> str:
        lines = "".join(
            f"<div><dt>{html.escape(fact.label)}</dt><dd>{html.escape(fact.value)}"
            + (f"<small>{html.escape(fact.note)}</small>" if fact.note else "")
            + "</dd></div>"
            for fact in self.facts
        )
        return f'<dl class="facts">{lines}</dl>' if lines else ""

    def _paragraphs(self) -> str:
        return "\n".join(f"<p>{_in_lines(paragraph)}</p>" for paragraph in self.paragraphs)

    def _steps(self) -> str:
        steps = "".join(
            f"<li><p>{_in_lines(step.text)}</p>"
            + (f'<div class="command"><code>{html.escape(step.command)}</code></div>' if step.command else "")
            + "</li>"
            for step in self.steps
        )
        return f'<h2>What you can do</h2><ul class="steps">{steps}</ul>' if steps else ""

    def _details(self) -> str:
        if not self.details:
            return ""
        return f"<details><summary>Details</summary><p>{html.escape(self.details)}</p></details>"


def _in_lines(text: str) -> str:
    """Escape text that may take several lines. A line could end within "sign-in" otherwise, after its hyphen."""
    return html.escape(text).replace("sign-in", '<span class="unbroken">sign-in</span>')


# In <noscript>: the script follows the state without reloading the page.
_REFRESH: Final = '<noscript><meta http-equiv="refresh" content="1;url={}"></noscript>'


_SANDBOX: Final = '<p class="sandbox">Sandbox: a local Upstash on this computer</p>'


@cache
def _template() -> Template:
    return Template(read("pages/page.html").decode())
