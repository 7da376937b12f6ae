"""The loopback API's types for letting apps in: pairings, apps, tokens, the audit. See ``wire``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from upstash_helper.protocol.literals import CallerKind, IdentityKind, PairingState, RevokeReason, Scope
from upstash_helper.protocol.wire import RequestBody, ResponseBody, Sensitive

Timestamp = Annotated[str, Meta(description="RFC 3339, UTC.")]


class Identity(ResponseBody, frozen=True, kw_only=True):
    """Who an app is, as far as the browser or the operating system vouches for it."""

    kind: IdentityKind
    name: Annotated[str, Meta(description="The exact origin, or the executable; empty where it is not known.")]
    shown: Annotated[str, Meta(description="The same for a person.", examples=["https://app.example.com"])]
    program: Annotated[
        str, Meta(description="The executable that sent the request, where the system tells; of a page the browser.")
    ] = ""
    pid: int | None = None


# --- pairing ----------------------------------------------------------------------------------------------------------


class PairingRequest(RequestBody, frozen=True, kw_only=True):
    """Ask the user to let the app in."""

    name: Annotated[str, Meta(min_length=1, max_length=256, description="What the app calls itself.")]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=16)]
    reason: Annotated[str, Meta(max_length=1024, description="What for, in a sentence.")] = ""


class StartedPairing(Sensitive, frozen=True, kw_only=True):
    """A pairing that waits for the user. Show the code next to the word "approve"."""

    id: str
    poll_secret: Annotated[str, Meta(description="By this alone its app is known: `Authorization: Bearer`.")]
    user_code: Annotated[str, Meta(examples=["WDJB-MJHT"], description="The user sees it in the prompt, too.")]
    expires_at: Timestamp
    interval: Annotated[float, Meta(description="Seconds to wait between two looks.")]


class PairingStatus(ResponseBody, frozen=True, kw_only=True):
    """What became of a pairing."""

    id: str
    state: PairingState
    user_code: str
    expires_at: Timestamp


class NewToken(Sensitive, frozen=True, kw_only=True):
    """An app's own token, shown this once."""

    token: str
    app_id: str
    scopes: tuple[Scope, ...]
    all_databases: bool
    expires_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null: when it has not been used for 90 days.")]


class RequestedScope(ResponseBody, frozen=True, kw_only=True):
    """A scope that an app wishes for."""

    scope: Scope
    meaning: Annotated[str, Meta(description="In plain words.")]


class Pairing(ResponseBody, frozen=True, kw_only=True):
    """A request to be let in, as the user decides about it: the verified identity first, the claimed name second."""

    id: str
    identity: Identity
    claimed_name: Annotated[str, Meta(description="What the app calls itself; nobody vouches for it.")]
    user_code: str
    scopes: tuple[RequestedScope, ...]
    reason: str
    state: PairingState
    all_databases_meaning: Annotated[
        str | None, Meta(description="What the choice `all_databases` would add; null where it adds nothing.")
    ]
    created_at: Timestamp
    expires_at: Timestamp


class PairingList(ResponseBody, frozen=True, kw_only=True):
    """The requests that wait for the user, the oldest first."""

    pairings: tuple[Pairing, ...]


class Approve(RequestBody, frozen=True, kw_only=True):
    """Say yes."""

    scopes: Annotated[tuple[Scope, ...] | None, Meta(description="Fewer than were wished for; by default all.")] = None
    all_databases: Annotated[
        bool, Meta(description="With `databases:credentials`: of all databases, not only of those that it created.")
    ] = False
    once: Annotated[bool, Meta(description="For an hour.")] = False


class Blocked(ResponseBody, frozen=True, kw_only=True):
    """Who may not ask any more."""

    id: str
    identity: Identity
    blocked_at: Timestamp


class BlockList(ResponseBody, frozen=True, kw_only=True):
    """All who may not ask."""

    blocks: tuple[Blocked, ...]


# --- apps -------------------------------------------------------------------------------------------------------------


class App(ResponseBody, frozen=True, kw_only=True):
    """An app that is let in."""

    id: str
    name: str
    identity: Identity
    scopes: tuple[RequestedScope, ...]
    all_databases: bool
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Annotated[str | None, Meta(description="RFC 3339, UTC; null: when it has not been used for 90 days.")]
    mismatches: Annotated[int, Meta(description="How often its token came from where it does not belong.")]


class AppList(ResponseBody, frozen=True, kw_only=True):
    """The apps that are let in, the newest first."""

    apps: tuple[App, ...]


class RenameApp(RequestBody, frozen=True, kw_only=True):
    """Give an app another name."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]


class TokenInfo(ResponseBody, frozen=True, kw_only=True):
    """What the caller's token is."""

    kind: CallerKind
    app_id: str | None = None
    name: str
    identity: Identity | None = None
    scopes: tuple[Scope, ...]
    all_databases: bool
    expires_at: str | None = None


class RevokedApp(ResponseBody, frozen=True, kw_only=True):
    """The data of a `revoked` event."""

    app_id: str
    name: str
    reason: RevokeReason


# --- the audit --------------------------------------------------------------------------------------------------------


class AuditEntry(ResponseBody, frozen=True, kw_only=True):
    """Which app did what, when, with which result."""

    id: int
    at: Timestamp
    last_at: Annotated[str, Meta(description="RFC 3339, UTC: of the last one, where the entry stands for several.")]
    count: int
    app_id: str
    app_name: str
    identity: str
    action: Annotated[str, Meta(examples=["database.create"])]
    target: str
    result: Annotated[str, Meta(description="`started`, `ok`, or the code of the problem.")]


class AuditPage(ResponseBody, frozen=True, kw_only=True):
    """Entries of the audit, the newest first."""

    entries: tuple[AuditEntry, ...]
    next_page_token: Annotated[str | None, Meta(description="Present while there are more: `?page_token=`.")] = None


# --- the dashboard ----------------------------------------------------------------------------------------------------


class DashboardTicket(Sensitive, frozen=True, kw_only=True):
    """An address that opens the dashboard with all that its user may do, once."""

    url: Annotated[str, Meta(examples=["http://localhost:3000/#ticket=…"])]
    expires_at: Timestamp


class BeginSession(RequestBody, frozen=True, kw_only=True):
    """A ticket, handed in by the daemon's own page."""

    ticket: Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]

    def __repr__(self) -> str:
        return "BeginSession(…)"


class DashboardSession(Sensitive, frozen=True, kw_only=True):
    """The page's own token. It ends with the daemon, or after it has not been used for a while."""

    token: str
    expires_at: Timestamp
