"""`install/install.py`, run for real, for a user whose home has a space, a quote and a letter that is not ASCII."""

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
from install.user_install import Wishes
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
        """Where the installation goes."""
        return Places(self.home / ".local/share/upstash-helper", self.home / ".local/bin/upstash-helper")

    @property
    def environment(self) -> dict[str, str]:
        """The user's, but for where this machine has its packages: that is configured for whoever runs the tests."""
        dropped = ("XDG_", "SUDO_", "PYTHON", "VIRTUAL_ENV", "COVERAGE")
        inherited = {name: text for name, text in clean_environment().items() if not name.startswith(dropped)}
        own = Path.home()
        configured = {
            "PIP_CONFIG_FILE": own / ".config/pip/pip.conf",
            "PIP_CACHE_DIR": own / ".cache/pip",
            "UV_CACHE_DIR": own / ".cache/uv",
        }
        there = {name: str(path) for name, path in configured.items() if path.exists() and name not in inherited}
        return inherited | there | {"HOME": str(self.home), "UPSTASH_HELPER_CREDENTIAL_STORE": "memory"}

    def script(self, *arguments: str, typed: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script of the checkout; ``typed`` is typed at a terminal."""
        command = [base_python(), str(self.checkout / "install/install.py"), *arguments]
        environment = self.environment | variables
        if typed is None:
            return subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
            )
        import pty

        mine, its = pty.openpty()
        with os.fdopen(mine, "wb", buffering=0) as keyboard:
            keyboard.write(typed.encode())
            done = subprocess.run(command, env=environment, stdin=its, capture_output=True, text=True, check=False)
            os.close(its)
        return done

    def program(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run what was installed, as a shell finds it."""
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
    """A user who has run the script, and has moved the checkout since."""
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
    """A user who has not."""
    user = User(tmp_path / "Zoë's home", ROOT)
    user.home.mkdir()
    return user


def noting(places: Places, *, code: int = 0, was_running: bool = False) -> Path:
    """Put a program in place of the helper that notes how it is called. Return the file with its notes."""
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


def test_what_is_installed_runs(installed: User) -> None:
    """
    The command is found, without the checkout that it came from, and has what the icon and the sandbox need.
    """
    version = installed.program("--version")
    tray = installed.program("tray", "--check", "--json")
    sandbox = installed.program("sandbox", "--help")

    assert (0, f"upstash-helper, version {__version__}\n") == (version.returncode, version.stdout)
    assert "tray_not_installed" not in tray.stderr
    assert (0, "") == (sandbox.returncode, sandbox.stderr)
    assert installed.places.launcher.readlink() == installed.places.program


def test_nothing_else_is_touched(installed: User) -> None:
    """
    All of it is below the data folder, but for the link; and the checkout is as it was.
    """
    others = {name for name in installed.files() if not name.startswith(".local/share/upstash-helper/")}

    assert {".local/bin/upstash-helper", ".local/share/upstash-helper"} <= others
    kept_by_tools = (".cache", ".rustup", ".local/state")
    assert {".local", ".local/bin", ".local/bin/upstash-helper", ".local/share", ".local/share/upstash-helper"} == {
        name for name in others if not name.startswith(kept_by_tools)
    }
    assert not {"build", ".venv", "upstash_helper.egg-info"} & {path.name for path in installed.checkout.iterdir()}


def test_again_is_an_upgrade_in_place(installed: User) -> None:
    """
    A newer checkout, in another folder, replaces the program in the same environment; a daemon that ran runs again.
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


def test_a_dry_run_says_what_it_would_do(user: User) -> None:
    """
    Each step on a line, and nothing is made.
    """
    done = user.script("--dry-run", "--no-tray")

    assert (0, "") == (done.returncode, done.stderr)
    assert done.stdout.splitlines() == [
        f"Would make {user.places.venv}, with what requirements.txt pins and a copy of {ROOT}",
        f"Would make {user.places.launcher}, which leads to {user.places.program}",
        "Would run: upstash-helper install --no-tray",
    ]
    assert set() == user.files()


def test_another_programs_launcher_stops_it_before_anything_is_made(user: User) -> None:
    """
    A command of the same name, from pipx for example, is no reason to install a second that nobody would find.
    """
    user.places.launcher.parent.mkdir(parents=True)
    user.places.launcher.write_text("#!/bin/sh\n", encoding="utf-8")
    before = user.files()

    for arguments in (("--no-service",), ("--dry-run",)):
        done = user.script(*arguments)

        assert 1 == done.returncode
        assert "is there already, and not from this script" in done.stderr
        assert "Traceback" not in done.stderr
    assert before == user.files()


def test_a_folder_that_is_no_environment_is_left_alone(user: User) -> None:
    """
    Somebody's files at the place of the environment are not deleted, neither on the way in nor out.
    """
    precious = user.places.venv / "precious"
    precious.parent.mkdir(parents=True)
    precious.touch()

    came = user.script("--no-service")
    went = user.script("--uninstall", "--yes")

    assert 1 == came.returncode
    assert "is no virtual environment: move it away" in came.stderr
    assert "Nothing of upstash-helper is installed here" in went.stderr
    assert precious.exists()


def test_a_python_that_cannot_make_environments_is_told_what_is_missing(user: User, tmp_path: Path) -> None:
    """
    Debian's Python comes without what makes environments: the package that adds it is named, and nothing is made.
    """
    # As there: the module is not found.
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


def test_sudo_is_refused() -> None:
    """
    Who types sudo by habit would get it into root's home.
    """
    skip_unless_root()
    script = [base_python(), str(ROOT / "install/install.py"), "--no-service"]

    done = subprocess.run(script, env=os.environ | {"SUDO_USER": "ann"}, capture_output=True, text=True, check=False)

    assert (1, "Run this without sudo: ") == (done.returncode, done.stderr[:23])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--purge",), "--purge goes with --uninstall"),
        (("--uninstall", "--purge", "--no-service"), "--purge is the program's own work"),
        (("--uninstall", "--no-tray"), "leave --no-tray out"),
        (("--unknown",), "unrecognized arguments: --unknown"),
        (("--no-serv",), "unrecognized arguments: --no-serv"),
    ],
)
def test_wishes_that_make_no_sense_are_told(user: User, arguments: tuple[str, ...], reason: str) -> None:
    """
    With the reason, the usage, and the exit code for it.
    """
    done = user.script(*arguments)

    assert exit_codes.USAGE == done.returncode
    assert reason in done.stderr
    assert set() == user.files()


@pytest.mark.parametrize(("wishes", "expected"), [
    (Wishes(), ["install"]),
    (Wishes(tray=False), ["install --no-tray"]),
    (Wishes(service=False), ["start"]),
])  # fmt: skip
def test_the_program_sets_up_what_starts_it(user: User, wishes: Wishes, expected: list[str]) -> None:
    """
    Units, agents and the like are its own command's work; without them a daemon that was running is started again.
    """
    journal = noting(user.places, code=7)

    code = user_install.begin(user.places, wishes, was_running=True)

    assert 7 == code
    assert journal.read_text().splitlines() == expected


def test_a_program_that_did_not_run_is_not_started(user: User) -> None:
    """
    --no-service puts the program in place, and no more.
    """
    journal = noting(user.places)

    assert 0 == user_install.begin(user.places, Wishes(service=False), was_running=False)
    assert not journal.exists()


@pytest.mark.parametrize(("option", "expected"), [
    ((), ["uninstall --yes", "stop --json"]),
    (("--purge",), ["uninstall --purge --yes", "stop --json"]),
    (("--no-service",), ["stop --json"]),
])  # fmt: skip
def test_the_program_takes_down_what_it_set_up(user: User, option: tuple[str, ...], expected: list[str]) -> None:
    """
    Before it is removed; afterwards nothing of the installation is left, and what is another's is.
    """
    journal = noting(user.places)
    theirs = user.places.launcher.with_name("another")
    theirs.touch()

    done = user.script("--uninstall", "--yes", *option)

    assert 0 == done.returncode, done.stderr
    assert journal.read_text().splitlines() == expected
    journal.unlink()
    assert {".local", ".local/bin", ".local/bin/another", ".local/share"} == user.files()


def test_nothing_is_removed_while_something_would_still_start_it(user: User) -> None:
    """
    If the program cannot take down its units, it stays, with its exit code and a way out.
    """
    noting(user.places, code=4)
    before = user.files()

    done = user.script("--uninstall", "--yes")

    assert 4 == done.returncode
    assert "Nothing was removed" in done.stderr
    assert "--no-service" in done.stderr
    assert user.files() - before == {".local/share/journal"}


def test_removing_asks_first(user: User) -> None:
    """
    Without a terminal it does not go on; at one it says what it will do, and takes no for an answer.
    """
    journal = noting(user.places)
    before = user.files()

    unasked = user.script("--uninstall")
    refused = user.script("--uninstall", typed="n\n")

    assert (1, True) == (unasked.returncode, "Pass --yes" in unasked.stderr)
    assert (1, True) == (refused.returncode, "Nothing was changed." in refused.stderr)
    assert f"remove {user.places.venv}" in refused.stderr
    assert before == user.files()
    assert 0 == user.script("--uninstall", typed="y\n").returncode
    assert journal.read_text().splitlines() == ["uninstall --yes", "stop --json"]


def test_a_broken_installation_is_removed_as_well(user: User) -> None:
    """
    Where the environment's Python is gone, nothing can be asked of the program.
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
    assert "could not be started" in with_service.stderr
    assert 0 == done.returncode, done.stderr
    assert not places.data.exists()


def test_uninstalling_leaves_nothing(installed: User) -> None:
    """
    After the real thing, too; a second time says that nothing is there.
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
    assert "Nothing of upstash-helper is installed" in again.stderr
    assert not [name for name in installed.files() if name.startswith((".local/bin/", ".local/share/"))]
    shutil.rmtree(installed.home / ".local/state", ignore_errors=True)
