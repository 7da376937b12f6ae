"""The processes of a sandbox that the tests of another project have started."""

from __future__ import annotations

import json

import psutil

from upstash_helper.protocol import discovery
from upstash_helper.settings.profiles import locate
from upstash_helper.testing.sandbox import PROFILE


def pids_in(home: str) -> list[int]:
    """Return the daemon and the sandbox that run in a folder."""
    _, folders = locate(profile=PROFILE, environ={"UPSTASH_HELPER_HOME": home})
    announced = discovery.read(folders.runtime)
    assert announced is not None
    sandbox = json.loads((folders.state / "sandbox" / "running.json").read_text(encoding="utf-8"))
    return [announced.pid, sandbox["pid"]]


def runs(pid: int) -> bool:
    """Return whether a process has not ended. Some containers have no process that collects those that have."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
