"""Folders for temporary files, in which daemons of earlier versions announced themselves on macOS and Windows."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from platformdirs.macos import MacOS

from tests.support.scripted import Scripted, answer
from tests.support.until import until
from upstash_helper.cli.daemon.lifecycle import stop_daemon
from upstash_helper.cli.session import Session
from upstash_helper.protocol import discovery
from upstash_helper.protocol.lock import LOCK_FILE, TRAY_LOCK_FILE, InstanceLock
from upstash_helper.runtime.process import AlreadyRunning, single_instance
from upstash_helper.settings.config import Profile, Settings
from upstash_helper.settings.profiles import Folders, folders_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """The folders of a user of Windows who had an earlier version."""
    local = tmp_path / "Local"
    former = local / "Temp" / "upstash-helper"
    former.mkdir(parents=True)
    state = local / "upstash-helper"
    return Folders(config=state, state=state, runtime=state / "run", logs=state / "Logs", former_runtimes=(former,))


@pytest.fixture
def profile(folders: Folders) -> Profile:
    """The profile with these folders."""
    return Profile(name="default", folders=folders, settings=Settings(), sources={})


@pytest.fixture
def running(folders: Folders) -> Iterator[Scripted]:
    """A daemon of an earlier version, which stops when it is asked to."""
    [former] = folders.former_runtimes
    with InstanceLock(former) as lock, Scripted.running(answer("202 Accepted", '{"recorded":true}')) as server:
        discovery.write(former, announcement(server.url))

        def stop() -> None:
            until(lambda: server.requests)
            discovery.remove(former)
            lock.release()

        stopping = threading.Thread(target=stop, daemon=True)
        stopping.start()
        yield server


def announcement(url: str) -> discovery.Discovery:
    """Return the content of an earlier daemon's discovery file."""
    port = int(url.rpartition(":")[2])
    return discovery.Discovery(
        pid=os.getpid(), port=port, base_url=url, owner_token="the-token", version="0", api_version=1
    )


@pytest.mark.parametrize("below", [Path(), Path("profiles/work")])
def test_daemon_is_found_below_the_state_folder(below: Path) -> None:
    """On macOS, too: the system clears TemporaryItems."""
    dirs = MacOS("upstash-helper", appauthor=False)

    found = folders_of(dirs, below, former=dirs.user_runtime_path)

    library = Path.home() / "Library"
    assert (library / "Application Support/upstash-helper" / below / "run",) == found.runtimes
    assert (library / "Caches/TemporaryItems/upstash-helper" / below,) == found.former_runtimes


def test_former_folder_is_removed_by_the_daemon(profile: Profile) -> None:
    """It has the owner token of a daemon that no longer runs."""
    [former] = profile.folders.former_runtimes
    for name in (LOCK_FILE, TRAY_LOCK_FILE, discovery.WAITING_FILE, "dashboard-1.html"):
        (former / name).touch()
    (former / "tombstones").write_bytes(bytes(4096))
    discovery.write(former, announcement("http://127.0.0.1:1"))

    with single_instance(profile):
        left = former.exists()

    assert not left
    assert former.parent.exists()
    assert profile.folders.tray_runtimes == profile.folders.runtimes


def test_what_is_needed_of_a_former_folder_is_kept(profile: Profile) -> None:
    """That is: revocations that are not written to the ledger yet, the lock of a running tray, and unknown files."""
    [former] = profile.folders.former_runtimes
    (former / "tombstones").write_bytes(b"a revocation")
    (former / "notes.txt").touch()
    discovery.write(former, announcement("http://127.0.0.1:1"))

    with InstanceLock(former, file=TRAY_LOCK_FILE), single_instance(profile):
        left = sorted(path.name for path in former.iterdir())

    assert ["notes.txt", "tombstones", TRAY_LOCK_FILE] == left
    assert former / "tombstones" == profile.folders.tombstone_files[-1]
    assert former in profile.folders.tray_runtimes


def test_daemon_of_an_earlier_version_prevents_a_second_one(profile: Profile) -> None:
    """It is named, as any running daemon of the profile."""
    [former] = profile.folders.former_runtimes
    discovery.write(former, announcement("http://127.0.0.1:1"))
    already = pytest.raises(AlreadyRunning, match=f"already running as process {os.getpid()}")

    with InstanceLock(former), already, single_instance(profile):
        pass

    assert discovery.discovery_file(former).exists()


def test_daemon_of_an_earlier_version_is_stopped(folders: Folders, running: Scripted) -> None:
    """`stop`, and so an upgrade, finds it."""
    session = Session(folders=folders)

    was_running = stop_daemon(session)

    assert was_running
    assert ["POST /v1/daemon/stop"] == [request.partition(" HTTP/")[0] for request in running.requests]
    assert not stop_daemon(session)
