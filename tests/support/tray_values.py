"""Values that a daemon sends to a tray, with defaults for all that a test does not care about."""

from __future__ import annotations

from typing import Any, Literal

from upstash_helper.client.events import Event
from upstash_helper.protocol.literals import PairingState
from upstash_helper.protocol.wire import Account, Attempt, Connection, DaemonStatus, Database, DatabaseChange
from upstash_helper.protocol.wire_apps import App, Identity, Pairing, RevokedApp

MOMENT = "2026-11-26T12:00:00Z"
ORIGIN = Identity(kind="web", name="https://orders.example.com", shown="https://orders.example.com")


def connected(email: str = "ada@example.com", since: str = MOMENT, **more: Any) -> Connection:
    return Connection(state="connected", account=Account(email=email), since=since, **more)


def in_state(state: Any, **more: Any) -> Connection:
    return Connection(state=state, **more)


def status(connection: Connection, **more: Any) -> DaemonStatus:
    values: dict[str, Any] = {"version": "1", "api_version": 1, "pid": 1, "profile": "default", "started_at": MOMENT}
    return DaemonStatus(**values, listeners=(), connection=connection, **more)


def pairing(pairing_id: str = "p1", state: PairingState = "pending", *, name: str = "Orders") -> Pairing:
    return Pairing(
        id=pairing_id,
        identity=ORIGIN,
        claimed_name=name,
        user_code="WDJB-MJHT",
        scopes=(),
        reason="",
        state=state,
        all_databases_meaning=None,
        created_at=MOMENT,
        expires_at=MOMENT,
    )


def app(app_id: str = "a1") -> App:
    return App(
        id=app_id,
        name="Orders",
        identity=ORIGIN,
        scopes=(),
        all_databases=False,
        created_at=MOMENT,
        last_used_at=MOMENT,
        expires_at=None,
        mismatches=0,
    )


def database(name: str) -> Database:
    return Database(
        id=f"id-{name}",
        name=name,
        state="active",
        host="h.example",
        port=6379,
        tls=True,
        rest_url="https://h.example",
        plan="free",
        primary_region="us-east-1",
        read_regions=(),
        eviction=False,
        auto_upgrade=False,
        daily_backup=False,
        budget=None,
        created_at=MOMENT,
    )


def failed_attempt(reason: str = "access_denied") -> Attempt:
    return Attempt(attempt_id="t1", state="failed", expires_at=MOMENT, reason=reason, detail="You said no.")


def event(kind: str, data: Any = None) -> Event:
    return Event(id="", event=kind, data=data)


def revoked(reason: Literal["owner", "app", "misused", "expired"]) -> Event:
    return event("revoked", RevokedApp(app_id="a1", name="Orders", reason=reason))


def changed(database_id: str = "id-db") -> Event:
    return event("database", DatabaseChange(change="created", id=database_id))
