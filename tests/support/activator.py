"""
A service manager that starts a program on the first connection, like systemd for a socket unit with ``Accept=no``.

It holds the sockets. While the program is not running, it waits for a connection, and then starts the program with the
sockets as descriptors 3 and up (sd_listen_fds(3)). While the program is running, it only waits for its end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

HOSTS = ("127.0.0.1", "::1")
_LISTENS = (
    "import socket; one = socket.create_server(('127.0.0.1', 0)); print(one.getsockname()[1], flush=True); input()"
)
_FIRST = 3
# Above the numbers of the passed descriptors.
_ABOVE = 64
# The variable contains the program's own process id, so it has to be set in the program's process.
_NAMED = ("/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh")


def listening(host: str, port: int = 0) -> socket.socket:
    """Return a listening socket, like a socket unit's."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, port))
    one.listen()
    return one


@dataclass(frozen=True)
class FakeSystemd:
    """A program named systemd that listens."""

    pid: int
    port: int


@contextlib.contextmanager
def as_systemd(folder: Path) -> Iterator[FakeSystemd]:
    """Run a program named systemd that listens on 127.0.0.1 and does not respond."""
    program = folder / "systemd"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-S", "-c", _LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield FakeSystemd(process.pid, int(process.stdout.readline()))
        process.communicate(b"\n")


class Activator:
    """The sockets, the program, and the thread that connects them."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], sockets: Sequence[socket.socket]) -> None:
        """
        Args:
            command: The program.
            environ: Its environment, without the variables for the sockets.
            sockets: The sockets to pass. The activator owns them from now on.
        """
        self.command = list(command)
        self.environ = dict(environ)
        self.sockets = list(sockets)
        self.pids: list[int] = []
        """The process ids of all started programs."""
        self.codes: list[int] = []
        """Their exit codes, or the negative signal numbers."""
        self._over, self._wake = os.pipe()
        self._closing = False
        self.thread = threading.Thread(target=self._run, name="activator", daemon=True)

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, command: Sequence[str], environ: Mapping[str, str], sockets: Sequence[socket.socket]
    ) -> Iterator[Self]:
        """Wait for connections. On leaving, stop the program."""
        activator = cls(command, environ, sockets)
        activator.thread.start()
        try:
            yield activator
        finally:
            activator.close()

    @property
    def port(self) -> int:
        """The port of the first socket."""
        return int(self.sockets[0].getsockname()[1])

    @property
    def pid(self) -> int | None:
        """The process that is running, if any."""
        return self.pids[-1] if len(self.pids) > len(self.codes) else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the running process."""
        pid = self.pid
        assert pid is not None, "nothing runs"
        os.kill(pid, number)

    def close(self) -> None:
        """Stop the program, and stop listening."""
        self._closing = True
        os.write(self._wake, b".")
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self.thread.join(30)
        for one in self.sockets:
            one.close()
        os.close(self._over)
        os.close(self._wake)

    def _run(self) -> None:
        while not self._closing:
            looked_at = [one.fileno() for one in self.sockets]
            ready, _, _ = select.select([*looked_at, self._over], [], [])
            if self._over in ready:
                return
            self._serve_once()

    def _serve_once(self) -> None:
        import fcntl  # not on Windows, where the rest of this module can be imported

        held = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD_CLOEXEC, _ABOVE) for one in self.sockets]
        given = [(os.POSIX_SPAWN_DUP2, fd, _FIRST + number) for number, fd in enumerate(held)]
        environ = {**self.environ, "LISTEN_FDS": str(len(held)), "LISTEN_FDNAMES": ":".join(["t.socket"] * len(held))}
        pid = os.posix_spawn(
            _NAMED[0], [*_NAMED, *self.command], environ, file_actions=given, setsigdef=[signal.SIGHUP]
        )
        for fd in held:
            os.close(fd)
        self.pids.append(pid)
        if self._closing:
            os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
        self.codes.append(os.waitstatus_to_exitcode(status))
