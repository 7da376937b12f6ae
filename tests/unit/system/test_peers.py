"""Who is at the other end of a connection, with real connections, of this user and of another."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import socket
import subprocess
import sys
import timeit
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.support.other_programs import NOBODY, OtherProgram, other_program, skip_unless_root
from upstash_helper.broker.apps.identity import Identity
from upstash_helper.system import socket_owners
from upstash_helper.system.peers import LOOKUPS, Lookup, SystemPeers, of_process, process_of, uid_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.system.socket_owners import Address

if sys.platform != "linux":
    pytest.skip("platform: the users of connections are told on Linux alone", allow_module_level=True)

each_way = pytest.mark.parametrize("lookup", [socket_owners.by_netlink, socket_owners.by_proc])
# The last is how Java connects to 127.0.0.1: by a socket for both families.
each_host = pytest.mark.parametrize(
    ("host", "called"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.0.0.1", "::ffff:127.0.0.1")]
)

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:B357 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4991708 1 0000000000000000
   1: 0100007F:CAB0 0100007F:B357 {state} 00000000:00000000 03:0000176E 00000000 {uid:5}        0 {inode} 3
"""


def forbidden(client: Address, server: Address) -> int | None:
    """Tell what a sandbox tells who asks by netlink."""
    raise PermissionError(errno.EPERM, "not here")


@contextlib.contextmanager
def visited(host: str, called: str, *, user: int = 0) -> Iterator[tuple[Address, Address, OtherProgram]]:
    """Let another program connect; yield our end, its end, and the program."""
    with (
        socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listening,
        other_program("connect", called, listening.getsockname()[1], user=user) as visitor,
        listening.accept()[0] as ours,
    ):
        yield ours.getsockname()[:2], ours.getpeername()[:2], visitor


@contextlib.contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect to ourselves; yield the server's end and the client's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        server, _ = listening.accept()
        with client, server:
            yield server, client


@each_way
@each_host
def test_this_users_program_is_known(lookup: Lookup, host: str, called: str) -> None:
    """
    A program of this user is taken for what it is, by either address, and by IPv4 on a socket for both families.
    """
    with visited(host, called) as (local, remote, _):
        assert os.geteuid() == uid_of(local, remote, lookups=(lookup,))
        assert not SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_way
@each_host
def test_t50_another_users_program_is_known(lookup: Lookup, host: str, called: str) -> None:
    """
    A program of another user is noticed, by either address, and by IPv4 on a socket for both families.
    """
    skip_unless_root()
    with visited(host, called, user=NOBODY) as (local, remote, _):
        assert NOBODY == uid_of(local, remote, lookups=(lookup,))
        assert SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_way
def test_t50_who_has_said_everything_is_still_known(lookup: Lookup) -> None:
    """
    A program of another user is noticed as well after it has closed its writing side, and waits for the answer.
    """
    skip_unless_root()
    with visited("127.0.0.1", "127.0.0.1", user=NOBODY) as (local, remote, visitor):
        visitor.close_socket("half")

        assert SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_way
def test_who_has_left_is_nobody(lookup: Lookup) -> None:
    """
    Of a connection that both ends have closed, whose remains the system calls user 0's, nobody is told to be the owner.
    """
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        client.close()
        server.close()

        assert uid_of(local, remote, lookups=(lookup,)) is None
        assert not SystemPeers(lookups=(lookup,)).is_other_user(local, remote)


@each_way
def test_a_listener_on_the_clients_port_is_not_the_client(lookup: Lookup) -> None:
    """
    A program that listens where a client was is not taken for it.
    """
    with connected() as (server, _), socket.create_server(("127.0.0.1", 0)) as listening:
        assert uid_of(server.getsockname(), listening.getsockname(), lookups=(lookup,)) is None


@each_way
@pytest.mark.parametrize(
    "garbage",
    [("", 1), ("localhost", 80), ("127.0.0.1", 0), ("127.0.0.1", -1), ("::1", 65_536), ("::1%lo", 80), ("1\0", 1)],
)
def test_what_is_no_address_is_nobodys(lookup: Lookup, garbage: Address) -> None:
    """
    Whatever is asked about, an answer is given.
    """
    good = ("127.0.0.1", 3000)

    assert [None, None] == [uid_of(good, garbage, lookups=(lookup,)), uid_of(garbage, good, lookups=(lookup,))]
    assert not SystemPeers(lookups=(lookup,)).is_other_user(good, garbage)
    assert process_of(good, garbage) is None


def test_without_netlink_the_table_is_read() -> None:
    """
    In a sandbox that forbids netlink, another user's program is noticed as well.
    """
    skip_unless_root()
    with visited("127.0.0.1", "127.0.0.1", user=NOBODY) as (local, remote, _):
        assert SystemPeers(lookups=(forbidden, socket_owners.by_proc)).is_other_user(local, remote)


