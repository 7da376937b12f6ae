"""The console's page about teams and their members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from upstash_helper.sandbox.admin import NewTeam
from upstash_helper.sandbox.console.elements import Form, choice, counted, entry, field, items, section, submit
from upstash_helper.sandbox.console.markup import Html, tag
from upstash_helper.sandbox.console.page import Action, Fields, Page, only, read
from upstash_helper.sandbox.developer_api.wire import AddTeamMember, DeleteTeamMember
from upstash_helper.sandbox.teams import Member, Team

if TYPE_CHECKING:
    from aiohttp import web

ROLES = (("admin", "Admin"), ("dev", "Dev"), ("finance", "Finance"))


class TeamsPage(Page):
    """All teams with their members."""

    PATH = "teams"
    NAVIGATION = "teams"

    def title(self, _request: web.Request) -> str:
        """Return the heading."""
        return "Teams"

    def content(self, _request: web.Request, form: Form) -> list[Html]:
        """Return the teams, and the form for a new one."""
        teams, owners = self._admin.teams.all(), self._admin.accounts.all()
        return [
            tag("p", "There are no teams.", class_="hint") if not teams else Html(),
            *(self._team(team, form) for team in teams),
            section(
                "New team",
                form(
                    field("Name", "team_name", required=True, maxlength=64, autocomplete="off"),
                    choice("Owner", "email", [(account.email, account.email) for account in owners]),
                    submit("Create team"),
                    intent="create",
                )
                if owners
                else tag("p", "Create an account first: it will be the team's owner.", class_="hint"),
            ),
        ]

    @property
    def actions(self) -> Mapping[str, Action]:
        """What the forms do."""
        return {
            "create": self._create,
            "delete": self._delete,
            "add-member": self._add_member,
            "remove-member": self._remove_member,
        }

    def _team(self, team: Team, form: Form) -> Html:
        databases = len(self._admin.databases.list(self._admin.owner_of_team(team)))
        # The labels of each team's fields need IDs of their own.
        email, role = f"member_email-{team.team_id}", f"member_role-{team.team_id}"
        return section(
            team.team_name,
            tag("p", f"{counted(databases, 'database')} · ", tag("code", team.team_id), class_="hint"),
            items([_member(member, form) for member in self._admin.teams.members(team)], empty=""),
            form(
                tag(
                    "div",
                    tag("div", field("New member's email", email, type_="email", required=True, maxlength=254)),
                    tag("div", choice("Role", role, ROLES, value="dev")),
                    class_="fields",
                ),
                tag("div", tag("button", "Add member", aria_label=f"Add member to {team.team_name}"), class_="row"),
                intent="add-member",
                hidden={"team_id": team.team_id},
            ),
            tag("div", form.button("Delete team", "delete", about=team.team_name, team_id=team.team_id), class_="row"),
        )

    async def _create(self, request: web.Request, fields: Fields) -> None:
        new = read({"email": "", "team_name": "", **only(fields, "email", "team_name")}, NewTeam)
        self._admin.create_team(self._admin.account(new.email), new.team_name, {}, ip=request.remote)

    async def _delete(self, request: web.Request, fields: Fields) -> None:
        await self._admin.delete_team(self._admin.teams.by_id(fields.get("team_id", "")), ip=request.remote)

    async def _add_member(self, request: web.Request, fields: Fields) -> None:
        team_id = fields.get("team_id", "")
        given = only(fields, f"member_email-{team_id}", f"member_role-{team_id}")
        values = {name.removesuffix(f"-{team_id}"): value for name, value in given.items()}
        new = read({"team_id": team_id, "member_email": "", **values}, AddTeamMember)
        team = self._admin.teams.by_id(new.team_id)
        self._admin.add_member(team, new.member_email, new.member_role, ip=request.remote)

    async def _remove_member(self, request: web.Request, fields: Fields) -> None:
        member = read({"team_id": "", "member_email": "", **only(fields, "team_id", "member_email")}, DeleteTeamMember)
        self._admin.remove_member(self._admin.teams.by_id(member.team_id), member.member_email, ip=request.remote)


def _member(member: Member, form: Form) -> Html:
    fields = {"team_id": member.team_id, "member_email": member.member_email}
    removable = member.member_role != "owner"
    about = f"{member.member_email} from {member.team_name}"
    return entry(
        member.member_email,
        member.member_role.capitalize(),
        actions=[form.button("Remove", "remove-member", about=about, **fields)] if removable else [],
    )
