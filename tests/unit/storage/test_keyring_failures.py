"""Keyring failures that no real keyring produces on demand: hanging or failing during a write."""

from __future__ import annotations

import asyncio
import threading

import msgspec
import pytest
from keyring.errors import InitError, KeyringError, KeyringLocked, PasswordSetError

from tests.support.failing_keyring import NAME, FailingKeyring
from upstash_helper.broker.errors import HelperError, StoreLocked, StoreUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.keyring_store import KeyringStore
from upstash_helper.storage.credentials.record import encode
from upstash_helper.system import keychain

API_KEY = "0f7a5c1e-made-up-key-9d2b"
CREDENTIAL = Credential(email="ada@example.com", api_key=Secret(API_KEY), method="oauth", since=1_790_000_000.0)
OTHER = msgspec.structs.replace(CREDENTIAL, api_key=Secret("another-key"))
ENTRY = ("upstash-helper", "default")


@pytest.fixture(autouse=True)
def _an_empty_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NAME)
    FailingKeyring.reset()


def a_store(*, deadline: float = 20.0) -> KeyringStore:
    """Return a store on the failing keyring."""
    return KeyringStore(*ENTRY, deadline=deadline, trusted={NAME: "failing keyring"})


async def late_call_ended() -> None:
    """Release the call that hangs, and wait until it has ended."""
    FailingKeyring.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "keyring":
            await asyncio.to_thread(thread.join, 20)


@pytest.mark.parametrize("before", [None, CREDENTIAL], ids=["empty", "replacing"])
async def test_save_that_finishes_late_is_undone(before: Credential | None) -> None:
    """
    After a save was reported as failed, the previous entry is restored.
    """
    if before is not None:
        await a_store().save(before)
    store = a_store(deadline=0.2)
    FailingKeyring.go_on.clear()

    with pytest.raises(StoreLocked):
        await store.save(OTHER)
    await late_call_ended()

    assert before == await store.load()


async def test_canceled_save_is_undone() -> None:
    """
    Canceling a save has the same effect as a failure.
    """
    store = a_store()
    await store.save(CREDENTIAL)
    FailingKeyring.entered.clear()
    FailingKeyring.go_on.clear()
    saving = asyncio.create_task(store.save(OTHER))
    assert await asyncio.to_thread(FailingKeyring.entered.wait, 20)

    saving.cancel()
    await asyncio.wait((saving,))
    await late_call_ended()

    assert CREDENTIAL == await store.load()


async def test_abandoned_save_never_writes() -> None:
    """
    If the user unlocks the keyring after the caller has given up, nothing is written.
    """
    store = a_store(deadline=0.2)
    FailingKeyring.slow = "get"
    FailingKeyring.go_on.clear()

    with pytest.raises(StoreLocked):
        await store.save(CREDENTIAL)
    await late_call_ended()

    assert 0 == FailingKeyring.writes


async def test_late_save_does_not_undo_a_later_deletion() -> None:
    """
    A user who disconnects while a save hangs stays disconnected.
    """
    store = a_store(deadline=0.2)
    FailingKeyring.go_on.clear()
    with pytest.raises(StoreLocked):
        await store.save(CREDENTIAL)
    with pytest.raises(StoreLocked):
        await store.delete()

    await late_call_ended()
    await store.delete()

    assert {} == FailingKeyring.entries


async def test_failed_save_restores_the_previous_entry() -> None:
    """
    The old key is kept until the new one is stored.
    """
    store = a_store()
    await store.save(CREDENTIAL)
    FailingKeyring.fails = {"set": PasswordSetError("no room")}

    with pytest.raises(StoreUnavailable):
        await store.save(OTHER)
    FailingKeyring.fails = {}

    assert CREDENTIAL == await store.load()


async def test_unreadable_entry_can_be_replaced() -> None:
    """
    An entry that upstash-helper did not write is an error when loaded, and does not prevent a save.
    """
    FailingKeyring.entries[ENTRY] = "not ours"
    store = a_store()

    with pytest.raises(
        StoreUnavailable, match=r"in the entry 'upstash-helper' of 'default'.*is damaged, or another program wrote it"
    ):
        await store.load()
    kept = FailingKeyring.entries[ENTRY]
    await store.save(CREDENTIAL)

    assert "not ours" == kept
    assert {ENTRY: encode(CREDENTIAL)} == FailingKeyring.entries


async def test_binary_entry_is_reported_without_quoting_it() -> None:
    """
    The error for an entry that is not text names the entry and does not quote it.
    """
    FailingKeyring.fails = {"get": UnicodeDecodeError("utf-8", API_KEY.encode(), 0, 1, "invalid start byte")}

    with pytest.raises(StoreUnavailable, match="something other than text in the entry 'upstash-helper'") as failed:
        await a_store().load()

    assert API_KEY not in str(failed.value)


