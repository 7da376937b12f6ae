"""A Valkey server with the sandbox's functions, and a client that sends translated commands to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import msgspec

from upstash_helper.sandbox.redis.dialect.commands import translate
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused
from upstash_helper.sandbox.redis.resp import Connection, ErrorReply, Reply, SimpleString
from upstash_helper.sandbox.redis.servers import Passwords, ServerConfig, free_ports

if TYPE_CHECKING:
    from upstash_helper.sandbox.redis.servers import DatabaseServer, Role


class Error(msgspec.Struct, frozen=True):
    """An error reply."""

    text: str


class JsonClient:
    """One connection. Replies are str, int, None, list, or `Error`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = Dialect()

    @classmethod
    async def connect(cls, server: DatabaseServer, role: Role = "default") -> Self:
        """Connect with the password of a role."""
        return cls(await server.connect(role))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def run(self, *arguments: str | int | bytes) -> Any:
        """Run a command as the gateway does."""
        command = [
            argument if isinstance(argument, bytes) else str(argument).encode("utf-8", "surrogateescape")
            for argument in arguments
        ]
        try:
            translation = translate(command, self._dialect)
        except Refused as refused:
            return _plain(ErrorReply(refused.text))
        if translation is None:
            return _plain(await self._connection.call(*command))
        reply = await self._connection.call(*translation.command)
        return _plain(translation.convert(reply) if translation.convert else reply)


def server_config() -> ServerConfig:
    """Return a configuration with a free port."""
    return ServerConfig(
        host="127.0.0.1",
        port=next(free_ports("127.0.0.1")),
        passwords=Passwords(default="pw-default", read_only="pw-read-only"),
        memory_limit=64 * 1024 * 1024,
        eviction=False,
        tls=False,
    )


def _plain(reply: Reply) -> Any:
    match reply:
        case list():
            return [_plain(item) for item in reply]
        case ErrorReply(text):
            return Error(text.decode("utf-8", "surrogateescape"))
        case SimpleString(text):
            return text.decode()
        case bytes():
            return reply.decode("utf-8", "surrogateescape")
        case _:
            return reply
