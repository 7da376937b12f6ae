"""The tool ``redis_run_command``: Redis commands, with the database's token, which the agent never sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from upstash_helper.api.mcp.tool import Tool, ToolCall, ToolError
from upstash_helper.api.mcp.tools import command_rules as rules
from upstash_helper.api.mcp.tools import hints
from upstash_helper.api.mcp.tools.command_question import question
from upstash_helper.api.mcp.tools.fields import REFUSED, Arguments, DatabaseId, Result, shown
from upstash_helper.broker.audit import MAX_TEXT_BYTES

if TYPE_CHECKING:
    from upstash_helper.api.mcp.tools.recording import Recorder
    from upstash_helper.broker.databases.commands import RunCommands
    from upstash_helper.broker.databases.operations import Databases
    from upstash_helper.broker.models import CommandReply
    from upstash_helper.broker.ports import Command

NAME: Final = "redis_run_command"
MAX_COMMANDS: Final = 50
MAX_SHOWN: Final = 20_000
"""Maximum characters of all replies together."""
_MIN_SHOWN: Final = 200
"""Characters shown of every reply, even if earlier replies have used up ``MAX_SHOWN``."""
_MAX_NAME: Final = 40
"""Characters of a command's name in the audit log. The longest that exists has fewer."""

_Argument = str | int | float
_Command = Annotated[
    tuple[_Argument, ...], Meta(min_length=1, max_length=10_000, description='Such as ["SET", "key", "value"].')
]
Commands = Annotated[tuple[_Command, ...], Meta(max_length=MAX_COMMANDS)]


class RunCommand(Arguments, frozen=True, kw_only=True):
    """The commands to run."""

    database_id: DatabaseId
    command: Annotated[
        tuple[_Argument, ...],
        Meta(
            max_length=10_000,
            description='One command. Each argument is a separate item: ["SET", "key", "value"].',
        ),
    ] = ()
    commands: Annotated[
        Commands, Meta(description="Instead of command: several commands, which run in order, as a pipeline.")
    ] = ()


class CommandResult(Result, frozen=True, kw_only=True):
    """The reply to one command."""

    command: Annotated[str, Meta(description="The command, shortened.")]
    result: Annotated[
        msgspec.Raw, Meta(description="The reply. If truncated is true, the beginning of its JSON as a string.")
    ]
    error: Annotated[str | None, Meta(description="The database's error, if the command failed.")] = None
    truncated: bool = False


class CommandResults(Result, frozen=True, kw_only=True):
    """The replies."""

    done: Annotated[bool, Meta(description="False: the user did not allow this, so no command ran.")]
    results: tuple[CommandResult, ...] = ()
    note: str = ""


class CommandTool:
    """The tool."""

    def __init__(self, *, databases: Databases, run: RunCommands, recorder: Recorder) -> None:
        self._databases = databases
        self._run = run
        self._recorder = recorder

    def tools(self) -> tuple[Tool, ...]:
        """Return the tool."""
        return (
            Tool(
                name=NAME,
                description=(
                    "Run Redis commands over a database's REST API. No credentials are needed. To find keys, use SCAN"
                    " instead of KEYS, and TYPE for their types. Long replies are truncated, with a note on how to read"
                    " the rest. Scripts, and commands that destroy much, such as FLUSHALL, or DEL and MSET with many"
                    " keys, require the user's confirmation. Works only in databases that you created, unless the user"
                    " allowed all databases."
                ),
                arguments=RunCommand, result=CommandResults, scope="databases:commands",
                annotations=hints.overwrites("Run Redis commands", idempotent=False), handler=self.run,
            ),
        )  # fmt: skip

    async def run(self, call: ToolCall, wanted: RunCommand) -> CommandResults:
        """Run the commands."""
        commands = checked(call, wanted)
        await self._run.check(wanted.database_id, call.caller)
        # Read once: commands that need no confirmation because they cannot write must not run with the right to write.
        read_only = await call.is_read_only()
        if not read_only and not await self._confirmed(call, wanted.database_id, commands):
            return CommandResults(done=False, note=REFUSED)
        replies = await self._recorder.change(
            call.caller,
            "database.commands",
            audit_target(wanted.database_id, commands),
            lambda _: self._run(wanted.database_id, commands, call.caller, read_only=read_only),
        )
        return shortened(commands, replies, read_only=read_only)

    async def _confirmed(self, call: ToolCall, database_id: str, commands: tuple[Command, ...]) -> bool:
        asked = rules.to_confirm(commands)
        return not asked or await call.confirm(question(asked, await self._databases.get(database_id)))


