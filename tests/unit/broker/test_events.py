"""The event bus."""

from __future__ import annotations

import asyncio

import pytest

from upstash_helper.broker.events import REPLAYED, Event, EventBus, Subscription
from upstash_helper.broker.identity import OWNER, Caller, Identity
from upstash_helper.protocol.literals import Scope


async def gathered(subscription: Subscription) -> list[Event]:
    return [event async for event in subscription]


async def test_followers_get_events_in_order() -> None:
    """What happened first is told first, to everyone who follows."""
    bus = EventBus()
    first, second = bus.subscribe(), bus.subscribe()

    bus.publish("connection", "a")
    bus.publish("database", "b")
    bus.close()

    assert ["a", "b"] == [event.data for event in await gathered(first)]
    assert ["a", "b"] == [event.data for event in await gathered(second)]


async def test_who_comes_later_does_not_get_what_was_before() -> None:
    """A new follower reads the state and follows from there."""
    bus = EventBus()
    bus.publish("connection", "before")

    subscription = bus.subscribe()
    bus.close()

    assert [] == await gathered(subscription)
    assert not subscription.reset


async def test_t49_a_follower_resumes_after_the_last_event_it_saw() -> None:
    """Events of a short interruption are replayed, each once."""
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
async def test_t49_an_id_that_is_not_known_is_answered_by_a_reset(last: str) -> None:
    """Of another run of the daemon, of the future or made up: the follower is told to read the state anew."""
    bus = EventBus()
    probe = bus.subscribe()
    bus.publish("n", 1)
    run = (await anext(aiter(probe))).id.partition("-")[0]

    subscription = bus.subscribe(after=last.format(run=run))
    bus.close()

    assert subscription.reset
    assert [] == await gathered(subscription)


async def test_t49_an_id_too_old_is_answered_by_a_reset_and_what_is_left() -> None:
    """The memory is bounded; a follower that missed more than it holds is told so."""
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


async def test_a_follower_that_reads_nothing_is_ended_and_holds_no_memory() -> None:
    """A slow follower delays nobody, and what waits for it is bounded."""
    bus = EventBus()
    slow = bus.subscribe()

    for number in range(10_000):
        bus.publish("n", number)

    async with asyncio.timeout(5):
        got = await gathered(slow)
    assert len(got) < 1_000
    assert list(range(len(got))) == [event.data for event in got]


async def test_after_the_end_a_new_follower_is_ended_at_once() -> None:
    """A stream that is opened while the daemon stops does not hold it up."""
    bus = EventBus()
    bus.close()

    async with asyncio.timeout(5):
        assert [] == await gathered(bus.subscribe())


# --- audience ---------------------------------------------------------------------------------------------------------


def app(name: str, *scopes: Scope) -> Caller:
    return Caller(kind="app", id=name, name=name, identity=Identity(kind="native", name=name), scopes=scopes)


AUDIENCE = [OWNER, app("a", "connection:read"), app("b", "connection:read", "databases:read"), app("owner-like")]


def publish(bus: EventBus) -> None:
    """Tell one thing of each kind."""
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


async def test_t49_everyone_gets_what_is_for_them() -> None:
    """The owner all; an app what its scopes and its name allow, and nothing of requests to be let in."""
    bus = EventBus()
    followers = [bus.subscribe(caller) for caller in AUDIENCE]

    publish(bus)
    bus.close()

    assert EXPECTED == [[event.data for event in await gathered(one)] for one in followers]


async def test_t49_a_replay_tells_no_more_than_was_told() -> None:
    """Last-Event-ID is a number that anybody can count down; it opens nothing."""
    bus = EventBus()
    probe = bus.subscribe()
    bus.publish("first", "first")
    first = (await anext(aiter(probe))).id
    publish(bus)

    followers = [bus.subscribe(caller, after=first) for caller in AUDIENCE]
    bus.close()

    assert EXPECTED == [[event.data for event in await gathered(one)] for one in followers]


async def test_t30_the_streams_of_an_app_end_and_no_others() -> None:
    """Behind what it was told last; the count of streams knows."""
    bus = EventBus()
    mine = [bus.subscribe(AUDIENCE[1]) for _ in range(3)]
    others = [bus.subscribe(AUDIENCE[2]), bus.subscribe()]
    before = bus.streams_of("a")

    bus.publish("revoked", "out", app="a")
    bus.end("a")
    bus.publish("connection", "later")
    told = [[event.data for event in await gathered(one)] for one in mine]
    left = (bus.streams_of("a"), bus.stream_count)
    bus.close()

    assert [["out"]] * 3 == told
    assert [True] * 3 == [one.app_revoked for one in mine]
    assert (3, (0, 2)) == (before, left)
    assert [["later"], ["out", "later"]] == [[event.data for event in await gathered(one)] for one in others]
