"""macOS: the agents, parsed by ``plistlib``, and the commands."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.install_context import AWKWARD, context
from upstash_helper.service import planner
from upstash_helper.service.context import InstallContext


def mac(home: Path, **changes: Any) -> InstallContext:
    """Return the context of a Mac."""
    return context(home, platform="darwin", systemd=False, **{"display": True, **changes})


def agents(found: InstallContext) -> dict[str, Any]:
    """Return the agents by file name."""
    plan = planner.plan(found)
    return {file.path.name: plistlib.loads(file.content) for file in plan.files if file.path.suffix == ".plist"}


def test_agent_starts_at_login_and_after_a_crash(tmp_path: Path) -> None:
    """The agent starts the daemon at login and after a crash, but not after a clean exit."""
    agent = agents(mac(tmp_path))["io.upstash-helper.daemon.plist"]

    assert ("io.upstash-helper.daemon", True, {"SuccessfulExit": False}, "Interactive") == (
        agent["Label"],
        agent["RunAtLoad"],
        agent["KeepAlive"],
        agent["ProcessType"],
    )
    assert ["/opt/venv/bin/python", "-P", "-m", "upstash_helper", "run", "--wait-for-port"] == agent["ProgramArguments"]
    assert str(tmp_path / ".local/state/upstash-helper/log/start.log") == agent["StandardErrorPath"]


@pytest.mark.parametrize("path", AWKWARD)
def test_command_and_environment_are_quoted(tmp_path: Path, path: str) -> None:
    """Command and environment are quoted correctly, whatever characters they contain."""
    found = mac(tmp_path, program=(path, "<&>"), environment={"UPSTASH_HELPER_HOME": f"{path}<&>"}, root=Path(path))

    agent = agents(found)["io.upstash-helper.daemon.plist"]

    assert [path, "<&>", "run", "--wait-for-port"] == agent["ProgramArguments"]
    assert {"UPSTASH_HELPER_HOME": f"{path}<&>"} == agent["EnvironmentVariables"]


def test_agents_are_installed_for_the_user(tmp_path: Path) -> None:
    """Agents are installed for the user. A loaded agent is loaded again only if it has changed."""
    plan = planner.plan(mac(tmp_path, profile="work"))

    file = tmp_path / "Library" / "LaunchAgents" / "io.upstash-helper.daemon-work.plist"
    assert file in {one.path for one in plan.files}
    started = [command for command in plan.after_install if "bootstrap" in command.argv]
    assert ("launchctl", "bootstrap", "gui/501", str(file)) == started[0].argv
    assert ("launchctl", "print", "gui/501/io.upstash-helper.daemon-work") == started[0].unless
    assert [("launchctl", "bootout", "gui/501/io.upstash-helper.daemon-work")] == [
        one.argv for one in plan.before_install
    ]
    assert all(command.may_fail for command in plan.before_uninstall)


def test_tray_has_its_own_agent(tmp_path: Path) -> None:
    """The tray has its own agent, which is not restarted when the user quits it."""
    found = agents(mac(tmp_path))
    without = agents(mac(tmp_path, tray="unwanted"))

    icon = found["io.upstash-helper.upstash-helper-tray.plist"]
    assert (True, False) == (icon["RunAtLoad"], "KeepAlive" in icon)
    assert ["io.upstash-helper.daemon.plist"] == list(without)


def test_running_tray_is_replaced_after_an_upgrade(tmp_path: Path) -> None:
    """After an upgrade, a running tray is replaced immediately."""
    shown = planner.plan(mac(tmp_path, tray_running=True)).after_install[-1]

    assert ("changed", False, "--replace") == (shown.when, shown.waits, shown.argv[-1])
    assert not any("--replace" in command.argv for command in planner.plan(mac(tmp_path)).after_install)


# launchd.plist(5), of the keys that the agents use: their types, and the allowed strings.
KEYS: dict[str, Any] = {
    "Label": str,
    "ProgramArguments": list,
    "EnvironmentVariables": dict,
    "RunAtLoad": bool,
    "KeepAlive": dict,
    "ThrottleInterval": int,
    "ExitTimeOut": int,
    "LimitLoadToSessionType": {"Aqua", "Background", "LoginWindow", "System"},
    "ProcessType": {"Background", "Standard", "Adaptive", "Interactive"},
    "AbandonProcessGroup": bool,
    "HardResourceLimits": dict,
    "StandardOutPath": str,
    "StandardErrorPath": str,
}
IN_KEEP_ALIVE = {"SuccessfulExit", "NetworkState", "PathState", "OtherJobEnabled", "Crashed"}
IN_LIMITS = {
    "Core", "CPU", "Data", "FileSize", "MemoryLock", "NumberOfFiles", "NumberOfProcesses", "ResidentSetSize", "Stack",
}  # fmt: skip


def test_agents_have_only_documented_keys(tmp_path: Path) -> None:
    """Launchd ignores a key that it does not know, and refuses an agent with a value of the wrong type."""
    found = agents(mac(tmp_path, environment={"UPSTASH_HELPER_HOME": "/x"}))

    for agent in found.values():
        for key, value in agent.items():
            allowed = KEYS[key]
            assert value in allowed if isinstance(allowed, set) else type(value) is allowed
        assert set(agent.get("KeepAlive", ())) <= IN_KEEP_ALIVE
        assert set(agent.get("HardResourceLimits", ())) <= IN_LIMITS
        assert all(isinstance(word, str) for word in agent["ProgramArguments"])
        assert all(isinstance(value, str) for value in agent.get("EnvironmentVariables", {}).values())
    assert 2 == len(found)


def test_daemon_is_not_throttled(tmp_path: Path) -> None:
    """A person waits for its answers: a background or standard job has less of the processor and the disk."""
    assert {"Interactive"} == {agent["ProcessType"] for agent in agents(mac(tmp_path)).values()}
