"""
What ``uninstall`` does with the configuration of agents. --purge undoes the changes, since it removes their record.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from upstash_helper.cli.agents import changes, record
from upstash_helper.cli.agents.catalog import AGENTS
from upstash_helper.cli.agents.errors import Refused
from upstash_helper.service.executor import Action, Step

if TYPE_CHECKING:
    from pathlib import Path


def kept_note(state: Path, command: str) -> list[str]:
    """
    Return a note that names the agents that still have our entry; none if there are none.

    Args:
        state: The folder of the record.
        command: The command that removes the entries.
    """
    try:
        titles = dict.fromkeys(AGENTS[one.agent].title for one in record.load(state) if one.agent in AGENTS)
    except Refused as error:
        return [str(error)]
    if not titles:
        return []
    return [f"Kept: the upstash-helper entry in the configuration of {', '.join(titles)}. To remove it: {command}"]


def undo_all(state: Path, *, dry: bool) -> tuple[list[Step], list[str]]:
    """
    Undo the changes that ``setup`` made for the profile, and return the steps and notes.

    Args:
        state: The folder of the record.
        dry: Do not change anything.
    """
    steps: list[Step] = []
    notes: list[str] = []
    try:
        recorded = record.load(state)
    except Refused as error:
        return [], [str(error)]
    groups = [
        mine
        for name, server in dict.fromkeys((one.agent, one.server) for one in recorded)
        for mine in record.by_file([one for one in recorded if (one.agent, one.server) == (name, server)])
    ]
    for mine in groups:
        agent, server = AGENTS.get(mine[-1].agent), mine[-1].server
        if agent is None:
            continue
        try:
            proposal = changes.propose_undo(agent, mine)
            if not dry:
                again = partial(changes.propose_undo, agent, mine)
                proposal = changes.apply(proposal, again, state=state)
        except Refused as error:
            notes.append(str(error))
            continue
        if proposal.is_change:
            action: Action = "remove" if proposal.data is None else "replace"
            steps.append(Step(action=action, what=str(proposal.file.path), why=f"The entry {server} of {agent.title}."))
        if proposal.note:
            notes.append(f"{agent.title}: {proposal.file.path}: {proposal.note}")
    return steps, notes
