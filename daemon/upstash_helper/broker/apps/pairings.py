"""
The app's side of pairing: it requests access, polls for the decision, and fetches its token.

Modeled on the OAuth device flow (RFC 8628): no HTTP request waits for a person.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from upstash_helper.broker import errors
from upstash_helper.broker.apps.display_text import MAX_NAME, MAX_REASON, clean
from upstash_helper.broker.apps.pairing_limits import LIFETIME, Asker
from upstash_helper.broker.apps.registry import caller_of, token_digest
from upstash_helper.broker.apps.sites import PROGRAMS
from upstash_helper.broker.identity import Identity, of_origin, ordered
from upstash_helper.broker.ledger import App, Approved, Delivered, Denied, Grant, Pairing, Waiting, Withdrawn
from upstash_helper.broker.models import Secret
from upstash_helper.protocol import proof
from upstash_helper.protocol.literals import Audience, ProgramWarning, Scope
from upstash_helper.protocol.shorten import MAX_SHOWN, shorten

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.apps.pairing_limits import PairingRateLimiter
    from upstash_helper.broker.apps.pairing_queue import PairingQueue
    from upstash_helper.broker.apps.registry import AppRegistry
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.audit import Audit
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.ports import Clock, Notifier

POLL_SECONDS: Final = 2.0
"""How often an app may poll."""

# RFC 8628, section 6.1: no vowels, so no words, and no characters that are easily confused.
_CODE_LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"


class PairingRequest(NamedTuple):
    """An app's request for access."""

    identity: Identity
    name: str
    scopes: tuple[Scope, ...]
    reason: str = ""
    connect_if_needed: bool = False
    """Whether ``connection:write`` is requested as well, if no account is connected."""
    via_bridge: bool = False
    """Whether the bridge window forwarded the request."""
    audience: Audience = "api"
    """Where the app's token will be accepted."""


class OfSameProgram(NamedTuple):
    """What else the program of an agent's request has. For the user, who would take a second prompt for an error."""

    codes: tuple[str, ...] = ()
    """The codes of its other pending requests."""
    has_access: bool = False


