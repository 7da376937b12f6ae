"""The endpoints of the REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from upstash_helper.sandbox.errors import RequestError, WrongPassword
from upstash_helper.sandbox.redis.databases import Databases
from upstash_helper.sandbox.redis.resp import ErrorReply
from upstash_helper.sandbox.redis.rest import commands
from upstash_helper.sandbox.redis.rest.access import Access, authenticate, unauthorized
from upstash_helper.sandbox.redis.rest.execution import Execution
from upstash_helper.sandbox.redis.rest.formats import requested_format
from upstash_helper.sandbox.redis.rest.limits import read_body
from upstash_helper.sandbox.redis.rest.restrictions import STREAMS, refusal
from upstash_helper.sandbox.redis.rest.streams import MEDIA_TYPE, Streams
from upstash_helper.sandbox.redis.rest.sync_tokens import HEADER, SyncTokens
from upstash_helper.sandbox.redis.servers import User
from upstash_helper.sandbox.responses import errors_as_json

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

METHODS = frozenset({"HEAD", "GET", "POST", "PUT"})
STREAM_METHODS = frozenset({"GET", "POST"})

CORS: dict[str, str] = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: HEADER}
"""All origins may use the API: the token protects the database."""


class RestApi:
    """Serves every path of its listener. The REST token identifies the database."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self._execution = Execution(databases)
        self._streams = Streams(databases)
        self._sync_tokens = SyncTokens()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        # `(?s:…)`: an argument in the path can have a line break.
        return [web.route("*", "/{path:(?s:.*)}", self.handle)]

    async def close(self, _app: web.Application | None = None) -> None:
        """End all streams."""
        self._streams.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Run a command, a pipeline, or a transaction, or open a stream."""
        if request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers:
            return _preflight(request)
        if request.method not in METHODS:
            raise web.HTTPMethodNotAllowed(request.method, METHODS)
        access = authenticate(request, self._databases)
        headers = self._sync_tokens.headers()
        try:
            return await self._respond(request, access, headers)
        except WrongPassword:
            if isinstance(access.user, User):
                raise unauthorized() from None
            raise  # the sandbox's own password
        except RequestError as error:
            error.headers.update(headers)
            raise

    async def _respond(self, request: web.Request, access: Access, headers: dict[str, str]) -> web.StreamResponse:
        path = request.raw_path.partition("?")[0]
        name, _, arguments = path.removeprefix("/").partition("/")
        if name.lower() in STREAMS:
            command = [name.encode(), *(commands.path_segments(arguments) if arguments else [])]
            return await self._stream(request, access, command, headers)
        form = requested_format(request, only_json=path == "/multi-exec")
        body = await read_body(request)
        match path:
            case "/pipeline":
                replies = await self._execution.pipeline(access, commands.pipeline_from_body(body))
                return form.responses(replies, headers)
            case "/multi-exec":
                result = await self._execution.transaction(access, commands.pipeline_from_body(body))
                if isinstance(result, ErrorReply):
                    return form.response(result, headers)
                return form.responses(result, headers)
            case "/" if body:
                command = commands.from_body(body)
            case _:
                command = commands.from_path(path, body, request)
        (reply,) = await self._execution.pipeline(access, [command])
        return form.response(reply, headers)

    async def _stream(
        self, request: web.Request, access: Access, command: list[bytes], headers: dict[str, str]
    ) -> web.StreamResponse:
        if request.method not in STREAM_METHODS:
            raise web.HTTPMethodNotAllowed(request.method, STREAM_METHODS)
        if MEDIA_TYPE not in request.headers.get(hdrs.ACCEPT, "").lower():
            raise RequestError(400, f"{refusal(command)}: the request needs the header Accept: {MEDIA_TYPE}")
        headers = {**CORS, **headers}
        if command[0].lower() == b"monitor":
            return await self._streams.monitor(request, access, command, headers)
        return await self._streams.subscribe(request, access, command, headers)


@web.middleware
async def errors_as_rest(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn a handler's exceptions into error responses, and allow all origins."""
    response = await errors_as_json(request, handler)
    if not response.prepared:
        response.headers.update(CORS)
    return response


def _preflight(request: web.Request) -> web.Response:
    headers = {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: ", ".join(sorted(METHODS)),
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "*"),
        hdrs.ACCESS_CONTROL_MAX_AGE: "600",
    }
    return web.Response(status=204, headers=headers)
