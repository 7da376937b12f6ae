"""
However the daemon ends, by itself or by force, nobody's request is lost who had it waiting at the daemon's door.

The daemon leaves after a fraction of a second, so that each run has it leave as often as it is asked.
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
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import ANSWER_SECONDS, Activated
from tests.support.activator import HOSTS
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

IDLE_SECONDS = 0.05
ROUNDS = 24
STOPS = 10
# From well before the daemon decides to leave to well after its process has ended.
PAUSES = [0.8 * IDLE_SECONDS + 0.01 * number for number in range(ROUNDS)]

pytestmark = pytest.mark.slow


def hammer(ask: Callable[[], object], pauses: list[float]) -> list[object]:
    """Ask again and again, after pauses that differ, and return the answers."""
    answers = []
    for pause in pauses:
        answers.append(ask())
        time.sleep(pause)
    return answers


def test_every_request_is_answered_however_often_the_daemon_leaves(tmp_path: Path) -> None:
    """
    Requests that arrive before, while and after the daemon leaves are all answered, on both addresses.
    """
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        answers = [hammer(lambda: daemon.get()[0], PAUSES), hammer(lambda: daemon.get(host="::1")[0], PAUSES)]
        daemon.asleep()

        assert [[200] * ROUNDS] * 2 == answers
        # The later half of the pauses is longer than the daemon stays.
        assert ROUNDS / 2 < len(daemon.activator.codes)
        assert {0} == set(daemon.activator.codes)


def test_many_at_once_are_answered_however_often_the_daemon_leaves(tmp_path: Path) -> None:
    """
    With several clients that take no heed of each other, there is always one that meets the daemon on its way out.
    """
    paces = [PAUSES[number:] + PAUSES[:number] for number in (0, 5, 11, 17)]
    with (
        Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon,
        concurrent.futures.ThreadPoolExecutor(len(paces)) as pool,
    ):
        answers = list(pool.map(lambda pace: hammer(lambda: daemon.get()[0], pace), paces))
        daemon.asleep()

        assert [[200] * ROUNDS] * len(paces) == answers
        assert len(daemon.activator.codes) > 1
        assert {0} == set(daemon.activator.codes)


def test_the_owners_client_never_notices(tmp_path: Path) -> None:
    """
    The command line's and the tray's client finds each daemon that is started, and a client that is kept takes the new
    daemon's token; none of the calls fails.
    """
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        daemon.get()
        kept = daemon.client

        anew = hammer(lambda: daemon.client.status().pid, PAUSES)
        with_kept = hammer(lambda: kept.status().pid, PAUSES)
        daemon.asleep()

        assert set(daemon.activator.pids) >= {*anew, *with_kept}
        assert len(set(anew)) > 1
        assert len(set(with_kept)) > 1


def test_a_connection_that_is_kept_is_not_cut_off(tmp_path: Path) -> None:
    """
    On a connection that a client keeps, every request is answered by the same daemon, whatever the pauses; it leaves
    when the client has gone.
    """
    with Activated.listening(tmp_path, idle_seconds=IDLE_SECONDS) as daemon:
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=ANSWER_SECONDS)
        ) as connection:

            def ask() -> int:
                connection.request("GET", "/health")
                with connection.getresponse() as answer:
                    answer.read()
                    return answer.status

            answers = hammer(ask, PAUSES)
            started = len(daemon.activator.pids)
        daemon.asleep()

        assert [200] * ROUNDS == answers
        assert (1, [0]) == (started, daemon.activator.codes)


def test_requests_that_wait_when_the_daemon_is_killed_are_answered(tmp_path: Path) -> None:
    """
    A daemon that hangs and is killed loses nobody whom it has not let in: the next one answers all who wait.
    """
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


def test_requests_that_come_while_a_daemon_is_killed_over_and_over_are_answered(tmp_path: Path) -> None:
    """
    Whoever connects while the daemon is down or starting waits for the next one: after each kill, the first who comes
    is answered.
    """
    with Activated.listening(tmp_path) as daemon:
        answers = []
        for _ in range(6):
            answers.append(daemon.get()[0])
            daemon.activator.signal(signal.SIGKILL)
            until(lambda: daemon.activator.pid is None)
        answers.append(daemon.get()[0])

        assert [200] * 7 == answers
        assert [-signal.SIGKILL] * 6 == daemon.activator.codes


def test_requests_are_answered_however_often_the_daemon_is_stopped(tmp_path: Path) -> None:
    """
    A daemon that is told to stop, as for an upgrade, answers whom it has let in; who comes later waits for the next.
    """
    over = threading.Event()
    with Activated.listening(tmp_path) as daemon, concurrent.futures.ThreadPoolExecutor(4) as pool:

        def ask_until_over(_: int) -> set[int]:
            answers = set()
            while not over.is_set():
                answers.add(daemon.get()[0])
            return answers

        answers = pool.map(ask_until_over, range(4))
        try:
            for stops in range(1, STOPS + 1):
                until(lambda: (daemon.runtime / "daemon.json").exists())  # noqa: PLW0108 - looked at anew
                daemon.activator.signal(signal.SIGTERM)
                until(lambda: len(daemon.activator.codes) >= stops)  # noqa: B023 - called in this round
        finally:
            over.set()

        assert [{200}] * 4 == list(answers)
        assert [0] * STOPS == daemon.activator.codes[:STOPS]


def test_who_connects_and_says_nothing_is_waited_for(tmp_path: Path) -> None:
    """
    A client that is slow to send its request is answered: the daemon does not leave in the meantime.
    """
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
