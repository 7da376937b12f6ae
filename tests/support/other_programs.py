"""Other programs on the same machine: of this or another user, and a server that is unrelated to the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NOBODY = 65534

# Connects or listens, prints its own port, and exits when its standard input ends.
PROGRAM = """
import os, socket, sys
what, host, port, user = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if user:
    # In here, not before the start: Python may be in a folder that the other user cannot access.
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
if what == "listen":
    # As most servers do, so that connections in TIME_WAIT do not prevent binding.
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((host, port))
    one.listen()
else:
    one.connect((host, port))
print(one.getsockname()[1], flush=True)
for line in sys.stdin:
    one.shutdown(socket.SHUT_WR) if line == "half\\n" else one.close()
    print(line, flush=True)
"""


# Becomes another user, sends its standard input, and prints what it receives.
CALLER = """
import os, socket, sys
host, port, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if user:
    # In here, not before the start: Python may be in a folder that the other user cannot access.
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
data = sys.stdin.buffer.read()
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
    one.connect((host, port))
    one.sendall(data)
    while received := one.recv(65536):
        sys.stdout.buffer.write(received)
"""


async def send_as_user(data: bytes, host: str, port: int, *, user: int = 0) -> bytes:
    """Send bytes as a program of ``user`` (0: this test's), and return the response up to the end of the connection."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", CALLER, host, str(port), str(user),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        received, _ = await process.communicate(data)
    return received


def skip_unless_root() -> None:
    """Skip the test where no program can be run as another user."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("platform: only root can run a program as another user")


@dataclass
class OtherProgram:
    """A process with a socket."""

    process: subprocess.Popen[str]
    port: int
    """The port of its side."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def close_socket(self, what: str) -> None:
        """Make it close its socket (``close``) or only the sending side (``half``)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextlib.contextmanager
def other_program(what: str, host: str, port: int, *, user: int = 0) -> Iterator[OtherProgram]:
    """
    Run a process with one socket.

    Args:
        what: ``connect`` or ``listen``.
        host: The address.
        port: The port.
        user: The user id to run as; 0: this test's.
    """
    # Without the module site, and so without coverage: the other user cannot write here.
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, what, host, str(port), str(user)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield OtherProgram(process, int(process.stdout.readline()))
        finally:
            process.kill()


@dataclass
class HttpServer:
    """A server that responds to every request with 200, and records every byte it receives."""

    port: int
    _received: list[bytes] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls, port: int = 0) -> AsyncIterator[HttpServer]:
        """Serve on 127.0.0.1."""
        server = cls(port)
        async with await asyncio.start_server(server.respond, "127.0.0.1", port) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            yield server

    async def received(self) -> list[bytes]:
        """Return what each connection has sent so far, including those that sent nothing."""
        # Connections are accepted in order: after this one, none is waiting.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"the last one")
        writer.write_eof()
        await reader.read()
        writer.close()
        await asyncio.gather(*self._tasks)
        return [data for data in self._received if data != b"the last one"]

    async def respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        data = await reader.read(65536)
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
            data += await reader.read()
        self._received.append(data)
        self._tasks.discard(task)
        writer.close()


@contextlib.contextmanager
def occupied(host: str, port: int = 0) -> Iterator[socket.socket]:
    """Listen on an address in this process, like another program would."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        # Allows binding while connections of an earlier test are in TIME_WAIT.
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind((host, port))
        taken.listen()
        yield taken
