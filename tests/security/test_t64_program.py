"""
T64: a program that appears under another program's path, with real mounts, namespaces, and handed-over sockets.

Each program sends its access request to a real daemon. What is checked is what every prompt shows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.hanging_files import hanging_file
from tests.support.mounts import skip_unless_mounting_is_unprivileged
from upstash_helper.broker.identity import Identity
from upstash_helper.system.peers import peer_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.protocol import wire_apps

if sys.platform != "linux":
    pytest.skip("platform: mount namespaces and /proc are Linux's", allow_module_level=True)

BASH = shutil.which("bash")
VICTIM = "/usr/bin/env"
BODY = '{"name": "Orders", "scopes": ["databases:read"]}'

# Bash connects and sends without starting another program, which would inherit the connection.
CONNECT = "exec 3<>/dev/tcp/127.0.0.1/$1"
SEND = (
    "printf 'POST /v1/pairings HTTP/1.1\\r\\nHost: localhost:%s\\r\\nContent-Type: application/json\\r\\n"
    f'Content-Length: {len(BODY)}\\r\\n\\r\\n%s\' "$1" \'{BODY}\' >&3; read -r -u 3; echo "$REPLY"; read'
)

# Both ends of the connection's file descriptor: the sender keeps its own.
HAND_OVER = """
import os, socket, subprocess, sys
receiver = (
    "import socket; s = socket.socket(fileno=0); f = socket.recv_fds(s, 1, 1)[1]; print('got', flush=True); s.recv(1)"
)
ours, theirs = socket.socketpair()
child = subprocess.Popen([sys.argv[3], "-I", "-S", "-c", receiver], stdin=theirs, stdout=subprocess.PIPE)
theirs.close()
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
socket.send_fds(ours, [b"x"], [connection.fileno()])
child.stdout.readline()
body = sys.argv[2].encode()
connection.sendall(b"POST /v1/pairings HTTP/1.1\\r\\nHost: localhost:%s\\r\\nContent-Type: application/json\\r\\n"
    b"Content-Length: %d\\r\\n\\r\\n%s" % (sys.argv[1].encode(), len(body), body))
print(connection.recv(12).decode(), child.pid, flush=True)
sys.stdin.read()
"""

# A thread connects, starts another program that inherits the connection, and sends. The files that the process has open
# do not contain the connection: they belong to the first thread, which has none of that thread's files, or has ended.
FROM_A_THREAD = """
import ctypes, os, socket, subprocess, sys, threading
libc = ctypes.CDLL(None)
def request():
    if sys.argv[4] == "unshare":
        assert libc.unshare(0x400) == 0  # CLONE_FILES
    connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    child = subprocess.Popen([sys.argv[3], "60"], pass_fds=[connection.fileno()], stdout=subprocess.DEVNULL)
    body = sys.argv[2].encode()
    connection.sendall(b"POST /v1/pairings HTTP/1.1\\r\\nHost: localhost:%s\\r\\nContent-Type: application/json\\r\\n"
        b"Content-Length: %d\\r\\n\\r\\n%s" % (sys.argv[1].encode(), len(body), body))
    os.write(1, connection.recv(12) + b" %d\\n" % child.pid)
    sys.stdin.read()
    child.kill()
thread = threading.Thread(target=request)
thread.start()
if sys.argv[4] == "exit":
    libc.syscall(60 if os.uname().machine == "x86_64" else 93, 0)  # ends this thread only
thread.join()
"""


@pytest.fixture(scope="module", name="daemon")
def _daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    with DaemonProcess.running(tmp_path_factory.mktemp("home")) as daemon:
        yield daemon


@contextlib.contextmanager
def requesting(daemon: DaemonProcess, *command: str) -> Iterator[tuple[wire_apps.Identity, list[str]]]:
    """Run a program that requests access; yield its identity as shown to the user, and what it printed."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            printed = process.stdout.readline().split()
            [pairing] = daemon.client.pairings()
            yield pairing.identity, printed
            daemon.client.approve(pairing.id)  # makes room for the next one
        finally:
            process.kill()


