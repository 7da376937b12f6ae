"""The pages at ``/authorize``: sign in, sign up, cancel."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from upstash_helper.sandbox.developer_api.accounts import Account, Accounts
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.oauth import pages
from upstash_helper.sandbox.oauth.authorization import AuthorizationRequest, AuthorizationServer, SendBack

COOKIE = "upstash_sandbox_form"


class SignInPages:
    """Where the user's browser comes to, and leaves with an authorization code."""

    def __init__(self, *, origin: str, server: AuthorizationServer, accounts: Accounts) -> None:
        """
        Args:
            origin: Scheme, host and port of this server, as the browser sees them.
            server: Makes the authorization codes.
            accounts: Who may sign in.
        """
        self._origin = origin
        self._server = server
        self._accounts = accounts
        self._form_key = secrets.token_bytes(32)

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [
            web.get("/authorize", self.show, allow_head=False),
            web.post("/authorize", self.submit),
            web.get("/_static/style.css", self.style),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or say why there is none."""
        try:
            authorization = self._server.check(self._uri(request))
        except SendBack as back:
            return _redirect(back.location)
        except Refused as error:
            return _page(pages.refused(error.message), status=400)
        return self._form(request, authorization)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Take the form: send the user back with a code, or show what was wrong."""
        try:
            authorization = self._server.check(self._uri(request))
        except SendBack as back:
            return _redirect(back.location)
        except Refused as error:
            return _page(pages.refused(error.message), status=400)

        fields = await _fields(request)
        if not self._is_our_form(request, fields.get("csrf", "")):
            return self._form(request, authorization, fields, "The form had expired. Please try again.", status=403)
        if fields.get("intent") == "cancel":
            return _redirect(self._server.deny(authorization, "access_denied", "The user cancelled the sign-in."))
        try:
            account = await self._account(fields)
        except Refused as error:
            return self._form(request, authorization, fields, error.message, status=error.status)
        return _redirect(self._server.grant(self._uri(request), account))

    async def style(self, _request: web.Request) -> web.StreamResponse:
        """Serve the style sheet."""
        return web.Response(text=pages.stylesheet(), content_type="text/css", headers={"Cache-Control": "no-cache"})

    async def _account(self, fields: dict[str, str]) -> Account:
        email, password = fields.get("email", ""), fields.get("password", "")
        if fields.get("intent") == "sign-up":
            return await self._accounts.sign_up(email, password)
        account = await self._accounts.sign_in(email, password)
        if account is None:
            raise Refused(401, "Wrong e-mail or password.")
        return account

    def _form(
        self,
        request: web.Request,
        authorization: AuthorizationRequest,
        fields: dict[str, str] | None = None,
        problem: str = "",
        *,
        status: int = 200,
    ) -> web.Response:
        fields = fields or {"email": request.query.get("login_hint", "")}
        cookie = request.cookies.get(COOKIE) or secrets.token_urlsafe(32)
        signing_up = request.query.get("screen_hint") == "signup"
        other = request.rel_url.update_query(screen_hint="login" if signing_up else "signup")
        page = pages.SignIn(
            form="sign-up" if signing_up else "sign-in",
            client_id=authorization.client_id,
            csrf=self._csrf(cookie),
            action=request.raw_path,
            other=str(other),
            email=fields.get("email", "")[:254],
            problem=problem,
        )
        response = _page(pages.sign_in(page), status=status, form_target=authorization.redirect_uri)
        response.set_cookie(COOKIE, cookie, httponly=True, samesite="Lax", path="/authorize")
        return response

    def _csrf(self, cookie: str) -> str:
        return hmac.new(self._form_key, cookie.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _is_our_form(self, request: web.Request, csrf: str) -> bool:
        """Whether the form was made for this browser, by us: else a site could sign the user in as somebody else."""
        if request.headers.get("Origin", self._origin) != self._origin:
            return False
        cookie = request.cookies.get(COOKIE, "")
        return bool(cookie) and hmac.compare_digest(self._csrf(cookie).encode(), csrf.encode("utf-8", "surrogatepass"))

    def _uri(self, request: web.Request) -> str:
        return self._origin + request.raw_path


async def _fields(request: web.Request) -> dict[str, str]:
    """Return the form's text fields; those of the wrong kind are left out."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Refused(415, "the form must be sent as application/x-www-form-urlencoded")
    try:
        posted = await request.post()
    except (ValueError, LookupError, HttpProcessingError):
        raise Refused(400, "the form cannot be read") from None
    return {name: value for name, value in posted.items() if isinstance(value, str)}


def _redirect(location: str) -> web.Response:
    # 303, because a form was posted and the redirect URI is to be fetched. The address is passed on as it is.
    headers = {"Location": location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return web.Response(status=303, headers=headers)


def _page(text: str, *, status: int = 200, form_target: str = "") -> web.Response:
    # Browsers hold a form's redirect against form-action too, so the redirect URI's origin is named there.
    targets = " ".join(["'self'", *([str(URL(form_target).origin())] if urlsplit(form_target).hostname else [])])
    policy = (
        "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {targets}"
    )
    headers = {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        # Not no-referrer: then a form is posted with `Origin: null`.
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return web.Response(text=text, status=status, content_type="text/html", headers=headers)
