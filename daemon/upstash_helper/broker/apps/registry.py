"""The registry of apps with access, and their tokens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.display_text import MAX_NAME, clean
from upstash_helper.broker.errors import AppNotFound, HelperError, InvalidRequest
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.ledger import App
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import proof
from upstash_helper.protocol.literals import RevokeReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import AppRecords, Grant
    from upstash_helper.broker.ports import Clock

logger = logging.getLogger(__name__)

IDLE_SECONDS: Final = 90 * 86_400.0
"""Access ends after this time without a call."""
ONCE_SECONDS: Final = 3600.0
"""Duration of access that is allowed once."""

MAX_MISMATCHES: Final = 5
"""After this many uses from another origin or user, a token counts as stolen and is revoked."""

# The last use is exact in memory, and written to the ledger at most this often.
_SAVE_SECONDS: Final = 300.0


def token_digest(token: bytes) -> bytes:
    """Return the SHA-256 under which a token is stored. Tokens are 256 random bits and need no salt or stretching."""
    return hashlib.sha256(token).digest()


class AppIndex:
    """In-memory index of the apps. Tokens are looked up by their hash, so the time reveals nothing about them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._by_id: dict[str, App] = {}
        self._by_digest: dict[bytes, str] = {}
        self._by_key_id: dict[str, str] = {}
        # Monotonic time at which access ends, of the apps that are allowed once.
        self._deadlines: dict[str, float] = {}

    def __iter__(self) -> Iterator[App]:
        """All apps, including expired ones."""
        return iter(tuple(self._by_id.values()))

    def get(self, app_id: str) -> App | None:
        """Return one app, even if its access has expired."""
        return self._by_id.get(app_id)

    def live(self, app_id: str) -> App | None:
        """Return one app; None if there is none or its access has expired."""
        app = self._by_id.get(app_id)
        return None if app is None or self.is_expired(app) else app

    def of_token(self, token: bytes) -> App | None:
        """Return the app with this token; None if it is unknown or its access has expired."""
        return self.live(self._by_digest.get(token_digest(token), ""))

    def of_key(self, key_id: str) -> App | None:
        """Return the app whose token has this key ID (see ``protocol.proof``); None like ``of_token``."""
        return self.live(self._by_key_id.get(key_id, ""))

    def of_origin(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""
        return any(app.identity.origin == origin and not self.is_expired(app) for app in self._by_id.values())

    def put(self, app: App) -> None:
        """Store ``app``, replacing the one with the same ID and its token."""
        known = self._by_id.get(app.id)
        if known is not None:
            self._forget_token(known)
        self._by_id[app.id] = app
        self._by_digest[app.digest] = app.id
        self._by_key_id[proof.key_id(app.digest)] = app.id

    def remove(self, app_id: str) -> None:
        """Remove an app, if it exists."""
        known = self._by_id.pop(app_id, None)
        if known is not None:
            self._forget_token(known)
        self._deadlines.pop(app_id, None)

    def _forget_token(self, app: App) -> None:
        self._by_digest.pop(app.digest, None)
        self._by_key_id.pop(proof.key_id(app.digest), None)

    def used(self, app_id: str) -> App | None:
        """Record that an app called just now, and return it."""
        app = self._by_id.get(app_id)
        if app is not None:
            app = msgspec.structs.replace(app, last_used_at=self._clock.time())
            self._by_id[app_id] = app
        return app

    def expire_after(self, app_id: str, seconds: float) -> float:
        """Let an app's access expire in ``seconds``. Return the deadline as monotonic time."""
        deadline = self._clock.monotonic() + seconds
        self._deadlines[app_id] = deadline
        return deadline

    def is_expired(self, app: App) -> bool:
        """Return whether an app's access has expired or the app has been idle for too long."""
        deadline = self._deadlines.get(app.id)
        if deadline is not None and self._clock.monotonic() >= deadline:
            return True
        return self._clock.time() - app.last_used_at >= IDLE_SECONDS


class Revoked(msgspec.Struct, frozen=True):
    """An event: the access of an app was revoked."""

    app_id: str
    name: str
    reason: RevokeReason


class AppRegistry:
    """Grants and revokes the access of apps. Keeps them in memory, in sync with the ledger."""

    def __init__(
        self, *, records: AppRecords, audit: Audit, events: EventBus, background: Background, clock: Clock
    ) -> None:
        self._records = records
        self._audit = audit
        self._events = events
        self._background = background
        self._clock = clock
        self._index = AppIndex(clock=clock)
        self._saved_uses: dict[str, float] = {}
        # Revoked apps that could not be removed from the ledger yet.
        self._not_removed: dict[str, App] = {}
        self._loaded = False
        # Serializes changes, so that no change is based on an outdated app.
        self._lock = asyncio.Lock()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """
        Read the ledger, once per run. To be called before ``find`` and ``approved``.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
            LedgerFull: If the disk is full and the ledger cannot be opened.
        """
        if self._loaded:
            return
        async with self._lock:
            if not self._loaded:
                for app in await self._records.load():
                    self._index.put(app)
                    if app.expires_at is not None:
                        self._expire_after(app.id, min(app.expires_at - self._clock.time(), ONCE_SECONDS))
                    self._saved_uses[app.id] = app.last_used_at
                self._loaded = True

    def find(self, token: bytes) -> Caller | None:
        """Return the caller with this token; None if it is unknown, expired, or was idle for too long."""
        app = self._index.of_token(token)
        return None if app is None else caller_of(app)

    def digest_of(self, key_id: str) -> bytes | None:
        """Return the SHA-256 of the valid token with this key ID, or None."""
        app = self._index.of_key(key_id)
        return None if app is None else app.digest

    def approved(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""
        return self._index.of_origin(origin)

    async def all(self) -> tuple[App, ...]:
        """
        Return the apps with access, the newest first. Removes expired ones.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self.ready()
        async with self._lock:
            for app in self._index:
                if self._index.is_expired(app):
                    await self._expire(app)
        return tuple(sorted(self._index, key=lambda app: -app.created_at))

    async def get(self, app_id: str) -> App:
        """
        Return one app.

        Raises:
            AppNotFound: If there is none with this ID.
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self.ready()
        return self._live(app_id)

    # --- granting and revoking access ---------------------------------------------------------------------------------

    async def add(self, *, name: str, identity: Identity, grant: Grant) -> tuple[App, Secret]:
        """
        Give an app access. Return it with its token, which is not stored.

        Raises:
            LedgerUnavailable: The app has no access then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        now, token = self._clock.time(), _new_token()
        app = App(
            id=secrets.token_hex(8),
            name=name,
            identity=identity,
            scopes=grant.scopes,
            all_databases=grant.all_databases,
            digest=token_digest(token.reveal().encode()),
            created_at=now,
            last_used_at=now,
            expires_at=now + ONCE_SECONDS if grant.once else None,
        )
        await self._save(app)
        if grant.once:
            self._expire_after(app.id, ONCE_SECONDS)
        return app, token

    async def rename(self, app_id: str, name: str) -> App:
        """
        Set the name under which the user sees the app.

        Raises:
            AppNotFound: If there is none with this ID.
            InvalidRequest: If the name has no visible character.
            LedgerUnavailable: If it cannot be recorded.
            LedgerFull: Like LedgerUnavailable.
        """
        shown = clean(name, MAX_NAME)
        if not shown:
            raise InvalidRequest("The name has no visible character.", pointer="/name")
        await self.ready()
        async with self._lock:
            renamed = msgspec.structs.replace(self._live(app_id), name=shown)
            await self._save(renamed)
        return renamed

    async def rotate(self, app_id: str) -> tuple[App, Secret]:
        """
        Give an app a new token. The old one stops working.

        Raises:
            AppNotFound: If the app was revoked meanwhile.
            LedgerUnavailable: The old token keeps working then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        token = _new_token()
        async with self._lock:
            rotated = msgspec.structs.replace(self._live(app_id), digest=token_digest(token.reveal().encode()))
            await self._save(rotated)
        return rotated, token

    async def revoke(self, app_id: str, *, reason: RevokeReason) -> App:
        """
        Revoke an app's access: its token stops working and its event streams end. Work that it started is finished.

        Raises:
            AppNotFound: If there is none with this ID.
            LedgerUnavailable: If it cannot be recorded. The app has no access for this run of the daemon; revoking it
                again retries the ledger.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        async with self._lock:
            app = self._not_removed.get(app_id) or self._live(app_id)
            await self._remove(app, reason)
        return app

    # --- use of tokens ------------------------------------------------------------------------------------------------

    def used(self, app_id: str) -> None:
        """Record that an app called just now."""
        app = self._index.used(app_id)
        if app is not None and abs(app.last_used_at - self._saved_uses.get(app_id, 0.0)) >= _SAVE_SECONDS:
            self._saved_uses[app_id] = app.last_used_at
            self._background.start(self._save_use(app_id))

    async def misused(self, app_id: str, *, where: str) -> None:
        """
        Record that a token was used from ``where``, to which it is not bound. The fifth time, it is revoked.

        Raises:
            LedgerUnavailable: If it cannot be recorded. It counts for this run of the daemon.
            LedgerFull: Like LedgerUnavailable.
        """
        # To completion, so that a thief who disconnects at once is counted, too.
        await self._background.finish(self._count_misuse(app_id, where))

    async def _count_misuse(self, app_id: str, where: str) -> None:
        async with self._lock:
            app = self._index.get(app_id)
            if app is None:
                return
            app = msgspec.structs.replace(app, mismatches=app.mismatches + 1)
            logger.warning("token_misused", extra={"app": app.id, "count": app.mismatches})
            if app.mismatches >= MAX_MISMATCHES:
                await self._remove(app, "misused")
            else:
                self._index.put(app)
                await self._records.save(app)
            await self._audit.note(caller_of(app), "token.misused", where[:200], "origin_mismatch")

    async def save_last_uses(self) -> None:
        """Write to the ledger when each app was used last, because the daemon is stopping."""
        for app in self._index:
            if app.last_used_at != self._saved_uses.get(app.id):
                await self._save_use(app.id)
        for app in tuple(self._not_removed.values()):
            await self._expire(app)

    # --- internal -----------------------------------------------------------------------------------------------------

    def _live(self, app_id: str) -> App:
        app = self._index.live(app_id)
        if app is None:
            raise AppNotFound
        return app

    def _expire_after(self, app_id: str, seconds: float) -> None:
        """Let an app's access expire in ``seconds``, and end its event streams then."""
        deadline = self._index.expire_after(app_id, seconds)
        self._clock.call_at(deadline, lambda: self._background.start(self._expire_if_due(app_id)))

    async def _expire_if_due(self, app_id: str) -> None:
        async with self._lock:
            app = self._index.get(app_id)
            if app is not None and self._index.is_expired(app):
                await self._expire(app)

    async def _save(self, app: App) -> None:
        await self._records.save(app)
        self._index.put(app)

    async def _remove(self, app: App, reason: RevokeReason) -> None:
        # In memory first: access ends now, even if the ledger fails.
        if app.id not in self._not_removed:
            self._not_removed[app.id] = app
            self._index.remove(app.id)
            self._saved_uses.pop(app.id, None)
            self._events.publish("revoked", Revoked(app.id, app.name, reason), app=app.id)
            self._events.end(app.id)
        await self._records.remove(app.id)
        del self._not_removed[app.id]

    async def _expire(self, app: App) -> None:
        try:
            await self._remove(app, "expired")
        except HelperError as error:
            logger.warning("app_not_removed", extra={"app": app.id, "error": error.code})

    async def _save_use(self, app_id: str) -> None:
        try:
            async with self._lock:
                app = self._index.get(app_id)
                if app is not None:
                    await self._records.save(app)
        except HelperError as error:
            logger.warning("last_use_not_saved", extra={"app": app_id, "error": error.code})


def caller_of(app: App) -> Caller:
    """Return the caller that uses the app's token."""
    return Caller(
        kind="app",
        id=app.id,
        name=app.name,
        identity=app.identity,
        scopes=app.scopes,
        all_databases=app.all_databases,
        creator_key=app.creator_key,
    )


def _new_token() -> Secret:
    return Secret(f"uha_{secrets.token_urlsafe(32)}")
