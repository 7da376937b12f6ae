"""T65: the commands that control the daemon, while the disk of its ledger and its log is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.security.test_t51_ledger import fill
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.mounts import run_with_mounts

SMALL_DISKS = 'mount -t tmpfs -o size=1m tmpfs "$2"; mount -t tmpfs -o size=1m tmpfs "$3"'


async def control(home: Path, state: Path, logs: Path) -> dict[str, Any]:
    """Fill both disks, then restart the daemon, and stop it."""
    settings = {"UPSTASH_HELPER_CREDENTIAL_STORE": "memory", "UPSTASH_HELPER_NOTIFICATIONS": "false"}
    daemon = DaemonProcess(home, environment=settings)
    daemon.environment["UPSTASH_HELPER_PORT"] = str(daemon.port)
    started = await run_cli("start", environment=daemon.environment)
    daemon.client.apps()  # opens the ledger
    fill(state)
    fill(logs)
    ran = {name: await run_cli(name, environment=daemon.environment) for name in ("restart", "stop")}
    return {
        "codes": [started.code, *(one.code for one in ran.values())],
        "err": [one.err for one in ran.values()],
        "running": (daemon.folders.runtime / "daemon.json").exists(),
    }


def test_t65_daemon_is_controlled_on_a_full_disk(tmp_path: Path) -> None:
    """Restarting and stopping work, and say that the audit entry could not be saved yet."""
    for name in ("state", "log"):
        (tmp_path / name).mkdir()

    seen = run_with_mounts(SMALL_DISKS, control, tmp_path, tmp_path / "state", tmp_path / "log")

    assert [0, 0, 0] == seen["codes"]
    assert [True] * 2 == ["This is done, but it could not be saved yet." in text for text in seen["err"]]
    assert not seen["running"]
