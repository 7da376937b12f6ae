"""
The OAuth flow: attempts are started, completed by a redirect, canceled, or expire.

If an app's sign-in leads to another account than the connected one, the user decides before anything is created or
stored. Until then the tokens are kept in memory.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from upstash_helper.broker.account.attempts import (
    CONFIRMATION_SECONDS,
    Alive,
    Attempt,
    Attempts,
    ConfirmationRequired,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
    refusal,
)
from upstash_helper.broker.account.sign_in import SignedIn
from upstash_helper.broker.apps.rate_limits import SlidingWindow
from upstash_helper.broker.errors import (
    AttemptNotFound,
    InvalidRequest,
    NothingToConfirm,
    NotTheStarter,
    StoreLocked,
    StoreUnavailable,
)
from upstash_helper.broker.models import Credential, account_name
from upstash_helper.broker.ports import AuthorizationFailed

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from upstash_helper.broker.account.attempts import Redirect
    from upstash_helper.broker.account.credential_cache import CredentialCache
    from upstash_helper.broker.account.sign_in import SignIn
    from upstash_helper.broker.apps.sites import Sites
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.models import Secret
    from upstash_helper.broker.ports import AuthorizationServer, Clock

logger = logging.getLogger(__name__)

T = TypeVar("T")

DECLINED_SECONDS: Final = 600.0
"""How long after the user declined another sign-in of the same app is declined without asking."""

MAX_QUESTIONS: Final = 3
"""Questions of one app within that time, whatever became of them. An app can end its own sign-in."""

_APPS: Final = 256
_OUTDATED: Final = "The connected account was changed before you answered."
_DECLINED: Final = (
    "You kept the connected account a few minutes ago, so you were not asked again. To use another account, sign in "
    "with the helper's own tools: upstash-helper connect --force"
)

_ASKED_OFTEN: Final = (
    "Sign-ins of this app have asked you several times within ten minutes whether to replace the connected account, so "
    "this one ended without asking."
)
_NO_ACCESS: Final = "The app that started this sign-in no longer has access."


class _Parked(NamedTuple):
    """What an attempt that waits for the user's decision needs to go on. Never written to disk, never published."""

    attempt_id: str
    signed_in: SignedIn
    replaces: Credential


