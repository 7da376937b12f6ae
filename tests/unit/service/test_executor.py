"""Carrying plans out and taking them back: on a real disk, with a service manager that is only told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_facts import Recorder, facts, listing
from upstash_helper.service import managed_files, planner
from upstash_helper.service.executor import Execution, Installer, Uninstaller
from upstash_helper.service.facts import Facts
from upstash_helper.service.plan import ServiceError

SERVICE = ".config/systemd/user/upstash-helper.service"
SOCKET = ".config/systemd/user/upstash-helper.socket"
TRAY = ".config/autostart/upstash-helper-tray.desktop"
BASH = ".local/share/bash-completion/completions/upstash-helper"
MAN = ".local/share/man/man1/upstash-helper.1"


class Home:
    """A user's home folder and service manager."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manager = Recorder()
        self.halts = 0

    def facts(self, **changes: Any) -> Facts:
        """Return facts about it."""
        return facts(self.folder, **changes)

    def install(self, found: Facts | None = None, **options: Any) -> Execution:
        """Install."""
        plan = planner.plan(found or self.facts())
        execution = Installer(plan, runner=self.manager, halt=self._halt, **options)
        execution.install()
        return execution

    def uninstall(self, found: Facts | None = None, *, purge: bool = False, **options: Any) -> Execution:
        """Uninstall."""
        plan = planner.whole_plan(found or self.facts())
        execution = Uninstaller(plan, runner=self.manager, halt=self._halt, **options)
        execution.uninstall(purge=purge)
        return execution

    def enable(self) -> None:
        """Make the links that systemd makes."""
        for target, unit in (("sockets.target", "socket"), ("graphical-session.target", "service")):
            folder = self.folder / ".config/systemd/user" / f"{target}.wants"
            folder.mkdir()
            (folder / f"upstash-helper.{unit}").symlink_to(f"../upstash-helper.{unit}")

    @property
    def files(self) -> list[str]:
        """What is in it."""
        return listing(self.folder)

    def _halt(self) -> None:
        self.halts += 1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home folder with a file of its user's own."""
    (tmp_path / "notes.txt").write_text("mine")
    return Home(tmp_path)


def actions(execution: Execution) -> list[str]:
    """Return what was done."""
    return [step.action for step in execution.steps]


def test_everything_is_written_and_started(home: Home) -> None:
    """In the order in which a service manager needs it; a daemon that ran outside of it is stopped first."""
    home.install()

    assert [TRAY, SERVICE, SOCKET, BASH, MAN, "notes.txt"] == home.files
    assert ["stop", "daemon-reload", "enable", "enable", "reset-failed", "start"] == [it[2] for it in home.manager.ran]
    assert 1 == home.halts


def test_a_second_time_nothing_is_done(home: Home) -> None:
    """Nothing is written, run or stopped."""
    home.install()
    before = {path: (home.folder / path).stat().st_mtime_ns for path in home.files}
    home.manager.ran.clear()

    again = home.install()

    assert ([], [], 1) == (again.steps, home.manager.ran, home.halts)
    assert before == {path: (home.folder / path).stat().st_mtime_ns for path in home.files}


def test_an_upgrade_writes_the_units_anew_and_restarts(home: Home) -> None:
    """With the program's new path; what did not change is left alone."""
    home.install()
    home.manager.ran.clear()
    upgraded = home.facts(program=("/opt/next/bin/python", "-P", "-m", "upstash_helper"))

    done = home.install(upgraded)

    assert ["run", "replace", "replace", "run", "run", "run"] == actions(done)
    assert ["stop", "daemon-reload", "reset-failed", "start"] == [it[2] for it in home.manager.ran]
    assert '"/opt/next/bin/python"' in (home.folder / SERVICE).read_text()
    assert "/opt/next/bin/python" in (home.folder / TRAY).read_text()


def test_a_new_version_at_the_same_place_is_restarted(home: Home) -> None:
    """As after `pipx upgrade`; the daemon of before would run on otherwise."""
    home.install()
    home.manager.ran.clear()

    done = home.install(home.facts(version="99.0"))

    assert ["run", "replace", "run", "run", "run"] == actions(done)
    assert ["stop", "daemon-reload", "reset-failed", "start"] == [it[2] for it in home.manager.ran]


