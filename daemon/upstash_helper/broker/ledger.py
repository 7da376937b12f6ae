"""
What the daemon remembers beyond a restart: small protocols over one ledger, and the records that they hold.

Every method may raise ``LedgerUnavailable`` (it cannot be opened, read or written; ``detail`` says why) and
``LedgerFull`` (the disk is), and nothing else. What a method has returned from is on the disk. No secret is ever in it:
tokens are known by their SHA-256 alone.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from upstash_helper.broker.identity import Identity
from upstash_helper.broker.models import Database
from upstash_helper.protocol.literals import LedgerState, Scope

# --- apps -------------------------------------------------------------------------------------------------------------


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An app that the user let in."""

    id: str
    name: str
    """As the app called itself, cleaned; or as the user renamed it."""
    identity: Identity
    scopes: tuple[Scope, ...]
    all_databases: bool = False
    """Whether ``databases:credentials`` is for every database, and not for those alone that it created."""
    digest: bytes
    """SHA-256 of its token."""
    created_at: float
    last_used_at: float
    expires_at: float | None = None
    """Unix time after which it is out, whatever it does; None: only when it has not been used for long."""
    mismatches: int = 0
    """How often its token came from where it does not belong."""

    @property
    def creator_key(self) -> str:
        """
        By what the databases that it created are known as its own. An origin keeps them when it is let in anew; of a
        native program the name is not vouched for, so only this very app has them.
        """
        return f"app:{self.id}" if self.identity.kind == "native" else self.identity.key


class AppRecords(Protocol):
    """The apps that are let in."""

    async def load(self) -> tuple[App, ...]:
        """Return all of them, the oldest first."""

    async def save(self, app: App) -> None:
        """Store ``app``, in place of the one with its id if there is one."""

    async def remove(self, app_id: str) -> None:
        """Forget one; nothing happens if there is none."""


# --- pairings ---------------------------------------------------------------------------------------------------------


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the user said yes to."""

    scopes: tuple[Scope, ...]
    all_databases: bool = False
    once: bool = False


class Waiting(msgspec.Struct, frozen=True, tag="waiting"):
    """The user has not decided."""


class Approved(msgspec.Struct, frozen=True, kw_only=True, tag="approved"):
    """The user said yes, and the app has not fetched its token."""

    grant: Grant


class Denied(msgspec.Struct, frozen=True, kw_only=True, tag="denied"):
    """The user said no."""

    at: float


class Delivered(msgspec.Struct, frozen=True, kw_only=True, tag="delivered"):
    """The app has its token."""

    app_id: str


class Withdrawn(msgspec.Struct, frozen=True, tag="withdrawn"):
    """The app waits no longer."""


Decision = Waiting | Approved | Denied | Delivered | Withdrawn


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """An app's request to be let in."""

    id: str
    digest: bytes
    """SHA-256 of its poll secret."""
    user_code: str
    identity: Identity
    name: str
    scopes: tuple[Scope, ...]
    """As wished for."""
    reason: str = ""
    created_at: float
    expires_at: float
    decision: Decision = Waiting()


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """An identity that may not ask any more."""

    id: str
    identity: Identity
    blocked_at: float


class PairingRecords(Protocol):
    """The requests of the last minutes, and who may not ask."""

    async def load(self) -> tuple[tuple[Pairing, ...], tuple[Block, ...]]:
        """Return all pairings, the oldest first, and all blocks."""

    async def save(self, pairing: Pairing) -> None:
        """Store ``pairing``, in place of the one with its id if there is one."""

    async def forget(self, expired_before: float) -> None:
        """Forget the pairings whose ``expires_at`` is before this Unix time."""

    async def block(self, block: Block) -> None:
        """Store ``block``, in place of the one of the same identity's key if there is one."""

    async def unblock(self, block_id: str) -> None:
        """Forget one; nothing happens if there is none."""


# --- making databases -------------------------------------------------------------------------------------------------


class CreateKey(msgspec.Struct, frozen=True):
    """An idempotency key, and whose it is: two callers may choose the same one."""

    caller: str
    key: str


class CreateRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one keyed request to make a database."""

    fingerprint: bytes
    """SHA-256 of what was asked for, and of the account that it was asked for in."""
    name: str
    sent_at: float
    """Unix time, from before it was sent."""
    state: Literal["sent", "done"] = "sent"
    """``sent``: it may have reached Upstash, and no answer is known."""
    result: Database | None = None


class CreateJournal(Protocol):
    """Requests that make databases, written down before they are sent."""

    async def find(self, key: CreateKey) -> CreateRecord | None:
        """Return the record of ``key``, or None if there is none."""

    async def begin(self, key: CreateKey, record: CreateRecord, *, forget_before: float) -> None:
        """
        Write down that a request is about to be sent, in place of an earlier record of the same key, and forget
        records whose ``sent_at`` is before ``forget_before``.
        """

    async def done(self, key: CreateKey, database: Database, *, owner: str | None) -> None:
        """
        Write down the result, and with ``owner`` who created it, both or neither. Without a record of ``key`` (the
        ledger was damaged meanwhile) only who created it.
        """

    async def forget(self, key: CreateKey) -> None:
        """Forget a request that surely had no effect."""

    async def claimed(self, database_ids: tuple[str, ...]) -> frozenset[str]:
        """Return which of the databases are the result of some record that is ``done``."""

    async def creator(self, database_id: str) -> str | None:
        """Return the ``App.creator_key`` of the database's creator, or None if unknown. Outlives the create record."""


# --- the audit --------------------------------------------------------------------------------------------------------


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Which app did what, when, with which result."""

    id: int = 0
    """Given by the ledger; the later the larger."""
    at: float
    """Unix time of the first, if it stands for several."""
    last_at: float
    """Unix time of the last."""
    count: int = 1
    """How many like requests in a short while it stands for."""
    app_id: str
    """``owner`` for the user's own tools."""
    app_name: str
    identity: str
    action: str
    """Such as ``database.create``."""
    target: str = ""
    """Such as a database's id."""
    result: str
    """``started``, ``ok``, or the code of the problem."""


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries are wanted."""

    app: str | None = None
    """An app's id, or the name that it had."""
    since: float | None = None
    """Unix time; entries whose ``last_at`` is not before it."""
    before_id: int | None = None
    """Only older ones than this: the next page."""
    limit: int = 100


class AuditRecords(Protocol):
    """The audit."""

    async def add(self, entry: AuditEntry, *, merge_since: float | None = None, forget_before: float) -> int:
        """
        Write ``entry`` down and return its id.

        Args:
            entry: What happened; its id is not looked at.
            merge_since: If given, and the app's newest entry has the same identity, action, target and result and
                its ``last_at`` is not before this Unix time, then that one's ``count`` and ``last_at`` are raised.
            forget_before: Entries whose ``last_at`` is before this Unix time are forgotten. So are the oldest ones when
                there are too many for a file of reasonable size.
        """

    async def settle(self, entry_id: int, *, target: str, result: str) -> None:
        """Give the entry its target and result."""

    async def page(self, query: AuditQuery) -> tuple[AuditEntry, ...]:
        """Return the entries that ``query`` asks for, the newest first."""


class LedgerHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How the ledger is."""

    state: LedgerState
    """``unused`` until it was needed; ``memory``: it is not on a disk, and all is forgotten at the next start."""
    detail: str = ""
    """What there is to know and to do: why it is not ``ok``, or that a damaged one had to be begun anew."""


class Ledger(Protocol):
    """All of it, in one place."""

    @property
    def apps(self) -> AppRecords:
        """The apps that are let in."""

    @property
    def pairings(self) -> PairingRecords:
        """The requests to be let in."""

    @property
    def creates(self) -> CreateJournal:
        """The requests that make databases."""

    @property
    def audit(self) -> AuditRecords:
        """Which app did what."""

    def health(self) -> LedgerHealth:
        """Return the state as of the last call, without a call."""

    async def close(self) -> None:
        """Close it, once what was begun is done; never raises. Nothing is called after that."""
