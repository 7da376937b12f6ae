"""
Streams that notify a client when a list changes: ``GET /mcp``, and ``subscriptions/listen`` since 2026-07-28.

Like event streams, they end with the app's access and with the daemon, and they count as event streams.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from upstash_helper.api.mcp import jsonrpc
from upstash_helper.api.mcp.jsonrpc import REFUSED, RpcError, convert
from upstash_helper.api.mcp.reply import Stream
from upstash_helper.api.mcp.versions import SUBSCRIPTION_KEY
from upstash_helper.api.resources.events import MAX_APP_STREAMS
from upstash_helper.api.server.connections import Connection
from upstash_helper.broker.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from aiohttp import web

    from upstash_helper.api.mcp.jsonrpc import Request
    from upstash_helper.api.mcp.sessions import Session
    from upstash_helper.broker.events import EventBus, Subscription
    from upstash_helper.broker.identity import Caller

MAX_STREAMS_PER_AGENT: Final = 8
"""More than for other apps, since all windows and subagents of an agent share one approval."""

ListKind = Literal["tools", "prompts", "resources"]
_FILTERS: Final[dict[str, ListKind]] = {
    "toolsListChanged": "tools",
    "promptsListChanged": "prompts",
    "resourcesListChanged": "resources",
}
_CHANGED: Final = "mcp_list_changed"


class ListenParams(msgspec.Struct, frozen=True):
    """Parameters of ``subscriptions/listen``."""

    notifications: dict[str, Any]


class Streams:
    """The open streams."""

    def __init__(
        self, *, events: EventBus, kinds: frozenset[ListKind], read_only: Callable[[], Awaitable[bool]]
    ) -> None:
        """
        Args:
            events: The daemon's events.
            kinds: The lists that can change.
            read_only: Returns whether Upstash refuses all changes, on which the list of tools depends.
        """
        self._events = events
        self._kinds = kinds
        self._read_only = read_only
        self._open: set[Subscription] = set()

    def list_changed(self, kind: ListKind, *, app_id: str | None = None) -> None:
        """Notify the clients that a list has changed: all of them, or those of one app."""
        for subscription in tuple(self._open):
            subscription.offer(Event(id="", kind=_CHANGED, data=kind, app=app_id))

    async def listen(self, http: web.Request, request: Request, caller: Caller) -> web.StreamResponse:
        """
        Respond to ``subscriptions/listen``.

        Raises:
            RpcError: If the filter is not valid, or too many streams are open.
        """
        wanted = convert(request.params, ListenParams).notifications
        honored = {name: True for name, kind in _FILTERS.items() if wanted.get(name) is True and kind in self._kinds}
        kinds = frozenset(_FILTERS[name] for name in honored)
        meta: dict[str, object] = {SUBSCRIPTION_KEY: request.id}
        acknowledged = jsonrpc.notification(
            "notifications/subscriptions/acknowledged", {"_meta": meta, "notifications": honored}
        )
        with self._place(http, caller, request.id) as subscription:
            stream = Stream(http)
            response = await stream.open()
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                await stream.send(acknowledged)
                await self._forward(subscription, stream, kinds, {"_meta": meta})
                if not subscription.app_revoked:
                    await stream.send(jsonrpc.result(request.id, {"resultType": "complete", "_meta": meta}))
            return response

    async def follow(self, http: web.Request, session: Session, caller: Caller) -> web.StreamResponse:
        """
        Respond to a GET, until the session ends.

        Raises:
            RpcError: If too many streams are open.
        """
        with self._place(http, caller, None) as subscription, session.followed_by(subscription):
            stream = Stream(http)
            response = await stream.open()
            with contextlib.suppress(ConnectionResetError, TimeoutError):
                # So that the client knows immediately that the stream is open.
                await stream.keep_alive()
                await self._forward(subscription, stream, self._kinds, None)
            return response

    async def _forward(
        self, subscription: Subscription, stream: Stream, kinds: frozenset[ListKind], params: dict[str, object] | None
    ) -> None:
        read_only = await self._read_only() if "tools" in kinds else False
        async for event in subscription:
            if event.kind == _CHANGED:
                kind = event.data
            elif event.kind == "connection" and "tools" in kinds:
                before, read_only = read_only, await self._read_only()
                kind = "tools" if read_only != before else None
            else:
                continue
            if kind in kinds:
                await stream.send(jsonrpc.notification(f"notifications/{kind}/list_changed", params))

    @contextlib.contextmanager
    def _place(self, http: web.Request, caller: Caller, request_id: jsonrpc.RequestId | None) -> Iterator[Subscription]:
        own = self._events.streams_of(caller.id)
        if own >= MAX_STREAMS_PER_AGENT or (
            self._events.app_stream_count >= MAX_APP_STREAMS and (own > 0 or not self._events.end_surplus())
        ):
            message = "Too many open streams. Close one."
            raise RpcError(REFUSED, message, status=429, request_id=request_id, headers=(("Retry-After", "5"),))
        subscription = self._events.subscribe(caller)
        self._open.add(subscription)
        connection = http.protocol
        if isinstance(connection, Connection):
            connection.is_held = True
        try:
            yield subscription
        finally:
            self._open.discard(subscription)
            self._events.unsubscribe(subscription)
