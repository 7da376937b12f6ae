"""launchd: loading, unloading, and starting agents, with a ``launchctl`` that is as slow as the real one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.install_context import context
from tests.support.launchctl import Launchctl
from upstash_helper.service import control, launchd, planner
from upstash_helper.service.autostart import own_uid
from upstash_helper.service.context import InstallContext, detect_context
from upstash_helper.service.control import Installed
from upstash_helper.service.executor import Executor, Installer, Uninstaller, run
from upstash_helper.service.plan import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

DAEMON, ICON = "io.upstash-helper.daemon", "io.upstash-helper.upstash-helper-tray"


class Mac:
    """A user of a Mac."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.launchd = Launchctl(folder / "launchd")
        self.slept: list[float] = []
        self.file = self.home / "Library/LaunchAgents" / f"{DAEMON}.plist"

    def context(self, **changes: Any) -> InstallContext:
        """Return the install context."""
        usual = {"display": True, "tray": "unwanted", "documents": {}}
        return context(self.home, platform="darwin", systemd=False, **{**usual, **changes})

    def install(self, **changes: Any) -> Executor:
        """Install."""
        executor = Installer(planner.plan(self.context(**changes)), runner=self.launchd, sleep=self.slept.append)
        executor.install()
        return executor

    def uninstall(self) -> Executor:
        """Uninstall."""
        executor = Uninstaller(planner.whole_plan(self.context()), runner=self.launchd, sleep=self.slept.append)
        executor.uninstall()
        return executor

    def service(self) -> Installed:
        """Return the installed service."""
        found = Installed(
            manager="launchd",
            name=DAEMON,
            files=(self.file,),
            environment={},
            runner=self.launchd,
            sleep=self.slept.append,
        )
        assert self.file.exists()
        return found


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    """A Mac on which nothing is installed."""
    return Mac(tmp_path)


# --- installing -------------------------------------------------------------------------------------------------------


def test_first_installation_loads_the_agent(mac: Mac) -> None:
    """It is enabled first: a label that was turned off earlier stays so, even after its file is gone."""
    mac.launchd.set(disabled=[DAEMON])

    executor = mac.install(turned_off=frozenset({DAEMON}))

    assert [f"enable gui/501/{DAEMON}", f"bootstrap gui/501 {mac.file}"] == mac.launchd.calls("enable", "bootstrap")
    assert [] == mac.slept
    assert any("Script Editor" in note for note in executor.notes)
    assert not any("keychain" in note for note in executor.notes)


def test_upgrade_waits_until_the_old_agent_is_gone(mac: Mac) -> None:
    """`bootout` returns before, and `bootstrap` fails with 5 even a little longer. The new agent is loaded."""
    mac.install()
    mac.launchd.set(prints_until_gone=3, busy=2)

    executor = mac.install(version="99.0.0")

    assert "99.0.0" in mac.launchd.get("loaded")[DAEMON]
    assert 4 <= len(mac.slept) <= 5
    assert any("keychain" in note for note in executor.notes)
    assert not any("Script Editor" in note for note in executor.notes)


def test_upgrade_that_launchd_keeps_refusing_fails_with_advice(mac: Mac) -> None:
    """The error names the place where macOS lets the user turn off background items."""
    mac.install()
    mac.launchd.set(busy=10_000)

    with pytest.raises(ServiceError, match=r"failed with code 5: .*error\. If .*Login Items & Extensions") as error:
        mac.install(version="99.0.0")

    assert "command_failed" == error.value.code
    assert sum(mac.slept) <= 31


def test_agent_that_was_loaded_in_the_meantime_is_fine(mac: Mac) -> None:
    """A login loads it as well."""
    mac.launchd.set(appears=True)

    mac.install()

    assert "by a login" == mac.launchd.get("loaded")[DAEMON]


