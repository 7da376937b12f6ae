"""The databases' REST API: commands over HTTP, as Upstash's clients send them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web

from upstash_helper.sandbox.answers import errors_as_json, json_answer
from upstash_helper.sandbox.errors import Refused
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.resp import Failure, Reply, Status, encode_reply
from upstash_helper.sandbox.redis.servers import Role

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

METHODS = frozenset({"HEAD", "GET", "POST", "PUT"})
MOST_COMMANDS = 10_000
"""In one pipeline."""

Command = list[bytes]

# They are about a connection, and an HTTP request has none that lasts.
OF_CONNECTIONS = frozenset(
    b"auth client discard exec hello monitor multi psubscribe psync punsubscribe quit reset ssubscribe subscribe "
    b"sunsubscribe sync unsubscribe unwatch watch".split()
)


class DataPlane:
    """Everything below the root of its own listener; the REST token says which database is meant."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def routes(self) -> list[web.RouteDef]:
        """Return what is served."""
        return [web.route("*", "/{path:.*}", self.answer)]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Run what is asked for."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        if request.method not in METHODS:
            raise web.HTTPMethodNotAllowed(request.method, METHODS)
        database, role = self._database(request)
        body = await request.read()
        match request.raw_path.partition("?")[0]:
            case "/pipeline":
                return await self._pipeline(request, database, role, _commands(body))
            case "/multi-exec":
                return await self._transaction(request, database, role, _commands(body))
            case "/" if body:
                return await self._single(request, database, role, _command(_json(body)))
            case path:
                return await self._single(request, database, role, _command_in(path, body, request))

    async def _single(
        self, request: web.Request, database: Database, role: Role, command: Command
    ) -> web.StreamResponse:
        (reply,) = await self._run(database, role, [command])
        return _rendered(request, reply, _item(reply, request))

    async def _pipeline(
        self, request: web.Request, database: Database, role: Role, commands: list[Command]
    ) -> web.StreamResponse:
        replies = await self._run(database, role, commands)
        return _rendered(request, replies, [_item(reply, request) for reply in replies])

    async def _transaction(
        self, request: web.Request, database: Database, role: Role, commands: list[Command]
    ) -> web.StreamResponse:
        replies = await self._run(database, role, [[b"MULTI"], *commands, [b"EXEC"]])
        result = replies[-1]
        if not isinstance(result, list):
            # The first command that was not even queued is the reason; EXEC says only that there is one.
            reason = next((reply for reply in replies if isinstance(reply, Failure)), Failure(b"ERR nothing was run"))
            return _rendered(request, reason, _item(reason, request))
        return _rendered(request, result, [_item(reply, request) for reply in result])

    async def _run(self, database: Database, role: Role, commands: list[Command]) -> list[Reply]:
        # A connection for each request, so that nothing of one is left for the next.
        async with await self._databases.connect(database, role) as connection:
            return await connection.pipeline([tuple(command) for command in commands])

    def _database(self, request: web.Request) -> tuple[Database, Role]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query.get("_token", "")
        found = self._databases.by_token(token.strip())
        if found is None:
            raise Refused(401, "Unauthorized")
        return found


@web.middleware
async def errors_as_rest(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what a handler raises into an answer, and let pages of any origin read it: the token is what counts."""
    response = await errors_as_json(request, handler)
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _preflight(request: web.Request) -> web.Response:
    headers = {
        "Access-Control-Allow-Methods": ", ".join(sorted(METHODS)),
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*"),
        "Access-Control-Max-Age": "600",
    }
    return web.Response(status=204, headers=headers)


# --- requests ---------------------------------------------------------------------------------------------------------


def _command_in(path: str, body: bytes, request: web.Request) -> Command:
    """Return the command that path, body and query make up, in this order."""
    parts = [unquote_to_bytes(segment) for segment in path.removeprefix("/").split("/")]
    command = [*parts, *([body] if body else [])]
    query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    for name, value in query:
        if name != "_token":
            command += [text.encode("utf-8", "surrogateescape") for text in (name, value) if text]
    return _checked(command)


def _commands(body: bytes) -> list[Command]:
    items = _json(body)
    if not isinstance(items, list) or not items:
        raise Refused(400, "ERR failed to parse pipeline request: an array of commands is expected")
    if len(items) > MOST_COMMANDS:
        raise Refused(400, f"ERR a pipeline can have at most {MOST_COMMANDS} commands")
    return [_command(item) for item in items]


def _command(item: Any) -> Command:
    if not isinstance(item, list):
        raise Refused(400, "ERR failed to parse command: an array is expected")
    return _checked([_argument(value) for value in item])


def _argument(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):  # numbers too: see `_json`
        return value.encode("utf-8", "surrogatepass")
    raise Refused(400, "ERR failed to parse command: arguments are strings, numbers or booleans")


def _checked(command: Command) -> Command:
    if not command or not command[0]:
        raise Refused(400, "ERR empty command")
    if command[0].lower() in OF_CONNECTIONS:
        name = command[0].decode(errors="replace").upper()
        raise Refused(400, f"ERR Command is not available over REST: '{name}'")
    return command


def _json(body: bytes) -> Any:
    try:
        # Numbers stay the text that they are: 1.10 must not become 1.1.
        return json.loads(body, parse_int=str, parse_float=str, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(400, "ERR failed to parse request body: it is not JSON") from None


def _no_constant(name: str) -> None:
    raise ValueError(name)


# --- answers ----------------------------------------------------------------------------------------------------------


def _rendered(request: web.Request, reply: Reply, content: Any) -> web.Response:
    status = 400 if isinstance(reply, Failure) else 200
    if request.headers.get("Upstash-Response-Format", "").lower() == "resp2":
        return web.Response(body=encode_reply(reply), status=status, content_type="application/octet-stream")
    return json_answer(content, status=status)


def _item(reply: Reply, request: web.Request) -> dict[str, Any]:
    if isinstance(reply, Failure):
        return {"error": _text(reply.text)}
    return {"result": _value(reply, in_base64=request.headers.get("Upstash-Encoding", "").lower() == "base64")}


def _value(reply: Reply, *, in_base64: bool) -> Any:
    match reply:
        case list():
            return [_value(item, in_base64=in_base64) for item in reply]
        case Status(b"OK"):
            return "OK"
        case Status(text) | Failure(text):
            return base64.b64encode(text).decode() if in_base64 else _text(text)
        case bytes():
            return base64.b64encode(reply).decode() if in_base64 else _text(reply)
        case _:
            return reply


def _text(data: bytes) -> str:
    """Return text, with a mark for what is none. Whoever keeps binary data asks for base64."""
    return data.decode("utf-8", "replace")
