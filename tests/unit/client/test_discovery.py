"""The discovery file and the daemon's lock."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from upstash_helper.protocol import discovery
from upstash_helper.protocol.discovery import Discovery
from upstash_helper.protocol.errors import DiscoveryRefused, VersionMismatch
from upstash_helper.protocol.lock import LOCK_FILE, AlreadyHeld, InstanceLock

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes and owners")

HOLD = """
import sys
from pathlib import Path
from upstash_helper.protocol.lock import InstanceLock
with InstanceLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def a_discovery() -> Discovery:
    return Discovery(
        pid=4711,
        port=3000,
        base_url="http://127.0.0.1:3000",
        owner_token="owner-token-of-this-run",
        version="0.1.0",
        api_version=1,
    )


def test_written_discovery_file_is_read(tmp_path: Path) -> None:
    """A client reads what the daemon has written."""
    announced = a_discovery()

    discovery.write(tmp_path / "run", announced)

    assert announced == discovery.read(tmp_path / "run")


def test_missing_discovery_file_is_not_an_error(tmp_path: Path) -> None:
    """No daemon is running then."""
    assert discovery.read(tmp_path / "absent") is None


def test_discovery_file_can_be_removed_twice(tmp_path: Path) -> None:
    """A daemon that stops cleanly removes it."""
    discovery.write(tmp_path, a_discovery())

    discovery.remove(tmp_path)
    discovery.remove(tmp_path)

    assert discovery.read(tmp_path) is None


def test_token_is_not_in_the_representation() -> None:
    """Neither repr() nor str() contains it."""
    assert "owner-token-of-this-run" not in f"{a_discovery()!r} {a_discovery()!s}"


@posix_only
def test_discovery_file_is_private(tmp_path: Path) -> None:
    """Other users can read neither the file nor its folder."""
    runtime = tmp_path / "run"

    discovery.write(runtime, a_discovery())

    assert 0o700 == runtime.stat().st_mode & 0o777
    assert 0o600 == discovery.discovery_file(runtime).stat().st_mode & 0o777


def test_discovery_file_is_replaced_atomically(tmp_path: Path) -> None:
    """No temporary file stays behind."""
    discovery.write(tmp_path, a_discovery())
    discovery.write(tmp_path, a_discovery())

    assert {discovery.discovery_file(tmp_path), tmp_path / discovery.RESERVE_FILE} == set(tmp_path.iterdir())


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Others could have read the token. The error says what to do."""
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).chmod(mode)

    with pytest.raises(DiscoveryRefused, match=f"its mode is {mode:04o}.*Restart the daemon"):
        discovery.read(tmp_path)


@posix_only
def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    """It may lead to another user's file. The daemon never creates one."""
    discovery.write(tmp_path / "real", a_discovery())
    (tmp_path / "run").mkdir()
    discovery.discovery_file(tmp_path / "run").symlink_to(discovery.discovery_file(tmp_path / "real"))

    with pytest.raises(DiscoveryRefused, match="symbolic link"):
        discovery.read(tmp_path / "run")


@posix_only
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """It could lead the client to that user's program."""
    if os.geteuid() != 0:
        pytest.skip("platform: only root can give a file away")
    discovery.write(tmp_path, a_discovery())
    os.chown(discovery.discovery_file(tmp_path), 12345, -1)

    with pytest.raises(DiscoveryRefused, match="belongs to the user with ID 12345"):
        discovery.read(tmp_path)


@posix_only
def test_pipe_is_refused(tmp_path: Path) -> None:
    """The client does not wait for data from it."""
    os.mkfifo(discovery.discovery_file(tmp_path), 0o600)

    with pytest.raises(DiscoveryRefused, match="not a regular file"):
        discovery.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":1}', b"\xff\xfe", b'{"format":1,"pid":"x"}'])
def test_invalid_content_is_refused(tmp_path: Path, content: bytes) -> None:
    """The error names the file."""
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).write_bytes(content)

    with pytest.raises(DiscoveryRefused, match=r"daemon\.json"):
        discovery.read(tmp_path)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """It was written by a newer version."""
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).write_bytes(b'{"format":2,"where":"elsewhere"}')

    with pytest.raises(VersionMismatch, match="older than the running daemon"):
        discovery.read(tmp_path)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    """A newer version may add fields."""
    discovery.write(tmp_path, a_discovery())
    path = discovery.discovery_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"', b'{"new":[1],"', 1))

    assert a_discovery() == discovery.read(tmp_path)


def test_lock_is_exclusive_across_processes(tmp_path: Path) -> None:
    """While a process holds the lock, no other gets it, and the daemon counts as running."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()

        running = discovery.is_running(tmp_path)
        with pytest.raises(AlreadyHeld):
            InstanceLock(tmp_path).acquire()
        holder.kill()

    assert running
    # The system releases the lock of a killed process.
    assert not discovery.is_running(tmp_path)
    with InstanceLock(tmp_path):
        pass


def test_checking_does_not_take_the_lock(tmp_path: Path) -> None:
    """Checking whether a daemon is running does not prevent one from starting, and creates no file."""
    assert not discovery.is_running(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()

    with InstanceLock(tmp_path):
        pass
    assert not discovery.is_running(tmp_path)

    with InstanceLock(tmp_path):
        assert discovery.is_running(tmp_path)


@posix_only
def test_lock_does_not_follow_links(tmp_path: Path) -> None:
    """A symbolic link is an error, and its target is not touched."""
    victim = tmp_path / "victim"
    (tmp_path / LOCK_FILE).symlink_to(victim)

    with pytest.raises(OSError, match=r"daemon\.lock"):
        InstanceLock(tmp_path).acquire()

    assert not victim.exists()


def test_stale_files_are_removed_only_if_no_daemon_is_running(tmp_path: Path) -> None:
    """T40: a client that starts a daemon must not take a killed one's files for the new one's."""
    announced = a_discovery()
    discovery.write(tmp_path, announced)
    with InstanceLock(tmp_path):
        discovery.remove_stale(tmp_path)
        kept = discovery.read(tmp_path)

    discovery.remove_stale(tmp_path)

    assert announced == kept
    assert discovery.read(tmp_path) is None
