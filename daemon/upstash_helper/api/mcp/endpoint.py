"""
``/mcp``: the Model Context Protocol over streamable HTTP.

The body of a POST is one message. The response is one message, or a stream that ends with one. Versions since
2026-07-28 have no sessions; see ``versions``.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec
from aiohttp import hdrs, web

from upstash_helper.api.guard.middleware import where
from upstash_helper.api.mcp import jsonrpc
from upstash_helper.api.mcp.call import Call, InputRequired, Waiting
from upstash_helper.api.mcp.jsonrpc import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    REFUSED,
    Notification,
    Request,
    Response,
    RpcError,
    convert,
)
from upstash_helper.api.mcp.prompts import Prompts
from upstash_helper.api.mcp.reply import EVENT_STREAM, KEEP_ALIVE_SECONDS, Outcome, Reply
from upstash_helper.api.mcp.request_state import RequestStates
from upstash_helper.api.mcp.resources import Resources
from upstash_helper.api.mcp.sessions import Sessions
from upstash_helper.api.mcp.streams import Streams
from upstash_helper.api.mcp.tool_calls import ToolCalls
from upstash_helper.api.mcp.versions import (
    SERVER_KEY,
    Envelope,
    check_notification,
    check_stateless,
    is_stateless,
    kept,
    unsupported,
)
from upstash_helper.api.server.routes import BODY
from upstash_helper.broker.errors import AccessEnded, HelperError
from upstash_helper.protocol.mcp import INSTRUCTIONS, SERVER, SESSION_HEADER, VERSION_HEADER, negotiated
from upstash_helper.protocol.mcp import SESSION_VERSIONS as WITH_SESSIONS
from upstash_helper.protocol.mcp import STATELESS_VERSIONS as STATELESS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from upstash_helper.api.mcp.prompts import Prompt
    from upstash_helper.api.mcp.resources import ResourceProvider
    from upstash_helper.api.mcp.sessions import Session
    from upstash_helper.api.mcp.streams import ListKind
    from upstash_helper.api.mcp.tool import Tool
    from upstash_helper.api.mcp.tool_calls import Visible
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.confirmations import Question
    from upstash_helper.broker.events import EventBus
    from upstash_helper.broker.identity import Caller
    from upstash_helper.broker.ports import Clock
    from upstash_helper.protocol.literals import Scope

logger = logging.getLogger(__name__)

LIST_TTL_MS: Final = 60_000
"""How long a client may cache a list. A client that listens is notified of changes earlier."""


@dataclass(frozen=True)
class Method:
    """A method of the protocol."""

    handler: Callable[[Call, dict[str, Any]], Awaitable[object]]
    is_list: bool = False
    """Whether clients may cache its result for a while."""
    stateless: bool = True
    """Whether versions without sessions have it."""
    with_sessions: bool = True
    """Whether versions with sessions have it."""
    reads: bool = False
    """Whether its result is from the account, and withheld from an app whose access has ended meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the endpoint needs from the daemon."""

    exchanges: Exchanges
    events: EventBus
    clock: Clock
    visible: Visible
    """Returns the tools that an app may call."""
    challenge: Callable[[str, tuple[Scope, ...]], str]
    """Returns the value of ``WWW-Authenticate`` for the host that a request was sent to and the scopes to request."""
    ask_user: Callable[[Caller, Question], Awaitable[bool]]
    """Asks the user in upstash-helper, and returns whether they allowed it."""
    record_answer: Callable[[Caller, Question, bool], Awaitable[None]]
    """Records whether, according to a client, its user has allowed something."""
    read_only: Callable[[], Awaitable[bool]]
    """Returns whether Upstash refuses all changes of the connected account."""
    keep_alive_seconds: float = KEEP_ALIVE_SECONDS
    """How long a client that accepts a stream waits without receiving anything."""


@dataclass(frozen=True, kw_only=True)
class Offers:
    """What the endpoint offers besides tools."""

    prompts: tuple[Prompt, ...] = ()
    resources: ResourceProvider | None = None
    methods: Mapping[str, Method] = field(default_factory=dict)
    """Additional methods, which go with ``capabilities``."""
    capabilities: Mapping[str, object] = field(default_factory=dict)
    changing: frozenset[ListKind] = frozenset({"tools"})
    """The lists that can change."""


class InitializeParams(msgspec.Struct, frozen=True, rename="camel"):
    """Parameters of ``initialize``."""

    protocol_version: str
    capabilities: dict[str, Any]


def create_mcp(tools: Sequence[Tool], parts: Parts, offers: Offers) -> Endpoint:
    """Return an endpoint that offers ``tools``, in this order, and ``offers``."""
    return Endpoint(tools, parts, offers)


class Endpoint:
    """The endpoint. Its methods are the handlers of ``POST``, ``GET``, and ``DELETE``."""

    def __init__(self, tools: Sequence[Tool], parts: Parts, offers: Offers) -> None:
        self._parts = parts
        self._sessions = Sessions()
        self._states = RequestStates(clock=parts.clock)
        self._waiting = Waiting()
        self.streams: Final = Streams(events=parts.events, kinds=offers.changing, read_only=parts.read_only)
        calls = ToolCalls(
            tools,
            exchanges=parts.exchanges,
            visible=parts.visible,
            challenge=parts.challenge,
            read_only=parts.read_only,
        )
        self._methods: dict[str, Method] = {
            "server/discover": Method(self._discover, is_list=True, with_sessions=False),
            "ping": Method(_nothing, stateless=False),
            "tools/list": Method(calls.list, is_list=True),
            "tools/call": Method(calls.call),
        }
        self._capabilities: dict[str, object] = {"tools": {"listChanged": "tools" in offers.changing}}
        if offers.prompts:
            prompts = Prompts(offers.prompts)
            self._methods["prompts/list"] = Method(prompts.list, is_list=True)
            self._methods["prompts/get"] = Method(prompts.get)
            self._capabilities["prompts"] = {"listChanged": "prompts" in offers.changing}
        if offers.resources is not None:
            resources = Resources(offers.resources)
            self._methods["resources/list"] = Method(resources.list, is_list=True, reads=True)
            self._methods["resources/templates/list"] = Method(resources.templates, is_list=True)
            self._methods["resources/read"] = Method(resources.read, is_list=True, reads=True)
            self._capabilities["resources"] = {"listChanged": "resources" in offers.changing}
        self._methods |= offers.methods
        self._capabilities |= offers.capabilities

    # --- HTTP ---------------------------------------------------------------------------------------------------------

    async def post(self, http: web.Request, caller: Caller) -> web.StreamResponse:
        """Handle one message."""
        message = None
        try:
            streams = _accepts_stream(http)
            message = jsonrpc.parse(http[BODY])
            if is_stateless(http.headers, message):
                return await self._post_stateless(http, message, caller, streams=streams)
            return await self._post_in_session(http, message, caller, streams=streams)
        except RpcError as error:
            return _error(error, message.id if isinstance(message, Request) else None)

    async def get(self, http: web.Request, caller: Caller) -> web.StreamResponse:
        """Open the stream of a session."""
        if http.headers.get(VERSION_HEADER) in STATELESS:
            # They have subscriptions/listen instead.
            return web.Response(status=405, headers={hdrs.ALLOW: "POST"})
        try:
            session = self._session(http, caller)
            if not _accepts(http, EVENT_STREAM, "text/*", "*/*"):
                return web.Response(status=406)
            return await self.streams.follow(http, session, caller)
        except RpcError as error:
            return _error(error, None)

    async def delete(self, http: web.Request, caller: Caller) -> web.StreamResponse:
        """End a session."""
        try:
            self._sessions.close(self._session(http, caller))
        except RpcError as error:
            return _error(error, None)
        return web.Response(status=204)

    def close(self) -> None:
        """End the requests that wait for the user, because the daemon is stopping."""
        self._waiting.close()

    # --- eras ---------------------------------------------------------------------------------------------------------

    async def _post_stateless(
        self, http: web.Request, message: jsonrpc.Message, caller: Caller, *, streams: bool
    ) -> web.StreamResponse:
        if isinstance(message, Response):
            raise RpcError(INVALID_REQUEST, "In this version, clients send requests, not responses.", status=400)
        if isinstance(message, Notification):
            # None of them has an effect: a client cancels a request by closing its stream.
            check_notification(http.headers)
            return web.Response(status=202)
        envelope = check_stateless(http.headers, message)
        if message.method == "subscriptions/listen":
            if not streams:
                return web.Response(status=406)
            return await self.streams.listen(http, message, caller)
        method = self._methods.get(message.method)
        if method is None or not method.stateless:
            raise RpcError(METHOD_NOT_FOUND, "There is no such method.", status=404)
        reply = Reply(http, streams=streams, keep_alive_seconds=self._parts.keep_alive_seconds)
        return await self._respond(self._call(http, message, envelope, caller, reply), method, reply)

    async def _post_in_session(
        self, http: web.Request, message: jsonrpc.Message, caller: Caller, *, streams: bool
    ) -> web.StreamResponse:
        if isinstance(message, Request) and message.method == "initialize":
            return self._initialize(message, caller)
        session = self._session(http, caller)
        if isinstance(message, Response):
            session.respond(message)
            return web.Response(status=202)
        if isinstance(message, Notification):
            if message.method == "notifications/cancelled":
                session.cancel(message.params.get("requestId"))
            return web.Response(status=202)
        method = self._methods.get(message.method)
        if method is None or not method.with_sessions:
            raise RpcError(METHOD_NOT_FOUND, "There is no such method.")
        if message.id in session.calls:
            raise RpcError(INVALID_REQUEST, "A request with this ID is in progress.", status=400)
        reply = Reply(http, streams=streams, keep_alive_seconds=self._parts.keep_alive_seconds)
        call = self._call(http, message, session.envelope, caller, reply, session)
        return await self._respond(call, method, reply)

    def _initialize(self, request: Request, caller: Caller) -> web.Response:
        wanted: InitializeParams = convert(request.params, InitializeParams)
        version = negotiated(wanted.protocol_version)
        session = self._sessions.open(caller.id, Envelope(version, kept(wanted.capabilities)))
        result = {
            "protocolVersion": version,
            "capabilities": self._capabilities,
            "serverInfo": SERVER,
            "instructions": INSTRUCTIONS,
        }
        response = _json(jsonrpc.result(request.id, result))
        response.headers[SESSION_HEADER] = session.id
        return response

    def _session(self, http: web.Request, caller: Caller) -> Session:
        version, ids = http.headers.get(VERSION_HEADER), http.headers.getall(SESSION_HEADER, [])
        if version is not None and version not in WITH_SESSIONS:
            raise unsupported(version, None)
        if len(ids) != 1:
            message = f"Send the header {SESSION_HEADER} once, with the ID from the response to initialize."
            raise RpcError(REFUSED, message, status=400)
        return self._sessions.get(ids[0], caller.id)

    # --- requests -----------------------------------------------------------------------------------------------------

    def _call(  # noqa: PLR0917 - the parts of one request
        self,
        http: web.Request,
        request: Request,
        envelope: Envelope,
        caller: Caller,
        reply: Reply,
        session: Session | None = None,
    ) -> Call:
        return Call(
            caller=caller,
            http=http,
            request=request,
            envelope=envelope,
            session=session,
            reply=reply,
            states=self._states,
            waiting=self._waiting,
            exchanges=self._parts.exchanges,
            ask_user=self._parts.ask_user,
            record_answer=self._parts.record_answer,
            read_only=self._parts.read_only,
        )

    async def _respond(self, call: Call, method: Method, reply: Reply) -> web.StreamResponse:
        reply.on_waiting = call.waited
        task = asyncio.ensure_future(self._outcome(call, method))
        end = functools.partial(_end, call, task)
        if call.session is not None:
            call.session.calls[call.request.id] = end
        try:
            return await reply.send(task)
        finally:
            # The client may have disconnected. A change is completed in the background.
            end()
            if call.session is not None:
                call.session.calls.pop(call.request.id, None)

    async def _outcome(self, call: Call, method: Method) -> Outcome:
        try:
            async with self._parts.exchanges.begin(call.caller) if method.reads else contextlib.nullcontext():
                found = await _result(call, method)
            result = self._completed(call, method, found)
            # Encoded here, so that a result that cannot be encoded is an error like any other.
            return Outcome(msgspec.Raw(jsonrpc.encode(jsonrpc.result(call.request.id, result))))
        except RpcError as error:
            # To a client with a session, 404 means that the session has ended.
            is_kept = call.session is None or error.status == 403
            return Outcome(jsonrpc.failure(error, call.request.id), error.status if is_kept else 200, error.headers)
        except AccessEnded:
            raise
        except HelperError as error:
            failed = RpcError(INTERNAL_ERROR, error.detail, data={"code": error.code})
            return Outcome(jsonrpc.failure(failed, call.request.id))
        except asyncio.CancelledError:
            if call.is_abandoned:
                return Outcome(None)
            raise
        except Exception as error:  # noqa: BLE001 - the last resort: a bug is logged by type and place
            fields = {"error": type(error).__name__, "where": where(error), "route": f"/mcp {call.request.method}"}
            logger.error("handler_failed", extra=fields)  # noqa: TRY400 - a traceback's lines may hold values
            failed = RpcError(INTERNAL_ERROR, "Internal error. See the helper's log.")
            return Outcome(jsonrpc.failure(failed, call.request.id))

    def _completed(self, call: Call, method: Method, result: object) -> object:
        """Return a result with what the client's version requires of all results."""
        if call.session is not None:
            return result
        # Only the members of the outermost object matter. The rest may have parts that are encoded already.
        members = msgspec.json.decode(msgspec.json.encode(result), type=dict[str, msgspec.Raw])
        hints = {"ttlMs": LIST_TTL_MS, "cacheScope": "private"} if method.is_list else {}
        return {"resultType": "complete", **hints, **members, "_meta": {SERVER_KEY: SERVER}}

    async def _discover(self, call: Call, params: dict[str, Any]) -> dict[str, object]:  # noqa: ARG002 - a handler
        return {
            "supportedVersions": [*STATELESS, *WITH_SESSIONS],
            "capabilities": self._capabilities,
            "instructions": INSTRUCTIONS,
        }


