"""
T75 and T77, through the daemon: during a sign-in, no process has the ``state`` in its arguments, and nobody waits for
the browser. The function that does it is tested in ``tests/unit/system/test_browser.py``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.redirect import target_of
from tests.support.until import until
from upstash_helper.protocol.wire import StartedAttempt

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

if sys.platform != "linux":
    pytest.skip("platform: /proc is Linux's", allow_module_level=True)


def arguments_of_all() -> bytes:
    """Return the arguments of all processes, as every user can read them."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                found.append((folder / "cmdline").read_bytes())
    return b"\n".join(found)


async def test_t75_sign_in_address_is_in_no_list_of_processes(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """
    The browser runs until the user closes it. Meanwhile, the command has shown the address and ended, and the address
    that the browser got is a one-time link.
    """
    seen, script = tmp_path / "seen", tmp_path / "browser"
    os.mkfifo(tmp_path / "forever")
    lines = (f'echo "$1" > {seen}.new; echo $$ >> {seen}.new; mv {seen}.new {seen}', f"read line < {tmp_path}/forever")
    script.write_text("\n".join(("#!/bin/sh", *lines)))
    script.chmod(0o700)
    settings = {"client_id": sandbox.client_id, "auth_url": sandbox.auth_url, "api_url": sandbox.api_url}
    with DaemonProcess.running(
        tmp_path / "home", port=daemon_port, quietly=False, environment={"BROWSER": f"{script} %s"}, **settings
    ) as daemon:
        began = time.monotonic()
        ran = await run_cli("connect", "--no-wait", environment=daemon.environment)
        took = time.monotonic() - began
        address, browser = until(lambda: seen.read_text().split() if seen.exists() else [])
        listed = arguments_of_all()
        started = daemon.client.connect(open_browser=False)
        redirected = target_of(address)
        os.kill(int(browser), signal.SIGKILL)

    assert isinstance(started, StartedAttempt)
    [state] = parse_qs(urlsplit(started.authorization_url).query)["state"]
    assert 0 == ran.code
    assert "Opening your browser" in ran.err
    assert started.authorization_url in ran.err
    assert started.authorization_url == redirected
    assert "/links/" in address
    assert state.encode() not in listed
    assert address.encode() in listed
    assert took < 20
