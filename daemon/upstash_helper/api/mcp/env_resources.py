"""
A resource for each database: a ``.env`` file with the names of its variables, without their values.

A user adds it to a conversation instead of a real ``.env`` file, which would show the secrets to the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from upstash_helper.broker.errors import DatabaseNotFound, NotConnected
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from upstash_helper.api.mcp.call import Call
    from upstash_helper.broker.databases.operations import Databases
    from upstash_helper.broker.models import Database

MAX_LISTED: Final = 100
"""Maximum number of databases. A client shows them to its user as a list to choose from."""
SCOPE: Final = "databases:read"

_PREFIX: Final = "upstash-helper://redis/"
_SUFFIX: Final = "/env"
_TEMPLATE: Final = {
    "uriTemplate": f"{_PREFIX}{{database_id}}{_SUFFIX}",
    "name": "env",
    "title": "Variables of a Redis database",
    "description": "The names of a database's variables in a .env file, without their values.",
    "mimeType": "text/plain",
}
_FILE: Final = """\
# The Redis database {name} ({id}, {state}). Values are not shown here.
# env_write puts them into a project's .env file without showing them to the model.
# For clients of the REST API, such as @upstash/redis and upstash-redis:
UPSTASH_REDIS_REST_URL=
UPSTASH_REDIS_REST_TOKEN=
# For Redis clients over TCP. env_write writes it if redis_url is true:
REDIS_URL=
"""


class EnvResources:
    """The ``ResourceProvider`` of the daemon."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    async def all(self, call: Call) -> list[dict[str, object]]:
        """
        Return a resource for each database; none if no account is connected.

        Raises:
            HelperError: If the databases cannot be read.
        """
        if not call.caller.has(SCOPE):
            return []
        try:
            databases = await self._databases.list()
        except NotConnected:
            return []
        return [
            {
                "uri": f"{_PREFIX}{database.id}{_SUFFIX}",
                "name": f"{database.name}.env",
                "title": f"Variables of {printable(database.name)}",
                "description": "The names of the database's variables, without their values.",
                "mimeType": "text/plain",
            }
            for database in databases[:MAX_LISTED]
        ]

    async def templates(self, call: Call) -> list[dict[str, object]]:
        """Return the only template."""
        return [dict(_TEMPLATE)] if call.caller.has(SCOPE) else []

    async def read(self, call: Call, uri: str) -> list[dict[str, object]] | None:
        """
        Return the file of a database.

        Raises:
            HelperError: If the database cannot be read.
        """
        if not call.caller.has(SCOPE) or not uri.startswith(_PREFIX) or not uri.endswith(_SUFFIX):
            return None
        try:
            database = await self._databases.get(uri.removeprefix(_PREFIX).removesuffix(_SUFFIX))
        except DatabaseNotFound:
            return None
        return [{"uri": uri, "mimeType": "text/plain", "text": _file(database)}]


def _file(database: Database) -> str:
    return _FILE.format(name=printable(database.name), id=database.id, state=database.state)
