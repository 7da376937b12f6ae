"""The console's pages about accounts: their API keys, grants, teams, and resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from upstash_helper.sandbox.accounts import Account
from upstash_helper.sandbox.admin import KeyChange, NewAccount
from upstash_helper.sandbox.console.elements import (
    Form,
    checkbox,
    counted,
    entry,
    field,
    items,
    moment,
    section,
    submit,
)
from upstash_helper.sandbox.console.markup import Html, join, tag
from upstash_helper.sandbox.console.page import Action, Fields, Page, only, read
from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.oauth.grants import Grant

SignIn = Callable[[Account], web.StreamResponse]
"""Returns the response that signs the browser in as a user of the issuer."""


class AccountsPage(Page):
    """All accounts."""

    PATH = "accounts"
    NAVIGATION = "accounts"

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Accounts"

    def content(self, _request: web.Request, form: Form) -> list[Html]:
        """Return the accounts, and the form for a new one."""
        accounts = [
            entry(
                tag("a", account.email, href=self.link(f"accounts/{quote(account.id, safe='')}")),
                f"{counted(len(self._admin.accounts.api_keys(account)), 'API key')} · "
                f"{counted(len(self._admin.teams.list(account)), 'team')} · "
                f"{counted(len(self._admin.databases.list(account)), 'database')}",
            )
            for account in self._admin.accounts.all()
        ]
        return [
            items(accounts, empty="There are no accounts. Users can also create accounts on the sign-up page."),
            section(
                "New account",
                form(
                    field("Email", "email", type_="email", required=True, maxlength=254, autocomplete="off"),
                    field(
                        "Password",
                        "password",
                        type_="password",
                        hint="At least 8 characters. Use a made-up one.",
                        required=True,
                        maxlength=1024,
                        autocomplete="new-password",
                    ),
                    submit("Create account"),
                    intent="create",
                ),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {"create": self._create}

    async def _create(self, _request: web.Request, fields: Fields) -> None:
        new = read({"email": "", "password": "", **_some(fields, "email", "password")}, NewAccount)
        await self._admin.accounts.sign_up(new.email, new.password)


class AccountPage(Page):
    """One account."""

    PATH = "accounts/{id}"
    NAVIGATION = "accounts"

    def __init__(self, *arguments: Any, sign_in: SignIn) -> None:
        super().__init__(*arguments)
        self._sign_in = sign_in

    def title(self, request: web.Request) -> str:
        """Return the account's email."""
        return self._account(request).email

    def content(self, request: web.Request, form: Form) -> list[Html]:
        """Return what has access to the account, and what belongs to it."""
        account = self._account(request)
        return [
            tag("div", form.button("Sign in as this user", "sign-in"), class_="row"),
            tag("p", "Opens the issuer's console and signs this browser in there.", class_="hint"),
            section(
                "API keys",
                items(
                    [
                        entry(
                            key.name,
                            f"{'Read-only' if key.read_only else 'Full access'} · created {moment(key.created_at)}",
                            actions=[form.button("Revoke", "revoke-key", about=key.name, name=key.name)],
                        )
                        for key in self._admin.accounts.api_keys(account)
                    ],
                    empty="There are no API keys.",
                ),
                form(
                    field("Name of the new API key", "name", required=True, maxlength=100, autocomplete="off"),
                    checkbox("Read-only", "read-only"),
                    submit("Create API key"),
                    intent="create-key",
                ),
            ),
            section(
                "OAuth clients",
                items(
                    [self._grant(grant, form) for grant in self._admin.grants.of_account(account.id)],
                    empty="No app is connected.",
                ),
            ),
            section(
                "Teams",
                items(
                    [
                        entry(team.team_name, f"Role: {self._admin.teams.role(account, team.team_id)}")
                        for team in self._admin.teams.list(account)
                    ],
                    empty="This user is not in a team.",
                ),
            ),
            section(
                "Audit log",
                items(
                    [
                        entry(
                            f"{logged.action_string}: {logged.entity}",
                            f"{logged.source} · {logged.ip or 'no address'} · {moment(logged.timestamp)}",
                        )
                        for logged in self._admin.audit_log.list(account)[:20]
                    ],
                    empty="There are no entries.",
                ),
            ),
            section(
                "Delete",
                tag("p", "Also deletes its databases, indexes, buckets, and the teams that it owns.", class_="hint"),
                tag("div", form.button("Delete account", "delete"), class_="row"),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {
            "sign-in": self._sign_in_as,
            "create-key": self._create_key,
            "revoke-key": self._revoke_key,
            "revoke-grant": self._revoke_grant,
            "expire-grant": self._expire_grant,
            "delete": self._delete,
        }

    async def _sign_in_as(self, request: web.Request, _fields: Fields) -> web.StreamResponse:
        return self._sign_in(self._account(request))

    async def _create_key(self, request: web.Request, fields: Fields) -> Html:
        account = self._account(request)
        new = read({"email": account.email, "name": "", **only(fields, "name")}, KeyChange)
        read_only = "read-only" in fields
        api_key = self._admin.create_api_key(account, new.name, read_only=read_only, ip=request.remote)
        return join(
            tag("p", "Copy the new API key now. It is not shown again."),
            tag("p", tag("code", api_key)),
        )

    async def _revoke_key(self, request: web.Request, fields: Fields) -> None:
        self._admin.revoke_api_key(self._account(request), fields.get("name", ""), ip=request.remote)

    async def _revoke_grant(self, request: web.Request, fields: Fields) -> None:
        self._admin.revoke_grant(self._own_grant(request, fields), ip=request.remote)

    async def _expire_grant(self, request: web.Request, fields: Fields) -> None:
        self._admin.grants.expire_access_tokens(self._own_grant(request, fields).id)

    async def _delete(self, request: web.Request, _fields: Fields) -> web.StreamResponse:
        await self._admin.delete_account(self._account(request))
        return web.Response(status=303, headers={"Location": self.link("accounts"), "Cache-Control": "no-store"})

    def _grant(self, grant: Grant, form: Form) -> Html:
        return entry(
            grant.client_name,
            f"{f'Team {grant.team_name}' if grant.team_id else 'Personal account'} · "
            f"{'Read-only' if grant.read_only else 'Full access'} · last used {moment(grant.used_at)}",
            actions=[
                form.button("Revoke", "revoke-grant", about=grant.client_name, grant=grant.id),
                form.button("Expire access tokens", "expire-grant", about=f"of {grant.client_name}", grant=grant.id),
            ],
        )

    def _account(self, request: web.Request) -> Account:
        account = self._admin.accounts.get(request.match_info["id"])
        if account is None:
            raise RequestError(404, "This account does not exist.")
        return account

    def _own_grant(self, request: web.Request, fields: Fields) -> Grant:
        for grant in self._admin.grants.of_account(self._account(request).id):
            if grant.id == fields.get("grant"):
                return grant
        raise RequestError(404, "This app is no longer connected.")


def _some(fields: Fields, *names: str) -> Fields:
    """Return some of a form's fields, with all their spaces: they may be part of a password."""
    return {name: fields[name] for name in names if name in fields}
