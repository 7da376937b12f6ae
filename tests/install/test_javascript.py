"""The checks of our JavaScript need Node and packages from npm; where they cannot be had, they say so."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from install import javascript
from install.environment import ROOT
from install.javascript import CHECKS, Missing, Tools
from install.progress import CommandFailed, SetupError
from install.suite import STATIC_CHECKS


class Machine:
    """A machine with programs of a test's making in place of node and npm, and a folder with pins."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.packages = folder / "packages"
        for made in (self.bin, self.packages):
            made.mkdir()
        for name in ("package.json", "package-lock.json"):
            (self.packages / name).write_text("{}", encoding="utf-8")
        self.calls = folder / "calls"
        self.calls.touch()

    def has(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        program = self.bin / name
        program.write_text(f"#!/bin/sh\necho {name} $1 >> {self.calls}\n{script}\n", encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def installs(self) -> int:
        """Return how often npm was asked to install."""
        return self.calls.read_text(encoding="utf-8").split("\n").count("npm ci")

    @property
    def tools(self) -> Tools:
        """What the checks use."""
        return Tools(self.packages, path=str(self.bin))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A machine with a node that is new enough, and an npm that installs."""
    if os.name == "nt":
        pytest.skip("platform: the programs are shell scripts")
    made = Machine(tmp_path)
    made.has("node", "echo v22.1.0")
    made.has("npm", "/bin/mkdir -p node_modules")
    return made


def test_packages_are_installed_once(machine: Machine) -> None:
    """
    And again when the pins change, so that everybody checks with the same versions.
    """
    assert str(machine.bin / "node") == machine.tools.provide()
    machine.tools.provide()
    once = machine.installs()
    (machine.packages / "package-lock.json").write_text('{"changed": true}', encoding="utf-8")
    machine.tools.provide()
    machine.tools.provide()

    assert (1, 2) == (once, machine.installs())


@pytest.mark.parametrize("name", ["node", "npm"])
def test_a_missing_program_is_named(machine: Machine, name: str) -> None:
    """
    Either is needed.
    """
    (machine.bin / name).unlink()

    with pytest.raises(Missing, match=f"^{name} is not installed$"):
        machine.tools.provide()


@pytest.mark.parametrize(
    ("version", "fits"), [("v18.20.0", False), ("v20.10.0", False), ("v20.11.0", True), ("", False)]
)
def test_an_old_node_is_told(machine: Machine, version: str, *, fits: bool) -> None:
    """
    The tests use what node 20.11 brought.
    """
    machine.has("node", f"echo {version}")

    if fits:
        machine.tools.provide()
    else:
        with pytest.raises(Missing, match=r"node 20\.11 or newer is needed"):
            machine.tools.provide()


def test_a_registry_that_cannot_be_reached_is_missing(machine: Machine) -> None:
    """
    There is nothing that the developer could repair in the checkout.
    """
    machine.has("npm", "echo npm error code ENOTFOUND; exit 1")

    with pytest.raises(Missing, match="registry cannot be reached"):
        machine.tools.provide()


def test_pins_that_cannot_be_installed_are_a_failure(machine: Machine) -> None:
    """
    A lock that does not fit package.json is a mistake in a change, and no reason to skip the checks.
    """
    machine.has("npm", "echo npm error code EUSAGE; exit 1")

    with pytest.raises(CommandFailed, match="Installing the npm packages failed"):
        machine.tools.provide()


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_a_skip_says_why_and_is_a_failure_in_ci(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, code: int
) -> None:
    """
    In CI nothing may be missing.
    """
    monkeypatch.setenv("CI", ci)
    (machine.bin / "node").unlink()

    assert code == javascript.main(["types"], tools=machine.tools)
    assert capsys.readouterr().err == "JavaScript types: skipped, because node is not installed.\n"


def test_an_unknown_check_is_refused() -> None:
    """
    The message has the names.
    """
    with pytest.raises(SetupError, match="types, style, build, tests"):
        javascript.main(["everything"])


def test_every_check_is_part_of_the_suite() -> None:
    """
    A check that nothing runs would check nothing.
    """
    run = {arguments[2] for _, arguments in STATIC_CHECKS if tuple(arguments[:2]) == ("-m", "install.javascript")}

    assert set(CHECKS) == run


def test_the_pins_are_exact_and_name_no_registry() -> None:
    """
    Everybody gets the same packages, from the registry that they have set up.
    """
    folder = ROOT / "tests/javascript"
    packages = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    lock = json.loads((folder / "package-lock.json").read_text(encoding="utf-8"))

    locked = {name: entry for name, entry in lock["packages"].items() if name}
    versions = packages["devDependencies"].values()

    assert "dependencies" not in packages
    assert all(version[0].isdigit() for version in versions)
    assert all("integrity" in entry and "resolved" not in entry for entry in locked.values())


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_lock_fits_the_pins() -> None:
    """
    What `npm ci` would refuse is seen without a network.
    """
    done = subprocess.run(
        ["npm", "ls", "--package-lock-only", "--all"],
        cwd=ROOT / "tests/javascript",
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
