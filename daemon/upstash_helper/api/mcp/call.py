"""One request of a client: who sent it, what it can do, and how its handler reports progress and asks the user."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import msgspec

from upstash_helper.api.mcp import jsonrpc
from upstash_helper.api.mcp.jsonrpc import INVALID_PARAMS, MISSING_CAPABILITY, RpcError
from upstash_helper.api.mcp.request_state import LIFETIME_SECONDS, StateInvalid, subject_of
from upstash_helper.api.mcp.sessions import ClientRefused
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.api.mcp.versions import meta_of
from upstash_helper.api.server.connections import Connection
from upstash_helper.broker.confirmations import MAX_PER_APP, MAX_WAITING
from upstash_helper.system.printable import printable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aiohttp import web

    from upstash_helper.api.mcp.jsonrpc import Request
    from upstash_helper.api.mcp.reply import Reply
    from upstash_helper.api.mcp.request_state import RequestStates
    from upstash_helper.api.mcp.sessions import Session
    from upstash_helper.api.mcp.versions import Envelope
    from upstash_helper.broker.apps.exchanges import Exchanges
    from upstash_helper.broker.confirmations import Question
    from upstash_helper.broker.identity import Caller

STOPPING: Final = "upstash-helper is stopping. Nothing was changed."
NOT_AWAITED: Final = "upstash-helper does not wait for the answer any more."
ANSWER_SECONDS: Final = LIFETIME_SECONDS

_CAPABILITY_OF: Final = {
    "elicitation/create": "elicitation",
    "sampling/createMessage": "sampling",
    "roots/list": "roots",
}


class InputRequired(Exception):
    """The client has to repeat the request with answers. For versions without requests to the client."""

    def __init__(self, requests: Mapping[str, object], state: str) -> None:
        super().__init__("input required")
        self.requests: Final = requests
        self.state: Final = state


class NoAnswer(ToolError):
    """The user did not answer in time."""


class Waiting:
    """The requests that wait for the user, as many as may ask: see ``confirmations.MAX_PER_APP``."""

    def __init__(self) -> None:
        self._callers: Counter[str] = Counter()
        self._timeouts: set[asyncio.Timeout] = set()
        self._is_closed = False

    @contextlib.asynccontextmanager
    async def place(self, caller_id: str, request: web.Request) -> AsyncIterator[None]:
        """
        Wait in the body of the context.

        Raises:
            ToolError: If too many are waiting already, or the daemon stops.
        """
        if self._is_closed:
            raise ToolError(STOPPING)
        if self._callers[caller_id] >= MAX_PER_APP or self._callers.total() >= MAX_WAITING:
            raise ToolError(
                "Nothing was changed: too many requests are waiting for the user's answer. Wait for those first."
            )
        connection, timeout = request.protocol, asyncio.timeout(None)
        self._callers[caller_id] += 1
        self._timeouts.add(timeout)
        if isinstance(connection, Connection):
            connection.is_held = True
        try:
            async with timeout:
                yield
        except TimeoutError:
            if not self._is_closed:
                raise
            raise ToolError(STOPPING) from None
        finally:
            if isinstance(connection, Connection):
                connection.is_held = False
            self._timeouts.discard(timeout)
            self._callers[caller_id] -= 1
            if not self._callers[caller_id]:
                del self._callers[caller_id]

    def close(self) -> None:
        """End all waiting, because the daemon is stopping."""
        self._is_closed = True
        for timeout in self._timeouts:
            timeout.reschedule(asyncio.get_running_loop().time())


class Call:
    """One request, while it is handled. It is the ``ToolCall`` of its tool."""

    def __init__(
        self,
        *,
        caller: Caller,
        http: web.Request,
        request: Request,
        envelope: Envelope,
        session: Session | None,
        reply: Reply,
        states: RequestStates,
        waiting: Waiting,
        exchanges: Exchanges,
        ask_user: Callable[[Caller, Question], Awaitable[bool]],
        record_answer: Callable[[Caller, Question, bool], Awaitable[None]],
        read_only: Callable[[], Awaitable[bool]],
    ) -> None:
        """
        Args:
            caller: The app.
            http: The HTTP request.
            request: The message.
            envelope: The client's protocol version and capabilities.
            session: Its session. None for a version without sessions.
            reply: Sends messages before the result.
            states: Issues and accepts states.
            waiting: The requests that wait for the user.
            exchanges: Ends the waiting with the app's access.
            ask_user: Asks the user in upstash-helper, for clients that cannot ask.
            record_answer: Records whether, according to a client, its user has allowed something.
            read_only: Returns whether Upstash refuses all changes.
        """
        self.caller: Final = caller
        self.request: Final = request
        self.envelope: Final = envelope
        self.session: Final = session
        self._http = http
        self._reply = reply
        self._states = states
        self._waiting = waiting
        self._exchanges = exchanges
        self._ask_user = ask_user
        self._record_answer = record_answer
        self._read_only = read_only
        self._progress_token = meta_of(request.params).get("progressToken")
        self._waits = 0
        self._progressed = 0.0
        self.is_abandoned = False
        """Whether the client has canceled the request, or disconnected."""
        self._sent, self._known = self._answers()

    @property
    def host(self) -> str:
        """The host that the request was sent to."""
        return self._http.host.lower()

    # --- for tools ----------------------------------------------------------------------------------------------------

    async def confirm(self, question: Question) -> bool:
        """Ask the user, through the client if it can show a form, otherwise in upstash-helper."""
        if self.envelope.elicits_forms and (self.session is None or self._reply.streams):
            key = f"{question.action}:{_digest(question)}"
            with contextlib.suppress(ClientRefused):
                try:
                    answers = await self.ask_client({key: _form(question)})
                except NoAnswer:
                    return False
                allowed = _is_yes(answers[key])
                await self._record_answer(self.caller, question, allowed)
                return allowed
        return bool(await self._wait(lambda: self._ask_user(self.caller, question)))

    async def is_read_only(self) -> bool:
        """Return whether Upstash refuses all changes of the connected account."""
        return await self._read_only()

    # --- messages before the result -----------------------------------------------------------------------------------

    def notify(self, method: str, params: dict[str, object]) -> None:
        """Send the client a notification that belongs to this request."""
        self._reply.post(jsonrpc.notification(method, params))

    def progress(self, progress: float, *, total: float | None = None, message: str | None = None) -> None:
        """Report progress, if the client has asked for it."""
        described = self._progress(progress, total, message)
        if described is not None:
            self._reply.post(described)

    def _progress(self, progress: float, total: float | None, message: str | None) -> dict[str, object] | None:
        self._progressed, token = progress, self._progress_token
        if isinstance(token, bool) or not isinstance(token, str | int):
            return None
        params: dict[str, object] = {"progressToken": token, "progress": progress}
        if total is not None:
            params["total"] = total
        if message is not None:
            params["message"] = message
        return jsonrpc.notification("notifications/progress", params)

    # --- questions to the client --------------------------------------------------------------------------------------

    def require(self, capability: str) -> None:
        """
        Check that the client has declared a capability.

        Raises:
            RpcError: With status 400, if it has not.
        """
        if not isinstance(self.envelope.capabilities.get(capability), dict):
            message = f"This requires a client with the capability {capability}."
            data: dict[str, object] = {"requiredCapabilities": {capability: {}}}
            raise RpcError(MISSING_CAPABILITY, message, data=data, status=400)

    async def ask_client(self, requests: Mapping[str, dict[str, Any]], *, needs_state: bool = True) -> dict[str, Any]:
        """
        Return the client's results of ``requests``, each with ``method`` and ``params``, by their keys.

        Args:
            requests: The requests. Each key belongs to exactly one question, also when the call is repeated.
            needs_state: Whether an answer counts only with the state that was sent with the question.

        Raises:
            InputRequired: If the client has to repeat the call with the answers. Everything before this is done again.
            ClientRefused: If the client responds with an error, or does not accept requests in a response.
            RpcError: If the client has not declared that it accepts such requests.
            NoAnswer: If there is no answer in time.
            ToolError: If too many questions are waiting.
            HelperError: If the app's access ends meanwhile.
        """
        for each in requests.values():
            self.require(_CAPABILITY_OF[each["method"]])
        if self.session is not None:
            return {key: await self._ask_in_session(self.session, each) for key, each in requests.items()}
        known = self._known if needs_state else {**self._sent, **self._known}
        missing = {key: each for key, each in requests.items() if key not in known}
        if missing:
            raise InputRequired(missing, self._states.issue(self._subject, tuple(missing), self._known))
        return {key: known[key] for key in requests}

    async def _ask_in_session(self, session: Session, request: dict[str, Any]) -> dict[str, Any]:
        if not self._reply.streams:
            raise ClientRefused
        request_id, answer = session.ask()
        try:
            self._reply.post(jsonrpc.request(request_id, request["method"], request["params"]))
            async with asyncio.timeout(ANSWER_SECONDS):
                result: dict[str, Any] = await self._wait(lambda: answer)
                return result
        except TimeoutError:
            raise NoAnswer("The user did not answer in time. Nothing was changed.") from None
        finally:
            session.forget(request_id)
            if not answer.done() or answer.cancelled():
                # The client may still show the question, whose answer does not count any more.
                self.notify("notifications/cancelled", {"requestId": request_id, "reason": NOT_AWAITED})

    @property
    def _subject(self) -> str:
        params = self.request.params
        name, arguments = params.get("name", params.get("uri")), params.get("arguments") or {}
        return subject_of(self.caller.id, self.request.method, str(name), arguments)

    def _answers(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the answers that came with the request, and those of them that a state vouches for."""
        params = self.request.params
        sent, state = params.get("inputResponses", {}), params.get("requestState")
        if self.session is not None:
            return {}, {}
        if not isinstance(sent, dict):
            raise RpcError(INVALID_PARAMS, "inputResponses must be an object.")
        sent = {key: answer for key, answer in sent.items() if isinstance(answer, dict)}
        if state is None:
            return sent, {}
        try:
            if not isinstance(state, str):
                raise StateInvalid
            accepted = self._states.accept(state, self._subject)
        except StateInvalid:
            message = "requestState is not valid: it is for another call, has expired, or was used before."
            raise RpcError(INVALID_PARAMS, message) from None
        return sent, {**accepted.answers, **{key: each for key, each in sent.items() if key in accepted.asked}}

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _wait(self, answer: Callable[[], Awaitable[Any]]) -> Any:
        """Return what the user answers, if the app does not lose its access meanwhile."""
        self._waits += 1
        try:
            async with self._waiting.place(self.caller.id, self._http), self._exchanges.begin(self.caller):
                return await answer()
        finally:
            self._waits -= 1

    def waited(self) -> dict[str, object] | None:
        """Return a message for a client that has received nothing for some seconds; None if it did not request any."""
        # Each report must be greater than the one before.
        more = self._progressed + 0.001
        return self._progress(more, None, "Waiting for the user's answer." if self._waits else None)


def _form(question: Question) -> dict[str, Any]:
    """
    Return a question as a form. Its answer is a choice that the user has to make: some clients accept a form without
    one as soon as the user has looked at it.
    """
    title, *lines = (printable(line) for line in (question.title, *question.detail.splitlines()))
    choice = {"type": "boolean", "title": "Yes", "description": title, "default": False}
    schema = {"type": "object", "properties": {"confirm": choice}, "required": ["confirm"]}
    message = "\n".join((title, "", *lines)) if lines else title
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def _is_yes(answer: dict[str, Any]) -> bool:
    content = answer.get("content")
    return answer.get("action") == "accept" and isinstance(content, dict) and content.get("confirm") is True


def _digest(question: Question) -> str:
    return hashlib.sha256(msgspec.json.encode(question)).hexdigest()[:16]
