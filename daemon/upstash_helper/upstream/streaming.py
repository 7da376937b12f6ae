"""A request whose body is streamed, and how long Upstash may take until it begins to answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp

from upstash_helper.upstream.connector import PROGRESS, Progress
from upstash_helper.upstream.request import TransportFailed, transport_failure

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
    """A request."""

    method: str
    url: str
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = field(repr=False)
    """All that are sent, but for ``Host``, ``User-Agent`` and ``Transfer-Encoding``."""
    body: AsyncIterator[bytes] | None = field(default=None, repr=False)
    seconds: float
    """For connecting, for each piece of the body to be taken, and from there to the headers of the answer."""

    @property
    def safe(self) -> bool:
        """Whether its method changes nothing (RFC 9110, section 9.2.1)."""
        return self.method in _SAFE

    @property
    def repeatable(self) -> bool:
        """Whether it may arrive twice, and can be sent twice."""
        return self.safe and self.body is None


class StreamingProgress(Progress):
    """
    How far a request has come, and the time that Upstash still has. It stands still while the app's body is waited for.
    """

    def __init__(self, opening: StreamingRequest, timeout: asyncio.Timeout) -> None:
        self._kept = False
        super().__init__(fresh=not opening.repeatable)
        self.broken: Exception | None = None
        """What reading the body raised."""
        self._seconds = opening.seconds
        self._timeout: asyncio.Timeout | None = timeout

    def begin(self) -> None:
        """Count from now."""
        self._reschedule(asyncio.get_running_loop().time() + self._seconds)

    def pause(self) -> None:
        """Stop counting."""
        self._reschedule(None)

    def _reschedule(self, when: float | None) -> None:
        # The body is read by a task of its own, which may come too late to change anything.
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(when)

    def end(self) -> None:
        """Count no more, whatever is still sent."""
        self._timeout = None

    def restart(self) -> None:
        """Begin another try: if the one before had a kept connection, on a new one."""
        self.fresh = self.fresh or self._kept
        super().restart()

    def connected(self, witness: TrackedProtocol) -> None:
        """Note the connection, and that the request goes out now."""
        # One that has spoken before was kept from an earlier request.
        self._kept = witness.spoken
        super().connected(witness)
        self.begin()

    def unsent(self, error: Exception) -> bool:
        """
        Return whether the request may be sent anew: nothing of it was taken.

        That a kept connection was closed shows only when it is used, and is no more than a failure to connect
        (RFC 9112, section 9.3.1). Only what is repeatable gets a kept one.
        """
        if not isinstance(error, TransportFailed):
            return False
        return error.stage == "connecting" or (error.stage == "sent" and self._kept)


class TimedBody:
    """The body of a request on its way: it times Upstash, not the app, and remembers what broke it."""

    def __init__(self, body: AsyncIterator[bytes], patience: StreamingProgress) -> None:
        self._body = body
        self._patience = patience

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        self._patience.pause()
        try:
            return await anext(self._body)
        except StopAsyncIteration:
            raise
        except Exception as error:
            self._patience.broken = error
            raise
        finally:
            self._patience.begin()


async def opened(opening: StreamingRequest, url: URL, *, attempts: Attempts, send: Send) -> aiohttp.ClientResponse:
    """
    Return the answer to a request as soon as its headers are there.

    Args:
        opening: The request.
        url: Its address.
        attempts: Yields the tries; takes what tells whether an error is worth another.
        send: Sends it once over aiohttp.

    Raises:
        TransportFailed: If there is none in time, none that can be read, or a redirect.
        Exception: What reading the request's body raised.
    """
    failure: Exception
    timeout = asyncio.timeout(None)
    patience = StreamingProgress(opening, timeout)
    try:
        async with timeout:
            patience.begin()
            try:
                return await _tried(opening, url, patience, attempts, send)
            finally:
                patience.end()
    except TimeoutError:
        detail = f"{url.host} did not answer within {opening.seconds:g} s."
        failure = TransportFailed("timeout", patience.stage, detail)
    except TransportFailed as error:
        failure = patience.broken or error
    raise failure


async def _tried(
    opening: StreamingRequest, url: URL, patience: StreamingProgress, attempts: Attempts, send: Send
) -> aiohttp.ClientResponse:
    PROGRESS.set(patience)
    body = None if opening.body is None else TimedBody(opening.body, patience)
    async for attempt in attempts(patience.unsent):
        with attempt:
            patience.restart()
            try:
                response = await send(opening, url, body)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                failure = transport_failure(error, patience.stage, url)
            else:
                return _no_redirect(response, url)
            raise failure
    raise AssertionError  # the loop ends with an answer or an error


def _no_redirect(response: aiohttp.ClientResponse, url: URL) -> aiohttp.ClientResponse:
    # 304 answers a request for something that has changed, and leads nowhere.
    if 300 <= response.status < 400 and response.status != 304:
        response.close()
        raise TransportFailed("unreadable", "answered", f"{url.host} sent a redirect, which is not followed.")
    return response
