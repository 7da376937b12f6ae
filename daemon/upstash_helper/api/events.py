"""``/v1/events``: what happens, as server-sent events."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp_sse import EventSourceResponse

from upstash_helper.api import problems, render
from upstash_helper.api.guard import Policy
from upstash_helper.api.routes import Parameter, Route
from upstash_helper.broker.attempts import Attempt
from upstash_helper.broker.states import Status

if TYPE_CHECKING:
    from aiohttp import web

    from upstash_helper.broker.events import EventBus, Subscription

MOST_STREAMS: Final = 16
# A reader that takes nothing for this long is dropped: it must not hold memory, and it can resume.
SEND_SECONDS: Final = 3.0
# On loopback the kernel tells at once when a reader is gone. A stream that says nothing needs no wake-ups.
PING_SECONDS: Final = 86_400.0


class EventsResource:
    """The handlers."""

    def __init__(self, *, events: EventBus) -> None:
        self._events = events

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method="GET", path="/v1/events", handler=self.follow, policy=Policy("token", "connection:read"),
                operation_id="followEvents",
                summary="Follow what happens: `connection`, `attempt`, `database`; `reset` when events were missed",
                answers={200: "text/event-stream"}, problems=(429,),
                parameters=(Parameter(name="Last-Event-ID", where="header", description="Resume after this event."),),
            ),
        ]  # fmt: skip

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Stream events until the reader goes away, is too slow, or the daemon stops."""
        if self._events.followers >= MOST_STREAMS:
            detail = f"{MOST_STREAMS} event streams are open. Close one."
            return problems.answer(429, "too_many_streams", detail, retry_after=5)
        subscription = self._events.subscribe(after=request.headers.get("Last-Event-ID"))

        stream = EventSourceResponse(send_timeout=SEND_SECONDS, ping_interval=PING_SECONDS, sep="\n")
        stream.headers["Cache-Control"] = "no-store"
        await stream.prepare(request)
        try:
            async with stream:
                await self._send(stream, subscription)
        except (ConnectionResetError, TimeoutError):
            pass  # gone, or too slow: dropped
        finally:
            self._events.unsubscribe(subscription)
        return stream

    async def _send(self, stream: EventSourceResponse, subscription: Subscription) -> None:
        # A first line, so that a reader knows at once that it is being served.
        await stream.write(b": upstash-helper\n\n")
        if subscription.reset:
            await stream.send("{}", event="reset")
        async for event in subscription:
            await stream.send(render.dump(shown(event.data)), event=event.kind, id=event.id)
        with contextlib.suppress(ConnectionResetError):
            await stream.send("{}", event="bye")


def shown(data: object) -> object:
    """Return an event's data as what goes over the wire."""
    if isinstance(data, Status):
        return render.connection(data)
    if isinstance(data, Attempt):
        return render.attempt(data)
    return data
