"""
No request is lost when a socket-activated daemon exits, is stopped, or is killed.
The daemon exits after a fraction of a second without work, so that each run has many exits.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import http.client
import os
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: only Unix has socket activation", allow_module_level=True)

from tests.support.activated import ANSWER_SECONDS, Activated
from tests.support.activator import HOSTS
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDLE_SECONDS = 0.05
ROUNDS = 24
STOPS = 10
# From well before the decision to exit until well after the process has ended.
PAUSES = [0.8 * IDLE_SECONDS + 0.01 * number for number in range(ROUNDS)]

pytestmark = pytest.mark.slow


def request_repeatedly(send: Callable[[], object], pauses: list[float]) -> list[object]:
    """Send a request after each of the pauses, and return the responses."""
    answers = []
    for pause in pauses:
        answers.append(send())
        time.sleep(pause)
    return answers


def test_no_request_is_lost_during_idle_exits(tmp_path: Path) -> None:
    """Requests that arrive before, during, and after an exit are answered, on both addresses."""
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        answers = [
            request_repeatedly(lambda: daemon.get()[0], PAUSES),
            request_repeatedly(lambda: daemon.get(host="::1")[0], PAUSES),
        ]
        daemon.wait_until_exited()

        assert [[200] * ROUNDS] * 2 == answers
        # The second half of the pauses is longer than the idle time.
        assert ROUNDS / 2 < len(daemon.activator.codes)
        assert {0} == set(daemon.activator.codes)


def test_no_concurrent_request_is_lost_during_idle_exits(tmp_path: Path) -> None:
    """With several independent clients, some requests always arrive during an exit."""
    schedules = [PAUSES[number:] + PAUSES[:number] for number in (0, 5, 11, 17)]
    with (
        Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon,
        concurrent.futures.ThreadPoolExecutor(len(schedules)) as pool,
    ):
        answers = list(pool.map(lambda schedule: request_repeatedly(lambda: daemon.get()[0], schedule), schedules))
        daemon.wait_until_exited()

        assert [[200] * ROUNDS] * len(schedules) == answers
        assert len(daemon.activator.codes) > 1
        assert {0} == set(daemon.activator.codes)


def test_owner_client_survives_idle_exits(tmp_path: Path) -> None:
    """The owner's client finds each new daemon, and a long-lived client picks up the new token. No call fails."""
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        daemon.get()
        kept = daemon.client

        fresh = request_repeatedly(lambda: daemon.client.status().pid, PAUSES)
        with_kept = request_repeatedly(lambda: kept.status().pid, PAUSES)
        daemon.wait_until_exited()

        assert set(daemon.activator.pids) >= {*fresh, *with_kept}
        assert len(set(fresh)) > 1
        assert len(set(with_kept)) > 1


def test_open_connection_keeps_the_daemon(tmp_path: Path) -> None:
    """All requests on one connection are answered by the same daemon, which exits once the client has disconnected."""
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=ANSWER_SECONDS)
        ) as connection:

            def send() -> int:
                connection.request("GET", "/health")
                with connection.getresponse() as answer:
                    answer.read()
                    return answer.status

            answers = request_repeatedly(send, PAUSES)
            started = len(daemon.activator.pids)
        daemon.wait_until_exited()

        assert [200] * ROUNDS == answers
        assert (1, [0]) == (started, daemon.activator.codes)


def test_waiting_connections_survive_a_killed_daemon(tmp_path: Path) -> None:
    """If a hanging daemon is killed, the next one answers the connections that it has not accepted."""
    with Activated.listening(tmp_path) as daemon, contextlib.ExitStack() as stack:
        daemon.get()
        daemon.activator.signal(signal.SIGSTOP)
        waiting = []
        for host in HOSTS * 5:
            connection = http.client.HTTPConnection(host, daemon.port, timeout=ANSWER_SECONDS)
            stack.callback(connection.close)
            connection.request("GET", "/health", headers={"Connection": "close"})
            waiting.append(connection)

        daemon.activator.signal(signal.SIGKILL)
        answers = [connection.getresponse().status for connection in waiting]

        assert [200] * len(waiting) == answers
        assert [-signal.SIGKILL] == daemon.activator.codes


def test_requests_between_repeated_kills_are_answered(tmp_path: Path) -> None:
    """After each kill, the next request starts a daemon and is answered."""
    with Activated.listening(tmp_path) as daemon:
        answers = []
        for _ in range(6):
            answers.append(daemon.get()[0])
            daemon.activator.signal(signal.SIGKILL)
            until(lambda: daemon.activator.pid is None)
        answers.append(daemon.get()[0])

        assert [200] * 7 == answers
        assert [-signal.SIGKILL] * 6 == daemon.activator.codes


def test_no_request_is_lost_during_stops(tmp_path: Path) -> None:
    """A daemon that is stopped answers the connections it has accepted; later ones wait for the next daemon."""
    over = threading.Event()
    with Activated.listening(tmp_path) as daemon, concurrent.futures.ThreadPoolExecutor(4) as pool:

        def request_until_over(_: int) -> set[int]:
            answers = set()
            while not over.is_set():
                answers.add(daemon.get()[0])
            return answers

        answers = pool.map(request_until_over, range(4))
        try:
            for stops in range(1, STOPS + 1):
                until(lambda: (daemon.runtime / "daemon.json").exists())  # noqa: PLW0108 - evaluated each time
                daemon.activator.signal(signal.SIGTERM)
                until(lambda: len(daemon.activator.codes) >= stops)  # noqa: B023 - called within this iteration
        finally:
            over.set()

        assert [{200}] * 4 == list(answers)
        assert [0] * STOPS == daemon.activator.codes[:STOPS]


def test_silent_connection_keeps_the_daemon(tmp_path: Path) -> None:
    """A client that sends its request late is answered: the daemon does not exit in the meantime."""
    with (
        Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon,
        socket.create_connection(("127.0.0.1", daemon.port), timeout=ANSWER_SECONDS) as slow,
    ):
        until((daemon.runtime / "daemon.json").exists)
        time.sleep(10 * IDLE_SECONDS)
        slow.sendall(f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{daemon.port}\r\nConnection: close\r\n\r\n".encode())

        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        assert os.getpid() not in daemon.activator.pids
        assert 1 == len(daemon.activator.pids)
