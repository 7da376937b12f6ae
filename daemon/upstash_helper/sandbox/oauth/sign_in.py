"""The partners' authorization endpoint, ``/authorize``: its sign-in and sign-up forms."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.sandbox.accounts import Accounts
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth import pages
from upstash_helper.sandbox.oauth.authorization import AuthorizationRequest, AuthorizationServer, ErrorRedirect
from upstash_helper.sandbox.oauth.forms import (
    FormGuard,
    authenticate,
    page_response,
    read_form,
    redirect,
    stylesheet,
)


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
        self._guard = FormGuard(origin=origin, path="/authorize")

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/authorize", self.show, allow_head=False),
            web.post("/authorize", self.submit),
            web.get("/_static/style.css", stylesheet),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the form, or an error page if the authorization request is invalid."""
        authorization = validate(self._server, self._url(request))
        if isinstance(authorization, web.Response):
            return authorization
        return self._form(request, authorization)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Handle the form: redirect to the app with a code, or show the form again with an error."""
        authorization = validate(self._server, self._url(request))
        if isinstance(authorization, web.Response):
            return authorization
        fields = await read_form(request)
        if not self._guard.is_valid(request, fields.get("csrf", "")):
            return self._form(request, authorization, fields, "The form has expired. Please try again.", status=403)
        if fields.get("intent") == "cancel":
            return redirect(self._server.deny(authorization, "access_denied", "The user canceled the sign-in."))
        try:
            account = await authenticate(self._accounts, fields)
        except RequestError as error:
            return self._form(request, authorization, fields, error.message, status=error.status)
        return redirect(self._server.issue_code(self._url(request), account))

    def _form(
        self,
        request: web.Request,
        authorization: AuthorizationRequest,
        fields: dict[str, str] | None = None,
        error: str = "",
        *,
        status: int = 200,
    ) -> web.Response:
        return sign_in_form(request, self._guard, authorization, fields, error, status=status)

    def _url(self, request: web.Request) -> str:
        return self._origin + request.raw_path


def validate(server: AuthorizationServer, url: str) -> AuthorizationRequest | web.Response:
    """Return the authorization request, or the response if it is invalid: a redirect to the app, or an error page."""
    try:
        return server.validate_request(url)
    except ErrorRedirect as error:
        return redirect(error.location)
    except RequestError as error:
        return page_response(pages.error_page(error.message), status=400)


def sign_in_form(
    request: web.Request,
    guard: FormGuard,
    authorization: AuthorizationRequest | None,
    fields: dict[str, str] | None = None,
    error: str = "",
    *,
    status: int = 200,
) -> web.Response:
    """
    Return the page with the sign-in or sign-up form.

    Args:
        request: The request, whose URL the form is submitted to.
        guard: Protects the form.
        authorization: What the user signs in for; None: for the console.
        fields: What the user has entered.
        error: Why the form is shown again.
        status: HTTP status.
    """
    fields = fields or {"email": request.query.get("login_hint", "")}
    csrf, cookie = guard.token(request)
    signing_up = request.query.get("screen_hint") == "signup"
    other_form = request.rel_url.update_query(screen_hint="login" if signing_up else "signup")
    form = pages.SignInForm(
        form="sign-up" if signing_up else "sign-in",
        app=authorization.client_name if authorization else None,
        csrf=csrf,
        action=request.raw_path,
        other_form=str(other_form),
        email=fields.get("email", "")[:254],
        error=error,
    )
    target = authorization.redirect_uri if authorization else ""
    response = page_response(pages.sign_in_page(form), status=status, form_target=target)
    guard.set_cookie(response, cookie)
    return response
