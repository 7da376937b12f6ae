"""The accounts' audit logs, with entries in the format of Upstash's ``AuditLog``."""

from __future__ import annotations

import sqlite3
import time
import uuid

import msgspec

from upstash_helper.sandbox.accounts import Account

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

    def add(
        self, account: Account, action: str, *, source: str, entity: str, ip: str | None, other: str = "NA"
    ) -> None:
        """
        Log an action.

        Args:
            account: The account that acted.
            action: One of ``ACTIONS``.
            source: How the account was authenticated, for instance ``API_KEY - name``.
            entity: The name of the database or API key that it was applied to.
            ip: The client's address.
            other: The name of a second entity, such as the backup.
        """
        now = int(time.time())
        entry = AuditEntry(
            log_id=str(uuid.uuid4()),
            customer_id=account.email,
            actor=account.email,
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
            "INSERT INTO audit (account_id, record) VALUES (?, ?)", (account.id, msgspec.json.encode(entry))
        )

    def list(self, account: Account) -> list[AuditEntry]:
        """Return the account's entries, newest first."""
        rows = self._connection.execute(
            "SELECT record FROM audit WHERE account_id = ? ORDER BY id DESC LIMIT ?", (account.id, MAX_LISTED_ENTRIES)
        )
        return [msgspec.json.decode(record, type=AuditEntry) for (record,) in rows]
