"""Reading the credential with and without permission to ask the user."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.account.credential_cache import RETRY_SECONDS, CredentialCache
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.broker.ports import StoreHealth

CREDENTIAL = Credential(email="ada@example.com", api_key=Secret("made-up"), method="api_key", since=1_790_000_000.0)


class ClosedStore:
    """A keyring that only its user can open, who does so when asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = True
        self.entered, self.go_on = asyncio.Event(), asyncio.Event()
        self.go_on.set()

    async def load(self, *, prompt: bool = True) -> Credential | None:
        """Return the credential if the user may be asked."""
        self.entered.set()
        await self.go_on.wait()
        self.asked += prompt
        if not (prompt and self.answers):
            raise StoreLocked("The keyring is locked.")
        return CREDENTIAL

    async def save(self, credential: Credential) -> None:
        """Do not store it."""
        raise StoreLocked("The keyring is locked.")

    async def delete(self) -> None:
        """Do not delete it."""
        raise StoreLocked("The keyring is locked.")

    def health(self) -> StoreHealth:
        """Return "locked"."""
        return StoreHealth(kind="Secret Service", state="locked")


async def test_quiet_read_does_not_ask_and_delays_no_other() -> None:
    """
    A read that must not ask fails. One that may ask follows at once, without the pause after a failure.
    """
    store = ClosedStore()
    cache = CredentialCache(store=store, clock=FakeClock())

    quiet = await cache.peek(prompt=False)
    failure = cache.failure
    read = await cache.get()

    assert (None, StoreLocked, CREDENTIAL) == (quiet, type(failure), read)
    assert 1 == store.asked


async def test_failed_read_still_pauses() -> None:
    """
    After a read that did ask, neither kind of read reaches the store for a while.
    """
    store, clock = ClosedStore(), FakeClock()
    store.answers = False
    cache = CredentialCache(store=store, clock=clock)

    for prompt in (True, True, False, True):
        with pytest.raises(StoreLocked):
            await cache.get(prompt=prompt)
    paused = store.asked
    clock.advance(RETRY_SECONDS)
    with pytest.raises(StoreLocked):
        await cache.get()

    assert (1, 2) == (paused, store.asked)


async def test_read_that_may_ask_does_not_share_the_failure_of_a_quiet_one() -> None:
    """
    Both run at the same time, and only the second one may ask.
    """
    store = ClosedStore()
    store.go_on.clear()
    cache = CredentialCache(store=store, clock=FakeClock())
    quiet = asyncio.ensure_future(cache.peek(prompt=False))
    await store.entered.wait()
    read = asyncio.ensure_future(cache.get())
    await asyncio.sleep(0)

    store.go_on.set()

    assert (None, CREDENTIAL) == (await quiet, await read)


async def test_quiet_read_does_not_delete() -> None:
    """
    A credential that has yet to be deleted is not there, and deleting it would ask.
    """
    store, clock = ClosedStore(), FakeClock()
    cache = CredentialCache(store=store, clock=clock)
    await cache.delete()
    clock.advance(RETRY_SECONDS)

    assert None is await cache.get(prompt=False)
    assert 0 == store.asked
