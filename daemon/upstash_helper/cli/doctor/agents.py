"""The check of agents: whether they are configured to use this helper, and whether it exists."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.doctor.check import CheckResult, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from upstash_helper.cli.agents.catalog import Computer
    from upstash_helper.cli.agents.changes import Examined, Wanted
    from upstash_helper.cli.doctor.context import DoctorContext

_NAME: Final = "Agents"


def agents(context: DoctorContext, *, computer: Computer | None = None) -> Iterator[CheckResult]:
    """
    Whether the agents on this computer are configured to use this helper.

    Args:
        context: The settings.
        computer: Where the agents are; by default this computer.
    """
    from upstash_helper.cli.agents import changes
    from upstash_helper.cli.agents.catalog import AGENTS
    from upstash_helper.cli.agents.wanted import this_computer, wanted
    from upstash_helper.settings.profiles import SettingsError

    try:
        here = this_computer() if computer is None else computer
        goal = wanted(context.session.profile_flag, os.environ)
    except SettingsError:
        return  # the check of the settings reports it
    found = [changes.examine(agent, here, goal) for agent in AGENTS.values()]
    problems = [problem for one in found if (problem := _problem(one, goal, context)) is not None]
    yield from problems
    if problems:
        return
    titles = [one.agent.title for one in found if one.state == "set_up"]
    if titles:
        yield ok(_NAME, f"set up: {', '.join(titles)}")
    elif any(one.state != "not_found" for one in found):
        yield ok(_NAME, f"found, but none is set up; to set them up: {context.command('setup')}")
    else:
        yield ok(_NAME, "none found")


def _problem(one: Examined, goal: Wanted, context: DoctorContext) -> CheckResult | None:
    again = f"Set it up again: {context.command('setup', one.agent.name)}"
    if one.state == "unreadable":
        return warning(_NAME, one.problem.removesuffix(" It was not changed."), "Fix the file.")
    if one.state == "set_up" and one.target is not None and one.target.command:
        program = one.target.command[0]
        if not Path(program).exists():
            return warning(_NAME, f"{one.agent.title} starts {program}, which does not exist", again)
    if one.state != "different" or one.target is None:
        return None
    if one.target.command and _is_ours(one.target.command):
        program = one.target.command[0]
        gone = ", which no longer exists" if Path(program).is_absolute() and not Path(program).exists() else ""
        return warning(
            _NAME, f"{one.agent.title} is configured to start another upstash-helper: {program}{gone}", again
        )
    if one.target.url.startswith(("http://localhost:", "http://127.0.0.1:")):
        expected = goal.targets["http"].url if "http" in goal.targets else "no fixed address"
        detail = f"{one.agent.title} is configured to use {one.target.url}, but this helper uses {expected}"
        return warning(_NAME, detail, again)
    return None


def _is_ours(command: tuple[str, ...]) -> bool:
    """Return whether a command starts an upstash-helper, even one that was removed."""
    return "upstash_helper" in command or Path(command[0]).stem == "upstash-helper"