def test_a_dry_run_changes_nothing_and_shows_everything(home: Home) -> None:
    """Including the commands."""
    shown = home.install(dry=True)

    assert (["notes.txt"], [], 0) == (home.files, home.manager.ran, home.halts)
    real = home.install()
    upgraded = home.facts(version="99.0")
    assert shown.steps == real.steps
    assert home.install(upgraded, dry=True).steps == home.install(upgraded).steps


def test_a_unit_that_was_changed_by_hand_is_not_overwritten(home: Home) -> None:
    """The user is told which, and what to do; nothing else is done either."""
    home.install()
    unit = home.folder / SERVICE
    unit.write_text(unit.read_text().replace("RestartSec=2", "RestartSec=99"))
    home.manager.ran.clear()

    with pytest.raises(ServiceError, match=r"upstash-helper\.service was changed by hand .*--force") as told:
        home.install(home.facts(port=3999))

    assert ("changed_by_hand", []) == (told.value.code, home.manager.ran)
    assert "RestartSec=99" in unit.read_text()


def test_with_force_a_copy_of_what_was_changed_is_kept(home: Home) -> None:
    """Under a name that systemd does not read."""
    home.install()
    unit = home.folder / SERVICE
    changed = unit.read_text().replace("RestartSec=2", "RestartSec=99")
    unit.write_text(changed)

    home.install(force=True)

    assert changed == (home.folder / f"{SERVICE}.bak").read_text()
    assert "RestartSec=2\n" in unit.read_text()


def test_a_completion_of_somebody_elses_is_left_alone(home: Home) -> None:
    """The rest is installed, and the user is told."""
    theirs = home.folder / BASH
    theirs.parent.mkdir(parents=True)
    theirs.write_text("complete -F _mine upstash-helper\n")

    done = home.install()
    gone = home.uninstall()

    assert "complete -F _mine upstash-helper\n" == theirs.read_text()
    assert any(BASH in text for text in done.notes)
    assert any(BASH in text for text in gone.notes)


def test_a_tray_that_the_user_switched_off_stays_off(home: Home) -> None:
    """Desktops write that into the entry; it goes all the same when everything goes."""
    home.install()
    entry = home.folder / TRAY
    entry.write_text(entry.read_text().replace("Autostart-enabled=true", "Autostart-enabled=false"))

    home.install(home.facts(port=3999))
    kept = entry.read_text()
    home.uninstall()

    assert "Autostart-enabled=false" in kept
    assert ["notes.txt"] == home.files


def test_another_worlds_service_is_not_touched(home: Home, tmp_path: Path) -> None:
    """Neither by install nor by uninstall, for the units have the same names."""
    home.install()
    home.enable()
    other = home.facts(root=tmp_path / "other", environment={"UPSTASH_HELPER_HOME": str(tmp_path / "other")})
    before = home.files

    with pytest.raises(ServiceError, match="another UPSTASH_HELPER_HOME"):
        home.install(other)
    home.manager.ran.clear()
    gone = home.uninstall(other)

    assert {SERVICE, SOCKET} <= set(home.files)
    assert [path for path in before if ".wants/" in path] == [path for path in home.files if ".wants/" in path]
    assert any("another UPSTASH_HELPER_HOME" in text for text in gone.notes)
    assert [] == home.manager.ran


def test_uninstalling_leaves_what_was_there_before(home: Home) -> None:
    """And no empty folder of ours."""
    before = sorted(home.folder.rglob("*"))
    home.install()
    home.enable()

    home.uninstall()

    left = set(home.folder.rglob("*")) - set(before)
    assert {".config", ".local", ".local/share"} == {str(path.relative_to(home.folder)) for path in left}


def test_uninstalling_twice_is_no_mistake(home: Home) -> None:
    """The second time there is nothing to do."""
    home.install()
    home.uninstall()
    home.manager.ran.clear()

    assert ([], []) == (home.uninstall().steps, home.manager.ran)


@pytest.mark.parametrize("present", [SOCKET, SERVICE, TRAY, BASH, MAN])
def test_half_an_installation_can_be_removed(home: Home, present: str) -> None:
    """Whatever was written last when it was cut short; a file that was being written, too."""
    home.install()
    home.enable()
    for path in home.files:
        if path not in {present, "notes.txt"} and ".wants/" not in path:
            (home.folder / path).unlink()
    debris = home.folder / ".config/systemd/user/.upstash-helper-ab12_cd3"
    debris.write_text("[Unit")

    home.uninstall()

    assert ["notes.txt"] == home.files


