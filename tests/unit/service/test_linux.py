"""Linux: the units and the desktop entry, read by the rules of their formats."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.service_facts import AWKWARD, facts
from upstash_helper.service import installed_command, linux, templating
from upstash_helper.service.plan import Plan
from upstash_helper.service.templating import systemd_command, systemd_command_in, systemd_words


def text_of(plan: Plan, ending: str) -> str:
    """Return the content of the plan's file of that ending."""
    [found] = [file for file in plan.files if file.path.name.endswith(ending)]
    return found.content.decode()


def keys(unit: str) -> dict[str, list[str]]:
    """Return the keys of a unit file and all their values (systemd.syntax(7))."""
    found: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#;[":
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_socket_is_on_both_addresses(tmp_path: Path) -> None:
    """One process takes all connections, and nobody shares the port."""
    socket = keys(text_of(linux.plan(facts(tmp_path, port=3210)), ".socket"))

    assert ["127.0.0.1:3210", "[::1]:3210"] == socket["ListenStream"]
    assert (["no"], ["no"], ["ipv6-only"]) == (socket["Accept"], socket["ReusePort"], socket["BindIPv6Only"])
    assert ["sockets.target"] == socket["WantedBy"]


def test_a_machine_without_ipv6_has_a_socket_all_the_same(tmp_path: Path) -> None:
    """An address that it does not have would make the whole unit fail."""
    socket = keys(text_of(linux.plan(facts(tmp_path, ipv6=False)), ".socket"))

    assert ["127.0.0.1:3000"] == socket["ListenStream"]


def test_the_service_says_when_it_is_ready_and_comes_back_after_a_crash(tmp_path: Path) -> None:
    """But not where that would mend nothing."""
    service = keys(text_of(linux.plan(facts(tmp_path)), ".service"))

    assert (["notify"], ["on-failure"], ["2 9"]) == (
        service["Type"],
        service["Restart"],
        service["RestartPreventExitStatus"],
    )
    assert ["graphical-session.target"] == service["WantedBy"]
    assert [':"/opt/venv/bin/python" "-P" "-m" "upstash_helper" "run" "--wait-for-port"'] == service["ExecStart"]


def test_a_profile_has_units_of_its_own(tmp_path: Path) -> None:
    """So it lives beside the usual one."""
    plan = linux.plan(facts(tmp_path, profile="work"))

    names = [file.path.name for file in plan.files if file.kind == "service"]
    assert ["upstash-helper-work.socket", "upstash-helper-work.service"] == names
    assert '"--profile" "work" "run" "--wait-for-port"' in text_of(plan, ".service")
    assert ["upstash-helper-work.socket"] == keys(text_of(plan, ".service"))["Wants"]


def test_a_world_of_its_own_is_named_to_the_service(tmp_path: Path) -> None:
    """A login does not have the terminal's environment."""
    root = tmp_path / 'a "b" %h $x'
    plan = linux.plan(facts(tmp_path, root=root, environment={"UPSTASH_HELPER_HOME": str(root)}))

    [line] = keys(text_of(plan, ".service"))["Environment"]
    assert [f"UPSTASH_HELPER_HOME={root}"] == systemd_words(line)
    assert '\\"b\\" %%h $x' in line
    assert linux.TRAY_ELSEWHERE in plan.notes


@pytest.mark.parametrize("path", AWKWARD)
def test_the_quoting_is_undone_by_its_reader(path: str) -> None:
    """That systemd reads it alike is shown by running it, in ``tests/cli/test_install.py``."""
    command = (path, "-P", "", path)

    assert command == systemd_command_in(systemd_command(command))


@pytest.mark.parametrize("path", AWKWARD)
def test_the_desktop_entry_runs_exactly_the_command(tmp_path: Path, path: str) -> None:
    """Whatever the folders are called."""
    plan = linux.plan(facts(tmp_path, systemd=False, program=(path, "-P", "-m", "upstash_helper")))

    text = text_of(plan, "upstash-helper-daemon.desktop")
    assert path == templating.read(text)["TryExec"]
    file = tmp_path / "it.desktop"
    file.write_text(text)
    assert (path, "-P", "-m", "upstash_helper", "run", "--wait-for-port") == installed_command.command_in(file)


