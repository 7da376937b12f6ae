"""The packages, installed in an empty environment with only their declared dependencies."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
import pytest

from install.manual import man_pages
from tests.support.daemon import clean_environment, free_port
from tests.support.demos import turn
from tests.support.packages import Pip, build, copy_of_checkout, empty_environment
from tests.support.until import until
from upstash_helper import __version__
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

IMPORT_ALL = """
import importlib, pkgutil, sys
package, *excluded = sys.argv[1:]
top = importlib.import_module(package)
for module in pkgutil.walk_packages(top.__path__, f"{package}."):
    if not module.name.endswith("__main__") and not any(module.name.startswith(name) for name in excluded):
        importlib.import_module(module.name)
"""

MAN_PAGES = """
from upstash_helper.cli.commands.install import documents
for path, text in documents().items():
    if path.startswith("man/man1/") and text.startswith(".TH "):
        print(path.removeprefix("man/man1/"))
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the package, and a new home folder."""

    python: Path
    home: Path
    pip: Pip

    @property
    def environment(self) -> dict[str, str]:
        """The environment of its processes, without Python's variables."""
        inherited = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
        return inherited | {"UPSTASH_HELPER_HOME": str(self.home), "UPSTASH_HELPER_CREDENTIAL_STORE": "memory"}

    @property
    def program(self) -> Path:
        """The path of the installed command."""
        return self.python.with_name("upstash-helper.exe" if sys.platform == "win32" else "upstash-helper")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self._run([str(self.program), *arguments])

    def json(self, *arguments: str) -> Any:
        """Run the command, which must succeed, and return its JSON output."""
        done = self.run(*arguments, "--json")
        assert not done.returncode, done.stderr
        return msgspec.json.decode(done.stdout)

    def script(self, source: str) -> str:
        """Run a Python script in the environment, and return its output."""
        done = self._run([str(self.python), "-P", "-c", source])
        assert not done.returncode, done.stderr
        return done.stdout

    def import_all(self, package: str, *excluded: str) -> str:
        """Import every module of a package except some. Return the error output."""
        # -P instead of -I, which would ignore pystray's variable. It makes pystray importable without a display.
        command = [str(self.python), "-P", "-c", IMPORT_ALL, package, *excluded]
        return self._run(command, PYSTRAY_BACKEND="dummy").stderr

    def check(self) -> str:
        """Return the output of `pip check`."""
        return self.pip.run("check", into=self.python).stdout

    def _run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment | variables, stdin=subprocess.DEVNULL,
            cwd=self.python.parent, timeout=60, check=False,
        )  # fmt: skip


@dataclass(frozen=True)
class PackageSource:
    """A folder with the built wheel and its dependencies."""

    pip: Pip
    wheelhouse: Path

    def install(self, folder: Path, *requirements: str) -> Installed:
        """Install into an empty environment, only from the wheelhouse."""
        python = empty_environment(folder / "venv")
        self.pip.install(python, self.wheelhouse, *requirements)
        return Installed(python, folder / "home", self.pip)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> PackageSource:
    """The wheel of this checkout, and the wheels pinned in requirements.txt."""
    folder = tmp_path_factory.mktemp("source")
    pip = Pip.made(folder / "pip")
    pip.download(folder / "wheelhouse")
    made = build(copy_of_checkout(folder / "checkout"), "wheel", folder / "wheel")
    made.rename(folder / "wheelhouse" / made.name)
    return PackageSource(pip, folder / "wheelhouse")


