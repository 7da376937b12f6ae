"""``/v1/events``: what happens, as server-sent events."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final

from aiohttp_sse import EventSourceResponse

from upstash_helper.api.guard.policy import Policy
from upstash_helper.api.server import problems, render
from upstash_helper.api.server.routes import Parameter, Route, caller_of
from upstash_helper.broker.account.attempts import Attempt, ConnectionStatus
from upstash_helper.broker.apps.registry import Revoked
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.broker.ledger import Pairing
from upstash_helper.broker.trays import Tray

if TYPE_CHECKING:
    from aiohttp import web

    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.events import EventBus, Subscription
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock
    from upstash_helper.broker.trays import Trays

MOST_STREAMS: Final = 16
MOST_OF_AN_APP: Final = 3
# A reader that takes nothing for this long is dropped: it must not hold memory, and it can resume.
SEND_SECONDS: Final = 3.0
# On loopback the kernel tells at once when a reader is gone. A stream that says nothing needs no wake-ups.
PING_SECONDS: Final = 86_400.0

_BACKEND: Final = re.compile(r"[a-z0-9-]{1,32}")
_PARAMETERS: Final = (
    Parameter(name="Last-Event-ID", where="header", description="Resume after this event."),
    Parameter(
        name="tray",
        where="query",
        description="For the tray icon alone: how it gets on the panel. It counts as attached while it follows.",
    ),
    Parameter(
        name="notifies",
        where="query",
        description="With `tray`: it tells the user by itself that an app waits, so the helper does not.",
        schema={"type": "boolean"},
    ),
)


class EventsResource:
    """The handlers."""

    def __init__(self, *, events: EventBus, pairings: Pairings, trays: Trays, clock: Clock) -> None:
        self._events = events
        self._pairings = pairings
        self._trays = trays
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return what is served here."""
        return [
            Route(
                method="GET", path="/v1/events", handler=self.follow, policy=Policy("token", "connection:read"),
                operation_id="followEvents",
                summary=(
                    "Follow what happens: `connection`, `attempt`, `database` (with `databases:read`), `revoked`; the "
                    "owner gets `pairing` too; `reset` when events were missed"
                ),
                answers={200: "text/event-stream"}, problems=(429,),
                parameters=_PARAMETERS,
            ),
        ]  # fmt: skip

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Stream events until the reader goes away, is too slow, or the daemon stops."""
        caller = caller_of(request)
        tray = self._tray(request, caller)
        mine = not caller.is_owner and self._events.streams_of(caller.id) >= MOST_OF_AN_APP
        # A full house of dashboards does not keep the tray out, which is where the user says yes or no.
        limit = MOST_STREAMS + (tray is not None and self._trays.first is None)
        if mine or self._events.stream_count >= limit:
            detail = f"{MOST_OF_AN_APP if mine else MOST_STREAMS} event streams are open. Close one."
            return problems.answer(429, "too_many_streams", detail, retry_after=5)
        subscription = self._events.subscribe(caller, after=request.headers.get("Last-Event-ID"))

        stream = EventSourceResponse(send_timeout=SEND_SECONDS, ping_interval=PING_SECONDS, sep="\n")
        stream.headers["Cache-Control"] = "no-store"
        await stream.prepare(request)
        try:
            with self._trays.attached(tray) if tray else contextlib.nullcontext():
                async with stream:
                    await self._send(stream, subscription)
        except (ConnectionResetError, TimeoutError):
            pass  # gone, or too slow: dropped
        finally:
            self._events.unsubscribe(subscription)
        return stream

    def _tray(self, request: web.Request, caller: Caller) -> Tray | None:
        backend, notifies = request.query.get("tray"), request.query.get("notifies", "false")
        if backend is None:
            return None
        if not caller.is_owner:
            raise InvalidRequest("Only a tool of the user's own can be the tray. Leave the parameter tray out.")
        if not _BACKEND.fullmatch(backend):
            raise InvalidRequest("tray takes the backend's name: at most 32 of a-z, 0-9 and the hyphen.")
        if notifies not in {"true", "false"}:
            raise InvalidRequest("notifies takes true or false.")
        return Tray(backend=backend, notifies=notifies == "true", since=self._clock.time())

    async def _send(self, stream: EventSourceResponse, subscription: Subscription) -> None:
        # A first line, so that a reader knows at once that it is being served.
        await stream.write(b": upstash-helper\n\n")
        if subscription.reset:
            await stream.send("{}", event="reset")
        async for event in subscription:
            await stream.send(render.dump(self._shown(event.data)), event=event.kind, id=event.id)
        if subscription.app_revoked:
            return  # the last word was that it is no longer let in
        with contextlib.suppress(ConnectionResetError):
            await stream.send("{}", event="bye")

    def _shown(self, data: object) -> object:
        """Return an event's data as what goes over the wire."""
        match data:
            case ConnectionStatus():
                return render.connection(data)
            case Pairing():
                return render.pairing(data, over=self._pairings.is_expired(data))
            case Revoked():
                return render.revoked(data)
            case _ if isinstance(data, Attempt):
                return render.attempt(data)
            case _:
                return data