@pytest.mark.parametrize("profile", ["default", "tray", "daemon"])
def test_no_profile_takes_the_name_of_another_entry(tmp_path: Path, profile: str) -> None:
    """Those of the daemon and of the tray are in one folder."""
    named = {one: linux.plan(facts(tmp_path, systemd=False, profile=one)) for one in ("default", "tray", "daemon")}

    mine = {file.path for file in named.pop(profile).files if file.kind != "document"}
    others = {file.path for plan in named.values() for file in plan.files if file.kind != "document"}
    assert 2 == len(mine)
    assert set() == mine & others


def test_without_systemd_the_user_is_told_what_that_means(tmp_path: Path) -> None:
    """The desktop starts the daemon then, and nothing restarts it."""
    plan = linux.plan(facts(tmp_path, systemd=False))

    assert ("xdg-autostart", linux.NO_SYSTEMD) == (plan.manager, plan.notes[0])


@pytest.mark.parametrize("systemd", [True, False])
def test_the_desktops_own_tool_finds_the_entries_valid(tmp_path: Path, systemd: bool) -> None:  # noqa: FBT001
    """With their comments and the mark in the last line."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have ways of their own")
    validate = shutil.which("desktop-file-validate")
    if validate is None:
        pytest.skip("desktop-file-validate is missing: apt-get install desktop-file-utils")
    for file in linux.plan(facts(tmp_path, systemd=systemd)).files:
        if file.path.suffix == ".desktop":
            (tmp_path / file.path.name).write_bytes(file.content)
            ran = subprocess.run([validate, tmp_path / file.path.name], capture_output=True, text=True, check=False)
            assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


def test_systemd_itself_finds_the_units_right(tmp_path: Path) -> None:
    """Not a warning about a key, a section or a value."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has systemd")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    folder = tmp_path / "units"
    folder.mkdir()
    program = (sys.executable, "-P", "-m", "upstash_helper")
    environment = {"UPSTASH_HELPER_HOME": "/a %h \"b\" 'c' \\d"}
    for file in linux.unit_files(facts(tmp_path, profile="work", program=program, environment=environment)):
        (folder / file.path.name).write_bytes(file.content)

    ran = subprocess.run(
        [analyze, "--user", "--man=no", "verify", *sorted(map(str, folder.iterdir()))],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


def test_a_unit_is_also_what_configparser_takes_for_one(tmp_path: Path) -> None:
    """No line is outside of a section."""
    for file in linux.unit_files(facts(tmp_path)):
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(file.content.decode())
        assert {"Unit", "Install"} < set(parser.sections())


@pytest.mark.parametrize(
    ("changes", "started"),
    [
        ({}, []),
        ({"display": True}, [("always", False)]),
        ({"display": True, "tray_running": True}, [("changed", True)]),
        ({"display": True, "tray": "unwanted"}, []),
        ({"display": True, "tray": "missing"}, []),
    ],
)
@pytest.mark.parametrize("systemd", [True, False])
def test_the_icon_is_shown_at_once_where_there_is_a_desktop(
    tmp_path: Path,
    changes: dict[str, object],
    started: list[tuple[str, bool]],
    systemd: bool,  # noqa: FBT001
) -> None:
    """One that is shown already makes room for it, but only if this is an upgrade."""
    shown = [one for one in linux.plan(facts(tmp_path, systemd=systemd, **changes)).after if not one.waits]

    assert started == [(one.when, "--replace" in one.argv) for one in shown]


@pytest.mark.parametrize(("tray", "written"), [("wanted", True), ("unwanted", False), ("missing", False)])
def test_the_tray_is_left_out_if_it_is_unwanted_or_not_there(tmp_path: Path, tray: str, written: bool) -> None:  # noqa: FBT001
    """Where its packages are missing, the user is told; everything else is installed."""
    plan = linux.plan(facts(tmp_path, tray=tray))

    assert written == any(file.kind == "tray" for file in plan.files)
    assert (tray == "missing") == (linux.TRAY_MISSING in plan.notes)
