"""``resources/list``, ``resources/templates/list``, and ``resources/read``: what a user can add to a conversation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from upstash_helper.api.mcp.jsonrpc import INVALID_PARAMS, RpcError, convert

if TYPE_CHECKING:
    from upstash_helper.api.mcp.call import Call


class ResourceProvider(Protocol):
    """Provides the resources."""

    async def all(self, call: Call) -> list[dict[str, object]]:
        """Return the resources that the app may read."""

    async def templates(self, call: Call) -> list[dict[str, object]]:
        """Return the templates of their URIs."""

    async def read(self, call: Call, uri: str) -> list[dict[str, object]] | None:
        """Return the contents of a resource; None if it does not exist, or the app may not read it."""


class ReadParams(msgspec.Struct, frozen=True):
    """Parameters of ``resources/read``."""

    uri: str


class Resources:
    """The methods."""

    def __init__(self, provider: ResourceProvider) -> None:
        self._provider = provider

    async def list(self, call: Call, params: dict[str, Any]) -> dict[str, object]:  # noqa: ARG002 - a handler
        """Return all resources."""
        return {"resources": await self._provider.all(call)}

    async def templates(self, call: Call, params: dict[str, Any]) -> dict[str, object]:  # noqa: ARG002 - a handler
        """Return all templates."""
        return {"resourceTemplates": await self._provider.templates(call)}

    async def read(self, call: Call, params: dict[str, Any]) -> dict[str, object]:
        """
        Return the contents of a resource.

        Raises:
            RpcError: If there is no resource with this URI.
        """
        uri = convert(params, ReadParams).uri
        contents = await self._provider.read(call, uri)
        if contents is None:
            raise RpcError(INVALID_PARAMS, "There is no such resource.", data={"uri": uri})
        return {"contents": contents}
