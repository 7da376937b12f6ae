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


def test_what_was_announced_is_found(tmp_path: Path) -> None:
    """
    A client reads what the daemon has announced.
    """
    announced = a_discovery()

    discovery.write(tmp_path / "run", announced)

    assert announced == discovery.read(tmp_path / "run")


def test_nothing_announced_is_no_error(tmp_path: Path) -> None:
    """
    Where no daemon has announced itself there is nothing to read.
    """
    assert discovery.read(tmp_path / "absent") is None


def test_removed_announcement_is_gone(tmp_path: Path) -> None:
    """
    After a clean stop nothing is found, and removing twice does no harm.
    """
    discovery.write(tmp_path, a_discovery())

    discovery.remove(tmp_path)
    discovery.remove(tmp_path)

    assert discovery.read(tmp_path) is None


def test_token_does_not_print() -> None:
    """
    The owner token is in no representation of the announcement.
    """
    assert "owner-token-of-this-run" not in f"{a_discovery()!r} {a_discovery()!s}"


@posix_only
def test_announcement_is_for_its_user_alone(tmp_path: Path) -> None:
    """
    The file with the token, and the folder made for it, are closed to everybody else.
    """
    runtime = tmp_path / "run"

    discovery.write(runtime, a_discovery())

    assert 0o700 == runtime.stat().st_mode & 0o777
    assert 0o600 == discovery.discovery_file(runtime).stat().st_mode & 0o777


def test_writing_leaves_no_other_file(tmp_path: Path) -> None:
    """
    The file is replaced as a whole; nothing half-written stays.
    """
    discovery.write(tmp_path, a_discovery())
    discovery.write(tmp_path, a_discovery())

    assert [discovery.discovery_file(tmp_path)] == list(tmp_path.iterdir())


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666])
def test_readable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    """
    A token that others could have read is not used, and the error says what to do.
    """
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).chmod(mode)

    with pytest.raises(DiscoveryRefused, match=f"its mode is {mode:04o}.*Restart the daemon"):
        discovery.read(tmp_path)


@posix_only
def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    """
    A link may lead to another user's file; the daemon never makes one.
    """
    discovery.write(tmp_path / "real", a_discovery())
    (tmp_path / "run").mkdir()
    discovery.discovery_file(tmp_path / "run").symlink_to(discovery.discovery_file(tmp_path / "real"))

    with pytest.raises(DiscoveryRefused, match="symbolic link"):
        discovery.read(tmp_path / "run")


@posix_only
def test_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """
    A file that another user wrote could send the client to that user's program.
    """
    if os.geteuid() != 0:
        pytest.skip("platform: only root can give a file away")
    discovery.write(tmp_path, a_discovery())
    os.chown(discovery.discovery_file(tmp_path), 12345, -1)

    with pytest.raises(DiscoveryRefused, match="belongs to the user with id 12345"):
        discovery.read(tmp_path)


@posix_only
def test_something_else_than_a_file_is_refused(tmp_path: Path) -> None:
    """
    A pipe in the file's place is refused, and nobody waits for it.
    """
    os.mkfifo(discovery.discovery_file(tmp_path), 0o600)

    with pytest.raises(DiscoveryRefused, match="not a regular file"):
        discovery.read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format":1}', b"\xff\xfe", b'{"format":1,"pid":"x"}'])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    """
    A file that cannot be read is named, with what to do, and is no crash.
    """
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).write_bytes(content)

    with pytest.raises(DiscoveryRefused, match=r"daemon\.json"):
        discovery.read(tmp_path)


def test_unknown_format_is_refused(tmp_path: Path) -> None:
    """
    A file of a later version is not guessed at.
    """
    discovery.write(tmp_path, a_discovery())
    discovery.discovery_file(tmp_path).write_bytes(b'{"format":2,"where":"elsewhere"}')

    with pytest.raises(VersionMismatch, match="older than the daemon"):
        discovery.read(tmp_path)


def test_unknown_fields_are_ignored(tmp_path: Path) -> None:
    """
    A later version may add to the file without breaking older clients.
    """
    discovery.write(tmp_path, a_discovery())
    path = discovery.discovery_file(tmp_path)
    path.write_bytes(path.read_bytes().replace(b'{"', b'{"new":[1],"', 1))

    assert a_discovery() == discovery.read(tmp_path)


def test_lock_is_exclusive_across_processes(tmp_path: Path) -> None:
    """
    While one process has the lock no other gets it, and everybody can tell that a daemon is alive.
    """
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert "held\n" == holder.stdout.readline()

        alive = discovery.is_running(tmp_path)
        with pytest.raises(AlreadyHeld):
            InstanceLock(tmp_path).acquire()
        holder.kill()

    assert alive
    # The system frees the lock of a killed process.
    assert not discovery.is_running(tmp_path)
    with InstanceLock(tmp_path):
        pass


def test_looking_does_not_take_the_lock(tmp_path: Path) -> None:
    """
    Whoever asks whether a daemon runs keeps no daemon from starting, and makes no file.
    """
    assert not discovery.is_running(tmp_path / "absent")
    assert not (tmp_path / "absent").exists()

    with InstanceLock(tmp_path):
        pass
    assert not discovery.is_running(tmp_path)

    with InstanceLock(tmp_path):
        assert discovery.is_running(tmp_path)


@posix_only
def test_lock_does_not_follow_links(tmp_path: Path) -> None:
    """
    A link in the lock's place is an error, and what it points to is not touched.
    """
    victim = tmp_path / "victim"
    (tmp_path / LOCK_FILE).symlink_to(victim)

    with pytest.raises(OSError, match=r"daemon\.lock"):
        InstanceLock(tmp_path).acquire()

    assert not victim.exists()
