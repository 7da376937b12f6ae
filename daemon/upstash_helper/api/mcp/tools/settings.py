"""
Changes of a database's settings, and which of them need the user's confirmation.

An agent sets up the databases that it created as it likes, except for what deletes data or the user's way back to it.
The user relies on the settings of all other databases, so each change of these is asked about. It makes no difference
that the agent was granted all databases: that is about reading credentials and running commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from upstash_helper.api.mcp.tools.fields import moment, shown
from upstash_helper.broker.confirmations import Question
from upstash_helper.broker.databases import audit_target
from upstash_helper.broker.errors import DatabaseNotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.api.mcp.tool import ToolCall
    from upstash_helper.api.mcp.tools.recording import Entry, Recorder
    from upstash_helper.broker.databases.operations import Databases, ReadCredentials
    from upstash_helper.broker.models import Change, Database


class Effect(NamedTuple):
    """What a change of a setting does to a database."""

    title: str
    """The question to the user, with the database's name."""
    detail: str
    """What happens to the database, as ``described`` identifies it."""
    is_always_asked: bool = False
    """Whether the user is also asked about databases that the agent created."""


class Settings:
    """Changes settings."""

    def __init__(self, *, databases: Databases, credentials: ReadCredentials, recorder: Recorder) -> None:
        self._databases = databases
        self._credentials = credentials
        self._recorder = recorder

    async def change(
        self,
        call: ToolCall,
        database_id: str,
        field: str,
        change: Change,
        effect: Callable[[Database], Effect | None],
    ) -> Database | None:
        """
        Change a setting, if need be after the user's yes, and return the database; None if the user did not allow it.

        Args:
            call: The agent's call.
            database_id: The database.
            field: The setting.
            change: The change.
            effect: Returns what the change does to a database; None if nothing.

        Raises:
            PreconditionFailed: If the user allowed something else than the change would do now.
            HelperError: Like ``Databases.change``.
        """
        database, asked = await self._to_ask(call, database_id, effect)
        if asked is not None:
            question = Question(action="database.change", title=asked.title, detail=asked.detail, target=database_id)
            if not await call.confirm(question):
                return None

        async def work(entry: Entry) -> Database:
            def is_as_shown(now: Database) -> bool:
                entry.check_access()
                return effect(now) == asked

            unchanged = None if asked is None else is_as_shown
            return await self._databases.change(database_id, [(field, change)], unchanged=unchanged)

        target = audit_target.changed(database_id, [change], name=None if database is None else database.name)
        return await self._recorder.change(call.caller, "database.change", target, work)

    async def _to_ask(
        self, call: ToolCall, database_id: str, effect: Callable[[Database], Effect | None]
    ) -> tuple[Database | None, Effect | None]:
        """Return the database as it is now, and the effect to ask about."""
        try:
            database = await self._databases.get(database_id)
        except DatabaseNotFound:  # the change is refused, and recorded
            return None, None
        found = effect(database)
        if found is None or found.is_always_asked:
            return database, found
        return database, None if await self._credentials.is_creator(database_id, call.caller) else found


def described(database: Database) -> str:
    """Return what identifies a database for a user who has to decide about it."""
    # An agent can change the name, but not the host or the day.
    day = f", created {moment(database.created_at)[:10]}" if database.created_at else ""
    return f'"{shown(database.name)}" ({database.id}, {database.host}, {database.primary_region}{day})'


def on_or_off(value: bool) -> str:  # noqa: FBT001 - the value is all there is
    """Return a setting as a word."""
    return "on" if value else "off"


# --- what changes do --------------------------------------------------------------------------------------------------


def new_name(name: str) -> Callable[[Database], Effect | None]:
    """Return what another name does. The user knows a database by its name, which the next question would show."""

    def effect(now: Database) -> Effect | None:
        if now.name == name:
            return None
        return Effect(f"Rename {_titled(now)}?", f'{described(now)} will be renamed to "{shown(name)}".')

    return effect


def eviction(*, enabled: bool) -> Callable[[Database], Effect | None]:
    """Return what turning eviction on or off does: on, it deletes data."""

    def effect(now: Database) -> Effect | None:
        if now.eviction == enabled:
            return None
        if enabled:
            detail = f"When its memory is full, Upstash will delete keys from {described(now)}."
            return Effect(f"Turn on eviction for {_titled(now)}?", detail, is_always_asked=True)
        detail = f"When its memory is full, {described(now)} will refuse to write."
        return Effect(f"Turn off eviction for {_titled(now)}?", detail)

    return effect


def auto_upgrade(*, enabled: bool) -> Callable[[Database], Effect | None]:
    """Return what turning automatic upgrades on or off does: on, it can cost money."""

    def effect(now: Database) -> Effect | None:
        if now.auto_upgrade == enabled:
            return None
        when = f"When {described(now)} reaches a limit of its plan,"
        then = "Upstash will move it to a larger plan, which costs more." if enabled else "it will stay on that plan."
        return Effect(f"Turn {on_or_off(enabled)} automatic upgrades of {_titled(now)}?", f"{when} {then}")

    return effect


def read_regions(regions: tuple[str, ...]) -> Callable[[Database], Effect | None]:
    """Return what other read regions do: each one that is left out deletes a copy that apps read from."""

    def effect(now: Database) -> Effect | None:
        removed = [it for it in now.read_regions if it not in regions]
        added = [it for it in dict.fromkeys(regions) if it not in now.read_regions]
        sentences = []
        if removed:
            sentences.append(f"{described(now)} will no longer be read from: {', '.join(map(shown, removed))}.")
        if added:
            subject = "It" if removed else described(now)
            sentences.append(f"{subject} will also be read from, which can cost more: {', '.join(map(shown, added))}.")
        if not sentences:
            return None
        title = f"Change the read regions of {_titled(now)}?"
        return Effect(title, " ".join(sentences), is_always_asked=bool(removed))

    return effect


def daily_backup(*, enabled: bool) -> Callable[[Database], Effect | None]:
    """Return what turning daily backups on or off does: off, the user's way back from a mistake ends."""

    def effect(now: Database) -> Effect | None:
        if now.daily_backup == enabled:
            return None
        detail = f"Upstash will {'back up' if enabled else 'no longer back up'} {described(now)} every day."
        title = f"Turn {on_or_off(enabled)} daily backups of {_titled(now)}?"
        return Effect(title, detail, is_always_asked=not enabled)

    return effect


def _titled(database: Database) -> str:
    return f'the database "{shown(database.name)}"'
