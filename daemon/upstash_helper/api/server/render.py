"""Converts the broker's models to wire types, and wire types to responses."""

from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, cast

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from upstash_helper.broker import ledger as records
from upstash_helper.broker.account.attempts import (
    Attempt,
    ConfirmationRequired,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
    question,
)
from upstash_helper.broker.apps.sites import kind_of, name_of
from upstash_helper.broker.identity import MEANING, SCOPES, STRONG, all_databases_meaning
from upstash_helper.broker.models import account_name
from upstash_helper.protocol import literals, wire, wire_apps
from upstash_helper.protocol.wire import LedgerStatus

if TYPE_CHECKING:
    from upstash_helper.broker.account.connection import ConnectionStatus, Started
    from upstash_helper.broker.apps.pairings import OfSameProgram, Pairings
    from upstash_helper.broker.apps.registry import Revoked
    from upstash_helper.broker.databases.operations import DatabaseAccess
    from upstash_helper.broker.identity import Caller, Identity
    from upstash_helper.broker.ledger import LedgerHealth
    from upstash_helper.broker.models import Database, Secret
    from upstash_helper.broker.ports import StoreHealth
    from upstash_helper.broker.trays import Tray
    from upstash_helper.protocol.literals import Scope
    from upstash_helper.protocol.messages import Message

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


ATTEMPT_STATES: Final[dict[type[Attempt], literals.AttemptState]] = {
    Pending: "pending",
    Exchanging: "exchanging",
    ConfirmationRequired: "confirmation_required",
    Succeeded: "succeeded",
    Failed: "failed",
    Expired: "expired",
}


def attempt(it: Attempt, *, owner: bool) -> wire.Attempt:
    """Return an attempt without its secrets and its address. Only the ``owner`` sees what there is to decide."""
    from upstash_helper.protocol import messages

    state = ATTEMPT_STATES[type(it)]
    reason: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    waiting: Literal["no_callback"] | UnsetType = UNSET
    message, steps = messages.of_attempt(state), False
    match it:
        case Pending(hint=str(hint)):
            waiting, detail = "no_callback", hint
        case Failed():
            message, steps = messages.of_attempt(state, it.reason), True
            reason, detail = it.reason, it.detail or message.detail
        case Expired():
            reason, detail, steps = "expired", message.detail, True
        case ConfirmationRequired():
            detail = message.detail
        case _:
            pass
    return wire.Attempt(
        attempt_id=it.id,
        state=state,
        expires_at=timestamp(it.expires_at),
        waiting=waiting,
        title=message.title,
        reason=reason,
        detail=detail,
        next_steps=_next_steps(message) if steps else (),
        replacement=_replacement(it) if owner and isinstance(it, ConfirmationRequired) else UNSET,
    )


def _replacement(it: ConfirmationRequired) -> wire.Replacement:
    asked = question(it)
    return wire.Replacement(
        title=asked.title,
        detail=asked.detail,
        replaces=it.replaces,
        email=it.email,
        requested_by=it.starter.shown,
        claimed_name=it.starter.name,
    )


def _next_steps(message: Message) -> tuple[wire.NextStep, ...]:
    return tuple(wire.NextStep(text=step.text, command=step.command) for step in message.steps)


def started(it: Started, *, owner: bool) -> wire.StartedAttempt:
    """Return a started attempt, with the URL at which the user signs in if the caller started it."""
    shown = attempt(it.attempt, owner=owner)
    return wire.StartedAttempt(
        attempt_id=shown.attempt_id,
        state=shown.state,
        expires_at=shown.expires_at,
        waiting=shown.waiting,
        title=shown.title,
        detail=shown.detail,
        replacement=shown.replacement,
        authorization_url=it.authorization_url,
        browser_opened=it.browser_opened,
        browser_retry_after=UNSET if it.browser_wait is None else max(1, math.ceil(it.browser_wait)),
        joined=it.joined,
    )


