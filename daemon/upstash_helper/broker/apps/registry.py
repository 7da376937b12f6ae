"""The registry of apps with access, and their tokens."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from upstash_helper.broker.apps.display_text import MAX_NAME, clean
from upstash_helper.broker.apps.exchanges import Exchanges
from upstash_helper.broker.errors import AppNotFound, HelperError, InvalidRequest
from upstash_helper.broker.identity import Caller
from upstash_helper.broker.ledger import App, AppTimes
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import proof
from upstash_helper.protocol.literals import Audience, RevokeReason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Identity
    from upstash_helper.broker.ledger import AppRecords, Grant
    from upstash_helper.broker.pending_writes import PendingWrites
    from upstash_helper.broker.ports import Clock

logger = logging.getLogger(__name__)

IDLE_SECONDS: Final = 90 * 86_400.0
"""Access ends after this time without a call."""
ONCE_SECONDS: Final = 3600.0
"""Duration of access that is allowed once."""

ACCESS_TOKEN_SECONDS: Final = 3600.0
"""Lifetime of an access token. Its app gets a new one with its refresh token."""
MAX_ACCESS_TOKENS: Final = 32
"""Maximum access tokens of one app. The oldest is dropped."""

MAX_ENDED_FAMILIES: Final = 1024
"""Refresh tokens that have ended and are remembered, for requests that were sent before."""

MAX_MISMATCHES: Final = 5
"""After this many uses from another origin or user, a token counts as stolen and is revoked."""

MAX_FOLDERS: Final = 32
"""Maximum folders in which an app may write."""

# The last use is exact in memory, and written to the ledger at most this often.
_SAVE_SECONDS: Final = 300.0


def token_digest(token: bytes) -> bytes:
    """Return the SHA-256 under which a token is stored. Tokens are 256 random bits and need no salt or stretching."""
    return hashlib.sha256(token).digest()


class _AccessToken(NamedTuple):
    app_id: str
    family: str
    """The refresh token that it belongs to."""
    deadline: float


class AppIndex:
    """In-memory index of the apps. Tokens are looked up by their hash, so the time reveals nothing about them."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._by_id: dict[str, App] = {}
        self._by_digest: dict[bytes, str] = {}
        self._by_key_id: dict[str, str] = {}
        self._access: dict[bytes, _AccessToken] = {}
        self._ended_families: dict[str, None] = {}
        # Monotonic times: of the last call, and of the end of access that is allowed once. The wall clock may be wrong.
        self._used: dict[str, float] = {}
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
        digest = token_digest(token)
        app_id = self._by_digest.get(digest)
        if app_id is None and self._access:
            app_id = self._access_token(digest).app_id
        return self.live(app_id or "")

    def family_of(self, token: bytes) -> str:
        """Return the family of an access token; an empty string if it is unknown or has expired."""
        return self._access_token(token_digest(token)).family

    def add_access_token(self, digest: bytes, *, app_id: str, family: str) -> None:
        """Store the digest of an access token."""
        now = self._clock.monotonic()
        self._access = {key: one for key, one in self._access.items() if now < one.deadline}
        for key in [key for key, one in self._access.items() if one.app_id == app_id][: -(MAX_ACCESS_TOKENS - 1)]:
            del self._access[key]
        self._access[digest] = _AccessToken(app_id, family, now + ACCESS_TOKEN_SECONDS)

    def end_access_tokens(self, family: str) -> None:
        """Remove the access tokens of a refresh token."""
        self._access = {key: one for key, one in self._access.items() if one.family != family}
        self._ended_families[family] = None
        if len(self._ended_families) > MAX_ENDED_FAMILIES:
            del self._ended_families[next(iter(self._ended_families))]

    def has_ended(self, family: str) -> bool:
        """Return whether a refresh token has ended in this run."""
        return family in self._ended_families

    def _access_token(self, digest: bytes) -> _AccessToken:
        known = self._access.get(digest, _NO_ACCESS_TOKEN)
        return known if self._clock.monotonic() < known.deadline else _NO_ACCESS_TOKEN

    def of_key(self, key_id: str) -> App | None:
        """Return the app whose token has this key ID (see ``protocol.proof``); None like ``of_token``."""
        return self.live(self._by_key_id.get(key_id, ""))

    def of_origin(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""
        return any(app.identity.origin == origin and not self.is_expired(app) for app in self._by_id.values())

    def put(self, app: App, *, idle: float | None = None) -> None:
        """Store ``app``, replacing the one with the same ID and its token. ``idle`` is for one that was loaded."""
        now = self._clock.monotonic()
        self._used[app.id] = self._used.get(app.id, now) if idle is None else now - idle
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
        self._access = {key: one for key, one in self._access.items() if one.app_id != app_id}
        self._deadlines.pop(app_id, None)
        self._used.pop(app_id, None)

    def _forget_token(self, app: App) -> None:
        self._by_digest.pop(app.digest, None)
        self._by_key_id.pop(proof.key_id(app.digest), None)

    def used(self, app_id: str) -> None:
        """Record that an app called just now."""
        app = self._by_id.get(app_id)
        if app is not None:
            # For display. It only moves forward, so that a clock that is behind for a moment does not change it.
            last_used_at = max(app.last_used_at, self._clock.time())
            self._by_id[app_id] = msgspec.structs.replace(app, last_used_at=last_used_at)
            self._used[app_id] = self._clock.monotonic()

    def used_at(self, app_id: str) -> float:
        """Return the monotonic time of an app's last call."""
        return self._used.get(app_id, 0.0)

    def times(self, app_id: str) -> AppTimes:
        """Return how long an app has been idle, and how long its access lasts."""
        now, deadline = self._clock.monotonic(), self._deadlines.get(app_id)
        return AppTimes(now - self._used.get(app_id, now), None if deadline is None else deadline - now)

    def deadline(self, app_id: str) -> float | None:
        """Return when an app's access expires, as monotonic time. None: it does not."""
        return self._deadlines.get(app_id)

    def never_expire(self, app_id: str) -> None:
        """Let an app's access end only when it has not been used for a long time."""
        self._deadlines.pop(app_id, None)

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
        return self._clock.monotonic() - self._used.get(app.id, 0.0) >= IDLE_SECONDS


_NO_ACCESS_TOKEN: Final = _AccessToken("", "", float("-inf"))


class Revoked(msgspec.Struct, frozen=True):
    """An event: the access of an app was revoked."""

    app_id: str
    name: str
    reason: RevokeReason


class AppRegistry:
    """
    Grants and revokes the access of apps. Keeps them in memory, in sync with the ledger.

    What gives access is written before it takes effect. What takes access away takes effect first, without waiting for
    anything, and is written as soon as possible.
    """

    def __init__(
        self,
        *,
        records: AppRecords,
        audit: Audit,
        pending: PendingWrites,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._records = records
        self._audit = audit
        self._pending = pending
        self._events = events
        self._background = background
        self._clock = clock
        self._index = AppIndex(clock=clock)
        self.exchanges: Final = Exchanges(allowed=self.has_access)
        """What the apps have open at Upstash. It ends with their access."""
        self.on_access_end: Final[list[Callable[[], None]]] = []
        """Called when an app, or one of its refresh tokens, has lost its access."""
        self.on_new_grant: Final[list[Callable[[str], None]]] = []
        """Called with the ID of an app that had access and has got another grant."""
        self._saved_uses: dict[str, float] = {}
        self._loaded = False
        # Serializes what is written first. What takes access away does not wait for it.
        self._lock = asyncio.Lock()

    # --- reading ------------------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        """
        Read the ledger, once per run. To be called before ``find``, ``approved``, and ``live``.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
            LedgerFull: If the disk is full and the ledger cannot be opened.
        """
        if self._loaded:
            return
        async with self._lock:
            if not self._loaded:
                tombstones = await self._pending.tombstones()
                apps, times = await self._records.load(), await self._records.times()
                for app in apps:
                    if _tombstone(app.id) in tombstones:
                        self._write_later(app.id, kept=True)
                        continue
                    known = times.get(app.id, AppTimes())
                    self._index.put(app, idle=known.idle)
                    if known.left is not None:
                        self._expire_after(app.id, min(known.left, ONCE_SECONDS))
                    self._saved_uses[app.id] = self._index.used_at(app.id)
                self._loaded = True

    def find(self, token: bytes) -> Caller | None:
        """Return the caller with this token; None if it is unknown, expired, or was idle for too long."""
        app = self._index.of_token(token)
        return None if app is None else caller_of(app, family=self._index.family_of(token) or None)

    def digest_of(self, key_id: str) -> bytes | None:
        """Return the SHA-256 of the valid token with this key ID, or None."""
        app = self._index.of_key(key_id)
        return None if app is None else app.digest

    def approved(self, origin: str) -> bool:
        """Return whether an app of ``origin`` has access."""
        return self._index.of_origin(origin)

    def has_access(self, caller: Caller) -> bool:
        """Return whether a caller that was found earlier in this run still has access. The owner always has."""
        if caller.family is not None and self._index.has_ended(caller.family):
            return False
        return caller.is_owner or self._index.live(caller.id) is not None

    def is_live(self, app_id: str) -> bool:
        """Return whether there is an app with this ID, and it has access."""
        return self._index.live(app_id) is not None

    @property
    def live(self) -> tuple[App, ...]:
        """The apps with access, the oldest first."""
        return tuple(app for app in self._index if not self._index.is_expired(app))

    async def all(self) -> tuple[App, ...]:
        """
        Return the apps with access, the newest first. Removes expired ones.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self.ready()
        for app in self._index:
            if self._index.is_expired(app):
                self._remove(app, "expired")
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

    async def add(
        self, *, name: str, identity: Identity, grant: Grant, audience: Audience = "api"
    ) -> tuple[App, Secret]:
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
            audience=audience,
            digest=token_digest(token.reveal().encode()),
            created_at=now,
            last_used_at=now,
            expires_at=now + ONCE_SECONDS if grant.once else None,
        )
        self._events.begin(app.id)
        await self._records.save(app, AppTimes(left=ONCE_SECONDS if grant.once else None))
        self._index.put(app)
        if grant.once:
            self._expire_after(app.id, ONCE_SECONDS)
        return app, token

    async def grant_again(self, app_id: str, grant: Grant) -> tuple[App, Callable[[], None]]:
        """
        Give an app that has access another grant in place of the present one. It stays the same app: it keeps its name,
        its databases, and its folders. Return it, and what takes the new grant back and restores the former.

        Raises:
            AppNotFound: If it has no access, or was revoked meanwhile.
            LedgerUnavailable: It keeps the present grant then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        before, left = self._live(app_id), ONCE_SECONDS if grant.once else None
        deadline = self._index.deadline(app_id)
        app = await self._change(
            app_id,
            left=left,
            scopes=grant.scopes,
            all_databases=grant.all_databases,
            expires_at=None if left is None else self._clock.time() + left,
        )
        self._granted(app_id, left)

        def take_back() -> None:
            now = self._index.get(app_id)
            if now is None:
                return
            self._index.put(
                msgspec.structs.replace(
                    now, scopes=before.scopes, all_databases=before.all_databases, expires_at=before.expires_at
                )
            )
            self._granted(app_id, None if deadline is None else deadline - self._clock.monotonic())
            self._write_later(app_id)

        return app, take_back

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
        return await self._change(app_id, name=shown)

    async def agree(self, app_id: str, folder: str) -> App:
        """
        Allow an app to write variables of its databases to files in a folder, until its access ends. If there are too
        many folders, the oldest is dropped.

        Raises:
            AppNotFound: If there is none with this ID.
            LedgerUnavailable: If it cannot be recorded.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        others = [it for it in self._live(app_id).folders if it != folder]
        return await self._change(app_id, folders=(*others[-MAX_FOLDERS + 1 :], folder))

    async def rotate(self, app_id: str) -> tuple[App, Secret]:
        """
        Give an app a new token. The old one stops working once the new one is written: otherwise a restart would bring
        the old one back and leave the app without access. To end the old one at once, an app revokes its access.

        Raises:
            AppNotFound: If the app was revoked meanwhile.
            LedgerUnavailable: The old token keeps working then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        token = _new_token()
        return await self._change(app_id, digest=token_digest(token.reveal().encode())), token

    async def revoke(self, app_id: str, *, reason: RevokeReason) -> App:
        """
        Revoke an app's access, at once: its token stops working, and its event streams and passed-through requests end.
        Work of the daemon that it started is finished. If the ledger cannot be written, that is done later; see
        ``PendingWrites.written``.

        Raises:
            AppNotFound: If there is none with this ID.
            LedgerUnavailable: If the ledger has not been read yet and cannot be read. No app has access then.
            LedgerFull: Like LedgerUnavailable.
        """
        await self.ready()
        app = self._live(app_id)
        self._remove(app, reason)
        await self._pending.written()
        return app

    def take_back(self, app: App) -> None:
        """Revoke the access of an app that has never got its token."""
        self._remove(app, "app")

    def replaced(self, app_id: str) -> None:
        """Revoke the access of an app whose client received access again, as another app."""
        app = self._index.get(app_id)
        if app is not None:
            self._remove(app, "app")

    # --- access tokens ------------------------------------------------------------------------------------------------

    def issue_access_token(self, app_id: str, *, family: str) -> Secret:
        """
        Return a new access token for an app. It is valid for ``ACCESS_TOKEN_SECONDS``, and at most as long as the app
        has access. It is not written to the ledger.
        """
        token = Secret(f"uhm_{secrets.token_urlsafe(32)}")
        self._index.add_access_token(token_digest(token.reveal().encode()), app_id=app_id, family=family)
        return token

    def family_of(self, token: bytes) -> str:
        """Return the family of an access token; an empty string if it is not valid."""
        return self._index.family_of(token)

    def end_access_tokens(self, family: str) -> None:
        """End the access tokens that came with a refresh token, and what was begun with them and waits or reads."""
        self._index.end_access_tokens(family)
        self._events.end_family(family)
        self.exchanges.end_family(family)
        for call in self.on_access_end:
            call()

    # --- use of tokens ------------------------------------------------------------------------------------------------

    def used(self, app_id: str) -> None:
        """Record that an app called just now."""
        self._index.used(app_id)
        used_at = self._index.used_at(app_id)
        if used_at - self._saved_uses.get(app_id, float("-inf")) >= _SAVE_SECONDS:
            self._saved_uses[app_id] = used_at
            self._background.start(self._save_use(app_id))

    async def misused(self, app_id: str, *, where: str) -> None:
        """
        Record that a token was used from ``where``, to which it is not bound. The fifth time, it is revoked. Both take
        effect at once, also if they cannot be written yet.
        """
        app = self._index.get(app_id)
        if app is None:
            return
        app = msgspec.structs.replace(app, mismatches=app.mismatches + 1)
        logger.warning("token_misused", extra={"app": app.id, "count": app.mismatches})
        if app.mismatches >= MAX_MISMATCHES:
            self._remove(app, "misused")
        else:
            self._index.put(app)
            self._write_later(app.id)
        self._audit.note_later(caller_of(app), "token.misused", where, "origin_mismatch")
        await self._pending.written()

    async def stolen(self, app_id: str, *, where: str, result: str) -> None:
        """
        Revoke the access of an app at once, because a token or code that works once was used again from ``where``.

        Args:
            app_id: The app. Nothing happens if it no longer has access.
            where: The program that used it.
            result: What happened, for the audit log.
        """
        app = self._index.get(app_id)
        if app is None:
            return
        logger.warning("token_stolen", extra={"app": app.id, "result": result})
        self._remove(app, "misused")
        self._audit.note_later(caller_of(app), "token.misused", where, result)
        await self._pending.written()

    async def save_last_uses(self) -> None:
        """Write to the ledger when each app was used last, because the daemon is stopping."""
        for app in self._index:
            if self._index.used_at(app.id) == self._saved_uses.get(app.id):
                continue
            if not await self._save_use(app.id):
                return  # the next attempts would fail as well, and take as long

    # --- internal -----------------------------------------------------------------------------------------------------

    def _live(self, app_id: str) -> App:
        app = self._index.live(app_id)
        if app is None:
            raise AppNotFound
        return app

    def _expire_after(self, app_id: str, seconds: float) -> None:
        """Let an app's access expire in ``seconds``, and end its event streams then."""
        deadline = self._index.expire_after(app_id, seconds)
        self._clock.call_at(deadline, lambda: self._expire_if_due(app_id))

    def _expire_if_due(self, app_id: str) -> None:
        app = self._index.get(app_id)
        if app is not None and self._index.is_expired(app):
            self._remove(app, "expired")

    def _granted(self, app_id: str, left: float | None) -> None:
        """Apply when a new grant ends, and report it."""
        if left is None:
            self._index.never_expire(app_id)
        else:
            self._expire_after(app_id, left)
        for call in self.on_new_grant:
            call(app_id)

    async def _change(self, app_id: str, *, left: float | UnsetType | None = UNSET, **changes: object) -> App:
        """
        Write changed fields of an app, then apply them. ``left``: the seconds after which its access expires, if that
        changes; the caller applies it.
        """
        async with self._lock:
            times = self._index.times(app_id)
            if left is not UNSET:
                times = msgspec.structs.replace(times, left=left)
            await self._records.save(msgspec.structs.replace(self._live(app_id), **changes), times)
            current = self._index.get(app_id)
            if current is None:
                # It was revoked while this was written, which has brought it back in the ledger.
                self._write_later(app_id)
                raise AppNotFound
            changed = msgspec.structs.replace(current, **changes)
            self._index.put(changed)
        return changed

    def _remove(self, app: App, reason: RevokeReason) -> None:
        self._index.remove(app.id)
        self._saved_uses.pop(app.id, None)
        self._events.publish("revoked", Revoked(app.id, app.name, reason), app=app.id)
        self._events.end(app.id)
        self.exchanges.end(app.id)
        self._write_later(app.id)
        for call in self.on_access_end:
            call()

    def _write_later(self, app_id: str, *, kept: bool = False) -> None:
        """Have the ledger get what is known about an app, or that it is gone."""
        gone = self._index.get(app_id) is None
        tombstone = _tombstone(app_id) if gone else None
        self._pending.add(f"app:{app_id}", lambda: self._write(app_id), tombstone=tombstone, kept=kept)

    async def _write(self, app_id: str) -> None:
        async with self._lock:
            app = self._index.get(app_id)
            if app is None:
                await self._records.remove(app_id)
            else:
                await self._records.save(app, self._index.times(app_id))

    async def _save_use(self, app_id: str) -> bool:
        try:
            async with self._lock:
                app = self._index.get(app_id)
                if app is not None:
                    await self._records.save(app, self._index.times(app_id))
        except HelperError as error:
            logger.warning("last_use_not_saved", extra={"app": app_id, "error": error.code})
            return False
        return True


def caller_of(app: App, *, family: str | None = None) -> Caller:
    """Return the caller that uses the app's token; ``family`` is the refresh token that it belongs to, if any."""
    return Caller(
        kind="app",
        id=app.id,
        name=app.name,
        identity=app.identity,
        scopes=app.scopes,
        all_databases=app.all_databases,
        audience=app.audience,
        creator_key=app.creator_key,
        family=family,
    )


def _tombstone(app_id: str) -> str:
    return f"app:{app_id}"


def _new_token() -> Secret:
    return Secret(f"uha_{secrets.token_urlsafe(32)}")
