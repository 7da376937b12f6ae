"""Pairings, apps and the audit as wire types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from upstash_helper.api.server.render import timestamp
from upstash_helper.broker import ledger as records
from upstash_helper.broker.apps.identity import ALL_DATABASES, MEANING, SCOPES
from upstash_helper.protocol import wire_apps as wire
from upstash_helper.protocol.wire import LedgerStatus

if TYPE_CHECKING:
    from upstash_helper.broker.apps.identity import Caller, Identity, Scope
    from upstash_helper.broker.apps.registry.registry import Revoked
    from upstash_helper.broker.ledger import LedgerHealth
    from upstash_helper.broker.models import Secret

_STATE_OF: Final[dict[type[records.Decision], wire.PairingState]] = {
    records.Waiting: "pending",
    records.Approved: "approved",
    records.Delivered: "approved",
    records.Denied: "denied",
    records.Withdrawn: "expired",
}


def identity(it: Identity) -> wire.Identity:
    """Return an identity."""
    return wire.Identity(kind=it.kind, name=it.name, shown=it.shown, program=it.program, pid=it.pid)


def state(it: records.Pairing, *, over: bool) -> wire.PairingState:
    """Return where a pairing is; ``over``: its time has run out."""
    return "expired" if over else _STATE_OF[type(it.decision)]


def status(it: records.Pairing, *, over: bool) -> wire.PairingStatus:
    """Return what its app gets to know of a pairing."""
    return wire.PairingStatus(
        id=it.id, state=state(it, over=over), user_code=it.user_code, expires_at=timestamp(it.expires_at)
    )


def pairing(it: records.Pairing, *, over: bool) -> wire.Pairing:
    """Return what the user gets to know of a pairing."""
    return wire.Pairing(
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


def block(it: records.Block) -> wire.Blocked:
    """Return who may not ask."""
    return wire.Blocked(id=it.id, identity=identity(it.identity), blocked_at=timestamp(it.blocked_at))


def app(it: records.App) -> wire.App:
    """Return an app."""
    return wire.App(
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


def new_token(it: records.App, token: Secret) -> wire.NewToken:
    """Return an app's token; with rotation the only place where it is written out."""
    return wire.NewToken(
        token=token.reveal(),
        app_id=it.id,
        scopes=it.scopes,
        all_databases=it.all_databases,
        expires_at=_optional(it.expires_at),
    )


def token_info(caller: Caller, it: records.App | None) -> wire.TokenInfo:
    """Return what a caller's token is; ``it`` is None for the owner's."""
    if it is None:
        return wire.TokenInfo(kind="owner", name=caller.name, scopes=SCOPES, all_databases=True)
    return wire.TokenInfo(
        kind="app",
        app_id=it.id,
        name=it.name,
        identity=identity(it.identity),
        scopes=it.scopes,
        all_databases=it.all_databases,
        expires_at=_optional(it.expires_at),
    )


def revoked(it: Revoked) -> wire.RevokedApp:
    """Return the data of the event."""
    return wire.RevokedApp(app_id=it.app_id, name=it.name, reason=it.reason)


def entry(it: records.AuditEntry) -> wire.AuditEntry:
    """Return an entry of the audit."""
    fields = {name: getattr(it, name) for name in wire.AuditEntry.__struct_fields__}
    fields |= {"at": timestamp(it.at), "last_at": timestamp(it.last_at)}
    return wire.AuditEntry(**cast("dict[str, object]", fields))  # type: ignore[arg-type]


def ledger(it: LedgerHealth) -> LedgerStatus:
    """Return how the ledger is."""
    return LedgerStatus(state=it.state, detail=it.detail)


def _scopes(scopes: tuple[Scope, ...]) -> tuple[wire.WishedScope, ...]:
    return tuple(wire.WishedScope(scope=scope, meaning=MEANING[scope]) for scope in scopes)


def _optional(unix: float | None) -> str | None:
    return None if unix is None else timestamp(unix)
