"""``setup``: configuring the agents on this computer to use upstash-helper."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import click
import msgspec

from upstash_helper.cli import exit_codes
from upstash_helper.cli.agents import changes, preview, record
from upstash_helper.cli.agents.catalog import AGENTS, Agent, Computer, Target, Transport
from upstash_helper.cli.agents.changes import State
from upstash_helper.cli.agents.errors import Refused
from upstash_helper.cli.agents.wanted import this_computer, wanted
from upstash_helper.cli.command import closest, command
from upstash_helper.cli.errors import Failure
from upstash_helper.cli.options import confirm, yes_option
from upstash_helper.cli.output import colored, note, print_json, printable, say, table
from upstash_helper.cli.session import Session, pass_session
from upstash_helper.settings.profiles import SettingsError, located_profiles

if TYPE_CHECKING:
    from upstash_helper.cli.agents.changes import Examined, Proposal, Wanted

_EXAMPLES: Final = """
# Show the agents on this computer, and whether they use upstash-helper
upstash-helper setup --list

# Set up all of them, or only some
upstash-helper setup
upstash-helper setup claude-code codex

# Restore the files
upstash-helper setup --undo
"""

_STATES: Final = {
    "not_found": "not found",
    "not_set_up": "not set up",
    "set_up": "set up",
    "different": "set up differently",
    "unreadable": "not readable",
}
_COLORS: Final = {"+": "green", "-": "red"}

_Key = tuple[str, Path]
"""An agent's file: the agent's name and the path."""


class AgentReport(msgspec.Struct, frozen=True, kw_only=True):
    """An agent and its changes, as JSON."""

    name: str
    title: str
    state: State
    transport: Transport | None
    """How it connects, if it is set up."""
    file: str
    changed: bool = False
    diff: Sequence[str] = ()
    """The changed lines. Values that are not ours are left out, since they may be secrets."""
    note: str = ""
    problem: str = ""
    next_step: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The result of ``setup`` as JSON."""

    action: Literal["list", "setup", "undo"]
    server: str
    """The name of the entry."""
    dry_run: bool
    changed: bool
    agents: Sequence[AgentReport]
    notes: Sequence[str] = ()


class _AgentName(click.Choice[str]):
    """The name of an agent. The error for another one says which name was meant, or how to configure the agent."""

    def __init__(self) -> None:
        super().__init__(tuple(AGENTS))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if value in AGENTS:
            return value
        names = {name.lower(): agent.name for agent in AGENTS.values() for name in (agent.name, agent.title)}
        match = closest(value.lower(), names)
        session = None if ctx is None else ctx.find_object(Session)
        if match is not None:
            hint = f"Did you mean {names[match]}?"
        elif session is not None:
            targets = wanted(session.profile_flag, os.environ).targets
            address = f"the address {targets['http'].url}, or " if "http" in targets else ""
            hint = f"In any other agent, add {address}the command: {session.command('mcp')}"
        else:
            hint = ""
        raise click.BadParameter(f"{value!r} is not one of {', '.join(AGENTS)}. {hint}".rstrip(), ctx, param)


@command("setup", examples=_EXAMPLES)
@click.argument("agents", type=_AgentName(), nargs=-1, metavar="[AGENT]...")
@click.option("--list", "list_only", is_flag=True, help="Only show the agents and their state.")
@click.option("--undo", is_flag=True, help="Restore the files as they were before setup.")
@click.option(
    "--transport",
    type=click.Choice(("http", "stdio")),
    help="Connect to the daemon's address (http), or start the command upstash-helper mcp (stdio).  [default: the one"
    " that works best with the agent]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be changed, without changing it.")
@click.option("--force", is_flag=True, help="Allow a command that is in a temporary folder, which may be deleted.")
@yes_option
@pass_session
def setup(
    session: Session,
    *,
    agents: tuple[str, ...],
    list_only: bool,
    undo: bool,
    transport: Transport | None,
    dry_run: bool,
    force: bool,
    yes: bool,
) -> None:
    """
    Configure agents on this computer to use upstash-helper.

    Finds Claude Code, Codex, Gemini CLI, Cursor, VS Code, and OpenCode, shows the changes to their configuration, and
    asks before writing them. No secret is written: each agent requests access when it first connects, and you approve
    it.

    An agent is found if its program is on the PATH or its settings exist: a folder such as ~/.codex, or for Gemini CLI,
    the file ~/.gemini/settings.json.

    AGENT is claude-code, codex, gemini, cursor, vscode, or opencode. By default, all agents that are found and not yet
    set up are set up; to replace an agent's existing entry, name the agent. Only your user configuration is changed,
    never a project's. A profile other than the default gets its own entry, such as upstash-work.
    """
    if sum((list_only, undo, transport is not None)) > 1:
        raise click.UsageError("Use only one of --list, --undo, and --transport.")
    goal = wanted(session.profile_flag, os.environ)
    run = _Run(session, this_computer(), goal, dry=dry_run, yes=yes)
    try:
        if undo:
            run.undo(agents)
        else:
            run.set_up(agents, transport, list_only=list_only, force=force)
    except Refused as error:
        raise Failure(str(error), code="configuration_refused") from error


