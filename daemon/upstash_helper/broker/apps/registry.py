"""The apps that the user let in, and their tokens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.apps.display_text import LONGEST_NAME, clean
from upstash_helper.broker.errors import AppNotFound, HelperError, InvalidRequest
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.ledger import App
from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import RevokeReason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import AppRecords, Grant
    from upstash_helper.broker.ports import Clock

IDLE_SECONDS: Final = 90 * 86_400.0
"""An app that has not called for this long is out."""
ONCE_SECONDS: Final = 3600.0
"""How long "allow once" is."""


def token_digest(token: bytes) -> bytes:
    """Return by what a token is known. It has 256 random bits, so its hash needs no salt and no stretching."""
    return hashlib.sha256(token).digest()


class AppIndex:
    """A look-up is a dictionary's, by the token's hash, so that its time tells nothing of the token."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._by_id: dict[str, App] = {}
        self._by_digest: dict[bytes, str] = {}
        # Of the apps that are let in once: by the clock that never jumps, when that is over.
        self._deadlines: dict[str, float] = {}

    def __iter__(self) -> Iterator[App]:
        """All of them, those whose time is over too."""
        return iter(tuple(self._by_id.values()))

    def get(self, app_id: str) -> App | None:
        """Return one app, also if its time is over."""
        return self._by_id.get(app_id)

    def live(self, app_id: str) -> App | None:
        """Return one app; None if there is none, or its time is over."""
        app = self._by_id.get(app_id)
        return None if app is None or self.is_expired(app) else app

    def of_token(self, token: bytes) -> App | None:
        """Return whose ``token`` is; None for one that is unknown, or whose app's time is over."""
        return self.live(self._by_digest.get(token_digest(token), ""))

    def of_origin(self, origin: str) -> bool:
        """Return whether some app of ``origin`` is let in."""
        return any(app.identity.origin == origin and not self.is_expired(app) for app in self._by_id.values())

    def keep(self, app: App) -> None:
        """Keep ``app`` in place of the one of its id, whose token then stops working if it is another one."""
        known = self._by_id.get(app.id)
        if known is not None:
            self._by_digest.pop(known.digest, None)
        self._by_id[app.id] = app
        self._by_digest[app.digest] = app.id

    def forget(self, app_id: str) -> None:
        """Drop an app; nothing happens if there is none."""
        known = self._by_id.pop(app_id, None)
        if known is not None:
            self._by_digest.pop(known.digest, None)
        self._deadlines.pop(app_id, None)

    def used(self, app_id: str) -> App | None:
        """Note that an app called, just now; return it."""
        app = self._by_id.get(app_id)
        if app is not None:
            app = msgspec.structs.replace(app, last_used_at=self._clock.time())
            self._by_id[app_id] = app
        return app

    def lasts(self, app_id: str, seconds: float) -> float:
        """Let the time of an app be over after ``seconds``; return when that is, in terms of the clock's monotonic."""
        deadline = self._clock.monotonic() + seconds
        self._deadlines[app_id] = deadline
        return deadline

    def is_expired(self, app: App) -> bool:
        """Return whether its hour is over, or it has been idle for too long."""
        deadline = self._deadlines.get(app.id)
        if deadline is not None and self._clock.monotonic() >= deadline:
            return True
        return self._clock.time() - app.last_used_at >= IDLE_SECONDS


logger = logging.getLogger(__name__)

MOST_MISMATCHES: Final = 5
"""So many times may a token come from where it does not belong; then it is revoked, for somebody has stolen it."""

# The last use is known to the second while the daemon runs, and written down no more often than this.
_NOTED_SECONDS: Final = 300.0


class Revoked(msgspec.Struct, frozen=True):
    """An event: an app is no longer let in."""

    app_id: str
    name: str
    reason: RevokeReason


