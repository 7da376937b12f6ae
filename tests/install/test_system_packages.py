"""The Debian packages for tests: finding missing ones, and the commands that install them."""

from __future__ import annotations

from install.system_packages import PACKAGES, Package, commands_for, missing

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
        assert command[:3] == ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
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
