"""The user and program at the other end of a connection, with real connections of this and another user."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import struct
import subprocess
import sys
import timeit
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.other_programs import NOBODY, OtherProgram, other_program, skip_unless_root
from upstash_helper.system import socket_owners
from upstash_helper.system.peers import (
    LOOKUPS,
    Lookup,
    Program,
    SystemPeers,
    is_running_by_psutil,
    peer_program,
    peer_uid,
    process_connections,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upstash_helper.system.socket_owners import Address

if sys.platform != "linux":
    pytest.skip("platform: only Linux reports the users of connections", allow_module_level=True)

each_lookup = pytest.mark.parametrize("lookup", [socket_owners.by_netlink, socket_owners.by_proc])
# The last is how Java connects to 127.0.0.1: with a dual-stack socket.
each_host = pytest.mark.parametrize(
    ("host", "target"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1")]
)

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:B357 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4991708 1 0000000000000000
   1: 0100007F:CAB0 0100007F:B357 {state} 00000000:00000000 03:0000176E 00000000 {uid:5}        0 {inode} 3
"""


def forbidden(client: Address, server: Address) -> int | None:
    """Fail as netlink does in a sandbox."""
    raise PermissionError(errno.EPERM, "not here")


@contextlib.contextmanager
def connection_from(host: str, target: str, *, user: int = 0) -> Iterator[tuple[Address, Address, OtherProgram]]:
    """Let another program connect; yield the server's address, the client's address, and the program."""
    with (
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener,
        other_program("connect", target, listener.getsockname()[1], user=user) as client,
        listener.accept()[0] as ours,
    ):
        yield ours.getsockname()[:2], ours.getpeername()[:2], client


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect to ourselves; yield the server's socket and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        with client, server:
            yield server, client


@each_lookup
@each_host
def test_own_programs_are_not_other_users(lookup: Lookup, host: str, target: str) -> None:
    """
    A program of this user is recognized over IPv4, IPv6, and IPv4 on a dual-stack socket.
    """
    with connection_from(host, target) as (local, remote, _):
        assert os.geteuid() == peer_uid(local, remote, lookups=(lookup,))
        assert not SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_lookup
@each_host
def test_t50_programs_of_other_users_are_detected(lookup: Lookup, host: str, target: str) -> None:
    """
    A program of another user is detected over IPv4, IPv6, and IPv4 on a dual-stack socket.
    """
    skip_unless_root()
    with connection_from(host, target, user=NOBODY) as (local, remote, _):
        assert NOBODY == peer_uid(local, remote, lookups=(lookup,))
        assert SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_lookup
def test_t50_half_closed_connections_are_attributed(lookup: Lookup) -> None:
    """
    A program of another user is detected after it has closed its writing side and waits for the response.
    """
    skip_unless_root()
    with connection_from("127.0.0.1", "127.0.0.1", user=NOBODY) as (local, remote, client):
        client.close_socket("half")

        assert SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_lookup
def test_closed_connection_has_no_owner(lookup: Lookup) -> None:
    """
    A connection that both ends have closed is not attributed to root, although the kernel reports user 0.
    """
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        client.close()
        server.close()

        assert peer_uid(local, remote, lookups=(lookup,)) is None
        assert not SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_lookup
def test_listener_on_the_clients_port_is_not_the_client(lookup: Lookup) -> None:
    """
    A program that listens on the former port of a client is not mistaken for it.
    """
    with connected() as (server, _), socket.create_server(("127.0.0.1", 0)) as listener:
        assert peer_uid(server.getsockname(), listener.getsockname(), lookups=(lookup,)) is None


@each_lookup
@pytest.mark.parametrize(
    "garbage",
    [("", 1), ("localhost", 80), ("127.0.0.1", 0), ("127.0.0.1", -1), ("::1", 65_536), ("::1%lo", 80), ("1\0", 1)],
)
def test_invalid_addresses_have_no_owner(lookup: Lookup, garbage: Address) -> None:
    """
    Lookups of invalid addresses return None.
    """
    good = ("127.0.0.1", 3000)

    assert [None, None] == [peer_uid(good, garbage, lookups=(lookup,)), peer_uid(garbage, good, lookups=(lookup,))]
    assert not SystemPeers(lookups=(lookup,)).is_other_user(good, garbage)
    assert peer_program(good, garbage) is None


