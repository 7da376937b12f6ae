"""Converts the broker's models to wire types, and wire types to responses."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast

import msgspec
from aiohttp import web
from msgspec import UNSET

from upstash_helper.broker import ledger as records
from upstash_helper.broker.account.attempts import Exchanging, Expired, Failed, Pending, Succeeded
from upstash_helper.broker.apps.identity import ALL_DATABASES, MEANING, SCOPES
from upstash_helper.protocol import wire, wire_apps
from upstash_helper.protocol.wire import LedgerStatus

if TYPE_CHECKING:
    from upstash_helper.broker.account.attempts import Attempt, Started, Status
    from upstash_helper.broker.apps.identity import Caller, Identity, Scope
    from upstash_helper.broker.apps.registry import Revoked
    from upstash_helper.broker.databases.operations import Access
    from upstash_helper.broker.ledger import LedgerHealth
    from upstash_helper.broker.models import Database, Secret
    from upstash_helper.broker.ports import StoreHealth
    from upstash_helper.broker.trays import Tray

_ENCODER = msgspec.json.Encoder()


def json(value: object, *, status: int = 200) -> web.Response:
    """Return ``value`` as a JSON response."""
    return web.Response(status=status, body=_ENCODER.encode(value), content_type="application/json")


def dump(value: object) -> str:
    """Return ``value`` as JSON text."""
    return _ENCODER.encode(value).decode()


def etag(value: object) -> str:
    """Return a strong validator for ``value``'s JSON (RFC 9110, section 8.8.3), without quotes."""
    return hashlib.sha256(_ENCODER.encode(value)).hexdigest()[:24]


def timestamp(unix: float) -> str:
    """Return a Unix time in RFC 3339 format, in UTC, with a precision of one second."""
    return datetime.fromtimestamp(int(unix), UTC).isoformat().replace("+00:00", "Z")


def attempt(it: Attempt) -> wire.Attempt:
    """Return an attempt without its secrets."""
    expires_at = timestamp(it.expires_at)
    match it:
        case Pending():
            return wire.Attempt(
                attempt_id=it.id,
                state="pending",
                expires_at=expires_at,
                waiting="no_callback" if it.hint else UNSET,
                detail=it.hint or UNSET,
            )
        case Exchanging():
            return wire.Attempt(attempt_id=it.id, state="exchanging", expires_at=expires_at)
        case Succeeded():
            return wire.Attempt(attempt_id=it.id, state="succeeded", expires_at=expires_at)
        case Failed():
            return wire.Attempt(
                attempt_id=it.id, state="failed", expires_at=expires_at, reason=it.reason, detail=it.detail
            )
        case Expired():
            detail = "The sign-in took longer than ten minutes. Start again."
            return wire.Attempt(
                attempt_id=it.id, state="expired", expires_at=expires_at, reason="expired", detail=detail
            )


def started(it: Started) -> wire.StartedAttempt:
    """Return a started attempt with the URL at which the user signs in."""
    shown = attempt(it.attempt)
    return wire.StartedAttempt(
        attempt_id=shown.attempt_id,
        state=shown.state,
        expires_at=shown.expires_at,
        waiting=shown.waiting,
        detail=shown.detail,
        authorization_url=it.attempt.authorization_url,
        browser_opened=it.browser_opened,
        joined=it.joined,
    )


def tray(it: Tray | None) -> wire.TrayStatus:
    """Return the state of the tray icon."""
    if it is None:
        return wire.TrayStatus(state="unavailable", detail="No tray icon is shown. Start it with: upstash-helper tray")
    return wire.TrayStatus(state="attached", backend=it.backend, notifies=it.notifies, since=timestamp(it.since))


def connection(status: Status, health: StoreHealth | None = None, *, already: bool = False) -> wire.Connection:
    """Return the connection's state. ``health`` is left out for callers that do not get to see it."""
    return wire.Connection(
        state=status.state,
        detail=status.detail or UNSET,
        account=wire.Account(email=status.email) if status.email else None,
        method=status.method,
        since=None if status.since is None else timestamp(status.since),
        api_key_name=status.key_name,
        attempt=None if status.attempt is None else attempt(status.attempt),
        credential_store=None
        if health is None
        else wire.CredentialStoreStatus(kind=health.kind, state=health.state, detail=health.detail),
        already_connected=already,
    )


def database(it: Database) -> wire.Database:
    """Return a database without its secrets."""
    fields = {name: getattr(it, name) for name in wire.Database.__struct_fields__ if name != "created_at"}
    return wire.Database(**cast("dict[str, object]", fields), created_at=timestamp(it.created_at))  # type: ignore[arg-type]


