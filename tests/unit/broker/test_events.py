"""The event bus."""

from __future__ import annotations

import asyncio

import pytest

from upstash_helper.broker.events import REPLAYED, Event, EventBus, Subscription
from upstash_helper.broker.identity import OWNER, Caller, Identity
from upstash_helper.protocol.literals import Scope


async def gathered(subscription: Subscription) -> list[Event]:
    return [event async for event in subscription]


async def test_subscribers_receive_events_in_order() -> None:
    """Every subscriber receives all events in the order in which they happened."""
    bus = EventBus()
    first, second = bus.subscribe(), bus.subscribe()

    bus.publish("connection", "a")
    bus.publish("database", "b")
    bus.close()

    assert ["a", "b"] == [event.data for event in await gathered(first)]
    assert ["a", "b"] == [event.data for event in await gathered(second)]


async def test_new_subscriber_does_not_receive_earlier_events() -> None:
    """It reads the state and receives events from then on."""
    bus = EventBus()
    bus.publish("connection", "before")

    subscription = bus.subscribe()
    bus.close()

    assert [] == await gathered(subscription)
    assert not subscription.reset


async def test_t49_subscriber_resumes_after_its_last_event() -> None:
    """Events missed during a short interruption are replayed once."""
    bus = EventBus()
    bus.publish("n", 1)
    bus.publish("n", 2)
    seen = bus.subscribe()
    bus.publish("n", 3)
    last = (await anext(aiter(seen))).id
    bus.publish("n", 4)
    bus.publish("n", 5)

    resumed = bus.subscribe(after=last)
    bus.close()

    assert [4, 5] == [event.data for event in await gathered(resumed)]
    assert not resumed.reset


@pytest.mark.parametrize(
    "last", ["", "garbage", "00000000-1", "{run}-99", "{run}-", "{run}-x", "{run}-" + "9" * 40, "{run}--1", "{run}-١"]
)
async def test_t49_unknown_event_id_causes_a_reset(last: str) -> None:
    """IDs of another run, future IDs, and invalid IDs: the subscriber must read the state again."""
    bus = EventBus()
    probe = bus.subscribe()
    bus.publish("n", 1)
    run = (await anext(aiter(probe))).id.partition("-")[0]

    subscription = bus.subscribe(after=last.format(run=run))
    bus.close()

    assert subscription.reset
    assert [] == await gathered(subscription)


async def test_t49_event_id_that_is_too_old_causes_a_reset_and_a_partial_replay() -> None:
    """The history is bounded, and a subscriber that missed more is informed."""
    bus = EventBus()
    probe = bus.subscribe()
    bus.publish("n", 0)
    first = (await anext(aiter(probe))).id
    for number in range(REPLAYED + 5):
        bus.publish("n", number)

    subscription = bus.subscribe(after=first)
    bus.close()

    assert subscription.reset
    assert REPLAYED == len(await gathered(subscription))


async def test_subscriber_that_does_not_read_is_ended() -> None:
    """It delays no other subscriber, and its queue is bounded."""
    bus = EventBus()
    slow = bus.subscribe()

    for number in range(10_000):
        bus.publish("n", number)

    async with asyncio.timeout(5):
        got = await gathered(slow)
    assert len(got) < 1_000
    assert list(range(len(got))) == [event.data for event in got]


async def test_subscription_after_close_ends_at_once() -> None:
    """A stream opened while the daemon stops does not delay the stop."""
    bus = EventBus()
    bus.close()

    async with asyncio.timeout(5):
        assert [] == await gathered(bus.subscribe())


# --- audience ---------------------------------------------------------------------------------------------------------


def app(name: str, *scopes: Scope) -> Caller:
    return Caller(kind="app", id=name, name=name, identity=Identity(kind="native", name=name), scopes=scopes)


AUDIENCE = [OWNER, app("a", "connection:read"), app("b", "connection:read", "databases:read"), app("owner-like")]


def publish(bus: EventBus) -> None:
    """Publish one event of each kind."""
    bus.publish("connection", "to all")
    bus.publish("database", "to readers", needs="databases:read")
    bus.publish("pairing", "to the owner", owner_only=True)
    bus.publish("revoked", "to a", app="a")
    bus.publish("odd", "to a reader a", app="a", needs="databases:read")
    bus.publish("odd", "to the owner, not a", app="a", owner_only=True)


EXPECTED = [
    ["to all", "to readers", "to the owner", "to a", "to a reader a", "to the owner, not a"],
    ["to all", "to a"],
    ["to all", "to readers"],
    ["to all"],
]


async def test_t49_events_are_filtered_by_subscriber() -> None:
    """The owner receives all events; an app only those that its scopes allow or that are addressed to it."""
    bus = EventBus()
    followers = [bus.subscribe(caller) for caller in AUDIENCE]

    publish(bus)
    bus.close()

    assert EXPECTED == [[event.data for event in await gathered(one)] for one in followers]


async def test_t49_replay_is_filtered_like_the_live_stream() -> None:
    """A guessed Last-Event-ID reveals nothing."""
    bus = EventBus()
    probe = bus.subscribe()
    bus.publish("first", "first")
    first = (await anext(aiter(probe))).id
    publish(bus)

    followers = [bus.subscribe(caller, after=first) for caller in AUDIENCE]
    bus.close()

    assert EXPECTED == [[event.data for event in await gathered(one)] for one in followers]


async def test_t30_revoking_an_app_ends_only_its_streams() -> None:
    """Queued events are delivered first, and the stream count is updated."""
    bus = EventBus()
    mine = [bus.subscribe(AUDIENCE[1]) for _ in range(3)]
    others = [bus.subscribe(AUDIENCE[2]), bus.subscribe()]
    before = bus.streams_of("a")

    bus.publish("revoked", "out", app="a")
    bus.end("a")
    bus.publish("connection", "later")
    received = [[event.data for event in await gathered(one)] for one in mine]
    left = (bus.streams_of("a"), bus.stream_count)
    bus.close()

    assert [["out"]] * 3 == received
    assert [True] * 3 == [one.app_revoked for one in mine]
    assert (3, (0, 2)) == (before, left)
    assert [["later"], ["out", "later"]] == [[event.data for event in await gathered(one)] for one in others]
