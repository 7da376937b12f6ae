"""
A service manager that starts a program when somebody connects, as systemd does for a socket unit with ``Accept=no``.

It holds the sockets. While the program does not run it looks whether a connection waits, and only then starts it, with
the sockets as descriptors 3 and up (sd_listen_fds(3)). While the program runs it only waits for its end.
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
# Out of the way of the numbers that the program gets.
_ABOVE = 64
# The variable has the program's own process id, so it is the program's process that sets it.
_NAMED = ("/bin/sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh")


def listening(host: str, port: int = 0) -> socket.socket:
    """Return a socket as a socket unit has it."""
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, port))
    one.listen()
    return one


@dataclass(frozen=True)
class Namesake:
    """A program that is called systemd, and listens."""

    pid: int
    port: int


@contextlib.contextmanager
def as_systemd(folder: Path) -> Iterator[Namesake]:
    """Have a program listen on 127.0.0.1 that the system knows as systemd, and that answers nobody."""
    program = folder / "systemd"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-S", "-c", _LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Namesake(process.pid, int(process.stdout.readline()))
        process.communicate(b"\n")


class Activator:
    """The sockets, the program, and a thread that brings the two together."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], sockets: Sequence[socket.socket]) -> None:
        """
        Args:
            command: The program.
            environ: Its environment, beside what the sockets add.
            sockets: What it is handed over. They are the activator's from now on.
        """
        self.command = list(command)
        self.environ = dict(environ)
        self.sockets = list(sockets)
        self.pids: list[int] = []
        """Of every process that was started."""
        self.codes: list[int] = []
        """How each of them ended: its exit code, or minus the number of its signal."""
        self._over, self._wake = os.pipe()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="activator", daemon=True)

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, command: Sequence[str], environ: Mapping[str, str], sockets: Sequence[socket.socket]
    ) -> Iterator[Self]:
        """Wait for connections, and end what runs on leaving."""
        activator = cls(command, environ, sockets)
        activator._thread.start()
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
        """The process that runs now."""
        return self.pids[-1] if len(self.pids) > len(self.codes) else None

    def signal(self, number: signal.Signals) -> None:
        """Send the running process a signal."""
        pid = self.pid
        assert pid is not None, "nothing runs"
        os.kill(pid, number)

    def close(self) -> None:
        """End what runs, and stop listening."""
        self._closing = True
        os.write(self._wake, b".")
        pid = self.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        self._thread.join(30)
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
