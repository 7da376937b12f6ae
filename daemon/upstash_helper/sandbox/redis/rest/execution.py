"""Runs a request's commands."""

from __future__ import annotations

from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.error_texts import as_upstash
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply
from upstash_helper.sandbox.redis.rest.access import Access
from upstash_helper.sandbox.redis.rest.commands import Command, describe
from upstash_helper.sandbox.redis.rest.limits import within_limit
from upstash_helper.sandbox.redis.rest.restrictions import refusal


class Execution:
    """Runs commands on the databases' servers. Every method may raise ``ServerError``."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def pipeline(self, access: Access, commands: list[Command]) -> list[Reply]:
        """Run commands in order, and return their replies. A refused or failed one does not stop the others."""
        replies: list[Reply] = [_refused(command) for command in commands]
        allowed = [index for index, refused in enumerate(replies) if refused is None]
        if allowed:
            results = await self._run(access, [commands[index] for index in allowed])
            for index, reply in zip(allowed, results, strict=True):
                replies[index] = _for_client(reply)
        return replies

    async def transaction(self, access: Access, commands: list[Command]) -> list[Reply] | ErrorReply:
        """
        Run commands as one transaction, and return their replies.

        If one of them is refused or cannot be queued, nothing is run, and its error is returned, with its place.
        """
        for index, command in enumerate(commands):
            if refused := _refused(command):
                return _with_place(refused, command, index)
        _, *queued, result = await self._run(access, [[b"MULTI"], *commands, [b"EXEC"]])
        if isinstance(result, list):
            return [_for_client(reply) for reply in result]
        # EXEC only reports that a command could not be queued. The reason is the first error reply.
        for index, reply in enumerate(queued):
            if isinstance(reply, ErrorReply):
                return _with_place(as_upstash(reply), commands[index], index)
        return result if isinstance(result, ErrorReply) else ErrorReply(b"ERR nothing was run")

    async def _run(self, access: Access, commands: list[Command]) -> list[Reply]:
        return await self._databases.run(access.database, access.user, commands, access.source)


def _refused(command: Command) -> ErrorReply | None:
    text = refusal(command)
    return ErrorReply(text.encode()) if text else None


def _for_client(reply: Reply) -> Reply:
    return as_upstash(reply) if isinstance(reply, ErrorReply) else within_limit(reply)


def _with_place(error: ErrorReply, command: Command, index: int) -> ErrorReply:
    return ErrorReply(error.text + f" ({describe(command, index)})".encode())
