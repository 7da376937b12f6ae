"""
The daemon's requests to the client, such as a question to its user: which of them still have somebody who waits.

A client may show a question for longer than the daemon waits for its answer, or longer than the daemon runs. Such an
answer must not get to another question, so it is not forwarded, and the client is told as soon as it is obsolete.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from upstash_helper.cli.mcp.lines import Message, Output

CANCELED: Final = "notifications/cancelled"


class _Asked(NamedTuple):
    call: object
    """The ID of the client's request that it belongs to."""
    session: str


class Questions:
    """The requests that the client has not responded to. Threads may share it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._lock = threading.Lock()
        self._open: dict[object, _Asked] = {}

    def pass_on(self, message: Message, *, call: object, session: str) -> None:
        """
        Pass a message of the daemon on to the client.

        Args:
            message: The message.
            call: The ID of the client's request that it belongs to.
            session: The session's ID.
        """
        with self._lock:
            if message.kind == "request":
                self._open[message.id] = _Asked(call, session)
            elif message.method == CANCELED:
                self._open.pop(message.params.request_id, None)
        self._output.send(message.body)

    def take(self, response: Message, *, session: str) -> bool:
        """Return whether the daemon waits for a response of the client: once, and in the session of its request."""
        with self._lock:
            asked = self._open.pop(response.id, None)
        return asked is not None and asked.session == session

    def end(self, call: object) -> None:
        """Tell the client that nobody waits for responses any more, because a request of it has ended."""
        with self._lock:
            ended = [request_id for request_id, asked in self._open.items() if asked.call == call]
            for request_id in ended:
                del self._open[request_id]
        for request_id in ended:
            self._output.notify(CANCELED, {"requestId": request_id, "reason": "Nobody waits for the answer any more."})
