"""
Sessions of the versions before 2026-07-28: what ``initialize`` has agreed on, and requests to the client.

They exist only in memory. A client that gets a 404 for its session begins another one, so a restart of the daemon or a
dropped session costs only one request.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any, Final

from upstash_helper.api.mcp.jsonrpc import RpcError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from upstash_helper.api.mcp.jsonrpc import RequestId, Response
    from upstash_helper.api.mcp.versions import Envelope
    from upstash_helper.broker.events import Subscription

MAX_SESSIONS: Final = 256
MAX_SESSIONS_PER_APP: Final = 32


class ClientRefused(Exception):
    """The client has responded to a request from the daemon with an error."""


class Session:
    """One session."""

    def __init__(self, session_id: str, caller_id: str, envelope: Envelope) -> None:
        self.id: Final = session_id
        self.caller_id: Final = caller_id
        self.envelope: Final = envelope
        self.calls: Final[dict[RequestId, Callable[[], None]]] = {}
        """Functions that cancel the client's requests in progress."""
        self._streams: set[Subscription] = set()
        self._asked: dict[RequestId, asyncio.Future[dict[str, Any]]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a request is in progress."""
        return bool(self.calls)

    def ask(self) -> tuple[RequestId, asyncio.Future[dict[str, Any]]]:
        """
        Return the ID of a new request to the client, and its result. The result raises ``ClientRefused`` if the client
        responds with an error.

        No other session has a request with this ID, also after a restart: a client may still show a question of a
        session that has ended, and the answer to it must be for no other question.
        """
        request_id = f"q-{secrets.token_urlsafe(12)}"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[request_id] = future
        return request_id, future

    def forget(self, request_id: RequestId) -> None:
        """Stop waiting for the response to a request."""
        self._asked.pop(request_id, None)

    def respond(self, response: Response) -> None:
        """Handle the client's response to a request. Responses to unknown requests are ignored: they may be late."""
        future = self._asked.pop(response.id, None)
        if future is None or future.done():
            return
        if response.result is None:
            future.set_exception(ClientRefused())
        else:
            future.set_result(response.result)

    def cancel(self, request_id: object) -> None:
        """Cancel a request of the client, if it is in progress."""
        cancel = self.calls.get(request_id) if isinstance(request_id, str | int) else None
        if cancel is not None:
            cancel()

    @contextlib.contextmanager
    def followed_by(self, subscription: Subscription) -> Iterator[None]:
        """End ``subscription`` with the session, in the body of the context."""
        self._streams.add(subscription)
        try:
            yield
        finally:
            self._streams.discard(subscription)

    def end(self) -> None:
        """Cancel everything that is in progress."""
        for cancel in tuple(self.calls.values()):
            cancel()
        for subscription in self._streams:
            subscription.offer(None)


class Sessions:
    """The open sessions, least recently used first."""

    def __init__(self) -> None:
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, caller_id: str, envelope: Envelope) -> Session:
        """Open a session. If there are too many, one of the least recently used ends."""
        own = [each for each in self._open.values() if each.caller_id == caller_id]
        if len(own) >= MAX_SESSIONS_PER_APP:
            self._end_one(own)
        elif len(self._open) >= MAX_SESSIONS:
            self._end_one(list(self._open.values()))
        session = Session(secrets.token_urlsafe(24), caller_id, envelope)
        self._open[session.id] = session
        return session

    def get(self, session_id: str, caller_id: str) -> Session:
        """
        Return a session of a caller.

        Raises:
            RpcError: With status 404, if it does not exist, or is another caller's.
        """
        session = self._open.get(session_id)
        if session is None or session.caller_id != caller_id:
            raise RpcError(-32001, "This session does not exist, or has ended. Initialize a new one.", status=404)
        # It was used last.
        del self._open[session_id]
        self._open[session_id] = session
        return session

    def close(self, session: Session) -> None:
        """End a session."""
        self._open.pop(session.id, None)
        session.end()

    def _end_one(self, sessions: list[Session]) -> None:
        self.close(next((each for each in sessions if not each.is_busy), sessions[0]))
