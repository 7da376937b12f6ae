"""The prompt "Add Redis to this project", which a user can choose in a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from upstash_helper.api.mcp.prompts import Prompt, PromptArgument
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from upstash_helper.api.mcp.call import Call

MAX_NAME: Final = 100
"""Maximum characters of a database's name."""

_EXISTING: Final = 'Use the database named "{name}". If there is none with this name, ask the user before creating it.'
_NEW: Final = (
    "List the databases first. If one of them clearly belongs to this project, use it. Otherwise, create one, named "
    "after the project, in the region nearest to where the project runs. If you do not know that, ask the user."
)
_STEPS: Final = (
    "Add an Upstash Redis database to this project, using the tools of upstash-helper.",
    "",
    "1. {database}",
    (
        "2. Write its variables to the project's .env file with env_write, which asks the user. If the result says "
        "that Git does not ignore the file, add it to .gitignore. Do not ask for the values, and do not print them."
    ),
    (
        "3. Add the client that fits the project: @upstash/redis for JavaScript and TypeScript, upstash-redis for "
        "Python, or any Redis client if env_write was called with redis_url. Create the client in one place, from "
        "environment variables."
    ),
    "4. Use it where the user wants it. If they did not say where, suggest a place and ask.",
    "5. Check that it works: run the project's own code, or run PING with redis_run_command.",
)


async def _messages(call: Call, arguments: dict[str, str]) -> list[dict[str, Any]]:  # noqa: ARG001 - a handler
    name = printable(arguments.get("database", "")[:MAX_NAME])
    text = "\n".join(_STEPS).format(database=_EXISTING.format(name=name) if name else _NEW)
    return [{"role": "user", "content": {"type": "text", "text": text}}]


ADD_REDIS: Final = Prompt(
    name="add_redis",
    title="Add Redis to this project",
    description="Connect the project to an Upstash Redis database without showing its secrets to the model.",
    handler=_messages,
    arguments=(PromptArgument(name="database", description="The name of an existing database."),),
)
