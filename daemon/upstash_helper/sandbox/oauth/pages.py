"""The HTML of the sign-in pages, rendered from the templates in ``web/``."""

from __future__ import annotations

import functools
import html
from importlib.resources import files
from string import Template
from typing import Literal

import msgspec

Form = Literal["sign-in", "sign-up"]


class SignInForm(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a sign-in or sign-up page."""

    form: Form
    client_id: str
    csrf: str
    action: str
    other_form: str
    """The URL of the other of the two forms."""
    email: str = ""
    error: str = ""


def sign_in_page(form: SignInForm) -> str:
    """Return the sign-in or sign-up page."""
    signing_up = form.form == "sign-up"
    title = "Sign up" if signing_up else "Sign in"
    notice = f'<p class="notice" role="alert">{html.escape(form.error)}</p>' if form.error else ""
    content = _template("sign_in.html").substitute(
        title=title,
        lead=f"to connect <strong>{html.escape(form.client_id)}</strong> to your account",
        notice=notice,
        action=html.escape(form.action),
        csrf=html.escape(form.csrf),
        email=html.escape(form.email),
        password_kind="new-password" if signing_up else "current-password",
        hint="At least 8 characters." if signing_up else "The password of your sandbox account.",
        intent=form.form,
        question="Already have an account?" if signing_up else "Don't have an account?",
        other=html.escape(form.other_form),
        other_title="Sign in" if signing_up else "Sign up",
        focus_email="" if form.email else "autofocus",
        focus_password="autofocus" if form.email else "",
    )
    return _page(title, content)


def error_page(message: str) -> str:
    """Return the page for an invalid request that must not be redirected to the app (RFC 6749, section 4.1.2.1)."""
    title = "This sign-in link does not work"
    return _page(title, _template("error.html").substitute(title=title, message=html.escape(message)))


@functools.cache
def stylesheet() -> str:
    """Return the style sheet of all pages."""
    return (files(__package__) / "web" / "style.css").read_text("utf-8")


def _page(title: str, content: str) -> str:
    return _template("base.html").substitute(title=title, content=content)


@functools.cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "web" / name).read_text("utf-8"))
