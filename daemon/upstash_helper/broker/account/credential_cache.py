"""The connected account's credential, in memory, in step with the credential store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import HelperError, StoreLocked, StoreUnavailable

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import Clock, CredentialStore, StoreHealth

# A locked keyring is asked again no sooner than this, so that calls that fail cost nothing and prompts do not pile up.
RETRY_SECONDS: Final = 5.0


class CredentialCache:
    """
    Reads the store once, when the credential is first needed, and serves it from memory from then on: a keyring takes
    tens of milliseconds for each read and may block on a prompt.
    """

    def __init__(self, *, store: CredentialStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._credential: Credential | None = None
        self._known = False
        self._forget_first = False
        self._loading: asyncio.Task[None] | None = None
        self._failure: HelperError | None = None
        self._failed_at = 0.0

    @property
    def failure(self) -> HelperError | None:
        """Why the store could not be read, as of the last try."""
        return self._failure

    def health(self) -> StoreHealth:
        """Return how the store is, without using it."""
        return self._store.health()

    @property
    def ends_with_process(self) -> bool:
        """Whether there is a credential that no daemon after this one will have."""
        return self._credential is not None and self._store.health().kind == "memory"

    async def get(self) -> Credential | None:
        """
        Return the credential, or None if there is none.

        Raises:
            StoreLocked: With ``retry_after``.
            StoreUnavailable: With ``retry_after``.
        """
        if not self._known:
            await self._read()
        return self._credential

    async def peek(self) -> Credential | None:
        """Return the credential, or None if there is none or it cannot be read; ``failure`` then says why."""
        try:
            return await self.get()
        except (StoreLocked, StoreUnavailable):
            return None

    async def put(self, credential: Credential) -> None:
        """
        Store ``credential``; what was there stays until the new one is safe.

        Raises:
            StoreLocked: If the keyring is locked.
            StoreUnavailable: If it does not keep what it is given.
        """
        try:
            await self._store.save(credential)
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            raise
        self._credential, self._known = credential, True
        self._failure, self._forget_first = None, False

    async def forget(self) -> bool:
        """
        Forget the credential. Return False if the store could not be told: then it is told before it is read again.
        """
        self._credential, self._known = None, True
        try:
            await self._store.delete()
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            self._known, self._forget_first = False, True
            return False
        self._failure, self._forget_first = None, False
        return True

    async def _read(self) -> None:
        waited = self._clock.monotonic() - self._failed_at
        if self._failure is not None and waited < RETRY_SECONDS:
            raise _again(self._failure, RETRY_SECONDS - waited)
        if self._loading is None:
            # One read for all who wait for it; it goes on when one of them is cancelled.
            self._loading = asyncio.get_running_loop().create_task(self._load())
            self._loading.add_done_callback(self._loaded)
        await asyncio.shield(self._loading)
        if self._failure is not None and not self._known:
            raise _again(self._failure, RETRY_SECONDS)

    async def _load(self) -> None:
        try:
            if self._forget_first:
                await self._store.delete()
                self._forget_first = False
            credential = await self._store.load()
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            return
        if not self._known:
            self._credential, self._known = credential, True
        self._failure = None

    def _loaded(self, task: asyncio.Task[None]) -> None:
        self._loading = None
        if not task.cancelled():
            task.exception()

    def _remember(self, error: HelperError) -> None:
        error.retry_after = RETRY_SECONDS
        self._failure, self._failed_at = error, self._clock.monotonic()


def _again(failure: HelperError, retry_after: float) -> HelperError:
    """Return the failure as a new error: one that is raised again and again grows by its traceback each time."""
    return type(failure)(failure.detail, retry_after=retry_after)
