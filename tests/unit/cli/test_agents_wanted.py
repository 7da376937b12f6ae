"""What agents are configured to use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.platforms import symbolic_links
from upstash_helper.cli.agents import changes
from upstash_helper.cli.agents.catalog import AGENTS, Computer, Target
from upstash_helper.cli.agents.wanted import programs, server_name, wanted
from upstash_helper.service.context import this_platform

BY_PYTHON = (str(Path(sys.executable).absolute()), "-P", "-m", "upstash_helper")
LAUNCHER = Path(sys.executable).absolute().parent / (
    "upstash-helper.exe" if sys.platform == "win32" else "upstash-helper"
)


def environ(folder: Path, *path: Path) -> dict[str, str]:
    return {"UPSTASH_HELPER_HOME": str(folder / "helper"), "PATH": ":".join(map(str, path))}


@symbolic_links
def test_launcher_on_the_path_is_used_if_it_belongs_to_this_python(tmp_path: Path) -> None:
    """
    It is written as it is on the PATH: what the link points to may have the version in its path.
    """
    (tmp_path / "upstash-helper").symlink_to(LAUNCHER)

    found = programs({"PATH": str(tmp_path)})

    assert [(str(tmp_path / "upstash-helper"),), BY_PYTHON, (str(LAUNCHER),)] == found


def test_launcher_of_another_installation_is_not_used(tmp_path: Path) -> None:
    """
    It may have another version, or be removed.
    """
    for name in ("upstash-helper", "upstash-helper.exe"):
        (tmp_path / name).touch(mode=0o700)

    assert BY_PYTHON == programs({"PATH": str(tmp_path)})[0]


def test_entry_with_either_command_is_set_up(tmp_path: Path) -> None:
    """
    Otherwise, `setup` would show another state in a terminal with another PATH.
    """
    goal = wanted(None, environ(tmp_path))
    computer = Computer(platform=this_platform(), home=tmp_path, environ={})
    for target in (*goal.targets.values(), *goal.equivalent):
        changes.apply(
            changes.propose_setup(AGENTS["cursor"], computer, goal, target, tmp_path / "state"),
            lambda: pytest.fail("nobody else changes the file"),
            state=tmp_path / "state",
        )

        assert ("set_up", target) == (
            changes.examine(AGENTS["cursor"], computer, goal).state,
            changes.examine(AGENTS["cursor"], computer, goal).target,
        )


def test_name_and_command_of_a_profile(tmp_path: Path) -> None:
    """
    Each profile has its own entry. Only the folder of the helper's files is passed on, since nothing else lasts.
    """
    variables = {**environ(tmp_path), "UPSTASH_HELPER_PORT": "4567", "UPSTASH_HELPER_API_KEY": "secret"}

    default, work = wanted(None, variables), wanted("work", variables)

    assert ("upstash", "upstash-work") == (default.server, work.server)
    assert Target(url="http://localhost:3000/mcp") == default.targets["http"]
    assert (
        Target(
            command=(*BY_PYTHON, "--profile", "work", "mcp"),
            environment={"UPSTASH_HELPER_HOME": str(tmp_path / "helper")},
        )
        == work.targets["stdio"]
    )
    assert "upstash" == server_name("default")
