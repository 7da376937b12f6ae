"""A server in a thread that sends scripted responses, byte for byte: ones that a healthy daemon never sends."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class Hanging(bytes):
    """The beginning of a response; then nothing follows, and the connection stays open until the test ends."""

    __slots__ = ()


HANG: Final = Hanging(b"")
"""Send nothing."""


class Scripted:
    """Accepts one connection for each response, reads the request, sends the response, and closes."""

    def __init__(self, *answers: bytes) -> None:
        self.requests: list[str] = []
        """The received requests, headers and body."""
        self._answers = answers
        self._over = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """The server's URL."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @classmethod
    @contextmanager
    def running(cls, *answers: bytes) -> Iterator[Scripted]:
        """Send the responses one after another; refuse connections after the last."""
        server = cls(*answers)
        server._thread.start()
        try:
            yield server
        finally:
            server._over.set()
            server._socket.close()
            server._thread.join(10)

    def _serve(self) -> None:
        for number, answer in enumerate(self._answers, start=1):
            connection, _ = self._socket.accept()
            with connection:
                if number == len(self._answers):
                    self._socket.close()
                self.requests.append(_read_request(connection))
                connection.sendall(answer)
                if isinstance(answer, Hanging):
                    self._over.wait(30)


def answer(status: str, body: str, *headers: str, kind: str = "application/json") -> bytes:
    """Return a complete response."""
    content = body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(content)}", *headers, "", ""]
    return "\r\n".join(head).encode() + content


def stream(text: str, *, whole: bool = True) -> bytes:
    """Return an event stream. Unless ``whole``, it breaks off before the next chunk."""
    content = text.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%s\r\n" % (len(content), content) + (b"0\r\n\r\n" if whole else b"")


def _read_request(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        body += connection.recv(65536)
    return (head + b"\r\n\r\n" + body).decode()