def test_agent_that_was_turned_off_is_turned_on_by_install(mac: Mac) -> None:
    """This needs no change of its file."""
    mac.install()
    mac.launchd.set(disabled=[DAEMON], loaded={})

    mac.install(turned_off=frozenset({DAEMON}))

    assert [DAEMON] == list(mac.launchd.get("loaded"))


def test_icon_that_was_turned_off_stays_so(mac: Mac) -> None:
    """The daemon is installed, and a note says how to turn the icon on."""
    mac.launchd.set(disabled=[ICON])

    executor = mac.install(tray="wanted", turned_off=frozenset({ICON}))

    assert [DAEMON] == list(mac.launchd.get("loaded"))
    assert any(f"launchctl enable gui/501/{ICON}" in note for note in executor.notes)


def test_installation_over_ssh_says_when_the_daemon_starts(mac: Mac) -> None:
    """Without a desktop session there is no domain for the agents. launchd loads their files at login."""
    mac.launchd.set(desktop=False)

    executor = mac.install(display=False, tray="wanted")
    profile = mac.install(display=False, profile="work")

    assert mac.file.exists()
    assert [] == mac.launchd.calls()
    assert any("starts when you log in there" in note and "upstash-helper start" in note for note in executor.notes)
    assert any("upstash-helper --profile work start" in note for note in profile.notes)


def test_unchanged_installation_runs_nothing(mac: Mac) -> None:
    """A loaded agent is only looked at."""
    mac.install()
    mac.launchd.calls()

    executor = mac.install()

    assert [] == executor.steps
    assert {"print"} == {call.split()[0] for call in mac.launchd.calls()}


def test_uninstall_waits_until_the_agents_are_gone(mac: Mac) -> None:
    """An installation right after it finds no remains. An agent that is not loaded does not matter."""
    mac.install()
    mac.launchd.calls()
    mac.launchd.set(prints_until_gone=2)

    mac.uninstall()

    assert {} == mac.launchd.get("loaded")
    assert not mac.file.exists()
    assert [f"bootout gui/501/{DAEMON}", f"bootout gui/501/{ICON}"] == mac.launchd.calls("bootout")


def test_uninstall_without_a_desktop_session_removes_the_files(mac: Mac) -> None:
    """There is nothing to unload then."""
    mac.install()
    mac.launchd.calls()
    mac.launchd.set(desktop=False)
    executor = Uninstaller(planner.whole_plan(mac.context(display=False)), runner=mac.launchd, sleep=mac.slept.append)

    executor.uninstall()

    assert not mac.file.exists()
    assert [] == mac.launchd.calls("bootout")


# --- starting ---------------------------------------------------------------------------------------------------------


def test_start_loads_an_agent_that_is_not_loaded(mac: Mac) -> None:
    """Loading it starts it, so it is not started a second time."""
    mac.install()
    mac.launchd.set(loaded={}, disabled=[DAEMON], busy=1)
    mac.launchd.calls()

    mac.service().start()

    domain = f"gui/{own_uid()}"
    assert [
        f"enable {domain}/{DAEMON}",
        f"bootstrap {domain} {mac.file}",
        f"bootstrap {domain} {mac.file}",
    ] == mac.launchd.calls("enable", "bootstrap", "kickstart")


@pytest.mark.parametrize("code", [0, 37])
def test_start_replaces_an_instance_that_is_exiting(mac: Mac, code: int) -> None:
    """`kickstart` without `-k` would take it for the running one. 37: launchd is already starting it."""
    mac.install()
    mac.launchd.set(kickstart=code)
    mac.launchd.calls()

    mac.service().start()

    assert [f"kickstart -k gui/{own_uid()}/{DAEMON}"] == mac.launchd.calls("enable", "bootstrap", "kickstart")


def test_start_that_fails_says_why(mac: Mac) -> None:
    """The error has launchd's code."""
    mac.install()
    mac.launchd.set(kickstart=113)

    with pytest.raises(
        ServiceError, match=r"`launchctl kickstart -k gui/\d+/io.upstash-helper.daemon` failed with code 113"
    ):
        mac.service().start()