class _Run:
    """One run of the command."""

    def __init__(self, session: Session, computer: Computer, goal: Wanted, *, dry: bool, yes: bool) -> None:
        self._session = session
        self._computer = computer
        self._goal = goal
        self._state = session.folders.state
        self._dry = dry
        self._yes = yes
        self._notes: list[str] = []
        self._problems: dict[str, str] = {}

    # --- setting up ---------------------------------------------------------------------------------------------------

    def set_up(self, names: tuple[str, ...], transport: Transport | None, *, list_only: bool, force: bool) -> None:
        """Show the agents, and set up the named ones, or all that are not set up if none is named."""
        chosen = [AGENTS[name] for name in dict.fromkeys(names)] or list(AGENTS.values())
        found = [changes.examine(agent, self._computer, self._goal) for agent in chosen]
        if not self._session.json and (list_only or not names):
            say(self._listing(found))
        if list_only:
            if self._session.json:
                print_json(self._report("list", [self._listed(one) for one in found]))
            return
        self._check_found(found, named=bool(names))
        proposals = self._proposals(found, transport, named=bool(names), force=force)
        if not (names or self._session.json):
            click.echo()
        self._carry_out(
            "setup",
            found,
            proposals,
            lambda proposal: changes.propose_setup(
                proposal.agent, self._computer, self._goal, self._target(proposal.agent, transport), self._state
            ),
        )

    def _target(self, agent: Agent, transport: Transport | None) -> Target:
        try:
            return self._goal.target(agent, transport)
        except KeyError:
            message = (
                'With port_policy = "on-demand", the daemon has no fixed address. Set api_port, or use'
                " --transport stdio."
            )
            raise Failure(message, code="no_address", exit_code=exit_codes.USAGE) from None

    def _check_found(self, found: Sequence[Examined], *, named: bool) -> None:
        """
        Refuse to configure agents that were not found.

        Raises:
            Failure: With one line for each agent, with which the user can configure it.
        """
        missing = [one.agent for one in found if one.state == "not_found"]
        if not missing or (not named and len(missing) < len(found)):
            return
        names = _listed_words([agent.title for agent in missing])
        what = f"{names} {'was' if len(missing) == 1 else 'were'} not found" if named else "No agent was found"
        lines = "\n".join(
            f"  {agent.title}: {agent.by_hand(self._goal.server, self._target(agent, None))}" for agent in missing
        )
        message = f"{what} on this computer. To configure an agent yourself:\n{lines}"
        raise Failure(message, code="agent_not_found", exit_code=exit_codes.NOT_FOUND)

    def _proposals(
        self, found: Sequence[Examined], transport: Transport | None, *, named: bool, force: bool
    ) -> list[Proposal]:
        proposals = []
        for one in found:
            if one.state == "not_found":
                continue
            if not named and one.state == "different":
                command_line = self._session.command("setup", one.agent.name)
                self._notes.append(
                    f'{one.agent.title} has a different entry "{self._goal.server}". To replace it: {command_line}'
                )
                continue
            if one.state == "set_up" and transport is None:
                continue
            target = self._target(one.agent, transport)
            try:
                self._check_program(target, force=force)
                proposals.append(changes.propose_setup(one.agent, self._computer, self._goal, target, self._state))
            except Refused as error:
                self._problems[one.agent.name] = str(error)
        return proposals

    def _check_program(self, target: Target, *, force: bool) -> None:
        from upstash_helper.service.executable import unsuitable_reason

        reason = unsuitable_reason(target.command)
        if reason is not None and not force:
            address = ", or to connect to the daemon's address instead, with --transport http"
            ways_out = f"with --force to use it anyway{address if 'http' in self._goal.targets else ''}"
            message = f"{reason} Then run setup again. Or run it {ways_out}."
            raise Refused(message)

    # --- undoing ------------------------------------------------------------------------------------------------------

    def undo(self, names: tuple[str, ...]) -> None:
        """Undo the recorded changes of the named agents, or of all agents if none is named."""
        recorded = record.load(self._state)
        server = self._goal.server
        agents = [AGENTS[name] for name in dict.fromkeys(names)] or list(AGENTS.values())
        mine = {
            agent.name: [one for one in recorded if one.agent == agent.name and one.server == server]
            for agent in agents
        }
        proposals = []
        for agent in agents:
            for changes_of_file in record.by_file(mine[agent.name]):
                try:
                    proposals.append(changes.propose_undo(agent, changes_of_file))
                except Refused as error:
                    self._add_problem(agent, error)
        found = [changes.examine(agent, self._computer, self._goal) for agent in agents if mine[agent.name] or names]
        self._note_other_profiles(agents)
        self._carry_out(
            "undo", found, proposals, lambda proposal: changes.propose_undo(proposal.agent, proposal.replaces)
        )

    def _note_other_profiles(self, agents: Sequence[Agent]) -> None:
        """Add a note about the entries of other profiles, which stay. They have records of their own."""
        names = {agent.name for agent in agents}
        with contextlib.suppress(SettingsError, OSError):
            for profile, folders in located_profiles():
                if profile == self._session.profile:
                    continue
                with contextlib.suppress(Refused):
                    changed = {one.agent for one in record.load(folders.state)} & names
                    if not changed:
                        continue
                    titles = _listed_words([AGENTS[name].title for name in AGENTS if name in changed])
                    undo = Session(profile=profile).command("setup", "--undo")
                    self._notes.append(
                        f"The entry of the profile {profile} is still in the configuration of {titles}. To remove it:"
                        f" {undo}"
                    )

    # --- both ---------------------------------------------------------------------------------------------------------

    def _carry_out(
        self,
        action: Literal["setup", "undo"],
        found: Sequence[Examined],
        proposals: Sequence[Proposal],
        again: Callable[[Proposal], Proposal],
    ) -> None:
        pending = [one for one in proposals if one.is_change]
        diffs = {_key(one): preview.lines(one, visible=self._visible(one)) for one in pending}
        if not self._session.json:
            for one in pending:
                _show(one, diffs[_key(one)])
        if pending and not self._dry:
            files = "this file" if len(pending) == 1 else f"these {len(pending)} files"
            confirm(f"Change {files}?", yes=self._yes)
        done: dict[_Key, Proposal] = {}
        for one in proposals:
            if self._dry:
                continue
            try:
                done[_key(one)] = changes.apply(one, partial(again, one), state=self._state)
            except Refused as error:
                self._add_problem(one.agent, error)
        self._conclude(action, found, proposals, done, diffs)

    def _add_problem(self, agent: Agent, error: Refused) -> None:
        """Keep the problem of a file. An agent can have several."""
        earlier = self._problems.get(agent.name)
        self._problems[agent.name] = f"{earlier}\n{error}" if earlier else str(error)

    def _visible(self, proposal: Proposal) -> set[str]:
        targets = self._goal.targets.values()
        own = {text for target in targets for text in preview.literals(proposal.agent.fields(target))}
        return own | preview.visible_in(proposal)

    def _conclude(
        self,
        action: Literal["setup", "undo"],
        found: Sequence[Examined],
        proposals: Sequence[Proposal],
        done: dict[_Key, Proposal],
        diffs: dict[_Key, list[str]],
    ) -> None:
        changed = list(dict.fromkeys(key[0] for key in done if key in diffs))
        notes = _notes([done.get(_key(one), one) for one in proposals])
        steps = self._next_steps(changed) if action == "setup" else {}
        if action == "setup" and changed:
            self._note_if_not_running([one for key, one in done.items() if key in diffs])
        if self._session.json:
            reports = [
                msgspec.structs.replace(
                    self._listed(changes.examine(one.agent, self._computer, self._goal)),
                    changed=one.agent.name in changed,
                    diff=[line for key, lines in diffs.items() if key[0] == one.agent.name for line in lines],
                    note=" ".join(notes.get(one.agent.name, ())),
                    problem=self._problems.get(one.agent.name, one.problem),
                    next_step=steps.get(one.agent.name, ""),
                )
                for one in found
            ]
            print_json(self._report(action, reports, changed=bool(changed)))
        else:
            self._print_conclusion(action, changed, notes, steps)
        if self._problems:
            raise Failure(_problem_lines(self._problems), code="configuration_refused")

    def _print_conclusion(
        self,
        action: str,
        changed: Sequence[str],
        notes: dict[str, list[str]],
        steps: dict[str, str],
    ) -> None:
        titles = [AGENTS[name].title for name in changed]
        if titles:
            say(f"{'Set up' if action == 'setup' else 'Restored'}: {_listed_words(titles)}.")
        elif not self._dry and not self._problems:
            say("Nothing to change." if action == "setup" else "Nothing to undo.")
        for name, texts in notes.items():
            for text in texts:
                note(f"{AGENTS[name].title}: {printable(text)}")
        for step in steps.values():
            say(f"Next: {step}")
        for text in self._notes:
            note(f"Note: {printable(text)}")

    def _next_steps(self, changed: Sequence[str]) -> dict[str, str]:
        steps = {}
        for name in changed:
            examined = changes.examine(AGENTS[name], self._computer, self._goal)
            if examined.target is not None and examined.target.url:
                steps[name] = AGENTS[name].sign_in.format(server=self._goal.server)
            else:
                steps[name] = f"Restart {AGENTS[name].title}, and approve its request for access."
        return steps

    def _note_if_not_running(self, done: Sequence[Proposal]) -> None:
        """Add a note if nothing answers at the address. With the command, the agent starts the daemon."""
        from upstash_helper.protocol import discovery
        from upstash_helper.service.context import this_platform
        from upstash_helper.service.control import find

        by_address = [one.agent.title for one in done if one.changes and "url" in one.changes[-1].fields]
        if not by_address or discovery.is_running(self._session.folders.runtime):
            return
        with contextlib.suppress(OSError):
            if find(self._session.profile, self._session.folders, platform=this_platform()) is not None:
                return
        self._notes.append(
            f"{_listed_words(by_address)} can connect only while the daemon is running. To start the daemon at login:"
            f" {self._session.command('install')}"
        )

    def _listing(self, found: Sequence[Examined]) -> str:
        rows = [
            (one.agent.name, one.agent.title, _state_text(one), "" if one.state == "not_found" else _short(one.path))
            for one in found
        ]
        return table(rows, header=("AGENT", "NAME", "STATE", "FILE"))

    def _listed(self, one: Examined) -> AgentReport:
        return AgentReport(
            name=one.agent.name,
            title=one.agent.title,
            state=one.state,
            transport=one.target.transport if one.target is not None and one.state == "set_up" else None,
            file=str(one.path),
            problem=one.problem,
        )

    def _report(
        self, action: Literal["list", "setup", "undo"], agents: Sequence[AgentReport], *, changed: bool = False
    ) -> Report:
        return Report(
            action=action,
            server=self._goal.server,
            dry_run=self._dry,
            changed=changed,
            agents=agents,
            notes=self._notes,
        )


