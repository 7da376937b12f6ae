"""
The ledger: what the daemon remembers across restarts, as small ports and the records that they store.

Every method may raise ``LedgerUnavailable`` (the ledger cannot be opened, read, or written; ``detail`` has the cause)
and ``LedgerFull`` (the disk is full), and nothing else. When a method returns, its change is on the disk. The ledger
never contains a secret: of tokens it has only the SHA-256.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, Protocol

import msgspec

from upstash_helper.broker.identity import Identity
from upstash_helper.broker.models import Database
from upstash_helper.protocol.literals import Audience, LedgerState, Scope

if TYPE_CHECKING:
    from upstash_helper.broker.authorization_records import AuthorizationRecords

# --- apps -------------------------------------------------------------------------------------------------------------


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An app with access."""

    id: str
    name: str
    """The name that the app gave itself, cleaned, or the one that the user gave it."""
    identity: Identity
    scopes: tuple[Scope, ...]
    all_databases: bool = False
    """
    Whether ``databases:credentials`` and ``databases:commands`` cover every database, not only those that the app
    created.
    """
    audience: Audience = "api"
    """Where the app's tokens are accepted."""
    digest: bytes
    """SHA-256 of the app's token."""
    created_at: float
    last_used_at: float
    expires_at: float | None = None
    """Unix time at which access ends; None: access ends only when the app has not been used for a long time."""
    folders: tuple[str, ...] = ()
    """The folders in which the user allows the app to write variables of its databases."""
    mismatches: int = 0
    """How often the token was used from another origin or user than its own."""

    @property
    def creator_key(self) -> str:
        """
        Key under which the databases that the app creates are recorded. An origin keeps its databases when it gets
        access again. A native program's name is not verified, so only this app has them.
        """
        return f"app:{self.id}" if self.identity.kind == "native" else self.identity.key


class AppTimes(msgspec.Struct, frozen=True):
    """
    How long an app was idle, and how long its access lasts, in seconds. The ledger counts the seconds that have
    certainly passed, so that a wrong clock does not end an app's access.
    """

    idle: float = 0.0
    left: float | None = None
    """None: access ends only when the app has not been used for a long time."""


JUST_USED: Final = AppTimes()


class AppRecords(Protocol):
    """The apps with access."""

    async def load(self) -> tuple[App, ...]:
        """Return all apps, the oldest first."""

    async def times(self) -> Mapping[str, AppTimes]:
        """Return the times of all apps, by ID, as of now."""

    async def save(self, app: App, times: AppTimes = JUST_USED) -> None:
        """Store ``app`` with its times as of now, replacing an app with the same ID."""

    async def remove(self, app_id: str) -> None:
        """Remove one, if it exists."""


# --- pairings ---------------------------------------------------------------------------------------------------------


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the user approved."""

    scopes: tuple[Scope, ...]
    all_databases: bool = False
    once: bool = False


class Waiting(msgspec.Struct, frozen=True, kw_only=True, tag="waiting"):
    """The user has not decided."""

    via_bridge: bool = False
    """Whether the bridge window forwarded the request, which the prompt shows."""
    replaces: str = ""
    """The ID of the app's earlier pending request that this one replaced; empty if there was none."""
    is_repeated: bool = False
    """Whether the replaced request was identical, so that the user needs no second notification."""


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approved"):
    """The user approved the request, and the app has not fetched its token yet."""

    grant: Grant


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """The user denied the request."""

    at: float


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered"):
    """The app has its token."""

    app_id: str


class Withdrawn(msgspec.Struct, frozen=True, kw_only=True, tag="withdrawn"):
    """The app withdrew its request, or replaced it."""

    replaced_by: str = ""
    """The ID of the app's new request; empty if there is none."""


Decision = Waiting | Approved | Denied | Delivered | Withdrawn


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """An app's request for access."""

    id: str
    digest: bytes
    """SHA-256 of the poll secret."""
    user_code: str
    identity: Identity
    name: str
    scopes: tuple[Scope, ...]
    """The requested scopes."""
    reason: str = ""
    audience: Audience = "api"
    """Where the app's token will be accepted."""
    site: str = ""
    """The site of the identity (see ``broker.apps.sites``). Not stored, since it follows from the identity."""
    created_at: float
    expires_at: float
    decision: Decision = Waiting()


