"""The log of the requests that the sandbox has received."""

from __future__ import annotations

import asyncio
import builtins
import time
from collections import deque
from fnmatch import fnmatchcase
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Listener = Literal["api", "rest", "issuer"]
"""The partner sign-in and the Developer API, the databases' REST API, or the issuer of the open sign-in."""
MAX_LOGGED_REQUESTS = 10_000
MAX_WAIT_SECONDS = 60.0


class LoggedRequest(msgspec.Struct, kw_only=True):
    """A request that was received. Headers, query, and body contain secrets, so they are not logged."""

    id: int
    """Counts up from 1."""
    listener: Listener
    method: str
    path: str
    time: float
    """Unix time at which it was received."""
    status: int | None = None
    """None while the request is being handled, and if the connection was reset."""
    fault: bool = False


class RequestFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which requests to return."""

    listener: Listener | None = None
    method: str = "*"
    path: str = "*"
    """Shell pattern for the path; ``*`` also matches ``/``."""
    status: Annotated[int, Meta(ge=100, le=599)] | None = None
    after: Annotated[int, Meta(ge=0)] = 0
    """Only requests with a greater ID."""
    wait: Annotated[float, Meta(ge=0, le=MAX_WAIT_SECONDS)] = 0.0
    """How many seconds to wait if no matching request has been answered yet."""

    def matches(self, entry: LoggedRequest) -> bool:
        """Return whether a request matches."""
        return (
            entry.id > self.after
            and self.listener in {None, entry.listener}
            and self.method.upper() in {"*", entry.method}
            and self.status in {None, entry.status}
            and fnmatchcase(entry.path, self.path)
        )


class RequestLog:
    """The last ``MAX_LOGGED_REQUESTS`` requests."""

    def __init__(self) -> None:
        self._entries: deque[LoggedRequest] = deque(maxlen=MAX_LOGGED_REQUESTS)
        self._count = 0
        self._unanswered: set[int] = set()
        self._changed = asyncio.Event()

    def begin(self, listener: Listener, method: str, path: str) -> LoggedRequest:
        """Log a request that has arrived, and return its entry."""
        self._count += 1
        # A path can contain lone surrogates, which neither JSON nor a page can encode.
        path = path.encode("utf-8", "replace").decode()
        entry = LoggedRequest(id=self._count, listener=listener, method=method, path=path, time=time.time())
        self._entries.append(entry)
        self._unanswered.add(entry.id)
        return entry

    def end(self, entry: LoggedRequest, status: int | None) -> None:
        """Log how a request ended; None: its connection was reset or lost."""
        entry.status = status
        self._unanswered.discard(entry.id)
        self._changed.set()
        self._changed = asyncio.Event()

    def entries(self) -> builtins.list[LoggedRequest]:
        """Return all requests in the log, oldest first."""
        return [*self._entries]

    def list(self, which: RequestFilter) -> list[LoggedRequest]:
        """Return the matching requests, oldest first."""
        return [entry for entry in self._entries if which.matches(entry)]

    async def wait_for(self, which: RequestFilter) -> builtins.list[LoggedRequest]:
        """Return the matching requests, oldest first. If none of them has ended, wait until one has."""
        try:
            async with asyncio.timeout(which.wait):
                while all(entry.id in self._unanswered for entry in self.list(which)):
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.list(which)

    def clear(self) -> None:
        """Empty the log. IDs continue to count up."""
        self._entries.clear()
