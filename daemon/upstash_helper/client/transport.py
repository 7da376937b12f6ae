"""
One HTTP request to the daemon.

Uses the standard library's ``http.client``: importing aiohttp takes a quarter of a second, which would be noticeable in
every command. It also ignores ``http_proxy``, so that a token never goes to a proxy.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from typing import TYPE_CHECKING, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from upstash_helper.client.errors import ApiProblem, DaemonUnreachable, UnexpectedAnswer, WaitTimedOut, from_problem
from upstash_helper.protocol.discovery import loopback_address
from upstash_helper.protocol.wire import Problem
from upstash_helper.protocol.wire_apps import Proof

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

# The kernel accepts connections to a listening loopback socket even if its program is busy.
CONNECT_SECONDS: Final = 3.0
# Longer than the daemon waits for Upstash (30 s for a sign-in), so that its own error arrives before this timeout.
ANSWER_SECONDS: Final = 45.0
# The daemon answers /health from memory.
HEALTH_SECONDS: Final = 10.0
_MAX_HEALTH_BYTES: Final = 4096
# A line of an event stream is a JSON text of some hundred bytes.
MAX_LINE_BYTES: Final = 1 << 20


def not_running(start_command: str) -> str:
    """Return the message for a daemon that is not running."""
    return f"The daemon is not running. Start it with: {start_command}"


def restart_command(start_command: str) -> str:
    """Return the command that restarts the daemon that ``start_command`` starts."""
    return f"{start_command.removesuffix('start')}restart"


class Deadline:
    """A point in time, counted from when the object is created."""

    def __init__(self, seconds: float | None) -> None:
        """
        Args:
            seconds: Seconds from now; None: no deadline.
        """
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds left, at least 0; None: no deadline."""
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``. If less time is left, return False immediately."""
        left = self.left
        if left is not None and seconds > left:
            return False
        time.sleep(seconds)
        return True


class CancelToken:
    """Ends one stream from another thread, even while its reader is blocked. For a single use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._canceled = False

    def cancel(self) -> None:
        """End the stream, or end it as soon as it is open. Returns immediately."""
        with self._lock:
            self._canceled = True
            self._shut_down()

    @contextlib.contextmanager
    def attached_to(self, connected: socket.socket) -> Generator[None]:
        """Let ``cancel`` end reads from ``connected`` for the duration of the block."""
        with self._lock:
            self._socket = connected
            if self._canceled:
                self._shut_down()
        try:
            yield
        finally:
            with self._lock:
                self._socket = None

    def _shut_down(self) -> None:
        # Closing would not wake up a blocked reader on Linux, and its descriptor could be reused in the meantime.
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


class _TokenUnknown(Exception):
    """The server does not know the token, which has not been sent."""


class _HealthAnswer(msgspec.Struct):
    """``Health`` without default values, so that another program's empty object does not match."""

    status: Literal["ok"]
    service: Literal["upstash-helper"]


class _Request(NamedTuple):
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    timeout: float | None = ANSWER_SECONDS
    cancel_token: CancelToken | None = None


