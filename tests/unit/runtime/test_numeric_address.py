"""The numeric address of the owner's pages, if opening it is interrupted."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from upstash_helper.runtime.listeners import open_listeners
from upstash_helper.runtime.numeric_address import NumericAddress

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(name="address")
async def _address() -> AsyncIterator[NumericAddress]:
    listeners = open_listeners(0)
    await listeners.serve(asyncio.Protocol)
    address = NumericAddress(listeners, FakeClock())
    yield address
    address.close()
    await listeners.pause()
    listeners.close()


async def test_interrupted_opening_leaves_nothing_open(address: NumericAddress) -> None:
    """
    If the request that opens the address is canceled, nothing listens there, the pages are not served there, and the
    next request opens another address.
    """
    hosts: list[str | None] = []
    announced = asyncio.Event()

    def changed(host: str | None) -> None:
        hosts.append(host)
        announced.set()

    address.on_change = changed
    opening = asyncio.create_task(address.open(lambda _: True))
    await announced.wait()
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    again = await address.open(lambda _: True)

    [interrupted, closed, opened] = hosts
    assert interrupted is not None
    assert closed is None
    assert again == opened != interrupted
    name, _, port = interrupted.partition(":")
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(name, int(port))
