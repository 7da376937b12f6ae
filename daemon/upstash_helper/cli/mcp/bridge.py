"""The bridge: reads messages, forwards each in a thread of its own, and writes the responses."""

from __future__ import annotations

import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Final

from upstash_helper.cli.mcp import unapproved
from upstash_helper.cli.mcp.forward import (
    INITIALIZED,
    Canceled,
    Cancellation,
    Forwarder,
    Lost,
    Refused,
    Session,
    TokenRejected,
)
from upstash_helper.cli.mcp.lines import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    REFUSED,
    Invalid,
    Message,
    Output,
    parse,
    read_lines,
    warn,
)
from upstash_helper.cli.mcp.questions import CANCELED, Questions
from upstash_helper.cli.mcp.replies import TooLong
from upstash_helper.cli.mcp.subscriptions import METHOD as SUBSCRIBE
from upstash_helper.cli.mcp.subscriptions import Subscription
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.protocol.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable

    from upstash_helper.cli.mcp.access import Access
    from upstash_helper.cli.mcp.daemon import Daemon

MAX_REQUESTS: Final = 64
"""Maximum requests at the same time. Each has a thread and a connection."""
_DRAIN_SECONDS: Final = 1.0
"""How long requests in progress may take after the client has closed its end."""
_POLL_SECONDS: Final = 0.02
_PROGRESS_SECONDS: Final = 5.0
_HOLD_SECONDS: Final = 60.0
_HOLD_POLL_SECONDS: Final = 2.0
_SIGNAL_SECONDS: Final = 0.5 if sys.platform == "win32" else None
_ATTEMPTS: Final = 3
"""How many tokens are tried for one request: the stored one, one that another process stored, and a new one."""


class _Pending:
    """A request in progress."""

    def __init__(self, message: Message) -> None:
        self.message: Final = message
        self.cancellation: Final = Cancellation()
        self.is_sent = False
        """Whether the daemon is working on it."""

    @property
    def canceled(self) -> threading.Event:
        """Set when it is canceled."""
        return self.cancellation.event


