"""The one HTTP client: deadlines, bounds, retries that cannot do harm, and no secret in what it raises."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from upstash_helper import __version__
from upstash_helper.upstream.circuit_breaker import CircuitBreaker
from upstash_helper.upstream.connector import PROGRESS, Progress, TrackedConnector
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed, transport_failure
from upstash_helper.upstream.response import Response, read
from upstash_helper.upstream.streaming import StreamingRequest, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import stamina
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from upstash_helper.broker.ports import Clock


def is_loopback(url: URL) -> bool:
    """Return whether ``url`` is on this machine's loopback interface."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def proxy_for(url: URL) -> URL | None:
    """Return the proxy that the system names for ``url``: the environment, or Windows' and macOS' settings."""
    from urllib.request import getproxies, proxy_bypass

    host = url.host or ""
    if is_loopback(url) or proxy_bypass(host):
        return None
    proxy = getproxies().get(url.scheme)
    if not proxy:
        return None
    return URL(proxy if "://" in proxy else f"http://{proxy}")


logger = logging.getLogger(__name__)

TRIES: Final = 3
CONNECT_SECONDS: Final = 8.0
# Long enough for the calls of one user action, short enough that an idle daemon holds no socket.
KEEP_ALIVE_SECONDS: Final = 5.0
_CONNECTIONS: Final = 8
_BUSY: Final = frozenset({502, 503, 504})


class _Busy(Exception):
    """A 502, 503 or 504 that is worth another try."""

    def __init__(self, reply: Response) -> None:
        super().__init__(reply.status)
        self.reply = reply


@dataclass(slots=True)
class _Visit:
    """One request that was let through the breaker."""

    tries: int
    status: int = 0
    """Of the answer, once there is one."""