def bash(tmp_path: Path, name: str = "app") -> Path:
    """Return a copy of bash, as an app with a file of its own."""
    if BASH is None:
        pytest.skip("bash is not installed")
    return Path(shutil.copy(BASH, tmp_path / name))


async def test_t64_file_mounted_over_another_program(daemon: DaemonProcess) -> None:
    """
    A file that an unprivileged user has mounted over another program, in a namespace of its own, is shown as a program
    in a container or sandbox, and does not share the identity of the program whose path it has.
    """
    skip_unless_mounting_is_unprivileged()
    if BASH is None:
        pytest.skip("bash is not installed")
    apart = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    mount = 'mount --bind "$1" "$2" && exec "$2" -c "$3" bash "$4"'
    script = f"{CONNECT}; {SEND}"

    with requesting(daemon, *apart, mount, "sh", BASH, VICTIM, script, str(daemon.port)) as (identity, printed):
        listed = await run_cli("approvals", "list", environment=daemon.environment)

    assert "202" in printed
    path = str(Path(VICTIM).resolve())
    assert f"{path} (process {identity.pid}, inside a container or sandbox)" == identity.shown
    assert f"{path} (inside a container or sandbox)" == identity.shown_without_process
    assert ["sandboxed"] == [warning.code for warning in identity.warnings]
    assert f"{path} (process {identity.pid}, inside a container or sandbox)" in listed.out.splitlines()[0]
    assert "where a different file can be at this path." in listed.out
    real, imitation = Identity(kind="native", name=path), Identity(kind="native", name=path, warnings=("sandboxed",))
    assert real.key != imitation.key


def test_t64_program_in_another_namespace(daemon: DaemonProcess, tmp_path: Path) -> None:
    """
    A program whose file is the one at its path, but which sees other mounts, is shown as one in a container or sandbox:
    its libraries can be others.
    """
    skip_unless_mounting_is_unprivileged()
    app = bash(tmp_path)
    apart = ("unshare", "--user", "--map-root-user", "--mount")

    with requesting(daemon, *apart, str(app), "-c", f"{CONNECT}; {SEND}", "app", str(daemon.port)) as (identity, _):
        pass

    assert f"{app} (process {identity.pid}, inside a container or sandbox)" == identity.shown


@pytest.mark.parametrize(
    ("change", "phrase"),
    [("rm", "deleted file"), ("mv", "replaced file")],
)
def test_t64_deleted_or_replaced_file(daemon: DaemonProcess, tmp_path: Path, change: str, phrase: str) -> None:
    """
    A program that removes its file, or puts another one in its place, is shown as such.
    """
    app, other = bash(tmp_path), bash(tmp_path, "other")
    commands = {"rm": f"rm '{app}'", "mv": f"mv '{other}' '{app}'"}

    with requesting(daemon, str(app), "-c", f"{commands[change]}; {CONNECT}; {SEND}", "app", str(daemon.port)) as (
        identity,
        _,
    ):
        pass

    assert f"{app} (process {identity.pid}, {phrase})" == identity.shown


def test_t64_inherited_connection(daemon: DaemonProcess, tmp_path: Path) -> None:
    """
    If a program has passed its connection to one that it started, both are named, and the one that connected first.
    """
    app, child = bash(tmp_path), Path(shutil.copy("/bin/sleep", tmp_path / "trusted"))
    script = f"{CONNECT}; '{child}' 60 & sleep 0; {SEND}"

    with requesting(daemon, str(app), "-c", script, "app", str(daemon.port)) as (identity, _):
        pass

    assert f"{app} (process {identity.pid}, one of several programs)" == identity.shown
    [other] = identity.others
    assert other.startswith(f"{child} (process ")
    assert ["shared"] == [warning.code for warning in identity.warnings]