class Bridge:
    """Forwards messages between a client on the standard streams and the daemon."""

    def __init__(self, daemon: Daemon, access: Access, output: Output) -> None:
        """
        Args:
            daemon: The daemon.
            access: The token.
            output: To the client.
        """
        self._daemon = daemon
        self._access = access
        self._output = output
        self._session = Session()
        self._forwarder = Forwarder(daemon, self._session)
        self._lock = threading.Lock()
        self._pending: dict[object, _Pending] = {}
        self._questions = Questions(output)
        self._emptied: list[str] = []
        """
        The lists that were empty without access, for versions with sessions. (Other versions have subscriptions.)
        """
        self._ended = threading.Event()
        output.on_closed = self._ended.set
        access.on_approved = self._announce

    def run(self, descriptor: int) -> int | None:
        """
        Forward messages until the client closes one of its ends, or the process receives a signal. Return the signal,
        if there was one. Must run in the main thread.

        Args:
            descriptor: The file descriptor from which the client's messages are read.
        """
        signals: list[int] = []

        def end(number: int, _frame: object) -> None:
            signals.append(number)
            self._ended.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        threading.Thread(target=self._read, args=(descriptor,), name="reader", daemon=True).start()
        # On Windows, a signal does not end a wait without a timeout.
        while not self._ended.wait(_SIGNAL_SECONDS):
            pass
        self._close()
        return signals[0] if signals else None

    def _close(self) -> None:
        with self._lock:
            pending = tuple(self._pending.values())
        for each in pending:
            each.cancellation.cancel()
        token = self._access.token
        self._access.close()
        if token is not None:
            ending = threading.Thread(target=self._forwarder.end_session, args=(token,), daemon=True)
            ending.start()
            ending.join(_DRAIN_SECONDS)

    # --- messages of the client ---------------------------------------------------------------------------------------

    def _read(self, descriptor: int) -> None:
        try:
            for line in read_lines(descriptor):
                try:
                    if isinstance(line, Invalid):
                        raise line
                    self._take(parse(line))
                except Invalid as error:
                    self._output.fail(error.request_id, error.code, str(error))
            self._drain()
        finally:
            self._ended.set()

    def _drain(self) -> None:
        """Wait for requests in progress, so that ``printf … | upstash-helper mcp`` shows the responses."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while time.monotonic() < deadline and not self._ended.is_set():
            with self._lock:
                busy = [one for one in self._pending.values() if one.message.method != SUBSCRIBE]
            # Those that wait for the user would not be answered in time.
            if not busy or self._access.state == "asking":
                return
            time.sleep(_POLL_SECONDS)

    def _take(self, message: Message) -> None:
        if message.kind == "request":
            self._take_request(message)
            return
        if message.method == CANCELED and not self._cancel(message.params.request_id):
            return
        if message.kind == "response" and not self._questions.take(message, session=self._session.id):
            return  # to a question that is obsolete
        if message.method == INITIALIZED:
            return  # it is sent when the session is opened
        # In order. Without access, there is nothing that it could refer to.
        if (token := self._access.token) is not None:
            self._send_aside(message, token)

    def _take_request(self, message: Message) -> None:
        if message.method != "server/discover":
            # A client that only checks which versions there are may be a short-lived process of its own, so it does not
            # cause a prompt.
            client = message.params.meta.client or message.params.client
            self._access.name_client("" if client is None else client.name)
        pending = _Pending(message)
        with self._lock:
            if message.id in self._pending:
                raise Invalid(INVALID_REQUEST, "A request with this id is in progress.", message.id)
            if len(self._pending) >= MAX_REQUESTS:
                raise Invalid(REFUSED, f"At most {MAX_REQUESTS} requests can be in progress.", message.id)
            self._pending[message.id] = pending
        if message.method == "initialize" and not message.is_stateless:
            self._session.begin(message)
        if (answer := unapproved.answer_at_once(message)) is not None:
            with self._lock:
                del self._pending[message.id]
            self._output.succeed(message.id, answer)
        else:
            threading.Thread(target=self._handle, args=(pending,), name="request", daemon=True).start()

    def _cancel(self, request_id: object) -> bool:
        """Cancel a request. Return whether the daemon has to be notified, as the versions with sessions require."""
        with self._lock:
            pending = self._pending.get(request_id) if isinstance(request_id, str | int) else None
        if pending is None:
            return False
        pending.cancellation.cancel()
        return pending.is_sent and not pending.message.is_stateless

    def _send_aside(self, message: Message, token: str) -> None:
        """Forward a notification or a response. There is no response to it, so failures are not reported either."""
        try:
            self._forwarder.send(message, token, Cancellation(), lambda _: None)
        except TokenRejected:
            self._access.renounce(token)
        except (Canceled, Lost, Refused):
            pass
        except ClientError as error:
            warn(str(error))

    # --- requests -----------------------------------------------------------------------------------------------------

    def _handle(self, pending: _Pending) -> None:
        message = pending.message
        try:
            self._respond(pending)
        except Canceled:
            pass
        except Lost as error:
            text = f"{error} It is not known whether the call changed anything. Check before you repeat it."
            self._fail(message, text)
        except Refused as error:
            self._output.fail(message.id, REFUSED, str(error), code=error.code, status=error.status)
        except ClientError as error:
            self._fail(message, str(error))
        except TooLong:
            self._fail(message, "The daemon's response is too long.")
        except Exception as error:  # noqa: BLE001 - the client must get an answer, whatever it is
            self._output.fail(message.id, INTERNAL_ERROR, f"Internal error ({type(error).__name__}).")
        finally:
            self._questions.end(message.id)
            with self._lock:
                self._pending.pop(message.id, None)

    def _fail(self, message: Message, text: str) -> None:
        """Respond with an error, which the model can read if the request is a tool call."""
        result = unapproved.result_of(message, text) if message.method == "tools/call" else None
        if result is None:
            self._output.fail(message.id, INTERNAL_ERROR, text)
        else:
            self._output.succeed(message.id, result)

    def _respond(self, pending: _Pending) -> None:
        message = pending.message
        if message.method == SUBSCRIBE and message.is_stateless:
            self._subscribe(pending)
            return
        for _ in range(_ATTEMPTS):
            token = self._token_for(pending)
            if pending.canceled.is_set():
                return
            if token is None:
                break
            try:
                pending.is_sent = True
                self._forwarder.send(message, token, pending.cancellation, self._pass_on(message.id))
            except TokenRejected:
                pending.is_sent = False
                self._access.renounce(token)
            else:
                return
        self._respond_without_access(message)

    def _pass_on(self, call: object) -> Callable[[Message], None]:
        return lambda message: self._questions.pass_on(message, call=call, session=self._session.id)

    def _token_for(self, pending: _Pending) -> str | None:
        """Return the token. Wait for the user as long as clients tolerate it for the method, and report progress."""
        message = pending.message
        until = time.monotonic() + unapproved.seconds_for(message.method)
        steps = 0
        while True:
            left = max(0.0, until - time.monotonic())
            token = self._access.wait(min(left, _PROGRESS_SECONDS), canceled=pending.canceled)
            # While it is loading, the daemon starts or fails to, and the model must get the reason.
            is_over = left <= _PROGRESS_SECONDS or self._access.state not in {"loading", "asking"}
            if token is not None or is_over or pending.canceled.is_set():
                return token
            steps += 1
            if (progress := message.params.meta.progress_token) is not None:
                is_asking = self._access.state == "asking"
                text = f"{'Waiting for the user to allow' if is_asking else 'Checking'} access to Upstash."
                params = {"progressToken": progress, "progress": steps, "message": text}
                self._output.notify("notifications/progress", params)

    def _respond_without_access(self, message: Message) -> None:
        explanation = self._access.explanation
        result = unapproved.result_of(message, explanation)
        if result is None:
            self._output.fail(message.id, REFUSED, explanation)
            return
        if message.method in unapproved.CHANGES and not message.is_stateless:
            with self._lock:
                self._emptied.append(message.method)
        self._output.succeed(message.id, result)

    def _announce(self) -> None:
        """Make the client request the lists again that were empty without access."""
        with self._lock:
            methods, self._emptied = self._emptied, []
        for method in methods:
            self._output.notify(unapproved.CHANGES[method])

    # --- subscriptions ------------------------------------------------------------------------------------------------

    def _subscribe(self, pending: _Pending) -> None:
        """Keep a subscription until it is canceled, even while there is no access and while the daemon restarts."""
        subscription = Subscription(pending.message, self._output)
        if self._access.wait(0, canceled=pending.canceled) is None and subscription.can_begin:
            subscription.acknowledge()
        while not pending.canceled.is_set():
            token = self._access.wait(_HOLD_SECONDS, canceled=pending.canceled)
            if token is not None:
                pending.is_sent = True
                self._follow(pending, token, subscription)
                if subscription.is_over:
                    return
                # The daemon has stopped. It is not started just for this.
                while not self._daemon.is_running and not pending.canceled.wait(_HOLD_POLL_SECONDS):
                    pass
            pending.canceled.wait(1.0)

    def _follow(self, pending: _Pending, token: str, subscription: Subscription) -> None:
        message, cancellation = pending.message, pending.cancellation
        try:
            self._forwarder.send(message, token, cancellation, subscription.receive, repeats=False)
        except TokenRejected:
            self._access.renounce(token)
        except (DaemonUnreachable, Lost):
            pass
