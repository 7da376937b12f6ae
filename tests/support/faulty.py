"""
A server that misbehaves on cue: a raw TCP server that plays one step of a script per request.

It parses requests itself and records every byte of them, so that a test can count what was sent and how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support import proofs

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Mapping


@dataclass(frozen=True, slots=True)
class Request:
    """A complete request."""

    method: str
    target: str
    headers: Mapping[str, str]
    """By name, in lower case."""
    body: bytes
    connection: int
    """The number of the connection, from 0."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A proper response. The connection stays open."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        headers = {"Content-Type": "application/json", "Content-Length": str(len(self.body))} | dict(self.headers)
        lines = [f"HTTP/1.1 {self.status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def unreadable_reason(step: object) -> str:
    """Return why a sign-in fails with this response: a portal's page or redirect is not a response of the server."""
    is_portal = isinstance(step, Answer) and (
        "Location" in step.headers or (step.status == 200 and "text/html" in step.headers.values())
    )
    return "network_error" if is_portal else "invalid_response"


def answer(document: Any, status: int = 200, **headers: str) -> Answer:
    """Return a JSON response. Underscores in header names become hyphens."""
    return Answer(
        status, json.dumps(document).encode(), {name.replace("_", "-"): text for name, text in headers.items()}
    )


@dataclass(frozen=True, slots=True)
class Bytes:
    """Sends these bytes, then ends the connection; ``reset`` ends it with a TCP RST."""

    data: bytes
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Sends a TCP RST instead of a response."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Sends nothing after ``data`` while the client stays connected."""

    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Flood:
    """Sends a response with an endless body: ``chunk`` repeatedly, until the client disconnects."""

    chunk: bytes
    head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"


Step = Answer | Bytes | Reset | Hang | Flood


class Faulty:
    """The server. It plays ``script`` from the left. Requests after its end get a 599."""

    def __init__(self, *script: Step) -> None:
        self.script = deque(script)
        self.requests: list[Request] = []
        self.connections = 0
        self.sent = 0
        """The number of bytes that floods have written."""
        self.gone = asyncio.Event()
        """Set when a client disconnects from a ``Hang`` or a ``Flood``."""
        self.asked = asyncio.Event()
        """Set when a request is received."""
        self.url = ""
        self.tokens: tuple[str, ...] = ()
        """Tokens that it proves to know, as the helper. What verifies that is neither recorded nor in the script."""
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def sends(self) -> list[str]:
        """Method and target of each request."""
        return [f"{request.method} {request.target}" for request in self.requests]

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = self.connections
        self.connections += 1
        self._open.add(writer)
        try:
            while (request := await _read(reader, number)) is not None:
                verifying = self._verifying(request)
                if verifying is not None:
                    await self._play(verifying, reader, writer)
                    continue
                self.requests.append(request)
                self.asked.set()
                step = self.script.popleft() if self.script else Answer(599)
                if not await self._play(step, reader, writer):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has disconnected
        finally:
            self._open.discard(writer)
            writer.close()
            with contextlib.suppress(ConnectionError, OSError):
                await writer.wait_closed()

    def _verifying(self, request: Request) -> Answer | None:
        if not self.tokens:
            return None
        if request.target == "/health":
            return answer({"status": "ok", "service": "upstash-helper"})
        if not proofs.is_challenge(request.target):
            return None
        return Answer(*proofs.answer_to(request.target, request.headers["host"], self.tokens))

    async def _play(self, step: Step, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        match step:
            case Answer():
                writer.write(step.encoded())
                await writer.drain()
                return True
            case Bytes(data, reset):
                writer.write(data)
                await writer.drain()
                if reset:
                    _abort(writer)
            case Reset():
                _abort(writer)
            case Hang(data):
                writer.write(data)
                await reader.read()
                self.gone.set()
            case Flood(chunk, head):
                await self._flood(head, chunk, writer)
        return False

    async def _flood(self, head: bytes, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        try:
            while True:
                writer.write(chunk)
                self.sent += len(chunk)
                await writer.drain()
        except (ConnectionError, OSError):
            self.gone.set()

    async def hang_up(self) -> None:
        """Close all connections and wait until they are closed."""
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)


def _abort(writer: asyncio.StreamWriter) -> None:
    # SO_LINGER with a time of zero: closing sends RST instead of FIN.
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # the client has closed it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _read(reader: asyncio.StreamReader, connection: int) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)


@asynccontextmanager
async def faulty(*script: Step, tls: ssl.SSLContext | None = None) -> AsyncIterator[Faulty]:
    """Run a server on a free port of the loopback interface."""
    server_side = Faulty(*script)
    server = await asyncio.start_server(server_side.accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    server_side.url = f"http{'s' if tls else ''}://127.0.0.1:{port}"
    try:
        yield server_side
    finally:
        server.close()
        await server_side.hang_up()
        await server.wait_closed()


def time_limit(step: Step) -> float:
    """
    Return the seconds that a request may take: few only for a server that hangs, because they pass.

    With others, the request is sent and answered within the limit on a busy machine too.
    """
    return 1.0 if isinstance(step, Hang) else 20.0


@asynccontextmanager
async def late(*script: Step) -> AsyncIterator[tuple[Faulty, Callable[[], None]]]:
    """Yield a server that refuses connections until the returned function is called."""
    server_side = Faulty(*script)
    starting: list[asyncio.Task[asyncio.Server]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        bound.bind(("127.0.0.1", 0))
        server_side.url = f"http://127.0.0.1:{bound.getsockname()[1]}"

        def start_listening() -> None:
            if not starting:
                # Immediately, so that the next connection succeeds even before the server is running.
                bound.listen()
                starting.append(asyncio.create_task(asyncio.start_server(server_side.accept, sock=bound.dup())))

        yield server_side, start_listening
        for task in starting:
            (await task).close()
        await server_side.hang_up()


class Tunnel:
    """A CONNECT proxy that leads every tunnel to one server, and records what clients send through it."""

    def __init__(self, server_url: str) -> None:
        self.url = ""
        self.received = b""
        self._port = int(server_url.rpartition(":")[2])
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one connection."""
        self._tasks.add(asyncio.create_task(self._tunnel(reader, writer)))

    async def _tunnel(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received += await reader.readuntil(b"\r\n\r\n")
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._pass(reader, server_writer, keep=True), self._pass(server_reader, writer))

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, keep: bool = False) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                self.received += data if keep else b""
                target.write(data)
        target.close()

    async def end(self) -> None:
        """Wait until both ends of each tunnel are closed."""
        await asyncio.gather(*self._tasks)


@asynccontextmanager
async def tunnel(server_url: str) -> AsyncIterator[Tunnel]:
    """Run a proxy that leads to the server at ``server_url``."""
    proxy = Tunnel(server_url)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        await proxy.end()
