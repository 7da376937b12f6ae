"""The token stores of apps."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.failing_keyring import NAME, FailingKeyring
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.client import (
    FileTokens,
    KeyringTokens,
    MemoryTokens,
    TokenStore,
    TokenStoreLocked,
    TokenStoreUnavailable,
)
from upstash_helper.client.token_store import SERVICE

TOKEN = "uha_one-made-up-token"
OTHER = "uha_another-made-up-token"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes and owners")
every_call = pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda store: store.load(), id="load"),
        pytest.param(lambda store: store.save(TOKEN), id="save"),
        pytest.param(lambda store: store.delete(), id="delete"),
    ],
)

Use = Callable[[TokenStore], object]


@pytest.fixture(name="session")
def _session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    """Put this process in a session without a keyring."""
    skip_unless_there_is_one()
    session = PrivateKeyring()
    session.enter(monkeypatch)
    session.start(keyring=False)
    yield session
    session.stop()


@pytest.fixture(name="keyring")
def _keyring(session: PrivateKeyring) -> PrivateKeyring:
    session.start_keyring()
    return session


@pytest.fixture(name="failing")
def _failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FailingKeyring]]:
    """Give this process a keyring that fails on demand."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NAME)
    FailingKeyring.reset()
    yield FailingKeyring
    FailingKeyring.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "token-keyring":
            thread.join(20)
    FailingKeyring.reset()


