"""A daemon and a client of different versions: they are compatible, or the client reports which one is older."""

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
    """Announce a running daemon."""
    content = {
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
        path.write_bytes(msgspec.json.encode(content | changes))
        path.chmod(0o600)
        yield


@pytest.mark.parametrize("version", ["0.0.1", __version__, "99.0"])
def test_same_protocol_version_is_compatible(runtime: Path, version: str) -> None:
    """The versions of the programs may differ."""
    with announced(runtime, version=version):
        assert "http://127.0.0.1:3917" == DaemonClient.discover(runtime).base_url


@pytest.mark.parametrize("change", [{"api_version": API_VERSION - 1}, {"format": FORMAT - 1}])
def test_older_daemon_has_to_be_restarted(runtime: Path, change: dict[str, int]) -> None:
    """The message contains the command, with the profile."""
    with announced(runtime, version="0.0.1", **change), pytest.raises(VersionMismatch) as raised:
        DaemonClient.discover(runtime, start_command="upstash-helper --profile work start")

    assert (True, "0.0.1", __version__) == (
        raised.value.daemon_is_older,
        raised.value.daemon_version,
        raised.value.our_version,
    )
    message = str(raised.value)
    assert message.startswith("The running daemon is older than this program")
    assert message.endswith("Restart the daemon: upstash-helper --profile work restart")
    assert TOKEN not in message


@pytest.mark.parametrize("change", [{"api_version": API_VERSION + 1}, {"format": FORMAT + 1, "owner_token": 5}])
def test_newer_daemon_requires_an_update_of_the_program(runtime: Path, change: dict[str, Any]) -> None:
    """A discovery file in an unknown format is not reported as damaged."""
    with announced(runtime, **change), pytest.raises(VersionMismatch) as raised:
        DaemonClient.discover(runtime)

    assert not raised.value.daemon_is_older
    assert str(raised.value).startswith("This program is older than the running daemon")
    assert "Update the package upstash-helper" in str(raised.value)


def test_discovery_file_without_a_format_is_refused(runtime: Path) -> None:
    """No version writes such a file."""
    with (
        announced(runtime, format=None),
        pytest.raises(DiscoveryRefused, match="is damaged, or another"),
    ):
        DaemonClient.discover(runtime)


def test_left_over_file_of_an_older_daemon_is_ignored(runtime: Path) -> None:
    """After an update it does not prevent starting the daemon."""
    with announced(runtime, api_version=API_VERSION - 1):
        pass

    with pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        DaemonClient.discover(runtime)


def test_app_sends_nothing_to_an_incompatible_daemon(runtime: Path) -> None:
    """The public client raises the same error."""
    with occupied("127.0.0.1") as listening:
        listening.setblocking(False)
        changes = {"base_url": f"http://127.0.0.1:{listening.getsockname()[1]}", "api_version": API_VERSION + 1}
        with announced(runtime, **changes), pytest.raises(VersionMismatch, match="This program is older"):
            Helper.pair(name="Orders tool", scopes=("databases:read",))

        with pytest.raises(BlockingIOError):
            listening.accept()


def test_process_id_is_read_from_any_version(runtime: Path) -> None:
    """An incompatible daemon can still be ended."""
    with announced(runtime, format=FORMAT + 1, pid=4711):
        assert 4711 == discovery.read_pid(runtime)
