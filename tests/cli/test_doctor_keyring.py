"""``doctor`` on the keyring: a real GNOME Keyring, open, locked, hanging, without a collection, or not there."""

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
    """A session bus without a keyring, where nobody answers what the keyring asks."""
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
    """Return the labels of what the keyring holds."""
    import secretstorage

    with closing(secretstorage.dbus_init()) as bus:
        return [item.get_label() for item in secretstorage.get_default_collection(bus).get_all_items()]


def test_an_open_keyring_keeps_what_it_is_given(examined: Examined, session: PrivateKeyring) -> None:
    """
    An entry is written, read back and deleted: nothing of it is left, and nobody was asked for anything.
    """
    session.start_keyring()

    (found,) = examined.all(desktop.keyring)

    assert ("ok", "Secret Service: an entry was written, read back and deleted") == (found.state, found.detail)
    assert [] == entries(session)
    assert 0 == session.prompts


def test_what_is_in_it_stays(examined: Examined, session: PrivateKeyring) -> None:
    """
    The real entry, of the daemon, is not touched.
    """
    import secretstorage

    session.start_keyring()
    with closing(secretstorage.dbus_init()) as bus:
        attributes = {"application": "Python keyring library", "service": "upstash-helper", "username": "default"}
        secretstorage.get_default_collection(bus).create_item("the real one", attributes, b"precious")

    (found,) = examined.all(desktop.keyring)

    assert "ok" == found.state
    assert ["the real one"] == entries(session)


def test_a_locked_keyring_is_said_to_be_and_stays_locked(examined: Examined, session: PrivateKeyring) -> None:
    """
    A look is no reason to ask the user for a password.
    """
    session.start_keyring()
    session.lock()

    (found,) = examined.all(desktop.keyring)

    assert ("error", True) == (found.state, found.detail.startswith("locked. "))
    assert "Unlock it" in found.fix
    assert 0 == session.prompts


def test_a_session_without_a_keyring_is_told_from_a_locked_one(examined: Examined) -> None:
    """
    Where no program keeps secrets, what helps is to start one, or a file.
    """
    (found,) = examined.all(desktop.keyring)

    assert ("error", True) == (found.state, found.detail.startswith("none. "))
    assert 'credential_store = "file"' in found.fix


def test_a_keyring_that_hangs_is_given_up(examined: Examined, session: PrivateKeyring) -> None:
    """
    It neither holds up the other checks nor leaves the probe's process behind; what may be left in it is said.
    """
    session.start_keyring()
    session.freeze()
    try:
        hangs, left = examined.all(partial(desktop.keyring, seconds=3.0, clean_up=1.0))
    finally:
        session.thaw()

    assert ("error", "no answer within 3 s: it hangs, or waits for you") == (hangs.state, hangs.detail)
    assert "warning" == left.state
    assert "an entry of the probe may be left" in left.detail
    children = [child.cmdline() for child in psutil.Process().children(recursive=True)]
    assert not any("upstash_helper.storage.credentials.probe" in command for command in children)


def test_a_keyring_that_is_not_trusted_is_not_used(examined: Examined, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One that keeps secrets in clear is named, and given nothing.
    """
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")

    (found,) = examined.all(desktop.keyring)

    assert "error" == found.state
    assert "names the keyring keyrings.alt.file.PlaintextKeyring" in found.detail


@pytest.mark.parametrize("store", ["file", "memory"])
def test_a_keyring_that_is_not_used_is_not_looked_at(examined: Examined, store: str) -> None:
    """
    That it is not there is then no error.
    """
    examined.settings(credential_store=store)

    (found,) = examined.all(desktop.keyring)

    assert ("ok", True) == (found.state, found.detail.startswith("not used"))


def probed(*arguments: str) -> Any:
    """Run the probe as `doctor` does, and return what it says."""
    command = [sys.executable, "-P", "-m", "upstash_helper.storage.credentials.probe", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "" == ran.stderr
    return msgspec.json.decode(ran.stdout)


def test_the_probe_says_how_it_went_and_nothing_of_what_it_wrote(session: PrivateKeyring) -> None:
    """
    There is no place for the value in what it says, in its arguments or in its errors.
    """
    session.start_keyring()

    said = probed("doctor 1")

    assert {"state": "ok", "kind": "Secret Service", "detail": "", "left_behind": False} == said


def test_what_a_probe_left_can_be_forgotten(session: PrivateKeyring) -> None:
    """
    What a probe has written that was ended before it could delete it goes, and nothing else does.
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