def test_an_installation_that_was_cut_short_is_finished_by_the_next(home: Home) -> None:
    """A command that fails is told with what it said."""
    home.manager.failing = ["start"]
    with pytest.raises(ServiceError, match=r"start .*upstash-helper\.service` failed with code 1: no"):
        home.install()
    home.manager.failing, home.manager.ran = [], []

    home.install()

    assert [("systemctl", "--user", "start", "upstash-helper.service")] == [
        it for it in home.manager.ran if it[2] == "start"
    ]


def test_a_changed_unit_survives_as_a_copy(home: Home) -> None:
    """What the user wrote is not thrown away, unless everything is to go."""
    home.install()
    unit = home.folder / SERVICE
    unit.write_text(unit.read_text().replace("RestartSec=2", "RestartSec=99"))
    drop_in = home.folder / f"{SERVICE}.d" / "override.conf"
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\n")

    kept = home.uninstall()
    files = home.files
    home.uninstall(purge=True)

    assert [f"{SERVICE}.bak", f"{SERVICE}.d/override.conf", "notes.txt"] == files
    assert any("override" in text or f"{SERVICE}.d" in text for text in kept.notes)
    assert ["notes.txt"] == home.files


def test_completions_stay_as_long_as_another_profile_is_installed(home: Home) -> None:
    """They are for all profiles."""
    home.install()
    home.install(home.facts(profile="work"))

    first = home.uninstall()
    between = home.files
    home.uninstall(home.facts(profile="work"))

    assert {BASH, MAN} <= set(between)
    assert any("upstash-helper-work" in text for text in first.notes)
    assert ["notes.txt"] == home.files


def test_a_man_page_of_an_older_version_goes_too(home: Home) -> None:
    """Though this version has none of that name."""
    home.install(home.facts(documents={"man/man1/upstash-helper-old.1": ".TH\n"}))

    home.uninstall()

    assert ["notes.txt"] == home.files


def test_systemd_takes_the_place_of_the_desktops_entry(home: Home) -> None:
    """On a machine that got it since: the daemon is not started twice. And both can be removed."""
    home.install(home.facts(systemd=False))
    with_entry = home.files

    home.install()
    with_units = home.files
    home.uninstall()

    entry = ".config/autostart/upstash-helper-daemon.desktop"
    assert (True, False) == (entry in with_entry, entry in with_units)
    assert ["notes.txt"] == home.files


def test_without_a_manager_that_could_be_asked_everything_goes_all_the_same(home: Home) -> None:
    """As when systemd's user manager cannot be reached: files and links are removed, no command is run."""
    home.install()
    home.enable()
    home.manager.ran.clear()

    home.uninstall(home.facts(systemd=False))

    assert (["notes.txt"], []) == (home.files, home.manager.ran)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_the_other_platforms_leave_nothing_either(home: Home, platform: Any) -> None:
    """Their commands are only told here."""
    found = home.facts(platform=platform, systemd=False)

    home.install(found)
    installed = home.files
    again = home.install(replace(found, daemon_running=True, tray_running=True))
    home.uninstall(found)

    assert len(installed) > 1
    assert [] == again.steps
    assert ["notes.txt"] == [path for path in home.files if not path.endswith("start.log")]


def test_a_link_in_the_place_of_a_unit_is_not_followed(home: Home, tmp_path: Path) -> None:
    """It may lead anywhere."""
    target = tmp_path / "target"
    target.write_text("theirs")
    unit = home.folder / SERVICE
    unit.parent.mkdir(parents=True)
    unit.symlink_to(target)

    with pytest.raises(ServiceError, match="was not written by install"):
        home.install()
    home.install(force=True)

    assert "theirs" == target.read_text()
    assert not unit.is_symlink()


@pytest.mark.parametrize("ending", [".service", ".desktop", ".plist", ".xml", ".1", ""])
def test_the_mark_knows_its_own_file_from_a_changed_one(tmp_path: Path, ending: str) -> None:
    """In every format, and in the encoding of Windows."""
    text = managed_files.marked("first\nsecond\n", ending=ending, world="usual")
    file = tmp_path / f"file{ending}"
    seen = []
    for content in (
        text.encode(),
        text.replace("\n", "\r\n").encode("utf-16"),
        text.replace("first", "other").encode(),
        (text + "more\n").encode(),
        b"first\n",
        b"\xff\x00\xfa",
    ):
        file.write_bytes(content)
        seen.append(managed_files.look(file).whose)

    assert ["ours", "ours", "changed", "foreign", "foreign", "foreign"] == seen
    assert "absent" == managed_files.look(tmp_path / "none").whose
