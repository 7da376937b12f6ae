"""The apps in memory: by their ids, by their tokens, and whose time is over."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.broker.ledger import App
    from upstash_helper.broker.ports import Clock

IDLE_SECONDS: Final = 90 * 86_400.0
"""An app that has not called for this long is out."""
ONCE_SECONDS: Final = 3600.0
"""How long "allow once" is."""


def digest_of(token: bytes) -> bytes:
    """Return by what a token is known. It has 256 random bits, so its hash needs no salt and no stretching."""
    return hashlib.sha256(token).digest()


class AppRegister:
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
        return None if app is None or self.is_over(app) else app

    def of_token(self, token: bytes) -> App | None:
        """Return whose ``token`` is; None for one that is unknown, or whose app's time is over."""
        return self.live(self._by_digest.get(digest_of(token), ""))

    def of_origin(self, origin: str) -> bool:
        """Return whether some app of ``origin`` is let in."""
        return any(app.identity.origin == origin and not self.is_over(app) for app in self._by_id.values())

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

    def is_over(self, app: App) -> bool:
        """Return whether its hour is over, or it has been idle for too long."""
        deadline = self._deadlines.get(app.id)
        if deadline is not None and self._clock.monotonic() >= deadline:
            return True
        return self._clock.time() - app.last_used_at >= IDLE_SECONDS
