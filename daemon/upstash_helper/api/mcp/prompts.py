"""``prompts/list`` and ``prompts/get``: prompts that a user can choose in a client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from upstash_helper.api.mcp.jsonrpc import INVALID_PARAMS, RpcError, convert
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upstash_helper.api.mcp.call import Call

PromptHandler = Callable[["Call", dict[str, str]], Awaitable[list[dict[str, Any]]]]
"""Takes the arguments, and returns messages."""


class PromptArgument(msgspec.Struct, frozen=True, kw_only=True):
    """One argument of a prompt."""

    name: str
    description: str
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt."""

    name: str
    title: str
    description: str
    handler: PromptHandler
    arguments: tuple[PromptArgument, ...] = ()


class GetParams(msgspec.Struct, frozen=True):
    """Parameters of ``prompts/get``."""

    name: str
    arguments: dict[str, str] = {}


class Prompts:
    """The prompts."""

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        self._prompts = {prompt.name: prompt for prompt in prompts}

    async def list(self, call: Call, params: dict[str, Any]) -> dict[str, object]:  # noqa: ARG002 - a handler
        """Return all prompts."""
        return {
            "prompts": [
                {"name": it.name, "title": it.title, "description": it.description, "arguments": it.arguments}
                for it in self._prompts.values()
            ]
        }

    async def get(self, call: Call, params: dict[str, Any]) -> dict[str, object]:
        """
        Return the messages of a prompt.

        Raises:
            RpcError: If there is no prompt with this name, or an argument is missing.
        """
        wanted: GetParams = convert(params, GetParams)
        prompt = self._prompts.get(wanted.name)
        if prompt is None:
            raise RpcError(INVALID_PARAMS, f'There is no prompt "{printable(wanted.name[:64])}".')
        for argument in prompt.arguments:
            if argument.required and argument.name not in wanted.arguments:
                raise RpcError(INVALID_PARAMS, f"The argument {argument.name} is missing.")
        return {"description": prompt.description, "messages": await prompt.handler(call, wanted.arguments)}
