"""One client's connection, and the connection to the server that it is forwarded to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from upstash_helper.sandbox.errors import ServerError
from upstash_helper.sandbox.redis.dialect.commands import translate
from upstash_helper.sandbox.redis.dialect.translation import Dialect, Refused, Translation
from upstash_helper.sandbox.redis.gateway.blocking import COMMANDS as BLOCKING_COMMANDS
from upstash_helper.sandbox.redis.gateway.blocking import BlockedCommands, timeout_of
from upstash_helper.sandbox.redis.gateway.expectations import NextReply, Replies
from upstash_helper.sandbox.redis.gateway.replies import parse_reply
from upstash_helper.sandbox.redis.gateway.requests import Command, Item, Malformed, Oversized, RequestReader
from upstash_helper.sandbox.redis.gateway.transaction import Transaction, converted
from upstash_helper.sandbox.redis.monitor import Monitors
from upstash_helper.sandbox.redis.resp import encode_command

LINGER_SECONDS = 1.0
"""How long a client may take to read an error before its connection is reset."""

MAX_MONITOR_BYTES = 32 * 1024 * 1024
"""How far a monitoring client may fall behind before its connection is closed."""

MONITORING_COMMANDS = frozenset({b"ping", b"quit", b"reset", b"monitor"})
MAY_NOT_MONITOR = b"-NOPERM User has no permissions to run the 'monitor' command\r\n"
AUTHENTICATING = frozenset({b"auth", b"hello"})
SUBSCRIBING = frozenset({b"subscribe", b"psubscribe", b"ssubscribe"})
CONNECTION_COMMANDS = (
    frozenset({b"multi", b"exec", b"discard", b"reset", b"client", b"monitor"}) | AUTHENTICATING | SUBSCRIBING
)
"""They change the state of a connection that the gateway has to know."""


class Host(Protocol):
    """What a client's connection needs from the database."""

    dialect: Dialect
    monitors: Monitors

    @property
    def special(self) -> frozenset[bytes]:
        """The commands, in lower case, that a client's connection has to look at."""

    @property
    def socket(self) -> Path:
        """The Unix socket of the server."""

    async def ensure_running(self) -> None:
        """
        Start the server if it is not running.

        Raises:
            ServerError: If it does not start.
        """

    async def may_monitor(self, user: bytes) -> bool:
        """
        Return whether a user may use MONITOR.

        Raises:
            ServerError: If the server does not respond.
        """

    def wake(self) -> None:
        """Make the server check for expired timeouts."""

    def opened(self, client: ClientConnection) -> None:
        """Record a new connection."""

    def closed(self, client: ClientConnection) -> None:
        """Record that a connection was closed."""


