"""Teams and their members. A team has databases and indexes of its own."""

from __future__ import annotations

import builtins
import sqlite3
import time
import uuid
from collections.abc import Sequence
from typing import Literal

import msgspec

from upstash_helper.sandbox.accounts import Account
from upstash_helper.sandbox.errors import RequestError

Role = Literal["owner", "admin", "dev", "finance"]
AssignableRole = Literal["admin", "dev", "finance"]
MANAGERS = frozenset({"owner", "admin"})
"""Who can add and remove members. Only the owner can delete the team."""
RESOURCE_MANAGERS = frozenset({"owner", "admin", "dev"})
"""Who can change the team's databases, indexes, and buckets. The role finance is only for payments."""
MAX_OWNED_TEAMS = 5
"""Upstash's limit of teams that a user owns. A user can be a member of more."""


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A team, as the Developer API returns it."""

    team_id: str
    team_name: str
    copy_cc: bool


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a team, as the Developer API returns it."""

    team_id: str
    team_name: str
    member_email: str
    member_role: Role
    copy_cc: bool


class Teams:
    """The tables of teams and members. Members are emails: a user can be added before signing up."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def create(self, owner: Account, name: str, *, copy_cc: bool = False) -> Team:
        """
        Create a team with one member, its owner.

        Raises:
            RequestError: If the account owns the maximum number of teams.
        """
        if len(self.owned_by(owner)) >= MAX_OWNED_TEAMS:
            raise RequestError(400, f"team limit reached: a user can own at most {MAX_OWNED_TEAMS} teams")
        team = Team(team_id=str(uuid.uuid4()), team_name=name, copy_cc=copy_cc)
        self._connection.execute("INSERT INTO teams VALUES (?, ?, ?, ?)", (team.team_id, name, copy_cc, time.time()))
        self._connection.execute("INSERT INTO team_members VALUES (?, ?, 'owner')", (team.team_id, owner.email))
        return team

    def delete(self, team_id: str) -> None:
        """Delete a team."""
        self._connection.execute("DELETE FROM teams WHERE id = ?", (team_id,))

    def list(self, account: Account) -> list[Team]:
        """Return the teams that an account is a member of, oldest first."""
        return self._select("m.email = ?", account.email)

    def owned_by(self, account: Account) -> builtins.list[Team]:
        """Return the teams that an account owns, oldest first."""
        return self._select("m.role = 'owner' AND m.email = ?", account.email)

    def all(self) -> builtins.list[Team]:
        """Return all teams, oldest first."""
        return self._select("m.role = ?", "owner")

    def leave_all(self, account: Account) -> None:
        """Remove an account from the teams that it does not own."""
        self._connection.execute("DELETE FROM team_members WHERE email = ? AND role <> 'owner'", (account.email,))

    def _select(self, condition: str, value: str) -> builtins.list[Team]:
        # The condition comes from the calls above, and its values are parameters.
        statement = (
            "SELECT t.id, t.name, t.copy_cc FROM teams t JOIN team_members m ON m.team_id = t.id"  # noqa: S608
            f" WHERE {condition} ORDER BY t.created_at, t.id"
        )
        rows = self._connection.execute(statement, (value,))
        return [Team(team_id=row[0], team_name=row[1], copy_cc=bool(row[2])) for row in rows]

    def get(self, account: Account, team_id: str) -> Team:
        """
        Return a team of the account.

        Raises:
            RequestError: With 404 if there is none with this ID.
        """
        return _find(self.list(account), team_id)

    def by_id(self, team_id: str) -> Team:
        """
        Return a team of any account.

        Raises:
            RequestError: With 404 if there is none with this ID.
        """
        return _find(self.all(), team_id)

    def role(self, account: Account, team_id: str) -> Role | None:
        """Return the account's role in a team, or None if it is not a member."""
        row = self._connection.execute(
            "SELECT role FROM team_members WHERE team_id = ? AND email = ?", (team_id, account.email)
        ).fetchone()
        return row[0] if row else None

    def require_resource_manager(self, account: Account, team_id: str) -> None:
        """
        Check that an account may move databases and indexes to a team.

        Raises:
            RequestError: If it is not a member (400), or its role does not allow it (403).
        """
        role = self.role(account, team_id)
        if role is None:
            raise RequestError(400, "team not found")
        if role not in RESOURCE_MANAGERS:
            raise RequestError(403, "Forbidden: your role in the team does not allow changes")

    def members(self, team: Team) -> builtins.list[Member]:
        """Return the members of a team, the owner first."""
        rows = self._connection.execute(
            "SELECT email, role FROM team_members WHERE team_id = ? ORDER BY role <> 'owner', email", (team.team_id,)
        )
        return [_member(team, email, role) for email, role in rows]

    def add_member(self, team: Team, email: str, role: AssignableRole) -> Member:
        """
        Add a member.

        Raises:
            RequestError: With 409 if the email is a member already.
        """
        try:
            self._connection.execute("INSERT INTO team_members VALUES (?, ?, ?)", (team.team_id, email, role))
        except sqlite3.IntegrityError:
            raise RequestError(409, f"{email} is already a member of the team") from None
        return _member(team, email, role)

    def remove_member(self, team: Team, email: str) -> None:
        """
        Remove a member.

        Raises:
            RequestError: If the email is not a member (404), or is the owner (400).
        """
        row = self._connection.execute(
            "SELECT role FROM team_members WHERE team_id = ? AND email = ?", (team.team_id, email)
        ).fetchone()
        if row is None:
            raise RequestError(404, "team member not found")
        if row[0] == "owner":
            raise RequestError(400, "the owner of a team cannot be removed")
        self._connection.execute("DELETE FROM team_members WHERE team_id = ? AND email = ?", (team.team_id, email))


def _find(teams: Sequence[Team], team_id: str) -> Team:
    for team in teams:
        if team.team_id == team_id:
            return team
    raise RequestError(404, "team not found")


def _member(team: Team, email: str, role: Role) -> Member:
    return Member(
        team_id=team.team_id, team_name=team.team_name, member_email=email, member_role=role, copy_cc=team.copy_cc
    )
