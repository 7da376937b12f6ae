"""QStash users, which give accounts and teams access to QStash. The sandbox manages them, and delivers no messages."""

from __future__ import annotations

import base64
import builtins
import sqlite3
import time
import uuid
from secrets import token_hex
from typing import Any, Literal

import msgspec

from upstash_helper.sandbox.accounts import Account, Owner
from upstash_helper.sandbox.errors import RequestError

PaidPlan = Literal["paid", "qstash_fixed_1m", "qstash_fixed_10m", "qstash_fixed_100m"]
Plan = Literal["free"] | PaidPlan

DAILY_LIMITS: dict[Plan, int] = {
    "free": 1000,
    "paid": 2**31 - 1,  # no limit
    "qstash_fixed_1m": 1_000_000,
    "qstash_fixed_10m": 10_000_000,
    "qstash_fixed_100m": 100_000_000,
}
"""The maximum number of messages per day on each plan."""


class QStashUserRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One QStash user. Its tokens are stored in plaintext, because the API returns them on every read."""

    id: str
    account_id: str
    """The account or team that it belongs to."""
    created_for: str
    """The account or team that it was created for. It belongs to another one if it was moved."""
    customer_id: str
    """The account's email, or the team's ID."""
    created_by: str
    created_at: int
    token: str
    read_only_token: str
    plan: Plan = "free"
    plan_changed_at: int = 0
    budget: int = 0
    prod_pack: bool = False

    def __repr__(self) -> str:
        return f"QStashUserRecord({self.id})"


class QStashUsers:
    """
    The table of QStash users.

    Upstash has no operation that creates or deletes one: each account and team has one from the beginning. Here it is
    created when it is first requested, and deleted with its team.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def list(self, owner: Owner) -> list[QStashUserRecord]:
        """Return the owner's QStash users, oldest first."""
        records = self._all()
        if not any(record.created_for == owner.id for record in records):
            records.append(self._create(owner))
        return [record for record in records if record.account_id == owner.id]

    def get(self, owner: Owner, user_id: str) -> QStashUserRecord:
        """
        Return one of the owner's QStash users.

        Raises:
            RequestError: With 404 if the owner has none with this ID.
        """
        for record in self.list(owner):
            if record.id == user_id:
                return record
        raise RequestError(404, "qstash user not found")

    def change(self, record: QStashUserRecord, **changes: Any) -> QStashUserRecord:
        """Apply ``changes`` to a QStash user, and return it."""
        changed = msgspec.structs.replace(record, **changes)
        self._put(changed)
        return changed

    def remove(self, owner_id: str) -> None:
        """Remove the QStash users of an account or team."""
        for record in self._all():
            if owner_id in {record.account_id, record.created_for}:
                self._connection.execute("DELETE FROM qstash_users WHERE id = ?", (record.id,))

    def _create(self, owner: Owner) -> QStashUserRecord:
        user_id = str(uuid.uuid4())
        record = QStashUserRecord(
            id=user_id,
            account_id=owner.id,
            created_for=owner.id,
            customer_id=owner.email if isinstance(owner, Account) else owner.id,
            created_by=owner.email,
            created_at=int(time.time()),
            **new_tokens(user_id),
        )
        self._put(record)
        return record

    def _all(self) -> builtins.list[QStashUserRecord]:
        rows = self._connection.execute("SELECT record FROM qstash_users ORDER BY rowid")
        return [msgspec.json.decode(record, type=QStashUserRecord) for (record,) in rows]

    def _put(self, record: QStashUserRecord) -> None:
        self._connection.execute(
            "INSERT INTO qstash_users VALUES (?, (SELECT id FROM teams WHERE id = ?), ?)"
            " ON CONFLICT (id) DO UPDATE SET team_id = excluded.team_id, record = excluded.record",
            (record.id, record.account_id, msgspec.json.encode(record)),
        )


def new_tokens(user_id: str) -> Any:
    """Return new tokens, as fields of a ``QStashUserRecord``."""
    return {"token": _new_token(user_id), "read_only_token": _new_token(user_id)}


def _new_token(user_id: str) -> str:
    """Return a token in the form of QStash's: the user's ID and a password, encoded."""
    return base64.b64encode(msgspec.json.encode({"UserID": user_id, "Password": token_hex(16)})).decode()