class ClientConnection(asyncio.Protocol):
    """Reads a client's requests, forwards them, and writes the server's replies."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = RequestReader(special=frozenset(), limit=host.dialect.max_request_bytes)
        self._replies = Replies()
        self._blocked = BlockedCommands(host.wake)
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._transaction: Transaction | None = None
        self._protocol = 2
        self._subscribed = False
        self._malformed = False
        """Whether the client has sent something that is not RESP. What follows it is ignored."""
        self._failed = False
        """Whether an error has been written after which the connection is closed."""
        self._silent = False
        """Whether the server sends no replies (CLIENT REPLY OFF)."""
        self._skips_next = False
        """Whether it does not reply to the next command (CLIENT REPLY SKIP)."""
        self._held: list[Item] | None = None
        """What has been read, and waits until it is known whether the client may monitor; None otherwise."""
        self._monitoring = False
        self._authenticated = False
        self._deciding = 0
        """How many times the client has sent AUTH or HELLO that the server has not answered."""
        self._unshown: list[list[bytes]] = []
        """The commands since AUTH. Monitors see them once the server has accepted it."""
        self._id: int | None = None
        self._addresses = (b"", b"")
        """The two ends of the client's connection, as in CLIENT LIST."""

    # --- the client's side ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server, and start it if necessary."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self._transport = transport
        transport.pause_reading()
        self._addresses = _address(transport, "peername"), _address(transport, "sockname")
        self._host.opened(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def data_received(self, data: bytes) -> None:
        """Forward requests."""
        if self._server is None or self._malformed or self._failed:
            return
        self._reader.special = self._host.special
        self._reader.every_command = self._sees_every_command
        self._handle(self._reader.feed(data))

    def _handle(self, items: Iterable[Item]) -> None:
        output: list[bytes] = []
        for item in items:
            if self._held is not None:
                self._held.append(item)
            elif isinstance(item, bytes):
                self._skips_next = False
                output.append(item)
            elif isinstance(item, Command):
                self._forward(item, output)
            elif isinstance(item, Oversized):
                limit = self._reader.limit
                text = b"ERR max request size exceeded. Limit: %d bytes, Actual: %d bytes" % (limit, item.size)
                self._refuse(text, output, silent=self._is_silent())
            else:
                self._end(item, output)
        if self._transaction and not self._transaction.silent:
            self._track(output)
        if output and self._server is not None:
            self._server.write(output[0] if len(output) == 1 else b"".join(output))

    def eof_received(self) -> bool:
        """Tell the server that the client sends nothing more. It may still read."""
        if self._failed or self._transport is None or self._transport.get_extra_info("sslcontext") is not None:
            return False
        self._end_requests()
        return True

    def _end_requests(self) -> None:
        if self._server is not None and not self._server.is_closing():
            self._server.write_eof()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Close the connection to the server."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._server is not None:
            self._server.abort()
        self._blocked.clear()
        self._stop_monitoring()
        addresses = self._host.dialect.addresses
        # A server that was started in the meantime may have given the ID to another client.
        if self._id is not None and addresses.get(self._id) is self._addresses:
            del addresses[self._id]
        self._host.closed(self)

    def pause_writing(self) -> None:
        """Read no more replies until the client has read those it got."""
        if self._server is not None:
            self._server.pause_reading()

    def resume_writing(self) -> None:
        """Read replies again."""
        if self._server is not None and not self._server.is_closing():
            self._server.resume_reading()

    def close(self) -> None:
        """Close the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # --- the server's side ---

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await self._host.ensure_running()
            transport, _ = await loop.create_unix_connection(lambda: _ServerConnection(self), str(self._host.socket))
        except (ServerError, OSError) as error:
            self.fail(b"ERR " + _one_line(error))
            return
        finally:
            self._connecting = None
        self._server = transport
        if self._transport is None or self._transport.is_closing():
            transport.abort()
        else:
            self._transport.resume_reading()

    def replied(self, data: bytes) -> None:
        """Write what the server has sent."""
        if self._transport is not None:
            self._transport.write(data if self._replies.idle else self._replies.edit(data))

    def server_lost(self) -> None:
        """Close the connection after all replies have been written."""
        if self._transport is not None and not self._failed:
            self._transport.close()

    def pause_requests(self, *, paused: bool) -> None:
        """Read no more requests until the server has read those it got, or read them again."""
        if self._transport is not None and not self._transport.is_closing():
            if paused:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def fail(self, text: bytes) -> None:
        """Write an error, and close the connection once the client had the time to read it."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._failed = True
        transport.write(b"-" + text + b"\r\n")
        # With unread data, closing would reset the connection, and the client might not see the error.
        transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)

    # --- commands ---

    def _forward(self, command: Command, output: list[bytes]) -> None:
        name = command.arguments[0].lower()
        silent = self._is_silent()
        try:
            translation = self._translate(name, command.arguments, silent=silent)
        except Refused as refused:
            self._refuse(refused.text, output, silent=silent)
            return
        self._show_later(command.arguments)
        if name in AUTHENTICATING:
            self._reader.authenticated = True  # perhaps not yet: the server decides
        raw = encode_command(*translation.command) if translation else command.raw
        convert = translation.convert if translation else None
        if name == b"client" and self._changes_replies(command.arguments, output):
            return
        if silent:
            self._note_state(name, len(output), silent=True)
            output.append(raw)
        elif self._transaction:
            self._forward_in_transaction(name, raw, translation, output)
        elif name == b"monitor" and len(command.arguments) == 1:
            self._ask_to_monitor(output)
        elif name in AUTHENTICATING:
            self._authenticate(raw, output)
        elif name in BLOCKING_COMMANDS and (timeout := timeout_of(command.arguments)) is not None:
            self._block(raw, timeout, output)
        elif convert:
            self._mark(output)
            self._replies.expect(NextReply(lambda reply: converted(reply, convert, self._protocol)))
            output.append(raw)
        else:
            self._note_state(name, len(output))
            output.append(raw)

    def _is_silent(self) -> bool:
        """Return whether the server does not reply to this command. The next one may have a reply."""
        silent = self._silent or self._skips_next or (self._transaction is not None and self._transaction.silent)
        self._skips_next = False
        return silent

    def _translate(self, name: bytes, arguments: list[bytes], *, silent: bool) -> Translation | None:
        """
        Return the translation of a command.

        Raises:
            Refused: If it is not possible, or not in the state that this connection is in.
        """
        if self._monitoring and name not in MONITORING_COMMANDS:
            raise Refused(b"ERR only PING, QUIT, and RESET are available while monitoring")
        if name == b"monitor" and silent:
            raise Refused(b"ERR MONITOR needs replies")
        return translate(arguments, self._host.dialect)

    def _note_state(self, name: bytes, position: int, *, silent: bool = False) -> None:
        """Record the effect of a command on the connection."""
        if name == b"reset":
            self._reset()
        elif not self._reader.authenticated:
            return  # the server refuses it
        elif name == b"multi":
            self._transaction = Transaction(position, silent=silent, not_begun=self._leave_transaction)
            self._reader.every_command = True
        elif name in {b"exec", b"discard"}:
            self._leave_transaction()
        elif name in SUBSCRIBING:
            self._subscribed = self._replies.subscribed = True

    def _reset(self) -> None:
        self._leave_transaction()
        self._protocol = 2
        self._subscribed = self._silent = self._replies.subscribed = False
        self._authenticated = self._reader.authenticated = False
        self._stop_monitoring()

    def _forward_in_transaction(
        self, name: bytes, raw: bytes, translation: Translation | None, output: list[bytes]
    ) -> None:
        transaction = self._transaction
        assert transaction is not None  # noqa: S101 - for the type checker
        if name in {b"exec", b"discard", b"reset"}:
            if name == b"exec" and transaction.converts:
                self._track(output)
                self._replies.expect(transaction.executed(lambda: self._protocol))
            elif not transaction.tracked:
                self._replies.expect(*transaction.markers())
            self._leave_transaction()
            if name == b"reset":
                self._reset()
        else:
            expected = transaction.add(translation.convert if translation else None)
            if transaction.tracked:
                self._replies.expect(expected)
            else:
                transaction.expected.append(expected)
            if name in SUBSCRIBING:
                self._subscribed = self._replies.subscribed = True  # after EXEC
        output.append(raw)

    def _leave_transaction(self) -> None:
        self._transaction = None
        self._reader.every_command = self._sees_every_command

    @property
    def _sees_every_command(self) -> bool:
        return (
            self._transaction is not None or self._held is not None or self._monitoring or len(self._host.monitors) > 0
        )

    def _track(self, output: list[bytes]) -> None:
        """Expect each reply since MULTI, which is still among the parts that are about to be sent."""
        transaction = self._transaction
        if transaction is None or transaction.tracked:
            return
        transaction.tracked = True
        marker = self._replies.new_marker()
        output.insert(transaction.position, self._replies.encode_marker(marker, fails_transaction=self._subscribed))
        self._replies.expect(marker, *transaction.expected)

    def _mark(self, output: list[bytes], replacement: bytes = b"", then: Callable[[], None] | None = None) -> None:
        """Send a marker, so that the reply to the next command can be found."""
        marker = self._replies.new_marker(replacement, then)
        transaction = self._transaction
        if transaction and not transaction.tracked:
            transaction.expected.append(marker)
        else:
            self._replies.expect(marker)
        fails_transaction = transaction is not None or self._subscribed
        output.append(self._replies.encode_marker(marker, fails_transaction=fails_transaction))

    def _refuse(self, text: bytes, output: list[bytes], *, silent: bool = False) -> None:
        """Reply with an error in the place of a command's reply. A transaction fails, as in Redis."""
        if silent:
            output.append(encode_command("refused"))  # unknown to the server, which does not reply either
        else:
            self._mark(output, b"-" + text + b"\r\n")

    def _end(self, malformed: Malformed, output: list[bytes]) -> None:
        """Reply with an error after all other replies, and close the connection."""
        self._malformed = True
        if self._is_silent():
            asyncio.get_running_loop().call_soon(self._end_requests)  # then the server closes the connection
            return

        def fail() -> None:
            asyncio.get_running_loop().call_soon(self.fail, malformed.text)  # after the replies before it

        self._mark(output, then=fail)

    def _block(self, raw: bytes, timeout: float, output: list[bytes]) -> None:
        """Send a command that can block, and a marker that shows when it no longer does."""
        self._blocked.add(timeout)
        output.append(raw)
        self._mark(output, then=self._blocked.finish)

    def _authenticate(self, raw: bytes, output: list[bytes]) -> None:
        """Send AUTH or HELLO, and ask the server for the connection's ID."""
        self._deciding += 1
        self._mark(output)
        self._replies.expect(NextReply(self._authentication_decided))
        output.append(raw)
        if self._id is None:
            self._replies.expect(NextReply(self._identified))
            output.append(encode_command("CLIENT", "ID"))

    def _authentication_decided(self, raw: bytes) -> bytes:
        self._deciding -= 1
        if not raw.startswith(b"-"):
            self._authenticated = self._reader.authenticated = True
            self._show_in_monitors()
        elif not (self._authenticated or self._deciding):
            self._reader.authenticated = self._subscribed = self._replies.subscribed = False
            self._unshown.clear()
        if raw.startswith((b"%", b"*")):  # the reply to HELLO, in the version that it has chosen
            self._protocol = 3 if raw.startswith(b"%") else 2
        return raw

    def _show_later(self, arguments: list[bytes]) -> None:
        """Show a command to monitoring clients, once the client is authenticated."""
        if self._host.monitors and self._reader.authenticated:
            self._unshown.append(arguments)
            if self._authenticated or not self._deciding:
                self._show_in_monitors()

    def _show_in_monitors(self) -> None:
        for arguments in self._unshown:
            self._host.monitors.show(arguments, self._addresses[0])
        self._unshown.clear()

    def _identified(self, raw: bytes) -> bytes:
        reply = parse_reply(raw)
        if isinstance(reply, int):
            self._id = reply
            self._host.dialect.addresses[reply] = self._addresses
        return b""

    def _changes_replies(self, arguments: list[bytes], output: list[bytes]) -> bool:
        """Handle CLIENT REPLY. Return False if it is another command."""
        if len(arguments) != 3 or arguments[1].lower() != b"reply":
            return False
        if self._transaction or not self._reader.authenticated:
            return False  # the server refuses it
        mode = arguments[2].lower()
        if mode not in {b"on", b"off", b"skip"}:
            return False
        if mode != b"skip":
            self._silent = mode == b"off"
        self._skips_next = mode == b"skip"
        output.append(encode_command(*arguments))
        return True

    # --- MONITOR ---

    def _ask_to_monitor(self, output: list[bytes]) -> None:
        """Ask the server who the client is. Nothing more is forwarded until it is known whether it may monitor."""
        self._held = []
        self._reader.every_command = True
        self._mark(output)
        self._replies.expect(NextReply(self._user_known))
        output.append(encode_command("ACL", "WHOAMI"))

    def _user_known(self, raw: bytes) -> bytes:
        user = parse_reply(raw)
        if isinstance(user, bytes):
            self._asking = asyncio.get_running_loop().create_task(self._begin_monitoring(user))
            return b""
        asyncio.get_running_loop().call_soon(self._release)
        return raw if raw.startswith(b"-NOAUTH") else MAY_NOT_MONITOR

    async def _begin_monitoring(self, user: bytes) -> None:
        try:
            allowed = await self._host.may_monitor(user)
        except ServerError as error:
            self.fail(b"ERR " + _one_line(error))
            return
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.write(b"+OK\r\n" if allowed else MAY_NOT_MONITOR)
        if allowed and not self._monitoring:
            self._monitoring = True
            self._host.monitors.add(self._show)
        self._release()

    def _release(self) -> None:
        """Forward what has been read in the meantime."""
        held, self._held = self._held, None
        self._reader.every_command = self._sees_every_command
        self._handle(held or ())

    def _show(self, line: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > MAX_MONITOR_BYTES:
            self._transport.abort()
        else:
            self._transport.write(b"+" + line + b"\r\n")

    def _stop_monitoring(self) -> None:
        self._monitoring = False
        self._host.monitors.remove(self._show)


def _one_line(error: Exception) -> bytes:
    return str(error).replace("\r", " ").replace("\n", " ").encode()


def _address(transport: asyncio.BaseTransport, end: str) -> bytes:
    host, port = (transport.get_extra_info(end) or ("", 0))[:2]
    return f"[{host}]:{port}".encode() if ":" in host else f"{host}:{port}".encode()


class _ServerConnection(asyncio.Protocol):
    """The server's side of a client's connection."""

    def __init__(self, client: ClientConnection) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.replied(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._client.server_lost()

    def pause_writing(self) -> None:
        self._client.pause_requests(paused=True)

    def resume_writing(self) -> None:
        self._client.pause_requests(paused=False)
