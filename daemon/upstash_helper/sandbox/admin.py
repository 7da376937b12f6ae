"""How tests control the sandbox: accounts, API keys, switches, faults, and the log of requests."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from upstash_helper.sandbox.answers import error_answer, json_answer, read_json
from upstash_helper.sandbox.developer_api.accounts import Account, Accounts
from upstash_helper.sandbox.developer_api.audit import Audit
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.faults import Fault, Faults, Switches

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler


class NewAccount(msgspec.Struct, forbid_unknown_fields=True):
    """Somebody who shall be able to sign in."""

    email: str
    password: str


class KeyChange(msgspec.Struct, forbid_unknown_fields=True):
    """An API key to be made, or to be revoked."""

    email: str
    name: str
    read_only: bool = False
    revoke: bool = False


class AdminApi:
    """The endpoints below the admin path, each with the admin token as Bearer."""

    def __init__(
        self, *, path: str, token: str, accounts: Accounts, faults: Faults, switches: Switches, audit: Audit
    ) -> None:
        self._path = path
        self._token = token
        self._accounts = accounts
        self._faults = faults
        self._switches = switches
        self._audit = audit

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        table: list[tuple[str, str, Handler]] = [
            ("POST", "accounts", self.add_account),
            ("GET", "api-keys", self.list_keys),
            ("POST", "api-keys", self.change_key),
            ("GET", "settings", self.show_settings),
            ("POST", "settings", self.change_settings),
            ("PUT", "settings", self.replace_settings),
            ("GET", "faults", self.list_faults),
            ("POST", "faults", self.add_fault),
            ("DELETE", "faults", self.clear_faults),
            ("GET", "requests", self.list_requests),
            ("DELETE", "requests", self.forget_requests),
        ]
        return [web.route(verb, f"{self._path}/{name}", self._guard(handler)) for verb, name, handler in table]

    async def add_account(self, request: web.Request) -> web.StreamResponse:
        """Sign somebody up."""
        wanted = await read_json(request, NewAccount)
        return json_answer(await self._accounts.sign_up(wanted.email, wanted.password))

    async def list_keys(self, request: web.Request) -> web.StreamResponse:
        """List the names of an account's API keys."""
        return json_answer(self._accounts.key_names(self._account(request.query.get("email", ""))))

    async def change_key(self, request: web.Request) -> web.StreamResponse:
        """Make or revoke an API key, as the user would in Upstash's console."""
        change = await read_json(request, KeyChange)
        account = self._account(change.email)
        answer: Any = "OK"
        if not change.revoke:
            answer = {"api_key": self._accounts.make_key(account, change.name, read_only=change.read_only)}
        elif not self._accounts.revoke_key(account, change.name):
            raise Refused(404, "there is no API key with this name")
        action = "Revoke API Key" if change.revoke else "Create API Key"
        self._audit.add(account, action, source="CONSOLE", entity=change.name, ip=request.remote)
        return json_answer(answer)

    async def show_settings(self, _request: web.Request) -> web.StreamResponse:
        """Show all switches."""
        return json_answer(self._switches)

    async def change_settings(self, request: web.Request) -> web.StreamResponse:
        """Set some switches; the others stay."""
        return await self._set(request, msgspec.structs.asdict(self._switches))

    async def replace_settings(self, request: web.Request) -> web.StreamResponse:
        """Set some switches; the others go back to what they were at the start."""
        return await self._set(request, {})

    async def _set(self, request: web.Request, others: dict[str, Any]) -> web.StreamResponse:
        wanted = await read_json(request, dict[str, Any])
        try:
            checked = msgspec.convert(others | wanted, Switches)
        except msgspec.ValidationError as error:
            raise Refused(400, str(error)) from None
        for name, value in msgspec.structs.asdict(checked).items():
            setattr(self._switches, name, value)
        return json_answer(self._switches)

    async def list_faults(self, _request: web.Request) -> web.StreamResponse:
        """List the faults in force."""
        return json_answer(self._faults.in_force())

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """Put a fault into force."""
        self._faults.add(await read_json(request, Fault))
        return json_answer(self._faults.in_force())

    async def clear_faults(self, _request: web.Request) -> web.StreamResponse:
        """Lift all faults."""
        self._faults.clear()
        return json_answer("OK")

    async def list_requests(self, _request: web.Request) -> web.StreamResponse:
        """List the requests received, oldest first, those to the admin endpoints left out."""
        return json_answer(self._faults.requests())

    async def forget_requests(self, _request: web.Request) -> web.StreamResponse:
        """Empty the log of requests."""
        self._faults.forget_requests()
        return json_answer("OK")

    def _guard(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                return error_answer(401, "the admin token is needed")
            return await handler(request)

        return guarded

    def _account(self, email: str) -> Account:
        account = self._accounts.named(email)
        if account is None:
            raise Refused(404, "there is no account with this e-mail")
        return account
