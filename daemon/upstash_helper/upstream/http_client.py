"""The HTTP client for Upstash: deadlines, size limits, safe retries, and errors without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from upstash_helper import __version__
from upstash_helper.broker.identity import CURRENT_CALLER
from upstash_helper.system.proxies import FROM_ENVIRONMENT, ProxySettings, UnsupportedProxy, find_proxy
from upstash_helper.system.trust import CaFileUnusable, tls_context
from upstash_helper.upstream.circuit_breaker import CircuitBreakers, Sharing
from upstash_helper.upstream.connector import PROGRESS, Progress, TrackedConnector
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed, intercepted, transport_failure
from upstash_helper.upstream.response import Response, read
from upstash_helper.upstream.streaming import StreamingRequest, open_response

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

    import stamina
    from aiohttp import ClientHandlerType, ClientRequest, ClientResponse

    from upstash_helper.broker.ports import Clock

logger = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
CONNECT_SECONDS: Final = 8.0
# Long enough for the requests of one user action, short enough that an idle daemon has no open connection.
KEEP_ALIVE_SECONDS: Final = 5.0
# As many as there can be requests of clients: none waits until another one's slow response has ended.
_MAX_CONNECTIONS: Final = 64
_NOT_IMPLEMENTED: Final = 501
_BUSY: Final = frozenset({502, 503, 504})


class HttpClient:
    """Sends requests to Upstash, or to a sandbox on the loopback interface. Connections are opened when needed."""

    def __init__(
        self,
        *,
        clock: Clock,
        tls: Callable[[], ssl.SSLContext] = tls_context,
        proxies: ProxySettings = FROM_ENVIRONMENT,
        connect_seconds: float = CONNECT_SECONDS,
        retry_seconds: float = 0.2,
        breaker: Sharing = "connecting",
    ) -> None:
        """
        Args:
            clock: For the circuit breakers, and for a ``Retry-After`` that is a date.
            tls: Creates the TLS context. It reads the trust store, so it is called once, when needed, in a thread.
            proxies: The settings of proxies.
            connect_seconds: Time limit for one connection, including TLS.
            retry_seconds: The approximate delay before the first retry; the second waits about twice as long.
            breaker: Which failures count for all callers together; see ``CircuitBreakers``.
        """
        self._clock = clock
        self._create_tls = tls
        self._proxies = proxies
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds)
        self._retry_seconds = retry_seconds
        self._breakers = CircuitBreakers(clock=clock, sharing=breaker)
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._tls_lock = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """Close all connections. Later requests fail."""
        self._closed = True
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Request) -> Response:
        """
        Send a request and return the response, whatever its status.

        Raises:
            TransportFailed: If there is no valid response within the deadline and the limit, if it is a redirect, or
                at once while the circuit breaker is open.
        """
        url = URL(request.url, encoded=True)
        with self._admitted(request.method, url) as exchange:
            response = await self._within_deadline(request, url, attempts=exchange.attempts)
            exchange.status = response.status
        logger.debug("%s %s: status %d, %d bytes", request.method, url.host, response.status, len(response.body))
        return response

    @contextlib.asynccontextmanager
    async def open(self, request: StreamingRequest) -> AsyncIterator[ClientResponse]:
        """
        Send a request and yield the response when its headers have arrived.

        Leaving the context closes the connection, unless the response was read completely.

        Raises:
            TransportFailed: Like ``send``, except for the limit.
            Exception: What reading the request's body raised.
        """
        url = URL(request.url, encoded=True)
        with self._admitted(request.method, url) as exchange:
            attempts = functools.partial(self._attempts, count=exchange.attempts)
            response = await open_response(request, url, attempts=attempts, send=self._send_streaming)
            exchange.status = response.status
        logger.debug("%s %s: status %d", request.method, url.host, response.status)
        with contextlib.closing(response):
            yield response

    @contextlib.contextmanager
    def _admitted(self, method: str, url: URL) -> Iterator[_Exchange]:
        """Reject a request, or allow it and report its outcome to the circuit breaker."""
        if self._closed:
            raise TransportFailed("network", "connecting", "The helper is stopping.")
        if url.scheme != "https" and not is_loopback(url):
            raise TransportFailed("network", "connecting", f"{url.host} is not contacted over plain HTTP. Use https.")
        breakers = self._breakers.of(str(url.origin()), CURRENT_CALLER.get())
        wait = breakers.admit()
        if wait is not None:
            detail = f"{url.host} has failed several times in a row. The next attempt is in {wait:.0f} s."
            raise TransportFailed("network", "connecting", detail, retry_after=wait)

        exchange, report = _Exchange(attempts=1 if breakers.probing else MAX_ATTEMPTS), breakers.abandoned
        try:
            yield exchange
            report = breakers.answered_badly if _is_failure(exchange.status) else breakers.succeeded
        except TransportFailed as failure:
            report = breakers.unreachable if failure.stage == "connecting" else breakers.answered_badly
            logger.info("%s %s: %s while %s", method, url.host, failure.kind, failure.stage)
            raise
        finally:
            report()

    async def _within_deadline(self, request: Request, url: URL, *, attempts: int) -> Response:
        progress = Progress(new_connection=request.retry is not RetryPolicy.ALWAYS)
        PROGRESS.set(progress)
        try:
            async with asyncio.timeout(request.deadline):
                return await self._with_retries(request, url, progress, attempts)
        except TimeoutError:
            detail = f"{url.host} did not respond within {request.deadline:g} s."
            failure = TransportFailed("timeout", progress.stage, detail)
        # Raised here, so that its context is not an exception of aiohttp, which holds headers.
        raise failure

    async def _with_retries(self, request: Request, url: URL, progress: Progress, attempts: int) -> Response:
        try:
            async for attempt in self._attempts(lambda error: _may_retry(request, error), attempts):
                with attempt:
                    progress.restart()
                    return _unless_busy(request, await self._send_once(request, url, progress))
        except _Busy as busy:
            return busy.response
        raise AssertionError  # the loop ends with a response or an error

    def _attempts(self, on: Callable[[Exception], bool], count: int) -> AsyncIterator[stamina.Attempt]:
        import stamina

        return aiter(
            stamina.retry_context(
                on=on,
                attempts=count,
                timeout=None,
                wait_initial=self._retry_seconds,
                wait_jitter=self._retry_seconds,
                wait_max=self._retry_seconds * 4,
            )
        )

    async def _send_once(self, request: Request, url: URL, progress: Progress) -> Response:
        failure: TransportFailed
        try:
            session, tls, proxy = await self._session_for(url)
            async with session.request(
                request.method,
                url,
                headers=request.headers,
                data=request.body,
                ssl=tls,
                proxy=proxy,
                allow_redirects=False,
            ) as opened:
                found = intercepted(url, opened)
                if found is not None:
                    raise found
                response = await read(opened, limit=request.limit, now=self._clock.time())
        except TransportFailed as error:
            failure = error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            failure = transport_failure(error, progress.stage, url, self._proxies)
        else:
            return _checked(response, request, url)
        raise failure

    async def _send_streaming(
        self, request: StreamingRequest, url: URL, body: AsyncIterator[bytes] | None
    ) -> ClientResponse:
        session, tls, proxy = await self._session_for(url)
        return await session.request(
            request.method,
            url,
            headers=request.headers,
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
                connector=TrackedConnector(limit=_MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"upstash-helper/{__version__}", "Accept-Encoding": "gzip, deflate"},
                timeout=self._timeout,
                middlewares=(self._send_once_middleware,),
                # It would also read ~/.netrc, and send the credentials in it.
                trust_env=False,
            )
        if url.scheme != "https":
            return self._session, True, None
        return self._session, await self._tls_context(), await asyncio.to_thread(proxy_for, url, self._proxies)

    async def _send_once_middleware(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        # aiohttp repeats a GET or DELETE if its connection broke. This error type keeps it from doing so: only the
        # retry policy decides that.
        try:
            return await handler(request)
        except (aiohttp.ClientError, OSError) as error:
            failure = transport_failure(error, PROGRESS.get().stage, request.url, self._proxies)
        raise failure

    async def _tls_context(self) -> ssl.SSLContext:
        # aiohttp's default context is never used: the daemon prevents it from loading the trust store at import.
        async with self._tls_lock:
            if self._tls is None:
                try:
                    self._tls = await asyncio.to_thread(self._create_tls)
                except CaFileUnusable as error:
                    raise TransportFailed("network", "connecting", str(error)) from None
            return self._tls


def is_loopback(url: URL) -> bool:
    """Return whether ``url`` is on the loopback interface."""
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host or "").is_loopback
    except ValueError:
        return False


def proxy_for(url: URL, configured: ProxySettings = FROM_ENVIRONMENT) -> URL | None:
    """
    Return the proxy for ``url``: of the settings, of the environment, or of Windows or macOS. Loopback needs none.

    Raises:
        TransportFailed: If it is not an HTTP proxy.
    """
    if is_loopback(url):
        return None
    try:
        proxy = find_proxy(url.scheme, url.host or "", configured)
    except UnsupportedProxy as error:
        raise TransportFailed("network", "connecting", str(error)) from None
    return None if proxy is None else URL(proxy.url)


@dataclass(slots=True)
class _Exchange:
    """A request that the circuit breaker has admitted."""

    attempts: int
    status: int = 0
    """The response's status, once there is one."""


