"""The Developer API's authentication, and its endpoints about the account."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from aiohttp import web

from upstash_helper.sandbox.accounts import Accounts, Caller
from upstash_helper.sandbox.audit import AuditLog
from upstash_helper.sandbox.responses import error_response, json_response

Operation = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


class BasicAuth:
    """Authenticates requests by HTTP Basic: the account's email and an API key."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def require(self, operation: Operation, *, write: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """
        Return a handler that authenticates the caller and passes it to an operation.

        Args:
            operation: The operation.
            write: Whether it changes something, so that read-only API keys are rejected.
        """

        async def handler(request: web.Request) -> web.StreamResponse:
            caller = self._caller(request)
            if caller is None:
                challenge = {"WWW-Authenticate": 'Basic realm="Upstash Developer API"'}
                return error_response(401, "Unauthorized: wrong email or API key", challenge)
            if write and caller.read_only:
                return error_response(403, "Forbidden: this API key is read-only")
            return await operation(request, caller)

        return handler

    def _caller(self, request: web.Request) -> Caller | None:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            email, colon, api_key = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return self._accounts.authenticate(email, api_key) if colon else None


class AccountApi:
    """The account's teams and audit log."""

    def __init__(self, *, auth: BasicAuth, audit_log: AuditLog) -> None:
        self._auth = auth
        self._audit_log = audit_log

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/v2/teams", self._auth.require(self.teams, write=False), allow_head=False),
            web.get("/auditlogs", self._auth.require(self.audit_logs, write=False), allow_head=False),
        ]

    async def teams(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """List the account's teams. The sandbox has none."""
        return json_response([])

    async def audit_logs(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List the account's audit log, newest first."""
        return json_response(self._audit_log.list(caller.account))