class OAuthFlow:
    """Runs sign-ins, from the authorization request to the stored credential."""

    def __init__(
        self,
        *,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        credentials: CredentialCache,
        turn: asyncio.Lock,
        changed: Callable[[Attempt], Coroutine[object, object, None]],
        ask: Callable[[ConfirmationRequired], Coroutine[object, object, object]],
        left: Callable[[Credential | None, Credential], None],
        has_access: Callable[[Caller], bool],
        sites: Sites,
        tls_hellos: Callable[[], int],
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            server: Upstash's authorization server, if a sign-in is possible.
            sign_in: Exchanges a code for a stored credential.
            credentials: The connected account's credential.
            turn: The lock to hold while changing the credential.
            changed: Publishes a changed attempt.
            ask: Draws the user's attention to a decision.
            left: Called with the credentials before and after a sign-in.
            has_access: Returns whether a caller still has access.
            sites: Finds the site of an app, which the limits on questions apply to.
            tls_hellos: Returns how many connections to the callback address have started a TLS handshake so far.
            background: Finishes what was started, even if the caller disconnects.
            clock: The clock.
        """
        self._server = server
        self._sign_in = sign_in
        self._credentials = credentials
        self._turn = turn
        self._changed = changed
        self._ask = ask
        self._left = left
        self._background = background
        self._clock = clock
        self._has_access = has_access
        self._sites = sites
        self._attempts = Attempts(clock=clock, tls_hellos=tls_hellos, has_access=has_access)
        self._parked: _Parked | None = None
        self._declined = SlidingWindow(limit=1, seconds=DECLINED_SECONDS, keys=_APPS, clock=clock)
        self._asked = SlidingWindow(limit=MAX_QUESTIONS, seconds=DECLINED_SECONDS, keys=_APPS, clock=clock)

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt, in any state."""
        return self._settled(self._attempts.latest)

    @property
    def alive(self) -> Alive | None:
        """The attempt that can still succeed, if there is one."""
        return self._attempts.alive

    def attempt(self, attempt_id: str) -> Attempt:
        """
        Return one attempt.

        Raises:
            AttemptNotFound: If there is none with this ID.
        """
        found = self._settled(self._attempts.get(attempt_id))
        if found is None:
            raise AttemptNotFound
        return found

    def _settled(self, attempt: T) -> T:
        """Revoke the tokens that are kept for an attempt that no longer needs them, such as that of a revoked app."""
        if isinstance(attempt, Succeeded | Failed | Expired):
            self._discard(attempt.id)
        return attempt

    def requesters(self, attempt_id: str) -> tuple[Caller, ...]:
        """Return who requested an attempt: the caller that started it, then those that joined."""
        return self._attempts.requesters(attempt_id)

    def is_starter(self, attempt_id: str, caller: Caller) -> bool:
        """Return whether ``caller`` started an attempt. All of the user's own tools are the same caller."""
        return self._attempts.is_starter(attempt_id, caller)

    def page(self, attempt_id: str) -> str:
        """Return the secret in the address of an attempt's result page; empty if there is no such attempt."""
        return self._attempts.page(attempt_id)

    def by_page(self, page: str) -> Attempt:
        """
        Return the attempt whose result page has this secret.

        Raises:
            AttemptNotFound: If there is none.
        """
        found = self._attempts.by_page(page)
        if found is None:
            raise AttemptNotFound
        return found

    def join(self, attempt: Attempt, caller: Caller) -> None:
        """Add ``caller`` to the requesters of ``attempt``."""
        self._attempts.add_requester(attempt.id, caller)

    def begin(self, server: AuthorizationServer, caller: Caller, *, taken_over: Pending | None = None) -> Pending:
        """
        Start an attempt for ``caller``, or continue another caller's under a new address; see ``Attempts.begin``. The
        caller of this method publishes it; later changes are published from here.
        """
        attempt = self._attempts.begin(server, caller, taken_over=taken_over)
        self._schedule(attempt)
        return attempt

    def _schedule(self, attempt: Pending) -> None:
        self._clock.call_at(attempt.hinted, lambda: self._publish_if(attempt.id, Pending))
        self._clock.call_at(attempt.deadline, lambda: self._publish_if(attempt.id, Expired))

    def _publish_if(self, attempt_id: str, expected: type[Pending | Expired]) -> None:
        """Publish an attempt that has changed with time. Reads compute the state from the clock and need no event."""
        attempt = self._attempts.get(attempt_id)
        if isinstance(attempt, expected):
            self._background.start(self._changed(attempt))

    def give_up(self, attempt: Pending | ConfirmationRequired, detail: str = "") -> Failed:
        """End an attempt whose code has not been used up. The caller of this method publishes it."""
        failed = self._attempts.fail(attempt, "cancelled", detail)
        self._discard(attempt.id)
        return failed

    async def cancel(self, attempt_id: str, caller: Caller) -> Attempt:
        """
        Cancel an attempt: one that is pending, or one that waits for a decision, so that the connected account is
        kept. An attempt that is being exchanged can no longer be canceled.

        Raises:
            AttemptNotFound: If there is none with this ID, or the caller has no way to know that there is.
            NotTheStarter: If an app that did not start it requests this.
        """
        attempt = self.attempt(attempt_id)
        if not caller.is_owner and not self.is_starter(attempt_id, caller):
            joined = caller.id in {requester.id for requester in self.requesters(attempt_id)}
            raise NotTheStarter if joined or caller.has("connection:read") else AttemptNotFound
        match attempt:
            case Pending():
                attempt = self.give_up(attempt)
            case ConfirmationRequired():
                if caller.is_owner:
                    self._declined.take(self._limit_key(attempt.starter))
                attempt = self._attempts.fail(attempt, "replacement_declined" if caller.is_owner else "cancelled")
                self._discard(attempt_id)
            case _:
                return attempt
        await self._changed(attempt)
        return attempt

    # --- the user's decision ------------------------------------------------------------------------------------------

    async def confirm(self, attempt_id: str) -> Attempt:
        """
        Let an attempt that waits for a decision replace the connected account. To be called for the user only.

        Raises:
            AttemptNotFound: If there is none with this ID.
            NothingToConfirm: If it does not wait for a decision, or no longer.
        """
        attempt, parked = self.attempt(attempt_id), self._parked
        if not isinstance(attempt, ConfirmationRequired) or parked is None:
            raise NothingToConfirm
        exchanging = Exchanging(id=attempt.id, expires_at=attempt.expires_at)
        self._attempts.put(exchanging)
        self._background.start(self._complete(exchanging, self._replaced(exchanging, parked)))
        await self._changed(exchanging)
        return exchanging

    async def end_outdated_question(self, credential: Credential | None) -> None:
        """End the attempt that waits for a decision about another credential than ``credential``, if there is one."""
        attempt, parked = self._attempts.alive, self._parked
        if (
            isinstance(attempt, ConfirmationRequired)
            and parked is not None
            and not parked.replaces.is_same_connection(credential)
        ):
            await self._changed(self.give_up(attempt, _OUTDATED))

    def access_ended(self) -> None:
        """
        End a sign-in whose app has just lost its access: its question disappears, its tokens are revoked, and nothing
        is held for it any longer.
        """
        ended = self._settled(self._attempts.end_if_due())
        if ended is not None:
            self._background.start(self._changed(ended))

    def close(self) -> None:
        """End the attempt that waits for a decision because the daemon is stopping. Its tokens are revoked."""
        if isinstance(attempt := self._attempts.alive, ConfirmationRequired):
            self.give_up(attempt, "The helper was stopped before you answered.")

    def _park(self, attempt: Exchanging, signed_in: SignedIn, connected: Credential) -> ConfirmationRequired:
        waiting = ConfirmationRequired(
            id=attempt.id,
            expires_at=self._clock.time() + CONFIRMATION_SECONDS,
            asked=self._clock.monotonic(),
            starter=self.requesters(attempt.id)[0],
            email=account_name(signed_in.email, signed_in.team_id),
            replaces=connected.account_name,
        )
        self._parked = _Parked(attempt.id, signed_in, connected)
        self._attempts.put(waiting)
        self._clock.call_at(waiting.deadline, lambda: self._background.start(self._end_late_question(waiting.id)))
        self._background.start(self._ask(waiting))
        return waiting

    async def _end_late_question(self, attempt_id: str) -> None:
        """Publish that the time to decide is over, and revoke the tokens, unless the attempt has ended otherwise."""
        attempt = self._attempts.get(attempt_id)
        # If the user has just said yes, the attempt is being exchanged, and needs the tokens.
        had_tokens = isinstance(attempt, Failed) and self._discard(attempt_id)
        if isinstance(attempt, Failed) and (had_tokens or attempt.reason == "confirmation_timeout"):
            await self._changed(attempt)

    def _discard(self, attempt_id: str) -> bool:
        """Revoke the tokens that are kept for an attempt. Return whether there were any."""
        parked = self._parked
        if parked is None or parked.attempt_id != attempt_id:
            return False
        self._parked = None
        self._sign_in.discard(parked.signed_in)
        return True

    # --- the redirect -------------------------------------------------------------------------------------------------

    async def handle_redirect(self, redirect: Redirect) -> Attempt | None:
        """
        Handle the OAuth redirect. Return None if its state matches no attempt; then nothing is changed.

        A repeated redirect (reload, back button) returns the attempt as it is now. The code is exchanged only once.
        """
        attempt = self._attempts.by_state(redirect.state or "")
        if not isinstance(attempt, Pending) or self._server is None:
            return attempt
        if not self._server.is_issuer(redirect.issuer):
            # RFC 9207, section 2.4: the response came from another server (a mix-up attack).
            failed = self._attempts.fail(attempt, "issuer_mismatch")
            await self._changed(failed)
            return failed
        if redirect.error is not None:
            failed = self._attempts.fail(attempt, *refusal(redirect.error))
            await self._changed(failed)
            return failed
        if redirect.code is None:
            return None

        # From here on the attempt is not pending, so another redirect with the same state starts nothing.
        exchanging = Exchanging(id=attempt.id, expires_at=attempt.expires_at)
        self._attempts.put(exchanging)
        exchanged = self._exchanged(exchanging, redirect.code, attempt.code_verifier)
        self._background.start(self._complete(exchanging, exchanged))
        await self._changed(exchanging)
        return exchanging

    async def handle_pasted_redirect(self, attempt_id: str, redirect: Redirect) -> Attempt:
        """
        Handle a redirect that the user copied from the browser's address bar, for one attempt.

        Raises:
            AttemptNotFound: If there is none with this ID.
            InvalidRequest: If it belongs to another attempt or to none. Nothing is changed.
        """
        attempt = self.attempt(attempt_id)
        owner = self._attempts.by_state(redirect.state or "")
        if owner is None or owner.id != attempt_id:
            message = (
                "This address belongs to another sign-in. Copy the address from the browser window in which you have "
                "just signed in."
            )
            raise InvalidRequest(message, pointer="/address")
        return await self.handle_redirect(redirect) or attempt

    async def _complete(self, attempt: Exchanging, work: Coroutine[object, object, Attempt]) -> None:
        """Run ``work`` while no one else changes the credential. Every way out ends the attempt or asks the user."""
        done: Attempt
        try:
            async with self._turn:
                done = await work
        except AuthorizationFailed as error:
            self._discard(attempt.id)
            done = self._attempts.fail(attempt, error.reason, error.detail)
        except BaseException as error:
            self._discard(attempt.id)
            self._attempts.fail(attempt, "internal_error")
            # No traceback: the frames of this call contain the code and the key.
            logger.error("sign_in_interrupted", extra={"error": type(error).__name__})  # noqa: TRY400
            raise
        finally:
            work.close()
        await self._changed(done)

    async def _exchanged(self, attempt: Exchanging, code: Secret, verifier: Secret) -> Attempt:
        """Exchange the code for a stored key, or ask the user if an app would replace the connected account."""
        signed_in = await self._sign_in.exchange(code=code, code_verifier=verifier)
        try:
            connected = await self._at_stake(attempt)
        except BaseException:
            self._sign_in.discard(signed_in)
            raise
        starter = self.requesters(attempt.id)[0]
        email = None if connected is None else connected.email
        if connected is None or signed_in.is_for(connected):
            wanted = functools.partial(self._has_access, starter)
            return await self._finished(attempt, signed_in, email=email, wanted=wanted)
        key = self._limit_key(starter)
        if self._declined.wait(key) > 0:
            self._sign_in.discard(signed_in)
            raise AuthorizationFailed("replacement_declined", _DECLINED)
        if self._asked.take(key) > 0:
            self._sign_in.discard(signed_in)
            raise AuthorizationFailed("cancelled", _ASKED_OFTEN)
        return self._park(attempt, signed_in, connected)

    async def _at_stake(self, attempt: Exchanging) -> Credential | None:
        """
        Return the connected account's credential if the attempt may not replace it without the user's consent.

        Raises:
            AuthorizationFailed: If it is not known whether an account is connected, or the app has lost its access.
        """
        starter = self.requesters(attempt.id)[0]
        if starter.is_owner:
            return None
        try:
            connected = await self._credentials.get()
        except (StoreLocked, StoreUnavailable) as error:
            locked = isinstance(error, StoreLocked)
            raise AuthorizationFailed("keyring_locked" if locked else "keyring_unavailable", error.detail) from None
        if not self._has_access(starter):
            raise AuthorizationFailed("cancelled", _NO_ACCESS)
        return connected

    async def _replaced(self, attempt: Exchanging, parked: _Parked) -> Attempt:
        """
        Store a credential for the account that the user has confirmed, in place of the one that the user was told of.
        If the question named the new account, Upstash has to confirm that the credential belongs to it.
        """
        if not parked.replaces.is_same_connection(await self._credentials.peek()):
            raise AuthorizationFailed("cancelled", _OUTDATED)
        self._parked = None
        return await self._finished(attempt, parked.signed_in, email=parked.signed_in.email)

    async def _finished(
        self,
        attempt: Exchanging,
        signed_in: SignedIn,
        *,
        email: str | None,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Succeeded:
        before = await self._credentials.peek()
        credential = await self._sign_in.finish(signed_in, email=email, wanted=wanted)
        self._left(before, credential)
        succeeded = Succeeded(id=attempt.id, expires_at=attempt.expires_at, email=credential.email)
        self._attempts.put(succeeded)
        return succeeded

    def _limit_key(self, starter: Caller) -> str:
        return "" if starter.identity is None else self._sites.limit_key(starter.identity)
