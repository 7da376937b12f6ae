"""T44 with a real KWallet: open, closed, asking for access, ended, and without a wallet."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.secret_services import PASSWORD, KWallet, KWalletWithoutWallet
from tests.support.until import until_async
from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.keyring_store import MAX_RECORD_UNITS, KeyringStore
from upstash_helper.storage.credentials.record import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

CREDENTIAL = Credential(email="ada@example.com", api_key=Secret("made-up-key"), method="oauth", since=1_790_000_000.0)
OTHER = msgspec.structs.replace(CREDENTIAL, api_key=Secret("another-key"))
WINDOW = "KDE Wallet Service"


@pytest.fixture(name="running", scope="module")
def _running() -> Iterator[KWallet]:
    with KWallet.running() as wallet:
        yield wallet


@pytest.fixture(name="wallet")
def _wallet(running: KWallet) -> Iterator[KWallet]:
    """The wallet is open, and does not ask for access."""
    running.configure()
    if not running.is_open():
        running.open()
    yield running
    assert [] == running.windows()


def a_store(profile: str = "default", *, deadline: float = 30.0, unlock_seconds: float = 30.0) -> KeyringStore:
    """Return the store of a daemon that has just started."""
    return KeyringStore("upstash-helper", profile, deadline=deadline, unlock_seconds=unlock_seconds)


async def refused(call: Awaitable[object]) -> str:
    """Return why a call was refused."""
    with pytest.raises(StoreUnavailable) as found:
        await call
    return found.value.detail


async def call_ended() -> None:
    """Wait until the call that was abandoned has ended."""
    for thread in threading.enumerate():
        if thread.name == "keyring":
            await asyncio.to_thread(thread.join, 20)


async def answered(wallet: KWallet, call: Awaitable[object], *keys: str) -> object:
    """Return the result of a call whose window is answered with keys."""
    task = asyncio.ensure_future(call)
    await asyncio.to_thread(wallet.answer, WINDOW, *keys)
    return await task


async def test_t44_kwallet_opened_at_login_is_not_locked(wallet: KWallet) -> None:
    """A wallet that was opened at login is used without a window, although the Secret Service reports it as locked."""
    wallet.close()
    wallet.open()
    store = a_store()

    await store.save(CREDENTIAL)
    loaded = await a_store().load(prompt=False)

    assert (CREDENTIAL, "ok", "KWallet") == (loaded, store.health().state, store.health().kind)
    assert [] == wallet.windows()


async def test_t44_kwallet_keeps_profiles_apart_and_long_records(wallet: KWallet) -> None:
    """Each profile has its entry, of up to the full length, and deleting one leaves the other."""
    room = MAX_RECORD_UNITS - len(encode(CREDENTIAL)) + len("made-up-key")
    longest = msgspec.structs.replace(CREDENTIAL, api_key=Secret("k" * room))
    await a_store().save(longest)
    await a_store("work").save(OTHER)

    loaded = await a_store().load(), await a_store("work").load()
    await a_store("work").delete()

    assert (longest, OTHER) == loaded
    assert (longest, None) == (await a_store().load(), await a_store("work").load())


async def test_t44_wallet_closed_by_the_user_is_locked(wallet: KWallet) -> None:
    """The window asks once; after it was dismissed, the message names the fix, and no second window follows."""
    store = a_store()
    await store.save(CREDENTIAL)
    wallet.close()

    with pytest.raises(StoreLocked, match=re.escape("(KWallet) is locked. Open the wallet in KWalletManager")):
        await answered(wallet, store.load(), "Escape")

    with pytest.raises(StoreLocked):
        await store.load()
    after = wallet.windows()
    wallet.open()

    assert ([], "locked") == (after, store.health().state)
    assert CREDENTIAL == await store.load()


async def test_t44_kwallet_is_used_after_the_password_was_entered(wallet: KWallet) -> None:
    """The password in KWallet's window opens the wallet, and the call goes on."""
    await a_store().save(CREDENTIAL)
    wallet.close()

    loaded = await answered(wallet, a_store().load(), *PASSWORD, "Return")

    assert CREDENTIAL == loaded


async def test_t44_closed_wallet_is_not_opened_quietly(wallet: KWallet) -> None:
    """A read that must not prompt opens no window, and one that may prompt still does."""
    store = a_store()
    await store.save(CREDENTIAL)
    wallet.close()

    with pytest.raises(StoreLocked, match="KWalletManager"):
        await store.load(prompt=False)
    quiet = wallet.windows()
    loaded = await answered(wallet, store.load(), *PASSWORD, "Return")

    assert ([], CREDENTIAL) == (quiet, loaded)


async def test_t44_access_request_of_kwallet_is_not_a_password(wallet: KWallet) -> None:
    """
    With "Prompt on Open", an open wallet asks whether to allow access. It is not called locked: while the question is
    pending, after it was denied, and when it must not be asked.
    """
    await a_store().save(CREDENTIAL)
    wallet.close()
    wallet.configure(asks=True)
    wallet.open()
    unanswered, store = a_store(deadline=1.0), a_store()

    pending = await refused(unanswered.load())
    await asyncio.to_thread(wallet.answer, WINDOW, "Escape")
    await call_ended()
    quiet = await refused(store.load(prompt=False))
    denied = await refused(answered(wallet, store.load(), "Escape"))

    assert (
        "(KWallet) is open, and asks in a window whether this program may use its entry. Allow access there" in pending
    )
    assert "(KWallet) is open, and asks before a program may use an entry" in quiet
    assert "(KWallet) is open, but access to the entry was not allowed. Try again, and allow access" in denied
    assert not any(word in detail for word in ("locked", "password") for detail in (pending, quiet, denied))
    assert "unavailable" == store.health().state


async def test_t44_kwallet_access_can_be_allowed(wallet: KWallet) -> None:
    """After "Allow Once", the call goes on, and the next one needs no window."""
    await a_store().save(CREDENTIAL)
    wallet.close()
    wallet.configure(asks=True)
    wallet.open()
    store = a_store()

    loaded = await answered(wallet, store.load(), "Return")
    await store.save(OTHER)

    assert (CREDENTIAL, OTHER) == (loaded, await store.load())


async def test_t44_kwallet_that_ends_while_it_asks_is_reported_at_once(wallet: KWallet) -> None:
    """The call does not wait for a program that has ended, and the entry is there after the next start."""
    store = a_store()
    await store.save(CREDENTIAL)
    wallet.close()
    loading = asyncio.ensure_future(store.load())
    await until_async(wallet.windows)

    wallet.kill()
    with pytest.raises(StoreUnavailable, match=re.escape("The keyring (KWallet) exited while it was waiting for you.")):
        await loading
    wallet.start()
    wallet.open()

    assert CREDENTIAL == await store.load()


async def test_t44_reading_creates_no_wallet() -> None:
    """Without a wallet there is no credential, and reading it opens no window of KWallet's."""
    with KWalletWithoutWallet.running() as kwallet:
        store = a_store()

        loaded = await store.load()

        assert (None, "unknown") == (loaded, store.health().state)
        assert "no keyring (KWallet) yet" in store.health().detail
        assert [] == kwallet.windows()
