"""
One request to the daemon.

Over the standard library's ``http.client``: importing aiohttp costs a quarter of a second, and a command line that
takes that long to say "connected" feels broken. It also ignores ``http_proxy``, which must never see a token.
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

from upstash_helper.client.errors import DaemonUnreachable, UnexpectedAnswer, WaitTimedOut, of_problem
from upstash_helper.protocol.wire import Problem

if TYPE_CHECKING:
    from collections.abc import Generator


class Deadline:
    """Begins to run when it is made."""

    def __init__(self, seconds: float | None) -> None:
        """
        Args:
            seconds: How long the call may wait; None: as long as it takes.
        """
        self._ends_at = None if seconds is None else time.monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds that are left; None: no end."""
        return None if self._ends_at is None else max(0.0, self._ends_at - time.monotonic())

    def wait(self, seconds: float) -> bool:
        """Sleep for ``seconds``. Return False, at once, if that is longer than what is left."""
        left = self.left
        if left is not None and seconds > left:
            return False
        time.sleep(seconds)
        return True


class CancelToken:
    """Ends one stream from another thread, although its reader is blocked; used once."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._socket: socket.socket | None = None
        self._hung_up = False

    def cancel(self) -> None:
        """End the stream, at once or as soon as it is open. Returns at once."""
        with self._turn:
            self._hung_up = True
            self._shut_down()

    @contextlib.contextmanager
    def over(self, connected: socket.socket) -> Generator[None]:
        """Be able to end what is read from ``connected``, for the duration of the block."""
        with self._turn:
            self._socket = connected
            if self._hung_up:
                self._shut_down()
        try:
            yield
        finally:
            with self._turn:
                self._socket = None

    def _shut_down(self) -> None:
        # Closing would not wake up a reader on Linux, and the number could be another file's by then.
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)


if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    # FOLDED

# The kernel answers for a listening loopback socket even if the program behind it is busy.
CONNECT_SECONDS: Final = 3.0
# Longer than the daemon waits for Upstash (30 s for a sign-in), so that it is the daemon that says what went wrong.
ANSWER_SECONDS: Final = 45.0

# That it is the helper is said from memory.
HEALTH_SECONDS: Final = 10.0
_MOST_HEALTH_BYTES: Final = 4096

# A line of an event stream is a JSON text of some hundred bytes.
MOST_LINE_BYTES: Final = 1 << 20

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class _Introduction(msgspec.Struct):
    """``Health`` without its defaults: another program's empty object is no introduction."""

    status: Literal["ok"]
    service: Literal["upstash-helper"]


class _Request(NamedTuple):
    method: str
    path: str
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    timeout: float = ANSWER_SECONDS
    cancel_token: CancelToken | None = None


