"""The frame of the console's pages."""

from __future__ import annotations

import functools
from importlib.resources import files

import msgspec

from upstash_helper.sandbox.console.elements import Form, field, submit
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.oauth import pages

PAGES = (
    ("", "Overview"),
    ("accounts", "Accounts"),
    ("teams", "Teams"),
    ("databases", "Databases"),
    ("requests", "Requests"),
    ("faults", "Faults"),
)
"""The path below the console's, and the title, of each page in the navigation."""


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """What surrounds the content of a page."""

    path: str
    """The console's path."""
    csrf: str
    current: str
    """The path of the page in the navigation."""
    error: str = ""

    def page(self, title: str, *content: Html) -> str:
        """Return the whole document."""
        links = (
            tag("a", name, href=f"{self.path}/{path}".rstrip("/"), aria_current=_current(path, self.current))
            for path, name in PAGES
        )
        sign_out = Form(f"{self.path}/sign-out", self.csrf).button("Sign out", "sign-out")
        return document(
            self.path,
            title,
            tag("header", tag("nav", links, aria_label="Pages"), sign_out),
            tag(
                "main",
                tag("h1", title),
                tag("p", self.error, class_="notice", role="alert") if self.error else None,
                *content,
            ),
        )


def sign_in_page(path: str, csrf: str, *, error: str = "") -> str:
    """Return the page for a browser without a session."""
    title = "Sandbox console"
    return document(
        path,
        title,
        tag(
            "main",
            tag("h1", title),
            tag(
                "p",
                "Open the link that the sandbox prints when it starts, which works once, or enter its admin token.",
                class_="lead",
            ),
            tag("p", error, class_="notice", role="alert") if error else None,
            Form(f"{path}/sign-in", csrf)(
                field(
                    "Admin token",
                    "token",
                    type_="password",
                    hint="The sandbox prints it as admin_token. It is also in running.json in the data folder.",
                    required=True,
                    maxlength=200,
                    autocomplete="off",
                ),
                submit("Sign in"),
                intent="sign-in",
            ),
            class_="narrow",
        ),
    )


def error_page(path: str, title: str, message: str) -> str:
    """Return a page with one sentence, for a request that cannot be answered."""
    return document(path, title, tag("main", tag("h1", title), tag("p", message, class_="lead"), class_="narrow"))


def document(path: str, title: str, *body: Html) -> str:
    """Return a document with the console's style sheets."""
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
    )
    return "<!doctype html>\n" + tag(
        "html",
        tag(
            "head",
            Html(head),
            tag("title", f"{title} · Sandbox"),
            Html(f'<link rel="stylesheet" href="{path}/style.css">'),
        ),
        tag("body", *body, tag("footer", "This is a sandbox on your own machine, not Upstash.")),
        lang="en",
    )


@functools.cache
def stylesheet() -> str:
    """Return the style sheet: that of the sandbox's sign-in pages, and what only the console has."""
    return pages.stylesheet() + (files(__package__) / "web" / "console.css").read_text("utf-8")


def _current(path: str, current: str) -> str | None:
    return "page" if path == current else None
