"""The contract of the ``CredentialStore`` port, for each adapter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.broker.models import Credential, Grant, Secret
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

GRANT = Credential(
    email="ada@example.com",
    method="grant",
    since=1_790_000_002.5,
    grant=Grant(
        refresh_token=Secret("made-up-refresh-token"),
        issuer="https://clerk.upstash.com",
        client_id="client-1",
        client_name="upstash-helper (lovelace)",
        team_id="4c2d-team",
        team_role="owner",
        read_only=True,
        state="refreshing",
    ),
)
ACCOUNT_GRANT = msgspec.structs.replace(
    GRANT, grant=Grant(refresh_token=Secret("r" * 512), issuer="https://i.test", client_id="c", client_name="żółć")
)


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


async def test_new_store_is_empty(store: CredentialStore) -> None:
    """
    Before the first save, there is no credential, and that is not an error.
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
        pytest.param(GRANT, id="grant"),
        pytest.param(ACCOUNT_GRANT, id="grant-of-an-account"),
    ],
)
async def test_load_returns_the_saved_credential(store: CredentialStore, credential: Credential) -> None:
    """
    Every field of a credential is preserved.
    """
    await store.save(credential)

    assert credential == await store.load()


async def test_save_replaces_the_credential(store: CredentialStore) -> None:
    """
    There is only one credential: the one that was saved last.
    """
    await store.save(CREDENTIAL)

    await store.save(OTHER)

    assert OTHER == await store.load()


@pytest.mark.parametrize(("first", "second"), [(CREDENTIAL, GRANT), (GRANT, CREDENTIAL), (GRANT, ACCOUNT_GRANT)])
async def test_kinds_replace_each_other(store: CredentialStore, first: Credential, second: Credential) -> None:
    """
    An account can move from an API key to a grant and back.
    """
    await store.save(first)

    await store.save(second)

    assert second == await store.load()


async def test_access_token_is_not_stored(open_persistent: OpenStore) -> None:
    """
    It is valid for a short time only, and the record must stay small.
    """
    await open_persistent().save(msgspec.structs.replace(GRANT, access_token=Secret("made-up-access-token")))

    assert GRANT == await open_persistent().load()


async def test_deleted_credential_is_gone(store: CredentialStore) -> None:
    """
    After a deletion there is none.
    """
    await store.save(CREDENTIAL)

    await store.delete()

    assert None is await store.load()


async def test_deleting_twice_succeeds(store: CredentialStore) -> None:
    """
    Deleting a credential that does not exist is not an error.
    """
    await store.save(CREDENTIAL)
    await store.delete()

    await store.delete()

    assert "ok" == store.health().state


async def test_concurrent_calls_take_effect_in_order(store: CredentialStore) -> None:
    """
    Each call sees the effect of those before it.
    """
    results = await asyncio.gather(
        store.save(CREDENTIAL), store.load(), store.delete(), store.load(), store.save(OTHER), store.load()
    )

    assert [None, CREDENTIAL, None, None, None, OTHER] == list(results)


async def test_health_is_ok_after_a_success(store: CredentialStore) -> None:
    """
    After a successful call the store is ok, has a name, and no detail.
    """
    await store.load()

    health = store.health()

    assert ("ok", "") == (health.state, health.detail)
    assert health.kind


async def test_credential_survives_a_restart(open_persistent: OpenStore) -> None:
    """
    The next daemon loads what this one has saved.
    """
    await open_persistent().save(CREDENTIAL)

    assert CREDENTIAL == await open_persistent().load()


async def test_deletion_survives_a_restart(open_persistent: OpenStore) -> None:
    """
    The next daemon does not find what this one has deleted.
    """
    await open_persistent().save(CREDENTIAL)
    await open_persistent().delete()

    assert None is await open_persistent().load()


async def test_health_is_unknown_before_the_first_call(open_persistent: OpenStore) -> None:
    """
    Reading the health does not access the store.
    """
    assert "unknown" == open_persistent().health().state
