"""A server in place of the daemon, for behavior that the real one never shows."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tests.support.tray_facts import connected, status
from tests.support.until import SECONDS
from upstash_helper.protocol import discovery, wire
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

GOOD: dict[str, tuple[int, bytes]] = {
    "/v1/daemon": (200, msgspec.json.encode(status(connected()))),
    "/v1/pairings": (200, b'{"pairings":[]}'),
    "/v1/apps": (200, b'{"apps":[]}'),
    "/v1/databases": (200, b'{"databases":[]}'),
    "/v1/events": (200, b": upstash-helper\n\n"),
}


def problem(code: int, name: str, detail: str) -> tuple[int, bytes]:
    """Return an error response."""
    return code, msgspec.json.encode(wire.Problem(status=code, code=name, title="-", detail=detail))


class FakeDaemon(BaseHTTPRequestHandler):
    """Handler of the fake server. The test sets its responses; event streams end after them."""

    answers: ClassVar[dict[str, tuple[int, bytes]]] = GOOD
    asked: ClassVar[list[str]] = []
    held: ClassVar[dict[str, threading.Semaphore]] = {}
    """Paths whose responses the test releases one by one."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path in self.held:
            assert self.held[path].acquire(timeout=SECONDS)
        code, body = self.answers[path]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextlib.contextmanager
def fake_daemon(runtime: Path, *, held: Iterable[str] = (), **answers: tuple[int, bytes]) -> Iterator[type[FakeDaemon]]:
    """Announce a fake server as a daemon, and hold the daemon lock."""
    responses = GOOD | {f"/v1/{name}": answer for name, answer in answers.items()}
    handler = type(
        "Handler",
        (FakeDaemon,),
        {"asked": [], "answers": responses, "held": {path: threading.Semaphore(0) for path in held}},
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    port = server.server_address[1]
    announced = discovery.Discovery(
        pid=1, port=port, base_url=f"http://127.0.0.1:{port}", owner_token="t", version="9", api_version=1
    )
    discovery.write(runtime, announced)
    with InstanceLock(runtime), server:
        thread.start()
        try:
            yield handler
        finally:
            server.shutdown()
            thread.join()
