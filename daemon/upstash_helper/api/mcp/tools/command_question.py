"""
The question to the user before commands run that destroy much.

The agent chooses the commands, their order, and their length. So nothing that matters to the decision is truncated: a
truncated text could hide a script behind harmless commands. Commands that are too long to read are refused instead.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.api.mcp.tools import command_rules as rules
from upstash_helper.api.mcp.tools.fields import shown
from upstash_helper.api.mcp.tools.settings import described
from upstash_helper.broker.apps.display_text import clean
from upstash_helper.broker.confirmations import Question

if TYPE_CHECKING:
    from upstash_helper.broker.models import Database
    from upstash_helper.broker.ports import Command

MAX_TEXT: Final = 1500
"""
Maximum characters of the commands in a question, so that the whole question is not longer than
``confirmations.MAX_DETAIL_TEXT``.
"""
TOO_LONG: Final = "Nothing was run: the commands are too long for the user to review. Send fewer or shorter commands."

_SHOWN_KEYS: Final = 3
"""How many of the keys to delete or replace are shown."""
_MAX_KEY: Final = 40
"""Maximum characters of such a key."""
_PLAIN: Final = re.compile(r"[\w.:/@*+=-]+", re.ASCII)
"""An argument that is shown without quotation marks."""


def question(asked: list[tuple[Command, str]], database: Database) -> Question:
    """
    Return the question to the user.

    Args:
        asked: The commands, with what they do, as ``command_rules.to_confirm`` returns them. At least one.
        database: Where they run.

    Raises:
        ToolError: If the commands are too long for the user to read.
    """
    # Names and effects are from a fixed table, so they always fit.
    names = ", ".join(dict.fromkeys(rules.name_of(command) for command, _ in asked))
    effects = "; ".join(dict.fromkeys(effect for _, effect in asked))
    text = _text(tuple(command for command, _ in asked))
    return Question(
        action="database.commands",
        title=f'Run {names} in the database "{shown(database.name)}"?',
        detail=f"In {described(database)}: {effects}. Commands: {text}",
        target=database.id,
    )


def _text(commands: tuple[Command, ...]) -> str:
    """
    Return what runs: commands such as scripts in full, and for commands that delete or replace many keys their number
    and the first few.
    """
    parts: list[str] = []
    many: set[str] = set()
    for command in commands:
        name = rules.name_of(command)
        if name in rules.MANY:
            if name not in many:
                parts.append(_with_keys(name, commands))
            many.add(name)
        elif sum(len(str(argument)) for argument in command) > MAX_TEXT:
            raise ToolError(TOO_LONG)  # before much work is done for it
        else:
            parts.append(" ".join(map(_quoted, command)))
    text = "; ".join(parts)
    if len(text) > MAX_TEXT:
        raise ToolError(TOO_LONG)
    return text


def _with_keys(name: str, commands: tuple[Command, ...]) -> str:
    keys = [str(key) for command in commands if rules.name_of(command) == name for key in rules.keys_of(command)]
    some = [json.dumps(_beginning(key), ensure_ascii=False) for key in keys[:_SHOWN_KEYS]]
    more = ["…"] if len(keys) > _SHOWN_KEYS else []
    return f"{name} with {len(keys)} keys ({', '.join(some + more)})"


def _beginning(key: str) -> str:
    return clean(key if len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]}…", _MAX_KEY + 1)


def _quoted(argument: str | float) -> str:
    r"""
    Return an argument so that its end and its content are visible. A line break, which ends a comment in a script, is
    shown as ``\n``. Characters that are invisible or look like others are escaped, too.
    """
    text = str(argument)
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    is_safe = clean(quoted, len(quoted)) == re.sub(" +", " ", quoted)
    return quoted if is_safe else json.dumps(text)
