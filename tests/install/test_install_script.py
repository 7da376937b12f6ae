"""`install/install.py`, for a user with a home folder whose name has a space, a quote, and a non-ASCII letter."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from install import user_install
from install.environment import ROOT
from install.installers import base_python, python_in
from install.places import Places
from install.user_install import Options
from tests.support.daemon import clean_environment, free_port
from tests.support.other_programs import skip_unless_root
from tests.support.packages import copy_of_checkout, skip_if_offline
from upstash_helper import __version__
from upstash_helper.cli import exit_codes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="platform: links and homes as POSIX has them")

NEWER = "0.1.99"


@dataclass
class User:
    """A user with a home folder and a checkout."""

    home: Path
    checkout: Path

    @property
    def places(self) -> Places:
        """The paths of the installation."""
        return Places(self.home / ".local/share/upstash-helper", self.home / ".local/bin/upstash-helper")

    @property
    def environment(self) -> dict[str, str]:
        """The user's environment, with the package configuration and caches of the user who runs the tests."""
        dropped = ("XDG_", "SUDO_", "PYTHON", "VIRTUAL_ENV", "COVERAGE")
        inherited = {name: text for name, text in clean_environment().items() if not name.startswith(dropped)}
        own = Path.home()
        package_variables = {
            "PIP_CONFIG_FILE": own / ".config/pip/pip.conf",
            "PIP_CACHE_DIR": own / ".cache/pip",
            "UV_CACHE_DIR": own / ".cache/uv",
        }
        added = {name: str(path) for name, path in package_variables.items() if path.exists() and name not in inherited}
        return inherited | added | {"HOME": str(self.home), "UPSTASH_HELPER_CREDENTIAL_STORE": "memory"}

    def script(self, *arguments: str, typed: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script in the checkout. ``typed`` is entered at a terminal."""
        command = [base_python(), str(self.checkout / "install/install.py"), *arguments]
        environment = self.environment | variables
        if typed is None:
            return subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        import pty

        keyboard, terminal = pty.openpty()
        with os.fdopen(keyboard, "wb", buffering=0) as writer:
            writer.write(typed.encode())
            done = subprocess.run(command, env=environment, stdin=terminal, capture_output=True, text=True, check=False)
            os.close(terminal)
        return done

    def program(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        command = [str(self.places.launcher), *arguments]
        return subprocess.run(
            command, env=self.environment | variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd=self.home, timeout=60,
        )  # fmt: skip

    def files(self) -> set[str]:
        """Return everything in the home folder."""
        return {path.relative_to(self.home).as_posix() for path in self.home.rglob("*")}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> User:
    """A user who has run the script, and has moved the checkout afterwards."""
    folder = tmp_path_factory.mktemp("user")
    user = User(folder / "Zoë's home", copy_of_checkout(folder / "a checköut"))
    user.home.mkdir()
    done = user.script("--no-service")
    skip_if_offline(done)
    assert not done.returncode, done.stderr
    assert f"upstash-helper {__version__} is installed: {user.places.launcher}" in done.stderr
    assert "is not on your PATH" in done.stderr
    user.checkout = user.checkout.rename(folder / "moved")
    return user


@pytest.fixture
def user(tmp_path: Path) -> User:
    """A user who has not run the script."""
    user = User(tmp_path / "Zoë's home", ROOT)
    user.home.mkdir()
    return user


def install_fake(places: Places, *, code: int = 0, was_running: bool = False) -> Path:
    """Install a fake program that writes its arguments to a journal. Return the path of the journal."""
    journal = places.data.parent / "journal"
    places.program.parent.mkdir(parents=True)
    (places.venv / "pyvenv.cfg").touch()
    answer = msgspec.json.encode({"was_running": was_running}).decode()
    places.program.write_text(
        f'#!/bin/sh\necho "$*" >> {shlex.quote(str(journal))}\n'
        f"[ \"$1\" = stop ] && echo '{answer}' && exit\nexit {code}\n",
        encoding="utf-8",
    )
    places.program.chmod(stat.S_IRWXU)
    places.launcher.parent.mkdir(parents=True, exist_ok=True)
    places.launcher.symlink_to(places.program)
    return journal


def test_installed_command_runs(installed: User) -> None:
    """
    The command runs without the checkout, and includes the packages for tray and sandbox.
    """
    version = installed.program("--version")
    tray = installed.program("tray", "--check", "--json")
    sandbox = installed.program("sandbox", "serve", "--help")

    assert (0, f"upstash-helper, version {__version__}\n") == (version.returncode, version.stdout)
    assert "tray_not_installed" not in tray.stderr
    assert (0, "") == (sandbox.returncode, sandbox.stderr)
    assert installed.places.launcher.readlink() == installed.places.program


def test_no_other_files_are_created(installed: User) -> None:
    """
    All files are in the data folder, except for the link. The checkout is not changed.
    """
    others = {name for name in installed.files() if not name.startswith(".local/share/upstash-helper/")}

    assert {".local/bin/upstash-helper", ".local/share/upstash-helper"} <= others
    created_by_tools = (".cache", ".rustup", ".local/state")
    assert {".local", ".local/bin", ".local/bin/upstash-helper", ".local/share", ".local/share/upstash-helper"} == {
        name for name in others if not name.startswith(created_by_tools)
    }
    assert not {"build", ".venv", "upstash_helper.egg-info"} & {path.name for path in installed.checkout.iterdir()}


def test_second_run_upgrades_in_place(installed: User) -> None:
    """
    A newer checkout in another folder replaces the program in the same environment, and restarts the daemon.
    """
    port = str(free_port())
    started = installed.program("start", "--json", UPSTASH_HELPER_PORT=port)
    marker = installed.places.venv / "marker"
    marker.touch()
    version_file = installed.checkout / "daemon/upstash_helper/__init__.py"
    version_file.write_text(version_file.read_text().replace(__version__, NEWER), encoding="utf-8")

    done = installed.script("--no-service", UPSTASH_HELPER_PORT=port)
    status = installed.program("status", "--json")
    installed.program("stop")

    assert (0, 0) == (started.returncode, done.returncode), done.stderr
    assert f"upstash-helper, version {NEWER}\n" == installed.program("--version").stdout
    assert marker.exists()
    assert NEWER == msgspec.json.decode(status.stdout)["version"]
    assert msgspec.json.decode(started.stdout)["pid"] != msgspec.json.decode(status.stdout)["pid"]


def test_daemon_that_does_not_stop_is_reported(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The old version keeps running after an upgrade, which must not go unnoticed.
    """
    problem = msgspec.json.encode({"code": "stop_timed_out", "detail": "The daemon did not stop. Kill process 7."})
    install_fake(user.places)
    program = f"#!/bin/sh\necho 'Stopping …' >&2\necho '{problem.decode()}' >&2\nexit 1\n"
    user.places.program.write_text(program, encoding="utf-8")

    was_running = user_install.stop(user.places)

    assert not was_running
    assert "The running daemon was not stopped. The daemon did not stop. Kill process 7.\n" == capsys.readouterr().err


def test_program_that_hangs_is_reported(user: User, capsys: pytest.CaptureFixture[str]) -> None:
    """
    The daemon may still be running after an upgrade, which must not go unnoticed.
    """
    install_fake(user.places)
    user.places.program.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")

    was_running = user_install.stop(user.places, seconds=0.1)

    assert not was_running
    expected = f"The running daemon was not stopped: {user.places.program} did not exit within 0.1 seconds.\n"
    assert expected == capsys.readouterr().err


def test_dry_run_prints_the_steps(user: User) -> None:
    """
    A dry run prints each step on a line, and changes nothing.
    """
    is_root = os.geteuid() == 0
    done = user.script("--dry-run", *(("--no-service",) if is_root else ("--no-tray",)))

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.splitlines() == [
        f"Would create {user.places.venv} with the packages in requirements.txt and a copy of {ROOT}",
        f"Would create {user.places.launcher}, which points to {user.places.program}",
        *(() if is_root else ("Would run: upstash-helper install --no-tray",)),
    ]
    assert set() == user.files()


def test_root_is_refused_before_anything_is_installed(user: User) -> None:
    """
    The service belongs to a user. A dry run foresees that, and the error names the option for the program alone.
    """
    skip_unless_root()
    for arguments in ((), ("--dry-run",)):
        done = user.script(*arguments)

        assert (1, "") == (done.returncode, done.stdout)
        assert "Nothing was installed. The service cannot be installed for root" in done.stderr
        assert "--no-service" in done.stderr
    assert set() == user.files()


def test_existing_launcher_of_another_program_is_an_error(user: User) -> None:
    """
    If another program, for example pipx, has created the launcher, nothing is installed.
    """
    user.places.launcher.parent.mkdir(parents=True)
    user.places.launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    before = user.files()

    for arguments in (("--no-service",), ("--no-service", "--dry-run")):
        done = user.script(*arguments)

        assert 1 == done.returncode
        assert "already exists, and was not created by this script" in done.stderr
        assert "Traceback" not in done.stderr
    assert before == user.files()


def test_folder_that_is_not_an_environment_is_left_alone(user: User) -> None:
    """
    Other files in the environment's folder are not deleted, neither by installing nor by uninstalling.
    """
    file = user.places.venv / "file"
    file.parent.mkdir(parents=True)
    file.touch()

    installation = user.script("--no-service")
    removal = user.script("--uninstall", "--yes")

    assert 1 == installation.returncode
    assert "is not a virtual environment. Move it away" in installation.stderr
    assert "is not installed by this script" in removal.stderr
    assert file.exists()


def test_python_without_venv_names_the_missing_package(user: User, tmp_path: Path) -> None:
    """
    With Debian's Python without `ensurepip`, the missing package is named, and nothing is installed.
    """
    # As on Debian: the module is not found.
    script = (
        "import runpy, sys\n"
        "from importlib.machinery import PathFinder\n"
        "class Bare(PathFinder):\n"
        "    @classmethod\n"
        "    def find_spec(cls, name, path=None, target=None):\n"
        "        return None if name == 'ensurepip' else super().find_spec(name, path, target)\n"
        "sys.meta_path = [Bare if finder is PathFinder else finder for finder in sys.meta_path]\n"
        "path = sys.argv.pop(1)\n"
        "runpy.run_path(path, run_name='__main__')"
    )
    command = [base_python(), "-c", script, str(user.checkout / "install/install.py"), "--no-service"]
    empty = tmp_path / "bin"
    empty.mkdir()

    done = subprocess.run(
        command, env=user.environment | {"PATH": str(empty)}, capture_output=True, text=True, check=False
    )

    assert 1 == done.returncode
    assert "`apt install python3-venv`" in done.stderr
    assert "Traceback" not in done.stderr
    assert set() == user.files()


def test_sudo_is_rejected() -> None:
    """
    With sudo, the helper would be installed in root's home folder.
    """
    skip_unless_root()
    script = [base_python(), str(ROOT / "install/install.py"), "--no-service"]

    done = subprocess.run(script, env=os.environ | {"SUDO_USER": "ann"}, capture_output=True, text=True, check=False)

    assert (1, "Run this without sudo: ") == (done.returncode, done.stderr[:23])


def test_root_can_remove_what_its_own_helper_has_left(user: User) -> None:
    """
    `--uninstall --purge` runs this. With sudo, it would look for the files of root instead of the user's.
    """
    skip_unless_root()
    settings = user.home / ".config/upstash-helper/config.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text("port = 3999\n", encoding="utf-8")
    command = [sys.executable, "-m", "upstash_helper", "uninstall", "--purge", "--yes"]

    by_sudo = user.environment | {"SUDO_USER": "ann"}
    refused = subprocess.run(command, env=by_sudo, capture_output=True, text=True, check=False)
    before = settings.exists()
    done = subprocess.run(command, env=user.environment, capture_output=True, text=True, check=False)

    assert (1, True) == (refused.returncode, before)
    assert (0, False) == (done.returncode, settings.parent.exists()), done.stderr


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--purge",), "--purge requires --uninstall"),
        (("--uninstall", "--purge", "--no-service"), "--purge cannot be used with --no-service"),
        (("--uninstall", "--no-tray"), "--no-tray cannot be used with --uninstall"),
        (("--unknown",), "unrecognized arguments: --unknown"),
        (("--no-serv",), "unrecognized arguments: --no-serv"),
    ],
)
def test_invalid_arguments_are_usage_errors(user: User, arguments: tuple[str, ...], reason: str) -> None:
    """
    Invalid arguments and combinations print the reason and the usage, with the exit code for usage errors.
    """
    done = user.script(*arguments)

    assert exit_codes.USAGE == done.returncode
    assert reason in done.stderr
    assert set() == user.files()


