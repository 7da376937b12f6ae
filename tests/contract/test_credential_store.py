"""What the ``CredentialStore`` port promises, of every store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.broker.ports import CredentialStore
from upstash_helper.storage.credentials.file_store import FileStore, MemoryStore
from upstash_helper.storage.credentials.keyring_store import KeyringStore

OpenStore = Callable[[], CredentialStore]

CREDENTIAL = Credential(
    email="ada@example.com",
    api_key=Secret("0f7a5c1e-made-up-key-9d2b"),
    method="oauth",
    since=1_790_000_000.25,
    key_name="UPSTASH_HELPER_API_KEY_1790000000",
)
OTHER = Credential(email="grace@example.com", api_key=Secret("another-key"), method="api_key", since=1_790_000_001.0)


@pytest.fixture(name="open_keyring", scope="module")
def _open_keyring() -> Iterator[OpenStore]:
    skip_unless_there_is_one()
    with PrivateKeyring() as keyring, pytest.MonkeyPatch.context() as patch:
        keyring.enter(patch)
        yield lambda: KeyringStore("upstash-helper", "default")


@pytest.fixture(name="open_persistent", params=["file", "keyring"])
async def _open_persistent(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    if request.param == "file":
        return lambda: FileStore(tmp_path / "state" / "credential.json")
    open_keyring: OpenStore = request.getfixturevalue("open_keyring")
    await open_keyring().delete()
    return open_keyring


@pytest.fixture(name="store", params=["memory", "file", "keyring"])
async def _store(request: pytest.FixtureRequest, tmp_path: Path) -> CredentialStore:
    if request.param == "memory":
        return MemoryStore()
    if request.param == "file":
        return FileStore(tmp_path / "state" / "credential.json")
    store: CredentialStore = request.getfixturevalue("open_keyring")()
    await store.delete()
    return store


async def test_a_new_store_holds_nothing(store: CredentialStore) -> None:
    """
    Before anything was saved there is no credential, and that is no error.
    """
    assert None is await store.load()


@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(CREDENTIAL, id="whole"),
        pytest.param(msgspec.structs.replace(CREDENTIAL, email=None), id="no-email-yet"),
        pytest.param(msgspec.structs.replace(CREDENTIAL, method="api_key", key_name=None), id="given-key"),
        pytest.param(msgspec.structs.replace(CREDENTIAL, email='"żółć"\\\n@пример.рф'), id="beyond-ascii"),
        pytest.param(msgspec.structs.replace(CREDENTIAL, api_key=Secret("k" * 900)), id="long-key"),
    ],
)
async def test_what_was_saved_is_loaded(store: CredentialStore, credential: Credential) -> None:
    """
    A credential comes back as it was given, to the last field.
    """
    await store.save(credential)

    assert credential == await store.load()


async def test_saving_replaces(store: CredentialStore) -> None:
    """
    There is one credential: the one that was saved last.
    """
    await store.save(CREDENTIAL)

    await store.save(OTHER)

    assert OTHER == await store.load()


async def test_a_deleted_credential_is_gone(store: CredentialStore) -> None:
    """
    After deleting there is none.
    """
    await store.save(CREDENTIAL)

    await store.delete()

    assert None is await store.load()


async def test_deleting_nothing_succeeds(store: CredentialStore) -> None:
    """
    Deleting twice is as good as once.
    """
    await store.save(CREDENTIAL)
    await store.delete()

    await store.delete()

    assert "ok" == store.health().state


async def test_calls_take_effect_in_the_order_they_were_made(store: CredentialStore) -> None:
    """
    Calls may be made while others are under way; each sees what the ones before it did.
    """
    results = await asyncio.gather(
        store.save(CREDENTIAL), store.load(), store.delete(), store.load(), store.save(OTHER), store.load()
    )

    assert [None, CREDENTIAL, None, None, None, OTHER] == list(results)


async def test_a_store_that_works_says_so(store: CredentialStore) -> None:
    """
    A store that was used with success is ok, has a name, and has nothing to explain.
    """
    await store.load()

    health = store.health()

    assert ("ok", "") == (health.state, health.detail)
    assert health.kind


async def test_a_credential_outlives_the_daemon(open_persistent: OpenStore) -> None:
    """
    What one daemon saved, the next one loads.
    """
    await open_persistent().save(CREDENTIAL)

    assert CREDENTIAL == await open_persistent().load()


async def test_a_deletion_outlives_the_daemon(open_persistent: OpenStore) -> None:
    """
    What one daemon deleted, the next one does not find.
    """
    await open_persistent().save(CREDENTIAL)
    await open_persistent().delete()

    assert None is await open_persistent().load()


async def test_a_store_that_was_not_used_yet_is_unknown(open_persistent: OpenStore) -> None:
    """
    Asking how a store is does not use it.
    """
    assert "unknown" == open_persistent().health().state
