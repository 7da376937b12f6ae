"""
The arguments of ``mcp``, and their parser, which does not use click.

An agent starts the bridge each time it starts, and waits for it. click has the options only for help and completion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, cast, get_args

from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

READ_ONLY_SCOPES: Final[tuple[Scope, ...]] = ("connection:read", "databases:read")
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = (
    *READ_ONLY_SCOPES,
    "databases:write",
    "databases:delete",
    "databases:commands",
)

READ_ONLY: Final = "--read-only"
SCOPE: Final = "--scope"
SHOW: Final = "--show"
HEADERS: Final = "headers"


class McpUsageError(Exception):
    """The command line is invalid. ``str()`` is the reason, as a sentence."""


class McpRequest(NamedTuple):
    """How to run the bridge."""

    profile: str | None
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES


def parse_command_line(arguments: Sequence[str]) -> McpRequest | None:
    """
    Parse ``[--profile NAME] mcp [OPTION]…``. Return None for any other command line, including ``mcp headers`` and one
    that asks for help.

    Raises:
        McpUsageError: If an option of ``mcp`` is invalid.
    """
    profile, rest = _split_profile(arguments)
    if rest[:1] != ["mcp"] or HEADERS in rest or not {"-h", "--help"}.isdisjoint(rest):
        return None
    read_only = False
    scopes: list[str] = []
    remaining = iter(rest[1:])
    for argument in remaining:
        name, equals, value = argument.partition("=")
        if argument == READ_ONLY:
            read_only = True
        elif name == SCOPE:
            given = value if equals else next(remaining, None)
            if given is None:
                raise McpUsageError(f"Option {SCOPE!r} requires an argument.")
            scopes.append(given)
        else:
            kind = "No such option" if argument.startswith("-") else "Unexpected argument"
            raise McpUsageError(f"{kind} {argument!r}.")
    return McpRequest(profile, requested_scopes(scopes, read_only=read_only))


def requested_scopes(given: Sequence[str], *, read_only: bool) -> tuple[Scope, ...]:
    """
    Return the scopes to request.

    Raises:
        McpUsageError: If one does not exist, or the options contradict each other.
    """
    if read_only and given:
        raise McpUsageError(f"{READ_ONLY} and {SCOPE} cannot be combined.")
    known = get_args(Scope)
    unknown = next((scope for scope in given if scope not in known), None)
    if unknown is not None:
        raise McpUsageError(f"There is no scope {unknown!r}. The scopes are: {', '.join(known)}.")
    if given:
        return cast("tuple[Scope, ...]", tuple(scope for scope in known if scope in given))
    return READ_ONLY_SCOPES if read_only else DEFAULT_SCOPES


def _split_profile(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    match list(arguments):
        case ["--profile", name, *rest]:
            return name, rest
        case [first, *rest] if first.startswith("--profile="):
            return first.removeprefix("--profile="), rest
        case rest:
            return None, rest
