"""The HTML of the pages for users, rendered from the templates in ``web/``."""

from __future__ import annotations

import functools
import html
import time
from importlib.resources import files
from string import Template
from typing import Literal

import msgspec

from upstash_helper.sandbox.oauth.grants import Grant
from upstash_helper.sandbox.teams import Team

Form = Literal["sign-in", "sign-up"]

_CANCEL = '<button name="intent" value="cancel" formnovalidate>Cancel</button>'


class SignInForm(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a sign-in or sign-up page."""

    form: Form
    app: str | None
    """The app to connect; None: the user signs in to the console."""
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
    notice = _notice(form.error)
    content = _template("sign_in.html").substitute(
        title=title,
        lead=f"to connect <strong>{html.escape(form.app)}</strong> to your account" if form.app else "to the console",
        notice=notice,
        cancel=_CANCEL if form.app else "",
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


class ConsentForm(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the consent page."""

    app: str
    email: str
    csrf: str
    action: str
    teams: list[Team]
    error: str = ""


def consent_page(form: ConsentForm) -> str:
    """Return the page where the user chooses what an app may access."""
    title = "Allow access"
    choices = [_radio("account", "", form.email, "Personal account", checked=True)]
    choices += [_radio("account", team.team_id, team.team_name, "Team", checked=False) for team in form.teams]
    content = _template("consent.html").substitute(
        title=title,
        app=html.escape(form.app),
        email=html.escape(form.email),
        notice=_notice(form.error),
        action=html.escape(form.action),
        csrf=html.escape(form.csrf),
        accounts="\n".join(choices),
        access="\n".join(
            [
                _radio("access", "read-only", "Read-only", "See databases and their data.", checked=True),
                _radio("access", "full", "Full access", "Also create, change, and delete databases.", checked=False),
            ]
        ),
    )
    return _page(title, content)


class ConsolePage(msgspec.Struct, frozen=True, kw_only=True):
    """The content of the console."""

    email: str
    csrf: str
    action: str
    grants: list[Grant]
    api_keys: list[str]
    new_api_key: str = ""
    """Shown once, after it was created."""
    error: str = ""


def console_page(page: ConsolePage) -> str:
    """Return the page that lists an account's OAuth clients and API keys."""
    title = "Console"

    def revoke(kind: str, value: str, name: str) -> str:
        return _template("revoke.html").substitute(
            action=html.escape(page.action),
            csrf=html.escape(page.csrf),
            kind=kind,
            value=html.escape(value),
            name=html.escape(name),
        )

    grants = "\n".join(
        _template("grant.html").substitute(
            name=html.escape(grant.client_name),
            account=html.escape(f"Team {grant.team_name}" if grant.team_id else "Personal account"),
            access="Read-only" if grant.read_only else "Full access",
            used=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(grant.used_at)),
            revoke=revoke("grant", grant.id, grant.client_name),
        )
        for grant in page.grants
    )
    keys = "\n".join(
        f"<li><p><strong>{html.escape(name)}</strong></p>{revoke('key', name, name)}</li>" for name in page.api_keys
    )
    content = _template("console.html").substitute(
        title=title,
        email=html.escape(page.email),
        notice=_notice(page.error),
        action=html.escape(page.action),
        csrf=html.escape(page.csrf),
        grants=f"<ul>{grants}</ul>" if grants else '<p class="hint">No app is connected.</p>',
        new_key=_template("new_key.html").substitute(key=html.escape(page.new_api_key)) if page.new_api_key else "",
        api_keys=f"<ul>{keys}</ul>" if keys else '<p class="hint">There are no API keys.</p>',
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


def _radio(name: str, value: str, label: str, hint: str, *, checked: bool) -> str:
    return _template("choice.html").substitute(
        name=name,
        value=html.escape(value),
        label=html.escape(label),
        hint=html.escape(hint),
        checked="checked" if checked else "",
    )


def _notice(error: str) -> str:
    return f'<p class="notice" role="alert">{html.escape(error)}</p>' if error else ""


def _page(title: str, content: str) -> str:
    return _template("base.html").substitute(title=title, content=content)


@functools.cache
def _template(name: str) -> Template:
    return Template((files(__package__) / "web" / name).read_text("utf-8"))