def checked(call: ToolCall, wanted: RunCommand) -> tuple[Command, ...]:
    """
    Return the commands.

    Raises:
        ToolError: If there are none, or one of them cannot run.
    """
    if bool(wanted.command) == bool(wanted.commands):
        raise ToolError("Send either command or commands.")
    commands = wanted.commands or (wanted.command,)
    for command in commands:
        obstacle = rules.obstacle(command)
        if obstacle is not None:
            raise ToolError(f"Nothing was run. {obstacle}")
        if rules.is_about_credentials(command) and not call.caller.has("databases:credentials"):
            raise ToolError(
                f"Nothing was run. {rules.name_of(command)} shows, creates, or replaces credentials, and the user has"
                " not granted databases:credentials."
            )
    return commands


def audit_target(database_id: str, commands: tuple[Command, ...]) -> str:
    """
    Return what the audit log shows: the database, and the name of each command once.

    The agent chooses the names of commands that do not exist and how many there are, and the log keeps
    ``MAX_TEXT_BYTES``. So those that need a confirmation come first, the worst ones at the front, and the end says how
    many are not shown.
    """
    names = [rules.name_of(command) for command in commands]
    confirmed = {rules.name_of(command) for command, _ in rules.to_confirm(commands)}
    first = [name for name in (*rules.DESTROYS, *rules.MANY) if name in confirmed]
    shown_names = tuple(dict.fromkeys(shown(name, _MAX_NAME) for name in (*first, *names)))
    target = f"{database_id} {', '.join(shown_names)}"
    kept = len(shown_names)
    while len(target.encode("utf-8", "replace")) > MAX_TEXT_BYTES and kept > 0:
        kept -= 1
        target = f"{database_id} {', '.join((*shown_names[:kept], '…'))}, {len(shown_names) - kept} more"
    return target


def shortened(
    commands: tuple[Command, ...], replies: tuple[CommandReply, ...], *, read_only: bool = False
) -> CommandResults:
    """Return the replies, truncated to what a model can read, with a note on how to read the rest."""
    found: list[CommandResult] = []
    notes: dict[str, None] = {}
    left = MAX_SHOWN
    for command, reply in zip(commands, replies, strict=True):
        name = _named(command)
        if reply.error is not None:
            found.append(CommandResult(command=name, result=_NULL, error=shown(reply.error, 500)))
            if read_only and "NOPERM" in reply.error:
                notes[_READ_ONLY] = None
            continue
        room = max(left, _MIN_SHOWN)
        # Measured in bytes first: text that is not longer than that needs no decoding.
        text = None if len(reply.result) <= room else reply.result.decode("utf-8", "replace")
        length = len(reply.result) if text is None else len(text)
        left -= min(length, room)
        if text is None or length <= room:
            found.append(CommandResult(command=name, result=msgspec.Raw(reply.result)))
            continue
        cut = msgspec.Raw(msgspec.json.encode(text[:room]))
        found.append(CommandResult(command=name, result=cut, truncated=True))
        rest = rules.how_to_get_the_rest(command)
        notes[f"The reply to {name} has {length} characters; the first {room} are shown. {rest}"] = None
    return CommandResults(done=True, results=tuple(found), note=" ".join(notes))


_NULL: Final = msgspec.Raw(b"null")
_READ_ONLY: Final = (
    "The connected account is read-only, so the database refuses commands that write, as well as KEYS and SCAN."
)


def _named(command: Command) -> str:
    return shown(" ".join(str(argument) for argument in command[:4]), 80)
