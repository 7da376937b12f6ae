"""The issuer's authorization endpoint, ``/oauth/authorize``: sign-in or sign-up, then consent."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.sandbox.accounts import Account, Accounts, Owner
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth import pages
from upstash_helper.sandbox.oauth.authorization import AuthorizationRequest, AuthorizationServer
from upstash_helper.sandbox.oauth.forms import (
    FormGuard,
    authenticate,
    page_response,
    read_form,
    redirect,
    stylesheet,
)
from upstash_helper.sandbox.oauth.sessions import Sessions
from upstash_helper.sandbox.oauth.sign_in import sign_in_form, validate
from upstash_helper.sandbox.teams import Teams

PATH = "/oauth/authorize"


class ConsentPages:
    """Signs the user in, asks what the app may access, and redirects the browser to the app with a code."""

    def __init__(
        self,
        *,
        origin: str,
        server: AuthorizationServer,
        accounts: Accounts,
        teams: Teams,
        sessions: Sessions,
        audit_log: AuditLog,
    ) -> None:
        """
        Args:
            origin: Scheme, host, and port of this server, as the browser sees them.
            server: Issues the authorization codes.
            accounts: The accounts that can sign in.
            teams: The teams that the user can choose.
            sessions: The browsers that are signed in.
            audit_log: Logs what users allow.
        """
        self._origin = origin
        self._server = server
        self._accounts = accounts
        self._teams = teams
        self._sessions = sessions
        self._audit_log = audit_log
        self._guard = FormGuard(origin=origin, path=PATH)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get(PATH, self.show, allow_head=False),
            web.post(PATH, self.submit),
            web.get("/_static/style.css", stylesheet),
        ]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the sign-in form or the consent page, or an error page if the request is invalid."""
        authorization = validate(self._server, self._url(request))
        if isinstance(authorization, web.Response):
            return authorization
        account = self._sessions.account(request)
        if account is None:
            return sign_in_form(request, self._guard, authorization)
        return self._consent(request, authorization, account)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Handle either form."""
        authorization = validate(self._server, self._url(request))
        if isinstance(authorization, web.Response):
            return authorization
        fields, account = await read_form(request), self._sessions.account(request)
        if not self._guard.is_valid(request, fields.get("csrf", "")):
            return self._form(request, authorization, account, fields, "The form has expired. Please try again.")
        match fields.get("intent"):
            case "cancel":
                return redirect(self._server.deny(authorization, "access_denied", "The user denied the request."))
            case "sign-out":
                response = redirect(request.raw_path)
                self._sessions.end(request, response)
                return response
            case "allow" if account is not None:
                return self._allow(request, authorization, account, fields)
            case _:
                return await self._sign_in(request, authorization, fields)

    def _form(
        self,
        request: web.Request,
        authorization: AuthorizationRequest,
        account: Account | None,
        fields: dict[str, str],
        error: str,
    ) -> web.Response:
        """Return the form that the user was at again, with an error."""
        if account is None:
            return sign_in_form(request, self._guard, authorization, fields, error, status=403)
        return self._consent(request, authorization, account, error, status=403)

    async def _sign_in(
        self, request: web.Request, authorization: AuthorizationRequest, fields: dict[str, str]
    ) -> web.Response:
        try:
            account = await authenticate(self._accounts, fields)
        except RequestError as error:
            return sign_in_form(request, self._guard, authorization, fields, error.message, status=error.status)
        response = redirect(request.raw_path)
        self._sessions.start(response, account)
        return response

    def _allow(
        self, request: web.Request, authorization: AuthorizationRequest, account: Account, fields: dict[str, str]
    ) -> web.Response:
        team_id, access = fields.get("account") or None, fields.get("access", "read-only")
        if team_id is not None and self._teams.role(account, team_id) is None:
            return self._consent(request, authorization, account, "You are not a member of this team.", status=403)
        if access not in {"read-only", "full"}:
            return self._consent(request, authorization, account, "Choose what the app may do.", status=400)
        read_only = access == "read-only"
        location = self._server.issue_code(self._url(request), account, team_id=team_id, read_only=read_only)
        self._audit_log.add(
            Owner(team_id, account.email) if team_id else account,
            "Allow OAuth Client",
            source="CONSOLE",
            entity=authorization.client_name,
            ip=request.remote,
        )
        return redirect(location)

    def _consent(
        self,
        request: web.Request,
        authorization: AuthorizationRequest,
        account: Account,
        error: str = "",
        *,
        status: int = 200,
    ) -> web.Response:
        csrf, cookie = self._guard.token(request)
        form = pages.ConsentForm(
            app=authorization.client_name,
            email=account.email,
            csrf=csrf,
            action=request.raw_path,
            teams=self._teams.list(account),
            error=error,
        )
        response = page_response(pages.consent_page(form), status=status, form_target=authorization.redirect_uri)
        self._guard.set_cookie(response, cookie)
        return response

    def _url(self, request: web.Request) -> str:
        return self._origin + request.raw_path
