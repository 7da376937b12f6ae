"""The OAuth flow: attempts are begun, come back from the browser, are given up, or expire."""

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
    """What becomes of a sign-in between the opening of the browser and the stored key."""

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
            server: Upstash's sign-in, if a client id is configured.
            sign_in: Turns a code into a stored key.
            turn: Is held by whoever changes the credential.
            changed: Tells the followers what became of an attempt.
            tls_hellos: Returns how many connections have asked for TLS at the callback address, ever.
            background: Finishes what was begun, whoever goes away.
            clock: Tells the time.
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
        """The newest attempt, alive or not."""
        return self._attempts.latest

    @property
    def alive(self) -> Pending | Exchanging | None:
        """The attempt that can still succeed."""
        return self._attempts.alive

    def attempt(self, attempt_id: str) -> Attempt:
        """
        Return one attempt.

        Raises:
            AttemptNotFound: If there is none of that id.
        """
        found = self._attempts.get(attempt_id)
        if found is None:
            raise AttemptNotFound
        return found

    def requesters(self, attempt_id: str) -> tuple[Caller, ...]:
        """Return who wanted an attempt: first who began it, then who joined."""
        return self._attempts.requesters(attempt_id)

    def joined(self, attempt: Attempt, caller: Caller) -> None:
        """Note that ``caller`` waits for ``attempt`` too."""
        self._attempts.asked(attempt.id, caller)

    def begin(self, server: AuthorizationServer, caller: Caller) -> Pending:
        """
        Begin an attempt that ``caller`` wants. Whoever calls this tells the followers of it; of its hint and its end
        they are told from here.
        """
        attempt = self._attempts.begin(server)
        self._attempts.asked(attempt.id, caller)
        self._await(attempt)
        return attempt

    def _await(self, attempt: Pending) -> None:
        self._clock.call_at(attempt.hinted, lambda: self._tell(attempt.id, Pending))
        self._clock.call_at(attempt.deadline, lambda: self._tell(attempt.id, Expired))

    def _tell(self, attempt_id: str, expected: type[Pending | Expired]) -> None:
        """Tell the followers what time has made of an attempt. Whoever asks is told by the clock, with or without."""
        attempt = self._attempts.get(attempt_id)
        if isinstance(attempt, expected):
            self._background.start(self._changed(attempt))

    def give_up(self, attempt: Pending, detail: str = "") -> Failed:
        """End a pending attempt; the caller tells the followers."""
        return self._failed(attempt, "cancelled", detail)

    async def cancel(self, attempt_id: str) -> Attempt:
        """
        Give up a pending attempt; one whose code has come is no longer stopped.

        Raises:
            AttemptNotFound: If there is none of that id.
        """
        attempt = self.attempt(attempt_id)
        if isinstance(attempt, Pending):
            attempt = self.give_up(attempt)
            await self._changed(attempt)
        return attempt

    async def redirected(self, redirect: Redirect) -> Attempt | None:
        """
        Take what the browser came back with. None: it belongs to no attempt of ours and changes nothing.

        A second arrival (reload, back button) finds the attempt as it is now; the code is spent once.
        """
        attempt = self._attempts.by_state(redirect.state or "")
        if not isinstance(attempt, Pending) or self._server is None:
            return attempt
        if redirect.issuer is not None and redirect.issuer != self._server.issuer:
            # RFC 9207, section 2.4: the answer is another server's (a mix-up attack).
            failed = self._failed(attempt, "issuer_mismatch")
            await self._changed(failed)
            return failed
        if redirect.error is not None:
            failed = self._failed(attempt, *refusal(redirect.error))
            await self._changed(failed)
            return failed
        if redirect.code is None:
            return None

        # From here on the attempt is no longer pending: whoever comes next with the same state starts nothing.
        exchanging = Exchanging(
            id=attempt.id, authorization_url=attempt.authorization_url, expires_at=attempt.expires_at
        )
        self._attempts.put(exchanging)
        self._background.start(self._complete(exchanging, redirect.code, attempt.code_verifier))
        await self._changed(exchanging)
        return exchanging

    async def pasted(self, attempt_id: str, redirect: Redirect) -> Attempt:
        """
        Take what the user has copied from the browser's address bar, for one attempt.

        Raises:
            AttemptNotFound: If there is none of that id.
            InvalidRequest: If it belongs to another attempt, or to none of ours; it changes nothing.
        """
        attempt = self.attempt(attempt_id)
        owner = self._attempts.by_state(redirect.state or "")
        if owner is None or owner.id != attempt_id:
            message = (
                "This address belongs to another sign-in: its state is not that of the one that is running. Copy the "
                "address again from the browser window in which you signed in just now."
            )
            raise InvalidRequest(message, pointer="/address")
        return await self.redirected(redirect) or attempt

    async def _complete(self, attempt: Exchanging, code: Secret, verifier: Secret) -> None:
        """Turn the code into a stored key. Runs to its end whoever goes away; every way out settles the attempt."""
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
            # No traceback: frames of this call hold the code and the key.
            logger.error("sign_in_broke_off", extra={"error": type(error).__name__})  # noqa: TRY400
            raise
        await self._changed(done)

    def _failed(self, attempt: Pending | Exchanging, reason: FailureReason, detail: str = "") -> Failed:
        failed = Failed(id=attempt.id, expires_at=attempt.expires_at, reason=reason, detail=detail)
        self._attempts.put(failed)
        return failed
