"""An installation of the previous version is upgraded in place: the older wheel, and then this one over it."""

from __future__ import annotations

import shutil
import stat
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.until import until
from tests.support.upgrade import EMAIL, INSTALL, SERVICE, SOCKET, HelperUser, Wheels, changed, done
from tests.support.user_systemd import UserSystemd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.support.user_systemd import Ended

pytestmark = pytest.mark.slow

STATE = ".local/state/upstash-helper/"
"""The folder that the daemon writes to while it runs."""

HEALTH = """
import urllib.request
try:
    print(urllib.request.urlopen("http://127.0.0.1:3000/health", timeout=30).status)
except OSError as error:
    print(type(error.reason).__name__)
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    """The previous version and this one."""
    return Wheels.built(tmp_path_factory.mktemp("wheels"))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[UserSystemd]:
    """The login session of a user on a machine with systemd."""
    with UserSystemd.running(tmp_path / "home") as session:
        yield session


@pytest.fixture
def user(session: UserSystemd, wheels: Wheels, tmp_path: Path) -> HelperUser:
    """A user with a keyring and a panel, and the previous version in an environment. `install` has not been run yet."""
    user = HelperUser(session, wheels, tmp_path, {"DISPLAY": ":77"})
    user.install_previous_version()
    user.start_bus()
    user.start_keyring()
    user.start_panel()
    user.export_environment()
    user.start_sandbox()
    return user


def health(user: HelperUser) -> str:
    """Return the HTTP status of the daemon's health check, or the name of the error."""
    return user.run(sys.executable, "-c", HEALTH).out.strip()


def is_settled(user: HelperUser, *, replaced: Iterable[int] = ()) -> bool:
    """
    Return whether `install` would do nothing. A tray that was just started must hold its lock for that.

    Args:
        user: The user.
        replaced: The tray processes that must have exited first.
    """
    return set(replaced).isdisjoint(user.trays()) and not user.json(*INSTALL, "--dry-run")["steps"]


def has_icon(user: HelperUser) -> bool:
    """Return whether a tray is attached to the daemon."""
    return bool(user.json("status")["tray"]["state"] == "attached")


def apps_of(user: HelperUser) -> dict[str, Any]:
    """Return the apps that have access, without the fields that change with each request or are display text."""
    found = user.json("apps", "list")["apps"]
    return {one["id"]: (one["name"], [it["scope"] for it in one["scopes"]], one["created_at"]) for one in found}


def audit_of(user: HelperUser) -> set[tuple[Any, ...]]:
    """Return the audit entries, without the fields that change when the same action is repeated."""
    stays = ("id", "at", "app_id", "action", "target", "result")
    return {tuple(entry[name] for name in stays) for entry in user.json("audit")["entries"]}


def explained(ended: Ended) -> str:
    """Return all that a command printed. Fails if that has a traceback."""
    printed = ended.out + ended.err
    assert "Traceback" not in printed
    return printed


def test_daemon_answers_until_its_units_start_the_new_version(user: HelperUser) -> None:
    """Apps, databases, sign-in, and audit stay the same throughout. `install` is not run again."""
    previous, current = user.wheels.versions
    done(user.helper(*INSTALL))
    user.connect()
    first = user.app(first=True)
    until(lambda: has_icon(user))
    installed, announced, apps, audit = user.files(), user.announced(), apps_of(user), audit_of(user)
    trays = user.trays()

    user.upgrade()
    meanwhile, status, outdated = user.json("status"), user.helper("status"), user.json("service", "status")["outdated"]
    answered = user.app(), apps_of(user), audit <= audit_of(user)

    user.session.log_out()
    user.session.log_in()
    user.export_environment()
    at_login = user.run("systemctl", "--user", "is-active", SOCKET, SERVICE).out.split()
    # The socket's address comes from a file that the previous daemon wrote.
    after, woken, newer = user.json("status"), health(user), user.announced()

    assert (previous, announced["pid"]) == (meanwhile["version"], meanwhile["pid"])
    assert f"upstash-helper, version {current}\n" == done(user.helper("--version")).out
    assert (0, True) == (status.code, outdated)
    assert current in explained(status)
    assert "upstash-helper restart" in status.err
    assert (first, apps, True) == answered

    assert ["active", "inactive"] == at_login
    assert ("200", current) == (woken, after["version"])
    assert not {name for name in changed(installed, user.files()) if not name.startswith(STATE)}
    assert ("connected", EMAIL) == (after["connection"]["state"], after["connection"]["account"]["email"])
    assert "ok" == after["connection"]["credential_store"]["state"]
    assert (first, apps) == (user.app(), apps_of(user))
    assert {action for _, _, _, action, _, _ in audit} >= {"app.let_in", "database.create", "connection.connect"}
    assert audit <= audit_of(user)
    assert announced.keys() <= newer.keys()
    assert all(announced[name] == newer[name] for name in ("format", "api_version", "base_url"))
    assert 0o600 == stat.S_IMODE((user.runtime / "daemon.json").stat().st_mode)
    # The tray is still the previous version's.
    until(lambda: has_icon(user))
    assert trays == user.trays()


