"""A web developer's server on the callback port: a separate process that answers every path."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.request import ProxyHandler, build_opener

import msgspec

from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUESTS = "/received-requests"

# Like dev servers with client-side routes, it answers every path with the page, readable for any origin.
PROGRAM = """
import http.server, json, socketserver, sys
host, port, page = sys.argv[1], int(sys.argv[2]), sys.stdin.buffer.read()
received = []

class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode("utf-8", "replace")
        own = self.path == "/received-requests"
        if not own:
            received.append({"method": self.command, "path": self.path, "headers": dict(self.headers), "body": body})
        found = json.dumps(received).encode() if own else page
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(found)))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "authorization, content-type")
        self.send_header("Access-Control-Expose-Headers", "*")
        self.end_headers()
        self.wfile.write(found)
    do_GET = do_POST = do_DELETE = do_PUT = do_OPTIONS = answer
    def log_message(self, *words):
        pass

class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

Server.address_family = 10 if ":" in host else 2
Server((host, port), Handler).serve_forever()
"""


class ReceivedRequest(msgspec.Struct, frozen=True):
    """A request that the server received."""

    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class DevServer:
    """A running server."""

    process: subprocess.Popen[bytes]
    host: str
    port: int

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, port: int, page: str = "<!doctype html><title>Dev</title>", *, host: str = "127.0.0.1"
    ) -> Iterator[DevServer]:
        """Start a server with a page for every path, wait until it accepts connections, and stop it on exit."""
        command = [sys.executable, "-I", "-S", "-c", PROGRAM, host, str(port)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            try:
                assert process.stdin is not None
                process.stdin.write(page.encode())
                process.stdin.close()
                server = cls(process, host, port)
                until(server._accepts)
                yield server
            finally:
                process.kill()

    def stop(self) -> None:
        """Stop the server."""
        self.process.kill()
        self.process.wait()

    def requests(self) -> list[ReceivedRequest]:
        """Return the requests received so far."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        with build_opener(ProxyHandler({})).open(f"http://{host}:{self.port}{REQUESTS}", timeout=30) as response:
            return msgspec.json.decode(response.read(), type=list[ReceivedRequest])

    def _accepts(self) -> bool:
        assert self.process.poll() is None, "the dev server did not get its port"
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=5):
            return True
        return False
