"""``/v1/events``: changes of state as server-sent events."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Final, cast

from aiohttp_sse import EventSourceResponse

from upstash_helper.api.resources import confirmations
from upstash_helper.api.server import problems, render
from upstash_helper.api.server.routes import Parameter, Policy, Route, caller_of
from upstash_helper.broker.account.attempts import Attempt
from upstash_helper.broker.account.connection import ConnectionStatus
from upstash_helper.broker.apps.registry import Revoked
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.broker.ledger import Pairing
from upstash_helper.broker.trays import Tray

if TYPE_CHECKING:
    from aiohttp import web

    from upstash_helper.broker.apps.pairings import Pairings
    from upstash_helper.broker.confirmations import Confirmation
    from upstash_helper.broker.events import Event, EventBus, Subscription
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock
    from upstash_helper.broker.trays import Trays

MAX_STREAMS: Final = 16
"""Streams of the owner. Those of apps are counted separately, so that no app can take the owner's places."""
MAX_APP_STREAMS: Final = 16
"""Streams of all apps together. An app without a stream gets one in place of another app's second or third."""
MAX_STREAMS_PER_APP: Final = 3
SEND_SECONDS: Final = 3.0
"""A client that reads nothing for this long is disconnected, to bound memory. It can resume."""
PING_SECONDS: Final = 86_400.0
"""On loopback a closed connection is noticed immediately, so an idle stream needs no pings and no wake-ups."""

_BACKEND: Final = re.compile(r"[a-z0-9-]{1,32}")
_PARAMETERS: Final = (
    Parameter(name="Last-Event-ID", where="header", description="Resume after this event."),
    Parameter(
        name="tray",
        where="query",
        description="Only for the tray icon: its backend. The tray counts as attached while the stream is open.",
    ),
    Parameter(
        name="notifies",
        where="query",
        description="With `tray`: the tray shows notifications about access requests, so the helper does not.",
        schema={"type": "boolean"},
    ),
)


class EventsResource:
    """The handler of the event stream."""

    def __init__(self, *, events: EventBus, pairings: Pairings, trays: Trays, clock: Clock) -> None:
        self._events = events
        self._pairings = pairings
        self._trays = trays
        self._clock = clock

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET", path="/v1/events", handler=self.follow, policy=Policy("token", "connection:read"),
                operation_id="followEvents",
                summary=(
                    "Follow events: `connection`, `attempt`, `database` (with `databases:read`), and `revoked`; for "
                    "the owner also `pairing` and `confirmation`; `reset` after missed events"
                ),
                answers={200: "text/event-stream"}, problems=(429,),
                parameters=_PARAMETERS,
            ),
        ]  # fmt: skip

    async def follow(self, request: web.Request) -> web.StreamResponse:
        """Stream events until the client disconnects or reads too slowly, or the daemon stops."""
        caller = caller_of(request)
        tray = self._tray(request, caller)
        too_many = self._too_many(caller, tray)
        if too_many:
            detail = f"Too many open event streams ({too_many}). Close one."
            return problems.answer(429, "too_many_streams", detail, retry_after=5)
        subscription = self._events.subscribe(caller, after=request.headers.get("Last-Event-ID"))

        stream = EventSourceResponse(send_timeout=SEND_SECONDS, ping_interval=PING_SECONDS, sep="\n")
        stream.headers["Cache-Control"] = "no-store"
        try:
            await stream.prepare(request)  # fails if the client has disconnected already
            with self._trays.attached(tray) if tray else contextlib.nullcontext():
                async with stream:
                    await self._send(stream, subscription)
        except (ConnectionResetError, TimeoutError):
            pass  # the client has disconnected, or reads too slowly
        finally:
            self._events.unsubscribe(subscription)
        return stream

    def _too_many(self, caller: Caller, tray: Tray | None) -> int:
        """Make room for a stream. Return 0, or the number of open streams if there is no room."""
        own = self._events.streams_of(caller.id)
        if caller.is_owner:
            # One stream is reserved for the tray, where the user approves apps, however many dashboards are open.
            limit = MAX_STREAMS + (tray is not None and self._trays.first is None)
            return own if own >= limit else 0
        if own >= MAX_STREAMS_PER_APP:
            return own
        of_apps = self._events.app_stream_count
        if of_apps >= MAX_APP_STREAMS and (own > 0 or not self._events.end_surplus()):
            return of_apps
        return 0

    def _tray(self, request: web.Request, caller: Caller) -> Tray | None:
        backend, notifies = request.query.get("tray"), request.query.get("notifies", "false")
        if backend is None:
            return None
        if not caller.is_owner:
            raise InvalidRequest("The parameter tray is only allowed with the owner's token.")
        if not _BACKEND.fullmatch(backend):
            raise InvalidRequest("tray must be a backend's name: at most 32 characters of a-z, 0-9, and hyphen.")
        if notifies not in {"true", "false"}:
            raise InvalidRequest("notifies must be true or false.")
        return Tray(backend=backend, notifies=notifies == "true", since=self._clock.time())

    async def _send(self, stream: EventSourceResponse, subscription: Subscription) -> None:
        # A comment first, so that the client knows immediately that the stream is open.
        await stream.write(b": upstash-helper\n\n")
        if subscription.reset:
            await stream.send("{}", event="reset")
        async for event in subscription:
            await stream.send(
                render.dump(self._rendered(event, subscription.subscriber)), event=event.kind, id=event.id
            )
        if subscription.app_revoked or subscription.displaced:
            # The last event was that the app's access has been revoked; or there is none, so that the client resumes.
            return
        with contextlib.suppress(ConnectionResetError):
            await stream.send("{}", event="bye")

    def _rendered(self, event: Event, subscriber: Caller) -> object:
        """Return an event's data as a wire type."""
        match data := event.data:
            case ConnectionStatus():
                return render.connection(data, owner=subscriber.is_owner)
            case Pairing():
                return render.pairing(data, self._pairings)
            case Revoked():
                return render.revoked(data)
            case _ if isinstance(data, Attempt):
                return render.attempt(data, owner=subscriber.is_owner)
            case _ if event.kind == "confirmation":  # its type is imported when the first app asks
                return confirmations.rendered(cast("Confirmation", data))
            case _:
                return data
