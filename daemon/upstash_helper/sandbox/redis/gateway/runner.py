"""Runs commands that do not come over TCP, on reused connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from upstash_helper.sandbox.redis.dialect.commands import translate
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.gateway.blocking import BlockedCommands, timeout_of
from upstash_helper.sandbox.redis.monitor import Monitors
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply, Reply
from upstash_helper.sandbox.redis.servers import User

MAX_IDLE_CONNECTIONS = 8
"""Per database. Each request needs one connection."""

ABORTED = ErrorReply(b"EXECABORT Transaction discarded because of previous errors.")


class Host(Protocol):
    """What the runner needs from the database."""

    dialect: Dialect
    monitors: Monitors

    async def ensure_running(self) -> None:
        """
        Start the server if it is not running.

        Raises:
            ServerError: If it does not start.
        """

    async def connect_as(self, user: User) -> Connection:
        """Return a new connection to the server."""

    def wake(self) -> None:
        """Make the server check for expired timeouts."""


class CommandRunner:
    """Runs the commands of one database's REST requests."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._idle: list[tuple[User, Connection]] = []
        self._generation = 0

    async def run(self, user: User, commands: list[list[bytes]], source: bytes) -> list[Reply]:
        """
        Run commands, and return their replies in order.

        The commands must leave the connection as it was. If one of a transaction is refused, none is run. A transaction
        begins with the first command, and ends with the last.

        Raises:
            ServerError: If the server does not start, or stops.
        """
        await self._host.ensure_running()
        translated = [self._translate(command) for command in commands]
        if commands[0] == [b"MULTI"]:
            return await self._run_transaction(user, commands, translated, source)
        sent = [
            (list(it.command) if isinstance(it, Translation) else command)
            for command, it in zip(commands, translated, strict=True)
            if not isinstance(it, ErrorReply)
        ]
        shown = [command for command, it in zip(commands, translated, strict=True) if not isinstance(it, ErrorReply)]
        replies = iter(await self._exchange(user, sent, lambda: self._show(shown, source), blocks=True) if sent else ())
        return [it if isinstance(it, ErrorReply) else _convert(next(replies), it) for it in translated]

    async def close(self) -> None:
        """Close all idle connections, and the others after their use."""
        await asyncio.gather(*(connection.close() for connection in self._withdraw()))

    def expire(self) -> None:
        """Let no later command use a connection that was authenticated before, without waiting."""
        for connection in self._withdraw():
            connection.hang_up()

    def _withdraw(self) -> list[Connection]:
        self._generation += 1
        idle, self._idle = self._idle, []
        return [connection for _, connection in idle]

    def _translate(self, command: list[bytes]) -> Translation | ErrorReply | None:
        try:
            return translate(command, self._host.dialect)
        except Refused as refused:
            return ErrorReply(refused.text)

    async def _run_transaction(
        self,
        user: User,
        commands: list[list[bytes]],
        translated: list[Translation | ErrorReply | None],
        source: bytes,
    ) -> list[Reply]:
        if any(isinstance(it, ErrorReply) for it in translated):
            return [*(it if isinstance(it, ErrorReply) else None for it in translated[:-1]), ABORTED]
        sent = [
            list(it.command) if isinstance(it, Translation) else command
            for command, it in zip(commands, translated, strict=True)
        ]
        replies = await self._exchange(user, sent, lambda: self._show(commands, source), blocks=False)
        results = replies[-1]
        if isinstance(results, list) and len(results) == len(translated) - 2:
            converted = [_convert(reply, it) for reply, it in zip(results, translated[1:-1], strict=True)]
            replies[-1] = converted
        return replies

    def _show(self, commands: list[list[bytes]], source: bytes) -> None:
        for command in commands:
            self._host.monitors.show(command, source)

    async def _exchange(
        self, user: User, commands: list[list[bytes]], show: Callable[[], None], *, blocks: bool
    ) -> list[Reply]:
        generation = self._generation  # when it authenticates, or before
        connection = await self._take(user)
        show()  # not before: a user of the database has been authenticated
        blocked = BlockedCommands(self._host.wake)
        timeouts = [timeout_of(command) if blocks else None for command in commands]
        for timeout in timeouts:
            if timeout is not None:
                blocked.add(timeout)

        def replied(index: int) -> None:
            if timeouts[index] is not None:
                blocked.finish()

        try:
            replies = await connection.pipeline([tuple(command) for command in commands], replied)
        except BaseException:
            await connection.close()
            raise
        finally:
            blocked.clear()
        if generation == self._generation and len(self._idle) < MAX_IDLE_CONNECTIONS:
            self._idle.append((user, connection))
        else:
            await connection.close()
        return replies

    async def _take(self, user: User) -> Connection:
        """Return an idle connection of this user, or a new one."""
        # Nothing is awaited here: other requests take connections as well.
        for entry in reversed(self._idle[:]):
            owner, connection = entry
            if owner == user:
                self._idle.remove(entry)
                if not connection.closed:
                    return connection
                connection.hang_up()
        return await self._host.connect_as(user)


def _convert(reply: Reply, translation: Translation | ErrorReply | None) -> Reply:
    convert: Callable[[Reply], Reply] | None = translation.convert if isinstance(translation, Translation) else None
    return convert(reply) if convert else reply
