"""The issuer's console, ``/console``, where a user sees and revokes OAuth clients and API keys."""

from __future__ import annotations

from aiohttp import web

from upstash_helper.sandbox.accounts import Account, Accounts
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth import pages
from upstash_helper.sandbox.oauth.forms import FormGuard, authenticate, page_response, read_form, redirect
from upstash_helper.sandbox.oauth.grants import Grants
from upstash_helper.sandbox.oauth.sessions import Sessions
from upstash_helper.sandbox.oauth.sign_in import sign_in_form

PATH = "/console"
MAX_NAME_LENGTH = 100
_EXPIRED = "The form has expired. Please try again."


class Console:
    """Lists and revokes what has access to the signed-in user's account."""

    def __init__(
        self, *, origin: str, accounts: Accounts, grants: Grants, sessions: Sessions, audit_log: AuditLog
    ) -> None:
        self._accounts = accounts
        self._grants = grants
        self._sessions = sessions
        self._audit_log = audit_log
        self._guard = FormGuard(origin=origin, path=PATH)

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.get(PATH, self.show, allow_head=False), web.post(PATH, self.submit)]

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the lists, or the sign-in form."""
        account = self._sessions.account(request)
        return self._lists(request, account) if account else sign_in_form(request, self._guard, None)

    async def submit(self, request: web.Request) -> web.StreamResponse:
        """Handle the forms."""
        fields = await read_form(request)
        account = self._sessions.account(request)
        if not self._guard.is_valid(request, fields.get("csrf", "")):
            if account is None:
                return sign_in_form(request, self._guard, None, fields, _EXPIRED, status=403)
            return self._lists(request, account, _EXPIRED, status=403)
        response = redirect(PATH)
        match fields.get("intent"):
            case "sign-out":
                self._sessions.end(request, response)
            case "revoke" if account is not None:
                self._revoke(request, account, fields)
            case "create" if account is not None:
                return self._create(request, account, fields)
            case "sign-in" | "sign-up":
                try:
                    self._sessions.start(response, await authenticate(self._accounts, fields))
                except RequestError as error:
                    return sign_in_form(request, self._guard, None, fields, error.message, status=error.status)
            case _:
                pass  # The session has ended, so the sign-in form follows.
        return response

    def _revoke(self, request: web.Request, account: Account, fields: dict[str, str]) -> None:
        for grant in self._grants.of_account(account.id):
            if grant.id == fields.get("grant"):
                self._grants.revoke(grant.id)
                self._log(request, account, "Revoke OAuth Client", grant.client_name)
        name = fields.get("key")
        if name is not None and self._accounts.revoke_api_key(account, name):
            self._log(request, account, "Revoke API Key", name)

    def _create(self, request: web.Request, account: Account, fields: dict[str, str]) -> web.Response:
        """Create an API key, and show it, once."""
        name = fields.get("name", "").strip()
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            return self._lists(request, account, f"Enter a name of 1 to {MAX_NAME_LENGTH} characters.", status=400)
        try:
            api_key = self._accounts.create_api_key(account, name, read_only="read-only" in fields)
        except RequestError as error:
            return self._lists(request, account, error.message, status=error.status)
        self._log(request, account, "Create API Key", name)
        return self._lists(request, account, new_api_key=api_key)

    def _log(self, request: web.Request, account: Account, action: str, entity: str) -> None:
        self._audit_log.add(account, action, source="CONSOLE", entity=entity, ip=request.remote)

    def _lists(
        self, request: web.Request, account: Account, error: str = "", *, new_api_key: str = "", status: int = 200
    ) -> web.Response:
        csrf, cookie = self._guard.token(request)
        page = pages.ConsolePage(
            email=account.email,
            csrf=csrf,
            action=PATH,
            grants=self._grants.of_account(account.id),
            api_keys=self._accounts.api_key_names(account),
            new_api_key=new_api_key,
            error=error,
        )
        response = page_response(pages.console_page(page), status=status)
        self._guard.set_cookie(response, cookie)
        return response
