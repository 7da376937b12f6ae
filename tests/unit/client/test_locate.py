"""Where an app finds the daemon of its user."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from upstash_helper.client import ClientError, DaemonUnreachable, locate
from upstash_helper.client.locate import Whereabouts
from upstash_helper.protocol import discovery, wake_note
from upstash_helper.protocol.discovery import Discovery
from upstash_helper.protocol.lock import InstanceLock

URL = "http://127.0.0.1:3917"


@pytest.fixture(name="home")
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A world below a folder, as ``UPSTASH_HELPER_HOME`` makes it."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))
    monkeypatch.delenv("UPSTASH_HELPER_PROFILE", raising=False)
    return tmp_path


def announce(runtime: Path) -> None:
    announced = Discovery(pid=1, port=3917, base_url=URL, owner_token="the-owners", version="0", api_version=1)
    discovery.write(runtime, announced)


def test_an_address_that_is_given_is_taken() -> None:
    """
    Who names the address gets it, and tokens of a world of its own.
    """
    assert Whereabouts(URL, world=f"at {URL}") == locate.find(f"{URL}")


def test_a_daemon_that_runs_is_found_where_it_announced_itself(home: Path) -> None:
    """
    The app asks the daemon of its user's profile, on whatever port that is.
    """
    announce(home / "run")

    with InstanceLock(home / "run"):
        found = locate.find()

    assert Whereabouts(URL, world=f"in {home}") == found


def test_a_profile_is_a_world_of_its_own(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The tokens of one profile's daemon are not those of another's, and the command that starts it names the profile.
    """
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "sandbox")
    runtime = home / "run" / "profiles" / "sandbox"
    announce(runtime)

    with InstanceLock(runtime):
        found = locate.find()

    assert Whereabouts(URL, f"profile sandbox, in {home}", "upstash-helper --profile sandbox start") == found


def test_a_left_over_announcement_is_not_believed(home: Path) -> None:
    """
    The address in a killed daemon's file may be another program's by now.
    """
    announce(home / "run")

    with pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        locate.find()


def test_the_daemon_of_a_profile_is_not_looked_for_in_the_usual_place(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    An app that is to use the sandbox does not end up at the user's real databases because the sandbox is not there.
    """
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "sandbox")

    with pytest.raises(DaemonUnreachable, match="upstash-helper --profile sandbox start"):
        locate.find()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: nobody starts the daemon on demand on Windows")
def test_a_daemon_that_is_started_on_demand_is_started(home: Path) -> None:
    """
    An app that looks for a daemon that has left has it started, on whatever port that is.
    """
    from tests.support.activated import Activated

    with Activated.listening(home) as daemon:
        wake_note.write(home / "state", f"http://127.0.0.1:{daemon.port}")

        found = locate.find()

        assert Whereabouts(f"http://127.0.0.1:{daemon.port}", world=f"in {home}") == found
        assert 1 == len(daemon.activator.pids)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: elsewhere the user's own folders cannot be exchanged")
def test_the_users_usual_daemon_is_in_the_usual_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """
    Where nothing is announced the documented address is tried: the daemon may be in a container.
    """
    for name in ("UPSTASH_HELPER_HOME", "UPSTASH_HELPER_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))

    assert Whereabouts("http://127.0.0.1:3000") == locate.find()


def test_the_owners_token_is_not_even_read(home: Path) -> None:
    """
    What an app takes from the announcement is the address; a file without the token would do.
    """
    announce(home / "run")
    path = discovery.discovery_file(home / "run")
    path.write_bytes(b'{"format":1,"base_url":"http://127.0.0.1:3917"}')

    assert URL == discovery.read_address(home / "run")


def test_a_profile_that_cannot_be_one_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A mistake in the environment is an error of the client, with the words that the command line has for it.
    """
    monkeypatch.setenv("UPSTASH_HELPER_PROFILE", "../other")

    with pytest.raises(ClientError, match="Profile name"):
        locate.find()
