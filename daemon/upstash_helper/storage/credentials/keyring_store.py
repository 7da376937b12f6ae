"""The credential in the system's keyring."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.record import decode, encode
from upstash_helper.system import clock, keyring_errors, keyrings
from upstash_helper.system.blocking_call import Busy, Call, DeadlineExceeded, JobFailed, Worker

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential

T = TypeVar("T")

MAX_RECORD_UNITS: Final = 1200
"""UTF-16 code units. Windows stores at most 2560 bytes (CRED_MAX_CREDENTIAL_BLOB_SIZE); the rest is a reserve."""

PROMPT_PAUSE: Final = 60.0
"""Seconds without prompts after the user dismissed one: the status page polls, and must not prompt each time."""

_USE_A_FILE: Final = (
    'On a machine without a keyring, set credential_store = "file" in config.toml to store the credential in a file, in'
    " plaintext."
)


class KeyringStore:
    """
    The ``CredentialStore`` port on the system's keyring.

    A call that failed has changed nothing: if it finishes after its deadline, it is undone before the next one begins.
    """

    def __init__(
        self,
        service: str,
        username: str,
        *,
        deadline: float = 5.0,
        unlock_seconds: float = keyrings.UNLOCK_SECONDS,
        trusted: Mapping[str, str] = keyrings.TRUSTED,
        monotonic: Callable[[], float] = clock.monotonic,
    ) -> None:
        """
        Args:
            service: What the entry is for, as keyring tools show it.
            username: The entry's account: the profile's name.
            deadline: Seconds that a call may take.
            unlock_seconds: How long the user has to unlock the keyring.
            trusted: The allow-list of keyring backends, with their names.
            monotonic: The clock for ``PROMPT_PAUSE``.
        """
        self._deadline = deadline
        self._entry = keyrings.KeyringEntry(
            service,
            username,
            unlock_seconds=unlock_seconds,
            prompt_pause=PROMPT_PAUSE,
            trusted=trusted,
            monotonic=monotonic,
        )
        self._worker = Worker("keyring")
        self._health = StoreHealth(kind=self._entry.kind, state="unknown")

    async def load(self, *, prompt: bool = True) -> Credential | None:
        """Return the credential, or None if there is none. Raises what the port allows."""
        return await self._run(partial(self._load, prompt=prompt))

    async def save(self, credential: Credential) -> None:
        """Store the credential and read it back. Raises what the port allows; the previous one is kept then."""
        text = encode(credential)
        length = len(text.encode("utf-16-le")) // 2
        if length > MAX_RECORD_UNITS:
            detail = (
                f"The credential takes {length} characters in the keyring, which is more than the limit of"
                f" {MAX_RECORD_UNITS}. Check whether the email address or the API key is wrong."
            )
            raise self._failed(StoreUnavailable(detail))
        await self._run(partial(self._entry.set, text))

    async def delete(self) -> None:
        """Delete the credential, if there is one. Raises what the port allows."""
        await self._run(self._entry.delete)

    def health(self) -> StoreHealth:
        """Return the state after the last call."""
        return self._health

    def _load(self, call: Call, *, prompt: bool) -> Credential | None:
        text = self._entry.get(call, prompt=prompt)
        return None if text is None else decode(text, place=self._entry.place)

    async def _run(self, job: Callable[[Call], T]) -> T:
        failure: StoreLocked | StoreUnavailable
        try:
            result = await self._worker.run(job, deadline=self._deadline)
        except (DeadlineExceeded, Busy):
            waiting = self._entry.waiting
            failure = _as_store_error(keyring_errors.no_answer(self._entry.kind, self._deadline, waiting=waiting))
        except JobFailed as failed:
            if isinstance(failed.error, StoreUnavailable):
                failure = failed.error.with_traceback(None)  # its frames hold the secret
            else:
                failure = _as_store_error(keyring_errors.explain(failed.error, kind=self._entry.kind))
        else:
            self._health = self._healthy()
            return result
        # Raised here, so that its context is not an error with frames that hold the secret.
        raise self._failed(failure)

    def _healthy(self) -> StoreHealth:
        kind = self._entry.kind
        if self._entry.not_created:
            return StoreHealth(kind=kind, state="unknown", detail=str(keyring_errors.no_keyring_yet(kind)))
        return StoreHealth(kind=kind, state="ok")

    def _failed(self, failure: StoreLocked | StoreUnavailable) -> StoreLocked | StoreUnavailable:
        state: Literal["locked", "unavailable"] = "locked" if isinstance(failure, StoreLocked) else "unavailable"
        self._health = StoreHealth(kind=self._entry.kind, state=state, detail=failure.detail)
        return failure


def _as_store_error(error: keyring_errors.KeyringError) -> StoreLocked | StoreUnavailable:
    match error:
        case keyring_errors.KeyringLocked():
            return StoreLocked(str(error))
        case keyring_errors.NotText():
            return StoreUnavailable(f"{error} Connect again to replace it.")
        case keyring_errors.NotDeleted() | keyring_errors.NotAllowed() | keyring_errors.NoResponse():
            return StoreUnavailable(str(error))
        case _:
            return StoreUnavailable(f"{error} {_USE_A_FILE}")
