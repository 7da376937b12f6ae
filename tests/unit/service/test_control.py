"""The service as it is installed, on each platform; its manager is only told."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_facts import Recorder, facts
from upstash_helper.service import control, installed_command, planner
from upstash_helper.service.control import Installed
from upstash_helper.service.executor import Installer, Ran
from upstash_helper.service.plan import Manager, ServiceError

PROGRAM = ("/opt/a b/'python'", "-P", "-m", "upstash_helper")


def installed(tmp_path: Path, manager: Manager, runner: Recorder) -> Installed:
    """Return a service of that manager."""
    return Installed(manager=manager, name="it", files=(tmp_path / "it.plist",), environment={}, runner=runner)


@pytest.mark.parametrize(
    ("manager", "wanted"),
    [
        ("launchd", [("launchctl", "bootstrap", "DOMAIN", "FILE"), ("launchctl", "kickstart", "DOMAIN/it")]),
        ("task-scheduler", [("schtasks", "/Run", "/TN", "it")]),
        ("xdg-autostart", []),
    ],
)
def test_each_manager_is_asked_in_its_own_words(tmp_path: Path, manager: Manager, wanted: list[Any]) -> None:
    """To start; to stop, the daemon itself is asked, and none but systemd would start it again."""
    runner = Recorder()
    service = installed(tmp_path, manager, runner)

    service.start()
    service.release()

    meant = {"DOMAIN": control._domain(), "DOMAIN/it": f"{control._domain()}/it", "FILE": str(service.files[0])}
    assert [tuple(meant.get(word, word) for word in command) for command in wanted] == runner.ran


def test_a_manager_that_refuses_is_quoted(tmp_path: Path) -> None:
    """With the command, so that the user can try it."""
    runner = Recorder()
    runner.failing = ["start"]

    with pytest.raises(ServiceError, match=r"`systemctl --user start it\.service` failed with code 1: no"):
        installed(tmp_path, "systemd", runner).start()


@pytest.mark.parametrize(("platform", "systemd"), [("linux", True), ("linux", False), ("darwin", False)])
def test_the_program_is_read_from_what_is_installed(tmp_path: Path, platform: str, systemd: bool) -> None:  # noqa: FBT001
    """Whichever version wrote it."""
    plan = planner.plan(facts(tmp_path, platform=platform, systemd=systemd, program=PROGRAM))
    Installer(plan, runner=Recorder()).install()

    service = next(file.path for file in plan.files if file.kind == "service" and file.path.suffix != ".socket")

    assert (*PROGRAM, "run", "--wait-for-port") == installed_command.command_in(service)


def test_the_program_of_a_task_is_read_too(tmp_path: Path) -> None:
    """It is a program and a line of arguments there."""
    plan = planner.plan(facts(tmp_path, platform="win32", program=(r"C:\a & b\pythonw.exe", "-P")))
    Installer(plan, runner=Recorder()).install()

    assert (r"C:\a & b\pythonw.exe", "-P run --wait-for-port") == installed_command.command_in(plan.files[0].path)


@pytest.mark.parametrize("ending", [".service", ".desktop", ".plist", ".xml"])
@pytest.mark.parametrize("content", [b"", b"garbage \xff\xfe", b"[Service]\nExecStart\n"])
def test_a_file_that_names_no_program_has_none(tmp_path: Path, ending: str, content: bytes) -> None:
    """Somebody may have changed it."""
    file = tmp_path / f"it{ending}"
    file.write_bytes(content)

    assert () == installed_command.command_in(file)


@pytest.mark.skipif(sys.platform != "linux", reason="platform: the folders are Linux's")
def test_only_this_worlds_service_is_found(tmp_path: Path) -> None:
    """Another's has the same name; one of somebody else's making is none of ours."""
    environ = {"XDG_CONFIG_HOME": str(tmp_path / ".config")}
    found = facts(tmp_path)
    Installer(planner.plan(found), runner=Recorder()).install()

    usual = control.find("default", found.folders, environ=environ)
    other = control.find("default", found.folders, environ={**environ, "UPSTASH_HELPER_HOME": str(tmp_path)})
    profile = control.find("work", found.folders, environ=environ)
    assert usual is not None
    assert [] == usual.changed_files()
    for file in (tmp_path / ".config" / "systemd" / "user").iterdir():
        file.write_text("[Unit]\n")
    foreign = control.find("default", found.folders, environ=environ)

    assert ("systemd", "upstash-helper", list(usual.files)) == (usual.manager, usual.name, usual.changed_files())
    assert [None, None, None] == [other, profile, foreign]


def test_a_manager_that_cannot_be_asked_tells_nothing(tmp_path: Path) -> None:
    """Which is not the same as no."""

    def silent(argv: Any, *, environment: Any, waits: bool = True) -> Ran:
        return Ran(1, "Failed to connect to bus")

    service = Installed(manager="systemd", name="it", files=(tmp_path / "it",), environment={}, runner=silent)

    assert service.enabled() is None
    assert {} == service.properties("it.service")