class Exchange:
    """A response, whose body has not been read."""

    def __init__(self, transport: Transport, connected: socket.socket, response: http.client.HTTPResponse) -> None:
        self._transport: Final = transport
        self._socket: Final = connected
        self._response: Final = response
        self.status: Final = response.status

    def header(self, name: str) -> str:
        """Return the value of a header field; empty if it is missing."""
        return self._response.headers.get(name, "")

    def read(self) -> bytes:
        """
        Return the body.

        Raises:
            DaemonUnreachable: If the connection breaks.
        """
        return self._transport.read(self._response)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines of the body. If the connection breaks, the lines end."""
        return _lines(self._socket, self._response, None)


class Transport:
    """
    Sends requests to one address with one token.

    Before the token, each connection carries a challenge, which only a server that knows the token can answer (see
    ``protocol.proof``): another program may have taken the port.

    Each request uses a new connection. On loopback that costs about 50 µs, and a request never goes to a kept-alive
    connection that the daemon is closing, after which it would be unknown whether the request was carried out.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        start_command: str,
        verify_server: bool = False,
        proves: bool = True,
        reload_token: Callable[[], str | None] | None = None,
    ) -> None:
        """
        Args:
            base_url: Address of the daemon. Only loopback is accepted, since the token is sent in plaintext.
            token: Sent as ``Authorization: Bearer``.
            start_command: Command that error messages suggest if the daemon is not running.
            verify_server: Without a token, send nothing on a connection until ``/health`` on it shows that the server
                is the daemon, since port 3000 is used by many programs.
            proves: Whether the server must prove that it knows the token. False only for a daemon of an earlier version
                whose private discovery file says where it runs.
            reload_token: Returns the token of the daemon that is running now. Called when the token is rejected, since
                a socket-activated daemon may be a new process with each request.

        Raises:
            ValueError: If ``base_url`` is not of the form ``http://<loopback address>:<port>``.
        """
        self._host, self._port = loopback_address(base_url)
        authority: Final = urlsplit(base_url).netloc
        self.base_url: Final = f"http://{authority}"
        self._authority: Final = authority.lower()
        self._token = token
        self._start_command: Final = start_command
        self._verify_server: Final = verify_server
        self._proves: Final = proves
        self._reload_token: Final = reload_token

    def __repr__(self) -> str:
        return f"Transport({self.base_url!r})"

    @contextlib.contextmanager
    def open(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> Generator[http.client.HTTPResponse]:
        """
        Send a request and yield the response, whose body has not been read.

        Raises:
            DaemonUnreachable: If there is no answer.
            ApiProblem: If the answer is an error of the API.
            UnexpectedAnswer: If it is any other error.
        """
        with self._exchange(_Request(method, path, body, headers, timeout)) as (_, response):
            yield response

    @contextlib.contextmanager
    def stream(
        self,
        path: str,
        headers: Mapping[str, str],
        *,
        deadline: float | None,
        cancel_token: CancelToken | None = None,
    ) -> Generator[Iterator[bytes]]:
        """
        Open a stream and yield an iterator over its lines. If the connection breaks, the lines end.

        Args:
            path: The resource.
            headers: Request headers.
            deadline: In terms of ``time.monotonic()``; None waits forever.
            cancel_token: Ends the stream from another thread, as if the connection had broken.

        Raises:
            WaitTimedOut: By the iterator, at the deadline.
            ClientError: Like ``open``.
        """
        request = _Request("GET", path, headers=headers, cancel_token=cancel_token)
        with self._exchange(request) as (connected, response):
            yield _lines(connected, response, deadline)

    @contextlib.contextmanager
    def exchange(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        cancel_token: CancelToken | None = None,
    ) -> Generator[Exchange]:
        """
        Send a request and yield the response, whatever its status is.

        Args:
            method: The method.
            path: The resource.
            body: JSON.
            headers: Request headers.
            cancel_token: Ends the exchange from another thread, as if the connection had broken. Without it, the
                response must begin within ``ANSWER_SECONDS``.

        Raises:
            DaemonUnreachable: If there is no answer.
            ApiProblem: If the server does not know the token. The token was not sent.
            UnexpectedAnswer: If it is not the daemon.
        """
        timeout = ANSWER_SECONDS if cancel_token is None else None
        request = _Request(method, path, body, headers, timeout, cancel_token)
        with contextlib.ExitStack() as stack:
            connected, response = self._send_with_current_token(request, stack)
            yield Exchange(self, connected, response)

    def read(self, response: http.client.HTTPResponse) -> bytes:
        """
        Return the rest of the body.

        Raises:
            DaemonUnreachable: If the connection breaks.
        """
        with self._as_client_errors():
            return response.read()

    @contextlib.contextmanager
    def _exchange(self, request: _Request) -> Generator[tuple[socket.socket, http.client.HTTPResponse]]:
        with contextlib.ExitStack() as stack:
            connected, response = self._send_with_current_token(request, stack)
            self._check(response)
            yield connected, response

    def _send_with_current_token(
        self, request: _Request, stack: contextlib.ExitStack, *, again: bool = False
    ) -> tuple[socket.socket, http.client.HTTPResponse]:
        """Send a request. If the token is not valid, it was not carried out, so repeat it with a newer one if any."""
        try:
            connected, response = stack.enter_context(self._send(request))
        except _TokenUnknown:
            if again or not self._has_newer_token():
                raise _token_rejected() from None
        else:
            if response.status != 401 or again or not self._has_newer_token():
                return connected, response
            stack.close()
        return self._send_with_current_token(request, stack, again=True)

    def _has_newer_token(self) -> bool:
        newer = None if self._reload_token is None else self._reload_token()
        if newer is None or newer == self._token:
            return False
        self._token = newer
        return True

    @contextlib.contextmanager
    def _send(self, request: _Request) -> Generator[tuple[socket.socket, http.client.HTTPResponse]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            with self._as_client_errors(sent=False):
                connection.connect()
                connected = connection.sock  # http.client drops its reference when the response begins
                if request.cancel_token is not None:
                    stack.enter_context(request.cancel_token.attached_to(connected))
                if self._verify_server or (self._proves and self._token is not None):
                    connected.settimeout(HEALTH_SECONDS)
                    self._verify(connection)
                connected.settimeout(request.timeout)
            with self._as_client_errors():
                headers = self._headers(request)
                connection.request(request.method, request.path, body=request.body, headers=headers)
                response = connection.getresponse()
            with response:
                yield connected, response

    def _verify(self, connection: http.client.HTTPConnection) -> None:
        """Raise unless the server on this very connection is the daemon, and knows the token if there is one."""
        # Imported here: a command that finds no daemon does not load the hash functions.
        from upstash_helper.protocol import proof

        connection.auto_open = 0  # a new connection may lead to another program
        digest = proof.digest_of(self._token) if self._token is not None and self._proves else None
        nonce = proof.new_nonce()
        path = "/health" if digest is None else f"/v1/proof?key={proof.key_id(digest)}&nonce={nonce}"
        try:
            connection.request("GET", path, headers={"Accept": "application/json", "Host": self._authority})
            with connection.getresponse() as response:
                content = response.read(_MAX_HEALTH_BYTES)
        except http.client.RemoteDisconnected:
            raise
        except http.client.HTTPException:
            raise self._another_program() from None
        if response.status == 200 and self._is_proven(content, digest, nonce):
            if response.will_close:
                raise http.client.NotConnected
            return
        if response.status >= 400:
            with contextlib.suppress(msgspec.MsgspecError):
                problem = msgspec.json.decode(content, type=Problem)
                # A daemon of an earlier version does not have the path, and cannot prove anything.
                if problem.code != "not_found":
                    raise from_problem(problem)
        raise self._another_program()

    def _is_proven(self, content: bytes, digest: bytes | None, nonce: str) -> bool:
        from upstash_helper.protocol import proof

        try:
            if digest is None:
                msgspec.json.decode(content, type=_HealthAnswer)
                return True
            given = msgspec.json.decode(content, type=Proof).proof
        except msgspec.MsgspecError:
            return False
        if given is None:
            raise _TokenUnknown
        return proof.is_valid(given, digest, host=self._authority, nonce=nonce)

    def _another_program(self) -> UnexpectedAnswer:
        return UnexpectedAnswer(
            f"The program at {self.base_url} did not prove that it is the helper, so it was sent no token. Start the "
            f"helper with: {self._start_command} (if its port is taken, that command names the program). If it is an "
            f"earlier version of the helper, update it."
        )

    def _headers(self, request: _Request) -> dict[str, str]:
        headers = {"Accept": "application/json", **(request.headers or {})}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        if request.body is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status < 400:
            return
        with self._as_client_errors():
            content = response.read()
        try:
            problem = msgspec.json.decode(content, type=Problem)
        except msgspec.MsgspecError:
            message = (
                f"{self.base_url} responded with status {response.status} and no explanation. It may be another "
                "program, or another version of the daemon."
            )
            raise UnexpectedAnswer(message) from None
        raise from_problem(problem)

    @contextlib.contextmanager
    def _as_client_errors(self, *, sent: bool = True) -> Generator[None]:
        """Turn errors of the connection into ``DaemonUnreachable``."""
        try:
            yield
        except TimeoutError as error:
            restart = restart_command(self._start_command)
            message = f"The daemon at {self.base_url} does not respond. Restart it with: {restart}"
            raise DaemonUnreachable(message, sent=sent) from error
        except ConnectionRefusedError as error:
            raise DaemonUnreachable(not_running(self._start_command)) from error
        except http.client.IncompleteRead as error:
            message = (
                f"The daemon at {self.base_url} closed the connection in the middle of its response. See its log, or "
                f"start it again with: {self._start_command}"
            )
            raise DaemonUnreachable(message, sent=sent) from error
        except (http.client.HTTPException, OSError) as error:
            message = (
                f"The daemon at {self.base_url} closed the connection. See its log, or start it again with: "
                f"{self._start_command}"
            )
            raise DaemonUnreachable(message, sent=sent) from error


def _token_rejected() -> ApiProblem:
    from upstash_helper.protocol.messages import PROBLEMS

    code: Final = "invalid_token"
    return from_problem(Problem(status=401, code=code, title=PROBLEMS[code].title, detail=PROBLEMS[code].text))


def _lines(connected: socket.socket, response: http.client.HTTPResponse, deadline: float | None) -> Iterator[bytes]:
    try:
        while True:
            # A loopback connection does not vanish silently, so without a deadline a silent stream is not an error.
            connected.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            line = response.readline(MAX_LINE_BYTES)
            if not line:
                return
            yield line
    except TimeoutError:
        raise WaitTimedOut("Timed out while waiting for the daemon.") from None
    except (http.client.HTTPException, OSError):
        return
