"""A result page: title, icon, explanation, and next steps, as HTML that is readable without scripts."""

from __future__ import annotations

import html
from collections.abc import Mapping
from functools import cache
from string import Template
from typing import Final, Literal

import msgspec
from aiohttp import web

from upstash_helper.api.pages.static import CSP, read

Sign = Literal[
    "done", "key", "waiting", "cancelled", "person", "settings", "late", "pause", "fault", "offline", "shield",
    "lock", "mail", "lost",
]  # fmt: skip

SIGNS: Final[dict[Sign, tuple[str, ...]]] = {
    "done": ("M5 12.5 10 17.5 19.5 7",),
    "key": ("M8 19a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M11 12.5 19.5 4M16 7.5l3 3"),
    "waiting": ("M14 4.5h5.5v15H14", "M4 12h10.5M11 8.5 14.5 12 11 15.5"),
    "cancelled": ("M6.5 6.5l11 11M17.5 6.5l-11 11",),
    "person": (
        "M12 11.5a3.75 3.75 0 1 0 0-7.5 3.75 3.75 0 0 0 0 7.5z",
        "M4.5 20c.6-3.7 3.5-5.5 7.5-5.5s6.9 1.8 7.5 5.5",
    ),
    "settings": (
        "M4 7h9M17 7h3M4 17h3M11 17h9",
        "M15 9a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
        "M9 19a2 2 0 1 0 0-4 2 2 0 0 0 0 4z",
    ),
    "late": ("M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17z", "M12 7.5V12l3 2"),
    "pause": ("M9 6v12M15 6v12",),
    "fault": ("M12 4.5 21 19.5H3z", "M12 10v4.5M12 17v.01"),
    "offline": ("M7.5 18.5h9a4 4 0 0 0 1-7.9A5.5 5.5 0 0 0 7.2 9.3a4.6 4.6 0 0 0 .3 9.2z", "M4 4l16 16"),
    "shield": ("M12 3.5 19 6v5.5c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6z", "M12 8.5v4M12 15.5v.01"),
    "lock": ("M6 11h12v9H6z", "M8.5 11V8a3.5 3.5 0 0 1 7 0v3"),
    "mail": ("M3.5 6h17v12.5h-17z", "M4 6.5l8 6.5 8-6.5"),
    "lost": ("M9 9.2a3.1 3.1 0 1 1 4.6 2.7c-1 .6-1.6 1.2-1.6 2.3", "M12 17.5v.01"),
}  # fmt: skip


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
    sign: Sign
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

    def response(self, *, status: int = 200) -> web.Response:
        """Return the page."""
        text = _template().substitute(
            title=html.escape(self.title),
            lead=html.escape(self.lead),
            tone=self.tone,
            sign=_sign(self.sign),
            data="".join(f' data-{name}="{html.escape(value)}"' for name, value in self.data.items()),
            body="\n".join(filter(None, (self._facts(), self._paragraphs(), self._steps(), self._details()))),
            closing=html.escape(self.closing),
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
        return "\n".join(f"<p>{html.escape(paragraph)}</p>" for paragraph in self.paragraphs)

    def _steps(self) -> str:
        steps = "".join(
            f"<li><p>{html.escape(step.text)}</p>"
            + (f'<div class="command"><code>{html.escape(step.command)}</code></div>' if step.command else "")
            + "</li>"
            for step in self.steps
        )
        return f'<h2>What you can do</h2><ul class="steps">{steps}</ul>' if steps else ""

    def _details(self) -> str:
        if not self.details:
            return ""
        return f"<details><summary>Details</summary><p>{html.escape(self.details)}</p></details>"


# In <noscript>: the script follows the state without reloading the page.
_REFRESH: Final = '<noscript><meta http-equiv="refresh" content="1;url={}"></noscript>'


@cache
def _sign(name: Sign) -> str:
    paths = "".join(f'<path d="{path}"/>' for path in SIGNS[name])
    return f'<svg viewBox="0 0 24 24" aria-hidden="true">{paths}</svg>'


@cache
def _template() -> Template:
    return Template(read("page.html").decode())
