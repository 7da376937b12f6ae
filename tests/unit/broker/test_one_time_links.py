"""One-time links: how many there are, and what happens if they cannot be used here."""

from __future__ import annotations

import asyncio

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.one_time_links import OneTimeLinks
from upstash_helper.broker.models import Secret


def key_of(link: str | None) -> Secret:
    """Return the part of a link that makes it secret."""
    assert link is not None
    return Secret(link.rpartition("/")[2])


async def somewhere() -> str | None:
    """Return the origin of the links."""
    return "http://127.1.2.3:4000"


async def test_oldest_link_gives_way() -> None:
    """Requests for links cannot fill the memory, and the newest link works."""
    links = OneTimeLinks(clock=FakeClock())
    links.origin = somewhere

    made = [await links.create(f"https://upstash.test/{number}") for number in range(17)]
    taken = [links.take(key_of(link)) for link in made]

    assert [None] == taken[:1]
    assert [f"https://upstash.test/{number}" for number in range(1, 17)] == [
        each.address.reveal() for each in taken[1:] if each is not None
    ]


async def test_many_requests_at_once_where_there_are_no_links() -> None:
    """Each of them is told so, also those whose link has given way to another one in the meantime."""
    links = OneTimeLinks(clock=FakeClock())

    async def nowhere() -> str | None:
        await asyncio.sleep(0)
        return None

    links.origin = nowhere

    made = await asyncio.gather(*(links.create("https://upstash.test/") for _ in range(20)))

    assert [None] * 20 == made
    assert not links.pending
