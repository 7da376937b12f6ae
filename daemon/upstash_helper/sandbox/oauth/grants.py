"""The grants of the open authorization server: which app may act for which account or team, and how."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Iterator

import msgspec

# In the order of the fields of `Grant`.
_SELECT = (
    "SELECT g.id, g.client_id, c.name, a.email, g.team_id, t.name, g.read_only, g.created_at, g.used_at FROM grants g"
    " JOIN clients c ON c.id = g.client_id JOIN accounts a ON a.id = g.account_id LEFT JOIN teams t ON t.id = g.team_id"
)


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a user has allowed an app."""

    id: str
    client_id: str
    client_name: str
    email: str
    team_id: str | None
    team_name: str | None
    read_only: bool
    created_at: float
    used_at: float


class Grants:
    """The table of grants, with at most one for each client and account."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def put(self, *, client_id: str, account_id: str, team_id: str | None, read_only: bool, family: str) -> None:
        """
        Add a grant, or replace the one of the same client and account, whose tokens are revoked.

        Args:
            client_id: The app.
            account_id: The user who allowed it.
            team_id: The team that it acts for; None: the personal account.
            read_only: Whether it can only read.
            family: Identifies the grant's tokens.
        """
        now = time.time()
        self._connection.execute(
            "UPDATE tokens SET state = 'revoked' WHERE family IN"
            " (SELECT family FROM grants WHERE client_id = ? AND account_id = ?)",
            (client_id, account_id),
        )
        self._connection.execute(
            "INSERT INTO grants VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (client_id, account_id) DO UPDATE SET"
            " team_id = excluded.team_id, read_only = excluded.read_only, family = excluded.family,"
            " used_at = excluded.used_at",
            (str(uuid.uuid4()), client_id, account_id, team_id, read_only, family, now, now),
        )

    def of_account(self, account_id: str) -> list[Grant]:
        """Return an account's grants, oldest first."""
        return list(self._select("g.account_id = ?", account_id))

    def of_family(self, family: str) -> Grant | None:
        """Return the grant of these tokens, or None if it was revoked or replaced."""
        return next(self._select("g.family = ?", family), None)

    def all(self) -> list[Grant]:
        """Return all grants, oldest first."""
        return list(self._select("?", 1))

    def touch(self, grant_id: str) -> None:
        """Record that a grant was used."""
        self._connection.execute("UPDATE grants SET used_at = ? WHERE id = ?", (time.time(), grant_id))

    def revoke(self, grant_id: str) -> bool:
        """Delete a grant and revoke its tokens. Return whether it existed."""
        self._set_tokens(grant_id, "state = 'revoked'")
        return self._connection.execute("DELETE FROM grants WHERE id = ?", (grant_id,)).rowcount > 0

    def revoke_team(self, team_id: str, email: str | None = None) -> None:
        """Revoke the grants for a team: all of them, or those of one member."""
        for grant in self._select("g.team_id = ?", team_id):
            if email is None or grant.email.lower() == email.lower():
                self.revoke(grant.id)

    def expire_access_tokens(self, grant_id: str) -> None:
        """Expire a grant's access tokens, as if their lifetime had passed."""
        self._set_tokens(grant_id, "expires_at = 0", "AND kind = 'access'")

    def _set_tokens(self, grant_id: str, change: str, condition: str = "") -> None:
        # The SQL comes from the two calls above.
        statement = f"UPDATE tokens SET {change} WHERE family = (SELECT family FROM grants WHERE id = ?) {condition}"  # noqa: S608
        self._connection.execute(statement, (grant_id,))

    def _select(self, condition: str, value: str | int) -> Iterator[Grant]:
        # The condition comes from the calls above, and its values are parameters.
        rows = self._connection.execute(f"{_SELECT} WHERE {condition} ORDER BY g.created_at", (value,)).fetchall()
        for row in rows:
            fields = dict(zip(Grant.__struct_fields__, row, strict=True))
            yield Grant(**fields | {"read_only": bool(row[6])})