async def test_failed_deletion_is_detected() -> None:
    """
    A keyring that reports a deletion and keeps the entry is an error.
    """
    store = a_store()
    await store.save(CREDENTIAL)
    FailingKeyring.keeps = True

    with pytest.raises(StoreUnavailable, match="did not delete the entry"):
        await store.delete()


def keychain_error(status: int) -> KeyringError:
    """Return the error of the keyring library on macOS for a status of the Keychain."""
    error = KeyringError(f"Can't get password from keychain: ({status}, 'Unknown Error')")
    error.__cause__ = Exception(status, "Unknown Error")
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(KeyringLocked("locked"), StoreLocked, id="locked"),
        pytest.param(keychain_error(-25308), StoreLocked, id="macos-cannot-prompt"),
        pytest.param(keychain_error(-128), StoreLocked, id="macos-denied"),
        pytest.param(keychain_error(-25293), StoreLocked, id="macos-wrong-password"),
        pytest.param(keychain_error(-25291), StoreUnavailable, id="macos-other"),
        pytest.param(InitError("Failed to create the collection"), StoreUnavailable, id="init"),
        pytest.param(KeyringError(API_KEY), StoreUnavailable, id="keyring-error"),
        pytest.param(OSError(1783, "The stub received bad data"), StoreUnavailable, id="windows"),
        pytest.param(RuntimeError(API_KEY), StoreUnavailable, id="no-keyring-error"),
        pytest.param(SystemExit(API_KEY), StoreUnavailable, id="exit"),
        pytest.param(StopIteration(), StoreUnavailable, id="stop-iteration"),
    ],
)
@pytest.mark.parametrize("call", ["get", "set"])
async def test_every_backend_error_is_locked_or_unavailable(
    caplog: pytest.LogCaptureFixture, error: BaseException, expected: type[HelperError], call: str
) -> None:
    """
    Any error becomes one of these two, without the backend's text, which may quote the key.
    """
    FailingKeyring.fails = {call: error}

    with pytest.raises(expected) as failed:
        await a_store().save(CREDENTIAL)

    assert API_KEY not in failed.value.detail + caplog.text
    assert (None, None) == (failed.value.__cause__, failed.value.__context__)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (-25308, "unlock it with: security unlock-keychain"),
        (-128, "You did not allow Python to use upstash-helper's entry"),
        (-25293, "click Always Allow"),
        (-25307, "no default macOS Keychain"),
        (-25291, "security error -25291"),
    ],
)
async def test_status_of_the_keychain_has_a_fix(status: int, text: str) -> None:
    """
    Each reason of the macOS Keychain is named with what to do, and an unknown one by its number.
    """
    FailingKeyring.fails = {"get": keychain_error(status)}

    with pytest.raises((StoreLocked, StoreUnavailable)) as failed:
        await a_store().load()

    assert text in failed.value.detail


@pytest.mark.parametrize("status", [-25244, -25243])
async def test_entry_of_another_python_is_named_with_the_command_that_deletes_it(
    caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """
    After an update of Python, macOS does not let it replace the entry. Nothing was changed, so nothing is restored.
    """
    FailingKeyring.entries[ENTRY] = encode(CREDENTIAL)
    FailingKeyring.fails = {"set": keychain_error(status)}

    with pytest.raises(StoreUnavailable, match="security delete-generic-password -s upstash-helper -a default"):
        await a_store().save(OTHER)

    assert "could not be restored" not in caplog.text


async def test_keychain_that_does_not_answer_may_be_asking() -> None:
    """
    The window of macOS has words that the message explains.
    """
    # The deadline includes finding the keyring, which takes longest for the first time.
    await a_store().load()
    store = KeyringStore(*ENTRY, deadline=1.0, trusted={NAME: keychain.KIND})
    FailingKeyring.slow = "get"
    FailingKeyring.go_on.clear()

    with pytest.raises(StoreLocked, match=r"each update of Python.*Always Allow"):
        await store.load()
    await late_call_ended()


async def test_entry_that_the_keychain_keeps_is_named_with_the_command_that_deletes_it() -> None:
    """
    On macOS, a keyring is a keychain, and its manager is Keychain Access.
    """
    store = KeyringStore(*ENTRY, deadline=20.0, trusted={NAME: keychain.KIND})
    await store.save(CREDENTIAL)
    FailingKeyring.keeps = True

    with pytest.raises(StoreUnavailable, match="Keychain Access, or with: security delete-generic-password"):
        await store.delete()


async def test_health_recovers() -> None:
    """
    The health is that of the last call.
    """
    store = a_store()
    FailingKeyring.fails = {"get": RuntimeError("once")}
    with pytest.raises(StoreUnavailable):
        await store.load()
    before = store.health().state

    FailingKeyring.fails = {}
    await store.load()

    assert ("unavailable", "ok", "failing keyring") == (before, store.health().state, store.health().kind)
