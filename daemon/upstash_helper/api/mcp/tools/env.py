"""The tool that writes a database's variables to one of the user's files, without showing them to the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tool import Annotations, Tool, ToolCall

if TYPE_CHECKING:
    from upstash_helper.broker.env_files import WriteEnvFile, Written


class EnvWriteArguments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which variables to write, and where."""

    database: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._~-]{1,128}$", description="The database_id from redis_list_databases.")
    ]
    path: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1000,
            description="The absolute path of the file, such as /home/me/project/.env.local. Its folder must exist."
            " If the user has allowed exactly one folder, the path can be relative to it.",
        ),
    ]
    redis_url: Annotated[
        bool, Meta(description="Also write REDIS_URL, for clients that use the Redis protocol over TCP.")
    ] = False


class EnvWriteResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was written, without the values."""

    written: Annotated[bool, Meta(description="False: the user did not allow this, so nothing was changed.")]
    message: str
    path: str | None = None
    variables: Annotated[tuple[str, ...], Meta(description="The names of the variables that are now set.")] = ()
    created: Annotated[bool, Meta(description="Whether the file is new.")] = False
    git: Annotated[
        Literal["ignored", "not_ignored", "no_repository", "not_known"] | None,
        Meta(description="If not_ignored, add the file to .gitignore so that it is not committed."),
    ] = None


_REFUSED = (
    "The user did not allow this, or did not answer in time. Nothing was changed. Do not try again unless the user asks"
    " for it."
)


class EnvTools:
    """The tool."""

    def __init__(self, *, write: WriteEnvFile) -> None:
        self._write = write

    def tools(self) -> tuple[Tool, ...]:
        """Return the tools."""
        return (
            Tool(
                name="env_write",
                description=(
                    "Set UPSTASH_REDIS_REST_URL and UPSTASH_REDIS_REST_TOKEN of a Redis database in a project's .env"
                    " file. All other lines are kept. You never see the values. The user is asked about each new"
                    " folder, and each time about a database that you did not create and before an existing value is"
                    " replaced. Files that Git tracks are refused."
                ),
                arguments=EnvWriteArguments, result=EnvWriteResult, scope="databases:write",
                annotations=Annotations(
                    title="Write a .env file", read_only_hint=False, destructive_hint=True, idempotent_hint=True,
                    open_world_hint=False,
                ),
                handler=self.env_write,
            ),
        )  # fmt: skip

    async def env_write(self, call: ToolCall, wanted: EnvWriteArguments) -> EnvWriteResult:
        """Write the variables."""
        written = await self._write(
            call.caller, wanted.database, wanted.path, redis_url=wanted.redis_url, confirm=call.confirm
        )
        return EnvWriteResult(written=False, message=_REFUSED) if written is None else _result(written)


def _result(written: Written) -> EnvWriteResult:
    change = written.change
    names = ", ".join(written.variables)
    message = f"Wrote {names}." if change.is_changed else f"The file already has the current values of {names}."
    if change.git == "not_known":
        message += " It is not known whether Git ignores this file. Make sure that it is not committed."
    if change.git == "not_ignored":
        message += " Git does not ignore this file. Add it to .gitignore so that it is not committed."
    return EnvWriteResult(
        written=True,
        message=message,
        path=written.path,
        variables=written.variables,
        created=change.is_new,
        git=change.git,
    )
