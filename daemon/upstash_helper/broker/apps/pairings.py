"""
The app's side of being let in: it asks, looks what became of it, and fetches its token. In the manner of RFC 8628: no
request waits for a person.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.display_text import LONGEST_NAME, LONGEST_REASON, clean
from upstash_helper.broker.apps.pairing_queue import LIFETIME
from upstash_helper.broker.apps.registry import caller, token_digest
from upstash_helper.broker.identity import Caller, Identity, ordered
from upstash_helper.broker.ledger import App, Approved, Delivered, Denied, Grant, Pairing, Waiting, Withdrawn
from upstash_helper.broker.models import Secret
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.apps.rate_limits import PairingRateLimiter
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.ports import Clock, Notifier

POLL_SECONDS: Final = 2.0
"""How often an app may look; it waits for a person."""

# RFC 8628, section 6.1: no vowels, so no words; no characters that are mistaken for each other.
_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"


class PairingRequest(NamedTuple):
    """What an app asks for."""

    identity: Identity
    name: str
    scopes: tuple[Scope, ...]
    reason: str = ""


class Pairings:
    """What is begun here is finished, also when the app goes away: what it would have been told, it can still ask."""

    def __init__(
        self,
        *,
        queue: PairingQueue,
        apps: AppRegistry,
        audit: Audit,
        rate_limiter: PairingRateLimiter,
        notifier: Notifier,
        background: Background,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._apps = apps
        self._audit = audit
        self._rate_limiter = rate_limiter
        self._notifier = notifier
        self._background = background
        self._clock = clock

    async def ask(self, request: PairingRequest) -> tuple[Pairing, Secret]:
        """
        Ask the user to let an app in. Return the pairing and the secret by which its app is known.

        Raises:
            InvalidRequest: If nothing of the name can be shown, or no scope is wished for.
            AppBlocked: If the user blocked this identity.
            PairingPending: If its earlier request still waits.
            TooManyPairings: With the exact ``retry_after``: it asked too often, was denied a moment ago, or the user
                has enough requests to decide about.
            LedgerUnavailable: If it cannot be written down.
            LedgerFull: As LedgerUnavailable.
        """
        name, reason = clean(request.name, LONGEST_NAME), clean(request.reason, LONGEST_REASON)
        if not name:
            raise errors.InvalidRequest("The name has no character that can be shown.", pointer="/name")
        if not request.scopes:
            raise errors.InvalidRequest("Request at least one scope.", pointer="/scopes")
        secret, now = Secret(f"uhp_{secrets.token_urlsafe(32)}"), self._clock.time()
        pairing = Pairing(
            id=secrets.token_hex(8),
            digest=token_digest(secret.reveal().encode()),
            user_code=_user_code(),
            identity=request.identity,
            name=name,
            scopes=ordered(request.scopes),
            reason=reason,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        await self._background.finish(self._ask(pairing))
        return pairing, secret

    async def _ask(self, pairing: Pairing) -> None:
        async with self._queue.turn:
            await self._queue.open()
            if self._queue.is_blocked(pairing.identity.key):
                raise errors.AppBlocked("The user does not want to be asked by this app any more.")
            self._rate_limiter.check(pairing.identity, waiting=self._queue.remaining)
            asker = Caller(kind="app", id=f"pairing:{pairing.id}", name=pairing.name, identity=pairing.identity)
            await self._audit.note(asker, "pairing.ask", pairing.id)
            await self._queue.put(pairing, lasts=LIFETIME)
        self._background.start(self._tell(pairing))

    async def _tell(self, pairing: Pairing) -> None:
        await self._notifier.show(
            title=f"{pairing.identity.shown} asks to use your Upstash account",
            body=(
                # The name comes last: nothing that it says can stand before what is true.
                f"It shows the code {pairing.user_code}. To decide: upstash-helper approvals list. "
                f'It calls itself "{pairing.name}".'
            ),
        )

    async def find(self, pairing_id: str, secret: bytes | None, origin: str | None) -> Pairing:
        """
        Return a pairing to the app that asked for it.

        Raises:
            PairingNotFound: If there is none of that id, the secret is not its own, or another origin asks.
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.turn:
            await self._queue.open()
            return self._own(pairing_id, secret, origin)

    async def token(self, pairing_id: str, secret: bytes | None, origin: str | None) -> tuple[App, Secret]:
        """
        Let the app in and hand out its token, once.

        Raises:
            PairingNotFound: As ``find``.
            PairingUndecided: If the user has not decided.
            PairingDenied: If the user said no.
            PairingExpired: If it took too long.
            TokenDelivered: If it was handed out before.
            LedgerUnavailable: If it cannot be written down; it can be fetched later.
            LedgerFull: As LedgerUnavailable.
        """
        return await self._background.finish(self._token(pairing_id, secret, origin))

    async def _token(self, pairing_id: str, secret: bytes | None, origin: str | None) -> tuple[App, Secret]:
        async with self._queue.turn:
            await self._queue.open()
            pairing = self._own(pairing_id, secret, origin)
            grant = self._granted(pairing)
            app, token = await self._apps.add(name=pairing.name, identity=pairing.identity, grant=grant)
            try:
                await self._audit.note(caller(app), "app.let_in", pairing.id)
                await self._queue.put(msgspec.structs.replace(pairing, decision=Delivered(app_id=app.id)))
            except BaseException:
                # Its token is handed out to nobody; the next try gets an app of its own.
                await self._apps.revoke(app.id, reason="app")
                raise
        return app, token

    async def withdraw(self, pairing_id: str, secret: bytes | None, origin: str | None) -> None:
        """
        Ask no longer: the prompt goes away, and the app may ask anew at once, unless it does that all the time. Nothing
        happens once it is let in or not.

        Raises:
            PairingNotFound: As ``find``.
            LedgerUnavailable: Then it still waits.
            LedgerFull: As LedgerUnavailable.
        """
        await self._background.finish(self._withdraw(pairing_id, secret, origin))

    async def _withdraw(self, pairing_id: str, secret: bytes | None, origin: str | None) -> None:
        async with self._queue.turn:
            await self._queue.open()
            pairing = self._own(pairing_id, secret, origin)
            if self._queue.is_open(pairing):
                await self._queue.put(msgspec.structs.replace(pairing, decision=Withdrawn()))
                self._rate_limiter.withdrawn(pairing.identity)

    def is_expired(self, pairing: Pairing) -> bool:
        """Return whether the time for the next step has run out."""
        return self._queue.is_expired(pairing)

    def _own(self, pairing_id: str, secret: bytes | None, origin: str | None) -> Pairing:
        pairing = self._queue.get(pairing_id)
        known = pairing is not None and hmac.compare_digest(pairing.digest, token_digest(secret or b""))
        if pairing is None or not known or not _same(pairing.identity, origin):
            raise errors.PairingNotFound("There is no such pairing, or its poll_secret is another one.")
        return pairing

    def _granted(self, pairing: Pairing) -> Grant:
        match pairing.decision:
            case Delivered():
                raise errors.TokenDelivered("The token was handed out: that is done once. Pair anew if it is lost.")
            case Denied():
                raise errors.PairingDenied("The user said no.")
            case Withdrawn():
                raise errors.PairingExpired("It was withdrawn. Ask anew.")
            case _ if self._queue.is_expired(pairing):
                raise errors.PairingExpired("It took too long. Ask anew.")
            case Waiting():
                raise errors.PairingUndecided("The user has not decided yet.", retry_after=POLL_SECONDS)
            case Approved(grant=grant):
                return grant


def _same(identity: Identity, origin: str | None) -> bool:
    # An extension's GET has no Origin (see the guard); the poll secret is what it is known by.
    return origin == identity.origin or (origin is None and identity.kind == "extension")


def _user_code() -> str:
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
