"""``doctor``: every check detects its problem."""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.command_line import Ran, run_cli
from tests.support.daemon import DaemonProcess, clean_environment, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell


def environment(home: Path, **settings: object) -> dict[str, str]:
    """Return the environment of a user with no unreachable service."""
    nowhere = {"AUTH_URL": "http://127.0.0.1:1", "API_URL": "http://127.0.0.1:1", "PORT": free_port()}
    given = {f"UPSTASH_HELPER_{name.upper()}": str(value) for name, value in {**nowhere, **settings}.items()}
    return clean_environment() | {"UPSTASH_HELPER_HOME": str(home)} | given


def check(ran: Ran, name: str) -> Any:
    """Return the worst result of a check."""
    order = ["error", "warning", "ok"]
    found = [one for one in ran.json["checks"] if one["name"] == name]
    return min(found, key=lambda one: order.index(one["state"]))


async def test_healthy_daemon_has_no_errors(shell: Shell, running: DaemonProcess, connected: str) -> None:
    """
    With a running, connected daemon, nothing of the helper is marked, and the checks are in order.
    """
    running.environment["UPSTASH_HELPER_CLIENT_ID"] = "x"
    for name in ("auth_url", "api_url", "port"):
        running.environment[f"UPSTASH_HELPER_{name.upper()}"] = str(running.settings[name])

    ran = await shell("doctor", "--json")
    for_people = await shell("doctor")

    assert (0, True) == (ran.code, ran.json["healthy"])
    # A machine without a desktop has warnings, but no errors.
    desktop = {"Session bus", "Notifications", "Tray", "Browser", "Service", "Session"}
    assert {"ok"} == {one["state"] for one in ran.json["checks"] if one["name"] not in desktop}
    assert connected in check(ran, "Connection")["detail"]
    marks = [line[0] for line in for_people.out.splitlines() if not line.startswith("  ")]
    assert [{"ok": "✓", "warning": "!"}[one["state"]] for one in ran.json["checks"]] == marks


async def test_stopped_daemon_is_an_error(tmp_path: Path) -> None:
    """
    A stopped daemon is an error, with the command that starts it, and the exit code is 1.
    """
    ran = await run_cli("doctor", "--json", environment=environment(tmp_path))

    found = check(ran, "Daemon")
    assert (1, "error") == (ran.code, found["state"])
    assert "upstash-helper start" in found["fix"]


async def test_every_error_has_a_fix(tmp_path: Path) -> None:
    """
    Every error has a fix.
    """
    ran = await run_cli("doctor", environment=environment(tmp_path))

    lines = ran.out.splitlines()
    assert "✗" in ran.out
    assert all(lines[number + 1].startswith("  → ") for number, line in enumerate(lines) if line.startswith("✗"))


async def test_busy_port_is_found_before_the_daemon_is_started(tmp_path: Path) -> None:
    """
    A program on the callback port is named.
    """
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = await run_cli("doctor", "--json", environment=environment(tmp_path, port=taken.getsockname()[1]))

    found = check(ran, "Port")
    assert "error" == found["state"]
    assert f"process {psutil.Process().pid}" in found["detail"]


async def test_busy_address_of_a_running_daemon_is_found(tmp_path: Path) -> None:
    """
    A program on the other address of localhost is named, because it would receive the OAuth redirect.
    """
    try:
        taken = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("platform: this machine has no ::1")
    port = taken.getsockname()[1]
    with taken, DaemonProcess.running(tmp_path, port=port) as daemon:
        # In the settings too: otherwise doctor also checks port 3000, which is not the test's.
        ran = await run_cli("doctor", "--json", environment=daemon.environment | {"UPSTASH_HELPER_PORT": str(port)})

    found = check(ran, "Port")
    assert "error" == found["state"]
    assert f"[::1]:{daemon.port}" in found["detail"]


async def test_invalid_settings_do_not_stop_the_other_checks(tmp_path: Path) -> None:
    """
    An invalid setting is an error, and the other checks still run.
    """
    ran = await run_cli("doctor", "--json", environment=environment(tmp_path, log_level="loud"))

    found = check(ran, "Settings")
    assert "error" == found["state"]
    assert "UPSTASH_HELPER_LOG_LEVEL" in found["detail"]
    assert check(ran, "Python")
    assert check(ran, "Developer API")


async def test_missing_client_id_is_a_warning(tmp_path: Path) -> None:
    """
    Without a client ID the helper works with an API key, so this is a warning.
    """
    ran = await run_cli("doctor", "--json", environment=environment(tmp_path))

    found = check(ran, "Settings")
    assert "warning" == found["state"]
    assert "connect --api-key" in found["fix"]


async def test_unreachable_upstash_is_an_error(tmp_path: Path) -> None:
    """
    An unreachable service is named with its address and the reason.
    """
    url = f"http://127.0.0.1:{free_port()}"

    ran = await run_cli("doctor", "--json", environment=environment(tmp_path, api_url=url))

    found = check(ran, "Developer API")
    assert "error" == found["state"]
    assert f"{url.removeprefix('http://')} is not reachable: Connection refused" == found["detail"]


async def test_reachability_is_checked_through_the_proxy(tmp_path: Path) -> None:
    """
    If the system has a proxy, the proxy has to be reachable.
    """
    proxy = f"127.0.0.1:{free_port()}"
    surroundings = environment(tmp_path, api_url="https://api.example") | {"https_proxy": f"http://{proxy}"}

    ran = await run_cli("doctor", "--json", environment=surroundings)

    assert f"the proxy {proxy} for api.example is not reachable" in check(ran, "Developer API")["detail"]


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
async def test_world_writable_folder_is_an_error(tmp_path: Path) -> None:
    """
    A folder that other users can write to is an error.
    """
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)

    ran = await run_cli("doctor", "--json", environment=environment(tmp_path))

    found = check(ran, "Folders")
    assert "error" == found["state"]
    assert f"chmod 700 {folder}" == found["fix"]


async def test_doctor_works_without_unicode(tmp_path: Path) -> None:
    """
    On an ASCII terminal the marks are letters.
    """
    ran = await run_cli("doctor", environment=environment(tmp_path) | {"PYTHONIOENCODING": "ascii"})

    assert ran.out.isascii()
    assert "XX Daemon: not running\n  -> " in ran.out
    assert "Traceback" not in ran.err