def test_proc_is_used_if_netlink_is_forbidden() -> None:
    """
    In a sandbox that forbids netlink, other users' programs are still detected.
    """
    skip_unless_root()
    with connection_from("127.0.0.1", "127.0.0.1", user=NOBODY) as (local, remote, _):
        assert SystemPeers(lookups=(forbidden, socket_owners.by_proc)).is_other_user(local, remote)


@pytest.mark.parametrize("lookups", [(), (forbidden, forbidden)])
def test_unknown_user_counts_as_own(lookups: tuple[Lookup, ...]) -> None:
    """
    Where the system does not report the user, the peer is not treated as another user.
    """
    with connection_from("127.0.0.1", "127.0.0.1") as (local, remote, _):
        assert peer_uid(local, remote, lookups=lookups) is None
        assert not SystemPeers(lookups=lookups).is_other_user(local, remote)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_netlink_finds_listeners(host: str) -> None:
    """Netlink finds a socket that listens at an address, and none once that is closed."""
    family = socket.AF_INET6 if host == "::1" else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        address = listening.getsockname()[:2]
        assert socket_owners.may_be_listening(address)
        assert os.geteuid() == socket_owners.listening(address)

    assert not socket_owners.may_be_listening(address)
    assert socket_owners.listening(address) is None


def test_netlink_finds_listeners_at_all_addresses() -> None:
    """A socket that listens at every address may be the one that is looked for."""
    with socket.create_server(("0.0.0.0", 0)) as listening:
        assert socket_owners.may_be_listening(("127.0.0.1", listening.getsockname()[1]))


def test_t66_reset_connection_is_looked_up_once() -> None:
    """
    The kernel knows the listening socket, so its tables are not read: that takes longer the more connections there are,
    and a program could open and reset thousands of them.
    """
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        client = socket.create_connection(server.getsockname())
        accepted, remote = server.accept()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with contextlib.closing(accepted):
            with pytest.raises(ConnectionResetError):
                accepted.recv(1)
            local = accepted.getsockname()

            assert socket_owners.by_netlink(remote, local) is None
            assert socket_owners.inode(remote, local) is None


def test_netlink_that_knows_neither_end_raises() -> None:
    """
    A kernel without inet_diag answers that there is no connection; then the table must be read instead.
    """
    with pytest.raises(OSError, match="neither end"):
        socket_owners.by_netlink(("127.0.0.1", 1), ("127.0.0.1", 2))


@pytest.mark.parametrize(
    ("state", "uid", "inode", "owner"),
    [
        ("01", 1001, 4242, 1001),  # ESTABLISHED
        ("04", 1001, 4242, 1001),  # FIN_WAIT1, half closed
        ("04", 1001, 0, 1001),  # closed, on a kernel that keeps the owner
        ("04", 0, 0, None),  # closed, on one that does not
        ("06", 0, 0, None),  # TIME_WAIT
        ("01", 0, 4242, 0),  # root's
    ],
)
def test_uid_0_without_an_inode_means_no_owner(
    tmp_path: Path, state: str, uid: int, inode: int, owner: int | None
) -> None:
    """
    Sockets that no process has open are not attributed to root.
    """
    (tmp_path / "tcp").write_text(TABLE.format(state=state, uid=uid, inode=inode))

    assert owner == socket_owners.by_proc(("127.0.0.1", 0xCAB0), ("127.0.0.1", 0xB357), folder=tmp_path)


def test_lookup_takes_less_than_200_microseconds() -> None:
    """
    The lookup is fast enough for every request, in the event loop.
    """
    with connected() as (server, _):
        local, remote = server.getsockname(), server.getpeername()

        took = min(timeit.repeat(lambda: peer_uid(local, remote), number=100, repeat=5)) / 100

    assert took < 0.0002


