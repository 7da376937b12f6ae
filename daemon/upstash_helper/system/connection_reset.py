"""Resetting a TCP connection, so that the other side does not take a part of a response for the whole."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_NOW: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""The C struct ``linger``, which has shorts on Windows: on, and a time of zero."""


def reset(transport: asyncio.BaseTransport) -> None:
    """
    Close a connection with RST instead of FIN, without sending what is still buffered.

    Where neither a length nor chunks frame a body (HTTP/1.0), FIN would mean that it is complete. ``Transport.abort``
    does not suffice: it closes the socket, which sends FIN unless its linger time is zero; and the event loop of
    Windows shuts the connection down before that, which sends FIN in any case, unless the socket is closed by then.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        # macOS reports EINVAL for every option of a connection that the other side has reset. FIN cannot be sent then.
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
    abort = getattr(transport, "abort", transport.close)
    abort()  # cancels reading first
    # asyncio wraps the socket, and its wrapper has no `close`.
    raw = getattr(connection, "_sock", connection)
    if raw is not None:
        raw.close()
