"""The installed service on each platform, with a fake service manager."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.install_context import Recorder, context
from upstash_helper.service import control, planner
from upstash_helper.service.autostart import own_uid
from upstash_helper.service.control import Installed
from upstash_helper.service.executor import CommandResult, Installer
from upstash_helper.service.plan import Manager, ServiceError

PROGRAM = ("/opt/a b/'python'", "-P", "-m", "upstash_helper")


def installed(tmp_path: Path, manager: Manager, runner: Recorder) -> Installed:
    """Return a service of a manager."""
    return Installed(manager=manager, name="it", files=(tmp_path / "it.plist",), environment={}, runner=runner)


@pytest.mark.parametrize(
    ("manager", "expected"),
    [
        ("launchd", [("launchctl", "enable", "DOMAIN/it"), ("launchctl", "bootstrap", "DOMAIN", "FILE")]),
        ("task-scheduler", [("schtasks", "/Run", "/TN", "it")]),
        ("xdg-autostart", []),
    ],
)
def test_each_manager_is_called_with_its_own_commands(tmp_path: Path, manager: Manager, expected: list[Any]) -> None:
    """Each manager is called with its own commands. `release` needs a command only for systemd."""
    runner = Recorder()
    service = installed(tmp_path, manager, runner)

    service.start()
    service.release()

    domain = f"gui/{own_uid()}"
    values = {"DOMAIN": domain, "DOMAIN/it": f"{domain}/it", "FILE": str(service.files[0])}
    assert [tuple(values.get(word, word) for word in command) for command in expected] == runner.ran


def test_failed_command_is_quoted_in_the_error(tmp_path: Path) -> None:
    """The error has the command and its output."""
    runner = Recorder()
    runner.failing = ["start"]

    with pytest.raises(ServiceError, match=r"`systemctl --user start it\.service` failed with code 1: no"):
        installed(tmp_path, "systemd", runner).start()


@pytest.mark.parametrize(("platform", "systemd"), [("linux", True), ("linux", False), ("darwin", False)])
def test_program_is_read_from_the_installed_file(tmp_path: Path, platform: str, systemd: bool) -> None:  # noqa: FBT001
    """The command is read from the installed file."""
    plan = planner.plan(context(tmp_path, platform=platform, systemd=systemd, program=PROGRAM))
    Installer(plan, runner=Recorder()).install()

    service = next(file.path for file in plan.files if file.kind == "service" and file.path.suffix != ".socket")

    assert (*PROGRAM, "run", "--wait-for-port") == control.command_in(service)


def test_program_of_a_task(tmp_path: Path) -> None:
    """A task has a program and a line of arguments."""
    plan = planner.plan(context(tmp_path, platform="win32", program=(r"C:\a & b\pythonw.exe", "-P")))
    Installer(plan, runner=Recorder()).install()

    assert (r"C:\a & b\pythonw.exe", "-P run --wait-for-port") == control.command_in(plan.files[0].path)


@pytest.mark.parametrize("ending", [".service", ".desktop", ".plist", ".xml"])
@pytest.mark.parametrize("content", [b"", b"garbage \xff\xfe", b"[Service]\nExecStart\n"])
def test_damaged_file_has_no_program(tmp_path: Path, ending: str, content: bytes) -> None:
    """A damaged file has no command."""
    file = tmp_path / f"it{ending}"
    file.write_bytes(content)

    assert () == control.command_in(file)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: the folders are Linux's")
def test_only_the_service_of_this_home_is_found(tmp_path: Path) -> None:
    """A service of another home or profile, or one not written by install, is not found."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / ".config")}
    installation = context(tmp_path)
    Installer(planner.plan(installation), runner=Recorder()).install()

    service = control.find("default", installation.folders, environ=environ)
    other = control.find("default", installation.folders, environ={**environ, "UPSTASH_HELPER_HOME": str(tmp_path)})
    profile = control.find("work", installation.folders, environ=environ)
    assert service is not None
    assert [] == service.changed_files()
    for file in (tmp_path / ".config" / "systemd" / "user").iterdir():
        file.write_text("[Unit]\n")
    foreign = control.find("default", installation.folders, environ=environ)

    assert ("systemd", "upstash-helper", list(service.files)) == (
        service.manager,
        service.name,
        service.changed_files(),
    )
    assert [None, None, None] == [other, profile, foreign]


def test_unreachable_manager_means_unknown_state(tmp_path: Path) -> None:
    """If the manager cannot be reached, the state is unknown, not disabled."""

    def unreachable(argv: Any, *, environment: Any, waits: bool = True) -> CommandResult:
        return CommandResult(1, "Failed to connect to bus")

    service = Installed(manager="systemd", name="it", files=(tmp_path / "it",), environment={}, runner=unreachable)

    assert service.enabled() is None
    assert {} == service.properties("it.service")
