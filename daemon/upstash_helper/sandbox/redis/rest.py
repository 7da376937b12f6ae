"""The databases' REST API: Redis commands over HTTP, as Upstash's client libraries send them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote_to_bytes

from aiohttp import web

from upstash_helper.sandbox.errors import RequestError
from upstash_helper.sandbox.redis.databases import Database, Databases
from upstash_helper.sandbox.redis.resp import ErrorReply, Reply, SimpleString, encode_reply
from upstash_helper.sandbox.redis.servers import Role
from upstash_helper.sandbox.responses import errors_as_json, json_response

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

METHODS = frozenset({"HEAD", "GET", "POST", "PUT"})
MAX_COMMANDS = 10_000
"""Per pipeline."""

Command = list[bytes]

# They change the state of a connection, and each HTTP request has its own.
CONNECTION_COMMANDS = frozenset(
    b"auth client discard exec hello monitor multi psubscribe psync punsubscribe quit reset ssubscribe subscribe "
    b"sunsubscribe sync unsubscribe unwatch watch".split()
)


class RestApi:
    """Serves every path of its listener. The REST token identifies the database."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [web.route("*", "/{path:.*}", self.handle)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Run a command, a pipeline, or a transaction."""
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return _preflight(request)
        if request.method not in METHODS:
            raise web.HTTPMethodNotAllowed(request.method, METHODS)
        database, role = self._authenticate(request)
        body = await request.read()
        match request.raw_path.partition("?")[0]:
            case "/pipeline":
                return await self._pipeline(request, database, role, _parse_commands(body))
            case "/multi-exec":
                return await self._transaction(request, database, role, _parse_commands(body))
            case "/" if body:
                return await self._single(request, database, role, _parse_command(_parse_json(body)))
            case path:
                return await self._single(request, database, role, _command_from_path(path, body, request))

    async def _single(
        self, request: web.Request, database: Database, role: Role, command: Command
    ) -> web.StreamResponse:
        (reply,) = await self._run(database, role, [command])
        return _response(request, reply, _as_json(reply, request))

    async def _pipeline(
        self, request: web.Request, database: Database, role: Role, commands: list[Command]
    ) -> web.StreamResponse:
        replies = await self._run(database, role, commands)
        return _response(request, replies, [_as_json(reply, request) for reply in replies])

    async def _transaction(
        self, request: web.Request, database: Database, role: Role, commands: list[Command]
    ) -> web.StreamResponse:
        replies = await self._run(database, role, [[b"MULTI"], *commands, [b"EXEC"]])
        result = replies[-1]
        if not isinstance(result, list):
            # EXEC only reports that a command could not be queued. The reason is the first error reply.
            reason = next(
                (reply for reply in replies if isinstance(reply, ErrorReply)), ErrorReply(b"ERR nothing was run")
            )
            return _response(request, reason, _as_json(reason, request))
        return _response(request, result, [_as_json(reply, request) for reply in result])

    async def _run(self, database: Database, role: Role, commands: list[Command]) -> list[Reply]:
        # Connections are used again: `CONNECTION_COMMANDS` are all that could change their state for the next request.
        return await self._databases.run(database, role, commands)

    def _authenticate(self, request: web.Request) -> tuple[Database, Role]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            token = request.query.get("_token", "")
        found = self._databases.by_token(token.strip())
        if found is None:
            raise RequestError(401, "Unauthorized")
        return found


@web.middleware
async def errors_as_rest(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a handler's exceptions into error responses, and allow all origins: the token protects the database."""
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


def _command_from_path(path: str, body: bytes, request: web.Request) -> Command:
    """Return the command made of the path's segments, the body, and the query parameters, in this order."""
    parts = [unquote_to_bytes(segment) for segment in path.removeprefix("/").split("/")]
    command = [*parts, *([body] if body else [])]
    query = parse_qsl(request.raw_path.partition("?")[2], keep_blank_values=True, errors="surrogateescape")
    for name, value in query:
        if name != "_token":
            command += [text.encode("utf-8", "surrogateescape") for text in (name, value) if text]
    return _validate(command)


def _parse_commands(body: bytes) -> list[Command]:
    items = _parse_json(body)
    if not isinstance(items, list) or not items:
        raise RequestError(400, "ERR failed to parse pipeline request: an array of commands is expected")
    if len(items) > MAX_COMMANDS:
        raise RequestError(400, f"ERR a pipeline can have at most {MAX_COMMANDS} commands")
    return [_parse_command(item) for item in items]


def _parse_command(item: Any) -> Command:
    if not isinstance(item, list):
        raise RequestError(400, "ERR failed to parse command: an array is expected")
    return _validate([_encode_argument(value) for value in item])


def _encode_argument(value: Any) -> bytes:
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):  # also numbers: see `_parse_json`
        return value.encode("utf-8", "surrogatepass")
    raise RequestError(400, "ERR failed to parse command: arguments are strings, numbers or booleans")


def _validate(command: Command) -> Command:
    if not command or not command[0]:
        raise RequestError(400, "ERR empty command")
    if command[0].lower() in CONNECTION_COMMANDS:
        name = command[0].decode(errors="replace").upper()
        raise RequestError(400, f"ERR Command is not available over REST: '{name}'")
    return command


def _parse_json(body: bytes) -> Any:
    try:
        # Numbers are kept as text: 1.10 must not become 1.1.
        return json.loads(body, parse_int=str, parse_float=str, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        raise RequestError(400, "ERR failed to parse request body: it is not JSON") from None


def _reject_constant(name: str) -> None:
    raise ValueError(name)


# --- responses --------------------------------------------------------------------------------------------------------


def _response(request: web.Request, reply: Reply, content: Any) -> web.Response:
    status = 400 if isinstance(reply, ErrorReply) else 200
    if request.headers.get("Upstash-Response-Format", "").lower() == "resp2":
        return web.Response(body=encode_reply(reply), status=status, content_type="application/octet-stream")
    return json_response(content, status=status)


def _as_json(reply: Reply, request: web.Request) -> dict[str, Any]:
    if isinstance(reply, ErrorReply):
        return {"error": _decode(reply.text)}
    in_base64 = request.headers.get("Upstash-Encoding", "").lower() == "base64"
    return {"result": _json_value(reply, in_base64=in_base64)}


def _json_value(reply: Reply, *, in_base64: bool) -> Any:
    match reply:
        case list():
            return [_json_value(item, in_base64=in_base64) for item in reply]
        case SimpleString(b"OK"):
            return "OK"
        case SimpleString(text) | ErrorReply(text):
            return base64.b64encode(text).decode() if in_base64 else _decode(text)
        case bytes():
            return base64.b64encode(reply).decode() if in_base64 else _decode(reply)
        case _:
            return reply


def _decode(data: bytes) -> str:
    """Decode UTF-8 with replacement characters. Clients that store binary data request base64."""
    return data.decode("utf-8", "replace")