def tray(it: Tray | None) -> wire.TrayStatus:
    """Return the state of the tray icon."""
    if it is None:
        return wire.TrayStatus(state="unavailable", detail="No tray icon is shown. Start it with: upstash-helper tray")
    return wire.TrayStatus(state="attached", backend=it.backend, notifies=it.notifies, since=timestamp(it.since))


def connection(
    status: ConnectionStatus, health: StoreHealth | None = None, *, owner: bool, already: bool = False
) -> wire.Connection:
    """Return the connection's state. ``health`` is left out for callers that do not get to see it."""
    from upstash_helper.protocol.messages import CONNECTION, GRANT_ENDED, PROBLEMS, READ_ONLY

    message = CONNECTION[status.state].format(email=account_name(status.email, status.team_id))
    if status.access == "read_only" and status.state == "connected":
        message = READ_ONLY.format(email=account_name(status.email, status.team_id))
    if status.state == "reconnect_required" and status.method == "grant":
        message = GRANT_ENDED
    if status.state == "disconnected" and status.sign_in is None:
        problem = PROBLEMS["client_id_missing"]
        # The way that works comes first.
        message = problem._replace(title=message.title, steps=problem.steps[::-1])
    return wire.Connection(
        state=status.state,
        title=message.title,
        detail=status.detail or message.detail or UNSET,
        next_steps=_next_steps(message),
        account=wire.Account(email=status.email, team_id=status.team_id, team_role=status.team_role)
        if status.email
        else None,
        access=status.access,
        method=status.method,
        sign_in=status.sign_in,
        since=None if status.since is None else timestamp(status.since),
        api_key_name=status.key_name,
        grant_name=status.grant_name if owner else None,  # it contains the name of the computer
        attempt=None if status.attempt is None else attempt(status.attempt, owner=owner),
        credential_store=None
        if health is None
        else wire.CredentialStoreStatus(kind=health.kind, state=health.state, detail=health.detail),
        already_connected=already,
        can_sign_in=status.can_sign_in and status.state != "port_conflict",
    )


def already_connected() -> wire.Connection:
    """Return that an account is connected, for a caller that may not know which one."""
    from upstash_helper.protocol.messages import CONNECTED

    return wire.Connection(state="connected", title=CONNECTED, next_steps=(), already_connected=True)


def database(it: Database) -> wire.Database:
    """Return a database without its secrets."""
    fields = {name: getattr(it, name) for name in wire.Database.__struct_fields__ if name != "created_at"}
    return wire.Database(**cast("dict[str, object]", fields), created_at=timestamp(it.created_at))  # type: ignore[arg-type]


def credentials(access: DatabaseAccess) -> wire.DatabaseCredentials:
    """Return a database's connection credentials. This is the only place that discloses them."""
    from upstash_helper.protocol.messages import CA_USAGE

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
        ca_file=secrets.ca_file,
        ca_usage=CA_USAGE if secrets.ca_file is not None else {},
    )


_STATE_OF: Final[dict[type[records.Decision], literals.PairingState]] = {
    records.Waiting: "pending",
    records.Approved: "approved",
    records.Delivered: "approved",
    records.Denied: "denied",
    records.Withdrawn: "expired",
}


def identity(it: Identity) -> wire_apps.Identity:
    """Return an identity."""
    from upstash_helper.protocol.messages import PROGRAM_WARNINGS

    return wire_apps.Identity(
        kind=it.kind,
        name=it.name,
        shown=it.shown,
        program=it.program,
        pid=it.pid,
        shown_without_process=it.shown_without_pid,
        sent_by=it.shown_sender,
        warnings=tuple(
            wire_apps.IdentityWarning(code=code, text=PROGRAM_WARNINGS[code].detail) for code in it.warnings
        ),
        others=it.others,
    )


