"""Following a daemon that a service manager starts on demand."""

from __future__ import annotations

import signal
import sys
import time
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: sockets are handed over on Unix", allow_module_level=True)

from tests.support.activated import Activated
from tests.support.until import until
from tests.support.watched import Watched
from upstash_helper.protocol import wake_note

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_started_when_the_tray_looks_for_it(tmp_path: Path) -> None:
    """At login nothing runs yet: the tray's first look has the service manager start the daemon."""
    with Activated.listening(tmp_path) as daemon:
        wake_note.write(daemon.state, f"http://127.0.0.1:{daemon.port}")

        with Watched.following(daemon.runtime, state=daemon.state) as watched:
            until(lambda: watched.now.connection)

        assert 1 == len(daemon.activator.pids)


def test_it_is_started_again_after_a_crash(tmp_path: Path) -> None:
    """The tray's look after a crash is what brings it back."""
    with Activated.listening(tmp_path) as daemon:
        daemon.get()
        with Watched.following(daemon.runtime, state=daemon.state) as watched:
            until(lambda: watched.now.connection)
            daemon.activator.signal(signal.SIGKILL)

            until(lambda: len(daemon.activator.pids) == 2)
            until(lambda: watched.now.connection and watched.now.daemon == "running")


@pytest.mark.slow
def test_it_is_not_started_again_by_the_tray_when_it_was_stopped(tmp_path: Path) -> None:
    """Who stops the daemon does not have it come back because a tray is there; when it is started, the tray follows."""
    with Activated.listening(tmp_path, CLIENT_ID="client") as daemon:
        daemon.get()
        with Watched.following(daemon.runtime, state=daemon.state) as watched:
            until(lambda: watched.now.connection)
            # What it learns by an event it learns after it has asked for all that there was before: it only listens.
            daemon.client.connect(open_browser=False)
            until(lambda: watched.states[-1] == "connecting")
            daemon.client.stop()
            until(lambda: watched.now.daemon == "absent")
            daemon.wait_until_exited()
            time.sleep(4)  # longer than the tray waits for its next look
            stopped = list(daemon.activator.pids)
            daemon.get()

            until(lambda: watched.now.daemon == "running")

        assert 1 == len(stopped)