def _key(proposal: Proposal) -> _Key:
    return proposal.agent.name, proposal.file.path


def _problem_lines(problems: Mapping[str, str]) -> str:
    """Return each problem once, after the agents that have it."""
    agents: dict[str, list[str]] = {}
    for name, text in problems.items():
        agents.setdefault(text, []).append(AGENTS[name].title)
    return "\n".join(f"{_listed_words(titles)}: {text}" for text, titles in agents.items())


def _notes(proposals: Sequence[Proposal]) -> dict[str, list[str]]:
    """Return the notes by agent, with the file if the agent has several."""
    notes: dict[str, list[str]] = {}
    for one in proposals:
        has_others = any(other.agent.name == one.agent.name and other is not one for other in proposals)
        if one.note:
            text = f"{_short(one.file.path)}: {one.note}" if has_others else one.note
            notes.setdefault(one.agent.name, []).append(text)
    return notes


def _show(proposal: Proposal, diff: Sequence[str]) -> None:
    where = _short(proposal.file.path)
    if proposal.file.path != proposal.file.target:
        where += f" (a link to {_short(proposal.file.target)})"
    what = " (new file)" if proposal.file.data is None else " (file will be removed)" if proposal.data is None else ""
    say(f"{proposal.agent.title}: {where}{what}")
    for line in diff:
        shown = printable(line.replace("\t", "    "))
        color = _COLORS.get(line[:1])
        click.echo("  " + (colored(shown, color) if color else shown))
    click.echo()


def _state_text(one: Examined) -> str:
    how = f" ({one.target.transport})" if one.state == "set_up" and one.target is not None else ""
    return _STATES[one.state] + how


def _short(path: Path) -> str:
    home = f"{Path.home()}{os.sep}"
    return str(path).replace(home, f"~{os.sep}", 1)


def _listed_words(words: Sequence[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
