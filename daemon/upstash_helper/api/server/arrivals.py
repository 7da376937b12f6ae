"""
Connections that have not sent anything yet.

Nothing is known about such a connection, and it may be one of thousands. So it costs little here: no parser, no task,
and none of the places that ``connections`` has for requests. It gets one with its first bytes.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

BEGUN_AT_ONCE: Final = 8
"""
How many arrivals get a place in one iteration of the event loop. About three iterations later, the first request of
each has been authenticated. If more arrived meanwhile than there are places, the owner's could be among those that are
closed for others.
"""

REFUSED_SECONDS: Final = 1.0
"""How long a connection of another user that gets no place is kept, unread."""

READ_BYTES: Final = 4096
"""
How much is read from a connection in one iteration of the event loop, and parsed at once. asyncio's default, 256 KiB,
can be thousands of requests, chunks, or fields. One iteration would take seconds while many connections send those.
"""

Address = tuple[str, int]


def is_reset(transport: asyncio.Transport) -> bool:
    """
    Return whether the client has reset the connection, as far as the system knows without reading from it. Thousands of
    such connections can wait to be accepted, and handling their requests would make others wait.
    """
    connection = transport.get_extra_info("socket")
    return connection is not None and connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


class Arrival(asyncio.Protocol):
    """One such connection."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals
        self._expiry: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport | None = None
        self.other_user = False
        """Whether another user's process opened it."""
        self.data = b""
        """What it has sent."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the first bytes, for a limited time."""
        self.transport = cast("asyncio.Transport", transport)
        if hasattr(transport, "max_size"):  # not on Windows, where it is 64 KiB
            transport.max_size = READ_BYTES
        if is_reset(self.transport):
            self.transport.abort()
            return
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        self.other_user = bool(local and remote) and self._arrivals.is_other_user(local[:2], remote[:2])
        if self._arrivals.add(self):
            self.close_in(self._arrivals.idle_seconds)
        else:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Wait for a place."""
        self.data += data
        if self.transport is not None:
            self.transport.pause_reading()
        self._arrivals.has_sent(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Forget it."""
        self.stop_timer()
        self._arrivals.remove(self)

    def stop_timer(self) -> None:
        """Let it wait as long as necessary."""
        if self._expiry is not None:
            self._expiry.cancel()

    def close_in(self, seconds: float) -> None:
        """Close the connection unless it gets a place before."""
        self.stop_timer()
        self._expiry = asyncio.get_running_loop().call_later(seconds, self.close)

    def close(self) -> None:
        """Close the connection."""
        if self.transport is not None:
            self.transport.abort()


class Arrivals:
    """The arrivals of one server."""

    def __init__(
        self,
        *,
        begin: Callable[[Arrival], None],
        changed: Callable[[], None],
        is_other_user: Callable[[Address, Address], bool],
        limit: int,
        others: Callable[[], bool],
        idle_seconds: float,
    ) -> None:
        """
        Args:
            begin: Gives an arrival that has sent something a place.
            changed: Called when the number of arrivals has changed.
            is_other_user: Returns whether a connection with these local and remote addresses is another user's.
            limit: How many there may be. A new one takes the place of the one that has been silent longest.
            others: Returns whether another connection of other users may have a place.
            idle_seconds: How long one may be silent.
        """
        self.is_other_user: Final = is_other_user
        self.idle_seconds: Final = idle_seconds
        self._begin = begin
        self._changed = changed
        self._limit = limit
        self._others = others
        self._silent: dict[Arrival, None] = {}
        self._waiting: deque[Arrival] = deque()

    def __len__(self) -> int:
        return len(self._silent) + len(self._waiting)

    @property
    def other_users(self) -> int:
        """The number of those of other users that wait for a place."""
        return sum(each.other_user for each in self._waiting)

    def add(self, arrival: Arrival) -> bool:
        """Add a new one. Return False if it has to be closed."""
        if len(self) >= self._limit:
            oldest = next(iter(self._silent), None)
            if oldest is None:
                return False
            del self._silent[oldest]
            oldest.close()
        self._silent[arrival] = None
        self._changed()
        return True

    def has_sent(self, arrival: Arrival) -> None:
        """Queue one that has sent its first bytes."""
        if arrival not in self._silent:
            return
        if arrival.other_user and not self._others():
            # A program that opens another one for each that is closed is thereby slowed down.
            arrival.data = b""
            arrival.close_in(REFUSED_SECONDS)
            return
        arrival.stop_timer()
        del self._silent[arrival]
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._begin_some)
        self._waiting.append(arrival)

    def remove(self, arrival: Arrival) -> None:
        """Forget one that was closed."""
        self._silent.pop(arrival, None)
        self._changed()

    def close(self) -> None:
        """Close all that have not sent anything."""
        for arrival in tuple(self._silent):
            arrival.close()

    def _begin_some(self) -> None:
        try:
            for _ in range(min(BEGUN_AT_ONCE, len(self._waiting))):
                self._begin_one(self._waiting.popleft())
        finally:
            # Also if one has failed: nothing else would begin those that still wait.
            if self._waiting:
                asyncio.get_running_loop().call_soon(self._begin_some)
            self._changed()

    def _begin_one(self, arrival: Arrival) -> None:
        try:
            self._begin(arrival)
        except BaseException:
            arrival.close()
            raise
