"""A server in place of the daemon, with canned answers, for what a healthy daemon never does."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from tests.support import proofs
from tests.support.tray_values import connected, status
from tests.support.until import SECONDS
from upstash_helper.protocol import discovery, wire
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

OWNER_TOKEN = "t"

HEALTHY: dict[str, tuple[int, bytes]] = {
    "/v1/daemon": (200, msgspec.json.encode(status(connected()))),
    "/v1/pairings": (200, b'{"pairings":[]}'),
    "/v1/confirmations": (200, b'{"confirmations":[]}'),
    "/v1/apps": (200, b'{"apps":[]}'),
    "/v1/databases": (200, b'{"databases":[]}'),
    "/v1/events": (200, b": upstash-helper\n\n"),
}


def problem(status_code: int, code: str, detail: str) -> tuple[int, bytes]:
    """Return an error answer."""
    return status_code, msgspec.json.encode(wire.Problem(status=status_code, code=code, title="-", detail=detail))


class FakeDaemon(BaseHTTPRequestHandler):
    """Answers each path with the test's answer. An event stream ends after its answer."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, tuple[int, bytes]]] = HEALTHY
    requested: ClassVar[list[str]] = []
    """The paths of all requests, in order."""
    held: ClassVar[dict[str, threading.Semaphore]] = {}
    """Paths whose answers wait until the test releases them, one by one."""

    def do_GET(self) -> None:
        if proofs.is_challenge(self.path):
            self._answer(*proofs.answer_to(self.path, self.headers["Host"], (OWNER_TOKEN,)))
            return
        path = self.path.partition("?")[0]
        self.requested.append(path)
        if path in self.held:
            assert self.held[path].acquire(timeout=SECONDS)
        self._answer(*self.answers[path])

    def _answer(self, status_code: int, body: bytes) -> None:
        self.send_response(status_code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextlib.contextmanager
def fake_daemon(runtime: Path, *, held: Iterable[str] = (), **answers: tuple[int, bytes]) -> Iterator[type[FakeDaemon]]:
    """
    Announce a server as the daemon of a runtime folder, and hold the daemon's lock, for the duration of the block.

    Args:
        runtime: The runtime folder.
        held: Paths whose answers wait until the test releases them.
        answers: Answers that differ from the healthy ones, by the path below ``/v1/``.
    """
    all_answers = HEALTHY | {f"/v1/{name}": answer for name, answer in answers.items()}
    held_paths = {path: threading.Semaphore(0) for path in held}
    handler = type("Handler", (FakeDaemon,), {"requested": [], "answers": all_answers, "held": held_paths})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    port = server.server_address[1]
    announced = discovery.Discovery(
        pid=1,
        port=port,
        base_url=f"http://127.0.0.1:{port}",
        owner_token=OWNER_TOKEN,
        version="9",
        api_version=1,
        proves=True,
    )
    discovery.write(runtime, announced)
    with InstanceLock(runtime), server:
        thread.start()
        try:
            yield handler
        finally:
            server.shutdown()
            thread.join()