@pytest.fixture(name="store", params=["memory", "file", "keyring"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    if request.param == "memory":
        return MemoryTokens()
    if request.param == "file":
        return FileTokens(tmp_path / "app" / "token")
    request.getfixturevalue("keyring")
    return KeyringTokens("Orders tool")


def failing_store(*, timeout: float = 20.0) -> KeyringTokens:
    return KeyringTokens("Orders tool", timeout=timeout, trusted={NAME: "failing"})


# --- all stores -------------------------------------------------------------------------------------------------------


def test_load_returns_the_last_saved_token(store: TokenStore) -> None:
    """
    There is no token at first, then the one that was saved last, and none after a deletion.
    """
    found = [store.load()]
    store.save(TOKEN)
    found.append(store.load())
    store.save(OTHER)
    found.append(store.load())
    store.delete()
    found.append(store.load())

    assert [None, TOKEN, OTHER, None] == found


def test_deleting_twice_succeeds(store: TokenStore) -> None:
    """
    Deleting a token that does not exist is not an error.
    """
    store.delete()
    store.delete()

    assert store.load() is None


def test_repr_does_not_contain_the_token(store: TokenStore) -> None:
    """
    Debuggers, logs and tracebacks do not show the token.
    """
    store.save(TOKEN)

    assert TOKEN not in f"{store!r} {store!s} {vars(store)!r}"


# --- files ------------------------------------------------------------------------------------------------------------


@posix_only
def test_file_and_folder_are_private(tmp_path: Path) -> None:
    """
    The file, and the folder created for it, are closed to other users, and no other file is left.
    """
    path = tmp_path / "app" / "token"

    FileTokens(path).save(TOKEN)

    assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)
    assert [path] == list(path.parent.iterdir())


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_file_accessible_to_others_is_rejected(tmp_path: Path, mode: int) -> None:
    """
    A token that other users may know is not used, and the error suggests a fix.
    """
    path = tmp_path / "token"
    store = FileTokens(path)
    store.save(TOKEN)
    path.chmod(mode)

    with pytest.raises(TokenStoreUnavailable, match=f"its mode is {mode:04o}.*pair again") as caught:
        store.load()

    assert TOKEN not in str(caught.value)


@posix_only
def test_links_are_rejected(tmp_path: Path) -> None:
    """
    A link may lead to another user's file.
    """
    FileTokens(tmp_path / "real").save(TOKEN)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(TokenStoreUnavailable, match="symbolic link"):
        FileTokens(tmp_path / "link").load()


def test_unusable_folder_is_named(tmp_path: Path) -> None:
    """
    The error names a file that cannot be written.
    """
    (tmp_path / "file").write_text("")

    with pytest.raises(TokenStoreUnavailable, match="token cannot be used"):
        FileTokens(tmp_path / "file" / "token").save(TOKEN)


# --- the keyring ------------------------------------------------------------------------------------------------------


def test_keyring_entry_is_named_after_the_app(keyring: PrivateKeyring) -> None:
    """
    The user finds the entry under the app's name, with one for each daemon.
    """
    import secretstorage

    KeyringTokens("Orders tool").save(TOKEN)
    KeyringTokens("Orders tool", daemon="profile sandbox").save(OTHER)

    bus = secretstorage.dbus_init()
    items = secretstorage.get_default_collection(bus).get_all_items()
    attributes = [item.get_attributes() for item in items]
    bus.close()
    assert {(SERVICE, "Orders tool"), (SERVICE, "Orders tool (profile sandbox)")} == {
        (found["service"], found["username"]) for found in attributes
    }
    assert TOKEN == KeyringTokens("Orders tool").load()


def test_keyring_stores_no_plaintext(keyring: PrivateKeyring) -> None:
    """
    The token is not in any file of the session.
    """
    KeyringTokens("Orders tool").save(TOKEN)

    assert not [path for path, content in keyring.files().items() if TOKEN.encode() in content]


@every_call
def test_missing_keyring_suggests_a_file(session: PrivateKeyring, use: Use) -> None:
    """
    Without a keyring nothing is stored elsewhere; the error explains how the app can use a file.
    """
    with pytest.raises(TokenStoreUnavailable, match=r"No keyring is available.*token_store=FileTokens\(path\)"):
        use(KeyringTokens("Orders tool"))


@every_call
def test_locked_keyring_prompts_once(keyring: PrivateKeyring, use: Use) -> None:
    """
    The user is prompted once; declining raises an error with advice.
    """
    KeyringTokens("Orders tool").save(TOKEN)
    keyring.lock()

    with pytest.raises(TokenStoreLocked, match=r"is locked\. Unlock it"):
        use(KeyringTokens("Orders tool"))

    assert 1 == keyring.prompts


def test_load_does_not_create_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    If the user has no keyring, loading does not prompt for a new password.
    """
    skip_unless_there_is_one()
    session = PrivateKeyring(activatable=True)
    session.enter(monkeypatch)
    session.start(keyring=False)
    try:
        found = KeyringTokens("Orders tool").load()
        prompts = session.prompts
    finally:
        session.stop()

    assert (None, 0) == (found, prompts)


@pytest.mark.parametrize("name", ["keyring.backends.null.Keyring", "keyrings.alt.file.PlaintextKeyring"])
@every_call
def test_untrusted_keyring_is_rejected(monkeypatch: pytest.MonkeyPatch, name: str, use: Use) -> None:
    """
    A backend that stores nothing, or stores plaintext, is not used even if it is configured.
    """
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)

    with pytest.raises(TokenStoreUnavailable, match=f"names the keyring {name}, which is not known to store secrets"):
        use(KeyringTokens("Orders tool"))


def test_hanging_keyring_is_given_up_at_the_timeout(failing: type[FailingKeyring]) -> None:
    """
    A call ends in time with an explanation.
    """
    failing.slow = "get"
    failing.go_on.clear()

    with pytest.raises(TokenStoreLocked, match=r"did not respond within 0\.05 seconds.*FileTokens"):
        failing_store(timeout=0.05).load()


@pytest.mark.parametrize(("call", "use"), [("get", lambda it: it.load()), ("set", lambda it: it.save(TOKEN))])
def test_backend_error_is_not_quoted(failing: type[FailingKeyring], call: str, use: Use) -> None:
    """
    A backend's error is not shown: its text may contain the token, and its type means nothing to the user.
    """
    failing.fails = {call: OSError(f"cannot handle {TOKEN}")}

    with pytest.raises(TokenStoreUnavailable, match=r"The keyring \(failing\) failed\. Check") as caught:
        use(failing_store())

    assert TOKEN not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__ or ''}"


def test_failed_deletion_is_detected(failing: type[FailingKeyring]) -> None:
    """
    A token that remains after its deletion is an error.
    """
    store = failing_store()
    store.save(TOKEN)
    failing.keeps = True

    with pytest.raises(TokenStoreUnavailable, match="did not delete the entry"):
        store.delete()
