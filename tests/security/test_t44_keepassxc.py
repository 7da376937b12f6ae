"""T44 with a real KeePassXC and its default settings: it asks for access, is locked, is ended, or shares nothing."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.clock import FakeClock
from tests.support.secret_services import PASSWORD, KeePassXC, KeePassXCWithoutDatabase
from tests.support.until import until, until_async
from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.keyring_store import MAX_RECORD_UNITS, PROMPT_PAUSE, KeyringStore
from upstash_helper.storage.credentials.record import encode

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

CREDENTIAL = Credential(email="ada@example.com", api_key=Secret("made-up-key"), method="oauth", since=1_790_000_000.0)
OTHER = msgspec.structs.replace(CREDENTIAL, api_key=Secret("another-key"))

ACCESS = "Access Request"
DELETE = "Delete entry?"
UNLOCK = "Unlock Database"


@pytest.fixture(name="keepassxc", scope="module")
def _keepassxc() -> Iterator[KeePassXC]:
    with KeePassXC.running() as program:
        yield program


@pytest.fixture(name="profile")
def _profile(request: pytest.FixtureRequest, keepassxc: KeePassXC) -> Iterator[str]:
    """A profile without an entry. Entries of other tests are left, since deleting one opens a window."""
    before = keepassxc.windows()
    yield request.node.name
    until(lambda: before == keepassxc.windows())


def a_store(profile: str, *, deadline: float = 30.0, clock: FakeClock | None = None) -> KeyringStore:
    """Return the store of a daemon that has just started: with a connection that was not allowed anything."""
    monotonic = clock.monotonic if clock else time.monotonic
    return KeyringStore("upstash-helper", profile, deadline=deadline, unlock_seconds=30.0, monotonic=monotonic)


async def answered(program: KeePassXC, title: str, call: Awaitable[object], *keys: str) -> object:
    """Return the result of a call whose window is answered with keys."""
    task = asyncio.ensure_future(call)
    await asyncio.to_thread(program.answer, title, *keys)
    return await task


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


async def test_t44_keepassxc_does_not_ask_for_what_the_daemon_has_stored(keepassxc: KeePassXC, profile: str) -> None:
    """Connecting and each renewal of the sign-in write the entry and read it back: no window opens."""
    store, windows = a_store(profile), keepassxc.windows()
    room = MAX_RECORD_UNITS - len(encode(CREDENTIAL)) + len("made-up-key")
    longest = msgspec.structs.replace(CREDENTIAL, api_key=Secret("k" * room))

    await store.save(CREDENTIAL)
    await store.save(longest)
    await store.save(OTHER)
    await store.save(longest)

    assert (longest, "ok", "KeePassXC") == (await store.load(), store.health().state, store.health().kind)
    assert windows == keepassxc.windows()


async def test_t44_keepassxc_asks_a_restarted_daemon_once(keepassxc: KeePassXC, profile: str) -> None:
    """After access was allowed, the daemon reads and writes without another window. Each profile asks for itself."""
    await a_store(profile).save(CREDENTIAL)
    await a_store(f"{profile} 2").save(OTHER)
    store = a_store(profile)

    loaded = await answered(keepassxc, ACCESS, store.load(), "Return")
    await store.save(OTHER)
    await store.save(CREDENTIAL)
    other = await answered(keepassxc, ACCESS, a_store(f"{profile} 2").load(), "Return")

    assert (CREDENTIAL, OTHER, CREDENTIAL) == (loaded, other, await store.load())


async def test_t44_access_request_of_keepassxc_is_not_a_password(keepassxc: KeePassXC, profile: str) -> None:
    """While the question is pending, after it was denied, and when it must not be asked, nothing is called locked."""
    await a_store(profile).save(CREDENTIAL)
    unanswered, store = a_store(profile, deadline=1.0), a_store(profile)

    pending = await refused(unanswered.load())
    again = await refused(unanswered.load())
    await asyncio.to_thread(keepassxc.answer, ACCESS, "Escape")
    await call_ended()
    quiet = await refused(store.load(prompt=False))
    denied = await refused(answered(keepassxc, ACCESS, store.load(), "Escape"))

    assert pending == again
    assert "(KeePassXC) is open, and asks in a window whether this program may use its entry. Allow access" in pending
    assert "(KeePassXC) is open, and asks before a program may use an entry" in quiet
    assert "(KeePassXC) is open, but access to the entry was not allowed. Try again, and allow access" in denied
    assert not any(word in detail for word in ("locked", "password") for detail in (pending, quiet, denied))
    assert "unavailable" == store.health().state


async def test_t44_access_that_is_allowed_late_is_kept(keepassxc: KeePassXC, profile: str) -> None:
    """The user may take longer than the call waits. The next call then needs no window."""
    await a_store(profile).save(CREDENTIAL)
    store = a_store(profile, deadline=3.0)
    await refused(store.load())

    await asyncio.to_thread(keepassxc.answer, ACCESS, "Return")
    await call_ended()

    assert CREDENTIAL == await store.load()


async def test_t44_keepassxc_does_not_ask_again_immediately(keepassxc: KeePassXC, profile: str) -> None:
    """After a denial, reading the status asks at most once a minute; saving, which the user has started, asks."""
    await a_store(profile).save(CREDENTIAL)
    clock = FakeClock()
    store = a_store(profile, clock=clock)
    await refused(answered(keepassxc, ACCESS, store.load(), "Escape"))

    clock.advance(PROMPT_PAUSE - 1)
    paused = await refused(store.load())
    saved = await refused(answered(keepassxc, ACCESS, store.save(OTHER), "Escape"))
    clock.advance(PROMPT_PAUSE)
    loaded = await answered(keepassxc, ACCESS, store.load(), "Return")

    assert "was not allowed" in paused
    assert "was not allowed" in saved
    assert CREDENTIAL == loaded


async def test_t44_keepassxc_asks_before_it_deletes(keepassxc: KeePassXC, profile: str) -> None:
    """If the user does not allow that, the entry is kept and the error says so; the next attempt asks again."""
    clock = FakeClock()
    store = a_store(profile, clock=clock)
    await store.save(CREDENTIAL)

    kept = await refused(answered(keepassxc, DELETE, store.delete(), "Escape"))
    before = await store.load()
    clock.advance(PROMPT_PAUSE)
    await answered(keepassxc, DELETE, store.delete(), "Left", "Return")

    assert "was not allowed" in kept
    assert (CREDENTIAL, None) == (before, await store.load())


async def test_t44_locked_database_is_locked(keepassxc: KeePassXC, profile: str) -> None:
    """A locked database asks for its password, and only then. The message names the program in which to unlock it."""
    clock = FakeClock()
    store = a_store(profile, clock=clock)
    await store.save(CREDENTIAL)
    keepassxc.lock()
    windows = keepassxc.windows()

    with pytest.raises(StoreLocked, match=re.escape("(KeePassXC) is locked. Unlock the database in KeePassXC")):
        await store.load(prompt=False)
    quiet = keepassxc.windows()
    with pytest.raises(StoreLocked, match="Unlock the database in KeePassXC"):
        await answered(keepassxc, UNLOCK, store.load(), "Escape")
    clock.advance(PROMPT_PAUSE)
    loaded = await answered(keepassxc, UNLOCK, a_store("nothing").load(), *PASSWORD, "Return")

    assert (windows, None) == (quiet, loaded)


async def test_t44_keepassxc_that_ends_while_it_asks_is_reported_at_once(keepassxc: KeePassXC, profile: str) -> None:
    """The call does not wait for a program that has ended. After the next start, the entry is there."""
    before = keepassxc.saved_at
    await a_store(profile).save(CREDENTIAL)
    await until_async(lambda: keepassxc.saved_at != before and keepassxc.is_saved)
    store = a_store(profile)
    loading = asyncio.ensure_future(store.load())
    await until_async(lambda: any(ACCESS in title for title in keepassxc.windows()))

    keepassxc.kill()
    ended = await refused(loading)
    keepassxc.start()
    loaded = await answered(keepassxc, ACCESS, store.load(), "Return")

    assert "The keyring (KeePassXC) exited while it was waiting for you. Start it, then try again." in ended
    assert CREDENTIAL == loaded


async def test_t44_keepassxc_without_a_shared_database() -> None:
    """Neither reading nor saving makes KeePassXC show its window for a new database."""
    with KeePassXCWithoutDatabase.running() as program:
        windows, store = program.windows(), a_store("default")

        loaded = await store.load()
        saved = await refused(store.save(CREDENTIAL))

        assert None is loaded
        assert "KeePassXC has no open database that it shares with other programs." in saved
        assert windows == program.windows()
