"""The packages as a user has them: installed in an empty environment, with nothing but what they declare."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

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
package, *but = sys.argv[1:]
top = importlib.import_module(package)
for module in pkgutil.walk_packages(top.__path__, f"{package}."):
    if not module.name.endswith("__main__") and not any(module.name.startswith(name) for name in but):
        importlib.import_module(module.name)
"""


@dataclass(frozen=True)
class Installed:
    """An environment with the package, and a user who has never run it."""

    python: Path
    home: Path
    pip: Pip

    @property
    def environment(self) -> dict[str, str]:
        """Nothing of this test's own Python is in it."""
        inherited = {name: value for name, value in clean_environment().items() if not name.startswith("PYTHON")}
        return inherited | {"UPSTASH_HELPER_HOME": str(self.home), "UPSTASH_HELPER_CREDENTIAL_STORE": "memory"}

    @property
    def program(self) -> Path:
        """The command that was installed."""
        return self.python.with_name("upstash-helper.exe" if sys.platform == "win32" else "upstash-helper")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self._run([str(self.program), *arguments])

    def json(self, *arguments: str) -> Any:
        """Run the command, which must succeed, and return what it prints as JSON."""
        done = self.run(*arguments, "--json")
        assert not done.returncode, done.stderr
        return msgspec.json.decode(done.stdout)

    def import_all(self, package: str, *but: str) -> str:
        """Import every module of a package; return what was wrong with that."""
        # -P, not -I: that would not see pystray's variable, by which it can be loaded where there is no display.
        command = [str(self.python), "-P", "-c", IMPORT_ALL, package, *but]
        return self._run(command, PYSTRAY_BACKEND="dummy").stderr

    def check(self) -> str:
        """Return what `pip check` says."""
        return self.pip.run("check", into=self.python).stdout

    def _run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, capture_output=True, text=True, env=self.environment | variables, stdin=subprocess.DEVNULL,
            cwd=self.python.parent, timeout=60, check=False,
        )  # fmt: skip


@dataclass(frozen=True)
class Shop:
    """Where packages come from: the built wheel, and those that it may ask for."""

    pip: Pip
    wheelhouse: Path

    def install(self, folder: Path, *wishes: str) -> Installed:
        """Install into an empty environment, from the wheelhouse alone."""
        python = empty_environment(folder / "venv")
        self.pip.install(python, self.wheelhouse, *wishes)
        return Installed(python, folder / "home", self.pip)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The wheel of this checkout, next to the wheels that requirements.txt pins."""
    folder = tmp_path_factory.mktemp("shop")
    pip = Pip.made(folder / "pip")
    pip.download(folder / "wheelhouse")
    made = build(copy_of_checkout(folder / "checkout"), "wheel", folder / "wheel")
    made.rename(folder / "wheelhouse" / made.name)
    return Shop(pip, folder / "wheelhouse")


@pytest.fixture(scope="module")
def base(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The plain package."""
    return shop.install(tmp_path_factory.mktemp("base"), "upstash-helper")


