"""
The bridge's token: from the keyring, or requested from the user in a thread while the client continues.

All processes of an agent share one token and one request: the process that asks holds a lock, and the others wait for
the token. If the agent is not certain, nothing is shared.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.protocol.errors import ClientError
from upstash_helper.protocol.lock import AlreadyHeld, InstanceLock
from upstash_helper.settings.profiles import SettingsError
from upstash_helper.system import private_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from upstash_helper.cli.mcp.daemon import Daemon
    from upstash_helper.client.token_store import TokenStore
    from upstash_helper.protocol.literals import Scope
    from upstash_helper.protocol.wire_apps import NewToken, StartedPairing

REASON: Final = "To work with your Upstash databases as a tool of this agent (MCP)."

State = Literal["loading", "asking", "approved", "refused"]

LOADING_SECONDS: Final = 3.0
"""How long the keyring may take. It may be locked, and the user may be looking for the password."""
_POLL_LOCK_SECONDS: Final = 0.3
_WITHDRAW_SECONDS: Final = 5.0
# The daemon refuses an agent that requests access more than five times in a minute.
_RETRY_SECONDS: Final = 15.0
# A token that the user granted for an hour ends without being revoked.
_ASK_AGAIN_SECONDS: Final = 1800.0
_MAX_OUTCOME_BYTES: Final = 4096


class Outcome(msgspec.Struct, frozen=True):
    """Why a request failed, for the agent's other processes that wait for it."""

    text: str
    may_retry: bool


def refusal(error: ClientError) -> tuple[str, float | None]:
    """
    Return what a model reads if a request was not granted, and the seconds until access may be requested again; None if
    it is not, until the agent is restarted.
    """
    from upstash_helper.client.errors import (
        AppBlocked,
        PairingDenied,
        PairingExpired,
        PairingReplaced,
        TooManyPairings,
    )

    match error:
        case PairingDenied() | AppBlocked():
            text = (
                f"{error} Nothing was done. Access is not requested again until the agent is restarted. Do not try"
                " to reach Upstash in another way."
            )
            return text, None
        case PairingReplaced():
            return f"{error} Try again in a few seconds.", 0.0
        case PairingExpired():
            # Not the error's text, which asks apps to request access again: here, that is done for the agent.
            return "The user did not decide on the request for access in time. Try again to request it again.", 0.0
        case TooManyPairings():
            return str(error), error.retry_after or 60.0
        case _:
            return str(error), None


