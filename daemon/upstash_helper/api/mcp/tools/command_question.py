"""
The question to the user before commands run that destroy much.

The agent chooses the commands, their order, and their length, so nothing that decides is ever cut: a text that is cut
could hide a script behind harmless commands. What is too long to be read is refused instead.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.api.mcp.tools import command_rules as rules
from upstash_helper.api.mcp.tools.databases import described
from upstash_helper.api.mcp.tools.fields import shown
from upstash_helper.broker.apps.display_text import clean
from upstash_helper.broker.confirmations import Question

if TYPE_CHECKING:
    from upstash_helper.broker.models import Database
    from upstash_helper.broker.ports import Command

MAX_TEXT: Final = 1500
"""
Characters of the commands in a question. With everything else in it, a question is not longer than
``confirmations.MAX_DETAIL_TEXT``.
"""
TOO_LONG: Final = "Nothing was run. This is too long for the user to read. Send fewer or shorter commands."

_SHOWN_KEYS: Final = 3
"""Of the keys to delete, this many are shown."""
_MAX_KEY: Final = 40
"""Characters of such a key."""
_PLAIN: Final = re.compile(r"[\w.:/@*+=-]+", re.ASCII)
"""An argument that is shown without quotation marks."""


def question(asked: list[tuple[Command, str]], database: Database) -> Question:
    """
    Return the question to the user.

    Args:
        asked: The commands, with what they do, as ``command_rules.to_confirm`` returns them. At least one.
        database: Where they run.

    Raises:
        ToolError: If the user could not read all of what would run.
    """
    # Names and effects are from a fixed table, so they always fit.
    names = ", ".join(dict.fromkeys(rules.name_of(command) for command, _ in asked))
    effects = "; ".join(dict.fromkeys(effect for _, effect in asked))
    text = _text(tuple(command for command, _ in asked))
    return Question(
        action="database.commands",
        title=f'Run {names} in the database "{shown(database.name)}"?',
        detail=f"In {described(database)}, {effects}. What runs: {text}",
        target=database.id,
    )


def _text(commands: tuple[Command, ...]) -> str:
    """Return what runs: scripts and their like in full, and of deletions the number of keys and some of them."""
    parts: list[str] = []
    deleting: set[str] = set()
    for command in commands:
        name = rules.name_of(command)
        if name in rules.DELETING:
            if name not in deleting:
                parts.append(_deletion(name, commands))
            deleting.add(name)
        elif sum(len(str(argument)) for argument in command) > MAX_TEXT:
            raise ToolError(TOO_LONG)  # before much work is done for it
        else:
            parts.append(" ".join(map(_quoted, command)))
    text = "; ".join(parts)
    if len(text) > MAX_TEXT:
        raise ToolError(TOO_LONG)
    return text


def _deletion(name: str, commands: tuple[Command, ...]) -> str:
    keys = [str(key) for command in commands if rules.name_of(command) == name for key in command[1:]]
    some = [json.dumps(_beginning(key), ensure_ascii=False) for key in keys[:_SHOWN_KEYS]]
    more = ["…"] if len(keys) > _SHOWN_KEYS else []
    return f"{name} with {len(keys)} keys ({', '.join(some + more)})"


def _beginning(key: str) -> str:
    return clean(key if len(key) <= _MAX_KEY else f"{key[:_MAX_KEY]}…", _MAX_KEY + 1)


def _quoted(argument: str | float) -> str:
    r"""
    Return an argument so that it is seen where it ends, and what is in it: a line break, after which a comment of a
    script ends, as ``\n``, and characters that are invisible or look like others in the same way.
    """
    text = str(argument)
    if _PLAIN.fullmatch(text):
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    is_safe = clean(quoted, len(quoted)) == re.sub(" +", " ", quoted)
    return quoted if is_safe else json.dumps(text)