async def _result(call: Call, method: Method) -> object:
    try:
        return await method.handler(call, call.request.params)
    except InputRequired as required:
        return {
            "resultType": "input_required",
            "inputRequests": required.requests,
            "requestState": required.state,
        }


async def _nothing(call: Call, params: dict[str, Any]) -> dict[str, object]:  # noqa: ARG001 - a handler
    return {}


def _end(call: Call, task: asyncio.Future[Outcome]) -> None:
    call.is_abandoned = True
    task.cancel()


def _accepts_stream(http: web.Request) -> bool:
    """
    Return whether the client accepts a stream as the response.

    Raises:
        RpcError: With the status 406, if it accepts no JSON either.
    """
    streams = _accepts(http, EVENT_STREAM)
    if not streams and not _accepts(http, "application/json", "application/*", "*/*"):
        raise RpcError(REFUSED, f"Accept application/json and {EVENT_STREAM}.", status=406)
    return streams


def _accepts(http: web.Request, *kinds: str) -> bool:
    accepted = http.headers.get(hdrs.ACCEPT, "*/*").lower()
    return any(kind in accepted for kind in kinds)


def _json(message: object, *, status: int = 200) -> web.Response:
    return web.Response(status=status, body=jsonrpc.encode(message), content_type="application/json")


def _error(error: RpcError, request_id: jsonrpc.RequestId | None) -> web.Response:
    response = _json(jsonrpc.failure(error, request_id), status=error.status)
    response.headers.extend(error.headers)
    return response
