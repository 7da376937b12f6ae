"""Setting an agent up, and undoing it: proposing a change, and making it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from upstash_helper.cli.agents import config_file, entries, record
from upstash_helper.cli.agents.catalog import CONNECTION_FIELDS, Agent, Computer, Target, Transport, target_of
from upstash_helper.cli.agents.config_file import ConfigFile
from upstash_helper.cli.agents.errors import FileChanged, InvalidText, Refused

State = Literal["not_found", "not_set_up", "set_up", "different", "unreadable"]
"""``different``: our entry has different content. ``unreadable``: the file cannot be edited."""

_TRIES: Final = 5
_MAX_CANDIDATES: Final = 64

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the agents should use."""

    server: str
    """The name of the entry."""
    targets: Mapping[Transport, Target]
    """By transport. One may be missing."""
    equivalent: Sequence[Target] = ()
    """Other targets that start the same installation."""

    def target(self, agent: Agent, transport: Transport | None) -> Target:
        """
        Return the target for an agent: that of ``transport`` or, if that is None, the best one.

        Raises:
            KeyError: If there is none for the transport.
        """
        if transport is not None:
            return self.targets[transport]
        return self.targets.get(agent.transport) or next(iter(self.targets.values()))


@dataclass(frozen=True, kw_only=True)
class Examined:
    """An agent on this computer."""

    agent: Agent
    path: Path
    state: State
    target: Target | None = None
    """The target of the entry; None if there is no entry, or if it cannot be expressed as a target."""
    problem: str = ""
    """Why the file is unreadable."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A change that has not been made yet."""

    agent: Agent
    file: ConfigFile
    data: bytes | None = field(repr=False)
    """The new content; None removes the file."""
    note: str = ""
    """What the user should know about it."""
    changes: Sequence[record.Change] = ()
    """What the record contains afterward, in place of ``replaces``."""
    replaces: Sequence[record.Change] = ()
    """What the record no longer contains afterward, unless it is in ``changes``."""
    folders: Sequence[Path] = ()
    """Removed with the file, if they are empty."""

    @property
    def is_change(self) -> bool:
        """Whether the file would be changed."""
        return self.file.data != self.data


def examine(agent: Agent, computer: Computer, wanted: Wanted) -> Examined:
    """Return whether an agent is set up. This changes nothing."""
    path = agent.file(computer)
    if not agent.is_found(computer):
        return Examined(agent=agent, path=path, state="not_found")
    try:
        file = config_file.read(path)
        entry = _found(agent, file, wanted.server)
    except Refused as error:
        return Examined(agent=agent, path=path, state="unreadable", problem=str(error))
    if entry is None:
        return Examined(agent=agent, path=path, state="not_set_up")
    target = target_of(entry)
    is_set_up = any(one.is_used_by(target) for one in (*wanted.targets.values(), *wanted.equivalent))
    state: State = "set_up" if is_set_up else "different"
    return Examined(agent=agent, path=path, state=state, target=target)


def propose_setup(agent: Agent, computer: Computer, wanted: Wanted, target: Target, state: Path) -> Proposal:
    """
    Return the change that makes an agent use ``target``.

    Raises:
        Refused: If the file cannot be read, edited, or written.
    """
    file = config_file.read(agent.file(computer))
    config_file.check_writable(file)
    text = file.text
    entry = _found(agent, file, wanted.server)
    earlier = [one for one in record.load(state) if one.agent == agent.name and one.server == wanted.server]
    if entry is not None and target.is_used_by(target_of(entry)):
        return Proposal(agent=agent, file=file, data=file.data, changes=earlier, replaces=earlier)
    fields = agent.fields(target)
    data = file.encoded(_edited(file, lambda: entries.with_fields(agent, text, wanted.server, fields)))
    offset, length, replaced = record.difference(file.data or b"", data)
    previous = None if entry is None else {key: value for key, value in entry.items() if key in CONNECTION_FIELDS}
    change = record.Change(
        agent=agent.name,
        server=wanted.server,
        path=str(file.path),
        target=str(file.target),
        before=None if file.data is None else record.digest(file.data),
        after=record.digest(data),
        offset=offset,
        length=length,
        replaced=replaced,
        fields=fields,
        previous=previous,
        created=not entries.has_container(agent, text),
        written=data[offset : offset + length],
    )
    return Proposal(agent=agent, file=file, data=data, changes=[*earlier, change], replaces=earlier)


def propose_undo(agent: Agent, changes: Sequence[record.Change]) -> Proposal:
    """
    Return the change that undoes earlier ones of one file.

    Args:
        agent: The agent.
        changes: All changes of this agent, server, and file in the record, as `record.by_file` returns them.

    Raises:
        Refused: If the file cannot be read, edited, or written.
    """
    return dataclasses.replace(_undone(agent, changes), replaces=changes)