class AppRegistry:
    """Lets apps in and out, and knows them in memory, in step with the ledger."""

    def __init__(
        self, *, records: AppRecords, audit: Audit, events: EventBus, background: Background, clock: Clock
    ) -> None:
        self._records = records
        self._audit = audit
        self._events = events
        self._background = background
        self._clock = clock
        self._index = AppIndex(clock=clock)
        self._noted: dict[str, float] = {}
        # Those that are out, and that the ledger could not yet be made to forget.
        self._unremoved: dict[str, App] = {}
        self._loaded = False
        # Held by whoever changes one: what is read before a write is what is there after it.
        self._turn = asyncio.Lock()

    # --- knowing them -------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """
        Read the ledger, once. Whoever asks about an app does this before.

        Raises:
            LedgerUnavailable: If it cannot be read.
            LedgerFull: Never while reading, but the ledger's methods may.
        """
        if self._loaded:
            return
        async with self._turn:
            if not self._loaded:
                for app in await self._records.load():
                    self._index.keep(app)
                    if app.expires_at is not None:
                        self._lasts(app.id, min(app.expires_at - self._clock.time(), ONCE_SECONDS))
                    self._noted[app.id] = app.last_used_at
                self._loaded = True

    def find(self, token: bytes) -> Caller | None:
        """Return whose ``token`` is; None for one that is unknown, expired or was idle for too long."""
        app = self._index.of_token(token)
        return None if app is None else caller(app)

    def approved(self, origin: str) -> bool:
        """Return whether some app of ``origin`` is let in."""
        return self._index.of_origin(origin)

    async def all(self) -> tuple[App, ...]:
        """
        Return the apps, the newest first. Those whose time is over are forgotten.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self.ready()
        async with self._turn:
            for app in self._index:
                if self._index.is_expired(app):
                    await self._expire(app)
        return tuple(sorted(self._index, key=lambda app: -app.created_at))

    async def get(self, app_id: str) -> App:
        """
        Return one app.

        Raises:
            AppNotFound: If there is none of that id.
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self.ready()
        return self._there(app_id)

    # --- letting in and out -------------------------------------------------------------------------------------------

    async def add(self, *, name: str, identity: Identity, grant: Grant) -> tuple[App, Secret]:
        """
        Let an app in, and return it with its token, which is shown this once.

        Raises:
            LedgerUnavailable: Then it is not let in.
            LedgerFull: As LedgerUnavailable.
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
            self._lasts(app.id, ONCE_SECONDS)
        return app, token

    async def rename(self, app_id: str, name: str) -> App:
        """
        Give an app the name that the user wants to see.

        Raises:
            AppNotFound: If there is none of that id.
            InvalidRequest: If nothing of the name can be shown.
            LedgerUnavailable: If it cannot be written down.
            LedgerFull: As LedgerUnavailable.
        """
        shown = clean(name, LONGEST_NAME)
        if not shown:
            raise InvalidRequest("The name has no character that can be shown.", pointer="/name")
        await self.ready()
        async with self._turn:
            renamed = msgspec.structs.replace(self._there(app_id), name=shown)
            await self._save(renamed)
        return renamed

    async def rotate(self, app_id: str) -> tuple[App, Secret]:
        """
        Give an app a new token; the old one stops working.

        Raises:
            AppNotFound: If it has been revoked meanwhile.
            LedgerUnavailable: Then the old one goes on working.
            LedgerFull: As LedgerUnavailable.
        """
        await self.ready()
        token = _new_token()
        async with self._turn:
            rotated = msgspec.structs.replace(self._there(app_id), digest=token_digest(token.reveal().encode()))
            await self._save(rotated)
        return rotated, token

    async def revoke(self, app_id: str, *, reason: RevokeReason) -> App:
        """
        Let an app in no longer: its token stops working and its event streams end. What it has begun is finished.

        Raises:
            AppNotFound: If there is none of that id.
            LedgerUnavailable: If it cannot be written down; it is out for this run of the daemon all the same, and to
                revoke it once more writes it down.
            LedgerFull: As LedgerUnavailable.
        """
        await self.ready()
        async with self._turn:
            app = self._unremoved.get(app_id) or self._there(app_id)
            await self._out(app, reason)
        return app

    # --- their use ----------------------------------------------------------------------------------------------------

    def used(self, app_id: str) -> None:
        """Note that an app called, just now."""
        app = self._index.used(app_id)
        if app is not None and abs(app.last_used_at - self._noted.get(app_id, 0.0)) >= _NOTED_SECONDS:
            self._noted[app_id] = app.last_used_at
            self._background.start(self._note(app_id))

    async def misused(self, app_id: str, *, where: str) -> None:
        """
        Note that a token came from ``where`` it does not belong; the fifth time it is revoked.

        Raises:
            LedgerUnavailable: If it cannot be written down; it counts for this run of the daemon all the same.
            LedgerFull: As LedgerUnavailable.
        """
        # To its end: a thief who hangs up at once is counted too.
        await self._background.finish(self._count_misuse(app_id, where))

    async def _count_misuse(self, app_id: str, where: str) -> None:
        async with self._turn:
            app = self._index.get(app_id)
            if app is None:
                return
            app = msgspec.structs.replace(app, mismatches=app.mismatches + 1)
            logger.warning("token_misused", extra={"app": app.id, "count": app.mismatches})
            if app.mismatches >= MOST_MISMATCHES:
                await self._out(app, "misused")
            else:
                self._index.keep(app)
                await self._records.save(app)
            await self._audit.note(caller(app), "token.misused", where[:200], "origin_mismatch")

    async def note_uses(self) -> None:
        """Write down when each app was used last; the daemon is stopping."""
        for app in self._index:
            if app.last_used_at != self._noted.get(app.id):
                await self._note(app.id)
        for app in tuple(self._unremoved.values()):
            await self._expire(app)

    # --- how ----------------------------------------------------------------------------------------------------------

    def _there(self, app_id: str) -> App:
        app = self._index.live(app_id)
        if app is None:
            raise AppNotFound("There is no such app. See: upstash-helper apps list")
        return app

    def _lasts(self, app_id: str, seconds: float) -> None:
        """Let an app out after ``seconds``, also out of its event streams. Whoever asks is told by the clock."""
        deadline = self._index.lasts(app_id, seconds)
        self._clock.call_at(deadline, lambda: self._background.start(self._time_is_over(app_id)))

    async def _time_is_over(self, app_id: str) -> None:
        async with self._turn:
            app = self._index.get(app_id)
            if app is not None and self._index.is_expired(app):
                await self._expire(app)

    async def _save(self, app: App) -> None:
        await self._records.save(app)
        self._index.keep(app)

    async def _out(self, app: App, reason: RevokeReason) -> None:
        # In memory first: it is out from now on, whatever the disk does.
        if app.id not in self._unremoved:
            self._unremoved[app.id] = app
            self._index.forget(app.id)
            self._noted.pop(app.id, None)
            self._events.publish("revoked", Revoked(app.id, app.name, reason), app=app.id)
            self._events.end(app.id)
        await self._records.remove(app.id)
        del self._unremoved[app.id]

    async def _expire(self, app: App) -> None:
        try:
            await self._out(app, "expired")
        except HelperError as error:
            logger.warning("app_not_removed", extra={"app": app.id, "error": error.code})

    async def _note(self, app_id: str) -> None:
        try:
            async with self._turn:
                app = self._index.get(app_id)
                if app is not None:
                    await self._records.save(app)
        except HelperError as error:
            logger.warning("last_use_not_noted", extra={"app": app_id, "error": error.code})


def caller(app: App) -> Caller:
    """Return the app as a caller."""
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
