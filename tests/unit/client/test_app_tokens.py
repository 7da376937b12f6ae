"""Where an app keeps its token."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from tests.support.stubborn import NAME, Stubborn
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
    """Give this process a session bus without a keyring."""
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


@pytest.fixture(name="stubborn")
def _stubborn(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Stubborn]]:
    """Give this process a keyring that misbehaves to order."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NAME)
    Stubborn.reset()
    yield Stubborn
    Stubborn.go_on.set()
    for thread in threading.enumerate():
        if thread.name == "token-keyring":
            thread.join(20)
    Stubborn.reset()


@pytest.fixture(name="store", params=["memory", "file", "keyring"])
def _store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    if request.param == "memory":
        return MemoryTokens()
    if request.param == "file":
        return FileTokens(tmp_path / "app" / "token")
    request.getfixturevalue("keyring")
    return KeyringTokens("Orders tool")


def a_stubborn_store(*, timeout: float = 20.0) -> KeyringTokens:
    return KeyringTokens("Orders tool", timeout=timeout, trusted={NAME: "Stubborn"})


# --- what every store promises ----------------------------------------------------------------------------------------


def test_a_token_is_kept_until_it_is_replaced_or_deleted(store: TokenStore) -> None:
    """
    There is nothing at first, then the token that was saved last, and nothing again.
    """
    found = [store.load()]
    store.save(TOKEN)
    found.append(store.load())
    store.save(OTHER)
    found.append(store.load())
    store.delete()
    found.append(store.load())

    assert [None, TOKEN, OTHER, None] == found


def test_deleting_nothing_succeeds(store: TokenStore) -> None:
    """
    Deleting twice is as good as once.
    """
    store.delete()
    store.delete()

    assert store.load() is None


def test_no_store_prints_its_token(store: TokenStore) -> None:
    """
    What a debugger, a log line or a traceback shows of a store has no token in it.
    """
    store.save(TOKEN)

    assert TOKEN not in f"{store!r} {store!s} {vars(store)!r}"


# --- files ------------------------------------------------------------------------------------------------------------


@posix_only
def test_the_file_is_its_users_alone(tmp_path: Path) -> None:
    """
    The file, and the folder that is made for it, are closed to everybody else, and nothing else is left behind.
    """
    path = tmp_path / "app" / "token"

    FileTokens(path).save(TOKEN)

    assert (0o700, 0o600) == (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777)
    assert [path] == list(path.parent.iterdir())


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """
    A token that others may know is not used, and the error says what to do.
    """
    path = tmp_path / "token"
    store = FileTokens(path)
    store.save(TOKEN)
    path.chmod(mode)

    with pytest.raises(TokenStoreUnavailable, match=f"its mode is {mode:04o}.*pair again") as caught:
        store.load()

    assert TOKEN not in str(caught.value)


@posix_only
def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """
    A link in the file's place may lead to another user's file.
    """
    FileTokens(tmp_path / "real").save(TOKEN)
    (tmp_path / "link").symlink_to(tmp_path / "real")

    with pytest.raises(TokenStoreUnavailable, match="symbolic link"):
        FileTokens(tmp_path / "link").load()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """
    Where the file cannot be written, the error names it.
    """
    (tmp_path / "file").write_text("")

    with pytest.raises(TokenStoreUnavailable, match="token cannot be used"):
        FileTokens(tmp_path / "file" / "token").save(TOKEN)


# --- the keyring ------------------------------------------------------------------------------------------------------


def test_the_keyring_shows_the_apps_own_name(keyring: PrivateKeyring) -> None:
    """
    The user finds the entry in the keyring's window under the name that the app has, and each daemon's by itself.
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


def test_the_keyring_keeps_nothing_in_clear(keyring: PrivateKeyring) -> None:
    """
    The token is in no file of the session as it is.
    """
    KeyringTokens("Orders tool").save(TOKEN)

    assert not [path for path, content in keyring.files().items() if TOKEN.encode() in content]


@every_call
def test_without_a_keyring_another_store_is_named(session: PrivateKeyring, use: Use) -> None:
    """
    Where no keyring runs nothing is written elsewhere by itself: the error says how the app can choose a file.
    """
    with pytest.raises(TokenStoreUnavailable, match=r"No keyring can be used here.*token_store=FileTokens\(path\)"):
        use(KeyringTokens("Orders tool"))


@every_call
def test_a_locked_keyring_is_named(keyring: PrivateKeyring, use: Use) -> None:
    """
    The user is asked once to unlock it; who declines reads what to do.
    """
    KeyringTokens("Orders tool").save(TOKEN)
    keyring.lock()

    with pytest.raises(TokenStoreLocked, match=r"is locked\. Unlock it"):
        use(KeyringTokens("Orders tool"))

    assert 1 == keyring.prompts


def test_looking_for_a_token_does_not_make_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Where there has never been a keyring there is no token either, and the user is not asked to think of a password.
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
def test_a_keyring_that_is_not_trusted_is_not_used(monkeypatch: pytest.MonkeyPatch, name: str, use: Use) -> None:
    """
    As for the daemon: what forgets, or writes in clear, is not taken even if the user's environment names it.
    """
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)

    with pytest.raises(TokenStoreUnavailable, match=f"names the keyring {name}, which is not known to store secrets"):
        use(KeyringTokens("Orders tool"))


def test_a_keyring_that_hangs_holds_nobody_up(stubborn: type[Stubborn]) -> None:
    """
    A call ends in time with the reason, whatever the keyring does.
    """
    stubborn.slow = "get"
    stubborn.go_on.clear()

    with pytest.raises(TokenStoreLocked, match=r"does not answer within 0\.05 seconds.*FileTokens"):
        a_stubborn_store(timeout=0.05).load()


@pytest.mark.parametrize(("call", "use"), [("get", lambda it: it.load()), ("set", lambda it: it.save(TOKEN))])
def test_a_keyring_that_fails_quotes_nothing(stubborn: type[Stubborn], call: str, use: Use) -> None:
    """
    The error names the kind of failure alone: a keyring's own words may have the token in them.
    """
    stubborn.fails = {call: OSError(f"cannot handle {TOKEN}")}

    with pytest.raises(TokenStoreUnavailable, match=r"The keyring \(Stubborn\) failed \(OSError\)") as caught:
        use(a_stubborn_store())

    assert TOKEN not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__ or ''}"


def test_a_keyring_that_does_not_let_go_is_told(stubborn: type[Stubborn]) -> None:
    """
    A token that stays although it was deleted is an error.
    """
    store = a_stubborn_store()
    store.save(TOKEN)
    stubborn.keeps = True

    with pytest.raises(TokenStoreUnavailable, match="did not delete the entry"):
        store.delete()
