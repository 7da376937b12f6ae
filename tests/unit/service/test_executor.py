"""Installing and uninstalling on a real disk, with a fake service manager."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.install_context import Recorder, context, listing
from tests.support.platforms import symbolic_links
from upstash_helper.service import managed_files, planner
from upstash_helper.service.context import InstallContext
from upstash_helper.service.executor import Executor, Installer, Uninstaller, run
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
        self.daemon_stops = 0

    def context(self, **changes: Any) -> InstallContext:
        """Return the install context of this home, with some fields changed."""
        return context(self.folder, **changes)

    def install(self, target: InstallContext | None = None, **options: Any) -> Executor:
        """Install."""
        plan = planner.plan(target or self.context())
        executor = Installer(plan, runner=self.manager, stop_daemon=self._stop_daemon, **options)
        executor.install()
        return executor

    def uninstall(self, target: InstallContext | None = None, *, purge: bool = False, **options: Any) -> Executor:
        """Uninstall."""
        plan = planner.whole_plan(target or self.context())
        executor = Uninstaller(plan, runner=self.manager, stop_daemon=self._stop_daemon, **options)
        executor.uninstall(purge=purge)
        return executor

    def enable(self) -> None:
        """Create the links that systemd creates, except on Windows, where links require privileges."""
        if sys.platform == "win32":
            return
        for target, unit in (("sockets.target", "socket"), ("graphical-session.target", "service")):
            folder = self.folder / ".config/systemd/user" / f"{target}.wants"
            folder.mkdir()
            (folder / f"upstash-helper.{unit}").symlink_to(f"../upstash-helper.{unit}")

    @property
    def files(self) -> list[str]:
        """The files and links in the home folder."""
        return listing(self.folder)

    def _stop_daemon(self) -> None:
        self.daemon_stops += 1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home folder with a file of the user."""
    (tmp_path / "notes.txt").write_text("mine")
    return Home(tmp_path)


def actions(executor: Executor) -> list[str]:
    """Return the actions of the executor's steps."""
    return [step.action for step in executor.steps]


def test_install_writes_and_starts_everything(home: Home) -> None:
    """The commands are in the order that systemd needs. A daemon not started by systemd is stopped first."""
    home.install()

    assert [TRAY, SERVICE, SOCKET, BASH, MAN, "notes.txt"] == home.files
    assert ["stop", "daemon-reload", "enable", "enable", "reset-failed", "start"] == [it[2] for it in home.manager.ran]
    assert 1 == home.daemon_stops


def test_installing_twice_does_nothing(home: Home) -> None:
    """The second time, nothing is written, run, or stopped."""
    home.install()
    before = {path: (home.folder / path).stat().st_mtime_ns for path in home.files}
    home.manager.ran.clear()

    again = home.install()

    assert ([], [], 1) == (again.steps, home.manager.ran, home.daemon_stops)
    assert before == {path: (home.folder / path).stat().st_mtime_ns for path in home.files}


def test_upgrade_rewrites_the_units_and_restarts(home: Home) -> None:
    """Files with the program's path are rewritten, and files that did not change are not."""
    home.install()
    home.manager.ran.clear()
    upgraded = home.context(program=("/opt/next/bin/python", "-P", "-m", "upstash_helper"))

    done = home.install(upgraded)

    assert ["run", "replace", "replace", "run", "run", "run"] == actions(done)
    assert ["stop", "daemon-reload", "reset-failed", "start"] == [it[2] for it in home.manager.ran]
    assert '"/opt/next/bin/python"' in (home.folder / SERVICE).read_text()
    assert "/opt/next/bin/python" in (home.folder / TRAY).read_text()


def test_new_version_at_the_same_path_is_restarted(home: Home) -> None:
    """After `pipx upgrade`, the daemon is restarted."""
    home.install()
    home.manager.ran.clear()

    done = home.install(home.context(version="99.0"))

    assert ["run", "replace", "run", "run", "run"] == actions(done)
    assert ["stop", "daemon-reload", "reset-failed", "start"] == [it[2] for it in home.manager.ran]


def test_dry_run_shows_all_steps_and_changes_nothing(home: Home) -> None:
    """A dry run reports the same steps as a real one."""
    planned = home.install(dry=True)

    assert (["notes.txt"], [], 0) == (home.files, home.manager.ran, home.daemon_stops)
    real = home.install()
    upgraded = home.context(version="99.0")
    assert planned.steps == real.steps
    assert home.install(upgraded, dry=True).steps == home.install(upgraded).steps


def test_modified_unit_is_not_overwritten(home: Home) -> None:
    """Installing fails with the file's name and a solution, before any other step."""
    home.install()
    unit = home.folder / SERVICE
    unit.write_text(unit.read_text().replace("RestartSec=2", "RestartSec=99"))
    home.manager.ran.clear()

    with pytest.raises(ServiceError, match=r"upstash-helper\.service was changed manually .*--force") as caught:
        home.install(home.context(port=3999))

    assert ("changed_by_hand", []) == (caught.value.code, home.manager.ran)
    assert "RestartSec=99" in unit.read_text()


