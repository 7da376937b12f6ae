"""Following a socket-activated daemon."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.recorded_follower import RecordedFollower
from tests.support.until import until
from upstash_helper.protocol import wake_note

if TYPE_CHECKING:
    from pathlib import Path


def test_daemon_is_woken_when_the_tray_starts(tmp_path: Path) -> None:
    """At login nothing is running yet: the tray's first check makes the service manager start the daemon."""
    with Activated.listening(tmp_path) as daemon:
        wake_note.write(daemon.state, f"http://127.0.0.1:{daemon.port}")

        with RecordedFollower.following(daemon.runtime, state=daemon.state) as recorded:
            until(lambda: recorded.now.connection)

        assert 1 == len(daemon.activator.pids)


def test_daemon_is_woken_after_a_crash(tmp_path: Path) -> None:
    """The tray's first check after the crash makes the service manager start it again."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        with RecordedFollower.following(daemon.runtime, state=daemon.state) as recorded:
            until(lambda: recorded.now.connection)
            daemon.activator.signal(signal.SIGKILL)

            until(lambda: len(daemon.activator.pids) == 2)
            until(lambda: recorded.now.connection and recorded.now.daemon == "running")

            assert [-signal.SIGKILL] == daemon.activator.codes
            assert 2 == len(set(daemon.activator.pids))


@pytest.mark.slow
def test_stopped_daemon_is_not_woken(tmp_path: Path) -> None:
    """A daemon that the user has stopped stays stopped until something else starts it; then the tray follows it."""
    with Activated.listening(tmp_path, CLIENT_ID="client") as daemon:
        daemon.get()
        with RecordedFollower.following(daemon.runtime, state=daemon.state) as recorded:
            until(lambda: recorded.now.connection)
            # Once an event has arrived, all initial reads are done, and the tray only listens.
            daemon.client.connect(open_browser=False)
            until(lambda: recorded.connection_states[-1] == "connecting")
            daemon.client.stop()
            until(lambda: recorded.now.daemon == "absent")
            daemon.wait_until_exited()
            time.sleep(4)  # longer than the delay before the tray's next check
            stopped = list(daemon.activator.pids)
            daemon.get()

            until(lambda: recorded.now.daemon == "running")

        assert 1 == len(stopped)
