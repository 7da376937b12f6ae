"""
What it costs to be started by the first request, and what the daemon is like after an hour in which nothing happened.

The hour is accelerated, and this is how. Nothing in the daemon is: its clock and its timers run as they always do. At
rest it has one timer at most, that of ``idle_exit`` (the wake-ups of the idle window show it), so that an hour of
nothing consists of what others do to it now and then. That is done here, as often as in an hour and without the pauses:

- every ten seconds a page that looks whether the helper is there (``/health``, no token), and a page of some site that
  is turned away (an app's request with a token that is none);
- every ten seconds a tool of the owner's that shows the state (``/v1/daemon``, ``/v1/connection``), on a connection of
  its own each time, as the command line does it;
- every minute the lists that the dashboard and the tray show (apps, pairings, audit, regions: what needs no account);
- every five minutes a tray whose event stream is opened anew, as after the machine has slept.

Memory is compared with that after one round of all of it, for what a request needs is imported with the first one; and
with a bare server that answers as many requests. What time alone would do (caches that expire) is not in it.
"""

from __future__ import annotations

import contextlib
import http.client
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.bench.servers import BASELINE, daemon_command, environment, token
from tests.bench.tray import switches
from tests.support.activator import HOSTS, Activator, listening

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEN_SECONDS = 360
"""How often every ten seconds is in an hour."""
MINUTES = 60
FIVE_MINUTES = 12
_LISTS = ("/v1/apps", "/v1/pairings", "/v1/audit", "/v1/regions")
_ANSWER_SECONDS = 30.0
_SETTLES_SECONDS = 1.0


class Memory(NamedTuple):
    """What a process has in memory, in bytes."""

    rss: int
    """Resident, libraries that are shared with others included."""
    pss: int
    """With its share of what is shared."""

    @classmethod
    def of(cls, pid: int) -> Memory:
        """Look at a process."""
        found = psutil.Process(pid).memory_full_info()
        return cls(found.rss, found.pss)


class Hour(NamedTuple):
    """A process before and after it."""

    ready: Memory
    """When it has answered its first request."""
    used: Memory
    """When everything has been asked for once."""
    after: Memory
    requests: int
    wakeups: int
    """In the idle window behind it."""


class Activated:
    """A server behind an activator's sockets."""

    def __init__(self, activator: Activator, home: Path | None) -> None:
        """Is called by ``activated``."""
        self._activator = activator
        self._home = home
        self.requests = 0

    @property
    def pid(self) -> int:
        """Its process."""
        pid = self._activator.pid
        if pid is None:
            message = "the server has ended"
            raise RuntimeError(message)
        return pid

    def first_answer(self) -> float:
        """Return the seconds from a connection to a socket behind which nothing runs, to the answer."""
        began = time.perf_counter()
        self.get("/health")
        return time.perf_counter() - began

    def get(self, path: str, *, bearer: str = "") -> int:
        """Ask on a connection of its own, and return the status."""
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
        """The owner's token; a bare server takes any."""
        return "any" if self._home is None else token(self._home)

    def follow(self) -> None:
        """Open an event stream, read that it is served, and go away."""
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
    """Listen for a daemon with its folders below ``home``, or for a bare server; nothing runs yet."""
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
    Let an hour of nothing pass.

    Args:
        server: What it passes for. It is started.
        parts: Into how many parts the hour is divided, of which one is done; 1 is all of it.
        idle_seconds: How long it is watched while really nothing happens.
    """
    server.get("/health")
    ready = Memory.of(server.pid)
    _pass(server, 1, 1, 1)
    used = Memory.of(server.pid)
    before = server.requests
    _pass(server, TEN_SECONDS // parts, MINUTES // parts, FIVE_MINUTES // parts)
    requests = server.requests - before
    time.sleep(_SETTLES_SECONDS)  # connections are taken down
    after, woken = Memory.of(server.pid), switches(server.pid)
    time.sleep(idle_seconds)
    return Hour(ready, used, after, requests, switches(server.pid) - woken)


def _pass(server: Activated, ten_seconds: int, minutes: int, five_minutes: int) -> None:
    owner = server.owner
    for _ in range(ten_seconds):
        _expect(server.get("/health"), 200)
        server.get("/v1/connection", bearer="a-token-of-nobody")
        server.get("/v1/daemon", bearer=owner)
        _expect(server.get("/v1/connection", bearer=owner), 200)
    for _ in range(minutes):
        for path in _LISTS:
            server.get(path, bearer=owner)
    for _ in range(five_minutes):
        server.follow()


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        message = f"status {status}"
        raise RuntimeError(message)
