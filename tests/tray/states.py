"""States of the tray, with defaults for all that a test does not care about."""

from __future__ import annotations

from typing import Any

from upstash_helper.protocol.literals import ConnectionState
from upstash_helper.protocol.wire import Account, Attempt, Connection, Database, Replacement
from upstash_helper.protocol.wire_apps import App, Confirmation, Identity, Pairing, RequestedScope
from upstash_helper_tray.sync.state import TrayState

NOON = "2026-10-03T12:00:00Z"
ADA = Account(email="ada@example.com")


TEAM = Account(email="ada@example.com", team_id="team-crew", team_role="dev")
GRANT = {"method": "grant", "sign_in": "open", "access": "full"}
"""The connection of an account by the open sign-in, as the daemon sends it."""
READ_ONLY = GRANT | {
    "access": "read_only",
    "title": "Connected as ada@example.com, read-only",
    "detail": "You chose read-only access, so apps cannot create or change databases.",
}
ENDED = GRANT | {
    "title": "Your sign-in at Upstash has ended",
    "detail": "Upstash has ended this sign-in: it was revoked in the Upstash console, or has expired. Connect again.",
}


def running(
    state: ConnectionState = "connected", *, connection: dict[str, Any] | None = None, **more: Any
) -> TrayState:
    """Return the state with a running daemon, and with an account if the connection state has one."""
    account = ADA if state in {"connected", "reconnect_required"} else None
    found = Connection(**({"state": state, "account": account} | (connection or {})))
    known: dict[str, Any] = {"daemon": "running", "connection": found, "starts_at_login": True}
    return TrayState(**(known | more))


def attempt(**more: Any) -> Attempt:
    return Attempt(**({"attempt_id": "att-1", "state": "pending", "expires_at": NOON} | more))


QUESTION = "Replace ada@example.com with eve@example.com?"


def undecided(**more: Any) -> TrayState:
    """Return the state while an app's sign-in to another account waits for the user's decision."""
    question = {
        "title": QUESTION,
        "detail": "A sign-in that was started by https://orders.example is for another account.",
        "replaces": "ada@example.com",
        "email": "eve@example.com",
        "requested_by": "https://orders.example",
        "claimed_name": "Orders",
    } | more
    asked = attempt(state="confirmation_required", replacement=Replacement(**question))
    return running(connection={"attempt": asked})


def database(name: str = "main", **more: Any) -> Database:
    fields: dict[str, Any] = {
        "id": f"id-of-{name}",
        "name": name,
        "state": "active",
        "host": "keen-owl-1.upstash.io",
        "port": 6379,
        "tls": True,
        "rest_url": "https://keen-owl-1.upstash.io",
        "plan": "free",
        "primary_region": "us-east-1",
        "read_regions": (),
        "eviction": False,
        "auto_upgrade": False,
        "daily_backup": False,
        "budget": None,
        "created_at": NOON,
    }
    return Database(**(fields | more))


def page(shown: str = "https://app.example.com", **more: Any) -> Identity:
    fields: dict[str, Any] = {"kind": "web", "name": shown, "shown": shown, "program": "/usr/bin/firefox", "pid": 77}
    fields["sent_by"] = "/usr/bin/firefox (process 77)"
    return Identity(**(fields | more))


LIST = RequestedScope(
    scope="databases:read", meaning="List your databases and their settings, without passwords", strong=False
)
DELETE = RequestedScope(scope="databases:delete", meaning="Delete databases with all that is in them", strong=True)


def pairing(**more: Any) -> Pairing:
    fields: dict[str, Any] = {
        "id": "pair-1",
        "identity": page(),
        "claimed_name": "Example",
        "user_code": "WDJB-MJHT",
        "scopes": (LIST,),
        "reason": "",
        "state": "pending",
        "all_databases_meaning": None,
        "created_at": NOON,
        "expires_at": NOON,
    }
    return Pairing(**(fields | more))


def app(name: str = "Example", **more: Any) -> App:
    fields: dict[str, Any] = {
        "id": f"id-of-{name}",
        "name": name,
        "identity": page(),
        "scopes": (LIST,),
        "all_databases": False,
        "created_at": NOON,
        "last_used_at": NOON,
        "expires_at": None,
        "mismatches": 0,
    }
    return App(**(fields | more))


AGENT = page("/usr/bin/agent (process 7)", kind="native", shown_without_process="/usr/bin/agent")


def question(**more: Any) -> Confirmation:
    fields: dict[str, Any] = {
        "id": "question-1",
        "app_id": "app-1",
        "identity": AGENT,
        "claimed_name": "Agent",
        "action": "database.delete",
        "title": 'Delete the database "orders"?',
        "detail": 'All data of "orders" (db-1, us-east-1) will be deleted. This cannot be undone.',
        "target": "db-1",
        "state": "pending",
        "created_at": NOON,
        "expires_at": NOON,
    }
    return Confirmation(**(fields | more))