@pytest.mark.parametrize(("options", "expected"), [
    (Options(), ["install"]),
    (Options(tray=False), ["install --no-tray"]),
    (Options(service=False), ["start"]),
])  # fmt: skip
def test_program_installs_its_service(user: User, options: Options, expected: list[str]) -> None:
    """
    The program installs its own service. Without a service, a daemon that was running is started again.
    """
    journal = install_fake(user.places, code=7)

    code = user_install.start(user.places, options, was_running=True)

    assert 7 == code
    assert journal.read_text().splitlines() == expected


def test_daemon_that_was_not_running_is_not_started(user: User) -> None:
    """
    With `--no-service`, a daemon that was not running is not started.
    """
    journal = install_fake(user.places)

    assert 0 == user_install.start(user.places, Options(service=False), was_running=False)
    assert not journal.exists()


@pytest.mark.parametrize(("option", "expected"), [
    ((), ["uninstall --yes", "stop --json"]),
    (("--purge",), ["uninstall --purge --yes", "stop --json"]),
    (("--no-service",), ["stop --json"]),
])  # fmt: skip
def test_program_uninstalls_its_service(user: User, option: tuple[str, ...], expected: list[str]) -> None:
    """
    The program uninstalls its service before it is removed. Afterwards only files of other programs are left.
    """
    journal = install_fake(user.places)
    other = user.places.launcher.with_name("another")
    other.touch()

    done = user.script("--uninstall", "--yes", *option)

    assert 0 == done.returncode, done.stderr
    assert journal.read_text().splitlines() == expected
    journal.unlink()
    assert {".local", ".local/bin", ".local/bin/another", ".local/share"} == user.files()


