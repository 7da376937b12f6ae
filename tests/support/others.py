"""Others on the machine: programs of another user, and a server that has nothing to do with the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NOBODY = 65534

# Connects or listens as it is told, says its own address, and goes when its standard input ends.
PROGRAM = """
import os, socket, sys
what, host, port, user = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
if user:
    # Here, and not by whoever starts this: Python may be in a folder that the other user cannot enter.
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
if what == "listen":
    # As every server: connections of the last one that are still being forgotten are no obstacle.
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


# Becomes another user, says what it was given, and hands back what it hears.
CALLER = """
import os, socket, sys
host, port, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if user:
    # Here, and not by whoever starts this: Python may be in a folder that the other user cannot enter.
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
said = sys.stdin.buffer.read()
with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
    one.connect((host, port))
    one.sendall(said)
    while heard := one.recv(65536):
        sys.stdout.buffer.write(heard)
"""


async def say(said: bytes, host: str, port: int, *, user: int = 0) -> bytes:
    """Send bytes as a program of ``user`` (0: this test's), and return what comes until the far side closes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", "-c", CALLER, host, str(port), str(user),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        heard, _ = await process.communicate(said)
    return heard


def skip_unless_root() -> None:
    """Skip the test where no program can be run as another user."""
    if sys.platform == "win32" or os.geteuid() != 0:
        pytest.skip("platform: only root can run a program as another user")


@dataclass
class Other:
    """A process with a socket."""

    process: subprocess.Popen[str]
    port: int
    """Of its end."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def tell(self, word: str) -> None:
        """Have it close its socket (``close``) or only its writing side (``half``)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        self.process.stdout.readline()


@contextlib.contextmanager
def another(what: str, host: str, port: int, *, user: int = 0) -> Iterator[Other]:
    """
    Run a program of its own with one socket.

    Args:
        what: ``connect`` or ``listen``.
        host: Where.
        port: Where.
        user: Whose it is; 0: this test's.
    """
    # Without site, and so without coverage: the other user may not write here.
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, what, host, str(port), str(user)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Other(process, int(process.stdout.readline()))
        finally:
            process.kill()


@dataclass
class HttpServer:
    """A server that answers everybody with 200, and remembers every byte that it was sent."""

    port: int
    _heard: list[bytes] = field(default_factory=list)
    _conversations: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls, port: int = 0) -> AsyncIterator[HttpServer]:
        """Serve on 127.0.0.1."""
        server = cls(port)
        async with await asyncio.start_server(server._talk, "127.0.0.1", port) as listening:
            server.port = listening.sockets[0].getsockname()[1]
            yield server

    async def heard(self) -> list[bytes]:
        """Return what each connection sent so far; a connection that sent nothing counts as well."""
        # Connections are accepted in the order in which they were made: after this one there is none left.
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"the last one")
        writer.write_eof()
        await reader.read()
        writer.close()
        await asyncio.gather(*self._conversations)
        return [said for said in self._heard if said != b"the last one"]

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        said = await reader.read(65536)
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
            said += await reader.read()
        self._heard.append(said)
        self._conversations.discard(task)
        writer.close()