def own_identity(it: Identity) -> wire_apps.Identity:
    """
    Return what an app may know about its identity. The programs that the system reported are for the user: they include
    the path of the browser, and other programs of the user.
    """
    shown = identity(msgspec.structs.replace(it, program="", pid=None, warnings=(), others=()))
    return msgspec.structs.replace(shown, sent_by="")


def state(it: records.Pairing, *, over: bool) -> literals.PairingState:
    """Return a pairing's state; ``over``: whether it has expired."""
    return "expired" if over else _STATE_OF[type(it.decision)]


def status(it: records.Pairing, *, over: bool) -> wire_apps.PairingStatus:
    """Return what the requesting app may know about a pairing."""
    return wire_apps.PairingStatus(
        id=it.id,
        state=state(it, over=over),
        user_code=it.user_code,
        expires_at=timestamp(it.expires_at),
        replaced=_replaced_by(it) is not None,
    )


def pairing(it: records.Pairing, pairings: Pairings) -> wire_apps.Pairing:
    """Return a pairing as shown to the user."""
    waiting = it.decision if isinstance(it.decision, records.Waiting) else records.Waiting()
    return wire_apps.Pairing(
        id=it.id,
        identity=identity(it.identity),
        claimed_name=it.name,
        user_code=it.user_code,
        scopes=_scopes(it.scopes),
        reason=it.reason,
        state=state(it, over=pairings.is_expired(it)),
        via_bridge=waiting.via_bridge,
        same_program=_same_program(pairings.of_same_program(it)),
        replaces=waiting.replaces or None,
        repeated=waiting.is_repeated,
        replaced_by=_replaced_by(it),
        all_databases_meaning=all_databases_meaning(it.scopes),
        site=site(it.site),
        created_at=timestamp(it.created_at),
        expires_at=timestamp(it.expires_at),
    )


def _same_program(it: OfSameProgram) -> str | None:
    from upstash_helper.protocol.messages import SAME_PROGRAM_ASKS, SAME_PROGRAM_HAS_ACCESS

    asks = SAME_PROGRAM_ASKS.format(codes=", ".join(it.codes)) if it.codes else ""
    has_access = SAME_PROGRAM_HAS_ACCESS if it.has_access else ""
    return f"{has_access} {asks}".strip() or None


def _replaced_by(it: records.Pairing) -> str | None:
    return (it.decision.replaced_by or None) if isinstance(it.decision, records.Withdrawn) else None


def block(it: records.Block) -> wire_apps.Blocked:
    """Return a blocked app or site."""
    return wire_apps.Blocked(
        id=it.id, identity=identity(it.identity), site=site(it.site), blocked_at=timestamp(it.blocked_at)
    )


def site(it: str) -> wire_apps.Site | None:
    """Return what a block of a site covers; None if that is a single identity."""
    from upstash_helper.protocol.messages import SITES

    kind = kind_of(it)
    if kind is None:
        return None
    message = SITES[kind].format(name=name_of(it))
    return wire_apps.Site(kind=kind, shown=message.title, detail=message.detail)


def app(it: records.App) -> wire_apps.App:
    """Return an app."""
    return wire_apps.App(
        id=it.id,
        name=it.name,
        identity=identity(it.identity),
        scopes=_scopes(it.scopes),
        all_databases=it.all_databases,
        audience=it.audience,
        all_databases_meaning=all_databases_meaning(it.scopes) if it.all_databases else None,
        created_at=timestamp(it.created_at),
        last_used_at=timestamp(it.last_used_at),
        expires_at=_optional(it.expires_at),
        folders=it.folders,
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
        identity=own_identity(it.identity),
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


def _scopes(scopes: tuple[Scope, ...]) -> tuple[wire_apps.RequestedScope, ...]:
    return tuple(
        wire_apps.RequestedScope(scope=scope, meaning=MEANING[scope], strong=scope in STRONG) for scope in scopes
    )


def _optional(unix: float | None) -> str | None:
    return None if unix is None else timestamp(unix)
