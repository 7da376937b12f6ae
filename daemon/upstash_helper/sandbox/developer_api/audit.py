"""The account's audit log: what happened, in the shape of Upstash's ``AuditLog``."""

from __future__ import annotations

import sqlite3
import time
import uuid

import msgspec

from upstash_helper.sandbox.developer_api.accounts import Account

KEPT_SECONDS = 180 * 86_400
NEWEST = 1000
"""How many entries are answered at most."""

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


class AuditLog(msgspec.Struct, kw_only=True):
    """One thing that was done."""

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


class Audit:
    """Keeps and lists the entries."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def add(
        self, account: Account, action: str, *, source: str, entity: str, ip: str | None, other: str = "NA"
    ) -> None:
        """
        Remember that something was done.

        Args:
            account: Whose it was.
            action: One of ``ACTIONS``.
            source: By which means, for instance ``API_KEY - name``.
            entity: What it was done to.
            ip: Where the request came from.
            other: A second thing that was part of it.
        """
        now = int(time.time())
        entry = AuditLog(
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
            ttl=now + KEPT_SECONDS,
        )
        self._connection.execute(
            "INSERT INTO audit (account_id, record) VALUES (?, ?)", (account.id, msgspec.json.encode(entry))
        )

    def list(self, account: Account) -> list[AuditLog]:
        """Return the account's entries, newest first."""
        rows = self._connection.execute(
            "SELECT record FROM audit WHERE account_id = ? ORDER BY id DESC LIMIT ?", (account.id, NEWEST)
        )
        return [msgspec.json.decode(record, type=AuditLog) for (record,) in rows]
