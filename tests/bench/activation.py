"""
Measures a start on the first request, and the daemon after an hour of light use.

The hour is accelerated by leaving out the pauses; the daemon's clock and timers are not changed. An idle daemon has at
most one timer, that of ``idle_exit`` (the wake-ups in the idle window show that), so that an hour consists of what
other programs do to it:

- every ten seconds, a page that checks whether the helper is running (``/health``, no token), and an app's request that
is denied for its invalid token;
- every ten seconds, an owner's tool that shows the status (``/v1/daemon``, ``/v1/connection``), on a new connection
each time, like the command line;
- every minute, the lists that the dashboard and the tray show (apps, pairings, audit, regions: those that need no
account);
- every five minutes, a tray that reopens its event stream, as after a suspend.

Memory is compared with that after one round of everything, since the first request imports what it needs, and with a
bare server that handles as many requests. Effects of time alone, such as expiring caches, are not included.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.servers import BASELINE, daemon_command, environment, token
from tests.bench.tray import voluntary_switches
from tests.support.activator import HOSTS, Activator, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEN_SECONDS = 360
"""How many times ten seconds fit into an hour."""
MINUTES = 60
FIVE_MINUTES = 12
_LISTS = ("/v1/apps", "/v1/pairings", "/v1/audit", "/v1/regions")
_ANSWER_SECONDS = 30.0
_SETTLE_SECONDS = 1.0


class Memory(NamedTuple):
    """A process's memory, in bytes."""

    rss: int
    """The resident set size, including shared libraries."""
    pss: int
    """The proportional set size."""

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Measure a process."""
        found = psutil.Process(pid).memory_full_info()
        return cls(found.rss, found.pss)


class Hour(NamedTuple):
    """Measurements of a process before and after the hour."""

    ready: Memory
    """After its first response."""
    used: Memory
    """After everything has been requested once."""
    after: Memory
    requests: int
    wakeups: int
    """In the idle window after the hour."""


class Activated:
    """A server behind an activator's sockets."""

    def __init__(self, activator: Activator, home: Path | None) -> None:
        """See ``activated``."""
        self._activator = activator
        self._home = home
        self.requests = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        pid = self._activator.pid
        if pid is None:
            message = "the server has ended"
            raise RuntimeError(message)
        return pid

    def first_response_seconds(self) -> float:
        """Return the time from connecting, with no server running, to the response, in seconds."""
        started = time.perf_counter()
        self.get("/health")
        return time.perf_counter() - started

    def get(self, path: str, *, bearer: str = "") -> int:
        """Send a request on a new connection, and return the status."""
        headers = {"Connection": "close"}
        if bearer:
            headers["Authorization"] = f"Bearer {bearer}"
        with self._connection() as connection:
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as answer:
                answer.read()
        self.requests += 1
        return answer.status

    @property
    def owner(self) -> str:
        """The owner's token; a bare server accepts any."""
        return "any" if self._home is None else token(self._home)

    def follow(self) -> None:
        """Open an event stream, wait until it is served, and disconnect."""
        with self._connection() as connection:
            connection.request("GET", "/v1/events", headers={"Authorization": f"Bearer {self.owner}"})
            with connection.getresponse() as answer:
                answer.readline()
        self.requests += 1

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        connection = http.client.HTTPConnection(HOSTS[0], self._activator.port, timeout=_ANSWER_SECONDS)
        with contextlib.closing(connection):
            yield connection


@contextlib.contextmanager
def activated(home: Path | None) -> Iterator[Activated]:
    """Listen for a daemon with its folders below ``home``, or for a bare server. Neither is started yet."""
    first = listening(HOSTS[0])
    port = first.getsockname()[1]
    if home is None:
        command, env, sockets = [*BASELINE, str(port)], environment(), [first]
    else:
        command, sockets = daemon_command(port), [first, listening(HOSTS[1], port)]
        env = environment(UPSTASH_HELPER_HOME=str(home), UPSTASH_HELPER_IDLE_EXIT="7200")
    with Activator.running(command, env, sockets) as activator:
        yield Activated(activator, home)


def an_hour(server: Activated, *, parts: int, idle_seconds: float) -> Hour:
    """
    Simulate an hour of light use.

    Args:
        server: The server. It is started.
        parts: The hour is divided into this many parts, one of which is simulated; 1: all of it.
        idle_seconds: How long it is observed without any requests.
    """
    server.get("/health")
    ready = Memory.of(server.pid)
    _simulate(server, 1, 1, 1)
    used = Memory.of(server.pid)
    before = server.requests
    _simulate(server, TEN_SECONDS // parts, MINUTES // parts, FIVE_MINUTES // parts)
    requests = server.requests - before
    time.sleep(_SETTLE_SECONDS)  # connections are closed
    after, wakeups_before = Memory.of(server.pid), voluntary_switches(server.pid)
    time.sleep(idle_seconds)
    return Hour(ready, used, after, requests, voluntary_switches(server.pid) - wakeups_before)


def _simulate(server: Activated, ten_seconds: int, minutes: int, five_minutes: int) -> None:
    owner = server.owner
    for _ in range(ten_seconds):
        _expect(server.get("/health"), 200)
        server.get("/v1/connection", bearer="an-invalid-token")
        server.get("/v1/daemon", bearer=owner)
        _expect(server.get("/v1/connection", bearer=owner), 200)
    for _ in range(minutes):
        for path in _LISTS:
            server.get(path, bearer=owner)
    for _ in range(five_minutes):
        server.follow()


def _expect(status: int, expected: int) -> None:
    if status != expected:
        message = f"status {status}"
        raise RuntimeError(message)
