"""Formatting variables for ``.env`` files, shells, fish, PowerShell, and JSON."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

EnvFormat = Literal["dotenv", "shell", "fish", "powershell", "json"]

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class NotExpressible(ValueError):
    """A variable cannot be written in this format."""


def env_lines(variables: Mapping[str, str], form: EnvFormat, usage: Mapping[str, str] | None = None) -> str:
    """
    Return the variables in a format, without a trailing newline.

    Args:
        variables: The variables.
        form: The format.
        usage: What is added to a ``.env`` file as comments: a line of code for each client that uses the variables.

    Raises:
        NotExpressible: If a name is not a valid identifier, or a value contains a control character.
    """
    if form == "json":
        import msgspec

        return msgspec.json.encode(variables).decode()

    lines = [f"# {client}: {code}" for client, code in (usage or {}).items()] if form == "dotenv" else []
    for name, value in variables.items():
        if not _NAME.fullmatch(name) or any(ord(character) < 32 for character in value):
            message = f"The variable {name!r} cannot be written as a line."
            raise NotExpressible(message)
        lines.append(_line(name, value, form))
    return "\n".join(lines)


def _line(name: str, value: str, form: EnvFormat) -> str:
    match form:
        case "shell":
            return f"export {name}={shlex.quote(value)}"
        case "fish":
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"set -gx {name} '{escaped}'"
        case "powershell":
            doubled = value.replace("'", "''")
            return f"$env:{name} = '{doubled}'"
        case _:
            from upstash_helper.system import dotenv  # most commands print no such file

            return f"{name}={dotenv.quoted(value)}"
