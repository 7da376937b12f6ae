"""HTTP servers on loopback, with or without TLS and with any ``Date`` header, and a proxy to reach them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Print nothing: many tests make the client leave during the handshake."""


@contextlib.contextmanager
def _serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), handler)
    if context is not None:
        # The handshake is done in the connection's thread.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def service(context: ssl.SSLContext | None = None, *, date: str | None = None) -> Iterator[int]:
    """Run a server and yield its port. ``date`` is its ``Date`` header; an empty string leaves it out."""

    class Service(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response_only(200)
            value = self.date_time_string() if date is None else date
            if value:
                self.send_header("Date", value)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with _serving(Service, context) as port:
        yield port


@contextlib.contextmanager
def connect_proxy(target: int, *, authorization: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Run a proxy that connects to ``target`` for any host; yield its port and the requested hosts."""
    asked: list[str] = []

    class Proxy(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            asked.append(self.path)
            if self.headers.get("Proxy-Authorization") != authorization:
                self.send_error(407)
                return
            with socket.create_connection(("127.0.0.1", target)) as upstream:
                self.send_response_only(200)
                self.end_headers()
                back = threading.Thread(target=_copy, args=(upstream, self.connection), daemon=True)
                back.start()
                _copy(self.connection, upstream)
                back.join()

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    with _serving(Proxy) as port:
        yield port, asked


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