class Access:
    """The token, and the state of the request for one. Threads may share it."""

    def __init__(
        self,
        daemon: Daemon,
        open_store: Callable[[], TokenStore],
        *,
        file_name: str | None,
        fallback_name: str,
        scopes: tuple[Scope, ...],
        warn: Callable[[str], None],
        warns_of_refusal: bool = True,
    ) -> None:
        """
        Args:
            daemon: The daemon.
            open_store: Opens the store. Called once, in a thread.
            file_name: The name of the files with which the processes of an agent agree on which one asks. None: it is
                not certain which processes belong to the same agent, so each of them asks.
            fallback_name: The agent's name, if its client does not send one.
            scopes: The scopes to request.
            warn: Shows a sentence to the user.
            warns_of_refusal: Whether ``warn`` is also called with the reason why there will be no token. Otherwise the
                caller reports it; see ``explanation``.
        """
        self._daemon = daemon
        self._open_store = open_store
        self._scopes = scopes
        self._warn = warn
        self._warns_of_refusal = warns_of_refusal
        self._lock_file: Final = None if file_name is None else f"{file_name}.lock"
        self._outcome_file: Final[Path | None] = (
            None if file_name is None else daemon.folders.runtime / f"{file_name}.outcome"
        )
        self._name = fallback_name
        self._named = threading.Event()
        self._changed = threading.Condition()
        self._state: State = "loading"
        self._token: str | None = None
        self._store: TokenStore | None = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._replaced_at: float | None = None
        self._retry_at: float | None = None
        self._explanation = "Access to Upstash is being checked. Try again in a few seconds."
        self.on_approved: Callable[[], None] = lambda: None
        """Called in a thread when the user has approved a request of this process or of another one."""

    def __repr__(self) -> str:
        return f"Access({self._state!r})"

    # --- for the messages ---------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """The state of the request."""
        with self._changed:
            return self._state

    @property
    def token(self) -> str | None:
        """The token, if there is one."""
        with self._changed:
            return self._token

    @property
    def explanation(self) -> str:
        """Why there is no token yet, and what the user can do, for a model."""
        with self._changed:
            return self._explanation

    def begin(self) -> None:
        """Start loading the token. The user is asked once the client's name is known; see ``name_client``."""
        self._run(self._obtain)

    def name_client(self, name: str) -> None:
        """Set the name that the client gives itself, once. If it is empty, the name of the agent's file is used."""
        if not self._named.is_set():
            self._name = name.strip()[:256] or self._name
            self._named.set()

    def wait(self, seconds: float, *, canceled: threading.Event) -> str | None:
        """
        Return the token as soon as there is one. Return None if there will be none, or if the request was canceled.

        Args:
            seconds: How long to wait for the user. Loading the token may take some seconds longer.
            canceled: Ends the waiting within a second.
        """
        began = time.monotonic()
        self._retry()
        with self._changed:
            while self._token is None and self._state != "refused":
                limit = max(seconds, LOADING_SECONDS) if self._state == "loading" else seconds
                left = began + limit - time.monotonic()
                if left <= 0 or canceled.is_set() or self._closing.is_set():
                    break
                self._changed.wait(min(left, 1.0))
            return self._token

    def renounce(self, token: str) -> bool:
        """
        Record that the daemon does not accept a token. Return whether there may be another one: another process may
        have received one, or the user is asked again.
        """
        with self._changed:
            if self._token != token:
                return self._state != "refused"
            self._token, self._state = None, "loading"
        self._run(lambda: self._replace(token))
        return True

    def _retry(self) -> None:
        with self._changed:
            due = self._state == "refused" and self._retry_at is not None and time.monotonic() >= self._retry_at
            if due:
                self._state, self._retry_at = "loading", None
        if due:
            self._run(self._obtain)

    def close(self) -> None:
        """End a request that the user has not decided on. Takes a moment, and some seconds if the daemon is busy."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_WITHDRAW_SECONDS)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self, job: Callable[[], None]) -> None:
        before = self._thread

        def run() -> None:
            if before is not None:
                before.join()
            if not self._closing.is_set():
                self._report(job)

        self._thread = threading.Thread(target=run, name="access", daemon=True)
        self._thread.start()

    def _report(self, job: Callable[[], None]) -> None:
        try:
            job()
        except ClientError as error:
            # The daemon may be running again soon.
            retry = time.monotonic() + 2.0 if isinstance(error, DaemonUnreachable) else None
            self._refuse(str(error), retry_at=retry)
        except SettingsError as error:
            self._refuse(str(error))
        except Exception as error:  # noqa: BLE001 - the client must get an answer, whatever it is
            self._refuse(f"Internal error ({type(error).__name__}).")

    def _obtain(self, *, rejected: str | None = None) -> None:
        """Take the stored token if it is not ``rejected``, or ask for one."""
        if (token := self._load()) not in (None, rejected):
            self._approve(token)
            return
        # A client that only checks whether the command exists sends nothing, and must not make a prompt appear.
        while not self._named.wait(0.2):
            if self._closing.is_set():
                return
        self._ask(rejected)

    def _replace(self, rejected: str) -> None:
        self._forget(rejected)
        if (token := self._load()) not in (None, rejected):
            self._approve(token)
            return
        now = time.monotonic()
        if self._replaced_at is not None and now - self._replaced_at < _ASK_AGAIN_SECONDS:
            self._refuse(
                "The user has revoked this agent's access to Upstash. Access is not requested again until the agent is"
                " restarted."
            )
            return
        self._replaced_at = now
        self._obtain(rejected=rejected)

    def _forget(self, rejected: str) -> None:
        """Delete a token that is stored, unless another process of the agent has stored another one."""
        with contextlib.ExitStack() as stack:
            if self._lock_file is not None:
                lock = InstanceLock(self._daemon.folders.runtime, file=self._lock_file)
                try:
                    lock.acquire()
                except AlreadyHeld:
                    return  # by a process that is asking, and will replace the token
                except OSError:
                    pass  # the disk is full
                stack.callback(lock.release)
            if self._load() == rejected and self._store is not None:
                self._store.delete()

    def _load(self) -> str | None:
        from upstash_helper.client.errors import TokenStoreUnavailable

        if self._store is None:
            self._store = self._open_store()
        try:
            return self._store.load()
        except TokenStoreUnavailable as error:
            from upstash_helper.client.token_store import MemoryTokens

            self._warn(f"{error} Until then, access is requested each time this agent starts.")
            self._store = MemoryTokens()
            return None

    def _ask(self, rejected: str | None) -> None:
        if self._lock_file is None:
            self._pair()
            return
        since = time.time()
        lock = InstanceLock(self._daemon.folders.runtime, timeout=0.0, file=self._lock_file)
        waited = False
        with contextlib.ExitStack() as stack:
            while not self._closing.is_set():
                try:
                    lock.acquire()
                except AlreadyHeld:
                    waited = True
                    self._wait_for_user("Another process of this agent has requested access to Upstash.")
                    self._closing.wait(_POLL_LOCK_SECONDS)
                    continue
                except OSError:
                    pass  # the disk is full; at worst, the user is asked twice
                stack.callback(lock.release)
                break
            if self._closing.is_set():
                return
            # Also without waiting: another process may have saved one, and released the lock, since it was looked for.
            if (token := self._load()) not in (None, rejected):
                self._approve(token)
                self.on_approved()
                return
            if waited and (outcome := self._outcome_since(since)):
                self._refuse(outcome.text, retry_at=time.monotonic() if outcome.may_retry else None)
                return
            self._pair()

    def _pair(self) -> None:
        from upstash_helper.client.errors import PairingRefused, TokenStoreUnavailable

        try:
            new = self._request()
        except PairingRefused as error:
            self._decline(error)
            return
        if new is None:
            return  # closing
        assert self._store is not None  # noqa: S101 - it was opened before anything was requested
        try:
            self._store.save(new.token)
        except TokenStoreUnavailable as error:
            self._warn(f"{error} Until then, access is requested each time this agent starts.")
        self._approve(new.token)
        self.on_approved()

    def _request(self) -> NewToken | None:
        from upstash_helper.client.errors import PairingPending
        from upstash_helper.protocol.wire_apps import PairingRequest

        request = PairingRequest(name=self._name, scopes=self._scopes, reason=REASON, audience="mcp", for_starter=True)
        while not self._closing.is_set():
            try:
                return self._decision(self._daemon.client(None).start_pairing(request))
            except PairingPending as pending:
                # Of another process of this agent, whose scopes may differ. The user sees it until it expires.
                self._wait_for_user(str(pending))
                self._closing.wait(min(pending.retry_after or 2.0, _RETRY_SECONDS))
        return None

    def _decision(self, started: StartedPairing) -> NewToken | None:
        approve = self._daemon.command("approvals", "approve")
        waiting = (
            f"The user has not yet allowed {self._name} to use Upstash. Ask the user to check that the request has the"
            f" code {started.user_code}, and to approve it in the tray menu or the dashboard of upstash-helper, or with"
            f" `{approve}`."
        )
        self._warn(waiting)
        self._wait_for_user(f"{waiting} Then call the tool again.")
        while True:
            is_last = self._closing.is_set()
            if is_last and not self._daemon.is_running:
                return None
            try:
                client = self._daemon.client(started.poll_secret)
                if is_last:
                    client.withdraw_pairing(started.id)
                elif client.pairing(started.id).state != "pending":
                    return client.fetch_token(started.id)  # raises if it was not approved
            except DaemonUnreachable:
                pass  # it keeps the request when it is restarted
            if is_last:
                return None
            self._closing.wait(started.interval)

    def _decline(self, error: ClientError) -> None:
        text, delay = refusal(error)
        retry = None if delay is None else time.monotonic() + delay
        if self._outcome_file is not None:
            with contextlib.suppress(OSError):
                private_files.write(self._outcome_file, msgspec.json.encode(Outcome(text, retry is not None)))
        self._refuse(text, retry_at=retry)

    def _outcome_since(self, since: float) -> Outcome | None:
        """Return why the request of the process that held the lock failed; None if it ended otherwise."""
        if self._outcome_file is None:
            return None
        with contextlib.suppress(OSError, private_files.NotPrivate, msgspec.MsgspecError):
            if self._outcome_file.stat().st_mtime >= since - 1.0:
                content = private_files.read(self._outcome_file, limit=_MAX_OUTCOME_BYTES)
                return None if content is None else msgspec.json.decode(content, type=Outcome)
        return None

    # --- the state ----------------------------------------------------------------------------------------------------

    def _approve(self, token: str | None) -> None:
        with self._changed:
            self._token, self._state = token, "approved"
            self._changed.notify_all()

    def _wait_for_user(self, explanation: str) -> None:
        with self._changed:
            self._state, self._explanation = "asking", explanation
            self._changed.notify_all()

    def _refuse(self, explanation: str, *, retry_at: float | None = None) -> None:
        if self._warns_of_refusal:
            self._warn(explanation)
        with self._changed:
            self._token, self._state, self._explanation = None, "refused", explanation
            self._retry_at = retry_at
            self._changed.notify_all()
