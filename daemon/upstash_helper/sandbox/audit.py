"""The accounts' audit logs, with entries in the format of Upstash's ``AuditLog``."""

from __future__ import annotations

import sqlite3
import time
import uuid

import msgspec

from upstash_helper.sandbox.accounts import Owner

RETENTION_SECONDS = 180 * 86_400
MAX_LISTED_ENTRIES = 1000

ACTIONS = (
    "Create Database",
    "Delete Database",
    "Rename Database",
    "Reset Password",
    "Enable TLS",
    "Enable Eviction",
    "Disable Eviction",
    "Enable Auto Upgrade",
    "Disable Auto Upgrade",
    "Change Plan",
    "Update Budget",
    "Update Regions",
    "Create Backup",
    "Delete Backup",
    "Restore Backup",
    "Enable Daily Backup",
    "Disable Daily Backup",
    "Create API Key",
    "Revoke API Key",
    "Move To Team",
    "Create Team",
    "Delete Team",
    "Add Team Member",
    "Remove Team Member",
    "Revoke OAuth Client",
    "Reset QStash Token",
    "Set QStash Plan",
    "Update QStash Budget",
    "Enable QStash Production Pack",
    "Disable QStash Production Pack",
    "Move QStash To Team",
    "Create Vector Index",
    "Delete Vector Index",
    "Rename Vector Index",
    "Reset Vector Index Passwords",
    "Set Vector Index Plan",
    "Transfer Vector Index",
    "Create Search Index",
    "Delete Search Index",
    "Rename Search Index",
    "Reset Search Index Passwords",
    "Transfer Search Index",
    "Create Blob Bucket",
    "Delete Blob Bucket",
    "Allow OAuth Client",
)


class AuditEntry(msgspec.Struct, kw_only=True):
    """One logged action."""

    log_id: str
    customer_id: str
    actor: str
    timestamp: int
    action: int
    action_string: str
    source: str
    entity: str
    secondary_entity: str = "NA"
    third_entity: str = "NA"
    readable_format: str = ""
    ip: str = ""
    ttl: int = 0
    reason: str = ""
    notes: str = ""


class AuditLog:
    """The table of entries."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(self, owner: Owner, action: str, *, source: str, entity: str, ip: str | None, other: str = "NA") -> None:
        """
        Log an action.

        Args:
            owner: The account that acted, or the team that it acted for.
            action: One of ``ACTIONS``.
            source: How the user was authenticated, for instance ``API_KEY - name``.
            entity: The name of the database, index, API key, team, or app that it was applied to.
            ip: The client's address.
            other: The name of a second entity, such as the backup.
        """
        now = int(time.time())
        entry = AuditEntry(
            log_id=str(uuid.uuid4()),
            customer_id=owner.email,
            actor=owner.email,
            timestamp=now,
            action=ACTIONS.index(action) + 1,
            action_string=action,
            source=source,
            entity=entity,
            secondary_entity=other,
            ip=ip or "",
            ttl=now + RETENTION_SECONDS,
        )
        self._connection.execute(
            "INSERT INTO audit (account_id, record) VALUES (?, ?)", (owner.id, msgspec.json.encode(entry))
        )

    def clear(self) -> None:
        """Remove all entries."""
        self._connection.execute("DELETE FROM audit")

    def remove(self, owner_id: str) -> None:
        """Remove the entries of an account or team."""
        self._connection.execute("DELETE FROM audit WHERE account_id = ?", (owner_id,))

    def list(self, owner: Owner) -> list[AuditEntry]:
        """Return the entries of an account or team, newest first."""
        rows = self._connection.execute(
            "SELECT record FROM audit WHERE account_id = ? ORDER BY id DESC LIMIT ?", (owner.id, MAX_LISTED_ENTRIES)
        )
        return [msgspec.json.decode(record, type=AuditEntry) for (record,) in rows]
