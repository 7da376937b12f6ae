"""Detection of the install context, and the reasons not to install."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.install_context import context
from upstash_helper.service import planner
from upstash_helper.service.autostart import autostart_here
from upstash_helper.service.context import detect_context, transient_settings


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with its own `UPSTASH_HELPER_HOME`."""
    return {"UPSTASH_HELPER_HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path)}


def configure(environ: dict[str, str], text: str) -> None:
    """Write the settings file."""
    file = Path(environ["UPSTASH_HELPER_HOME"]) / "config" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("settings", "port"),
    [
        ("", 3000),
        ("port = 3210", 3210),
        ('port_policy = "on-demand"', 26300),
        ('port_policy = "on-demand"\napi_port = 4000', 4000),
    ],
)
def test_service_port_is_the_api_port(environ: dict[str, str], settings: str, port: int) -> None:
    """The service listens on the port of the API, which depends on the port policy."""
    configure(environ, settings)

    assert port == detect_context(None, environ=environ).port


def test_settings_in_the_environment_are_ignored(environ: dict[str, str]) -> None:
    """Settings in this terminal's environment are ignored, and their names are returned."""
    environ |= {"UPSTASH_HELPER_PORT": "3999", "UPSTASH_HELPER_PROFILE": "work"}

    found = detect_context(None, environ=environ)

    assert (3000, "work", "upstash-helper-work") == (found.port, found.profile, found.name)
    assert ["UPSTASH_HELPER_PORT"] == transient_settings(environ)


def test_home_is_passed_to_the_service(environ: dict[str, str]) -> None:
    """`UPSTASH_HELPER_HOME` is passed to the service."""
    assert {"UPSTASH_HELPER_HOME": environ["UPSTASH_HELPER_HOME"]} == dict(
        detect_context(None, environ=environ).environment
    )


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has XDG folders and systemd")
def test_xdg_folders_are_passed_to_the_service(tmp_path: Path) -> None:
    """XDG folders that are set in this terminal and differ from the default are passed to the service."""
    environ = {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(Path.home() / ".config"),
        "XDG_DATA_HOME": "relative",
    }

    found = detect_context(None, environ=environ)

    assert {"XDG_STATE_HOME": str(tmp_path / "state")} == dict(found.environment)
    assert Path.home() / ".config" == found.config_home
    assert Path.home() / ".local" / "share" == found.data_home


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has systemd")
def test_stale_manager_socket_is_not_reachable(environ: dict[str, str], tmp_path: Path) -> None:
    """The manager's socket still exists after the manager exits, so it must accept a connection."""
    (tmp_path / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(tmp_path / "systemd" / "private"))
        manager.listen()
        running = detect_context(None, environ=environ).systemd
    exited = detect_context(None, environ=environ).systemd

    assert (True, False) == (running, exited)


@pytest.mark.parametrize(
    ("changes", "code", "solution"),
    [
        ({"superuser": True}, "run_as_root", "as that user, without sudo"),
        ({"unreachable": True}, "no_user_manager", "loginctl enable-linger"),
    ],
)
def test_install_errors_have_a_solution(tmp_path: Path, changes: dict[str, bool], code: str, solution: str) -> None:
    """The reason not to install is reported with a solution."""
    error = planner.install_error(context(tmp_path, **changes))

    assert error is not None
    assert (code, True) == (error.code, solution in str(error))
    assert planner.install_error(context(tmp_path)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="platform: macOS and Windows have ways of their own")
def test_install_writes_the_same_entry_as_the_tray_menu(tmp_path: Path) -> None:
    """`install` and the tray's own menu write the same entry."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path)}
    target = replace(detect_context(None, environ=environ), tray="wanted")

    [written] = [file for file in planner.plan(target).files if file.kind == "tray"]
    autostart = autostart_here("default", environ=environ)
    autostart.enable()

    assert written.content == written.path.read_bytes()
