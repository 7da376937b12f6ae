"""Sending a message to the daemon: header fields, sessions of the versions before 2026-07-28, and interruptions."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from upstash_helper.cli.mcp.lines import Invalid, Message, parse
from upstash_helper.cli.mcp.replies import messages_of
from upstash_helper.client.errors import ApiProblem, DaemonUnreachable
from upstash_helper.client.transport import CancelToken
from upstash_helper.protocol.mcp import (
    METHOD_HEADER,
    NAME_HEADER,
    NAME_OF,
    SESSION_HEADER,
    VERSION_HEADER,
    header_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from upstash_helper.cli.mcp.daemon import Daemon
    from upstash_helper.client.transport import Exchange

PATH: Final = "/mcp"
INITIALIZED: Final = "notifications/initialized"
_ACCEPT: Final = {"Accept": "application/json, text/event-stream"}
_METHOD_NOT_FOUND: Final = -32601
# A daemon that restarts is back within this time.
_RETRY_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 0.2
_UNREPEATABLE: Final = "tools/call"
"""The only method that changes something. All others are sent again if their response was lost."""


class TokenRejected(Exception):
    """The daemon does not accept the token."""


class Lost(Exception):
    """The daemon stopped or closed the connection before it responded. ``str()`` is a sentence."""


class Canceled(Exception):
    """The request was canceled."""


class Refused(Exception):
    """The daemon responded with an error that is not a JSON-RPC message. ``str()`` is its text."""

    def __init__(self, text: str, code: str, status: int) -> None:
        super().__init__(text)
        self.code: Final = code
        self.status: Final = status


class Cancellation:
    """Cancels one request, from another thread."""

    def __init__(self) -> None:
        self.event: Final = threading.Event()
        self._lock = threading.Lock()
        self._current: CancelToken | None = None

    def cancel(self) -> None:
        """Cancel it."""
        with self._lock:
            self.event.set()
            if self._current is not None:
                self._current.cancel()

    def token(self) -> CancelToken:
        """
        Return a token for one exchange.

        Raises:
            Canceled: If it was canceled before.
        """
        with self._lock:
            if self.event.is_set():
                raise Canceled
            self._current = CancelToken()
            return self._current


class _InitializeResult(msgspec.Struct):
    protocolVersion: str  # noqa: N815 - the protocol's name


class _ErrorBody(msgspec.Struct):
    code: int = 0


class _MaybeRpc(msgspec.Struct):
    jsonrpc: str = ""
    error: _ErrorBody | None = None
    detail: str = ""
    title: str = ""
    code: str = ""


class Session:
    """
    The session that ``initialize`` opens, for the versions before 2026-07-28.

    The client's request is answered immediately, and remembered. It is sent to the daemon before the first message that
    needs the session, and again if the daemon has lost the session, because it was restarted.
    """

    def __init__(self) -> None:
        self.lock: Final = threading.RLock()
        self.initialize: Message | None = None
        """The client's request."""
        self.version = ""
        self.id = ""
        self.is_open = False

    def begin(self, initialize: Message) -> None:
        """Remember the client's request, which replaces an earlier one."""
        with self.lock:
            self.initialize, self.is_open = initialize, False

    def headers(self) -> dict[str, str]:
        """Return the header fields of a request."""
        with self.lock:
            fields = {VERSION_HEADER: self.version} if self.version else {}
            return {**fields, SESSION_HEADER: self.id} if self.id else fields

    def opened(self, exchange: Exchange, response: Message) -> None:
        """Store what the daemon responded to ``initialize``."""
        with contextlib.suppress(msgspec.MsgspecError):
            result = msgspec.json.decode(response.result, type=_InitializeResult)
            with self.lock:
                self.version, self.id = result.protocolVersion, exchange.header(SESSION_HEADER)
                self.is_open = True

    def lost(self, session_id: str) -> None:
        """Record that the daemon does not know a session, unless there is another one already."""
        with self.lock:
            if self.id == session_id:
                self.is_open = False


