"""
A connection to a message bus that waits while the bus does not read.

dbus-fast takes a full socket for a lost one and hangs up: https://github.com/altdesktop/python-dbus-next/issues/153.
A tray is part of a desktop that may be busy for a while, and has to be there afterwards.
"""

from __future__ import annotations

import asyncio
import select
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from dbus_fast import MessageFlag, MessageType
from dbus_fast.aio import MessageBus

if TYPE_CHECKING:
    from dbus_fast import Message

    Sent = asyncio.Future[None]


class PatientBus(MessageBus):
    """
    A ``MessageBus`` that gives dbus-fast one message at a time, and only when the socket has room.

    Linux calls a socket of this kind writable while no more than a quarter of its buffer is in use, so that of whatever
    is sent then at least a part goes; dbus-fast sends the rest of it when there is room again.
    """

    def __init__(self, bus_address: str) -> None:
        """
        Args:
            bus_address: As in ``DBUS_SESSION_BUS_ADDRESS``.
        """
        super().__init__(bus_address=bus_address)
        self._held: deque[tuple[Message, Sent]] = deque()
        self._last: Sent | None = None
        self._waits = False
        self._disconnect_future.add_done_callback(lambda _: self._give_up())

    def send(self, msg: Message) -> Sent:  # type: ignore[override]  # as aio.MessageBus, against its own base
        """
        Send a message as soon as the bus takes it, after all that were to be sent before.

        Returns:
            A future that is done when the message has gone, and is cancelled if the bus has gone first.

        Raises:
            ConnectionResetError: If there is no bus, and the message wants an answer.
        """
        sent: Sent = self._loop.create_future()
        if not self.connected:
            if _wants_an_answer(msg):
                message = "The message bus is gone."
                raise ConnectionResetError(message)
            # Whoever only tells something need not know that nobody listens: `wait_for_disconnect` is for that.
            sent.cancel()
            return sent
        self._held.append((msg, sent))
        if not self._waits:
            self._waits = True
            # Not at once: a bus that is found gone makes dbus-fast forget the interfaces, and it may be going through
            # them right now to have one of them tell something.
            self._loop.call_soon(self._send_what_goes)
        return sent

    def _send_what_goes(self) -> None:
        self._waits = False
        while self._held and self.connected:
            if self._last is not None and not self._last.done():
                self._waits = True
                self._last.add_done_callback(lambda _: self._send_what_goes())
                return
            if not self._has_room():
                self._waits = True
                # dbus-fast watches the socket only while a message has gone in part, and that has been seen to above.
                self._loop.add_writer(self._socket, self._room_again)
                return
            message, sent = self._held.popleft()
            try:
                self._last = super().send(message)
            except OSError:
                # It has found the bus gone and hung up, and then tried to watch the socket all the same.
                sent.cancel()
                return
            self._last.add_done_callback(partial(_hand_on, sent))

    def _give_up(self) -> None:
        while self._held:
            self._held.popleft()[1].cancel()

    @property
    def _socket(self) -> int:
        assert self._fd is not None  # noqa: S101 - tells the type checker what `connected` says
        return self._fd

    def _room_again(self) -> None:
        self._loop.remove_writer(self._socket)
        self._send_what_goes()

    def _has_room(self) -> bool:
        if sys.platform == "win32":  # which has neither this bus nor `poll`
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(0))


def _wants_an_answer(message: Message) -> bool:
    return message.message_type is MessageType.METHOD_CALL and not message.flags & MessageFlag.NO_REPLY_EXPECTED


def _hand_on(sent: Sent, last: Sent) -> None:
    if last.cancelled() or last.exception() is not None:
        sent.cancel()
    elif not sent.done():
        sent.set_result(None)
