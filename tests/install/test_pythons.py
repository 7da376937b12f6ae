"""Running tests in other supported Pythons and with the newest packages."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from install import pythons
from install.environment import ROOT
from install.installers import this_interpreter
from install.interpreters import supported_versions
from install.progress import SetupError


def test_every_other_supported_version_is_run_or_named(capfd: pytest.CaptureFixture[str]) -> None:
    """
    Each supported version has a program, or a line with the reason why not. The newest packages have one, too.
    """
    names = [program.name for program in pythons.programs()]

    missing = [line.partition(":")[0] for line in capfd.readouterr().err.splitlines()]
    others = {f"Python {version}" for version in supported_versions()} - {f"Python {this_interpreter().version}"}
    assert others == {*names, *missing} - {"newest packages"}
    assert "newest packages" == names[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--python"], "--python needs a version, such as 3."),
        (["--python", "tests/api"], "--python needs a version, such as 3."),
        (["--python", "3.999"], "Cannot run tests in Python 3.999: it was not found on this machine. Install it, "),
    ],
)
def test_wrong_version_is_an_error_message(arguments: list[str], message: str) -> None:
    """
    Without a usable version, nothing is set up, and the message says what to do.
    """
    with pytest.raises(SetupError) as caught:
        pythons.run_in_one(arguments)

    assert str(caught.value).startswith(message)


def test_ranges_have_extras_and_groups(tmp_path: Path) -> None:
    """
    The newest packages are those of the daemon, of all extras, and of the tests, with the ranges in pyproject.toml.
    """
    (tmp_path / "pyproject.toml").write_text(
        """
[project]
dependencies = ["a>=1"]
[project.optional-dependencies]
x = ["b>=2,<3"]
[dependency-groups]
build = ["c"]
test = [{ include-group = "build" }, "d>=4"]
dev = ["e"]
""",
        encoding="utf-8",
    )

    assert ["a>=1", "b>=2,<3", "c", "d>=4"] == pythons.ranges(tmp_path, group="test")


def test_versions_other_than_the_pins_are_reported(tmp_path: Path) -> None:
    """
    A package is named if its version is none of the pinned ones.
    """
    installed = metadata.version("pytest")
    pins = tmp_path / "pins.txt"
    pins.write_text(
        "no-such-package==1 \\\n    --hash=x\n"
        f"pluggy==0.1 ; sys_platform == 'x' \\\npluggy=={metadata.version('pluggy')}\n"
        "pytest[dev]==1.2 \\\n    --hash=x\n",
        encoding="utf-8",
    )

    assert [f"pytest 1.2 -> {installed}"] == pythons.differences(pins, Path(sys.executable))


def test_tests_exist() -> None:
    """
    The tests that run everywhere, and those that are left out, are in the checkout.
    """
    assert [] == [name for name in (*pythons.TESTS, *pythons.LEFT_OUT) if not (ROOT / name).exists()]