class _Busy(Exception):
    """A 502, 503 or 504 that may be retried."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def _unless_busy(request: Request, response: Response) -> Response:
    # A Retry-After is longer than the delay of a retry here, so the response is returned.
    if request.retry is RetryPolicy.ALWAYS and response.status in _BUSY and response.retry_after is None:
        raise _Busy(response)
    return response


def _may_retry(request: Request, error: Exception) -> bool:
    if isinstance(error, _Busy):
        return True
    if not isinstance(error, TransportFailed) or error.kind in {"unreadable", "intercepted"}:
        return False
    if error.stage == "connecting":
        return True
    if error.stage == "sent":
        return request.retry is not RetryPolicy.UNSENT
    return request.retry is RetryPolicy.ALWAYS


def _checked(response: Response | None, request: Request, url: URL) -> Response:
    if response is None:
        detail = f"The response of {url.host} is larger than {request.limit} bytes."
        raise TransportFailed("unreadable", "answered", detail)
    if 300 <= response.status < 400:
        raise TransportFailed("unreadable", "answered", f"{url.host} sent a redirect, which is not followed.")
    return response


def _is_failure(status: int) -> bool:
    """Return whether a status means that the server does not work. With 501, only this request is not supported."""
    return status >= 500 and status != _NOT_IMPLEMENTED
