"""The event bus: what happened, in order, for whoever follows."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.identity import OWNER, Caller
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# A slow reader is caught up by the next state it reads, so a short memory is enough; it bounds what a reader costs.
REPLAYED: Final = 256
WAITING: Final = 64


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. ``data`` is one of the broker's or connection's structs and holds no secret."""

    id: str
    kind: str
    data: object
    needs: Scope | None = None
    """The scope without which an app does not get to know it."""
    app: str | None = None
    """The one app that gets to know it, beside the owner."""
    owner_only: bool = False

    def is_for(self, follower: Caller) -> bool:
        """Return whether ``follower`` gets to know it."""
        if follower.is_owner:
            return True
        if self.owner_only or (self.app is not None and self.app != follower.id):
            return False
        return self.needs is None or follower.has(self.needs)


class Subscription:
    """One follower's queue of events."""

    def __init__(self, follower: Caller, missed: list[Event], *, reset: bool) -> None:
        self.follower: Final = follower
        self.reset: Final = reset
        """Whether events may have been missed that can no longer be replayed: read the state anew."""
        self.app_revoked = False
        """Whether the stream ended because its app is no longer let in."""
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue()
        for event in missed:
            self.offer(event)

    def offer(self, event: Event | None) -> None:
        """Add an event, or end the stream (None). A follower that is too far behind is ended."""
        if event is not None and not event.is_for(self.follower):
            return
        if event is not None and self._queue.qsize() >= WAITING + REPLAYED:
            event = None
        self._queue.put_nowait(event)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while (event := await self._queue.get()) is not None:
            yield event


class EventBus:
    """
    Publishes events to any number of followers.

    An id is ``<run>-<number>``: the run is drawn when the daemon starts, so an id of an earlier run is recognized and
    answered by a reset and not by silence.
    """

    def __init__(self) -> None:
        self._run: Final = secrets.token_hex(4)
        self._number = 0
        self._past: deque[Event] = deque(maxlen=REPLAYED)
        self._followers: set[Subscription] = set()
        self._closed = False

    def publish(
        self, kind: str, data: object, *, needs: Scope | None = None, app: str | None = None, owner_only: bool = False
    ) -> None:
        """
        Tell the followers whom it concerns. Never waits.

        Args:
            kind: What happened.
            data: See ``Event``.
            needs: The scope that an app must have.
            app: The one app that it is for, beside the owner.
            owner_only: Whether no app is told.
        """
        self._number += 1
        event = Event(
            id=f"{self._run}-{self._number}", kind=kind, data=data, needs=needs, app=app, owner_only=owner_only
        )
        self._past.append(event)
        for follower in tuple(self._followers):
            follower.offer(event)

    def subscribe(self, follower: Caller = OWNER, *, after: str | None = None) -> Subscription:
        """
        Follow from now on, or from the event with id ``after`` on if it is still known (``Last-Event-ID``).
        """
        missed, reset = self._since(after)
        subscription = Subscription(follower, missed, reset=reset)
        if self._closed:
            subscription.offer(None)
        else:
            self._followers.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Stop following."""
        self._followers.discard(subscription)

    def end(self, app_id: str) -> None:
        """End the streams of an app that is no longer let in, behind what it was told last."""
        for follower in tuple(self._followers):
            if follower.follower.id == app_id:
                follower.app_revoked = True
                follower.offer(None)
                self._followers.discard(follower)

    @property
    def followers(self) -> int:
        """How many follow now."""
        return len(self._followers)

    def streams_of(self, caller_id: str) -> int:
        """Return how many streams of one caller there are."""
        return sum(follower.follower.id == caller_id for follower in self._followers)

    def close(self) -> None:
        """End every stream; the daemon is stopping."""
        self._closed = True
        for follower in tuple(self._followers):
            follower.offer(None)
        self._followers.clear()

    def _since(self, after: str | None) -> tuple[list[Event], bool]:
        if after is None:
            return [], False
        run, _, number = after.partition("-")
        known = run == self._run and number.isascii() and number.isdigit() and len(number) < 20
        if not known or int(number) > self._number:
            return [], True
        missed = [event for event in self._past if int(event.id.partition("-")[2]) > int(number)]
        return missed, len(missed) < self._number - int(number)
