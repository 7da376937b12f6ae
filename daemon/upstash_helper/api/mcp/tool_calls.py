"""
``tools/list`` and ``tools/call``: the tools that an app has, and their calls.

A tool whose scope the app lacks is not listed, because the model would try what the user has not granted. If the client
calls it anyway, as it knows its name from before or from the documentation, the response is 403 with the scope, as the
protocol wants for every operation with too few scopes. The client can then request that scope, and the user is asked
again ("step-up authorization"). An error in the result would end there: only the model would read it.

Since version 2026-07-28, the challenge has the scopes of this operation only, and the client adds those that it has
(SEP-2350). For the versions before, the server should name them all, and clients request exactly what it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from upstash_helper.api.mcp.jsonrpc import INVALID_PARAMS, REFUSED, RpcError, convert
from upstash_helper.api.mcp.schemas import schema
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.broker.errors import AccessEnded, HelperError, ReadOnlyAccess, StoreUnavailable
from upstash_helper.broker.identity import ordered
from upstash_helper.system import validation
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from upstash_helper.api.mcp.call import Call
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.identity import Caller
    from upstash_helper.protocol.literals import Scope

PAGE_SIZE: Final = 50


class Visible(Protocol):
    """Decides which tools an app has."""

    def __call__(self, tools: Iterable[Tool], caller: Caller, *, read_only: bool) -> tuple[Tool, ...]:
        """
        Return those of ``tools`` that ``caller`` may call, in their order. ``read_only``: Upstash refuses all changes.
        """


class ListParams(msgspec.Struct, frozen=True):
    """Parameters of ``tools/list``."""

    cursor: str | None = None


class CallParams(msgspec.Struct, frozen=True):
    """Parameters of ``tools/call``."""

    name: str
    arguments: dict[str, Any] = {}


class ToolResult(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The result of a call."""

    content: tuple[dict[str, Any], ...]
    structured_content: object = None
    is_error: bool = False


class ToolCalls:
    """The tools, and their calls."""

    def __init__(
        self,
        tools: Sequence[Tool],
        *,
        exchanges: Exchanges,
        visible: Visible,
        challenge: Callable[[str, tuple[Scope, ...]], str],
        read_only: Callable[[], Awaitable[bool]],
    ) -> None:
        """
        Args:
            tools: All tools, in the order in which they are listed.
            exchanges: Ends calls that only read with the app's access.
            visible: Returns the tools that an app may call, including those that are not listed.
            challenge: Returns the value of ``WWW-Authenticate`` for a host and the scopes to request.
            read_only: Returns whether Upstash refuses all changes.
        """
        self._tools = tuple(tools)
        self._exchanges = exchanges
        self._visible = visible
        self._challenge = challenge
        self._read_only = read_only
        self._described: dict[tuple[str, bool], dict[str, object]] = {}

    async def list(self, call: Call, params: dict[str, Any]) -> dict[str, object]:
        """
        Return a page of the tools that the app may call.

        Raises:
            RpcError: If the cursor is not valid.
        """
        cursor = convert(params, ListParams).cursor
        visible = self._visible(self._tools, call.caller, read_only=await self._read_only())
        tools = [tool for tool in visible if tool.listed]
        names = [tool.name for tool in tools]
        if cursor is not None and cursor not in names:
            raise RpcError(INVALID_PARAMS, "The cursor is not valid, or the tools have changed. List them again.")
        start = 0 if cursor is None else names.index(cursor) + 1
        page = tools[start : start + PAGE_SIZE]
        result: dict[str, object] = {"tools": [self._describe(tool) for tool in page]}
        if start + PAGE_SIZE < len(tools):
            result["nextCursor"] = page[-1].name
        return result

    async def call(self, call: Call, params: dict[str, Any]) -> ToolResult:
        """
        Call a tool.

        Raises:
            RpcError: If there is no such tool, or the app lacks its scope.
            InputRequired: If the client has to repeat the call with the user's answers.
            AccessEnded: If the app's access ends meanwhile.
        """
        wanted: CallParams = convert(params, CallParams)
        tool = _named(wanted.name, self._tools)
        if tool is None:
            raise RpcError(INVALID_PARAMS, f'There is no tool "{printable(wanted.name[:64])}".')
        if not call.caller.has(tool.scope):
            scopes = (tool.scope,) if call.session is None else ordered((*call.caller.scopes, tool.scope))
            raise RpcError(
                REFUSED,
                f"The tool {tool.name} requires the scope {tool.scope}, which the user has not granted.",
                status=403,
                headers=(("WWW-Authenticate", self._challenge(call.host, scopes)),),
            )
        tool = _named(wanted.name, self._visible(self._tools, call.caller, read_only=await self._read_only()))
        if tool is None:
            return _failed(ReadOnlyAccess())
        try:
            arguments = validation.convert(wanted.arguments, tool.arguments)
        except validation.ValuesInvalid as error:
            return failure("\n".join(one.sentence("The arguments") for one in error.errors))
        try:
            return _result(tool, await self._run(tool, call, arguments))
        except ToolError as error:
            return failure(str(error))
        except AccessEnded:
            raise
        except HelperError as error:
            return _failed(error)

    def _describe(self, tool: Tool) -> dict[str, object]:
        key = tool.name, tool.needs_write_access
        if key not in self._described:
            self._described[key] = describe(tool)
        return self._described[key]

    async def _run(self, tool: Tool, call: Call, arguments: object) -> object:
        if tool.needs_write_access:
            # It is finished even if the app's access ends, except where it waits for the user.
            return await tool.handler(call, arguments)
        async with self._exchanges.begin(call.caller):
            return await tool.handler(call, arguments)


def _named(name: str, tools: Iterable[Tool]) -> Tool | None:
    return next((tool for tool in tools if tool.name == name), None)


def describe(tool: Tool) -> dict[str, object]:
    """Return a tool as ``tools/list`` shows it."""
    described: dict[str, object] = {
        "name": tool.name,
        "title": tool.annotations.title,
        "description": tool.description,
        "inputSchema": schema(tool.arguments),
        "annotations": tool.annotations,
    }
    if tool.result is not None:
        described["outputSchema"] = schema(tool.result)
    return described


def failure(text: str) -> ToolResult:
    """Return a result that explains why a call failed, so that the model can react to it."""
    return ToolResult(content=({"type": "text", "text": text},), is_error=True)


def _failed(error: HelperError) -> ToolResult:
    # A store that cannot be used is checked again after some seconds, but the user has to do something first.
    is_pointless = error.retry_after is None or isinstance(error, StoreUnavailable)
    later = "" if is_pointless else f" Try again in {max(1, round(error.retry_after or 0))} s."
    return failure(f"{error.detail}{later} ({error.code})")


def _result(tool: Tool, value: object) -> ToolResult:
    if isinstance(value, ToolResult):
        return value
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return ToolResult(
        content=({"type": "text", "text": text},), structured_content=None if tool.result is None else value
    )