def test_force_keeps_a_backup(home: Home) -> None:
    """With `force`, a modified unit is replaced, and a backup is kept under a name that systemd ignores."""
    home.install()
    unit = home.folder / SERVICE
    changed = unit.read_text().replace("RestartSec=2", "RestartSec=99")
    unit.write_text(changed)

    home.install(force=True)

    assert changed == (home.folder / f"{SERVICE}.bak").read_text()
    assert "RestartSec=2\n" in unit.read_text()


def test_foreign_completion_is_left_alone(home: Home) -> None:
    """A completion script not written by install is not replaced or removed, with a note. The rest is installed."""
    theirs = home.folder / BASH
    theirs.parent.mkdir(parents=True)
    theirs.write_text("complete -F _mine upstash-helper\n")

    done = home.install()
    removed = home.uninstall()

    assert "complete -F _mine upstash-helper\n" == theirs.read_text()
    assert any(str(Path(BASH)) in text for text in done.notes)
    assert any(str(Path(BASH)) in text for text in removed.notes)


def test_disabled_tray_entry_stays_disabled(home: Home) -> None:
    """A tray entry that the desktop has disabled is not replaced, but is removed by uninstall."""
    home.install()
    entry = home.folder / TRAY
    entry.write_text(entry.read_text().replace("Autostart-enabled=true", "Autostart-enabled=false"))

    home.install(home.context(port=3999))
    kept = entry.read_text()
    home.uninstall()

    assert "Autostart-enabled=false" in kept
    assert ["notes.txt"] == home.files


def test_service_of_another_home_is_not_touched(home: Home, tmp_path: Path) -> None:
    """The units of another home, which have the same names, are not changed by install or uninstall."""
    home.install()
    home.enable()
    other = home.context(root=tmp_path / "other", environment={"UPSTASH_HELPER_HOME": str(tmp_path / "other")})
    before = home.files

    with pytest.raises(ServiceError, match="another UPSTASH_HELPER_HOME"):
        home.install(other)
    home.manager.ran.clear()
    removed = home.uninstall(other)

    assert {SERVICE, SOCKET} <= set(home.files)
    assert [path for path in before if ".wants/" in path] == [path for path in home.files if ".wants/" in path]
    assert any("another UPSTASH_HELPER_HOME" in text for text in removed.notes)
    assert [] == home.manager.ran


def test_uninstall_restores_the_previous_state(home: Home) -> None:
    """Uninstall also removes the empty folders that install created."""
    before = sorted(home.folder.rglob("*"))
    home.install()
    home.enable()

    home.uninstall()

    left = set(home.folder.rglob("*")) - set(before)
    assert {".config", ".local", ".local/share"} == {path.relative_to(home.folder).as_posix() for path in left}


def test_uninstalling_twice_does_nothing(home: Home) -> None:
    """The second time, there is nothing to do."""
    home.install()
    home.uninstall()
    home.manager.ran.clear()

    assert ([], []) == (home.uninstall().steps, home.manager.ran)


@pytest.mark.parametrize("present", [SOCKET, SERVICE, TRAY, BASH, MAN])
def test_incomplete_installation_can_be_uninstalled(home: Home, present: str) -> None:
    """Whichever files exist, they are removed, including a temporary file."""
    home.install()
    home.enable()
    for path in home.files:
        if path not in {present, "notes.txt"} and ".wants/" not in path:
            (home.folder / path).unlink()
    temporary_files = home.folder / ".config/systemd/user/.upstash-helper-ab12_cd3"
    temporary_files.write_text("[Unit")

    home.uninstall()

    assert ["notes.txt"] == home.files


def test_interrupted_installation_is_completed_by_the_next(home: Home) -> None:
    """A failed command is reported with its output, and installing again continues."""
    home.manager.failing = ["start"]
    with pytest.raises(ServiceError, match=r"start .*upstash-helper\.service` failed with code 1: no"):
        home.install()
    home.manager.failing, home.manager.ran = [], []

    home.install()

    assert [("systemctl", "--user", "start", "upstash-helper.service")] == [
        it for it in home.manager.ran if it[2] == "start"
    ]


def test_modified_unit_is_kept_as_a_backup(home: Home) -> None:
    """Uninstall keeps a backup of a modified unit, and drop-ins, unless everything is purged."""
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
    assert any("override" in text or str(Path(f"{SERVICE}.d")) in text for text in kept.notes)
    assert ["notes.txt"] == home.files


