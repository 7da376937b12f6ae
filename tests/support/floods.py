"""
Floods of connections from another process, and how the owner's requests fare meanwhile.

A flood keeps a number of connections open: whenever the daemon closes one, it opens another one immediately.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from upstash_helper.protocol import proof

if TYPE_CHECKING:
    from collections.abc import Iterator

_FLOOD: Final = """
import errno, os, selectors, socket, struct, sys, threading, time
port, number, user, pace = (int(text) for text in sys.argv[1:5])
head, drips, reads, resets = sys.argv[5].encode(), *(flag == "1" for flag in sys.argv[6:9])
if user:
    # In here, not before the start: Python may be in a folder that the other user cannot access.
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
def wait_for_the_end():
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=wait_for_the_end, daemon=True).start()
selector = selectors.DefaultSelector()
def begin():
    one = socket.socket()
    one.setblocking(False)
    if not reads:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    if resets:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.connect_ex(("127.0.0.1", port))
    selector.register(one, selectors.EVENT_WRITE)
def end(one):
    selector.unregister(one)
    one.close()
for _ in range(number):
    begin()
ready, dripped = False, time.monotonic()
while True:
    for key, mask in selector.select(0.05):
        one = key.fileobj
        try:
            if mask & selectors.EVENT_WRITE:
                one.send(head)
                if resets:
                    end(one)
                elif reads:
                    selector.modify(one, selectors.EVENT_READ, "open")
                else:
                    selector.modify(one, selectors.EVENT_WRITE, "open")
            elif not one.recv(65536):
                end(one)
        except BlockingIOError:
            pass
        except OSError:
            end(one)
    for _ in range(number - len(selector.get_map())):
        begin()
    if drips and time.monotonic() - dripped > 0.1:
        dripped = time.monotonic()
        for key in list(selector.get_map().values()):
            try:
                if key.data:
                    key.fileobj.send(b"x")
            except OSError:
                end(key.fileobj)
    if not ready:
        ready = True
        print("ready", flush=True)
    time.sleep(pace / 1000)
"""


@dataclass(frozen=True, kw_only=True)
class Flood:
    """What a flood sends."""

    number: int
    """How many connections it keeps open."""
    head: str = ""
    """What it sends on each. ``{port}`` is the daemon's."""
    drips: bool = False
    """Whether it sends one more byte on each connection ten times per second."""
    reads: bool = True
    """Whether it reads responses. If not, it sends its requests again and again."""
    resets: bool = False
    """Whether it resets each connection after sending."""
    user: int = 0
    """The user it runs as; 0: this one."""
    pace: int = 0
    """Milliseconds between two rounds of replacing connections."""
    within: float = 1.0
    """Seconds that a call of the owner may take. More for a flood that keeps the processor busy."""

    @contextlib.contextmanager
    def against(self, port: int) -> Iterator[None]:
        """Run it."""
        flags = [str(int(flag)) for flag in (self.drips, self.reads, self.resets)]
        numbers = [str(each) for each in (port, self.number, self.user, self.pace)]
        command = [sys.executable, "-I", "-S", "-c", _FLOOD, *numbers, self.head.format(port=port), *flags]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert "ready\n" == process.stdout.readline()
                yield
                process.communicate(timeout=10)
            finally:
                process.kill()


_BODY: Final = "Host: localhost:{port}\r\nContent-Type: application/json\r\nContent-Length: 9000\r\n\r\n"

FLOODS: Final = {
    "requests without a body that owe one": Flood(
        number=64, head="GET /health HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: 5\r\n\r\n"
    ),
    "requests that owe a body": Flood(number=64, head=f"POST /v1/pairings HTTP/1.1\r\n{_BODY}"),
    "dripping bodies": Flood(number=64, head=f"POST /v1/pairings HTTP/1.1\r\n{_BODY}", drips=True),
    "dripping headers": Flood(number=64, head="GET /health HTTP/1.1\r\nX: ", drips=True),
    "500 silent connections": Flood(number=500),
    "responses that are not read": Flood(
        number=64, head="GET /connect.js HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", reads=False, within=3.0
    ),
    "complete requests": Flood(number=64, head="GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"),
    "pipelined requests": Flood(
        number=64, head="GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n" * 1000, reads=False, within=3.0
    ),
    "connections that are reset": Flood(
        number=64, head="GET /health HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n", resets=True, within=5.0
    ),
    "bodies in chunks of one byte": Flood(
        number=64,
        head=(
            "POST /v1/pairings HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Type: application/json\r\n"
            "Transfer-Encoding: chunked\r\n\r\n" + "1\r\na\r\n" * 15_000
        ),
        within=5.0,
    ),
    "500 requests that owe a body": Flood(number=500, head=f"POST /v1/pairings HTTP/1.1\r\n{_BODY}", within=5.0),
}


@dataclass
class Calls:
    """The owner's calls during a flood."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """In seconds, of all calls."""

    def __str__(self) -> str:
        number = self.answered + len(self.failed)
        return f"{number} calls, {self.answered} answered, slowest {self.slowest * 1000:.0f} ms"


def owner_calls(port: int, token: str, *, seconds: float, body: bool = False) -> Calls:
    """
    Call the daemon as the owner for some time, each time on a new connection. Like a client, ask for a proof of the
    token first, on the same connection.

    Args:
        port: The daemon's port.
        token: The owner's token.
        seconds: For how long.
        body: Whether the calls have a body. It is sent after the headers.
    """
    key = proof.key_id(hashlib.sha256(token.encode()).digest())
    calls, end = Calls(), time.monotonic() + seconds
    while time.monotonic() < end:
        before = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        headers = {"Authorization": f"Bearer {token}"}
        try:
            connection.request("GET", f"/v1/proof?key={key}&nonce={'0' * 32}")
            connection.getresponse().read()
            if body:
                connection.request(
                    "POST", "/v1/pairings/x/approve", b"{}", headers | {"Content-Type": "application/json"}
                )
            else:
                connection.request("GET", "/v1/connection", headers=headers)
            status = connection.getresponse().status
            if status == (404 if body else 200):
                calls.answered += 1
            else:
                calls.failed.append(str(status))
        except (OSError, http.client.HTTPException) as error:
            calls.failed.append(type(error).__name__)
        finally:
            connection.close()
        calls.slowest = max(calls.slowest, time.monotonic() - before)
    return calls
