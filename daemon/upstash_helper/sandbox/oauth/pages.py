"""The pages of the sign-in, rendered from the templates beside this module."""

from __future__ import annotations

import functools
import html
from importlib.resources import files
from string import Template
from typing import Literal

import msgspec

Form = Literal["sign-in", "sign-up"]


class SignIn(msgspec.Struct, frozen=True, kw_only=True):
    """All that a sign-in or sign-up page shows."""

    form: Form
    client_id: str
    csrf: str
    action: str
    other: str
    """The address of the other form."""
    email: str = ""
    problem: str = ""


def sign_in(page: SignIn) -> str:
    """Return the sign-in or sign-up page."""
    signing_up = page.form == "sign-up"
    notice = f'<p class="notice" role="alert">{html.escape(page.problem)}</p>' if page.problem else ""
    content = _template("sign_in.html").substitute(
        title="Sign up" if signing_up else "Sign in",
        lead=f"to connect <strong>{html.escape(page.client_id)}</strong> to your account",
        notice=notice,
        action=html.escape(page.action),
        csrf=html.escape(page.csrf),
        email=html.escape(page.email),
        password_kind="new-password" if signing_up else "current-password",
        hint="At least 8 characters." if signing_up else "The password of your sandbox account.",
        intent=page.form,
        question="Have an account?" if signing_up else "New here?",
        other=html.escape(page.other),
        other_title="Sign in" if signing_up else "Sign up",
        focus_email="" if page.email else "autofocus",
        focus_password="autofocus" if page.email else "",
    )
    return _page("Sign up" if signing_up else "Sign in", content)


def refused(message: str) -> str:
    """Return the page for a request that cannot even be sent back to the app."""
    title = "This sign-in link does not work"
    return _page(title, _template("refused.html").substitute(title=title, message=html.escape(message)))


@functools.cache
def stylesheet() -> str:
    """Return the style sheet of all pages."""
    return (files(__package__) / "web" / "style.css").read_text("utf-8")


def _page(title: str, content: str) -> str:
    return _template("base.html").substitute(title=title, content=content)


@functools.cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "web" / name).read_text("utf-8"))
