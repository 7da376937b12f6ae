"""Sign-ins of browsers at the issuer, which last until the sandbox stops."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from upstash_helper.sandbox.accounts import Account, Accounts, digest

if TYPE_CHECKING:
    from aiohttp import web

COOKIE = "upstash_sandbox_session"


class Sessions:
    """The signed-in browsers."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._account_ids: dict[bytes, str] = {}

    def account(self, request: web.Request) -> Account | None:
        """Return the account that the browser is signed in to, or None."""
        account_id = self._account_ids.get(digest(request.cookies.get(COOKIE, "")))
        return self._accounts.get(account_id) if account_id else None

    def start(self, response: web.StreamResponse, account: Account) -> None:
        """Sign the browser in."""
        secret = secrets.token_urlsafe(32)
        self._account_ids[digest(secret)] = account.id
        response.set_cookie(COOKIE, secret, httponly=True, samesite="Lax", path="/")

    def end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Sign the browser out."""
        self._account_ids.pop(digest(request.cookies.get(COOKIE, "")), None)
        response.del_cookie(COOKIE, path="/")
