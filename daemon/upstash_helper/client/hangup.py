"""Ending a stream whose reader is blocked."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class Hangup:
    """Ends one stream from another thread, although its reader is blocked; used once."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket: socket.socket | None = None
        self._hung_up = False

    def hang_up(self) -> None:
        """End the stream, at once or as soon as it is open. Returns at once."""
        with self._turn:
            self._hung_up = True
            self._shut_down()

    @contextlib.contextmanager
    def over(self, connected: socket.socket) -> Generator[None]:
        """Be able to end what is read from ``connected``, for the duration of the block."""
        with self._turn:
            self._socket = connected
            if self._hung_up:
                self._shut_down()
        try:
            yield
        finally:
            with self._turn:
                self._socket = None

    def _shut_down(self) -> None:
        # Closing would not wake up a reader on Linux, and the number could be another file's by then.
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
