"""The event bus: publishes what happened, in order, to subscribers."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter, deque
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER, Caller
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

# A subscriber that falls behind reads the state again, so a short history is enough. It bounds memory per subscriber.
REPLAYED: Final = 256
WAITING: Final = 64


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. ``data`` is one of the broker's structs and contains no secret."""

    id: str
    kind: str
    data: object
    needs: Scope | None = None
    """The scope that an app needs to receive the event."""
    app: str | None = None
    """The only app that receives the event, besides the owner."""
    owner_only: bool = False

    def is_for(self, subscriber: Caller) -> bool:
        """Return whether ``subscriber`` may receive the event."""
        if subscriber.is_owner:
            return True
        if self.owner_only or (self.app is not None and self.app != subscriber.id):
            return False
        return self.needs is None or subscriber.has(self.needs)


class Subscription:
    """One subscriber's queue of events."""

    def __init__(self, subscriber: Caller, missed: list[Event], *, reset: bool) -> None:
        self.subscriber: Final = subscriber
        self.reset: Final = reset
        """Whether events may have been missed that can no longer be replayed, so that the state must be read again."""
        self.app_revoked = False
        """Whether the stream ended because the access of its app was revoked."""
        self.displaced = False
        """Whether the stream ended in favor of another app. Its client may open it again later."""
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in missed:
            self.offer(event)

    def offer(self, event: Event | None) -> None:
        """Add an event, or end the stream (None). The stream of a subscriber that is too far behind ends, too."""
        if event is not None and not event.is_for(self.subscriber):
            return
        if event is not None and self._queue.qsize() >= WAITING + REPLAYED:
            event = None
        self._queue.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event


class EventBus:
    """
    Publishes events to any number of subscribers.

    An event ID is ``<run>-<number>``. The run is random for each start of the daemon, so that an ID of an
    earlier run is recognized and answered with a reset.
    """

    def __init__(self) -> None:
        self._run: Final = secrets.token_hex(4)
        self._number = 0
        self._past: deque[Event] = deque(maxlen=REPLAYED)
        self._subscriptions: set[Subscription] = set()
        # By app: the number of the last event before its approval.
        self._approved_after: dict[str, int] = {}
        self._closed = False

    def publish(
        self, kind: str, data: object, *, needs: Scope | None = None, app: str | None = None, owner_only: bool = False
    ) -> None:
        """
        Publish an event to the subscribers that may receive it. Never blocks.

        Args:
            kind: What happened.
            data: See ``Event``.
            needs: The scope that an app must have.
            app: The only app that receives it, besides the owner.
            owner_only: Whether no app receives it.
        """
        self._number += 1
        event = Event(
            id=f"{self._run}-{self._number}", kind=kind, data=data, needs=needs, app=app, owner_only=owner_only
        )
        self._past.append(event)
        for subscription in tuple(self._subscriptions):
            subscription.offer(event)

    def subscribe(self, subscriber: Caller = OWNER, *, after: str | None = None) -> Subscription:
        """
        Subscribe to events from now on, or after the event with ID ``after`` if it is still known (``Last-Event-ID``).

        An app receives no event from before its approval, whatever ``after`` is.
        """
        missed, reset = self._since(after, self._approved_after.get(subscriber.id, 0))
        subscription = Subscription(subscriber, missed, reset=reset)
        if self._closed:
            subscription.offer(None)
        else:
            self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """End a subscription."""
        self._subscriptions.discard(subscription)

    def begin(self, app_id: str) -> None:
        """Record that an app has just been approved: earlier events are never replayed to it."""
        self._approved_after[app_id] = self._number

    def end(self, app_id: str) -> None:
        """End the streams of an app whose access was revoked, after the events that are still queued."""
        self._approved_after.pop(app_id, None)
        self._end_where(lambda subscriber: subscriber.id == app_id)

    def end_family(self, family: str) -> None:
        """End the streams of the access tokens of a refresh token that has ended, like those of a revoked app."""
        self._end_where(lambda subscriber: subscriber.family == family)

    def _end_where(self, is_revoked: Callable[[Caller], bool]) -> None:
        for subscription in tuple(self._subscriptions):
            if is_revoked(subscription.subscriber):
                subscription.app_revoked = True
                subscription.offer(None)
                self._subscriptions.discard(subscription)

    def end_session(self, session: str) -> None:
        """End the streams of a dashboard session that is over, after the events that are still queued."""
        for subscription in tuple(self._subscriptions):
            if subscription.subscriber.session == session:
                subscription.offer(None)
                self._subscriptions.discard(subscription)

    @property
    def stream_count(self) -> int:
        """Number of open streams."""
        return len(self._subscriptions)

    @property
    def app_stream_count(self) -> int:
        """Number of open streams of apps."""
        return sum(not subscription.subscriber.is_owner for subscription in self._subscriptions)

    def end_surplus(self) -> bool:
        """End one stream of the app that has most of them. Return False if no app has more than one."""
        apps = Counter(it.subscriber.id for it in self._subscriptions if not it.subscriber.is_owner)
        [(app_id, number)] = apps.most_common(1) or [("", 0)]
        if number < 2:
            return False
        surplus = next(it for it in self._subscriptions if it.subscriber.id == app_id)
        surplus.displaced = True
        surplus.offer(None)
        self._subscriptions.discard(surplus)
        return True

    def streams_of(self, caller_id: str) -> int:
        """Return the number of streams of one caller."""
        return sum(subscription.subscriber.id == caller_id for subscription in self._subscriptions)

    def close(self) -> None:
        """End every stream because the daemon is stopping."""
        self._closed = True
        for subscription in tuple(self._subscriptions):
            subscription.offer(None)
        self._subscriptions.clear()

    def _since(self, after: str | None, first: int) -> tuple[list[Event], bool]:
        """Return the events after the one with ID ``after``, and whether any is missing. None is up to ``first``."""
        if after is None:
            return [], False
        run, _, number = after.partition("-")
        known = run == self._run and number.isascii() and number.isdigit() and len(number) < 20
        if not known or int(number) > self._number:
            return [], True
        last = max(int(number), first)
        missed = [event for event in self._past if int(event.id.partition("-")[2]) > last]
        return missed, len(missed) < self._number - int(number)
