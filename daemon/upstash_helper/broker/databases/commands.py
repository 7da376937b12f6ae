"""Redis commands that an app runs through the daemon, so that it never needs the database's token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.broker.errors import UpstreamForbidden
from upstash_helper.broker.models import CommandReply

if TYPE_CHECKING:
    from upstash_helper.broker.account.connection import Connection
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.databases.operations import ReadCredentials
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.models import DatabaseSecrets
    from upstash_helper.broker.ports import Command, CommandsApi

REMOVED: Final = "[removed by upstash-helper: a credential of this database]"
"""Takes the place of the database's own password and tokens in replies."""

_REFUSAL: Final = (
    "This app may run commands only in databases that it created. To use others, it must request access again, and the"
    ' user must choose "all databases".'
)


class RunCommands:
    """
    Runs commands. An app may use the databases that it created, and all others only if the user allowed that. The rule
    is the same as for their credentials, with which it could run the same commands.
    """

    def __init__(
        self, *, connection: Connection, credentials: ReadCredentials, api: CommandsApi, exchanges: Exchanges
    ) -> None:
        self._connection = connection
        self._credentials = credentials
        self._api = api
        self._exchanges = exchanges

    async def check(self, database_id: str, caller: Caller) -> None:
        """
        Check that ``caller`` may run commands in a database.

        Raises:
            NotTheCreator: If it may not.
            HelperError: Like ``ReadCredentials.check``.
        """
        await self._credentials.check(database_id, caller, refusal=_REFUSAL)

    async def __call__(
        self, database_id: str, commands: tuple[Command, ...], caller: Caller, *, read_only: bool = False
    ) -> tuple[CommandReply, ...]:
        """
        Run the commands in order, and return the reply to each.

        Args:
            database_id: The database.
            commands: The commands.
            caller: The app that runs them.
            read_only: Use the token with which the database itself refuses to write. It is always used if the user
                allowed only reading at Upstash.

        Raises:
            NotTheCreator: Like ``ReadCredentials``, and so are the others.
            UpstreamForbidden: If only reading is allowed, and Upstash returned no read-only token.
            HelperError: Like ``ReadCredentials`` and ``CommandsApi.run``.
        """
        async with self._exchanges.begin(caller):
            await self.check(database_id, caller)
            access = await self._credentials(database_id, caller)
            secrets, token = access.secrets, access.secrets.rest_token
            if read_only or (await self._connection.usable()).is_read_only:
                token = secrets.read_only_rest_token
                if not token:
                    raise UpstreamForbidden("Upstash returned no read-only token for this database.")
            replies = await self._api.run(access.database.rest_url, token, commands)
        return tuple(_without(reply, secrets) for reply in replies)


def _without(reply: CommandReply, secrets: DatabaseSecrets) -> CommandReply:
    """Return a reply without the secrets. A command such as ``ACL RESTTOKEN`` can return one, and so can any key."""
    result, error = reply.result, reply.error
    for secret in (secrets.password, secrets.rest_token, secrets.read_only_rest_token):
        if secret:
            # In its JSON form, in case it has characters that are escaped there.
            result = result.replace(msgspec.json.encode(secret.reveal())[1:-1], REMOVED.encode())
            error = None if error is None else error.replace(secret.reveal(), REMOVED)
    return CommandReply(result=result, error=error)
