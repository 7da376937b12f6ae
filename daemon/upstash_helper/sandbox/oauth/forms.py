"""What the pages of both authorization servers share: responses, CSRF protection, and reading the posted forms."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth import pages

COOKIE = "upstash_sandbox_form"


class FormGuard:
    """Protects forms against CSRF: a form is valid only for the browser that it was sent to."""

    def __init__(self, *, origin: str, path: str) -> None:
        """
        Args:
            origin: Scheme, host, and port of this server, as the browser sees them.
            path: The forms' path.
        """
        self._origin = origin
        self._path = path
        self._key = secrets.token_bytes(32)

    def token(self, request: web.Request) -> tuple[str, str]:
        """Return the form's CSRF token and the cookie that belongs to it."""
        cookie = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        return self._csrf(cookie), cookie

    def set_cookie(self, response: web.StreamResponse, cookie: str) -> None:
        """Send the cookie with the page that has the form."""
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax", path=self._path)

    def is_valid(self, request: web.Request, csrf: str) -> bool:
        """Return whether this server sent the form to this browser."""
        if request.headers.get("Origin", self._origin) != self._origin:
            return False
        cookie = request.cookies.get(COOKIE, "")
        return bool(cookie) and hmac.compare_digest(self._csrf(cookie).encode(), csrf.encode("utf-8", "surrogatepass"))

    def _csrf(self, cookie: str) -> str:
        return hmac.new(self._key, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


async def authenticate(accounts: Accounts, fields: dict[str, str]) -> Account:
    """
    Sign in, or sign up, with the fields of the sign-in form.

    Raises:
        RequestError: If the email or the password is wrong, or not allowed.
    """
    email, password = fields.get("email", ""), fields.get("password", "")
    if fields.get("intent") == "sign-up":
        return await accounts.sign_up(email, password)
    account = await accounts.sign_in(email, password)
    if account is None:
        raise RequestError(401, "Wrong email or password.")
    return account


async def read_form(request: web.Request) -> dict[str, str]:
    """
    Return the form's text fields.

    Raises:
        RequestError: If the body is not a form.
    """
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestError(415, "the form must be sent as application/x-www-form-urlencoded")
    try:
        posted = await request.post()
    except (ValueError, LookupError, HttpProcessingError):
        raise RequestError(400, "the form cannot be parsed") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def redirect(location: str) -> web.Response:
    """Return a redirect that the browser follows with a GET."""
    # 303: the browser must follow a POST with a GET. web.HTTPSeeOther would normalize the URL.
    headers = {"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)


def page_response(text: str, *, status: int = 200, form_target: str = "") -> web.Response:
    """
    Return a page.

    Args:
        text: The HTML.
        status: HTTP status.
        form_target: The URL that the browser is redirected to after the page's form was submitted, if any.
    """
    # Browsers also apply form-action to redirects after a form is submitted, so it includes the redirect URI's origin.
    targets = " ".join(["'self'", *_source(form_target)])
    policy = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        # With no-referrer, browsers would submit the form with `Origin: null`.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)


async def stylesheet(_request: web.Request) -> web.StreamResponse:
    """Serve the style sheet."""
    return web.Response(text=pages.stylesheet(), content_type="text/css", headers={"Cache-Control": "no-cache"})


def _source(url: str) -> list[str]:
    """Return the source expression for a URL's origin (Content Security Policy Level 3, section 2.3.1)."""
    parts = urlsplit(url)
    if not parts.scheme:
        return []
    if parts.hostname and ":" not in parts.hostname:
        return [str(URL(url).origin())]
    # There is no expression for an IPv6 address or an app's own scheme but the scheme.
    return [f"{parts.scheme}:"]
