"""
Upgrading the helper in place: a user who installs the previous version, uses it, and installs this one over it.

    wheels = Wheels.built(tmp_path / "wheels")
    with UserSystemd.running(home) as session:
        user = HelperUser.with_previous_version(session, wheels)
        user.upgrade()

Everything is done through what both versions promise: the command line, the HTTP API, and ``upstash_helper.client``.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from install.environment import ROOT
from tests.support.packages import Pip, build, checked, copy_of_checkout, empty_environment
from tests.support.until import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.user_systemd import Ended, UserSystemd

PREVIOUS: Final = "ee5429d943ac8308d3d6b4a08e8ab264851792f4"
"""The commit that the older wheel is built from: the last one with the flat module layout."""

EMAIL: Final = "zoe@example.com"
PASSWORD: Final = "correct horse battery staple"

SOCKET: Final = "upstash-helper.socket"
SERVICE: Final = "upstash-helper.service"

# A test's folder is below /tmp, and `install` refuses a program there without --force.
INSTALL: Final = ("install", "--force")

_SIGN_IN: Final = """
import asyncio, pathlib, sys
from tests.support.sandbox import Sandbox
print(asyncio.run(Sandbox(pathlib.Path()).authorize(*sys.argv[1:])))
"""

# An app that asks for access at its first run, and finds its token again at every later one.
_APP: Final = """
import json, pathlib, sys
from upstash_helper.client import DaemonClient, FileTokens, Helper

runtime, tokens, first = sys.argv[1:]

def approve(user_code, expires_at):
    assert first, "the app was asked for its code again: its token is no longer known"
    with DaemonClient.discover(pathlib.Path(runtime)) as owner:
        [pairing] = [one for one in owner.pairings() if one.user_code == user_code]
        owner.approve(pairing.id)

helper = Helper.pair(
    name="Orders", scopes=("databases:read", "databases:write", "databases:credentials"), on_code=approve,
    token_store=FileTokens(tokens),
)
made = helper.databases.create("orders", primary_region="us-east-1", idempotency_key="orders-of-zoe")
found = [one.id for one in helper.databases.list(refresh=True)]
password = helper.databases.credentials(made.id).password
print(json.dumps({"app": helper.token().app_id, "made": made.id, "found": found, "password": password}))
"""

_KEYRING: Final = """
import contextlib, json, secretstorage
with contextlib.closing(secretstorage.dbus_init()) as bus:
    items = secretstorage.get_default_collection(bus).get_all_items()
    print(json.dumps([item.get_attributes().get("service") for item in items]))
"""

_PANEL: Final = """
import asyncio, sys
from tests.support.tray_host import TrayHost

async def main(address, *path):
    async with TrayHost.on(address) as panel:
        if path:
            item = await panel.item()
            await item.until(lambda tooltip, menu: path[1] in "".join(menu.texts()))
            await item.click(*path)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@dataclass(frozen=True)
class Wheels:
    """Both versions as users get them."""

    previous: Path
    current: Path
    pip: Pip

    @classmethod
    def built(cls, folder: Path) -> Wheels:
        """Build both. Skips the test if there is no git history to build the older one from."""
        previous = build(_previous_checkout(folder / "previous"), "wheel", folder / "previous-wheel")
        checkout = copy_of_checkout(folder / "current")
        _raise_version(checkout, above=_version(previous))
        current = build(checkout, "wheel", folder / "current-wheel")
        return cls(previous, current, Pip.made(folder / "pip"))

    @property
    def versions(self) -> tuple[str, str]:
        """The version of the previous one and of this one."""
        return _version(self.previous), _version(self.current)


