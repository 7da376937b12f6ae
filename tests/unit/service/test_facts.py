"""What is looked at before a plan is made."""

from __future__ import annotations

import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.service_facts import facts
from upstash_helper.service import planner
from upstash_helper.service.autostart import autostart_here
from upstash_helper.service.facts import gather, passing


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """The environment of a world of a test's own."""
    return {"UPSTASH_HELPER_HOME": str(tmp_path / "world"), "XDG_RUNTIME_DIR": str(tmp_path)}


def configure(environ: dict[str, str], text: str) -> None:
    """Write the world's settings."""
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
def test_the_service_is_where_the_api_is(environ: dict[str, str], settings: str, port: int) -> None:
    """With a port that is only taken for a sign-in, that is elsewhere."""
    configure(environ, settings)

    assert port == gather(None, environ=environ).port


def test_the_settings_of_a_terminal_do_not_count(environ: dict[str, str]) -> None:
    """The service will not have them; they can be named."""
    environ |= {"UPSTASH_HELPER_PORT": "3999", "UPSTASH_HELPER_PROFILE": "work"}

    found = gather(None, environ=environ)

    assert (3000, "work", "upstash-helper-work") == (found.port, found.profile, found.name)
    assert ["UPSTASH_HELPER_PORT"] == passing(environ)


def test_the_service_is_told_where_its_world_is(environ: dict[str, str]) -> None:
    """Which it could not know otherwise."""
    assert {"UPSTASH_HELPER_HOME": environ["UPSTASH_HELPER_HOME"]} == dict(gather(None, environ=environ).environment)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has XDG folders and systemd")
def test_folders_that_a_shell_moved_are_told_too(tmp_path: Path) -> None:
    """Where they are not at their usual place; a login need not know of them."""
    environ = {
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(Path.home() / ".config"),
        "XDG_DATA_HOME": "relative",
    }

    found = gather(None, environ=environ)

    assert {"XDG_STATE_HOME": str(tmp_path / "state")} == dict(found.environment)
    assert Path.home() / ".config" == found.config_home
    assert Path.home() / ".local" / "share" == found.data_home


@pytest.mark.skipif(sys.platform != "linux", reason="platform: only Linux has systemd")
def test_a_managers_socket_that_nobody_answers_is_none(environ: dict[str, str], tmp_path: Path) -> None:
    """It is left behind when the manager ends."""
    (tmp_path / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as manager:
        manager.bind(str(tmp_path / "systemd" / "private"))
        manager.listen()
        there = gather(None, environ=environ).systemd
    gone = gather(None, environ=environ).systemd

    assert (True, False) == (there, gone)


@pytest.mark.parametrize(
    ("changes", "code", "way_out"),
    [
        ({"superuser": True}, "run_as_root", "as that user, without sudo"),
        ({"unreachable": True}, "no_user_manager", "loginctl enable-linger"),
    ],
)
def test_what_is_in_the_way_is_named_with_the_way_out(
    tmp_path: Path, changes: dict[str, bool], code: str, way_out: str
) -> None:
    """Before anything is written."""
    hindrance = planner.obstacle(facts(tmp_path, **changes))

    assert hindrance is not None
    assert (code, True) == (hindrance.code, way_out in str(hindrance))
    assert planner.obstacle(facts(tmp_path)) is None


@pytest.mark.skipif(sys.platform != "linux", reason="platform: macOS and Windows have ways of their own")
def test_install_writes_what_the_trays_own_menu_writes(tmp_path: Path) -> None:
    """So that either can switch off what the other switched on."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_RUNTIME_DIR": str(tmp_path)}
    found = replace(gather(None, environ=environ), tray="wanted")

    [written] = [file for file in planner.plan(found).files if file.kind == "tray"]
    autostart = autostart_here("default", environ=environ)
    autostart.enable()

    assert written.content == written.path.read_bytes()
