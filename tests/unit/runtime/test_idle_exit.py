"""When the daemon leaves by itself, with time that is moved by hand."""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: nobody starts the daemon again on Windows, so it does not leave", allow_module_level=True)

from tests.support.rawhttp import connected, get, request
from tests.support.served import Witness, serving
from tests.support.until import until_async
from upstash_helper.runtime.idle_exit import IdleExit
from upstash_helper.runtime.listeners import open_listeners

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 300.0


@dataclass
class Alarm:
    """A timer that is not running any more."""

    seconds: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Never ring."""
        self.cancelled = True


@dataclass
class Alarms:
    """The timers of a loop, which ring when the test says so."""

    set: list[Alarm] = field(default_factory=list)

    def later(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Set one."""
        self.set.append(Alarm(seconds, call))
        return self.set[-1]

    @property
    def pending(self) -> list[float]:
        """In how many seconds those ring that do."""
        return [alarm.seconds for alarm in self.set if not alarm.cancelled]

    def ring(self) -> None:
        """Let the time of all of them come."""
        due = [alarm for alarm in self.set if not alarm.cancelled]
        self.set.clear()
        for alarm in due:
            alarm.call()


@dataclass
class Room:
    """An idle exit with doors that say when they are closed."""

    alarms: Alarms = field(default_factory=Alarms)
    reason: str | None = None
    left: bool = False
    doors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.idle = IdleExit(
            seconds=SECONDS, busy_reason=lambda: self.reason, leave=self._leave, call_later=self.alarms.later
        )

    async def pause(self) -> None:
        """As ``Listeners``."""
        self.doors.append("closed")

    async def resume(self) -> None:
        """As ``Listeners``."""
        self.doors.append("open")

    def _leave(self) -> None:
        self.left = True

    async def settled(self) -> None:
        """Let everything that was begun in the loop come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)


async def test_it_leaves_after_the_time_without_anything() -> None:
    """
    A daemon that nobody has ever asked anything leaves when its time is over, with its doors closed.
    """
    room = Room()
    room.idle.begin(room)
    waits = room.alarms.pending

    room.alarms.ring()
    await room.settled()

    assert [SECONDS] == waits
    assert (True, ["closed"]) == (room.left, room.doors)


async def test_with_a_connection_there_is_no_timer_at_all() -> None:
    """
    While anybody is connected, a tray that follows the events for days included, nothing wakes the daemon up.
    """
    room = Room()
    room.idle.begin(room)

    room.idle.connections_changed(1)
    one = room.alarms.pending
    room.idle.connections_changed(2)
    room.idle.connections_changed(1)

    assert ([], []) == (one, room.alarms.pending)


async def test_the_time_counts_from_the_last_one_that_has_gone() -> None:
    """
    When the last connection is closed, the whole time begins anew; there is one timer, however many have come and gone.
    """
    room = Room()
    room.idle.begin(room)
    for _ in range(5):
        room.idle.connections_changed(1)
        room.idle.connections_changed(0)

    assert [SECONDS] == room.alarms.pending


async def test_what_is_under_way_puts_it_off() -> None:
    """
    With a sign-in that runs the daemon stays, and looks again after as long.
    """
    room = Room(reason="a sign-in is running")
    room.idle.begin(room)

    room.alarms.ring()
    await room.settled()
    stays = (room.left, list(room.doors), room.alarms.pending)
    room.reason = None
    room.alarms.ring()
    await room.settled()

    assert (False, [], [SECONDS]) == stays
    assert room.left


@pytest.mark.parametrize("when", ["a connection", "a sign-in"])
async def test_who_comes_at_the_last_moment_is_served(when: str) -> None:
    """
    What turns up after the decision and before the end makes the daemon stay, and open its doors again.
    """
    room = Room()
    room.idle.begin(room)

    room.alarms.ring()
    if when == "a connection":
        room.idle.connections_changed(1)
    else:
        room.reason = "a sign-in is running"
    await room.settled()
    stays = (room.left, list(room.doors))
    room.idle.connections_changed(0)
    room.reason = None
    room.alarms.ring()
    await room.settled()

    assert (False, ["closed", "open"]) == stays
    assert room.left


async def test_a_connection_that_came_and_went_at_the_last_moment_does_not_make_it_leave_twice() -> None:
    """
    Whatever comes and goes while it is leaving, it leaves once.
    """
    room = Room()
    room.idle.begin(room)

    room.alarms.ring()
    room.idle.connections_changed(1)
    room.idle.connections_changed(0)
    room.alarms.ring()
    await room.settled()

    assert (True, ["closed"]) == (room.left, room.doors)


async def test_who_connects_to_closed_doors_waits_and_is_answered() -> None:
    """
    While the listeners are paused a connection waits in the queue; when they are resumed it is answered, and so are
    later ones, on both addresses.
    """
    listeners = open_listeners(0)
    async with Witness.behind(listeners) as witness:
        await get(witness.port)
        await listeners.pause()
        async with connected(witness.port) as early:
            await early.send(request("GET", "/early"))
            before = list(witness.handled)
            await listeners.resume()
            answer = await early.answer()
        later = [await get(witness.port, host=host) for host in ("127.0.0.1", "::1")]

    assert "/early" not in before
    assert [200, 200, 200] == [answer.status, *(one.status for one in later)]


async def test_who_is_let_in_at_the_very_moment_of_leaving_is_answered() -> None:
    """
    A connection that was accepted just before the time was over, and of which nothing is known yet, is answered; the
    daemon stays, and serves those who come later.
    """
    alarms, stop, listeners = Alarms(), asyncio.Event(), open_listeners(0)
    idle = IdleExit(seconds=SECONDS, busy_reason=lambda: None, leave=stop.set, call_later=alarms.later)
    async with serving(Witness().app(), listeners, stop=stop, idle=idle):
        # The kernel takes it at once. The loop learns of it in its next round, in which timers come last.
        with socket.create_connection(("127.0.0.1", listeners.port), timeout=10) as early:
            early.sendall(request("GET", "/early"))
            asyncio.get_running_loop().call_later(0, alarms.ring)
            said = await asyncio.to_thread(early.recv, 4096)
            stayed = not stop.is_set()
            later = await get(listeners.port)

    assert said.startswith(b"HTTP/1.1 200")
    assert (True, 200) == (stayed, later.status)


async def test_an_idle_connection_keeps_the_daemon() -> None:
    """
    A client may send on a connection that it keeps at any moment, so the daemon stays until that is closed.
    """
    alarms, stop, listeners = Alarms(), asyncio.Event(), open_listeners(0)
    idle = IdleExit(seconds=SECONDS, busy_reason=lambda: None, leave=stop.set, call_later=alarms.later)
    async with serving(Witness().app(), listeners, stop=stop, idle=idle) as running:
        before = alarms.pending
        async with connected(listeners.port) as kept:
            await kept.send(request("GET", "/"))
            await kept.answer()
            while_kept = alarms.pending
        await until_async(lambda: alarms.pending)

        alarms.ring()
        await running

    assert ([SECONDS], []) == (before, while_kept)
