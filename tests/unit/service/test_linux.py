"""Linux: the units and the desktop entries, parsed by the rules of their formats."""

from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.install_context import AWKWARD, Recorder, context
from upstash_helper.service import control, linux, quoting
from upstash_helper.service.executor import Installer
from upstash_helper.service.plan import Plan
from upstash_helper.service.quoting import parse_systemd_command, parse_systemd_words, systemd_command


def text_of(plan: Plan, ending: str) -> str:
    """Return the content of the plan's file with a name that ends with ``ending``."""
    [match] = [file for file in plan.files if file.path.name.endswith(ending)]
    return match.content.decode()


def keys(unit: str) -> dict[str, list[str]]:
    """Return the keys of a unit file and all their values (systemd.syntax(7))."""
    values: dict[str, list[str]] = {}
    for line in unit.splitlines():
        if line and line[0] not in "#;[":
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def test_socket_listens_on_both_addresses(tmp_path: Path) -> None:
    """The socket listens on both loopback addresses, for one process, without sharing the port."""
    socket = keys(text_of(linux.plan(context(tmp_path, port=3210)), ".socket"))

    assert ["127.0.0.1:3210", "[::1]:3210"] == socket["ListenStream"]
    assert (["no"], ["no"], ["ipv6-only"]) == (socket["Accept"], socket["ReusePort"], socket["BindIPv6Only"])
    assert ["sockets.target"] == socket["WantedBy"]


def test_socket_without_ipv6(tmp_path: Path) -> None:
    """Without IPv6 the socket listens only on 127.0.0.1, because a missing address would make the unit fail."""
    socket = keys(text_of(linux.plan(context(tmp_path, ipv6=False)), ".socket"))

    assert ["127.0.0.1:3000"] == socket["ListenStream"]


def test_service_notifies_and_restarts_after_a_crash(tmp_path: Path) -> None:
    """The service notifies systemd when it is ready, and is restarted after a crash, if a restart can help."""
    service = keys(text_of(linux.plan(context(tmp_path)), ".service"))

    assert (["notify"], ["on-failure"], ["2 9"]) == (
        service["Type"],
        service["Restart"],
        service["RestartPreventExitStatus"],
    )
    assert ["graphical-session.target"] == service["WantedBy"]
    assert [':"/opt/venv/bin/python" "-P" "-m" "upstash_helper" "run" "--wait-for-port"'] == service["ExecStart"]


def test_profile_has_its_own_units(tmp_path: Path) -> None:
    """A profile has its own units."""
    plan = linux.plan(context(tmp_path, profile="work"))

    names = [file.path.name for file in plan.files if file.kind == "service"]
    assert ["upstash-helper-work.socket", "upstash-helper-work.service"] == names
    assert '"--profile" "work" "run" "--wait-for-port"' in text_of(plan, ".service")
    assert ["upstash-helper-work.socket"] == keys(text_of(plan, ".service"))["Wants"]


def test_home_is_passed_to_the_service_unit(tmp_path: Path) -> None:
    """`UPSTASH_HELPER_HOME` is passed to the service, and the tray is not installed."""
    root = tmp_path / 'a "b" %h $x'
    plan = linux.plan(context(tmp_path, root=root, environment={"UPSTASH_HELPER_HOME": str(root)}))

    [line] = keys(text_of(plan, ".service"))["Environment"]
    assert [f"UPSTASH_HELPER_HOME={root}"] == parse_systemd_words(line)
    assert '\\"b\\" %%h $x' in line
    assert linux.TRAY_NEEDS_DEFAULT_HOME in plan.notes


@pytest.mark.parametrize("path", AWKWARD)
def test_systemd_quoting_round_trips(path: str) -> None:
    """A quoted command is parsed back unchanged. ``tests/cli/test_install.py`` shows that systemd agrees."""
    command = (path, "-P", "", path)

    assert command == parse_systemd_command(systemd_command(command))


@pytest.mark.parametrize("path", AWKWARD)
def test_desktop_entry_command_is_quoted(tmp_path: Path, path: str) -> None:
    """The command is quoted correctly, whatever characters its path contains."""
    plan = linux.plan(context(tmp_path, systemd=False, program=(path, "-P", "-m", "upstash_helper")))

    text = text_of(plan, "upstash-helper-daemon.desktop")
    assert path == quoting.parse_desktop_entry(text)["TryExec"]
    file = tmp_path / "it.desktop"
    file.write_text(text, encoding="utf-8")
    assert (path, "-P", "-m", "upstash_helper", "run", "--wait-for-port") == control.command_in(file)