def _undone(agent: Agent, changes: Sequence[record.Change]) -> Proposal:
    latest = changes[-1]
    file = config_file.read(Path(latest.path))
    if file.data is None:
        return Proposal(agent=agent, file=file, data=None, note="The file no longer exists.")
    config_file.check_writable(file)
    data: bytes | None = file.data
    left = list(changes)
    while left and data is not None and str(file.target) == left[-1].target and record.digest(data) == left[-1].after:
        change = left.pop()
        data = None if change.before is None else record.reversed_change(change, data)
        if data is None:
            folders = [Path(folder) for folder in change.folders]
            return Proposal(agent=agent, file=file, data=None, folders=folders)
    if not left:
        return Proposal(agent=agent, file=file, data=data)
    return _without_entry(agent, file, data or b"", left)


def apply(proposal: Proposal, again: Callable[[], Proposal], *, state: Path) -> Proposal:
    """
    Make a change, and record it. If the agent has written its file in the meantime, try again.

    Args:
        proposal: The change that the user confirmed.
        again: Returns the same change for the current file.
        state: The folder of the record.

    Returns:
        The change that was made.

    Raises:
        Refused: If it cannot be made.
    """
    for _ in range(_TRIES):
        try:
            _replace(proposal, state)
        except FileChanged:
            proposal = again()
            continue
        return proposal
    message = f"{proposal.agent.title} keeps changing {proposal.file.path}. Close it, and try again."
    raise Refused(message)


def _replace(proposal: Proposal, state: Path) -> None:
    before = record.load(state)
    others = [one for one in before if one not in proposal.replaces]
    changes = list(proposal.changes)
    if proposal.data is None:
        if proposal.file.data is not None:
            config_file.remove(proposal.file, list(proposal.folders))
        record.save(state, others)
        return
    if not proposal.is_change:
        record.save(state, [*others, *changes])
        return
    if not changes:  # undoing: if this is interrupted, the record has a change that no file has, which is harmless
        config_file.replace(proposal.file, proposal.data)
        record.save(state, others)
        return
    record.save(state, [*others, *changes])
    try:
        created = config_file.replace(proposal.file, proposal.data)
    except BaseException:
        record.save(state, before)
        raise
    if created:
        changes[-1] = msgspec.structs.replace(changes[-1], folders=[str(path) for path in created])
        record.save(state, [*others, *changes])


def _found(agent: Agent, file: ConfigFile, server: str) -> dict[str, Any] | None:
    text = file.text
    return _edited(file, lambda: entries.find(agent, text, server))


def _edited(file: ConfigFile, edit: Callable[[], _T]) -> _T:
    try:
        return edit()
    except InvalidText as error:
        message = f"{file.path} {error}. It was not changed."
        raise Refused(message) from error


def _without_entry(agent: Agent, file: ConfigFile, data: bytes, left: Sequence[record.Change]) -> Proposal:
    """Return the change that removes only our entry, or restores its earlier content, in a file that others changed."""
    oldest, latest = left[0], left[-1]
    current = ConfigFile(path=file.path, target=file.target, data=data, status=file.status)
    text = current.text
    entry = _found(agent, current, latest.server)
    if entry is None:
        note = "The file has changed since setup, and no longer contains the entry."
        return Proposal(agent=agent, file=file, data=data, note=note)
    if target_of(entry) != target_of(latest.fields):
        note = f'The entry "{latest.server}" has changed since setup, so it was not changed.'
        return Proposal(agent=agent, file=file, data=data, note=note)
    if oldest.previous is None:
        changed = _edited(current, lambda: entries.without(agent, text, latest.server, created=oldest.created))
        note = "The file has changed since setup, so only the entry is removed."
    else:
        previous = oldest.previous
        changed = _edited(current, lambda: entries.with_fields(agent, text, latest.server, previous))
        note = "The file has changed since setup, so only the entry is restored."
    result = current.encoded(changed)
    exact = _reversed(agent, current, left, dataclasses.replace(current, data=result))
    return Proposal(agent=agent, file=file, data=result if exact is None else exact, note=note)


def _reversed(agent: Agent, current: ConfigFile, left: Sequence[record.Change], wanted: ConfigFile) -> bytes | None:
    """
    Return the content with the old texts in place of the new ones, so that also the spaces are as before setup; None if
    the new texts are no longer there, or if the result would mean something else than ``wanted``.
    """
    if any(change.target != str(current.target) for change in left):
        return None  # the texts are those of another file
    for data in itertools.islice(_candidates(current.data or b"", left), _MAX_CANDIDATES):
        try:
            text = dataclasses.replace(current, data=data).text
        except Refused:
            continue
        if entries.is_same(agent, text, wanted.text):
            return data
    return None


def _candidates(data: bytes, left: Sequence[record.Change]) -> Iterator[bytes]:
    """Yield the contents without the changes. Other entries may have the same texts, so there may be several."""
    if not left:
        yield data
        return
    *earlier, latest = left
    if latest.before is None or not latest.written:
        return
    position = data.find(latest.written)
    while position >= 0:
        after = data[position + len(latest.written) :]
        yield from _candidates(data[:position] + latest.replaced + after, earlier)
        position = data.find(latest.written, position + 1)
