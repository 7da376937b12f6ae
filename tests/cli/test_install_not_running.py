"""``install`` and ``start`` when a service manager reports success, but no daemon runs."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.user_systemd import UserSystemd
from upstash_helper.cli.daemon.lifecycle import wait_until_ready
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.session import Session
from upstash_helper.protocol.lock import InstanceLock

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The command line of a user without a daemon."""
    monkeypatch.setenv("UPSTASH_HELPER_HOME", str(tmp_path / "home"))
    return Session()


@pytest.mark.slow
def test_install_fails_if_the_daemon_does_not_come_up(tmp_path: Path) -> None:
    """It does not claim that anything is running, and names the logs. Here, the program of systemd does nothing."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (programs / "systemctl").chmod(0o755)
    with UserSystemd.running(tmp_path / "home") as user:
        ran = user.helper("install", "--force", "--no-tray", environ={"PATH": f"{programs}:{os.environ['PATH']}"})
        written = (user.home / ".config/systemd/user/upstash-helper.service").exists()

    assert (1, True) == (ran.code, written)
    assert "Error: Installed, but the daemon is not running. The daemon did not start." in ran.err
    assert f"{user.home}/.local/state/upstash-helper/log/upstash-helper.log" in ran.err
    assert "Installed." not in ran.out


def test_daemon_that_was_not_started_is_not_called_running(session: Session) -> None:
    """A service manager may have reported success nevertheless."""
    with pytest.raises(Failure, match=r"^The daemon did not start\. See .*upstash-helper\.log and .*start\.log\.$"):
        wait_until_ready(session, seconds=0.0)


def test_reason_in_the_start_log_is_shown(session: Session) -> None:
    """It is there if the daemon has no terminal. The reason of an earlier start is not shown."""
    log = session.folders.start_log
    log.parent.mkdir(parents=True)
    log.write_text("Error: The port is in use.\n")
    os.utime(log, (time.time() + 60, time.time() + 60))

    with pytest.raises(Failure, match=r"^The daemon did not start\. The port is in use\.$"):
        wait_until_ready(session, seconds=0.0)
    os.utime(log, (0, 0))
    with pytest.raises(Failure, match=r"^The daemon did not start\. See "):
        wait_until_ready(session, seconds=0.0)


def test_daemon_that_does_not_respond_is_running(session: Session) -> None:
    """It holds the lock."""
    with InstanceLock(session.folders.runtime), pytest.raises(Failure, match="running but does not respond"):
        wait_until_ready(session, seconds=0.0)