def credentials(access: Access) -> wire.DatabaseCredentials:
    """Return a database's connection credentials. This is the only place that discloses them."""
    it, secrets = access.database, access.secrets
    return wire.DatabaseCredentials(
        id=it.id,
        name=it.name,
        host=it.host,
        port=it.port,
        tls=it.tls,
        username="default",
        password=secrets.password.reveal(),
        redis_url=access.redis_url,
        rest_url=it.rest_url,
        rest_token=secrets.rest_token.reveal(),
        read_only_rest_token=secrets.read_only_rest_token.reveal(),
        env=access.env,
    )


_STATE_OF: Final[dict[type[records.Decision], wire_apps.PairingState]] = {
    records.Waiting: "pending",
    records.Approved: "approved",
    records.Delivered: "approved",
    records.Denied: "denied",
    records.Withdrawn: "expired",
}


def identity(it: Identity) -> wire_apps.Identity:
    """Return an identity."""
    return wire_apps.Identity(kind=it.kind, name=it.name, shown=it.shown, program=it.program, pid=it.pid)


def state(it: records.Pairing, *, over: bool) -> wire_apps.PairingState:
    """Return a pairing's state; ``over``: whether it has expired."""
    return "expired" if over else _STATE_OF[type(it.decision)]


def status(it: records.Pairing, *, over: bool) -> wire_apps.PairingStatus:
    """Return what the requesting app may know about a pairing."""
    return wire_apps.PairingStatus(
        id=it.id, state=state(it, over=over), user_code=it.user_code, expires_at=timestamp(it.expires_at)
    )


def pairing(it: records.Pairing, *, over: bool) -> wire_apps.Pairing:
    """Return a pairing as shown to the user."""
    return wire_apps.Pairing(
        id=it.id,
        identity=identity(it.identity),
        claimed_name=it.name,
        user_code=it.user_code,
        scopes=_scopes(it.scopes),
        reason=it.reason,
        state=state(it, over=over),
        all_databases_meaning=ALL_DATABASES if "databases:credentials" in it.scopes else None,
        created_at=timestamp(it.created_at),
        expires_at=timestamp(it.expires_at),
    )


def block(it: records.Block) -> wire_apps.Blocked:
    """Return a blocked app."""
    return wire_apps.Blocked(id=it.id, identity=identity(it.identity), blocked_at=timestamp(it.blocked_at))


def app(it: records.App) -> wire_apps.App:
    """Return an app."""
    return wire_apps.App(
        id=it.id,
        name=it.name,
        identity=identity(it.identity),
        scopes=_scopes(it.scopes),
        all_databases=it.all_databases,
        created_at=timestamp(it.created_at),
        last_used_at=timestamp(it.last_used_at),
        expires_at=_optional(it.expires_at),
        mismatches=it.mismatches,
    )


def new_token(it: records.App, token: Secret) -> wire_apps.NewToken:
    """Return an app's new token. This is the only place that discloses it."""
    return wire_apps.NewToken(
        token=token.reveal(),
        app_id=it.id,
        scopes=it.scopes,
        all_databases=it.all_databases,
        expires_at=_optional(it.expires_at),
    )


def token_info(caller: Caller, it: records.App | None) -> wire_apps.TokenInfo:
    """Return what a caller's token grants; ``it`` is None for the owner's."""
    if it is None:
        return wire_apps.TokenInfo(kind="owner", name=caller.name, scopes=SCOPES, all_databases=True)
    return wire_apps.TokenInfo(
        kind="app",
        app_id=it.id,
        name=it.name,
        identity=identity(it.identity),
        scopes=it.scopes,
        all_databases=it.all_databases,
        expires_at=_optional(it.expires_at),
    )


def revoked(it: Revoked) -> wire_apps.RevokedApp:
    """Return the data of a ``revoked`` event."""
    return wire_apps.RevokedApp(app_id=it.app_id, name=it.name, reason=it.reason)


def entry(it: records.AuditEntry) -> wire_apps.AuditEntry:
    """Return an audit entry."""
    fields = {name: getattr(it, name) for name in wire_apps.AuditEntry.__struct_fields__}
    fields |= {"at": timestamp(it.at), "last_at": timestamp(it.last_at)}
    return wire_apps.AuditEntry(**cast("dict[str, object]", fields))  # type: ignore[arg-type]


def ledger(it: LedgerHealth) -> LedgerStatus:
    """Return the ledger's state."""
    return LedgerStatus(state=it.state, detail=it.detail)


def _scopes(scopes: tuple[Scope, ...]) -> tuple[wire_apps.WishedScope, ...]:
    return tuple(wire_apps.WishedScope(scope=scope, meaning=MEANING[scope]) for scope in scopes)


def _optional(unix: float | None) -> str | None:
    return None if unix is None else timestamp(unix)
