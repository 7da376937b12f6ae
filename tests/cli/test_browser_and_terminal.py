"""T77: a browser that the daemon has started outlives Ctrl-C at ``upstash-helper run``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import clean_environment
from tests.support.until import until
from upstash_helper.client.daemon import DaemonClient
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.protocol import wire
from upstash_helper.settings.profiles import locate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: Windows has no pseudo-terminals of this kind"
)


def test_ctrl_c_at_run_does_not_end_the_browser(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The browser is in a session of its own: the terminal's signals do not reach it, and it prints nothing there."""
    import pty

    started, browser = tmp_path / "started", tmp_path / "browser"
    browser.write_text(
        f"#!/bin/sh\necho noise; echo noise >&2; echo $$ > {started}.new; mv {started}.new {started}; exec sleep 300\n"
    )
    browser.chmod(0o700)
    environment = clean_environment() | {"UPSTASH_HELPER_HOME": str(tmp_path / "home"), "BROWSER": str(browser)}
    settings = {"port": daemon_port, "client-id": sandbox.client_id, "auth-url": sandbox.auth_url}
    flags = [f"--{name}={value}" for name, value in settings.items()]
    command = [
        sys.executable, "-m", "upstash_helper", "run", "--no-notifications", "--credential-store=memory", *flags
    ]  # fmt: skip

    child, keyboard = pty.fork()
    if child == 0:
        os.execve(sys.executable, command, environment)  # noqa: S606 - our own program, on the new terminal
    browser_pid = 0
    try:
        client = until(lambda: _client(environment))
        assert client is not None
        attempt = client.connect(open_browser=True)
        browser_pid = int(until(lambda: started.read_text() if started.exists() else ""))
        os.write(keyboard, b"\x03")
        printed = _read_to_the_end(keyboard)
        _, status = os.waitpid(child, 0)
        child = 0
        os.kill(browser_pid, 0)  # raises if it has ended
    finally:
        for pid in filter(None, (child, browser_pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        os.close(keyboard)

    assert isinstance(attempt, wire.StartedAttempt)
    assert attempt.browser_opened
    assert os.WIFEXITED(status)
    assert b"noise" not in printed


def _client(environment: dict[str, str]) -> DaemonClient | None:
    try:
        client = DaemonClient.discover(locate(environ=environment)[1].runtime)
        client.health()
    except DaemonUnreachable:
        return None
    return client


def _read_to_the_end(terminal: int) -> bytes:
    printed = b""
    with contextlib.suppress(OSError):  # EIO on Linux: the last program has closed it
        while data := os.read(terminal, 4096):
            printed += data
    return printed