def test_install_replaces_what_differs_and_purge_leaves_nothing(user: HelperUser) -> None:
    """`install` starts the new daemon and tray and keeps the apps. Running it again changes nothing."""
    previous, current = user.wheels.versions
    settings = ".config/upstash-helper/config.toml"
    before = user.files()
    done(user.helper(*INSTALL))
    user.connect()
    first = user.app(first=True)
    until(lambda: has_icon(user))
    installed, announced, apps, trays = user.files(), user.announced(), apps_of(user), user.trays()

    user.upgrade()
    report = user.json(*INSTALL)
    updated, newer, status = user.files(), user.announced(), user.json("service", "status")
    until(lambda: is_settled(user, replaced=trays) and has_icon(user))
    shown, again = user.trays(), user.json(*INSTALL)

    written = {step["what"] for step in report["steps"] if step["action"] in {"write", "replace"}}
    home = user.session.home
    assert previous == announced["version"]
    assert [] == [step for step in report["steps"] if step["action"] not in {"write", "replace", "run"}]
    assert {str(home / name) for name in changed(installed, updated) if not name.startswith(STATE)} == written
    assert str(home / ".config/systemd/user" / SERVICE) in written
    assert (current, True, False) == (newer["version"], status["enabled"], status["outdated"])
    assert (first, apps) == (user.app(), apps_of(user))
    assert (False, []) == (again["changed"], again["steps"])
    assert (newer, shown) == (user.announced(), user.trays())
    assert (1, False) == (len(shown), shown == trays)
    assert ["upstash-helper"] == user.keyring_services()

    gone = done(user.helper("uninstall", "--purge", "--yes"))

    assert before.keys() - {settings} == user.files().keys()
    assert not user.runtime.exists()
    assert ([], []) == (user.keyring_services(), user.trays())
    assert "" == user.run("systemctl", "--user", "list-unit-files", "--no-legend", "upstash-helper*").out
    assert "ConnectionRefusedError" == health(user)
    assert "UPSTASH_HELPER_API_KEY" in explained(gone)


def test_autostart_entries_start_the_new_version(wheels: Wheels, tmp_path: Path) -> None:
    """On a desktop without systemd and keyring. The API key is in a file."""
    if shutil.which("gio") is None:
        pytest.skip("gio is missing: apt-get install libglib2.0-bin")
    _, current = wheels.versions
    with UserSystemd.running(tmp_path / "home", systemd=False) as session:
        user = HelperUser(session, wheels, tmp_path, {"DISPLAY": ":77"})
        user.install_previous_version()
        before = user.files()
        user.start_bus()
        user.start_panel()
        user.start_sandbox(credential_store="file")
        done(user.helper(*INSTALL))
        user.connect()
        first = user.app(first=True)
        until(lambda: has_icon(user))
        installed, apps = user.files(), apps_of(user)

        # The next login.
        user.upgrade()
        done(user.helper("stop"))
        done(user.run("kill", *map(str, user.trays())))
        until(lambda: not user.trays())
        user.launch("upstash-helper-daemon.desktop")
        user.launch("upstash-helper-tray.desktop")
        until(lambda: health(user) == "200" and has_icon(user))
        started, unchanged = user.json("status"), user.files()

        shown = user.trays()
        report = user.json(*INSTALL)
        until(lambda: is_settled(user, replaced=shown))
        again, updated = user.json(*INSTALL), user.json("status")

        assert (current, "connected") == (started["version"], started["connection"]["state"])
        assert not {name for name in changed(installed, unchanged) if not name.startswith(STATE)}
        assert (first, apps) == (user.app(), apps_of(user))
        assert ("xdg-autostart", True) == (report["manager"], report["changed"])
        assert (False, []) == (again["changed"], again["steps"])
        assert (current, "connected") == (updated["version"], updated["connection"]["state"])

        done(user.helper("uninstall", "--purge", "--yes"))
        assert before == user.files()
        assert ("ConnectionRefusedError", []) == (health(user), user.trays())


def test_password_is_cleared_from_the_clipboard_by_the_previous_tray(
    session: UserSystemd, wheels: Wheels, tmp_path: Path
) -> None:
    """The password was copied before the upgrade, and the tray that copied it is still running."""
    user = HelperUser(session, wheels, tmp_path)
    user.install_previous_version()
    user.start_display()
    user.start_bus()
    user.start_panel("Databases", "orders", "Copy Redis URL")
    user.export_environment()
    user.start_sandbox(credential_store="file")
    done(user.helper(*INSTALL))
    user.connect()
    password = user.app(first=True)["password"]
    until(lambda: password in user.clipboard())
    trays = user.trays()

    user.upgrade()
    done(user.run("kill", *map(str, trays)))
    until(lambda: not user.trays())

    assert password not in user.clipboard()
