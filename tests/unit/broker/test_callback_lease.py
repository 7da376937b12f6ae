"""When the callback address is taken, and when it is let go."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.until import until_async
from upstash_helper.broker.account.callback_lease import CallbackLease
from upstash_helper.broker.background import Background


class Address:
    """The ``CallbackAddress`` port: what is done with it, in order."""

    def __init__(self) -> None:
        self.conflicting: str | None = None
        self.held = False
        self.done: list[str] = []
        self.slow: asyncio.Event | None = None
        """Holds up whoever takes it, until it is set."""

    async def conflict(self) -> str | None:
        """Return None: nobody asks here."""
        return None

    async def take(self) -> str | None:
        """Take it, unless there is a conflict."""
        self.done.append("take")
        if self.slow is not None:
            await self.slow.wait()
        self.held = self.held or self.conflicting is None
        return self.conflicting

    async def release(self) -> None:
        """Let it go."""
        self.done.append("release")
        await asyncio.sleep(0)
        self.held = False


class Desk:
    """A reception, and who is awaited there."""

    def __init__(self) -> None:
        self.address = Address()
        self.awaited: set[str] = set()
        self.reception = CallbackLease(
            callback=self.address, awaited=lambda: bool(self.awaited), background=Background()
        )

    async def begin(self, attempt: str) -> None:
        """Begin an attempt."""
        async with self.reception.opened() as conflict:
            assert conflict is None
            self.awaited = {attempt}

    async def end(self, attempt: str) -> None:
        """End an attempt, whatever has become of it."""
        self.awaited.discard(attempt)
        await self.reception.settle()


@pytest.fixture
def desk() -> Desk:
    """A reception at rest."""
    return Desk()


async def test_it_is_held_from_the_beginning_of_an_attempt_to_its_end(desk: Desk) -> None:
    """Nothing is taken at rest, and nothing is held afterwards."""
    await desk.reception.settle()
    at_rest = desk.address.held
    await desk.begin("a")
    meanwhile = desk.address.held
    await desk.end("a")

    assert (False, True, False) == (at_rest, meanwhile, desk.address.held)


async def test_an_attempt_that_is_not_begun_leaves_nothing_held(desk: Desk) -> None:
    """Others had begun one meanwhile whose redirect has come, say: then nobody is awaited."""
    async with desk.reception.opened():
        pass

    assert not desk.address.held


async def test_a_failure_while_it_begins_leaves_nothing_held(desk: Desk) -> None:
    """Whatever goes wrong, the port is the user's again."""
    with pytest.raises(RuntimeError):
        async with desk.reception.opened():
            raise RuntimeError

    assert not desk.address.held


async def test_the_end_of_the_old_attempt_leaves_the_new_one_its_address(desk: Desk) -> None:
    """The timer of an attempt that was given up long ago changes nothing for the one that runs."""
    await desk.begin("old")
    await desk.begin("new")
    await desk.end("old")
    held = desk.address.held
    await desk.end("new")

    assert held
    assert not desk.address.held


async def test_an_end_in_the_middle_of_a_beginning_waits(desk: Desk) -> None:
    """What is being taken for the next attempt is not let go by the end of the last."""
    await desk.begin("old")
    desk.address.slow = asyncio.Event()
    beginning = asyncio.create_task(desk.begin("new"))
    await asyncio.sleep(0)
    ending = asyncio.create_task(desk.end("old"))
    await asyncio.sleep(0)
    desk.address.slow.set()
    await asyncio.gather(beginning, ending)

    assert desk.address.held
    assert "release" not in desk.address.done


async def test_a_beginning_in_the_middle_of_an_end_takes_it_anew(desk: Desk) -> None:
    """One after the other, and in the end it is held."""
    await desk.begin("old")
    await asyncio.gather(desk.end("old"), desk.begin("new"))

    assert desk.address.held


async def test_a_caller_who_goes_away_leaves_nothing_held(desk: Desk) -> None:
    """The address is let go also if it was not even there yet when the caller went."""
    desk.address.slow = asyncio.Event()
    caller = asyncio.create_task(desk.begin("a"))
    await until_async(lambda: desk.address.done)
    caller.cancel()
    await asyncio.sleep(0)
    desk.address.slow.set()
    with contextlib.suppress(asyncio.CancelledError):
        await caller

    await desk.reception.settle()
    assert ["take", "release"] == desk.address.done[:2]
    assert not desk.address.held


async def test_a_conflict_is_told_and_nothing_is_held(desk: Desk) -> None:
    """And the next one, when the other program has gone, is not kept from it."""
    desk.address.conflicting = "It belongs to vite."
    async with desk.reception.opened() as conflict:
        held = desk.address.held
    desk.address.conflicting = None
    await desk.begin("a")

    assert ("It belongs to vite.", False) == (conflict, held)
    assert desk.address.held
