"""The authorization endpoint, ``/authorize``: its sign-in and sign-up forms."""

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
from upstash_helper.sandbox.oauth.authorization import AuthorizationRequest, AuthorizationServer, ErrorRedirect

COOKIE = "upstash_sandbox_form"


class SignInPages:
    """Signs the user in, and redirects the browser to the app with an authorization code."""

    def __init__(self, *, origin: str, server: AuthorizationServer, accounts: Accounts) -> None:
        """
        Args:
            origin: Scheme, host, and port of this server, as the browser sees them.
            server: Issues the authorization codes.
            accounts: The accounts that can sign in.
        """
        self._origin = origin
        self._server = server
        self._accounts = accounts
        self._form_key = secrets.token_bytes(32)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/authorize", self.show, allow_head=False),
            web.post("/authorize", self.submit),
            web.get("/_static/style.css", self.style),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or an error page if the authorization request is invalid."""
        try:
            authorization = self._server.validate_request(self._url(request))
        except ErrorRedirect as redirect:
            return _redirect(redirect.location)
        except RequestError as error:
            return _page(pages.error_page(error.message), status=400)
        return self._form(request, authorization)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Handle the form: redirect to the app with a code, or show the form again with an error."""
        try:
            authorization = self._server.validate_request(self._url(request))
        except ErrorRedirect as redirect:
            return _redirect(redirect.location)
        except RequestError as error:
            return _page(pages.error_page(error.message), status=400)

        fields = await _fields(request)
        if not self._is_csrf_token_valid(request, fields.get("csrf", "")):
            return self._form(request, authorization, fields, "The form has expired. Please try again.", status=403)
        if fields.get("intent") == "cancel":
            return _redirect(self._server.deny(authorization, "access_denied", "The user canceled the sign-in."))
        try:
            account = await self._account(fields)
        except RequestError as error:
            return self._form(request, authorization, fields, error.message, status=error.status)
        return _redirect(self._server.issue_code(self._url(request), account))

    async def style(self, _request: web.Request) -> web.StreamResponse:
        """Serve the style sheet."""
        return web.Response(text=pages.stylesheet(), content_type="text/css", headers={"Cache-Control": "no-cache"})

    async def _account(self, fields: dict[str, str]) -> Account:
        email, password = fields.get("email", ""), fields.get("password", "")
        if fields.get("intent") == "sign-up":
            return await self._accounts.sign_up(email, password)
        account = await self._accounts.sign_in(email, password)
        if account is None:
            raise RequestError(401, "Wrong email or password.")
        return account

    def _form(
        self,
        request: web.Request,
        authorization: AuthorizationRequest,
        fields: dict[str, str] | None = None,
        error: str = "",
        *,
        status: int = 200,
    ) -> web.Response:
        fields = fields or {"email": request.query.get("login_hint", "")}
        cookie = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        signing_up = request.query.get("screen_hint") == "signup"
        other_form = request.rel_url.update_query(screen_hint="login" if signing_up else "signup")
        form = pages.SignInForm(
            form="sign-up" if signing_up else "sign-in",
            client_id=authorization.client_id,
            csrf=self._csrf(cookie),
            action=request.raw_path,
            other_form=str(other_form),
            email=fields.get("email", "")[:254],
            error=error,
        )
        response = _page(pages.sign_in_page(form), status=status, form_target=authorization.redirect_uri)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax", path="/authorize")
        return response

    def _csrf(self, cookie: str) -> str:
        return hmac.new(self._form_key, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _is_csrf_token_valid(self, request: web.Request, csrf: str) -> bool:
        """Return whether this server sent the form to this browser: another site must not sign the user in (CSRF)."""
        if request.headers.get("Origin", self._origin) != self._origin:
            return False
        cookie = request.cookies.get(COOKIE, "")
        return bool(cookie) and hmac.compare_digest(self._csrf(cookie).encode(), csrf.encode("utf-8", "surrogatepass"))

    def _url(self, request: web.Request) -> str:
        return self._origin + request.raw_path


async def _fields(request: web.Request) -> dict[str, str]:
    """Return the form's text fields."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise RequestError(415, "the form must be sent as application/x-www-form-urlencoded")
    try:
        posted = await request.post()
    except (ValueError, LookupError, HttpProcessingError):
        raise RequestError(400, "the form cannot be parsed") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def _redirect(location: str) -> web.Response:
    # 303: the browser must follow a POST with a GET. web.HTTPSeeOther would normalize the URL.
    headers = {"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)


def _page(text: str, *, status: int = 200, form_target: str = "") -> web.Response:
    # Browsers also apply form-action to redirects after a form is submitted, so it includes the redirect URI's origin.
    targets = " ".join(["'self'", *([str(URL(form_target).origin())] if urlsplit(form_target).hostname else [])])
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