def test_t64_connection_sent_to_another_process(daemon: DaemonProcess) -> None:
    """
    If a program has sent its connection to another process (SCM_RIGHTS), both are named.
    """
    command = (sys.executable, "-I", "-S", "-c", HAND_OVER, str(daemon.port), BODY, sys.executable)

    with requesting(daemon, *command) as (identity, printed):
        pass

    program = Path(sys.executable).resolve()
    assert "202" in printed
    assert f"{program} (process {identity.pid}, one of several programs)" == identity.shown
    assert (f"{program} (process {printed[-1]})",) == identity.others


@pytest.mark.parametrize("how", ["unshare", "exit"])
def test_t64_connection_of_a_thread(daemon: DaemonProcess, tmp_path: Path, how: str) -> None:
    """
    If a thread with open files of its own has passed its connection to a program that it started, both are named. That
    of the other program alone would be shown if only the first thread of each process were searched.
    """
    child = shutil.copy("/bin/sleep", tmp_path / "trusted")
    command = (sys.executable, "-I", "-S", "-c", FROM_A_THREAD, str(daemon.port), BODY, str(child), how)

    with requesting(daemon, *command) as (identity, printed):
        os.kill(int(printed[-1]), signal.SIGKILL)

    assert "202" in printed
    assert f"{Path(sys.executable).resolve()} (process {identity.pid}, one of several programs)" == identity.shown
    assert (f"{child} (process {printed[-1]})",) == identity.others


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("tru\u202ested\nb", r"tru\u202ested\x0ab"),
        ("tru\u200bsted", r"tru\u200bsted"),
        ("a\\b\t", r"a\\b\x09"),
        (" a  b ", r"\x20a \x20b\x20"),
    ],
    ids=["bidi and line break", "zero-width", "backslash", "spaces"],
)
def test_t64_unprintable_path(daemon: DaemonProcess, tmp_path: Path, name: str, shown: str) -> None:
    """
    Characters of a path that cannot be seen are shown as escapes, and the prompt says that there are some.
    """
    app = bash(tmp_path, name)

    with requesting(daemon, str(app), "-c", f"{CONNECT}; {SEND}", "app", str(daemon.port)) as (identity, _):
        pass

    assert f"{tmp_path / shown} (process {identity.pid}, unprintable characters in its path)" == identity.shown


@pytest.fixture
def other_daemon(tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon that has had no request: those of all programs together are limited."""
    with DaemonProcess.running(tmp_path / "home") as daemon:
        yield daemon


def test_t64_file_system_that_does_not_answer(other_daemon: DaemonProcess, tmp_path: Path) -> None:
    """
    A program whose file cannot be looked at is unknown. However many such programs there are, others are recognized.
    """
    daemon = other_daemon
    folder = tmp_path / "mounted"
    folder.mkdir()
    command = ("-c", f"echo; read; {CONNECT}; {SEND}", "app", str(daemon.port))

    with hanging_file(folder, bash(tmp_path)) as file, contextlib.ExitStack() as stack:
        hanging = [
            stack.enter_context(
                subprocess.Popen((str(file.path), *command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for _ in range(8)
        ]
        for process in hanging:
            stack.callback(process.kill)
            assert process.stdout is not None
            process.stdout.readline()
        file.hang()
        for process in hanging:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        app = bash(tmp_path, "honest")
        other = stack.enter_context(
            subprocess.Popen(
                (str(app), "-c", f"{CONNECT}; {SEND}", "app", str(daemon.port)),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        stack.callback(other.kill)
        answers = [process.communicate(timeout=60)[0].split()[1] for process in (*hanging, other)]
        shown = {it.identity.shown for it in daemon.client.pairings()}
        for pairing in daemon.client.pairings():
            daemon.client.approve(pairing.id)

    assert ["202"] == [it for it in answers[:-1] if it == "202"]
    assert "202" == answers[-1]
    assert {"a local program", f"{app} (process {other.pid})"} == shown


def test_t64_no_time_to_search_means_unknown() -> None:
    """
    If the processes cannot be searched in time, no program is named: it could be another one.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):
        ends = (server.getsockname(), client.getsockname())

        assert peer_program(*ends, seconds=0.0) is None
        assert peer_program(*ends) is not None
