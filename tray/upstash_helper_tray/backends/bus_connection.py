"""
A connection to a message bus with back-pressure: it queues messages while the bus does not read.

dbus-fast treats a full socket as a lost connection and closes it:
https://github.com/altdesktop/python-dbus-next/issues/153. A desktop may be busy for a while, which the tray has to
survive.
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


class BusConnection(MessageBus):
    """
    A ``MessageBus`` that hands dbus-fast one message at a time, and only while the socket is writable.

    On Linux a Unix socket is writable while at most a quarter of its buffer is in use, so at least part of the message
    is written. dbus-fast then writes the remainder as soon as there is room.
    """

    def __init__(self, bus_address: str) -> None:
        """
        Args:
            bus_address: As in ``DBUS_SESSION_BUS_ADDRESS``.
        """
        super().__init__(bus_address=bus_address)
        self._queue: deque[tuple[Message, Sent]] = deque()
        self._last: Sent | None = None
        self._send_scheduled = False
        self._disconnect_future.add_done_callback(lambda _: self._cancel_queued())

    def send(self, msg: Message) -> Sent:  # type: ignore[override]  # as aio.MessageBus, against its own base
        """
        Queue a message. Messages are sent in order.

        Returns:
            A future that is done when the message has been written, and canceled if the connection is lost first.

        Raises:
            ConnectionResetError: If the connection is lost, and the message expects a reply.
        """
        sent: Sent = self._loop.create_future()
        if not self.connected:
            if _expects_reply(msg):
                message = "The connection to the message bus is lost."
                raise ConnectionResetError(message)
            # Signals need no error: `wait_for_disconnect` already reports the loss.
            sent.cancel()
            return sent
        self._queue.append((msg, sent))
        if not self._send_scheduled:
            self._send_scheduled = True
            # Not immediately: if the connection turns out to be lost, dbus-fast clears its interfaces, which it may be
            # iterating over right now to emit this very signal.
            self._loop.call_soon(self._send_queued)
        return sent

    def _send_queued(self) -> None:
        self._send_scheduled = False
        while self._queue and self.connected:
            if self._last is not None and not self._last.done():
                self._send_scheduled = True
                self._last.add_done_callback(lambda _: self._send_queued())
                return
            if not self._is_writable():
                self._send_scheduled = True
                # dbus-fast watches the socket only while a message is partly written, which the branch above excludes.
                self._loop.add_writer(self._socket, self._on_writable)
                return
            message, sent = self._queue.popleft()
            if not message.serial:
                message.serial = self.next_serial()
            assert self._writer is not None  # noqa: S101 - for the type checker; `connected` implies it
            self._last = self._loop.create_future()
            self._last.add_done_callback(partial(_forward_result, sent))
            try:
                # As dbus-fast's own `send`, which loses its future in this case: asyncio would log its exception.
                self._writer.schedule_write(message, self._last)
            except OSError:
                # dbus-fast found the connection lost and closed it, and then tried to watch the closed socket.
                if self._last.done():
                    self._last.exception()
                sent.cancel()
                return

    def _cancel_queued(self) -> None:
        while self._queue:
            self._queue.popleft()[1].cancel()

    @property
    def _socket(self) -> int:
        assert self._fd is not None  # noqa: S101 - for the type checker; `connected` implies it
        return self._fd

    def _on_writable(self) -> None:
        self._loop.remove_writer(self._socket)
        self._send_queued()

    def _is_writable(self) -> bool:
        if sys.platform == "win32":  # which has neither a session bus nor `poll`
            return True
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        return bool(poll.poll(0))


def _expects_reply(message: Message) -> bool:
    return message.message_type is MessageType.METHOD_CALL and not message.flags & MessageFlag.NO_REPLY_EXPECTED


def _forward_result(sent: Sent, last: Sent) -> None:
    if last.cancelled() or last.exception() is not None:
        sent.cancel()
    elif not sent.done():
        sent.set_result(None)
