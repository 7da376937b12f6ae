"""``doctor`` on the keyring: a real GNOME Keyring, open, locked, hanging, without a collection, or not running."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest

from tests.support.examined import Examined
from tests.support.keyring import PrivateKeyring, skip_unless_there_is_one
from upstash_helper.cli.doctor import desktop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[PrivateKeyring]:
    """A session bus without a keyring, where nobody answers its prompts."""
    skip_unless_there_is_one()
    session = PrivateKeyring(prompts="unanswered")
    session.enter(monkeypatch)
    session.start(keyring=False)
    yield session
    session.stop()


@pytest.fixture
def examined(session: PrivateKeyring, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Examined:
    return Examined(monkeypatch, tmp_path / "home")


def entries(session: PrivateKeyring) -> list[str]:
    """Return the labels of the keyring's entries."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        return [item.get_label() for item in secretstorage.get_default_collection(bus).get_all_items()]


def test_open_keyring_stores_and_deletes_an_entry(examined: Examined, session: PrivateKeyring) -> None:
    """
    A test entry is written, read back, and deleted, without a prompt.
    """
    session.start_keyring()

    (found,) = examined.all(desktop.keyring)

    assert ("ok", "Secret Service: an entry was written, read back, and deleted") == (found.state, found.detail)
    assert [] == entries(session)
    assert 0 == session.prompts


def test_existing_entries_are_not_touched(examined: Examined, session: PrivateKeyring) -> None:
    """
    The daemon's own entry stays unchanged.
    """
    import secretstorage

    session.start_keyring()
    with closing(secretstorage.dbus_init()) as bus:
        attributes = {"application": "Python keyring library", "service": "upstash-helper", "username": "default"}
        secretstorage.get_default_collection(bus).create_item("the real one", attributes, b"precious")

    (found,) = examined.all(desktop.keyring)

    assert "ok" == found.state
    assert ["the real one"] == entries(session)


def test_locked_keyring_is_an_error_and_stays_locked(examined: Examined, session: PrivateKeyring) -> None:
    """
    The check never prompts for the password.
    """
    session.start_keyring()
    session.lock()

    (found,) = examined.all(desktop.keyring)

    assert ("error", "locked") == (found.state, found.detail)
    assert "Unlock it" in found.fix
    assert 0 == session.prompts


def test_missing_keyring_is_distinguished_from_a_locked_one(examined: Examined) -> None:
    """
    The fix is to start a keyring, or to use a file.
    """
    (found,) = examined.all(desktop.keyring)

    assert ("error", True) == (found.state, found.detail.startswith("none. "))
    assert 'credential_store = "file"' in found.fix


def test_keyring_that_is_not_running_is_not_started(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The session bus would start it, and the check only says so.
    """
    session = PrivateKeyring(activatable=True)
    session.enter(monkeypatch)
    session.start(keyring=False)
    try:
        (found,) = examined.all(desktop.keyring)
        running = session.is_running()
    finally:
        session.stop()

    assert ("ok", "Secret Service: not running, and not tested; it is started when it is needed") == (
        found.state,
        found.detail,
    )
    assert not running


def test_hanging_keyring_times_out(examined: Examined, session: PrivateKeyring) -> None:
    """
    It holds up no other check, its process is killed, and a test entry that may be left is reported.
    """
    session.start_keyring()
    session.freeze()
    try:
        hangs, left = examined.all(partial(desktop.keyring, seconds=3.0, clean_up=1.0))
    finally:
        session.thaw()

    assert ("error", "no response within 3 s: it hangs, or is waiting for you") == (hangs.state, hangs.detail)
    assert "warning" == left.state
    assert "a test entry may be left" in left.detail
    children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not any("upstash_helper.storage.credentials.probe" in command for command in children)


def test_plaintext_keyring_is_not_used(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A keyring that stores secrets in plaintext is named, and nothing is written to it.
    """
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")

    (found,) = examined.all(desktop.keyring)

    assert "error" == found.state
    assert "names the keyring keyrings.alt.file.PlaintextKeyring" in found.detail


@pytest.mark.parametrize("store", ["file", "memory"])
def test_unused_keyring_is_not_checked(examined: Examined, store: str) -> None:
    """
    With another credential store, a missing keyring is no problem.
    """
    examined.settings(credential_store=store)

    (found,) = examined.all(desktop.keyring)

    assert ("ok", True) == (found.state, found.detail.startswith("not used"))


def probed(*arguments: str) -> Any:
    """Run the probe as `doctor` does, and return its output."""
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.credentials.probe", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "" == ran.stderr
    return msgspec.json.decode(ran.stdout)


def test_probe_does_not_print_the_value(session: PrivateKeyring) -> None:
    """
    The value is neither in the output, nor in the arguments, nor in the errors.
    """
    session.start_keyring()

    reported = probed("doctor 1")

    assert {"state": "ok", "kind": "Secret Service", "detail": "", "left_behind": False} == reported


def test_entry_of_a_killed_probe_can_be_deleted(session: PrivateKeyring) -> None:
    """
    Only the entry of the killed probe is deleted.
    """
    import secretstorage

    session.start_keyring()
    with closing(secretstorage.dbus_init()) as bus:
        collection = secretstorage.get_default_collection(bus)
        for name in ("doctor 1", "default"):
            attributes = {"application": "Python keyring library", "service": "upstash-helper", "username": name}
            collection.create_item(name, attributes, b"left")

    assert "ok" == probed("--forget", "doctor 1")["state"]
    assert ["default"] == entries(session)