def test_launchd_starts_nothing_without_a_desktop_session(mac: Mac) -> None:
    """`start` then runs the daemon itself."""
    mac.install()
    with_desktop = mac.service().starts
    mac.launchd.set(desktop=False)

    assert (True, False) == (with_desktop, mac.service().starts)


# --- the state --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True], ids=["macOS 13", "macOS 12"])
def test_context_has_what_launchd_reports(mac: Mac, tmp_path: Path, old: bool) -> None:  # noqa: FBT001
    """Agents that are turned off are found in the output of every version of macOS."""
    environ = {"UPSTASH_HELPER_HOME": str(tmp_path / "root")}
    mac.launchd.set(disabled=[DAEMON], old=old)

    here = detect_context(None, environ=environ, platform="darwin", runner=mac.launchd)
    mac.launchd.set(desktop=False, disabled=[])
    remote = detect_context(None, environ=environ, platform="darwin", runner=mac.launchd)

    assert ("darwin", True, frozenset({DAEMON})) == (here.platform, here.display, here.turned_off)
    assert (False, frozenset()) == (remote.display, remote.turned_off)
    assert (None, False, False) == (here.runtime_dir, here.systemd, here.unreachable)


@pytest.mark.parametrize(
    ("changes", "state", "enabled", "fix"),
    [
        ({}, "loaded", True, None),
        ({"loaded": {}}, "not loaded", True, "Run INSTALL. If that fails"),
        ({"disabled": [DAEMON]}, "turned off", False, "Run INSTALL, and check System Settings > General > Login Items"),
        ({"desktop": False}, "no desktop session", True, "Until then, start the daemon with: START"),
    ],
)
def test_each_state_has_a_fix(mac: Mac, changes: dict[str, Any], state: Any, enabled: bool, fix: str | None) -> None:  # noqa: FBT001
    """`status` and `doctor` show it."""
    mac.install(uid=own_uid())
    mac.launchd.set(**changes)

    found = mac.service()
    explained = launchd.explain(state, install="INSTALL", start="START")

    assert (state, enabled) == (found.state(), found.enabled())
    assert (fix is None) == (explained is None)
    assert explained is None or (fix or "") in explained.fix


def test_state_is_unknown_if_launchd_does_not_answer(mac: Mac, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is not taken for turned off."""
    mac.install()
    monkeypatch.setenv("PATH", str(tmp_path))
    service = replace(mac.service(), runner=run)

    assert ("unknown", None) == (service.state(), service.enabled())
    assert launchd.explain("unknown", install="", start="") is None


def test_agent_of_this_profile_and_home_is_found(mac: Mac) -> None:
    """The one of another profile, or one that install did not write, is not."""
    found = mac.context()
    mac.install()

    service = control.find("default", found.folders, environ={}, platform="darwin", user_home=mac.home)
    other = control.find("work", found.folders, environ={}, platform="darwin", user_home=mac.home)
    root = control.find(
        "default", found.folders, environ={"UPSTASH_HELPER_HOME": "/x"}, platform="darwin", user_home=mac.home
    )
    mac.file.write_text("<plist/>")
    foreign = control.find("default", found.folders, environ={}, platform="darwin", user_home=mac.home)

    assert service is not None
    assert ("launchd", DAEMON, (mac.file,), {}) == (service.manager, service.name, service.files, service.environment)
    assert [None, None, None] == [other, root, foreign]


def test_dry_run_changes_nothing(mac: Mac) -> None:
    """The state of the agents is only read."""
    executor = Installer(
        planner.plan(replace(mac.context(), tray="wanted")), dry=True, runner=mac.launchd, sleep=mac.slept.append
    )

    executor.install()

    assert not mac.file.exists()
    assert {"print"} == {call.split()[0] for call in mac.launchd.calls()}
    assert any("bootstrap" in step.what for step in executor.steps)