# No identity's key starts with it.
_SITE: Final = "site:"


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """An identity that may not request access, or a whole site."""

    id: str
    identity: Identity
    """Whose request the user blocked."""
    site: str = ""
    """The blocked site (see ``broker.apps.sites``); empty if only the identity is blocked."""
    blocked_at: float

    @property
    def key(self) -> str:
        """The key of what is blocked. Of two blocks with the same key, the later one replaces the earlier one."""
        return f"{_SITE}{self.site}" if self.site else self.identity.limits_key

    @staticmethod
    def site_of(key: str) -> str:
        """Return the site in a block's key; an empty string if only an identity is blocked."""
        return key.removeprefix(_SITE) if key.startswith(_SITE) else ""

    def applies_to(self, identity: Identity, *, site: str) -> bool:
        """
        Return whether the block applies to ``identity``, which belongs to ``site``.

        The block of a program, or of all because of one, applies to its file, whatever makes the path doubtful, and to
        pages and extensions whose requests it sends, because it can name any. But the block of a program in a container
        or sandbox does not apply to the program that has this path outside, which can be another one.
        """
        blocked = self.identity
        if blocked.kind != "native":
            return site == self.site if self.site else identity.key == blocked.key
        if self.site and site == self.site:
            return True
        # Pages whose browser the system cannot identify have nothing to do with programs that it cannot identify.
        file = identity.name if identity.kind == "native" else identity.program or None
        return file == blocked.name and ("sandboxed" in identity.warnings or "sandboxed" not in blocked.warnings)


class PairingRecords(Protocol):
    """The access requests of the last hour, and the blocks."""

    async def load(self) -> tuple[tuple[Pairing, ...], tuple[Block, ...]]:
        """Return all pairings, the oldest first, and all blocks."""

    async def save(self, pairing: Pairing) -> None:
        """Store ``pairing``, replacing one with the same ID."""

    async def forget(self, pairing_ids: tuple[str, ...]) -> None:
        """Remove these pairings, if they exist."""

    async def block(self, block: Block) -> None:
        """Store ``block``, replacing one with the same key."""

    async def unblock(self, block_id: str) -> None:
        """Remove one, if it exists."""


# --- creating databases -----------------------------------------------------------------------------------------------


class CreateKey(msgspec.Struct, frozen=True):
    """An idempotency key and its caller, since two callers may choose the same key."""

    caller: str
    key: str


class CreateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A request to create a database, identified by its idempotency key."""

    fingerprint: bytes
    """SHA-256 of the request and the account."""
    name: str
    sent_at: float
    """Unix time just before the request was sent. For recognizing the database that it created, not for its age."""
    state: Literal["sent", "done"] = "sent"
    """``sent``: the request may have reached Upstash, and no response is known."""
    result: Database | None = None


class CreateJournal(Protocol):
    """Journal of the requests that create databases. A request is recorded before it is sent."""

    async def find(self, key: CreateKey) -> CreateRecord | None:
        """Return the record of ``key``, or None if there is none."""

    async def begin(self, key: CreateKey, record: CreateRecord, *, keep_seconds: float) -> None:
        """
        Record that a request is about to be sent, replacing an earlier record of the same key, and remove records that
        are older than ``keep_seconds``. Only seconds that have certainly passed count.
        """

    async def done(self, key: CreateKey, database: Database, *, owner: str | None, account: str = "") -> None:
        """
        Record the result and, if ``owner`` is given, the creator, both in one transaction. If there is no record of
        ``key`` because the ledger was damaged in the meantime, record only the creator.

        Args:
            key: The request.
            database: The database that it created.
            owner: The ``App.creator_key`` of its creator; None for the user's own tools.
            account: The ``Credential.account_key`` of the account that it was created in.
        """

    async def forget(self, key: CreateKey) -> None:
        """Remove the record of a request that certainly had no effect."""

    async def claimed(self, database_ids: tuple[str, ...]) -> frozenset[str]:
        """Return which of the databases are the result of a record in state ``done``."""

    async def creator(self, database_id: str, *, account: str = "") -> str | None:
        """
        Return the ``App.creator_key`` of the database's creator, or None if it is unknown or created it in another
        account than ``account``. Outlives the create record.
        """


# --- the audit --------------------------------------------------------------------------------------------------------


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One audit entry: which app did what, when, and with which result."""

    id: int = 0
    """Assigned by the ledger; later entries have larger IDs."""
    at: float
    """Unix time of the first request, if the entry covers several."""
    last_at: float
    """Unix time of the last request."""
    count: int = 1
    """How many identical requests within a short time the entry covers."""
    app_id: str
    """``owner`` for the user's own tools."""
    app_name: str
    identity: str
    action: str
    """Such as ``database.create``."""
    target: str = ""
    """Such as the ID of a database."""
    result: str
    """``started``, ``ok``, or the code of the problem."""


