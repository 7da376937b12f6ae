"""
A server in the daemon's place, for the stdio bridge: it announces itself, proves that it knows a token, and speaks the
Model Context Protocol at ``/mcp``. Its answers are scripted, and it fails where a test wants that.
"""

from __future__ import annotations

import itertools
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

from upstash_helper import __version__
from upstash_helper.protocol import discovery, proof
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TOKEN = "uha_token-of-the-agent"
META = "io.modelcontextprotocol/"


class Call(NamedTuple):
    """A message that has arrived."""

    headers: dict[str, str]
    """By name in lower case."""
    message: dict[str, Any]

    @property
    def method(self) -> str:
        """Its method; empty for a response."""
        return str(self.message.get("method", ""))


class Break(Exception):
    """Raised by a handler to close the connection without a response, or within it."""


class Status(Exception):
    """Raised by a handler to respond with a status and a body."""

    def __init__(self, status: int, body: object) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class McpServer:
    """
    The server. A handler returns a result, or yields messages for a stream; with ``RESULT`` as the key, a message is
    the result.
    """

    def __init__(self, runtime: Path) -> None:
        self.token = TOKEN
        self.calls: list[Call] = []
        self.arrived = threading.Condition()
        self.sessions: set[str] = set()
        self.closed: list[object] = []
        """The IDs of requests whose client has closed the connection while the handler was sending."""
        self._handlers: dict[str, Callable[[Call], Any]] = {}
        self._numbers = itertools.count(1)
        self._runtime = runtime
        self._lock = InstanceLock(runtime, timeout=5.0)
        self._server: ThreadingHTTPServer | None = None
        self.on("initialize", lambda call: initialize_result(call.message["params"]["protocolVersion"]))
        self.on("tools/list", lambda _: {"tools": [{"name": "redis_list"}]})

    def on(self, method: str, handler: Callable[[Call], Any]) -> None:
        """Set the handler of a method."""
        self._handlers[method] = handler

    @classmethod
    @contextmanager
    def running(cls, runtime: Path) -> Iterator[Self]:
        """Start one, and stop it on leaving."""
        server = cls(runtime)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    def start(self) -> None:
        """Start it, on a new port, without the sessions that it had before."""
        self.sessions.clear()
        self._lock.acquire()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *args: _Handler(self, *args))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        port = self._server.server_address[1]
        announced = discovery.Discovery(
            pid=1,
            port=port,
            base_url=f"http://127.0.0.1:{port}",
            owner_token="owner",
            version=__version__,
            api_version=discovery.API_VERSION,
            proves=True,
        )
        discovery.write(self._runtime, announced)

    def stop(self) -> None:
        """Stop it, if it is running."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        discovery.remove(self._runtime)
        self._lock.release()

    def wait_for(self, condition: Callable[[], Any], *, seconds: float = 20.0) -> Any:
        """Wait until ``condition`` returns something true after a call has arrived, and return that."""
        with self.arrived:
            assert self.arrived.wait_for(condition, seconds), f"only these arrived: {self.calls}"
            return condition()

    def calls_of(self, method: str) -> list[Call]:
        """Return the messages with a method."""
        return [call for call in self.calls if call.method == method]

    def note(self, call: Call) -> None:
        """Record a message."""
        with self.arrived:
            self.calls.append(call)
            self.arrived.notify_all()

    def note_closed(self, request_id: object) -> None:
        """Record that a client has closed the connection."""
        with self.arrived:
            self.closed.append(request_id)
            self.arrived.notify_all()

    def new_session(self) -> str:
        """Return a new session's ID."""
        name = f"session-{next(self._numbers)}"
        self.sessions.add(name)
        return name

    def handle(self, call: Call) -> Any:
        """Return what the handler of a method returns."""
        handler = self._handlers.get(call.method)
        if handler is None:
            raise Status(200, failure(call.message["id"], -32601, "There is no such method."))
        return handler(call)


def initialize_result(version: str) -> dict[str, Any]:
    """Return a result of ``initialize``."""
    return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "of the server"}}


def failure(request_id: object, code: int, message: str) -> dict[str, Any]:
    """Return an error response."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: McpServer, *args: Any) -> None:
        self._owner = server
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer a health check or a challenge."""
        path = urlsplit(self.path)
        if path.path == "/health":
            self._send(200, {"status": "ok", "service": "upstash-helper"})
            return
        query = parse_qs(path.query)
        digest = proof.digest_of(self._owner.token)
        known = proof.key_id(digest) == query["key"][0]
        computed = proof.compute(digest, host=self.headers["Host"], nonce=query["nonce"][0])
        self._send(200, {"proof": computed if known else None})

    def do_DELETE(self) -> None:
        """End a session."""
        self._owner.sessions.discard(self.headers.get("Mcp-Session-Id", ""))
        self._owner.note(Call({}, {"method": "DELETE"}))
        self._send(204, None)

    def do_POST(self) -> None:
        """Handle a message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/mcp":
            self._send(404, {"title": "Not found", "status": 404, "code": "not_found", "detail": "Not here."})
            return
        call = Call({name.lower(): value for name, value in self.headers.items()}, json.loads(body))
        self._owner.note(call)
        try:
            self._check(call)
            if "id" not in call.message or "method" not in call.message:
                self._send(202, None)
                return
            self._respond(call, self._owner.handle(call))
        except Status as status:
            self._send(status.status, status.body)
        except Break:
            self.close_connection = True
        except OSError:
            self._owner.note_closed(call.message.get("id"))
            self.close_connection = True

    def _check(self, call: Call) -> None:
        headers, message = call.headers, call.message
        assert f"Bearer {self._owner.token}" == headers["authorization"]
        meta = message.get("params", {}).get("_meta", {})
        request_id = message.get("id")
        if f"{META}protocolVersion" in meta:
            named = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}.get(call.method)
            expected = {
                "mcp-protocol-version": meta[f"{META}protocolVersion"],
                "mcp-method": call.method,
                "mcp-name": message["params"][named] if named else None,
            }
            found = {name: headers.get(name) for name in expected}
            if expected != found:
                raise Status(400, failure(request_id, -32020, f"{expected} != {found}"))
        elif call.method != "initialize" and headers.get("mcp-session-id") not in self._owner.sessions:
            raise Status(404, failure(request_id, -32001, "This session does not exist."))

    def _respond(self, call: Call, answer: Any) -> None:
        request_id = call.message["id"]
        if isinstance(answer, dict):
            session = {"Mcp-Session-Id": self._owner.new_session()} if call.method == "initialize" else {}
            self._send(200, {"jsonrpc": "2.0", "id": request_id, "result": answer}, session)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for each in answer:
            message = {"jsonrpc": "2.0", "id": request_id, **each} if "result" in each else {"jsonrpc": "2.0", **each}
            # A comment, an event name, and JSON on several lines: all of that is allowed.
            lines = json.dumps(message, indent=1).splitlines()
            self._chunk(": keep-alive\n\nevent: message\n" + "".join(f"data: {line}\n" for line in lines) + "\n")
        self._chunk("")

    def _chunk(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _send(self, status: int, body: object, headers: dict[str, str] | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
