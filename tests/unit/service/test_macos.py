"""macOS: the agents, read by ``plistlib``, and the commands."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.service_facts import AWKWARD, facts
from upstash_helper.service import planner
from upstash_helper.service.facts import Facts


def mac(home: Path, **changes: Any) -> Facts:
    """Return facts about a Mac."""
    return facts(home, platform="darwin", systemd=False, **changes)


def agents(found: Facts) -> dict[str, Any]:
    """Return the agents by their files' names."""
    plan = planner.plan(found)
    return {file.path.name: plistlib.loads(file.content) for file in plan.files if file.path.suffix == ".plist"}


def test_the_agent_starts_at_login_and_after_a_crash(tmp_path: Path) -> None:
    """Not after it was asked to stop."""
    agent = agents(mac(tmp_path))["io.upstash-helper.daemon.plist"]

    assert ("io.upstash-helper.daemon", True, {"SuccessfulExit": False}, "Background") == (
        agent["Label"],
        agent["RunAtLoad"],
        agent["KeepAlive"],
        agent["ProcessType"],
    )
    assert ["/opt/venv/bin/python", "-P", "-m", "upstash_helper", "run", "--wait-for-port"] == agent["ProgramArguments"]
    assert str(tmp_path / ".local/state/upstash-helper/log/start.log") == agent["StandardErrorPath"]


@pytest.mark.parametrize("path", AWKWARD)
def test_launchd_runs_exactly_the_command(tmp_path: Path, path: str) -> None:
    """In the environment that it needs; whatever the folders are called."""
    found = mac(tmp_path, program=(path, "<&>"), environment={"UPSTASH_HELPER_HOME": f"{path}<&>"}, root=Path(path))

    agent = agents(found)["io.upstash-helper.daemon.plist"]

    assert [path, "<&>", "run", "--wait-for-port"] == agent["ProgramArguments"]
    assert {"UPSTASH_HELPER_HOME": f"{path}<&>"} == agent["EnvironmentVariables"]


def test_agents_go_into_the_users_library_and_domain(tmp_path: Path) -> None:
    """No administrator is needed. What is loaded already is loaded anew only if it has changed."""
    plan = planner.plan(mac(tmp_path, profile="work"))

    file = tmp_path / "Library" / "LaunchAgents" / "io.upstash-helper.daemon-work.plist"
    assert file in {one.path for one in plan.files}
    started = [command for command in plan.after if "bootstrap" in command.argv]
    assert ("launchctl", "bootstrap", "gui/501", str(file)) == started[0].argv
    assert ("launchctl", "print", "gui/501/io.upstash-helper.daemon-work") == started[0].unless
    assert [("launchctl", "bootout", "gui/501/io.upstash-helper.daemon-work")] == [one.argv for one in plan.before]
    assert all(command.may_fail for command in plan.leaving)


def test_the_tray_is_an_agent_of_its_own(tmp_path: Path) -> None:
    """Who quits it does not have it back before the next login."""
    found = agents(mac(tmp_path))
    without = agents(mac(tmp_path, tray="unwanted"))

    icon = found["io.upstash-helper.upstash-helper-tray.plist"]
    assert (True, False) == (icon["RunAtLoad"], "KeepAlive" in icon)
    assert ["io.upstash-helper.daemon.plist"] == list(without)


def test_an_icon_that_is_shown_makes_room_for_a_newer_one(tmp_path: Path) -> None:
    """At once, and not at the next login."""
    shown = planner.plan(mac(tmp_path, tray_running=True)).after[-1]

    assert ("changed", False, "--replace") == (shown.when, shown.waits, shown.argv[-1])
    assert not any("--replace" in command.argv for command in planner.plan(mac(tmp_path)).after)