@dataclass
class HelperUser:
    """A user in a session, with the helper in an environment of its own, as pipx and uv make it."""

    session: UserSystemd
    wheels: Wheels
    outside: Path
    """A folder beside the home, for files that are not the helper's."""
    environ: dict[str, str] = field(default_factory=dict)
    """The variables that a desktop sets for its programs."""

    # --- versions -----------------------------------------------------------------------------------------------------

    @property
    def venv(self) -> Path:
        """The environment."""
        return self.session.home / ".local/share/pipx/venvs/upstash-helper"

    @property
    def launcher(self) -> Path:
        """The link on the user's PATH."""
        return self.session.home / ".local/bin/upstash-helper"

    @property
    def runtime(self) -> Path:
        """The helper's runtime folder."""
        return self.session.runtime / "upstash-helper"

    def install_previous_version(self) -> None:
        """Install the older wheel. Its dependencies are those of the tests' own environment."""
        python = empty_environment(self.venv)
        self._pip("install", "--no-index", "--no-deps", str(self.wheels.previous))
        asked = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
        site = Path(subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip())
        ours = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        # Python does not read the .pth files of a folder named in one, so this does not add the editable checkout.
        (site / "dependencies.pth").write_text("".join(f"{folder}\n" for folder in ours), encoding="utf-8")
        self.launcher.parent.mkdir(parents=True)
        self.launcher.symlink_to(self.venv / "bin/upstash-helper")

    def upgrade(self) -> None:
        """Install the wheel of this checkout over it, as `pipx upgrade` does, and run nothing."""
        self._pip("install", "--upgrade", "--no-index", "--no-deps", str(self.wheels.current))

    def _pip(self, *arguments: str) -> None:
        done = self.wheels.pip.run(*arguments, into=self.venv / "bin/python")
        assert not done.returncode, done.stdout + done.stderr

    # --- the helper ---------------------------------------------------------------------------------------------------

    def helper(self, *arguments: str, typed: str = "") -> Ended:
        """Run the command that is on the PATH."""
        return self.run(str(self.launcher), *arguments, typed=typed)

    def json(self, *arguments: str, typed: str = "") -> Any:
        """Run the command, which must succeed, and return what it prints as JSON."""
        return done(self.helper(*arguments, "--json", typed=typed)).json

    def app(self, *, first: bool = False) -> Any:
        """
        Run an app that creates a database and lists all, with the client library of the installed version.

        Args:
            first: Whether it has to ask for access.
        """
        python = str(self.venv / "bin/python")
        arguments = (str(self.runtime), str(self.outside / "token of the app"), "first" * first)
        return done(self.run(python, "-P", "-c", _APP, *arguments)).json

    def announced(self) -> dict[str, Any]:
        """Return the content of the discovery file."""
        content: dict[str, Any] = json.loads((self.runtime / "daemon.json").read_bytes())
        return content

    def start_sandbox(self, **settings: str) -> None:
        """Start a sandbox, and write a settings file that points at it and has ``settings``."""
        line = self.outside / "sandbox"
        data = ("--data", str(self.outside / "sandbox-data"), "--port", "0")
        self.start(line, sys.executable, "-P", "-m", "upstash_helper", "sandbox", *data)
        until(lambda: line.exists() and line.read_text().endswith("}\n"))
        ready = json.loads(line.read_text())
        settings |= {name: ready[name] for name in ("client_id", "auth_url", "api_url", "rest_url")}
        config = Path(self.json("config", "path")["file"])
        config.parent.mkdir(parents=True)
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
        config.write_text("\n".join((*lines, "open_browser = false", "notifications = false", "")), encoding="utf-8")

    def connect(self) -> None:
        """Sign in to the sandbox with a new account."""
        address = self.json("connect", "--no-browser", "--no-wait")["authorization_url"]
        landed = done(self.run(sys.executable, "-c", _SIGN_IN, address, EMAIL, PASSWORD)).out
        done(self.helper("connect", "--paste", typed=landed))

    def files(self) -> dict[str, bytes]:
        """Return the files and links below the home with their content: without the program, and the keyring's."""
        home = self.session.home
        others = (self.venv, home / ".local/share/keyrings")
        return {
            str(path.relative_to(home)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
            for path in home.rglob("*")
            if (path.is_symlink() or path.is_file()) and not any(path.is_relative_to(other) for other in others)
        }

    # --- the desktop --------------------------------------------------------------------------------------------------

    def start_bus(self) -> None:
        """Start a session bus."""
        _needed("dbus-daemon", package="dbus")
        address = f"unix:path={self.session.runtime}/bus-of-a-test"
        done(self.run("dbus-daemon", "--session", "--fork", "--nopidfile", f"--address={address}", silent=True))
        self.environ["DBUS_SESSION_BUS_ADDRESS"] = address

    def start_keyring(self) -> None:
        """Start an unlocked keyring."""
        _needed("gnome-keyring-daemon", package="gnome-keyring")
        done(self.run("gnome-keyring-daemon", "--unlock", "--components=secrets", typed="password", silent=True))

    def start_display(self) -> None:
        """Start an X server without a screen."""
        _needed("Xvfb", package="xvfb")
        _needed("xclip", package="xclip")
        number = self.outside / "display"
        self.start(number, "Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24", "-nolisten", "tcp", "-noreset")
        until(lambda: number.exists() and number.read_text().endswith("\n"))
        self.environ["DISPLAY"] = f":{number.read_text().strip()}"

    def start_panel(self, *path: str) -> None:
        """Start a panel. ``path`` is the menu item that its user clicks as soon as the first icon has it."""
        address = self.environ["DBUS_SESSION_BUS_ADDRESS"]
        self.start(self.outside / "panel", sys.executable, "-c", _PANEL, address, *path)

    def export_environment(self) -> None:
        """Pass the desktop's environment to the service manager, as desktops do at login."""
        variables = [f"{name}={value}" for name, value in self.environ.items()]
        done(self.run("systemctl", "--user", "set-environment", *variables))

    def keyring_services(self) -> list[str]:
        """Return the service name of each entry in the keyring."""
        found: list[str] = done(self.run(sys.executable, "-c", _KEYRING)).json
        return found

    def clipboard(self) -> str:
        """Return what is on the clipboard."""
        return self.run("xclip", "-selection", "clipboard", "-o").out

    def launch(self, entry: str) -> None:
        """Start a program by its autostart entry, as a desktop does at login."""
        done(self.run("gio", "launch", str(self.session.home / ".config/autostart" / entry), silent=True))

    def trays(self) -> list[int]:
        """Return the processes that show the icon."""
        return [int(line) for line in self.run("pgrep", "-f", f"{self.venv}/bin/python .* tray").out.split()]

    # --- commands -----------------------------------------------------------------------------------------------------

    def run(self, *argv: str, typed: str = "", silent: bool = False) -> Ended:
        """
        Run a command in the session.

        Args:
            argv: The command.
            typed: Its standard input.
            silent: Discard its output. For commands that leave processes behind, which would keep the pipes open.
        """
        if silent:
            argv = ("sh", "-c", f"{shlex.join(argv)} > /dev/null 2>&1")
        return self.session.run(*argv, environ=self.environ, typed=typed)

    def start(self, output: Path, *argv: str) -> None:
        """Start a command that runs until the session ends, with its standard output in the file ``output``."""
        line = f"{shlex.join(argv)} < /dev/null > {shlex.quote(str(output))} 2> {shlex.quote(f'{output}.errors')} &"
        done(self.session.run("sh", "-c", line, environ=self.environ))


def done(ended: Ended) -> Ended:
    """Expect that a command succeeded."""
    assert 0 == ended.code, ended.out + ended.err
    return ended


def changed(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> set[str]:
    """Return which files are new, gone, or of another content."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def _previous_checkout(folder: Path) -> Path:
    """Return the files of the commit before, or skip the test."""
    if not (ROOT / ".git").exists():
        pytest.skip("platform: these files are not in a clone of the repository, which has the previous version")
    _needed("git", package="git")
    # Git refuses a clone that another user made, such as one that is mounted into a container.
    git = ("git", "-c", "safe.directory=*", "-C", str(ROOT))
    if subprocess.run([*git, "cat-file", "-e", f"{PREVIOUS}^{{commit}}"], capture_output=True, check=False).returncode:
        pytest.skip(f"platform: this clone does not reach back to the previous version: git fetch origin {PREVIOUS}")
    archive = folder.with_suffix(".tar")
    folder.mkdir(parents=True)
    checked([*git, "archive", f"--output={archive}", PREVIOUS])
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder


def _raise_version(checkout: Path, *, above: str) -> None:
    """Raise the version if it is still the previous one: pip would not replace a version with itself."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))
    file = checkout / project["tool"]["hatch"]["version"]["path"]
    text = file.read_text(encoding="utf-8")
    file.write_text(
        re.sub(rf'^(__version__ = "){re.escape(above)}"', rf'\g<1>{above}.post1"', text, flags=re.MULTILINE)
    )


def _version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def _needed(program: str, *, package: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is missing: apt-get install {package}")
