"""A server on a thread that sends given bytes, for answers that a healthy daemon never sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.support import proofs


class Hanging(bytes):
    """The beginning of an answer, after which the connection stays open without further data until the test ends."""

    __slots__ = ()


HANG: Final = Hanging(b"")
"""Send nothing."""


TOKENS: Final = ("the-token", "the-old-token", "the-new-token", "old", "new", "t")


class Scripted:
    """
    Accepts one connection per answer, reads the request, sends the answer, and closes the connection.

    It proves to know the tokens of ``TOKENS`` before that.
    """

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[str] = []
        """The received requests, with headers and body."""
        self._answers = answers
        self._stopped = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @classmethod
    @contextmanager
    def running(cls, *answers: bytes) -> Iterator[Scripted]:
        """Send the answers one after the other. Refuse connections after the last one."""
        server = cls(*answers)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def start(self) -> None:
        """Start to accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Close the socket, and end an answer that hangs."""
        self._stopped.set()
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        for number, answer in enumerate(self._answers, start=1):
            connection, _ = self._socket.accept()
            with connection:
                if number == len(self._answers):
                    self._socket.close()
                self.requests.append(_read_request(connection, TOKENS))
                connection.sendall(answer)
                if isinstance(answer, Hanging):
                    self._stopped.wait(30)


def answer(status: str, body: str, *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete response."""
    content = body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(head).encode() + content


def stream(text: str, *, complete: bool = True) -> bytes:
    """Return an event stream. Unless ``complete``, the connection breaks where the next chunk would begin."""
    content = text.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n" % (len(content), content) + (b"0\r\n\r\n" if complete else b"")


def _read_request(connection: socket.socket, tokens: tuple[str, ...]) -> str:
    """Return the first request that is no challenge."""
    while True:
        request = _read(connection)
        target, host = _target_and_host(request)
        if not proofs.is_challenge(target):
            return request
        _, body = proofs.answer_to(target, host, tokens)
        connection.sendall(answer("200 OK", body.decode()))


def _target_and_host(request: str) -> tuple[str, str]:
    first, *lines = request.partition("\r\n\r\n")[0].split("\r\n")
    hosts = [line.partition(": ")[2] for line in lines if line.lower().startswith("host:")]
    return first.split(" ")[1], hosts[0]


def _read(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()