OWNER_SHARE: Final = "owner"
"""The entries of the user's own tools, and those about the user's decisions."""
NO_TOKEN_SHARE: Final = "none"  # noqa: S105 - not a token
"""The entries of callers without a token."""


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filter for audit entries."""

    app: str | None = None
    """An app's ID, or the name that it had at the time."""
    since: float | None = None
    """Unix time; only entries whose ``last_at`` is not earlier."""
    before_id: int | None = None
    """Only entries with a smaller ID, for the next page."""
    limit: int = 100


class AuditRecords(Protocol):
    """The audit entries."""

    async def add(
        self,
        entry: AuditEntry,
        *,
        share: str,
        merge_within: float | None = None,
        merge_any: bool = False,
        keep_seconds: float,
    ) -> int:
        """
        Store ``entry`` and return its ID.

        Args:
            entry: What happened. Its ID is ignored.
            share: Whose part of the audit it belongs to: an app's ID, ``OWNER_SHARE``, or ``NO_TOKEN_SHARE``. If there
                are too many entries, the oldest of the share are removed, and never those of the owner for an app's.
            merge_within: If the app's newest entry is at most this many seconds old and has the same identity, action,
                target, and result, update its ``count`` and ``last_at`` instead.
            merge_any: Merge with any recent entry of the app that has the same action and result. Where they differ in
                the rest, it becomes empty.
            keep_seconds: Entries that are older are removed. Only seconds that have certainly passed count.
        """

    async def settle(self, entry_id: int, *, target: str, result: str, merge_within: float | None = None) -> None:
        """Set the entry's target and result, then merge it like ``merge_any`` if ``merge_within`` is given."""

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return the entries that match ``query``, the newest first."""


class LedgerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """State of the ledger."""

    state: LedgerState
    detail: str = ""
    """Why it is not ``ok`` and what to do, or that a damaged ledger was replaced by an empty one."""
    behind: bool = False
    """Whether changes are kept in memory only, although there is a file, which the next start would read."""


class Ledger(Protocol):
    """The whole ledger."""

    @property
    def apps(self) -> AppRecords:
        """The apps with access."""

    @property
    def pairings(self) -> PairingRecords:
        """The access requests."""

    @property
    def creates(self) -> CreateJournal:
        """The requests that create databases."""

    @property
    def audit(self) -> AuditRecords:
        """The audit entries."""

    @property
    def authorization(self) -> AuthorizationRecords:
        """The clients of the authorization server, and their refresh tokens."""

    def health(self) -> LedgerHealth:
        """Return the state as of the last call. Does not use the ledger."""

    async def confirm(self) -> None:
        """
        Return once the changes that were kept in memory only (see ``LedgerHealth.behind``) are in the file.

        Raises:
            LedgerUnavailable: If they are not, because the file still cannot be written.
        """

    async def close(self) -> None:
        """Close the ledger once pending calls are done. Never raises. No method may be called afterwards."""
