"""Resetting a connection, with the event loops of POSIX and of Windows."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from asyncio.trsock import TransportSocket
from typing import Any

import pytest

from tests.support.platforms import not_under_wine
from upstash_helper.system.connection_reset import reset


class ShutsDown(asyncio.Transport):
    """A transport that ends like that of Windows' event loop: in the next iteration, with a shutdown."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__({"socket": TransportSocket(connection)})
        self._connection = connection

    def abort(self) -> None:
        """Close the connection, as ``asyncio.proactor_events`` does."""
        asyncio.get_running_loop().call_soon(self._lost)

    def _lost(self) -> None:
        if self._connection.fileno() != -1:
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()


class Refusing:
    """A socket whose connection the other side has reset, as macOS has it: no option can be set."""

    def __init__(self) -> None:
        self.closed = False

    def fileno(self) -> int:
        """Return a descriptor."""
        return 3

    def setsockopt(self, *_: object) -> None:
        """Fail as macOS does."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def close(self) -> None:
        """Close it."""
        self.closed = True


class Aborted(asyncio.Transport):
    """A transport that notes whether it was aborted."""

    aborted = False

    def abort(self) -> None:
        """Close the connection."""
        self.aborted = True


async def shuts_down(connection: socket.socket) -> asyncio.BaseTransport:
    """Return Windows' kind of transport for a connection."""
    return ShutsDown(connection)


async def closes(connection: socket.socket) -> asyncio.BaseTransport:
    """Return the transport of this system's event loop for a connection."""
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=connection)
    return transport


@not_under_wine("shuts a connection down before it closes it, and so sends no reset")
@pytest.mark.parametrize("make", [shuts_down, closes])
async def test_part_of_a_response_ends_with_an_error(make: Any) -> None:
    """The other side gets what was sent, and then a reset instead of the end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
    with client:
        transport = await make(accepted)
        accepted.sendall(b"a part")
        first = await asyncio.to_thread(client.recv, 100)

        reset(transport)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        assert b"a part" == first
        client.settimeout(20)
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(client.recv, 100)


def test_connection_that_is_already_reset_is_closed() -> None:
    """The handler of a request does not fail because the client was faster."""
    connection = Refusing()
    transport = Aborted({"socket": connection})

    reset(transport)

    assert (True, True) == (transport.aborted, connection.closed)