class HttpClient:
    """Sends requests to Upstash, or to a sandbox on the loopback interface. Nothing is opened before the first."""

    def __init__(
        self,
        *,
        clock: Clock,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        connect_seconds: float = CONNECT_SECONDS,
        retry_seconds: float = 0.2,
    ) -> None:
        """
        Args:
            clock: Tells the breaker's time, and today for a ``Retry-After`` that is a date.
            tls: Makes the TLS context. It reads the trust store, so it is called late, once, and in a worker thread.
            connect_seconds: For one connection, TLS included.
            retry_seconds: About how long the first retry waits; the second about twice that.
        """
        self._clock = clock
        self._make_tls = tls
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._retry_seconds = retry_seconds
        self._breakers: dict[URL, CircuitBreaker] = {}
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """Close the connections; later calls fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Request) -> Response:
        """
        Return the answer, whatever its status; a redirect is no answer.

        Raises:
            TransportFailed: If there is none within the deadline, if it is larger than the limit, if it cannot be
                read, or at once while the service is known to be down.
        """
        url = URL(call.url, encoded=True)
        with self._admitted(call.method, url) as visit:
            reply = await self._in_time(call, url, tries=visit.tries)
            visit.status = reply.status
        logger.debug("%s %s: status %d, %d bytes", call.method, url.host, reply.status, len(reply.body))
        return reply

    @contextlib.asynccontextmanager
    async def open(self, opening: StreamingRequest) -> AsyncIterator[ClientResponse]:
        """
        Send a request and hand out the answer, as it is, when its headers are there. Leaving closes the connection,
        unless all of the answer has been read.

        Raises:
            TransportFailed: As ``send``, but for the limit.
            Exception: What reading the request's body raised.
        """
        url = URL(opening.url, encoded=True)
        with self._admitted(opening.method, url) as visit:
            attempts = functools.partial(self._attempts, tries=visit.tries)
            response = await opened(opening, url, attempts=attempts, send=self._sent)
            visit.status = response.status
        logger.debug("%s %s: status %d", opening.method, url.host, response.status)
        with contextlib.closing(response):
            yield response

    @contextlib.contextmanager
    def _admitted(self, method: str, url: URL) -> Iterator[_Visit]:
        """Let one request to ``url`` be made, or refuse it; tell the breaker how it ended."""
        if self._closed:
            raise TransportFailed("network", "connecting", "The helper is stopping.")
        if url.scheme != "https" and not is_loopback(url):
            raise TransportFailed("network", "connecting", f"{url.host} is not asked over plain http; use https.")
        breaker = self._breakers.setdefault(url.origin(), CircuitBreaker(clock=self._clock))
        wait = breaker.admit()
        if wait is not None:
            detail = f"{url.host} has failed several times in a row; it is asked again in {wait:.0f} s."
            raise TransportFailed("network", "connecting", detail, retry_after=wait)

        visit, note = _Visit(tries=1 if breaker.probing else TRIES), breaker.abandoned
        try:
            yield visit
            note = breaker.failed if visit.status >= 500 else breaker.succeeded
        except TransportFailed as failure:
            note = breaker.failed
            logger.info("%s %s: %s while %s", method, url.host, failure.kind, failure.stage)
            raise
        finally:
            note()

    async def _in_time(self, call: Request, url: URL, *, tries: int) -> Response:
        progress = Progress(fresh=call.retry is not RetryPolicy.ALWAYS)
        PROGRESS.set(progress)
        try:
            async with asyncio.timeout(call.deadline):
                return await self._tries(call, url, progress, tries)
        except TimeoutError:
            detail = f"{url.host} did not answer within {call.deadline:g} s."
            failure = TransportFailed("timeout", progress.stage, detail)
        # Here and not above, so that the failure does not carry aiohttp's exceptions, which carry headers.
        raise failure

    async def _tries(self, call: Request, url: URL, progress: Progress, tries: int) -> Response:
        try:
            async for attempt in self._attempts(lambda error: _worth_a_retry(call, error), tries):
                with attempt:
                    progress.restart()
                    return _unless_busy(call, await self._once(call, url, progress))
        except _Busy as busy:
            return busy.reply
        raise AssertionError  # the loop ends with one or the other

    def _attempts(self, on: Callable[[Exception], bool], tries: int) -> AsyncIterator[stamina.Attempt]:
        import stamina

        return aiter(
            stamina.retry_context(
                on=on,
                attempts=tries,
                timeout=None,
                wait_initial=self._retry_seconds,
                wait_jitter=self._retry_seconds,
                wait_max=self._retry_seconds * 4,
            )
        )

    async def _once(self, call: Request, url: URL, progress: Progress) -> Response:
        failure: TransportFailed
        try:
            session, tls, proxy = await self._session_for(url)
            async with session.request(
                call.method, url, headers=call.headers, data=call.body, ssl=tls, proxy=proxy, allow_redirects=False
            ) as response:
                reply = await read(response, limit=call.limit, now=self._clock.time())
        except TransportFailed as error:
            failure = error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = transport_failure(error, progress.stage, url)
        else:
            return _answered(reply, call, url)
        raise failure

    async def _sent(self, opening: StreamingRequest, url: URL, body: AsyncIterator[bytes] | None) -> ClientResponse:
        session, tls, proxy = await self._session_for(url)
        return await session.request(
            opening.method,
            url,
            headers=opening.headers,
            data=body,
            ssl=tls,
            proxy=proxy,
            allow_redirects=False,
            auto_decompress=False,
            skip_auto_headers=("Accept", "Content-Type"),
        )

    async def _session_for(self, url: URL) -> tuple[aiohttp.ClientSession, ssl.SSLContext | bool, URL | None]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=TrackedConnector(limit=_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"upstash-helper/{__version__}", "Accept-Encoding": "gzip, deflate"},
                timeout=self._timeout,
                middlewares=(_sent_once,),
                # It would also read ~/.netrc, and send what it finds there.
                trust_env=False,
            )
        if url.scheme != "https":
            return self._session, True, None
        return self._session, await self._tls_context(), await asyncio.to_thread(proxy_for, url)

    async def _tls_context(self) -> ssl.SSLContext:
        # aiohttp's own default context is never used: `serve` keeps it from loading the trust store at import.
        async with self._tls_lock:
            if self._tls is None:
                self._tls = await asyncio.to_thread(self._make_tls)
            return self._tls


def _unless_busy(call: Request, reply: Response) -> Response:
    # With a Retry-After the service has said when to come again, and that is longer than we would wait.
    if call.retry is RetryPolicy.ALWAYS and reply.status in _BUSY and reply.retry_after is None:
        raise _Busy(reply)
    return reply


def _worth_a_retry(call: Request, error: Exception) -> bool:
    if isinstance(error, _Busy):
        return True
    if not isinstance(error, TransportFailed) or error.kind == "unreadable":
        return False
    if error.stage == "connecting":
        return True
    if error.stage == "sent":
        return call.retry is not RetryPolicy.UNSENT
    return call.retry is RetryPolicy.ALWAYS


async def _sent_once(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    # aiohttp sends a GET or DELETE again by itself when its connection broke. Whether that may be is our decision.
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        failure = transport_failure(error, PROGRESS.get().stage, request.url)
    raise failure


def _answered(reply: Response | None, call: Request, url: URL) -> Response:
    if reply is None:
        raise TransportFailed("unreadable", "answered", f"The answer of {url.host} is over {call.limit} bytes.")
    if 300 <= reply.status < 400:
        raise TransportFailed("unreadable", "answered", f"{url.host} sent a redirect, which is not followed.")
    return reply
