"""The Debian packages for tests: which are missing, and how they are installed."""

from __future__ import annotations

from install.system_packages import PACKAGES, Package, commands_for, missing

REDIS = Package("redis-tools", "redis-cli", "a client")
DBUS = Package("dbus", "dbus-run-session", "a bus")


def test_a_package_is_missing_when_its_program_is() -> None:
    """
    A machine that has a program, from wherever, is not changed for it.
    """
    there = {"redis-cli": "/usr/local/bin/redis-cli"}

    assert missing([REDIS, DBUS], find=there.get) == (DBUS,)


def test_nothing_is_missing_where_all_programs_are() -> None:
    """
    The usual case asks for nothing.
    """
    assert missing(find=lambda program: f"/usr/bin/{program}") == ()


def test_packages_are_installed_without_a_question() -> None:
    """
    apt-get waits for another installation, asks nothing and takes no more than it must, after a look at what there is.
    """
    update, install = commands_for([REDIS, DBUS], as_root=())

    assert update[-1] == "update"
    assert install[-4:] == ("install", "--no-install-recommends", "redis-tools", "dbus")
    for command in (update, install):
        assert command[:3] == ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
        assert {"-y", "DPkg::Lock::Timeout=300"} < set(command)


def test_sudo_does_not_lose_the_variables() -> None:
    """
    What keeps apt-get from asking is set behind sudo, which clears the environment.
    """
    update, _ = commands_for([REDIS], as_root=("sudo", "-n"))

    assert update[:4] == ("sudo", "-n", "env", "DEBIAN_FRONTEND=noninteractive")


def test_every_package_says_why() -> None:
    """
    Nobody has to guess why a package is put on the machine.
    """
    assert [] == [package.name for package in PACKAGES if len(package.reason) < len("a reason")]
