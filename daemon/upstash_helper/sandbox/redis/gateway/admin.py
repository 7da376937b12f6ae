"""The administrator's connection to a server, which is opened when it is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from upstash_helper.sandbox.errors import ServerError
from upstash_helper.sandbox.redis.resp import Connection, Reply


class AdminConnection:
    """Runs commands one at a time."""

    def __init__(self, connect: Callable[[], Awaitable[Connection]]) -> None:
        """
        Args:
            connect: Returns a new connection.
        """
        self._connect = connect
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._waking: asyncio.Task[None] | None = None
        self._wake_again = False

    async def call(self, *arguments: bytes | str) -> Reply:
        """
        Run a command, and return the reply.

        Raises:
            ServerError: If there is no connection.
        """
        async with self._turn:
            if self._connection is None or self._connection.closed:
                await self._close()
                self._connection = await self._connect()
            try:
                return await self._connection.call(*arguments)
            except BaseException:  # also if cancelled: the reply would be taken for that to the next command
                await self._close()
                raise

    def wake(self) -> None:
        """Make the server handle something, so that it checks for expired timeouts."""
        self._wake_again = True
        if self._waking is None:
            self._waking = asyncio.create_task(self._wake())

    async def close(self) -> None:
        """Close the connection. The next use opens another one."""
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.gather(self._waking, return_exceptions=True)
        async with self._turn:
            await self._close()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _wake(self) -> None:
        try:
            while self._wake_again:
                self._wake_again = False
                await self.call("PING")
        except ServerError:
            return  # nobody waits on a server that has stopped; if only the connection was lost, it is woken again
        finally:
            self._waking = None