def test_documents_are_kept_while_another_profile_is_installed(home: Home) -> None:
    """Completions and man pages are shared by all profiles."""
    home.install()
    home.install(home.context(profile="work"))

    first = home.uninstall()
    between = home.files
    home.uninstall(home.context(profile="work"))

    assert {BASH, MAN} <= set(between)
    assert any("upstash-helper-work" in text for text in first.notes)
    assert ["notes.txt"] == home.files


def test_man_page_of_an_older_version_is_removed(home: Home) -> None:
    """Man pages that this version does not have are also removed."""
    home.install(home.context(documents={"man/man1/upstash-helper-old.1": ".TH\n"}))

    home.uninstall()

    assert ["notes.txt"] == home.files


def test_units_replace_the_autostart_entry(home: Home) -> None:
    """If systemd becomes available, install removes the autostart entry, so that the daemon is not started twice."""
    home.install(home.context(systemd=False))
    with_entry = home.files

    home.install()
    with_units = home.files
    home.uninstall()

    entry = ".config/autostart/upstash-helper-daemon.desktop"
    assert (True, False) == (entry in with_entry, entry in with_units)
    assert ["notes.txt"] == home.files


def test_uninstall_without_a_reachable_manager(home: Home) -> None:
    """If systemd cannot be reached, files and links are removed, and no command is run."""
    home.install()
    home.enable()
    home.manager.ran.clear()

    home.uninstall(home.context(systemd=False))

    assert (["notes.txt"], []) == (home.files, home.manager.ran)


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_uninstall_on_other_platforms(home: Home, platform: Any) -> None:
    """Uninstall also removes everything on macOS and Windows. Their commands are only recorded."""
    target = home.context(platform=platform, systemd=False)

    home.install(target)
    installed = home.files
    again = home.install(replace(target, daemon_running=True, tray_running=True))
    home.uninstall(target)

    assert len(installed) > 1
    assert [] == again.steps
    assert ["notes.txt"] == [path for path in home.files if not path.endswith("start.log")]


@symbolic_links
def test_symbolic_link_in_place_of_a_unit_is_not_followed(home: Home, tmp_path: Path) -> None:
    """A symbolic link is replaced only with `force`, and its target is not changed."""
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
def test_marker_detects_modified_and_foreign_files(tmp_path: Path, ending: str) -> None:
    """The marker works in every format, and in the encoding of Windows."""
    text = managed_files.with_marker("first\nsecond\n", extension=ending, home_id="usual")
    file = tmp_path / f"file{ending}"
    states = []
    for content in (
        text.encode(),
        text.replace("\n", "\r\n").encode("utf-16"),
        text.replace("first", "other").encode(),
        (text + "more\n").encode(),
        b"first\n",
        b"\xff\x00\xfa",
    ):
        file.write_bytes(content)
        states.append(managed_files.inspect(file).ownership)

    assert ["unmodified", "unmodified", "modified", "foreign", "foreign", "foreign"] == states

    assert "absent" == managed_files.inspect(tmp_path / "none").ownership


def test_marker_of_an_earlier_version_is_recognized(tmp_path: Path) -> None:
    """An upgrade replaces the files of an earlier version, so the marker's format must not change."""
    digest = "ae6c63cff33bcfa3b6a2d6d0c9dd19521dedaa351146b1a642d2bfc9cf5a1e1f"
    file = tmp_path / "upstash-helper.service"
    for home_id in ("usual", "0123456789ab"):
        file.write_text(f"[Unit]\n# Written by upstash-helper install (world {home_id}, sha256 {digest})\n")

        assert managed_files.FileState("unmodified", home_id) == managed_files.inspect(file)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
def test_no_other_user_can_write_to_the_folders_of_an_installation(home: Home) -> None:
    """
    Folders that `install` creates are the user's alone, whatever the umask: another user could replace a unit there.
    """
    before = os.umask(0)
    try:
        home.install()
    finally:
        os.umask(before)

    folders = [each for each in home.folder.rglob("*") if each.is_dir()]
    assert [0o700] * len(folders) == [stat.S_IMODE(each.stat().st_mode) for each in folders]
    assert folders


def test_warning_does_not_hide_the_output() -> None:
    """A command that succeeds is read for what it reports; of one that fails, the error is shown."""
    code = "import sys; print('the output'); print('a warning', file=sys.stderr); sys.exit(int(sys.argv[1]))"

    outputs = [run((sys.executable, "-c", code, exit_code), environment={}) for exit_code in ("0", "3")]

    assert [(0, "the output"), (3, "a warning")] == outputs


@pytest.mark.skipif(sys.platform != "win32", reason="platform: elsewhere the encoding is the locale's")
def test_errors_of_task_scheduler_are_readable() -> None:
    """Its programs write in the code page of consoles, which is another one than that of windows."""
    code = "import sys; sys.stdout.buffer.write('ungültig'.encode('oem'))"

    assert (0, "ungültig") == run((sys.executable, "-c", code), environment={})
