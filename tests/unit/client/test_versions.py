"""A daemon and a client of different versions: either they understand each other, or the client says who is older."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.other_programs import occupied
from upstash_helper import __version__
from upstash_helper.client import DaemonUnreachable, DiscoveryRefused, Helper, VersionMismatch
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.protocol import discovery
from upstash_helper.protocol.discovery import API_VERSION, FORMAT
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "the-owners-own"


@pytest.fixture(name="runtime")
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path))
    monkeypatch.delenv("UPSTASH_HELPER_PROFILE", raising=False)
    return tmp_path / "run"


@contextmanager
def announced(runtime: Path, **changes: Any) -> Iterator[None]:
    """Announce a daemon that runs."""
    said = {
        "format": FORMAT,
        "pid": 1,
        "port": 3917,
        "base_url": "http://127.0.0.1:3917",
        "owner_token": TOKEN,
        "version": "9.9",
        "api_version": API_VERSION,
    }
    with InstanceLock(runtime):
        path = discovery.discovery_file(runtime)
        path.write_bytes(msgspec.json.encode(said | changes))
        path.chmod(0o600)
        yield


@pytest.mark.parametrize("version", ["0.0.1", __version__, "99.0"])
def test_the_same_protocol_is_enough(runtime: Path, version: str) -> None:
    """
    Whether the daemon is older or newer does not matter as long as both speak the same.
    """
    with announced(runtime, version=version):
        assert "http://127.0.0.1:3917" == DaemonClient.discover(runtime).base_url


@pytest.mark.parametrize("change", [{"api_version": API_VERSION - 1}, {"format": FORMAT - 1}])
def test_an_older_daemon_is_to_be_restarted(runtime: Path, change: dict[str, int]) -> None:
    """
    The user is told that it is the daemon that is older, and the command that mends it, with the profile in it.
    """
    with announced(runtime, version="0.0.1", **change), pytest.raises(VersionMismatch) as raised:
        DaemonClient.discover(runtime, start_command="upstash-helper --profile work start")

    assert (True, "0.0.1", __version__) == (
        raised.value.daemon_is_older,
        raised.value.daemon_version,
        raised.value.our_version,
    )
    said = str(raised.value)
    assert said.startswith("The daemon that runs is older than this program")
    assert said.endswith("Restart the daemon: upstash-helper --profile work restart")
    assert TOKEN not in said


@pytest.mark.parametrize("change", [{"api_version": API_VERSION + 1}, {"format": FORMAT + 1, "owner_token": 5}])
def test_a_newer_daemon_asks_for_an_update_of_the_program(runtime: Path, change: dict[str, Any]) -> None:
    """
    The user is told that it is this program that is older; a file that is not understood is not called damaged.
    """
    with announced(runtime, **change), pytest.raises(VersionMismatch) as raised:
        DaemonClient.discover(runtime)

    assert not raised.value.daemon_is_older
    assert str(raised.value).startswith("This program is older than the daemon that runs")
    assert "Update the package upstash-helper" in str(raised.value)


def test_what_says_no_version_at_all_is_refused(runtime: Path) -> None:
    """
    A file without a format is none that any version wrote.
    """
    with announced(runtime, format=None), pytest.raises(DiscoveryRefused, match="not a discovery file"):
        DaemonClient.discover(runtime)


def test_what_an_older_daemon_left_behind_is_no_daemon(runtime: Path) -> None:
    """
    After an update the file of a daemon that was killed before it does not stand in the way of starting one.
    """
    with announced(runtime, api_version=API_VERSION - 1):
        pass

    with pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        DaemonClient.discover(runtime)


def test_an_app_is_told_too(runtime: Path) -> None:
    """
    The public client asks nothing of a daemon that it would misunderstand.
    """
    with occupied("127.0.0.1") as listening:
        listening.setblocking(False)
        there = {"base_url": f"http://127.0.0.1:{listening.getsockname()[1]}", "api_version": API_VERSION + 1}
        with announced(runtime, **there), pytest.raises(VersionMismatch, match="This program is older"):
            Helper.pair(name="Orders tool", scopes=("databases:read",))

        with pytest.raises(BlockingIOError):
            listening.accept()


def test_the_process_is_known_whatever_its_version(runtime: Path) -> None:
    """
    A daemon that is too old or too new can be named, and so be ended.
    """
    with announced(runtime, format=FORMAT + 1, pid=4711):
        assert 4711 == discovery.read_pid(runtime)