@pytest.mark.parametrize("lookups", [(), (forbidden, forbidden)])
def test_where_nothing_is_told_nobody_is_turned_away(lookups: tuple[Lookup, ...]) -> None:
    """
    Where the system does not tell who is there, a program is not taken for another user's.
    """
    with visited("127.0.0.1", "127.0.0.1") as (local, remote, _):
        assert uid_of(local, remote, lookups=lookups) is None
        assert not SystemPeers(lookups=lookups).is_other_user(local, remote)


def test_a_kernel_that_knows_neither_end_is_not_believed() -> None:
    """
    Netlink of a kernel without the part that knows connections says that there are none; then the table is read.
    """
    with pytest.raises(OSError, match="neither end"):
        socket_owners.by_netlink(("127.0.0.1", 1), ("127.0.0.1", 2))


@pytest.mark.parametrize(
    ("state", "uid", "inode", "owner"),
    [
        ("01", 1001, 4242, 1001),  # ESTABLISHED
        ("04", 1001, 4242, 1001),  # FIN_WAIT1, half closed
        ("04", 1001, 0, 1001),  # closed, by a kernel that keeps the owner
        ("04", 0, 0, None),  # closed, by one that does not
        ("06", 0, 0, None),  # TIME_WAIT
        ("01", 0, 4242, 0),  # root's
    ],
)
def test_user_0_without_a_file_is_nobody(tmp_path: Path, state: str, uid: int, inode: int, owner: int | None) -> None:
    """
    What the kernel says of sockets that no program has any more is not taken for root's.
    """
    (tmp_path / "tcp").write_text(TABLE.format(state=state, uid=uid, inode=inode))

    assert owner == socket_owners.by_proc(("127.0.0.1", 0xCAB0), ("127.0.0.1", 0xB357), folder=tmp_path)


def test_one_answer_takes_no_time() -> None:
    """
    Each request can be asked about: that takes less than 0.2 milliseconds, in the event loop.
    """
    with connected() as (server, _):
        local, remote = server.getsockname(), server.getpeername()

        took = min(timeit.repeat(lambda: uid_of(local, remote), number=100, repeat=5)) / 100

    assert took < 0.0002


@each_host
async def test_the_program_of_a_pairing_is_named(host: str, called: str) -> None:
    """
    The executable and the process of a program that asks to be let in are the real ones.
    """
    with visited(host, called) as (local, remote, visitor):
        identity = await SystemPeers().program(local, remote)

    assert Identity(kind="native", name=str(Path(sys.executable).resolve()), pid=visitor.pid) == identity


async def test_a_program_that_is_not_told_has_no_name() -> None:
    """
    A program that has gone by the time it is looked for is a native program without name and process.
    """
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        client.close()

        assert Identity(kind="native", name="") == await SystemPeers().program(local, remote)


@pytest.mark.parametrize(
    ("name", "shown"), [("sl\u202eee\np", "sleep"), ("s" * 250, "s" * 250)], ids=["hostile", "long"]
)
def test_an_executables_name_is_fit_to_be_shown(tmp_path: Path, name: str, shown: str) -> None:
    """
    A file's name that breaks lines or turns them around is shown without what does that.
    """
    program = Path(shutil.copy("/bin/sleep", tmp_path / name))
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        with subprocess.Popen([program, "60"], pass_fds=[client.fileno()]) as process:
            client.close()
            found = process_of(local, remote)
            process.kill()

    assert found is not None
    assert (process.pid, str(tmp_path / shown)) == (found.pid, found.executable)


def test_a_path_without_end_is_cut_in_the_middle(tmp_path: Path) -> None:
    """
    Of a path of unusual length both ends are shown, and no more than 1024 characters.
    """
    folder = tmp_path.joinpath(*("f" * 250 for _ in range(6)))
    folder.mkdir(parents=True)
    program = Path(shutil.copy("/bin/sleep", folder / "the-program"))
    with connected() as (server, client):
        local, remote = server.getsockname(), server.getpeername()
        with subprocess.Popen([program, "60"], pass_fds=[client.fileno()]) as process:
            client.close()
            found = process_of(local, remote)
            process.kill()

    assert found is not None
    assert found.executable.startswith(str(tmp_path))
    assert found.executable.endswith("f/the-program")
    assert 1024 == len(found.executable)


def test_one_process_tells_its_own_connections() -> None:
    """
    Where the system tells connections of one process after the other, as macOS does, a user's own are found.
    """
    with connected() as (server, client):
        told = list(of_process(psutil.Process()))

        assert (os.getpid(), client.getsockname(), client.getpeername()) in told
        assert (os.getpid(), server.getsockname(), server.getpeername()) in told


def test_a_process_that_has_gone_has_no_connections() -> None:
    """
    A process that ends while it is looked at is no error.
    """
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        gone = psutil.Process(process.pid)
        process.kill()

    assert [] == list(of_process(gone))


def test_the_defaults_ask_the_kernel_first() -> None:
    """
    The quick way is tried first.
    """
    assert (socket_owners.by_netlink, socket_owners.by_proc) == LOOKUPS
