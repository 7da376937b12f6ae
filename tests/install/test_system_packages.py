"""The Debian packages for tests: finding missing ones, and the commands that install them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from install.system_packages import PACKAGES, Package, commands_for, install_missing, missing

if TYPE_CHECKING:
    from pathlib import Path

REDIS = Package("redis-tools", "redis-cli", "a client")
DBUS = Package("dbus", "dbus-run-session", "a bus")


def test_package_is_missing_if_its_program_is() -> None:
    """
    A package is not installed if its program already exists, from any source.
    """
    installed = {"redis-cli": "/usr/local/bin/redis-cli"}

    assert missing([REDIS, DBUS], find=installed.get) == (DBUS,)


def test_nothing_is_missing_if_all_programs_exist() -> None:
    """
    If all programs exist, no package is missing.
    """
    assert missing(find=lambda program: f"/usr/bin/{program}") == ()


def test_packages_are_installed_noninteractively() -> None:
    """
    apt-get updates its lists, waits for other installations, asks no questions, and installs no recommended packages.
    """
    update, install = commands_for([REDIS, DBUS], as_root=())

    assert update[-1] == "update"
    assert install[-4:] == ("install", "--no-install-recommends", "redis-tools", "dbus")
    for command in (update, install):
        assert command[:4] == ("env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get")
        assert {"-y", "DPkg::Lock::Timeout=300"} < set(command)


def test_variables_are_set_after_sudo() -> None:
    """
    The variables for apt-get are set after sudo, which clears the environment.
    """
    update, _ = commands_for([REDIS], as_root=("sudo", "-n"))

    assert update[:4] == ("sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive")


def test_every_package_has_a_reason() -> None:
    """
    Every package has a reason, which is shown when it is installed.
    """
    assert [] == [package.name for package in PACKAGES if len(package.reason) < len("a reason")]


# Like apt-get, it installs nothing if it does not know one of the packages.
_APT_GET = """#!/bin/sh
case "$*" in
  *"{refused}"*) echo "E: {error}" >&2; exit 100 ;;
esac
echo "$@" | sed -n 's/.*--no-install-recommends //p' >> {installed}
"""
_SUDO = """#!/bin/sh
shift
exec "$@"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file to which the machine's apt-get and sudo write what they have installed."""
    if sys.platform != "linux":
        pytest.skip("platform: apt-get is on Linux")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    _write(tmp_path / "sudo", _SUDO)
    return tmp_path / "installed"


def apt_get(installed: Path, *, refused: str, error: str) -> None:
    """Put an apt-get on the machine that refuses everything with a package."""
    _write(installed.parent / "apt-get", _APT_GET.format(refused=refused, error=error, installed=installed))


def _write(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


FIRST, UNKNOWN, LAST = (Package(f"uh-{name}", f"no-such-{name}", "a reason") for name in ("first", "unknown", "last"))


def test_unknown_package_does_not_prevent_the_others(installed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """
    If they cannot be installed together, they are installed one by one, and only what fails is named.
    """
    apt_get(installed, refused="uh-unknown", error="Unable to locate package uh-unknown")

    install_missing([FIRST, UNKNOWN, LAST])

    said = capfd.readouterr().err
    assert ["uh-first", "uh-last"] == installed.read_text().split()
    assert "Tests that need uh-unknown will be skipped." in said
    assert "uh-first will be skipped" not in said


def test_packages_are_installed_together(installed: Path) -> None:
    """
    One command is faster than several.
    """
    apt_get(installed, refused="uh-nothing", error="none")

    install_missing([FIRST, LAST])

    assert ["uh-first uh-last"] == installed.read_text().splitlines()


def test_one_by_one_is_not_tried_in_vain(installed: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """
    Each attempt would wait for minutes for the other installation.
    """
    apt_get(installed, refused="uh-first uh-last", error="Could not get lock /var/lib/dpkg/lock-frontend.")

    install_missing([FIRST, LAST])

    assert "" == installed.read_text()
    assert "Tests that need uh-first uh-last will be skipped." in capfd.readouterr().err