class Forwarder:
    """Sends messages to the daemon. Threads may share it."""

    def __init__(self, daemon: Daemon, session: Session) -> None:
        self._daemon = daemon
        self._session = session

    def send(
        self,
        message: Message,
        token: str,
        cancellation: Cancellation,
        receive: Callable[[Message], object],
        *,
        repeats: bool = True,
    ) -> None:
        """
        Send a message, and call ``receive`` with each message that the daemon responds with.

        Args:
            message: The message.
            token: The token.
            cancellation: Cancels it.
            receive: Called in this thread.
            repeats: Whether a message that changes nothing is sent again if the connection breaks.

        Raises:
            TokenRejected: If the token is not accepted.
            Lost: If the response was lost, and the request is not repeated.
            Canceled: If it was canceled.
            Refused: If the daemon refuses it.
            ClientError: If the daemon cannot be reached.
        """
        deadline = time.monotonic() + _RETRY_SECONDS
        while True:
            try:
                # A response is for the session of its request only.
                is_response = message.kind == "response"
                if not self._try(message, token, cancellation, receive, is_last=is_response):
                    # The session is a new one now. If the daemon does not know it either, it responds with 404.
                    self._try(message, token, cancellation, receive, is_last=True)
            except DaemonUnreachable as error:
                if cancellation.event.is_set():
                    raise Canceled from None
                if error.sent and (message.method == _UNREPEATABLE or not repeats):
                    raise Lost(str(error)) from None
                if time.monotonic() >= deadline:
                    raise
                cancellation.event.wait(_PAUSE_SECONDS)
            else:
                return

    def _try(
        self,
        message: Message,
        token: str,
        cancellation: Cancellation,
        receive: Callable[[Message], object],
        *,
        is_last: bool = False,
    ) -> bool:
        """Return False if the daemon has lost the session. The next call opens it again."""
        session = self._session
        if not message.is_stateless and message.method != "initialize":
            self.open_session(token, cancellation)
        session_id = session.id
        with self._post(message.body, self._headers(message), token, cancellation) as exchange:
            if exchange.status >= 400:
                body = exchange.read()
                if not is_last and self._has_lost_session(exchange.status, body, message):
                    session.lost(session_id)
                    return False
                self._refuse(exchange.status, body, message, receive)
                return True
            answered = message.kind != "request"
            for each in _parsed(messages_of(exchange)):
                if cancellation.event.is_set():
                    raise Canceled
                if message.method == "initialize" and not message.is_stateless:
                    session.opened(exchange, each)
                answered = answered or (each.kind == "response" and each.id == message.id)
                receive(each)
        if cancellation.event.is_set():
            raise Canceled
        if not answered:
            raise DaemonUnreachable("The daemon closed the connection before it responded.", sent=True)
        return True

    def open_session(self, token: str, cancellation: Cancellation) -> None:
        """Open the session if it is not open, and the client has sent ``initialize``. Raises as ``send``."""
        session = self._session
        with session.lock:
            if session.is_open or session.initialize is None:
                return
            body = session.initialize.body
            with self._post(body, {}, token, cancellation) as exchange:
                if exchange.status >= 400:
                    self._refuse(exchange.status, exchange.read(), session.initialize, lambda _: None)
                    return
                for each in _parsed(messages_of(exchange)):
                    session.opened(exchange, each)
            ready = msgspec.json.encode({"jsonrpc": "2.0", "method": INITIALIZED})
            with self._post(ready, session.headers(), token, cancellation) as exchange:
                exchange.read()

    def end_session(self, token: str) -> None:
        """End the session, if there is one and the daemon is running. Never raises."""
        if not self._session.id or not self._daemon.is_running:
            return
        with (
            contextlib.suppress(Exception),
            self._exchange("DELETE", None, self._session.headers(), token, Cancellation()) as exchange,
        ):
            exchange.read()

    def _headers(self, message: Message) -> dict[str, str]:
        if not message.is_stateless:
            return {} if message.method == "initialize" else self._session.headers()
        fields = {VERSION_HEADER: header_value(message.params.meta.version or "")}
        if message.method:
            fields[METHOD_HEADER] = header_value(message.method)
        name = {"name": message.params.name, "uri": message.params.uri}.get(NAME_OF.get(message.method, ""))
        if name is not None:
            fields[NAME_HEADER] = header_value(name)
        return fields

    def _post(
        self, body: bytes, headers: dict[str, str], token: str, cancellation: Cancellation
    ) -> contextlib.AbstractContextManager[Exchange]:
        return self._exchange("POST", body, headers, token, cancellation)

    @contextlib.contextmanager
    def _exchange(
        self, method: str, body: bytes | None, headers: dict[str, str], token: str, cancellation: Cancellation
    ) -> Iterator[Exchange]:
        transport = self._daemon.transport(token)
        cancel = cancellation.token()
        try:
            with transport.exchange(
                method, PATH, body=body, headers={**_ACCEPT, **headers}, cancel_token=cancel
            ) as exchange:
                if exchange.status == 401:
                    raise TokenRejected
                yield exchange
        except ApiProblem as problem:
            if problem.code == "invalid_token":
                raise TokenRejected from None
            raise

    @staticmethod
    def _has_lost_session(status: int, body: bytes, message: Message) -> bool:
        if status != 404 or message.is_stateless or message.method == "initialize":
            return False
        error = _decoded(body).error
        return error is None or error.code != _METHOD_NOT_FOUND

    @staticmethod
    def _refuse(status: int, body: bytes, message: Message, receive: Callable[[Message], object]) -> None:
        """Pass on an error, which is a JSON-RPC response or a problem (RFC 9457)."""
        if message.kind != "request":
            return
        found = _decoded(body)
        if found.jsonrpc and found.error is not None:
            receive(parse(_with_id(body, message.id)))
            return
        text = found.detail or found.title or f"The daemon responded with status {status}."
        raise Refused(text, found.code, status)


def _decoded(body: bytes) -> _MaybeRpc:
    try:
        return msgspec.json.decode(body, type=_MaybeRpc)
    except (msgspec.MsgspecError, RecursionError):
        # A JSON-RPC error has no "code" of its own, and a problem's is text; anything else is not ours.
        return _MaybeRpc()


def _with_id(body: bytes, request_id: object) -> bytes:
    """Return an error response with the ID of the request. If the daemon could not read the request, it has none."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    return body if fields.get("id") == request_id else msgspec.json.encode({**fields, "id": request_id})


def _parsed(bodies: Iterable[bytes]) -> Iterator[Message]:
    """Yield the valid messages. Anything else must not reach the client."""
    for body in bodies:
        with contextlib.suppress(Invalid):
            yield parse(body)