@pytest.mark.parametrize("profile", ["default", "tray", "daemon"])
def test_entry_names_are_unique(tmp_path: Path, profile: str) -> None:
    """The entries of daemon and tray, which are in one folder, have different names for every profile."""
    plans = {name: linux.plan(context(tmp_path, systemd=False, profile=name)) for name in ("default", "tray", "daemon")}

    own = {file.path for file in plans.pop(profile).files if file.kind != "document"}
    others = {file.path for plan in plans.values() for file in plan.files if file.kind != "document"}
    assert 2 == len(own)
    assert set() == own & others


def test_note_about_missing_systemd(tmp_path: Path) -> None:
    """Without systemd, a note explains that the desktop starts the daemon and nothing restarts it."""
    plan = linux.plan(context(tmp_path, systemd=False))

    assert ("xdg-autostart", linux.NO_SYSTEMD) == (plan.manager, plan.notes[0])


def test_note_about_missing_systemd_in_wsl(tmp_path: Path) -> None:
    """In WSL, there is usually no desktop either; the note says how to turn systemd on."""
    plan = linux.plan(context(tmp_path, systemd=False, wsl=True))

    assert linux.NO_SYSTEMD_IN_WSL == plan.notes[0]
    assert "systemd=true to /etc/wsl.conf" in plan.notes[0]


@pytest.mark.parametrize("systemd", [True, False])
def test_desktop_entries_are_valid(tmp_path: Path, systemd: bool) -> None:  # noqa: FBT001
    """`desktop-file-validate` accepts the entries with their comments and marker."""
    if sys.platform != "linux":
        pytest.skip("platform: macOS and Windows have no desktop entries")
    validate = shutil.which("desktop-file-validate")
    if validate is None:
        pytest.skip("desktop-file-validate is missing: apt-get install desktop-file-utils")
    for file in linux.plan(context(tmp_path, systemd=systemd)).files:
        if file.path.suffix == ".desktop":
            (tmp_path / file.path.name).write_bytes(file.content)
            ran = subprocess.run([validate, tmp_path / file.path.name], capture_output=True, text=True, check=False)
            assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


def test_systemd_verifies_the_units(tmp_path: Path) -> None:
    """`systemd-analyze verify` reports no warning about the units."""
    if sys.platform != "linux":
        pytest.skip("platform: only Linux has systemd")
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    folder = tmp_path / "units"
    folder.mkdir()
    program = (sys.executable, "-P", "-m", "upstash_helper")
    environment = {"UPSTASH_HELPER_HOME": "/a %h \"b\" 'c' \\d"}
    for file in linux.unit_files(context(tmp_path, profile="work", program=program, environment=environment)):
        (folder / file.path.name).write_bytes(file.content)

    ran = subprocess.run(
        [analyze, "--user", "--man=no", "verify", *sorted(map(str, folder.iterdir()))],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (0, "") == (ran.returncode, ran.stdout + ran.stderr)


def test_units_are_valid_ini_files(tmp_path: Path) -> None:
    """A unit is a valid INI file for `configparser`: all lines are in a section."""
    for file in linux.unit_files(context(tmp_path)):
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
def test_tray_is_started_immediately_on_a_desktop(
    tmp_path: Path,
    changes: dict[str, object],
    started: list[tuple[str, bool]],
    systemd: bool,  # noqa: FBT001
) -> None:
    """The tray is started immediately on a desktop. A running tray is replaced, but only after an upgrade."""
    plan = linux.plan(context(tmp_path, systemd=systemd, **changes))
    trays = [command for command in plan.after_install if not command.waits]

    assert started == [(command.when, "--replace" in command.argv) for command in trays]


@pytest.mark.parametrize(("tray", "written"), [("wanted", True), ("unwanted", False), ("missing", False)])
def test_tray_is_not_installed_if_unwanted_or_missing(tmp_path: Path, tray: str, written: bool) -> None:  # noqa: FBT001
    """The tray is not installed if it is unwanted or its packages are missing, which a note explains."""
    plan = linux.plan(context(tmp_path, tray=tray))

    assert written == any(file.kind == "tray" for file in plan.files)
    assert (tray == "missing") == (linux.TRAY_MISSING in plan.notes)
    assert "upstash-helper[" not in linux.TRAY_MISSING  # that name would be looked up in a package index


def test_started_tray_is_known(tmp_path: Path) -> None:
    """Whether it keeps running is not known, so install looks for it."""
    installer = Installer(linux.plan(context(tmp_path, display=True)), runner=Recorder())

    installer.install()

    assert ["tray"] == [command.argv[4] for command in installer.started]
