"""Locating the daemon of the user who runs an app."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upstash_helper.client import ClientError, DaemonUnreachable, locate
from upstash_helper.client.locate import DaemonLocation
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.discovery import Discovery
from upstash_helper.protocol.lock import InstanceLock

URL = "http://127.0.0.1:3917"


@pytest.fixture(name="home")
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A home folder set by ``UPSTASH_HELPER_HOME``."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))
    monkeypatch.delenv("UPSTASH_HELPER_PROFILE", raising=False)
    return tmp_path


def announce(runtime: Path) -> None:
    announced = Discovery(
        pid=1, port=3917, base_url=URL, owner_token="the-owners", version="0", api_version=1, proves=True
    )
    discovery.write(runtime, announced)


def test_given_address_is_used() -> None:
    """Its tokens have their own label in the keyring."""
    assert DaemonLocation(URL, label=f"at {URL}") == locate.find(f"{URL}")


def test_running_daemon_is_found_through_its_discovery_file(home: Path) -> None:
    """It may have any port."""
    announce(home / "run")

    with InstanceLock(home / "run"):
        found = locate.find()

    assert DaemonLocation(URL, label=f"in {home}") == found


def test_profile_has_its_own_label_and_start_command(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tokens of two profiles are stored separately."""
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "sandbox")
    runtime = home / "run" / "profiles" / "sandbox"
    announce(runtime)

    with InstanceLock(runtime):
        found = locate.find()

    assert DaemonLocation(URL, f"profile sandbox, in {home}", "upstash-helper --profile sandbox start") == found


def test_left_over_discovery_file_is_ignored(home: Path) -> None:
    """Another program may have the address of a killed daemon by now."""
    announce(home / "run")

    with pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        locate.find()


def test_default_address_is_not_used_for_a_profile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app for the sandbox does not get the user's real databases because the sandbox is not running."""
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "sandbox")

    with pytest.raises(DaemonUnreachable, match="upstash-helper --profile sandbox start"):
        locate.find()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: there is no socket activation on Windows")
def test_socket_activated_daemon_is_woken(home: Path) -> None:
    """It may have any port."""
    from tests.support.activated import Activated

    with Activated.listening(home) as daemon:
        wake_note.write(home / "state", f"http://127.0.0.1:{daemon.port}")

        found = locate.find()

        assert DaemonLocation(f"http://127.0.0.1:{daemon.port}", label=f"in {home}") == found
        assert 1 == len(daemon.activator.pids)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere the user's folders cannot be replaced")
def test_default_address_is_used_without_a_discovery_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The daemon may run in a container."""
    for name in ("UPSTASH_HELPER_HOME", "UPSTASH_HELPER_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))

    assert DaemonLocation("http://127.0.0.1:3000") == locate.find()


def test_only_the_address_is_read_from_the_discovery_file(home: Path) -> None:
    """An app has no use for the owner token."""
    announce(home / "run")
    path = discovery.discovery_file(home / "run")
    path.write_bytes(b'{"format":1,"base_url":"http://127.0.0.1:3917"}')

    assert discovery.Address(base_url=URL) == discovery.read_address(home / "run")


def test_invalid_profile_is_an_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message is the same as that of the command line."""
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "../other")

    with pytest.raises(ClientError, match="Profile name"):
        locate.find()


def test_daemon_of_an_earlier_version_proves_nothing(home: Path) -> None:
    """Its private discovery file and its lock are what an app can rely on until it is restarted."""
    announce(home / "run")
    path = discovery.discovery_file(home / "run")
    path.write_bytes(b'{"format":1,"base_url":"http://127.0.0.1:3917"}')

    with InstanceLock(home / "run"):
        found = locate.find()

    assert (URL, False) == (found.base_url, found.proves)
