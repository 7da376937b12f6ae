"""When an idle daemon exits, with a clock that the test advances."""

from __future__ import annotations

import asyncio
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if sys.platform == "win32":
    pytest.skip("platform: Windows has no socket activation, so the daemon does not exit", allow_module_level=True)

from tests.support.rawhttp import connected, get, request
from tests.support.served import RecordingServer, serving
from tests.support.until import until_async
from upstash_helper.runtime.idle_exit import IdleExit
from upstash_helper.runtime.listeners import open_listeners

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 300.0


@dataclass
class FakeTimer:
    """A timer that the test fires."""

    seconds: float
    call: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Cancel the timer."""
        self.cancelled = True


@dataclass
class FakeTimers:
    """An event loop's timers."""

    started: list[FakeTimer] = field(default_factory=list)

    def call_later(self, seconds: float, call: Callable[[], None]) -> FakeTimer:
        """Start a timer."""
        self.started.append(FakeTimer(seconds, call))
        return self.started[-1]

    @property
    def pending(self) -> list[float]:
        """The delays of the timers that have not been canceled."""
        return [timer.seconds for timer in self.started if not timer.cancelled]

    def fire(self) -> None:
        """Call the callbacks of all pending timers."""
        due = [timer for timer in self.started if not timer.cancelled]
        self.started.clear()
        for timer in due:
            timer.call()


@dataclass
class Setup:
    """An idle exit with fake timers and listeners."""

    timers: FakeTimers = field(default_factory=FakeTimers)
    reason: str | None = None
    left: bool = False
    listener_calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.idle = IdleExit(
            seconds=SECONDS, busy_reason=lambda: self.reason, leave=self._leave, call_later=self.timers.call_later
        )

    async def pause(self) -> None:
        """Like ``Listeners.pause``."""
        self.listener_calls.append("pause")

    async def resume(self) -> None:
        """Like ``Listeners.resume``."""
        self.listener_calls.append("resume")

    def _leave(self) -> None:
        self.left = True

    async def settled(self) -> None:
        """Run the event loop until all tasks have completed."""
        for _ in range(50):
            await asyncio.sleep(0)


async def test_daemon_exits_after_the_idle_time() -> None:
    """A daemon without any requests exits after the idle time, with its listeners paused."""
    setup = Setup()
    setup.idle.begin(setup)
    waits = setup.timers.pending

    setup.timers.fire()
    await setup.settled()

    assert [SECONDS] == waits
    assert (True, ["pause"]) == (setup.left, setup.listener_calls)


async def test_open_connection_stops_the_timer() -> None:
    """While there is a connection, such as a tray's event stream, no timer wakes the daemon."""
    setup = Setup()
    setup.idle.begin(setup)

    setup.idle.connections_changed(1)
    one = setup.timers.pending
    setup.idle.connections_changed(2)
    setup.idle.connections_changed(1)

    assert ([], []) == (one, setup.timers.pending)


async def test_idle_time_starts_when_the_last_connection_closes() -> None:
    """When the last connection closes, the idle time starts again. There is only one timer."""
    setup = Setup()
    setup.idle.begin(setup)
    for _ in range(5):
        setup.idle.connections_changed(1)
        setup.idle.connections_changed(0)

    assert [SECONDS] == setup.timers.pending


async def test_pending_work_delays_the_exit() -> None:
    """During a sign-in the daemon stays, and checks again after the same time."""
    setup = Setup(reason="a sign-in is running")
    setup.idle.begin(setup)

    setup.timers.fire()
    await setup.settled()
    stays = (setup.left, list(setup.listener_calls), setup.timers.pending)
    setup.reason = None
    setup.timers.fire()
    await setup.settled()

    assert (False, [], [SECONDS]) == stays
    assert setup.left


@pytest.mark.parametrize("when", ["a connection", "a sign-in"])
async def test_work_that_arrives_during_the_exit_cancels_it(when: str) -> None:
    """
    If a connection or other work appears between the decision and the exit, the daemon stays and resumes accepting.
    """
    setup = Setup()
    setup.idle.begin(setup)

    setup.timers.fire()
    if when == "a connection":
        setup.idle.connections_changed(1)
    else:
        setup.reason = "a sign-in is running"
    await setup.settled()
    stays = (setup.left, list(setup.listener_calls))
    setup.idle.connections_changed(0)
    setup.reason = None
    setup.timers.fire()
    await setup.settled()

    assert (False, ["pause", "resume"]) == stays
    assert setup.left


async def test_daemon_exits_only_once() -> None:
    """A connection that opens and closes during the exit does not cause a second one."""
    setup = Setup()
    setup.idle.begin(setup)

    setup.timers.fire()
    setup.idle.connections_changed(1)
    setup.idle.connections_changed(0)
    setup.timers.fire()
    await setup.settled()

    assert (True, ["pause"]) == (setup.left, setup.listener_calls)


async def test_connection_to_paused_listeners_is_served_after_resume() -> None:
    """A connection to paused listeners waits, and is served once they resume, as are later ones on both addresses."""
    listeners = open_listeners(0)
    async with RecordingServer.behind(listeners) as server:
        await get(server.port)
        await listeners.pause()
        async with connected(server.port) as early:
            await early.send(request("GET", "/early"))
            before = list(server.handled)
            await listeners.resume()
            answer = await early.answer()
        later = [await get(server.port, host=host) for host in ("127.0.0.1", "::1")]

    assert "/early" not in before
    assert [200, 200, 200] == [answer.status, *(one.status for one in later)]


async def test_connection_accepted_at_the_moment_of_the_exit_is_served() -> None:
    """A connection that is accepted just before the timer fires is served, and the daemon stays."""
    timers, stop, listeners = FakeTimers(), asyncio.Event(), open_listeners(0)
    idle = IdleExit(seconds=SECONDS, busy_reason=lambda: None, leave=stop.set, call_later=timers.call_later)
    async with serving(RecordingServer().app(), listeners, stop=stop, idle=idle):
        # The kernel accepts it immediately. The event loop notices in its next iteration, in which timers run last.
        with socket.create_connection(("127.0.0.1", listeners.port), timeout=10) as early:
            early.sendall(request("GET", "/early"))
            asyncio.get_running_loop().call_later(0, timers.fire)
            response = await asyncio.to_thread(early.recv, 4096)
            stayed = not stop.is_set()
            later = await get(listeners.port)

    assert response.startswith(b"HTTP/1.1 200")
    assert (True, 200) == (stayed, later.status)


async def test_idle_connection_keeps_the_daemon() -> None:
    """A client can send a request on an open connection at any time, so the daemon stays until it is closed."""
    timers, stop, listeners = FakeTimers(), asyncio.Event(), open_listeners(0)
    idle = IdleExit(seconds=SECONDS, busy_reason=lambda: None, leave=stop.set, call_later=timers.call_later)
    async with serving(RecordingServer().app(), listeners, stop=stop, idle=idle) as running:
        before = timers.pending
        async with connected(listeners.port) as kept:
            await kept.send(request("GET", "/"))
            await kept.answer()
            while_kept = timers.pending
        await until_async(lambda: timers.pending)

        timers.fire()
        await running

    assert ([SECONDS], []) == (before, while_kept)