@pytest.fixture(scope="module")
def with_tray(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With the tray's extra."""
    return shop.install(tmp_path_factory.mktemp("tray"), "upstash-helper[tray]")


@pytest.fixture(scope="module")
def with_sandbox(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """With the sandbox's extra."""
    return shop.install(tmp_path_factory.mktemp("sandbox"), "upstash-helper[sandbox]")


def test_the_command_is_there(base: Installed) -> None:
    """
    After the installation there is a command, which tells its version, its pages and its completion.
    """
    assert f"upstash-helper, version {__version__}\n" == base.run("--version").stdout
    assert base.run("man", "connect").stdout.startswith('.TH "UPSTASH\\-HELPER\\-CONNECT"')
    assert "_UPSTASH_HELPER_COMPLETE" in base.run("completion", "bash").stdout
    assert "No broken requirements found." in base.check()


def test_everything_but_the_extras_can_be_imported(base: Installed) -> None:
    """
    The daemon, its clients and the command line need nothing that the plain package does not bring.
    """
    assert not base.import_all("upstash_helper", "upstash_helper.sandbox")


def test_the_daemon_runs_and_stops(base: Installed) -> None:
    """
    The daemon of a plain installation serves its API and its pages, is seen by `status`, and ends with `stop`.
    """
    port = free_port()
    command = [str(base.program), "run", f"--port={port}", "--no-browser", "--no-notifications"]
    with subprocess.Popen(
        command, env=base.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            until(lambda: daemon.poll() is not None or not base.run("status").returncode)
            status = base.json("status")
            page = _get(port, "/")
            module = _get(port, "/connect.js")
            stopped = base.run("stop")
            ended = daemon.wait(30)
        finally:
            daemon.kill()

    assert (daemon.pid, __version__) == (status["pid"], status["version"])
    assert b"<!doctype html" in page.lower()
    assert b"connectUpstash" in module
    assert (0, 0) == (stopped.returncode, ended)
    assert exit_codes.NOT_RUNNING == base.run("status").returncode


@pytest.mark.parametrize(
    ("command", "extra", "exit_code"),
    [("tray", "tray", exit_codes.NO_TRAY), ("sandbox", "sandbox", exit_codes.FAILURE),
     ("demo", "sandbox", exit_codes.FAILURE)],
)  # fmt: skip
def test_what_needs_an_extra_says_which(base: Installed, command: str, extra: str, exit_code: int) -> None:
    """
    Without the packages of an extra its commands name it, and what adds it to this very installation.
    """
    done = base.run(command)

    assert (exit_code, "") == (done.returncode, done.stdout)
    assert f"the extra `{extra}`" in done.stderr
    assert f"{base.python} -m pip install 'upstash-helper[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("mark", "expected"),
    [("pipx_metadata.json", "pipx install --force 'upstash-helper[tray]'"),
     ("uv-receipt.toml", "uv tool install 'upstash-helper[tray]'")],
)  # fmt: skip
def test_the_advice_fits_what_installed_it(base: Installed, mark: str, expected: str) -> None:
    """
    In an environment of pipx's or uv's the command is theirs: pip is not what its owner manages it with.
    """
    file = base.python.parent.parent / mark
    file.touch()
    try:
        done = base.run("tray")
    finally:
        file.unlink()

    assert f"`tray`: {expected}\n" in done.stderr


def test_the_extra_of_the_tray_is_all_it_needs(with_tray: Installed) -> None:
    """
    With it every module of the tray can be loaded, and the command looks for a panel instead of for packages.
    """
    assert not with_tray.import_all("upstash_helper_tray")

    # No panel, wherever this runs.
    done = with_tray.run("tray", "--check", "--backend", "statusnotifier", "--json")
    assert "tray_not_installed" not in done.stderr
    assert done.returncode in (exit_codes.OK, exit_codes.NO_TRAY)
    assert "No broken requirements found." in with_tray.check()
    assert exit_codes.FAILURE == with_tray.run("sandbox").returncode


def test_the_extra_of_the_sandbox_is_all_it_needs(with_sandbox: Installed) -> None:
    """
    With it alone the sandbox serves, its databases included.
    """
    assert "No broken requirements found." in with_sandbox.check()
    but = ("upstash_helper.sandbox.redis.fakeredis",) if sys.platform != "win32" else ("upstash_helper.sandbox.redis.valkey",)
    assert not with_sandbox.import_all("upstash_helper.sandbox", *but)

    with turn():
        done = with_sandbox.run("demo", "--once")

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "SET and GET over TCP" in done.stdout + done.stderr


def test_the_source_distribution_installs_as_well(shop: Shop, tmp_path: Path) -> None:
    """
    From the sdist, with nothing at hand but the build requirement that it declares.
    """
    sdist = build(copy_of_checkout(tmp_path / "checkout"), "sdist", tmp_path / "sdist")
    python = empty_environment(tmp_path / "venv")

    done = shop.pip.run(
        "install", "--quiet", "--no-index", "--find-links", str(shop.wheelhouse), "--no-deps", str(sdist), into=python
    )

    assert not done.returncode, done.stdout + done.stderr
    assert "upstash-helper" in shop.pip.run("list", into=python).stdout


def _get(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://localhost:{port}{path}", timeout=30) as answer:
        body: bytes = answer.read()
    return body
