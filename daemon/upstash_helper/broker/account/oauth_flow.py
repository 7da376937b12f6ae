"""The OAuth flow: attempts are started, completed by a redirect, canceled, or expire."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from upstash_helper.broker.account.attempts import (
    Attempt,
    Attempts,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
    refusal,
)
from upstash_helper.broker.errors import AttemptNotFound, InvalidRequest
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.literals import FailureReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from upstash_helper.broker.account.attempts import Redirect
    from upstash_helper.broker.account.sign_in import SignIn
    from upstash_helper.broker.background import Background
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.models import Secret
    from upstash_helper.broker.ports import AuthorizationServer, Clock

logger = logging.getLogger(__name__)


class OAuthFlow:
    """Runs sign-ins, from the authorization request to the stored API key."""

    def __init__(
        self,
        *,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        turn: asyncio.Lock,
        changed: Callable[[Attempt], Coroutine[object, object, None]],
        tls_hellos: Callable[[], int],
        background: Background,
        clock: Clock,
    ) -> None:
        """
        Args:
            server: Upstash's authorization server, if a client ID is configured.
            sign_in: Exchanges a code for a stored key.
            turn: The lock to hold while changing the credential.
            changed: Publishes a changed attempt.
            tls_hellos: Returns how many connections to the callback address have started a TLS handshake so far.
            background: Finishes what was started, even if the caller disconnects.
            clock: The clock.
        """
        self._server = server
        self._sign_in = sign_in
        self._turn = turn
        self._changed = changed
        self._background = background
        self._clock = clock
        self._attempts = Attempts(clock=clock, tls_hellos=tls_hellos)

    @property
    def latest(self) -> Attempt | None:
        """The newest attempt, in any state."""
        return self._attempts.latest

    @property
    def alive(self) -> Pending | Exchanging | None:
        """The attempt that can still succeed, if there is one."""
        return self._attempts.alive

    def attempt(self, attempt_id: str) -> Attempt:
        """
        Return one attempt.

        Raises:
            AttemptNotFound: If there is none with this ID.
        """
        found = self._attempts.get(attempt_id)
        if found is None:
            raise AttemptNotFound
        return found

    def requesters(self, attempt_id: str) -> tuple[Caller, ...]:
        """Return who requested an attempt: the caller that started it, then those that joined."""
        return self._attempts.requesters(attempt_id)

    def join(self, attempt: Attempt, caller: Caller) -> None:
        """Add ``caller`` to the requesters of ``attempt``."""
        self._attempts.add_requester(attempt.id, caller)

    def begin(self, server: AuthorizationServer, caller: Caller) -> Pending:
        """
        Start an attempt for ``caller``. The caller of this method publishes it; later changes are published from here.
        """
        attempt = self._attempts.begin(server)
        self._attempts.add_requester(attempt.id, caller)
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

    def give_up(self, attempt: Pending, detail: str = "") -> Failed:
        """End a pending attempt. The caller of this method publishes it."""
        return self._failed(attempt, "cancelled", detail)

    async def cancel(self, attempt_id: str) -> Attempt:
        """
        Cancel a pending attempt. An attempt whose code has arrived can no longer be canceled.

        Raises:
            AttemptNotFound: If there is none with this ID.
        """
        attempt = self.attempt(attempt_id)
        if isinstance(attempt, Pending):
            attempt = self.give_up(attempt)
            await self._changed(attempt)
        return attempt

    async def handle_redirect(self, redirect: Redirect) -> Attempt | None:
        """
        Handle the OAuth redirect. Return None if its state matches no attempt; then nothing is changed.

        A repeated redirect (reload, back button) returns the attempt as it is now. The code is exchanged only once.
        """
        attempt = self._attempts.by_state(redirect.state or "")
        if not isinstance(attempt, Pending) or self._server is None:
            return attempt
        if redirect.issuer is not None and redirect.issuer != self._server.issuer:
            # RFC 9207, section 2.4: the response came from another server (a mix-up attack).
            failed = self._failed(attempt, "issuer_mismatch")
            await self._changed(failed)
            return failed
        if redirect.error is not None:
            failed = self._failed(attempt, *refusal(redirect.error))
            await self._changed(failed)
            return failed
        if redirect.code is None:
            return None

        # From here on the attempt is not pending, so another redirect with the same state starts nothing.
        exchanging = Exchanging(
            id=attempt.id, authorization_url=attempt.authorization_url, expires_at=attempt.expires_at
        )
        self._attempts.put(exchanging)
        self._background.start(self._complete(exchanging, redirect.code, attempt.code_verifier))
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

    async def _complete(self, attempt: Exchanging, code: Secret, verifier: Secret) -> None:
        """Exchange the code for a stored key. Every way out ends the attempt."""
        done: Attempt
        try:
            async with self._turn:
                credential = await self._sign_in(code=code, code_verifier=verifier)
            done = Succeeded(id=attempt.id, expires_at=attempt.expires_at, needs_email=credential.email is None)
            self._attempts.put(done)
        except AuthorizationFailed as error:
            done = self._failed(attempt, error.reason, error.detail)
        except BaseException as error:
            self._failed(attempt, "internal_error")
            # No traceback: the frames of this call contain the code and the key.
            logger.error("sign_in_interrupted", extra={"error": type(error).__name__})  # noqa: TRY400
            raise
        await self._changed(done)

    def _failed(self, attempt: Pending | Exchanging, reason: FailureReason, detail: str = "") -> Failed:
        failed = Failed(id=attempt.id, expires_at=attempt.expires_at, reason=reason, detail=detail)
        self._attempts.put(failed)
        return failed