@each_host
async def test_program_returns_executable_and_pid(host: str, target: str) -> None:
    """
    The executable and process id of a connected program are the real ones.
    """
    with connection_from(host, target) as (local, remote, client):
        program = await SystemPeers().program(local, remote)

    assert Program(executable=str(Path(sys.executable).resolve()), pid=client.pid) == program


async def test_program_of_a_closed_connection_is_unknown() -> None:
    """
    A program that has disconnected before the lookup is None.
    """
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        client.close()

        assert await SystemPeers().program(local, remote) is None


@pytest.mark.parametrize(
    ("name", "shown"), [("sl\u202eee\np", r"sl\u202eee\x0ap"), ("s" * 250, "s" * 250)], ids=["hostile", "long"]
)
def test_executable_is_printable(tmp_path: Path, name: str, shown: str) -> None:
    """
    Line breaks and bidi characters of a file name are escaped.
    """
    program = Path(shutil.copy("/bin/sleep", tmp_path / name))
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        with subprocess.Popen([program, "60"], pass_fds=[client.fileno()]) as process:
            client.close()
            found = peer_program(local, remote)
            process.kill()

    assert found is not None
    assert (process.pid, str(tmp_path / shown)) == (found.pid, found.executable)


def test_long_executable_path_is_shortened_in_the_middle(tmp_path: Path) -> None:
    """
    Both ends of a long path are kept, in at most 1024 characters, and it is marked as not shown in full.
    """
    folder = tmp_path.joinpath(*("f" * 250 for _ in range(6)))
    folder.mkdir(parents=True)
    program = Path(shutil.copy("/bin/sleep", folder / "the-program"))
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        with subprocess.Popen([program, "60"], pass_fds=[client.fileno()]) as process:
            client.close()
            found = peer_program(local, remote)
            process.kill()

    assert found is not None
    assert found.executable.startswith(str(tmp_path))
    assert found.executable.endswith("f/the-program")
    assert 1024 == len(found.executable)
    assert ("unprintable",) == found.warnings


def test_connections_of_one_process() -> None:
    """
    Where connections can be listed for single processes only, as on macOS, the user's own are found.
    """
    with connected() as (server, client):
        found = list(process_connections(psutil.Process()))

        assert (os.getpid(), client.getsockname(), client.getpeername()) in found
        assert (os.getpid(), server.getsockname(), server.getpeername()) in found


def test_ended_process_has_no_connections() -> None:
    """
    A process that ends during the lookup is not an error.
    """
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        gone = psutil.Process(process.pid)
        process.kill()

    assert [] == list(process_connections(gone))


def test_netlink_is_tried_first() -> None:
    """
    The fast lookup comes first.
    """
    assert (socket_owners.by_netlink, socket_owners.by_proc) == LOOKUPS


# --- whether there are any users --------------------------------------------------------------------------------------


def test_system_that_reports_users_is_recognized() -> None:
    """A sandbox that forbids both ways to find them is another one."""
    assert [True, False] == [SystemPeers(lookups=each).identifies_users() for each in (LOOKUPS, (forbidden, forbidden))]


def test_lack_of_descriptors_is_no_reason_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is asked again later."""
    peers = SystemPeers()

    def fail(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as short_of_descriptors:
        short_of_descriptors.setattr(socket, "create_server", fail)
        during = peers.identifies_users()

    assert (False, True) == (during, peers.identifies_users())


@pytest.mark.parametrize("lookup", [SystemPeers().is_running, is_running_by_psutil])
def test_process_that_has_ended_is_not_running(lookup: Callable[[int], bool]) -> None:
    """Not even while its parent has not collected it."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        before = lookup(process.pid)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        zombie = lookup(process.pid)
    after = lookup(process.pid)

    assert [True, False, False] == [before, zombie, after]
    assert lookup(1)
