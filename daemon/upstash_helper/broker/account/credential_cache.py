"""The connected account's credential, cached in memory and kept in sync with the credential store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import HelperError, StoreLocked, StoreUnavailable
from upstash_helper.broker.pending_writes import NoTombstones

if TYPE_CHECKING:
    from upstash_helper.broker.models import Credential
    from upstash_helper.broker.ports import Clock, CredentialStore, StoreHealth, Tombstones

# Minimum time between two reads of a store that failed: failing calls stay cheap and unlock prompts do not pile up.
RETRY_SECONDS: Final = 5.0

_TOMBSTONE: Final = "credential"


class CredentialCache:
    """
    Reads the store once, when the credential is first needed, and then serves it from memory: reading a keyring takes
    tens of milliseconds and may block on a prompt.
    """

    def __init__(self, *, store: CredentialStore, clock: Clock, tombstones: Tombstones | None = None) -> None:
        """
        Args:
            store: The store.
            clock: The clock.
            tombstones: Remembers across a restart that the credential has yet to be deleted.
        """
        self._store = store
        self._tombstones = tombstones or NoTombstones()
        self._clock = clock
        self._credential: Credential | None = None
        self._known = False
        self._delete_first: bool | None = None
        """Whether the stored credential must be deleted before anything is read; None: an earlier run decides."""
        self._loading: asyncio.Task[None] | None = None
        self._failure: HelperError | None = None
        self._failed_at = 0.0
        self._failed_quietly = False
        """Whether the failed read was one that must not prompt; one that may can then follow at once."""

    @property
    def failure(self) -> HelperError | None:
        """Why the store could not be read, as of the last attempt."""
        return self._failure

    def health(self) -> StoreHealth:
        """Return the state of the store without using it."""
        return self._store.health()

    @property
    def ends_with_process(self) -> bool:
        """Whether there is a credential that will be lost when this process ends."""
        return self._credential is not None and self._store.health().kind == "memory"

    async def get(self, *, prompt: bool = True) -> Credential | None:
        """
        Return the credential, or None if there is none.

        Args:
            prompt: Whether the user may be asked for the keyring's password, or for access to the entry.

        Raises:
            StoreLocked: With ``retry_after``.
            StoreUnavailable: With ``retry_after``.
        """
        if not self._known:
            await self._read(prompt=prompt)
        return self._credential

    async def peek(self, *, prompt: bool = True) -> Credential | None:
        """Return the credential, or None if there is none or it cannot be read; see ``failure``."""
        try:
            return await self.get(prompt=prompt)
        except (StoreLocked, StoreUnavailable):
            return None

    async def put(self, credential: Credential) -> None:
        """
        Store ``credential``. The previous one is kept until the new one is stored.

        Raises:
            StoreLocked: If the keyring is locked.
            StoreUnavailable: If the store does not keep it.
        """
        try:
            await self._store.save(credential)
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            raise
        self._credential, self._known = credential, True
        self._failure, self._delete_first = None, False
        await self._tombstones.remove(_TOMBSTONE)

    async def renew(self, credential: Credential) -> bool:
        """
        Store another form of the connected credential. Return False if it was forgotten meanwhile, and stays so.

        Raises:
            StoreLocked: Like ``put``.
            StoreUnavailable: Like ``put``.
        """
        before = self._credential
        if before is None:
            return False
        try:
            await self._store.save(credential)
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            raise
        self._failure = None
        if self._credential is not before:
            return False
        self._credential = credential
        return True

    def forget(self) -> None:
        """Stop using the credential at once, before it is deleted."""
        if self._known:
            self._credential = None

    async def delete(self) -> bool:
        """
        Delete the credential. Return False if the store could not delete it; it is then deleted before the next read.
        """
        self._credential, self._known = None, True
        try:
            await self._store.delete()
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            self._known, self._delete_first = False, True
            await self._tombstones.add(_TOMBSTONE)
            return False
        self._failure, self._delete_first = None, False
        await self._tombstones.remove(_TOMBSTONE)
        return True

    async def _read(self, *, prompt: bool) -> None:
        while not self._known:
            waited = self._clock.monotonic() - self._failed_at
            if self._failure is not None and waited < RETRY_SECONDS and not (prompt and self._failed_quietly):
                raise _copy(self._failure, RETRY_SECONDS - waited)
            if self._loading is None:
                # All waiting callers share one read, which continues if one of them is cancelled.
                self._loading = asyncio.get_running_loop().create_task(self._load(prompt=prompt))
                self._loading.add_done_callback(self._loaded)
            await asyncio.shield(self._loading)
            if self._failure is None or (self._delete_first and not prompt):
                return

    async def _load(self, *, prompt: bool) -> None:
        try:
            if self._delete_first is None:
                self._delete_first = _TOMBSTONE in await self._tombstones.load()
            if self._delete_first and not prompt:
                return  # there is none; deleting it may prompt
            if self._delete_first:
                await self._store.delete()
                self._delete_first = False
                await self._tombstones.remove(_TOMBSTONE)
            credential = await self._store.load(prompt=prompt)
        except (StoreLocked, StoreUnavailable) as error:
            self._remember(error)
            self._failed_quietly = not prompt
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
        self._failure, self._failed_at, self._failed_quietly = error, self._clock.monotonic(), False


def _copy(failure: HelperError, retry_after: float) -> HelperError:
    """Return a copy of the failure: an exception that is raised repeatedly collects tracebacks."""
    return type(failure)(failure.detail, retry_after=retry_after)