class Pairings:
    """Handles access requests. What was started is finished even if the app disconnects; the app can poll for it."""

    def __init__(
        self,
        *,
        queue: PairingQueue,
        apps: AppRegistry,
        audit: Audit,
        sites: Sites,
        rate_limiter: PairingRateLimiter,
        notifier: Notifier,
        is_sign_in_needed: Callable[[], Awaitable[bool]],
        is_running: Callable[[int], bool],
        is_automatic: Callable[[], Awaitable[bool]] | None = None,
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            queue: The requests.
            apps: The apps with access.
            audit: The audit log.
            sites: Finds the site of an identity.
            rate_limiter: The limits on requests.
            notifier: Notifies the user of requests.
            is_sign_in_needed: Returns whether no account is connected, so that an app needs to start a sign-in.
            is_running: Returns whether a process has not ended.
            is_automatic: Returns whether requests are approved automatically, because nothing that they can reach is
                real. None: never.
            background: Finishes what was started, even if the app disconnects.
            clock: The clock.
        """
        self._queue = queue
        self._apps = apps
        self._audit = audit
        self._sites = sites
        self._rate_limiter = rate_limiter
        self._notifier = notifier
        self._is_sign_in_needed = is_sign_in_needed
        self._is_running = is_running
        self._is_automatic = is_automatic
        self._background = background
        self._clock = clock

    async def precheck(self, identity: Identity | None) -> None:
        """
        Count a request and refuse it if that is possible without knowing the program that sent it, because it takes
        long to find out. To be called before ``begin``, which checks again.

        Args:
            identity: The page or extension; None for a program.

        Raises:
            AppBlocked: As for ``begin``.
            PairingPending: As for ``begin``.
            TooManyPairings: As for ``begin``; also if too many programs request access at the same time.
            LedgerUnavailable: If the ledger cannot be read.
        """
        await self._apps.ready()
        if await self._needs_nobody():
            return
        async with self._queue.lock:
            await self._queue.load()
            if identity is None:
                if self._queue.is_site_blocked(PROGRAMS):
                    raise errors.AppBlocked
                self._rate_limiter.count_program()
                return
            asker = self._asker(identity)
            self._refuse_blocked(asker)
            self._rate_limiter.count(asker)
            # Whether the sender may replace a pending request is known only after its program has been looked up.
            self._rate_limiter.check(asker, may_replace=lambda _: True)

    async def begin(self, request: PairingRequest) -> tuple[Pairing, Secret]:
        """
        Create an access request. Return the pairing and the poll secret that authenticates its app. It replaces a
        pending request of the same app if it comes from the same sender (see ``_is_same_sender``). If ``is_automatic``
        applies, it is already approved.

        Raises:
            InvalidRequest: If the name has no visible character, or no scope is requested.
            AppBlocked: If the user has blocked this identity or its site.
            PairingPending: If an earlier request of this app is pending, and was sent by another process that is still
                running, or the app has replaced its requests too often.
            TooManyPairings: With the exact ``retry_after``: too many requests or prompts of this site, a recent denial,
                or no place for another request.
            LedgerUnavailable: If it cannot be recorded.
            LedgerFull: Like LedgerUnavailable.
        """
        name, reason = clean(request.name, MAX_NAME), clean(request.reason, MAX_REASON)
        if not name:
            raise errors.InvalidRequest("The name has no visible character.", pointer="/name")
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
            audience=request.audience,
            site=self._sites.of(request.identity),
            created_at=now,
            expires_at=now + LIFETIME,
            decision=Waiting(via_bridge=request.via_bridge),
        )
        begin = self._begin_approved if await self._needs_nobody() else self._begin
        await self._background.finish(begin(pairing, connect_if_needed=request.connect_if_needed))
        return pairing, secret

    async def _needs_nobody(self) -> bool:
        return self._is_automatic is not None and await self._is_automatic()

    async def _begin_approved(self, pairing: Pairing, *, connect_if_needed: bool) -> None:
        """Approve a request with the requested scopes. No limit applies, since nobody sees a prompt."""
        await self._apps.ready()
        async with self._queue.lock:
            await self._queue.load()
            asker = self._asker(pairing.identity, pairing.name)
            self._refuse_blocked(asker)
            scopes = pairing.scopes
            if connect_if_needed and await self._is_sign_in_needed():
                scopes = ordered((*scopes, "connection:write"))
            decision = Approved(grant=Grant(scopes=scopes))
            pairing = msgspec.structs.replace(pairing, scopes=scopes, decision=decision)
            await self._audit.note_request(pairing.identity, pairing.name, pairing.id, automatic=True)
            await self._queue.put(pairing, before=None, lasts=LIFETIME)
            if self._queue.is_blocked(asker.identity, site=asker.site):  # while this was written
                self._queue.end(msgspec.structs.replace(pairing, decision=Denied(at=self._clock.time())))
                raise errors.AppBlocked

    async def _begin(self, pairing: Pairing, *, connect_if_needed: bool) -> None:
        await self._apps.ready()
        async with self._queue.lock:
            await self._queue.load()
            asker = self._asker(pairing.identity, pairing.name)
            self._refuse_blocked(asker)
            if asker.group == "programs":  # those of pages were counted before their program was looked up
                self._rate_limiter.count(asker)
            replaces = self._check(asker)
            # After the limits: this may read the keyring, which may ask the user to unlock it.
            if connect_if_needed and await self._is_sign_in_needed():
                pairing = msgspec.structs.replace(pairing, scopes=ordered((*pairing.scopes, "connection:write")))
            pairing = self._replacing(pairing, replaces)
            await self._audit.note_request(pairing.identity, pairing.name, pairing.id)
            await self._queue.put(pairing, before=None, lasts=LIFETIME)
            self._queue.replaced(pairing)
            self._rate_limiter.shown(pairing, asker)
            if self._was_denied(replaces):
                # Meanwhile, the user denied the request that this one replaces, and has not seen this one.
                self._queue.end(msgspec.structs.replace(pairing, decision=Withdrawn()))
                self._rate_limiter.withdrawn(pairing)
                self._check(asker)
                raise errors.PairingDenied
            if self._queue.is_blocked(asker.identity, site=asker.site):
                denied = msgspec.structs.replace(pairing, decision=Denied(at=self._clock.time()))
                self._queue.end(denied)
                self._rate_limiter.denied(denied)
                raise errors.AppBlocked
        if not (isinstance(pairing.decision, Waiting) and pairing.decision.is_repeated):
            self._background.start(self._notify(pairing))

    def _check(self, asker: Asker) -> str:
        """Check the limits, and return the pending request that a new one replaces."""
        return self._rate_limiter.check(asker, may_replace=lambda it: self._is_same_sender(it, asker.identity))

    def _is_same_sender(self, earlier: Identity, now: Identity) -> bool:
        """
        Return whether a request has the same sender as an earlier one of the same app, so that it may replace it.

        A program can send any name and any origin. So a page's request must come from the same browser, and a
        program's from the same process, unless that one has ended: no other script can take away a running script's
        request. A reused process ID can only prevent a replacement.
        """
        if now.kind != "native":
            is_apart = "sandboxed" in now.warnings, "sandboxed" in earlier.warnings
            return bool(now.program) and now.program == earlier.program and is_apart[0] == is_apart[1]
        # Not the program for which it asks: all that an agent has started would be one sender.
        sender = earlier.sending_pid
        if not now.name or now.key != earlier.key or sender is None:
            return False
        # If several hold the connection, it could be any of them.
        is_same = now.sending_pid == sender and now.pid == earlier.pid and not now.others
        return is_same or not self._is_running(sender)

    def _replacing(self, pairing: Pairing, replaces: str) -> Pairing:
        old = self._queue.get(replaces)
        if old is None or not isinstance(pairing.decision, Waiting) or not isinstance(old.decision, Waiting):
            return pairing
        # Not the reason: an app could change it to cause notifications.
        before = (old.name, old.scopes, old.decision.via_bridge, old.identity.limits_key)
        now = (pairing.name, pairing.scopes, pairing.decision.via_bridge, pairing.identity.limits_key)
        decision = msgspec.structs.replace(pairing.decision, replaces=old.id, is_repeated=before == now)
        return msgspec.structs.replace(pairing, decision=decision)

    def _was_denied(self, pairing_id: str) -> bool:
        pairing = self._queue.get(pairing_id)
        return pairing is not None and isinstance(pairing.decision, Denied)

    def _asker(self, identity: Identity, name: str = "") -> Asker:
        site = self._sites.of(identity)
        asker = Asker(identity=identity, site=site, name=name)
        approved = self._apps.live
        same = (it for it in approved if it.identity.key == identity.key)
        return msgspec.structs.replace(
            asker,
            # A program that the system cannot identify could be any program.
            has_access=bool(identity.name) and any(asker.group == "pages" or it.name == name for it in same),
            shares_site=any(self._sites.of(it.identity) == site for it in approved),
        )

    def _refuse_blocked(self, asker: Asker) -> None:
        if self._queue.is_blocked(asker.identity, site=asker.site):
            raise errors.AppBlocked

    async def _notify(self, pairing: Pairing) -> None:
        # Imported late: a daemon that starts needs no texts.
        from upstash_helper.protocol.messages import VIA_BRIDGE, request_title

        who, title = pairing.identity.shown, request_title(pairing.identity.shown, _warnings(pairing.identity))
        via_bridge = isinstance(pairing.decision, Waiting) and pairing.decision.via_bridge
        bridge = f" {VIA_BRIDGE}" if via_bridge else ""
        await self._notifier.show(
            title=title,
            body=(
                # The unverified name comes last, so that it cannot pass for the verified text before it.
                f"{'' if title.startswith(who) else f'{shorten(who, MAX_SHOWN)}. '}"
                f"It shows the code {pairing.user_code}.{bridge} To approve or deny it: upstash-helper approvals list. "
                f'It calls itself "{pairing.name}".'
            ),
        )

    async def find(self, pairing_id: str, secret: bytes | None, origin: str | None) -> Pairing:
        """
        Return a pairing to the app that requested it.

        Raises:
            PairingNotFound: If there is none with this ID, or the secret or the origin does not match.
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.lock:
            await self._queue.load()
            return self._own(pairing_id, secret, origin)

    async def token(self, pairing_id: str, secret: bytes | None, origin: str | None) -> tuple[App, Secret]:
        """
        Give the app access and return its token, once.

        Raises:
            PairingNotFound: Like ``find``.
            PairingUndecided: If the user has not decided.
            PairingDenied: If the user denied the request.
            PairingExpired: If its time is over.
            PairingReplaced: If the app has sent a new request.
            TokenDelivered: If the token was delivered before.
            LedgerUnavailable: If it cannot be recorded. The token can be fetched later.
            LedgerFull: Like LedgerUnavailable.
        """
        return await self._background.finish(self._token(pairing_id, secret, origin))

    async def grant_again(self, pairing_id: str, secret: bytes | None, app_id: str) -> App:
        """
        Give an app that has access what the user has approved now, in place of what it had, once. Callers must have
        verified that it is the app that sent the request.

        Raises:
            AppNotFound: If the app has no access any more.
            HelperError: As for ``token``.
        """
        return await self._background.finish(self._grant_again(pairing_id, secret, app_id))

    async def _grant_again(self, pairing_id: str, secret: bytes | None, app_id: str) -> App:
        async with self._queue.lock:
            await self._queue.load()
            pairing = self._own(pairing_id, secret, None)
            grant = self._granted(pairing)
            app, take_back = await self._apps.grant_again(app_id, grant)
            try:
                await self._deliver(pairing, app)
            except BaseException:
                take_back()
                raise
        return app

    async def _token(self, pairing_id: str, secret: bytes | None, origin: str | None) -> tuple[App, Secret]:
        async with self._queue.lock:
            await self._queue.load()
            pairing = self._own(pairing_id, secret, origin)
            grant = self._granted(pairing)
            app, token = await self._apps.add(
                name=pairing.name, identity=pairing.identity, grant=grant, audience=pairing.audience
            )
            try:
                await self._deliver(pairing, app)
            except BaseException:
                # This token is never delivered. The next attempt creates a new app.
                self._apps.take_back(app)
                raise
        return app, token

    async def _deliver(self, pairing: Pairing, app: App) -> None:
        await self._audit.note(caller_of(app), "app.let_in", pairing.id)
        delivered = msgspec.structs.replace(pairing, decision=Delivered(app_id=app.id))
        await self._queue.put(delivered, before=pairing)

    async def withdraw(self, pairing_id: str, secret: bytes | None, origin: str | None) -> None:
        """
        Withdraw a request: its prompt disappears at once, and the app may request access again immediately, unless it
        withdraws too often. Others have to wait for its place as if it had not been withdrawn. Has no effect on a
        request that was denied or whose token was delivered. If the ledger cannot be written now, that is done later.

        Raises:
            PairingNotFound: Like ``find``.
            LedgerUnavailable: If the ledger has not been read yet and cannot be read.
            LedgerFull: Like LedgerUnavailable.
        """
        await self._queue.load()
        pairing = self._own(pairing_id, secret, origin)
        if self._queue.is_open(pairing):
            self._queue.end(msgspec.structs.replace(pairing, decision=Withdrawn()))
            self._rate_limiter.withdrawn(pairing)
        await self._background.finish(self._queue.written())

    async def digest_of(self, key_id: str) -> bytes | None:
        """
        Return the SHA-256 of the poll secret with this key ID (see ``protocol.proof``), or None.

        Raises:
            LedgerUnavailable: If the ledger cannot be read.
        """
        async with self._queue.lock:
            await self._queue.load()
            return next((it.digest for it in self._queue.all if proof.key_id(it.digest) == key_id), None)

    def is_expired(self, pairing: Pairing) -> bool:
        """Return whether the time for the next step has run out."""
        return self._queue.is_expired(pairing)

    def of_same_program(self, pairing: Pairing) -> OfSameProgram:
        """
        Return what else the program has that requests access to ``/mcp``: it can connect in several ways, and each of
        them has its own request (see ``broker.authorization.requests``).
        """
        if pairing.audience != "mcp" or not self._queue.waits(pairing) or not pairing.identity.name:
            return OfSameProgram()
        # Imported late: few daemons are asked by an agent.
        from upstash_helper.broker.apps.programs import is_same_program

        def is_same(it: Pairing | App) -> bool:
            return it.audience == "mcp" and is_same_program(pairing.identity, it.identity)

        return OfSameProgram(
            codes=tuple(it.user_code for it in self._queue.waiting if it.id != pairing.id and is_same(it)),
            has_access=any(is_same(app) for app in self._apps.live),
        )

    def asker_key(self, origin: str | None, pairing_id: str, secret: bytes | None) -> str:
        """
        Return the key under which the requests of a sender without access are counted: its own request for access if
        it has the secret, so that others cannot use up its polls; otherwise its site, however many origins that has.
        """
        if self._with_secret(pairing_id, secret) is not None:
            return f"pairing:{pairing_id}"
        identity = None if origin is None else of_origin(origin)
        return PROGRAMS if identity is None else self._sites.of(identity)

    def _own(self, pairing_id: str, secret: bytes | None, origin: str | None) -> Pairing:
        pairing = self._with_secret(pairing_id, secret)
        if pairing is None or not _is_same_origin(pairing.identity, origin):
            raise errors.PairingNotFound
        return pairing

    def _with_secret(self, pairing_id: str, secret: bytes | None) -> Pairing | None:
        pairing = self._queue.get(pairing_id)
        known = pairing is not None and hmac.compare_digest(pairing.digest, token_digest(secret or b""))
        return pairing if known else None

    def _granted(self, pairing: Pairing) -> Grant:
        match pairing.decision:
            case Delivered():
                raise errors.TokenDelivered
            case Denied():
                raise errors.PairingDenied
            case Withdrawn(replaced_by=new) if new:
                raise errors.PairingReplaced
            case Withdrawn():
                raise errors.PairingExpired("The request was withdrawn. Request access again.")
            case _ if self._queue.is_expired(pairing):
                raise errors.PairingExpired
            case Waiting():
                raise errors.PairingUndecided(retry_after=POLL_SECONDS)
            case Approved(grant=grant):
                return grant


def _is_same_origin(identity: Identity, origin: str | None) -> bool:
    # An extension's GET has no Origin (see the guard), so the poll secret alone authenticates it.
    return origin == identity.origin or (origin is None and identity.kind == "extension")


def _warnings(identity: Identity) -> tuple[ProgramWarning, ...]:
    """Return the warnings that are about the identity itself, and not about the browser of a page."""
    return identity.warnings if identity.kind == "native" else ()


def _user_code() -> str:
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