def test_nothing_is_removed_if_the_service_cannot_be_uninstalled(user: User) -> None:
    """
    If uninstalling the service fails, the program stays, with its exit code and a solution.
    """
    install_fake(user.places, code=4)
    before = user.files()

    done = user.script("--uninstall", "--yes")

    assert 4 == done.returncode
    assert "Nothing was removed" in done.stderr
    assert "--no-service" in done.stderr
    assert user.files() - before == {".local/share/journal"}


def test_uninstalling_asks_for_confirmation(user: User) -> None:
    """
    Uninstalling prints its steps and asks for confirmation. Without a terminal it fails.
    """
    journal = install_fake(user.places)
    before = user.files()

    without_terminal = user.script("--uninstall")
    declined = user.script("--uninstall", typed="n\n")

    assert (1, True) == (without_terminal.returncode, "Pass --yes" in without_terminal.stderr)
    assert (1, True) == (declined.returncode, "Nothing was changed." in declined.stderr)
    assert f"remove {user.places.venv}" in declined.stderr
    assert before == user.files()
    assert 0 == user.script("--uninstall", typed="y\n").returncode
    assert journal.read_text().splitlines() == ["uninstall --yes", "stop --json"]


def test_broken_installation_can_be_removed(user: User) -> None:
    """
    If the environment's Python no longer exists, the program can be removed with `--no-service`.
    """
    places = user.places
    python = python_in(places.venv)
    python.parent.mkdir(parents=True)
    (places.venv / "pyvenv.cfg").touch()
    places.program.write_text(f"#!{places.venv}/bin/no-such-python\n", encoding="utf-8")
    places.program.chmod(stat.S_IRWXU)

    with_service = user.script("--uninstall", "--yes")
    done = user.script("--uninstall", "--yes", "--no-service")

    assert 1 == with_service.returncode
    assert "Cannot start" in with_service.stderr
    assert 0 == done.returncode, done.stderr
    assert not places.data.exists()


def test_uninstalling_removes_everything(installed: User) -> None:
    """
    Uninstalling a real installation removes all its files. A second time prints that nothing is installed.
    """
    planned = installed.script("--uninstall", "--no-service", "--dry-run")
    before = installed.files()
    done = installed.script("--uninstall", "--no-service", "--yes")
    again = installed.script("--uninstall", "--no-service", "--yes")

    assert planned.stdout.splitlines() == [
        f"Would remove {installed.places.launcher}", f"Would remove {installed.places.venv}"
    ]  # fmt: skip
    assert ".local/bin/upstash-helper" in before
    assert (0, 0) == (done.returncode, again.returncode)
    assert "is not installed by this script" in again.stderr
    assert not [name for name in installed.files() if name.startswith((".local/bin/", ".local/share/"))]
    shutil.rmtree(installed.home / ".local/state", ignore_errors=True)
