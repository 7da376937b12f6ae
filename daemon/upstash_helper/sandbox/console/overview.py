"""The console's first page: the sandbox's addresses and contents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from upstash_helper.sandbox.console.elements import Form, counted, facts, section
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.console.page import Action, Fields, Page

if TYPE_CHECKING:
    from aiohttp import web


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the sandbox listens."""

    api: str
    issuer: str
    rest: str


class Overview(Page):
    """The addresses, and how many accounts, teams, databases, requests, and faults there are."""

    PATH = ""
    NAVIGATION = ""

    def __init__(self, *arguments: Any, addresses: Addresses) -> None:
        super().__init__(*arguments)
        self._addresses = addresses

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Sandbox"

    def content(self, _request: web.Request, form: Form) -> list[Html]:
        """Return the addresses and the counts."""
        at, admin = self._addresses, self._admin
        databases = [database for owner in admin.owners() for database in admin.databases.list(owner)]
        requests, faults = len(admin.requests.entries()), len(admin.faults.active())
        return [
            section(
                "Addresses",
                facts(
                    [
                        ("Developer API and partner sign-in", tag("code", at.api)),
                        ("Issuer of the open sign-in", tag("code", at.issuer)),
                        ("REST API of the databases", tag("code", at.rest)),
                        ("Admin API", tag("code", at.api + self._path.rpartition("/")[0])),
                    ]
                ),
            ),
            section(
                "Contents",
                facts(
                    [
                        ("Accounts", self._count("accounts", counted(len(admin.accounts.all()), "account"))),
                        ("Teams", self._count("teams", counted(len(admin.teams.all()), "team"))),
                        ("Databases", self._count("databases", counted(len(databases), "database"))),
                        ("Requests", self._count("requests", counted(requests, "request"))),
                        ("Faults", self._count("faults", counted(faults, "fault"))),
                    ]
                ),
            ),
            section(
                "Start over",
                tag(
                    "p",
                    "Deletes all accounts, teams, databases, indexes, buckets, OAuth clients, and faults, and the log.",
                    class_="hint",
                ),
                form(
                    tag(
                        "label",
                        tag("input", type="checkbox", name="sure", value="1", required=True),
                        tag("span", "Delete everything. This cannot be undone."),
                        class_="choice",
                    ),
                    tag("div", tag("button", "Delete everything"), class_="row"),
                    intent="reset",
                ),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {"reset": self._reset}

    async def _reset(self, _request: web.Request, fields: Fields) -> None:
        if fields.get("sure") == "1":
            await self._admin.reset()

    def _count(self, path: str, text: str) -> Html:
        return tag("a", text, href=self.link(path))
