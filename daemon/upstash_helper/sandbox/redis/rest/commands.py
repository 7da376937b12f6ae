"""The commands in a request: in its path, or as JSON in its body."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from upstash_helper.sandbox.errors import RequestError

if TYPE_CHECKING:
    from aiohttp import web

MAX_COMMANDS = 10_000
"""Per pipeline or transaction."""

Command = list[bytes]


def path_segments(path: str) -> list[bytes]:
    """Return the segments of a raw path, percent-decoded."""
    return [unquote_to_bytes(segment) for segment in path.removeprefix("/").split("/")]


def from_path(path: str, body: bytes, request: web.Request) -> Command:
    """
    Return the command made of the path's segments, the body, and the query parameters, in this order.

    Raises:
        RequestError: If there is no command.
    """
    command = path_segments(path)
    if body:
        command.append(body)
    query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    for name, value in query:
        if name != "_token":
            command += [text.encode("utf-8", "surrogateescape") for text in (name, value) if text]
    if not command[0]:
        raise RequestError(400, "ERR empty command")
    return command


def from_body(body: bytes) -> Command:
    """
    Return the command that is the body.

    Raises:
        RequestError: If it is not a JSON array of strings, numbers, and booleans.
    """
    return _parse(_parse_json(body), "")


def pipeline_from_body(body: bytes) -> list[Command]:
    """
    Return the commands that are the body of a pipeline or a transaction.

    Raises:
        RequestError: If it is not a JSON array of commands. The message names the command and the argument.
    """
    items = _parse_json(body)
    if not isinstance(items, list):
        raise RequestError(400, "ERR failed to parse pipeline request: expected JSON array")
    if not items:
        raise RequestError(400, "ERR empty pipeline request")
    if len(items) > MAX_COMMANDS:
        raise RequestError(400, f"ERR too many commands: {len(items)}, the maximum is {MAX_COMMANDS}")
    return [_parse(item, f"command at index {index}") for index, item in enumerate(items)]


def name_of(command: Command) -> str:
    """Return a command's name for messages: in upper case, and shortened."""
    return command[0][:64].decode("utf-8", "replace").upper()


def describe(command: Command, index: int) -> str:
    """Return which command of a pipeline or transaction this is, for messages."""
    return f"command at index {index}, '{name_of(command)}'"


def _parse(item: Any, where: str) -> Command:
    if not isinstance(item, list):
        raise RequestError(400, _at("ERR failed to parse command: expected JSON array", where))
    command: Command = []
    for number, value in enumerate(item):
        if isinstance(value, str):  # also numbers: see `_parse_json`
            command.append(value.encode("utf-8", "surrogatepass"))
        elif isinstance(value, bool):
            command.append(b"true" if value else b"false")
        else:
            argument = f"'{name_of(command)}', argument {number}" if number else "the command's name"
            raise RequestError(400, _at(_not_an_argument(value), where, argument))
    if not command or not command[0]:
        raise RequestError(400, _at("ERR empty command", where))
    return command


def _at(problem: str, *where: str) -> str:
    place = ", ".join(part for part in where if part)
    return f"{problem} ({place})" if place else problem


def _not_an_argument(value: Any) -> str:
    if value is None:
        return "ERR null args are not supported"
    return f'ERR unsupported arg type: "{"[" if isinstance(value, list) else "{"}": json.Delim'


def _parse_json(body: bytes) -> Any:
    if not body.strip():
        raise RequestError(400, "ERR failed to parse request body: EOF")
    try:
        # Numbers are kept as text: 1.10 must not become 1.1.
        return json.loads(body, parse_int=str, parse_float=str, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise RequestError(400, "ERR failed to parse request body: it is not JSON") from None


def _reject_constant(name: str) -> None:
    raise ValueError(name)
