"""The daemon's link to one Upstash account: connecting, what it is now, disconnecting."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, TypeVar

from upstash_helper.broker.attempts import (
    LIFETIME,
    Attempt,
    Attempts,
    Exchanging,
    Expired,
    Failed,
    Pending,
    Succeeded,
    refusal,
)
from upstash_helper.broker.errors import (
    AttemptNotFound,
    ClientIdMissing,
    EmailRequired,
    NotConnected,
    PortConflict,
    ReconnectRequired,
    StoreLocked,
)
from upstash_helper.broker.models import Credential
from upstash_helper.broker.ports import AuthorizationFailed, FailureReason
from upstash_helper.broker.secret import Secret
from upstash_helper.broker.states import Redirect, Started, State, Status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from upstash_helper.broker.background import Background
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.ports import (
        AuthorizationServer,
        Browser,
        CallbackAddress,
        Clock,
    )
    from upstash_helper.broker.sign_in import SignIn
    from upstash_helper.broker.vault import Vault

T = TypeVar("T")
logger = logging.getLogger(__name__)

# After Upstash has refused the key, calls are refused here for this long before one is let through to see.
REFUSED_SECONDS: Final = 60.0

WAYS_TO_CONNECT: Final = (
    "Set client_id (Upstash gives one to partners: partnerships@upstash.com) in config.toml or as "
    "UPSTASH_HELPER_CLIENT_ID and restart; or make an API key in the Upstash console (Account > Management API) and "
    "run: upstash-helper connect --api-key"
)


class Connection:
    """The state machine. Everything that changes the credential takes turns; reading it waits for nothing."""

    def __init__(
        self,
        *,
        vault: Vault,
        server: AuthorizationServer | None,
        sign_in: SignIn,
        callback: CallbackAddress,
        browser: Browser,
        events: EventBus,
        background: Background,
        clock: Clock,
    ) -> None:
        self._vault = vault
        self._server = server
        self._sign_in = sign_in
        self._callback = callback
        self._browser = browser
        self._events = events
        self._background = background
        self._clock = clock
        self._attempts = Attempts(clock=clock)
        self.turn: Final = asyncio.Lock()
        """Held by whoever changes the credential."""
        self._refused: Credential | None = None
        self._refused_at = 0.0
        self._conflict: str | None = None

    # --- what it is -------------------------------------------------------------------------------------------------

    async def status(self) -> Status:
        """Return the state; the credential store is read if it never was, within the store's deadline."""
        credential = await self._vault.peek()
        if credential is None:
            self._conflict = await self._callback.conflict()
        attempt = self._attempts.latest
        state, detail = self._state(credential)
        if credential is None:
            return Status(state=state, detail=detail, attempt=attempt)
        return Status(
            state=state,
            detail=detail,
            email=credential.email,
            method=credential.method,
            since=credential.since,
            key_name=credential.key_name,
            attempt=attempt,
        )

    def _state(self, credential: Credential | None) -> tuple[State, str | None]:
        if credential is not None:
            return self._state_of(credential)
        failure = self._vault.failure
        if failure is not None:
            return ("keyring_locked" if isinstance(failure, StoreLocked) else "keyring_unavailable"), failure.detail
        if self._attempts.alive is not None:
            return "connecting", None
        if self._conflict is not None:
            return "port_conflict", self._conflict
        return "disconnected", None if self._server else WAYS_TO_CONNECT

    def _state_of(self, credential: Credential) -> tuple[State, str | None]:
        if credential.email is None:
            return "needs_email", "Give the e-mail of your Upstash account: upstash-helper connect --email"
        if credential is self._refused:
            return "reconnect_required", "Upstash no longer takes the API key. Connect again."
        return "connected", None

    def attempt(self, attempt_id: str) -> Attempt:
        """
        Return one attempt.

        Raises:
            AttemptNotFound: If there is none of that id.
        """
        found = self._attempts.get(attempt_id)
        if found is None:
            message = "There is no such attempt (they are forgotten when the helper restarts). Start a new one."
            raise AttemptNotFound(message)
        return found

    # --- signing in -------------------------------------------------------------------------------------------------

    async def connect(self, *, force: bool, open_browser: bool) -> Started | None:
        """
        Start an attempt, or join the one that is alive. None: an account is connected and ``force`` was not said.

        Raises:
            ClientIdMissing: If no OAuth client id is configured.
            PortConflict: If another program could receive the authorization code.
            StoreLocked: If the key could not be stored now.
            StoreUnavailable: As StoreLocked.
        """
        credential = await self._vault.get()
        if not force:
            if credential is not None and self._state_of(credential)[0] == "connected":
                return None
            if (alive := self._attempts.alive) is not None:
                return Started(attempt=alive, joined=True, browser_opened=False)
        server = self._server
        if server is None:
            message = f"No OAuth client id is configured. {WAYS_TO_CONNECT}"
            raise ClientIdMissing(message)

        conflict = await self._callback.conflict()
        if conflict is not None:
            raise PortConflict(conflict)
        # Others may have started while this one looked: the look at what is alive and the start are one step.
        if (alive := self._attempts.alive) is not None:
            if not force or isinstance(alive, Exchanging):
                return Started(attempt=alive, joined=True, browser_opened=False)
            self._failed(alive, "cancelled", "Another sign-in was started.")
        attempt = self._attempts.begin(server)
        asyncio.get_running_loop().call_later(LIFETIME, self._expire, attempt.id)
        await self.changed(attempt)

        opened = await self._browser.open(attempt.authorization_url) if open_browser else False
        return Started(attempt=attempt, joined=False, browser_opened=opened)

    def _expire(self, attempt_id: str) -> None:
        """Tell the followers that the time is over. Whoever asks is told by the clock, with or without this."""
        attempt = self._attempts.get(attempt_id)
        if isinstance(attempt, Expired):
            self._background.start(self.changed(attempt))

    async def cancel(self, attempt_id: str) -> Attempt:
        """
        Give up a pending attempt; one whose code has come is no longer stopped.

        Raises:
            AttemptNotFound: If there is none of that id.
        """
        attempt = self.attempt(attempt_id)
        if isinstance(attempt, Pending):
            attempt = self._failed(attempt, "cancelled", "The sign-in was cancelled.")
            await self.changed(attempt)
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
            failed = self._failed(attempt, "issuer_mismatch", "The answer came from another server than Upstash's.")
            await self.changed(failed)
            return failed
        if redirect.error is not None:
            failed = self._failed(attempt, *refusal(redirect.error))
            await self.changed(failed)
            return failed
        if redirect.code is None:
            return None

        # From here on the attempt is no longer pending: whoever comes next with the same state starts nothing.
        exchanging = Exchanging(
            id=attempt.id, authorization_url=attempt.authorization_url, expires_at=attempt.expires_at
        )
        self._attempts.put(exchanging)
        self._background.start(self._complete(exchanging, redirect.code, attempt.code_verifier))
        await self.changed(exchanging)
        return exchanging

    async def _complete(self, attempt: Exchanging, code: Secret, verifier: Secret) -> None:
        """Turn the code into a stored key. Runs to its end whoever goes away; every way out settles the attempt."""
        done: Attempt
        try:
            async with self.turn:
                credential = await self._sign_in(code=code, code_verifier=verifier)
            done = Succeeded(id=attempt.id, expires_at=attempt.expires_at, needs_email=credential.email is None)
            self._attempts.put(done)
        except AuthorizationFailed as error:
            done = self._failed(attempt, error.reason, error.detail)
        except BaseException as error:
            detail = "The helper was stopped or failed while it stored the key. See its log, and try again."
            self._failed(attempt, "internal_error", detail)
            # No traceback: frames of this call hold the code and the key.
            logger.error("sign_in_broke_off", extra={"error": type(error).__name__})  # noqa: TRY400
            raise
        await self.changed(done)

    def _failed(self, attempt: Pending | Exchanging, reason: FailureReason, detail: str) -> Failed:
        failed = Failed(id=attempt.id, expires_at=attempt.expires_at, reason=reason, detail=detail)
        self._attempts.put(failed)
        return failed

    # --- the end ----------------------------------------------------------------------------------------------------

    async def disconnect(self) -> tuple[str | None, bool]:
        """
        Forget the account.

        Returns:
            The name of the API key that the user should delete in the console, if the daemon made it, and whether the
            credential store could be told (else it is told before it is read again).
        """
        return await self._background.finish(self._disconnect())

    async def _disconnect(self) -> tuple[str | None, bool]:
        if isinstance(alive := self._attempts.alive, Pending):
            self._failed(alive, "cancelled", "The account was disconnected.")
        async with self.turn:
            credential = await self._vault.peek()
            stored = await self._vault.forget()
        await self.changed()
        return (credential.key_name if credential else None), stored

    # --- using it ---------------------------------------------------------------------------------------------------

    async def call(self, operation: Callable[[Credential], Awaitable[T]]) -> T:
        """
        Run ``operation`` with the credential, and take note if Upstash refuses that.

        Raises:
            NotConnected: If no account is connected.
            EmailRequired: If its e-mail is missing.
            ReconnectRequired: If Upstash does not take the key, now or a short while ago.
            StoreLocked: If the key cannot be read.
            StoreUnavailable: As StoreLocked.
            HelperError: What ``operation`` raises.
        """
        credential = await self.usable()
        try:
            result = await operation(credential)
        except ReconnectRequired:
            first = self._refused is not credential
            self._refused, self._refused_at = credential, self._clock.monotonic()
            if first:
                await self.changed()
            raise
        if self._refused is credential:
            self._refused = None
            await self.changed()
        return result

    async def usable(self) -> Credential:
        """
        Return the credential if a call may be made with it. It stays inside the broker.

        Raises:
            HelperError: The first five of ``call``.
        """
        credential = await self._vault.get()
        if credential is None:
            message = "No Upstash account is connected. Connect one: upstash-helper connect"
            raise NotConnected(message)
        if credential.email is None:
            message = "The e-mail of the connected account is missing. Give it: upstash-helper connect --email"
            raise EmailRequired(message)
        if credential is self._refused and self._clock.monotonic() - self._refused_at < REFUSED_SECONDS:
            message = "Upstash no longer takes the stored API key. Connect again: upstash-helper connect --force"
            raise ReconnectRequired(message)
        return credential

    # --- telling ----------------------------------------------------------------------------------------------------

    async def changed(self, attempt: Attempt | None = None) -> None:
        """Tell the followers what the connection is now, and what became of an attempt."""
        if attempt is not None:
            self._events.publish("attempt", attempt)
        self._events.publish("connection", await self.status())
