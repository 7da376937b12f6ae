"""
Agents that call the tools of ``/mcp`` directly, without the protocol: the real tools of a running daemon, with the
rights of a real approval. Only the user who answers questions is played by the test.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import jsonschema  # type: ignore[import-untyped]
import msgspec

from upstash_helper.api.mcp.schemas import schema
from upstash_helper.api.mcp.tools import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.world import World
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.broker.confirmations import Question
    from upstash_helper.broker.identity import Caller


@dataclass
class Agent:
    """An agent, and the user's answers to its questions. It is the ``ToolCall`` of its calls."""

    world: World
    caller: Caller
    token: str
    allows: bool = False
    """Whether the user answers questions with yes."""
    asked: list[Question] = field(default_factory=list)

    @classmethod
    async def approved(cls, world: World, *scopes: str, name: str = "Agent", **granted: Any) -> Self:
        """Give an agent access to ``/mcp``, from its request to its token. ``granted`` is the body of the approval."""
        body = {"name": name, "scopes": scopes, "audience": "mcp"}
        asked = await world.call("POST", "/v1/pairings", body, token=None)
        assert asked.status == 202, asked.text
        pairing = asked.json
        approved = await world.call("POST", f"/v1/pairings/{pairing['id']}/approve", granted)
        assert approved.status == 200, approved.text
        fetched = await world.call("POST", f"/v1/pairings/{pairing['id']}/token", token=pairing["poll_secret"])
        assert fetched.status == 200, fetched.text
        token = fetched.json["token"]
        caller = world.daemon.tokens.find(token.encode())
        assert caller is not None
        return cls(world, caller, token)

    async def confirm(self, question: Question) -> bool:
        """Record the question, and answer it."""
        self.asked.append(question)
        return self.allows

    async def is_read_only(self) -> bool:
        """Return whether the connected account is read-only."""
        return (await self.world.daemon.connection.usable()).is_read_only

    async def tools(self) -> Mapping[str, Tool]:
        """Return the tools that the agent may call, by name."""
        found = visible(self.world.daemon.tools(), self.caller, read_only=await self.is_read_only())
        return {tool.name: tool for tool in found}

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """
        Call a tool as the endpoint does, and return its result as JSON has it. What the tool takes and returns fits the
        schemas that clients check.
        """
        tool = (await self.tools())[name]
        sent = msgspec.json.decode(msgspec.json.encode(arguments))
        wanted = msgspec.convert(sent, tool.arguments)
        jsonschema.validate(sent, schema(tool.arguments))
        result = await tool.handler(self, wanted)
        if tool.result is None:
            return result
        assert isinstance(result, tool.result)
        returned = msgspec.json.decode(msgspec.json.encode(result))
        jsonschema.validate(returned, schema(tool.result))
        return returned