@pytest.fixture(scope="module")
def base(source: PackageSource, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package without extras."""
    return source.install(tmp_path_factory.mktemp("base"), "upstash-helper")


@pytest.fixture(scope="module")
def with_tray(source: PackageSource, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package with the extra `tray`."""
    return source.install(tmp_path_factory.mktemp("tray"), "upstash-helper[tray]")


@pytest.fixture(scope="module")
def with_sandbox(source: PackageSource, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package with the extra `sandbox`."""
    return source.install(tmp_path_factory.mktemp("sandbox"), "upstash-helper[sandbox]")


def test_command_is_installed(base: Installed) -> None:
    """
    The command prints its version and its completion script, and finds the man pages that `install` puts in place.
    """
    assert f"upstash-helper, version {__version__}\n" == base.run("--version").stdout
    assert set(man_pages()) == set(base.script(MAN_PAGES).split())
    assert "_UPSTASH_HELPER_COMPLETE" in base.run("completion", "bash").stdout
    assert "No broken requirements found." in base.check()


def test_base_package_can_be_imported(base: Installed) -> None:
    """
    The daemon, its clients, and the command line need only the dependencies of the base package.
    """
    plugin = "upstash_helper.testing.pytest_plugin"  # pytest imports it
    assert not base.import_all("upstash_helper", "upstash_helper.sandbox", plugin)


def test_daemon_runs_and_stops(base: Installed) -> None:
    """
    The daemon of a base installation serves its API and its pages, is found by `status`, and exits after `stop`.
    """
    port = free_port()
    command = [str(base.program), "run", f"--port={port}", "--no-browser", "--no-notifications"]
    with subprocess.Popen(
        command, env=base.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            until(lambda: daemon.poll() is not None or not base.run("status").returncode)
            status = base.json("status")
            pages = urlsplit(base.run("open", "--print").stdout.strip()).netloc
            page = _get(port, "/", host=pages)
            module = _get(port, "/connect.js")
            stopped = base.run("stop")
            exit_code = daemon.wait(30)
        finally:
            daemon.kill()

    assert (daemon.pid, __version__) == (status["pid"], status["version"])
    assert b"<!doctype html" in page.lower()
    assert b"connectUpstash" in module
    assert (0, 0) == (stopped.returncode, exit_code)
    assert exit_codes.NOT_RUNNING == base.run("status").returncode


@pytest.mark.parametrize(
    ("command", "extra", "exit_code"),
    [("tray", "tray", exit_codes.NO_TRAY), ("sandbox", "sandbox", exit_codes.FAILURE),
     ("demo", "sandbox", exit_codes.FAILURE)],
)  # fmt: skip
def test_missing_extra_is_named(base: Installed, command: str, extra: str, exit_code: int) -> None:
    """
    A command with a missing extra names the extra, and the command that adds it to this installation.
    """
    done = base.run(command)

    assert (exit_code, "") == (done.returncode, done.stdout)
    assert "needs packages that are not installed: " in done.stderr
    # It was installed from an index (a folder), which pip does not record.
    assert f"{base.python} -m pip install '.[{extra}]', in the checkout of upstash-helper\n" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("receipt", "expected"),
    [("pipx_metadata.json", "pipx install --force '.[tray]'"),
     ("uv-receipt.toml", "uv tool install '.[tray]'")],
)  # fmt: skip
def test_command_to_add_an_extra_fits_the_installer(base: Installed, receipt: str, expected: str) -> None:
    """
    In an environment of pipx or uv, the suggested command is that of pipx or uv instead of pip.
    """
    file = base.python.parent.parent / receipt
    file.touch()
    try:
        done = base.run("tray")
    finally:
        file.unlink()

    assert f"Install them with: {expected}, in the checkout of upstash-helper\n" in done.stderr


def test_tray_extra_is_sufficient(with_tray: Installed) -> None:
    """
    With the extra, every module of the tray can be imported, and the command no longer reports missing packages.
    """
    # Except for the one that connects to the display when it is imported.
    assert not with_tray.import_all("upstash_helper_tray", "upstash_helper_tray.backends.xorg")

    # This backend finds no panel on any machine.
    done = with_tray.run("tray", "--check", "--backend", "statusnotifier", "--json")
    assert "tray_not_installed" not in done.stderr
    assert done.returncode in (exit_codes.OK, exit_codes.NO_TRAY)
    assert "No broken requirements found." in with_tray.check()
    assert exit_codes.FAILURE == with_tray.run("sandbox").returncode


def test_sandbox_extra_is_sufficient(with_sandbox: Installed) -> None:
    """
    With the extra, the sandbox and its databases run.
    """
    assert "No broken requirements found." in with_sandbox.check()
    excluded = "valkey" if sys.platform == "win32" else "fakeredis"
    assert not with_sandbox.import_all("upstash_helper.sandbox", f"upstash_helper.sandbox.redis.{excluded}")

    with turn():
        done = with_sandbox.run("demo", "--once")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "SET and GET over TCP" in done.stdout + done.stderr


def test_source_distribution_can_be_installed(source: PackageSource, tmp_path: Path) -> None:
    """
    The source distribution can be installed with only its declared build requirements.
    """
    sdist = build(copy_of_checkout(tmp_path / "checkout"), "sdist", tmp_path / "sdist")
    python = empty_environment(tmp_path / "venv")

    done = source.pip.run(
        "install", "--quiet", "--no-index", "--find-links", str(source.wheelhouse), "--no-deps", str(sdist), into=python
    )

    assert not done.returncode, done.stdout + done.stderr
    assert "upstash-helper" in source.pip.run("list", into=python).stdout


def _get(port: int, path: str, *, host: str | None = None) -> bytes:
    with contextlib.closing(http.client.HTTPConnection("localhost", port, timeout=30)) as connection:
        connection.request("GET", path, headers={"Host": host or f"localhost:{port}"})
        return connection.getresponse().read()
