"""T65: the commands that control the daemon, while the disk of its ledger and its log is full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.security.test_t51_ledger import fill
from tests.support.command_line import run_cli
from tests.support.daemon import DaemonProcess
from tests.support.mounts import run_with_mounts
from upstash_helper.protocol import discovery

SMALL_DISK = 'mount -t tmpfs -o size=2m tmpfs "$1"'
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
    assert [True] * 2 == ["This has taken effect, but could not be saved yet." in text for text in seen["err"]]
    assert not seen["running"]


async def restart_repeatedly(home: Path) -> dict[str, Any]:
    """Restart the daemon twice while the only disk is full, with the files of its announcement on it."""
    settings = {"UPSTASH_HELPER_CREDENTIAL_STORE": "memory", "UPSTASH_HELPER_NOTIFICATIONS": "false"}
    daemon = DaemonProcess(home / "helper", environment=settings)
    daemon.environment["UPSTASH_HELPER_PORT"] = str(daemon.port)
    codes = [(await run_cli("start", environment=daemon.environment)).code]
    daemon.client.apps()  # opens the ledger
    for _ in range(2):
        fill(home)
        codes.append((await run_cli("restart", environment=daemon.environment)).code)
    found = discovery.read(daemon.folders.runtime)
    codes.append((await run_cli("stop", environment=daemon.environment)).code)
    token = b"none" if found is None else found.owner_token.encode()
    left = {file.name: token in file.read_bytes() for file in daemon.folders.runtime.iterdir()}
    return {"codes": codes, "left": left}


def test_t65_daemon_can_be_restarted_on_a_full_disk(tmp_path: Path) -> None:
    """Space for its announcement is kept, without the owner's token."""
    seen = run_with_mounts(SMALL_DISK, restart_repeatedly, tmp_path)

    assert [0, 0, 0, 0] == seen["codes"]
    assert {"daemon.lock": False, "daemon.reserve": False} == seen["left"]
