"""
The definition of a tool of ``/mcp``: its schemas, the scope that it requires, and its handler.

Tools do not depend on the protocol. The endpoint validates their arguments, offers the tools that the user has granted,
and turns what they return or raise into results.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from upstash_helper.broker.confirmations import Question
    from upstash_helper.broker.identity import Caller
    from upstash_helper.protocol.literals import Scope


class Annotations(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a tool does, for clients that ask their user before they call it (``ToolAnnotations`` of the protocol)."""

    title: str
    read_only_hint: bool
    destructive_hint: bool
    idempotent_hint: bool
    open_world_hint: bool


class ToolError(Exception):
    """A tool cannot do what was requested. The message is for the model, and explains what to do instead."""


class ToolCall(Protocol):
    """One call of a tool."""

    @property
    def caller(self) -> Caller:
        """Return the agent that calls the tool."""

    async def confirm(self, question: Question) -> bool:
        """
        Ask the user, and return whether they allowed it. False: they denied it, or did not answer in time.

        A handler must call this before it changes anything: for some clients, the call ends with the question, and is
        repeated as a whole with the answer.
        """

    async def is_read_only(self) -> bool:
        """Return whether the connected account is read-only."""


Arguments = Any
"""An instance of the tool's ``arguments``."""
Handler = Callable[[ToolCall, Arguments], Awaitable[msgspec.Struct | str]]


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool."""

    name: str
    description: str
    arguments: type[msgspec.Struct]
    """The input schema. It forbids unknown fields."""
    result: type[msgspec.Struct] | None
    """The output schema. None: the result is text."""
    scope: Scope
    """Agents without it can neither see nor call the tool."""
    annotations: Annotations
    handler: Handler
    """Raises ToolError and HelperError."""
    listed: bool = True
    """False for a former name, which still works but is not listed."""

    @property
    def needs_write_access(self) -> bool:
        """Whether the tool changes something, so that it is not available while the account is read-only."""
        return not self.annotations.read_only_hint
