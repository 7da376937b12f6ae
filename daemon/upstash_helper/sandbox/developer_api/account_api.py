"""The Developer API: who calls, and the table of what there is."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable

from aiohttp import web

from upstash_helper.sandbox.answers import error_answer, json_answer
from upstash_helper.sandbox.developer_api.accounts import Accounts, Caller
from upstash_helper.sandbox.developer_api.audit import Audit

Operation = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]


class Gate:
    """Lets callers with good Basic credentials through to the operations."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts

    def guard(self, operation: Operation, *, changes: bool) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """
        Return a handler that knows its caller.

        Args:
            operation: What is to be done.
            changes: Whether it changes something: then a read-only API key is refused.
        """

        async def handler(request: web.Request) -> web.StreamResponse:
            caller = self._caller(request)
            if caller is None:
                challenge = {"WWW-Authenticate": 'Basic realm="Upstash Developer API"'}
                return error_answer(401, "Unauthorized: wrong e-mail or API key", challenge)
            if changes and caller.read_only:
                return error_answer(403, "Forbidden: this API key is read-only")
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
        return self._accounts.caller(email, api_key) if colon else None


class AccountApi:
    """What the Developer API says about the account itself."""

    def __init__(self, *, gate: Gate, audit: Audit) -> None:
        self._gate = gate
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [
            web.get("/v2/teams", self._gate.guard(self.teams, changes=False), allow_head=False),
            web.get("/auditlogs", self._gate.guard(self.audit_logs, changes=False), allow_head=False),
        ]

    async def teams(self, _request: web.Request, _caller: Caller) -> web.StreamResponse:
        """List the account's teams: the sandbox has none."""
        return json_answer([])

    async def audit_logs(self, _request: web.Request, caller: Caller) -> web.StreamResponse:
        """List what happened, newest first."""
        return json_answer(self._audit.list(caller.account))
