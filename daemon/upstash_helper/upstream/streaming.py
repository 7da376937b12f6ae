"""A request whose body and response are streamed, and the time limit until the response begins."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from upstash_helper.upstream.connector import PROGRESS, Progress
from upstash_helper.upstream.request import TransportFailed, intercepted, transport_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    import stamina
    from yarl import URL

    from upstash_helper.upstream.connector import TrackedProtocol

    Attempts = Callable[[Callable[[Exception], bool]], AsyncIterator[stamina.Attempt]]
    Send = Callable[["StreamingRequest", URL, AsyncIterator[bytes] | None], Awaitable[aiohttp.ClientResponse]]

_SAFE: Final = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamingRequest:
    """A request whose response is handed out as soon as its headers have arrived."""

    method: str
    url: str
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(repr=False)
    """All headers except ``Host``, ``User-Agent`` and ``Transfer-Encoding``."""
    body: AsyncIterator[bytes] | None = field(default=None, repr=False)
    timeout: float
    """Seconds to connect, to accept each chunk of the body, and then to send the response's headers."""

    @property
    def safe(self) -> bool:
        """Whether its method changes nothing (RFC 9110, section 9.2.1)."""
        return self.method in _SAFE

    @property
    def repeatable(self) -> bool:
        """Whether it may be received twice, and can be sent twice."""
        return self.safe and self.body is None


class StreamingProgress(Progress):
    """The progress of a request, and the time limit for Upstash. The timer stops while the app's body is read."""

    def __init__(self, request: StreamingRequest, timeout: asyncio.Timeout) -> None:
        self._was_kept_alive = False
        super().__init__(new_connection=not request.repeatable)
        self.body_error: Exception | None = None
        """What reading the body raised."""
        self._seconds = request.timeout
        self._timeout: asyncio.Timeout | None = timeout

    def start_timer(self) -> None:
        """Start the timer, or restart it from zero."""
        self._reschedule(asyncio.get_running_loop().time() + self._seconds)

    def stop_timer(self) -> None:
        """Stop the timer."""
        self._reschedule(None)

    def _reschedule(self, when: float | None) -> None:
        # aiohttp reads the body in a task of its own, which may call this after the timeout.
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(when)

    def finish(self) -> None:
        """Ignore all later calls for the timer; the rest of the body may still be sent."""
        self._timeout = None

    def restart(self) -> None:
        """Start another attempt; on a new connection if the previous one was kept alive."""
        self.new_connection = self.new_connection or self._was_kept_alive
        super().restart()

    def connected(self, protocol: TrackedProtocol) -> None:
        """Record the connection, and restart the timer: the request is sent now."""
        self._was_kept_alive = protocol.received  # by an earlier request
        super().connected(protocol)
        self.start_timer()

    def is_unsent(self, error: Exception) -> bool:
        """
        Return whether the request may be sent again, since the server has not processed any of it.

        Whether a kept-alive connection was closed is known only when it is used; that is no different from a failure to
        connect (RFC 9112, section 9.3.1). Only repeatable requests use such a connection.

        A captive portal remains until the user has signed in there.
        """
        if not isinstance(error, TransportFailed) or error.kind == "intercepted":
            return False
        return error.stage == "connecting" or (error.stage == "sent" and self._was_kept_alive)


class TimedBody:
    """The body of a request: the timer stops while the app provides a chunk, and errors of the app are recorded."""

    def __init__(self, body: AsyncIterator[bytes], progress: StreamingProgress) -> None:
        self._body = body
        self._progress = progress

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._progress.stop_timer()
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self._progress.body_error = error
            raise
        finally:
            self._progress.start_timer()


async def open_response(
    request: StreamingRequest, url: URL, *, attempts: Attempts, send: Send
) -> aiohttp.ClientResponse:
    """
    Send a request and return the response as soon as its headers have arrived.

    Args:
        request: The request.
        url: Its URL.
        attempts: Yields the attempts; takes a function that decides whether to retry after an error.
        send: Sends the request once, with aiohttp.

    Raises:
        TransportFailed: If there is no response in time, or it is invalid or a redirect.
        Exception: What reading the request's body raised.
    """
    failure: Exception
    timeout = asyncio.timeout(None)
    progress = StreamingProgress(request, timeout)
    try:
        async with timeout:
            progress.start_timer()
            try:
                return await _attempt(request, url, progress, attempts, send)
            finally:
                progress.finish()
    except TimeoutError:
        detail = f"{url.host} did not respond within {request.timeout:g} s."
        failure = TransportFailed("timeout", progress.stage, detail)
    except TransportFailed as error:
        failure = progress.body_error or error
    raise failure


async def _attempt(
    request: StreamingRequest, url: URL, progress: StreamingProgress, attempts: Attempts, send: Send
) -> aiohttp.ClientResponse:
    PROGRESS.set(progress)
    body = None if request.body is None else TimedBody(request.body, progress)
    async for attempt in attempts(progress.is_unsent):
        with attempt:
            progress.restart()
            try:
                response = await send(request, url, body)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                failure = transport_failure(error, progress.stage, url)
            else:
                return _require_final(response, url)
            raise failure
    raise AssertionError  # the loop ends with a response or an error


def _require_final(response: aiohttp.ClientResponse, url: URL) -> aiohttp.ClientResponse:
    found = intercepted(url, response)
    if found is not None:
        response.close()
        raise found
    # 304 is no redirect: it answers a conditional request.
    if 300 <= response.status < 400 and response.status != 304:
        response.close()
        raise TransportFailed("unreadable", "answered", f"{url.host} sent a redirect, which is not followed.")
    # aiohttp skips the other responses below 200. After this one, the connection would not be HTTP any more.
    if response.status == 101:
        response.close()
        raise TransportFailed("unreadable", "answered", f"{url.host} switched to another protocol without being asked.")
    return response
