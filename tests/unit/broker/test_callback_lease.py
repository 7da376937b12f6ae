"""When the callback address is taken, and when it is released."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.support.until import until_async
from upstash_helper.broker.account.callback_lease import CallbackLease
from upstash_helper.broker.background import Background


class Address:
    """The ``CallbackAddress`` port, which records its calls in order."""

    def __init__(self) -> None:
        self.conflicting: str | None = None
        self.held = False
        self.calls: list[str] = []
        self.slow: asyncio.Event | None = None
        """If set, ``take`` waits for this event."""

    async def conflict(self) -> str | None:
        """Return None; the lease does not call this."""
        return None

    async def take(self) -> str | None:
        """Take the address, unless there is a conflict."""
        self.calls.append("take")
        if self.slow is not None:
            await self.slow.wait()
        self.held = self.held or self.conflicting is None
        return self.conflicting

    async def release(self) -> None:
        """Release the address."""
        self.calls.append("release")
        await asyncio.sleep(0)
        self.held = False


class SignIns:
    """A lease, and the attempts that are pending."""

    def __init__(self) -> None:
        self.address = Address()
        self.pending: set[str] = set()
        self.lease = CallbackLease(callback=self.address, pending=lambda: bool(self.pending), background=Background())

    async def begin(self, attempt: str) -> None:
        """Start an attempt."""
        async with self.lease.taken() as conflict:
            assert conflict is None
            self.pending = {attempt}

    async def end(self, attempt: str) -> None:
        """End an attempt in any way."""
        self.pending.discard(attempt)
        await self.lease.update()


@pytest.fixture
def sign_ins() -> SignIns:
    """A lease without a pending attempt."""
    return SignIns()


async def test_address_is_held_from_the_start_of_an_attempt_to_its_end(sign_ins: SignIns) -> None:
    """Nothing is held before the first attempt and after the last."""
    await sign_ins.lease.update()
    before = sign_ins.address.held
    await sign_ins.begin("a")
    meanwhile = sign_ins.address.held
    await sign_ins.end("a")

    assert (False, True, False) == (before, meanwhile, sign_ins.address.held)


async def test_attempt_that_is_not_started_leaves_nothing_held(sign_ins: SignIns) -> None:
    """The address is released if no attempt is pending at the end of the block."""
    async with sign_ins.lease.taken():
        pass

    assert not sign_ins.address.held


async def test_failure_while_an_attempt_starts_leaves_nothing_held(sign_ins: SignIns) -> None:
    """The address is released after an exception, too."""
    with pytest.raises(RuntimeError):
        async with sign_ins.lease.taken():
            raise RuntimeError

    assert not sign_ins.address.held


async def test_end_of_an_old_attempt_keeps_the_address_for_the_new_one(sign_ins: SignIns) -> None:
    """The timer of an attempt that was canceled long ago does not affect the pending one."""
    await sign_ins.begin("old")
    await sign_ins.begin("new")
    await sign_ins.end("old")
    held = sign_ins.address.held
    await sign_ins.end("new")

    assert held
    assert not sign_ins.address.held


async def test_attempt_that_ends_while_another_starts_releases_nothing(sign_ins: SignIns) -> None:
    """The address that is being taken for the next attempt is not released by the end of the previous one."""
    await sign_ins.begin("old")
    sign_ins.address.slow = asyncio.Event()
    beginning = asyncio.create_task(sign_ins.begin("new"))
    await asyncio.sleep(0)
    ending = asyncio.create_task(sign_ins.end("old"))
    await asyncio.sleep(0)
    sign_ins.address.slow.set()
    await asyncio.gather(beginning, ending)

    assert sign_ins.address.held
    assert "release" not in sign_ins.address.calls


async def test_attempt_that_starts_while_another_ends_takes_the_address_again(sign_ins: SignIns) -> None:
    """Releasing and taking do not overlap, and the address is held at the end."""
    await sign_ins.begin("old")
    await asyncio.gather(sign_ins.end("old"), sign_ins.begin("new"))

    assert sign_ins.address.held


async def test_cancelled_caller_leaves_nothing_held(sign_ins: SignIns) -> None:
    """The address is released even if it was still being taken when the caller disconnected."""
    sign_ins.address.slow = asyncio.Event()
    caller = asyncio.create_task(sign_ins.begin("a"))
    await until_async(lambda: sign_ins.address.calls)
    caller.cancel()
    await asyncio.sleep(0)
    sign_ins.address.slow.set()
    with contextlib.suppress(asyncio.CancelledError):
        await caller

    await sign_ins.lease.update()
    assert ["take", "release"] == sign_ins.address.calls[:2]
    assert not sign_ins.address.held


async def test_conflict_is_reported_and_nothing_is_held(sign_ins: SignIns) -> None:
    """After the other program has gone, the next attempt succeeds."""
    sign_ins.address.conflicting = "It belongs to vite."
    async with sign_ins.lease.taken() as conflict:
        held = sign_ins.address.held
    sign_ins.address.conflicting = None
    await sign_ins.begin("a")

    assert ("It belongs to vite.", False) == (conflict, held)
    assert sign_ins.address.held