class Transport:
    """
    Sends requests to one address with one token.

    Each request has a connection of its own: on loopback it costs some 50 µs, and a request never meets a kept
    connection that the daemon is just closing, in which case nobody could tell whether it had been carried out.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None,
        *,
        start_command: str,
        prove: bool = False,
        renew: Callable[[], str | None] | None = None,
    ) -> None:
        """
        Args:
            base_url: Where the daemon listens; loopback alone is taken, for the token goes there in clear.
            token: Goes into ``Authorization: Bearer``.
            start_command: What to tell the user to run if nothing is there.
            prove: Send nothing on a connection before ``/health`` has answered on it: port 3000 is many a program's.
            renew: Returns the token of the daemon that runs now, for when the one that there was does not count any
                more: a daemon that is started on demand may be another one with each request.

        Raises:
            ValueError: If ``base_url`` is not of the form ``http://<loopback address>:<port>``.
        """
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK or parts.path not in {"", "/"}:
            message = f"{base_url!r} is not the address of a daemon on this machine, such as http://127.0.0.1:3000."
            raise ValueError(message)
        self.base_url: Final = f"http://{parts.netloc}"
        self._host: Final = parts.hostname
        self._port: Final = parts.port or 80
        self._token = token
        self._start_command: Final = start_command
        self._prove: Final = prove
        self._renew: Final = renew

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
        Send a request and hand out its answer, whose body is still to be read.

        Raises:
            DaemonUnreachable: If nothing answers.
            ApiProblem: If the answer is an error of the API.
            UnexpectedAnswer: If it is an error of something else.
        """
        with self._exchange(_Request(method, path, body, headers, timeout)) as (_, response):
            yield response

    @contextlib.contextmanager
    def stream(
        self, path: str, headers: Mapping[str, str], *, deadline: float | None, cancel_token: CancelToken | None = None
    ) -> Generator[Iterator[bytes]]:
        """
        Open a stream and hand out its lines as they come. A stream that breaks just ends.

        Args:
            path: What to follow.
            headers: Of the request.
            deadline: In terms of ``time.monotonic()``; None waits for ever.
            cancel_token: Ends it from another thread, as if it broke.

        Raises:
            WaitTimedOut: From the lines, at the deadline.
            ClientError: As ``open``.
        """
        with self._exchange(_Request("GET", path, headers=headers, cancel_token=cancel_token)) as (connected, response):
            yield _lines(connected, response, deadline)

    def read(self, response: http.client.HTTPResponse) -> bytes:
        """
        Return the rest of the body.

        Raises:
            DaemonUnreachable: If the connection breaks.
        """
        with self._failures():
            return response.read()

    @contextlib.contextmanager
    def _exchange(self, request: _Request) -> Generator[tuple[socket.socket, http.client.HTTPResponse]]:
        with contextlib.ExitStack() as stack:
            connected, response = stack.enter_context(self._answer(request))
            # What was turned away at the door has not been carried out, so it may be sent once more.
            if response.status == 401 and self._has_newer_token():
                stack.close()
                connected, response = stack.enter_context(self._answer(request))
            self._check(response)
            yield connected, response

    def _has_newer_token(self) -> bool:
        newer = None if self._renew is None else self._renew()
        if newer is None or newer == self._token:
            return False
        self._token = newer
        return True

    @contextlib.contextmanager
    def _answer(self, request: _Request) -> Generator[tuple[socket.socket, http.client.HTTPResponse]]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=CONNECT_SECONDS)
        with contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            with self._failures(sent=False):
                connection.connect()
                connected = connection.sock  # http.client forgets it as soon as the answer has begun
                if request.cancel_token is not None:
                    stack.enter_context(request.cancel_token.over(connected))
                if self._prove:
                    connected.settimeout(HEALTH_SECONDS)
                    self._see_who_answers(connection)
                connected.settimeout(request.timeout)
            with self._failures():
                headers = self._headers(request)
                connection.request(request.method, request.path, body=request.body, headers=headers)
                response = connection.getresponse()
            with response:
                yield connected, response

    def _see_who_answers(self, connection: http.client.HTTPConnection) -> None:
        """Go on only if it is the helper at the other end of this very connection."""
        connection.auto_open = 0  # a new connection may lead elsewhere
        try:
            connection.request("GET", "/health", headers={"Accept": "application/json"})
            with connection.getresponse() as response:
                content = response.read(_MOST_HEALTH_BYTES)
        except http.client.RemoteDisconnected:
            raise
        except http.client.HTTPException:
            raise self._stranger() from None
        if response.status == 200:
            with contextlib.suppress(msgspec.MsgspecError):
                msgspec.json.decode(content, type=_Introduction)
                if response.will_close:
                    raise http.client.NotConnected
                return
        elif response.status >= 400:
            with contextlib.suppress(msgspec.MsgspecError):
                raise of_problem(msgspec.json.decode(content, type=Problem))
        raise self._stranger()

    def _stranger(self) -> UnexpectedAnswer:
        return UnexpectedAnswer(
            f"What answers at {self.base_url} is not upstash-helper, so it was sent no token. Start the helper with:"
            f" {self._start_command} (it names the program that has its port)."
        )

    def _headers(self, request: _Request) -> dict[str, str]:
        sent = {"Accept": "application/json", **(request.headers or {})}
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        if request.body is not None:
            sent["Content-Type"] = "application/json"
        return sent

    def _check(self, response: http.client.HTTPResponse) -> None:
        if response.status < 400:
            return
        with self._failures():
            content = response.read()
        try:
            problem = msgspec.json.decode(content, type=Problem)
        except msgspec.MsgspecError:
            message = (
                f"{self.base_url} answered with status {response.status} and no explanation: it may be another "
                "program, or another version of the daemon."
            )
            raise UnexpectedAnswer(message) from None
        raise of_problem(problem)

    @contextlib.contextmanager
    def _failures(self, *, sent: bool = True) -> Generator[None]:
        try:
            yield
        except TimeoutError as error:
            message = (
                f"The daemon at {self.base_url} does not answer. Restart it: {restart_command(self._start_command)}"
            )
            raise DaemonUnreachable(message, sent=sent) from error
        except ConnectionRefusedError as error:
            raise DaemonUnreachable(not_running(self._start_command)) from error
        except (http.client.HTTPException, OSError) as error:
            message = f"The daemon at {self.base_url} broke off. See its log, or start it again: {self._start_command}"
            raise DaemonUnreachable(message, sent=sent) from error


def _lines(connected: socket.socket, response: http.client.HTTPResponse, deadline: float | None) -> Iterator[bytes]:
    try:
        while True:
            # A connection on loopback does not vanish silently, so no time without a line is too long in itself.
            connected.settimeout(None if deadline is None else max(deadline - time.monotonic(), 0.001))
            line = response.readline(MOST_LINE_BYTES)
            if not line:
                return
            yield line
    except TimeoutError:
        raise WaitTimedOut("What was waited for did not happen in time.") from None
    except (http.client.HTTPException, OSError):
        return


def not_running(start_command: str) -> str:
    """Return the sentence that tells the user that there is no daemon."""
    return f"The daemon is not running. Start it with: {start_command}"


def restart_command(start_command: str) -> str:
    """Return what restarts the daemon that ``start_command`` starts."""
    return f"{start_command.removesuffix('start')}restart"
