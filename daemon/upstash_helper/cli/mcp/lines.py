"""
The messages on the standard streams: one JSON-RPC 2.0 object per line.

The streams are used without Python's buffers: a thread that is blocked in one holds its lock when the process ends.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from upstash_helper.protocol.mcp import META_PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE_BYTES: Final = 128 * 1024
"""
The longest body that the daemon accepts. For a longer one, the connection would end before the error can be read.
"""
_READ_BYTES: Final = 1 << 16

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
REFUSED: Final = -32000
"""In the range that JSON-RPC reserves for servers, as in the daemon."""


class Invalid(Exception):
    """A line is not a message."""

    def __init__(self, code: int, message: str, request_id: object = None) -> None:
        """
        Args:
            code: The JSON-RPC error.
            message: What is wrong, as a sentence.
            request_id: The ID of the message, if it has a valid one.
        """
        super().__init__(message)
        self.code: Final = code
        self.request_id: Final = request_id


class ClientInfo(msgspec.Struct, frozen=True):
    """What a client says about itself."""

    name: str = ""


class Meta(msgspec.Struct, frozen=True):
    """The metadata of a message that the bridge needs."""

    version: str | None = msgspec.field(default=None, name=f"{META_PREFIX}protocolVersion")
    client: ClientInfo | None = msgspec.field(default=None, name=f"{META_PREFIX}clientInfo")
    progress_token: str | int | None = msgspec.field(default=None, name="progressToken")


class Params(msgspec.Struct, frozen=True):
    """The parameters of a message that the bridge needs."""

    meta: Meta = msgspec.field(default=Meta(), name="_meta")
    name: str | None = None
    uri: str | None = None
    version: str | None = msgspec.field(default=None, name="protocolVersion")
    client: ClientInfo | None = msgspec.field(default=None, name="clientInfo")
    request_id: Any = msgspec.field(default=None, name="requestId")
    notifications: Any = None


class _Fields(msgspec.Struct, frozen=True):
    jsonrpc: Any = None
    id: Any = None
    method: Any = msgspec.UNSET
    params: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class Message(NamedTuple):
    """A message from the client or the daemon."""

    kind: Literal["request", "notification", "response"]
    body: bytes
    id: str | int | None = None
    method: str = ""
    params: Params = Params()
    result: msgspec.Raw = msgspec.Raw(b"")

    @property
    def is_stateless(self) -> bool:
        """Whether it carries its version, as all requests do since 2026-07-28."""
        return self.params.meta.version is not None


def parse(line: bytes) -> Message:
    """
    Parse a message.

    Raises:
        Invalid: If it is not a message.
    """
    try:
        fields = msgspec.json.decode(line, type=_Fields)
    except msgspec.ValidationError:
        raise Invalid(INVALID_REQUEST, "A message must be one JSON object. Batches are not supported.") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Invalid(PARSE_ERROR, "The line is not valid JSON in UTF-8.") from None
    except RecursionError:
        raise Invalid(INVALID_REQUEST, "The message is nested too deeply.") from None
    valid_id = fields.id if isinstance(fields.id, str | int) and not isinstance(fields.id, bool) else None
    if fields.jsonrpc != "2.0":
        raise Invalid(INVALID_REQUEST, 'A message must have "jsonrpc": "2.0".', valid_id)
    if fields.id is not None and valid_id is None:
        raise Invalid(INVALID_REQUEST, "The id of a message must be a string or an integer.")
    if fields.method is msgspec.UNSET:
        if valid_id is None or not (fields.result or fields.error):
            text = "A message must have a method, or an id with a result or an error."
            raise Invalid(INVALID_REQUEST, text, valid_id)
        return Message("response", line, valid_id, result=fields.result)
    if not isinstance(fields.method, str):
        raise Invalid(INVALID_REQUEST, "The method must be a string.", valid_id)
    kind: Literal["request", "notification"] = "notification" if valid_id is None else "request"
    return Message(kind, line, valid_id, fields.method, _params(fields.params))


def _params(raw: msgspec.Raw) -> Params:
    # The daemon reports whatever else is wrong with them.
    try:
        return msgspec.json.decode(raw, type=Params) if raw else Params()
    except (msgspec.MsgspecError, RecursionError):
        return Params()


def read_lines(descriptor: int, *, limit: int = MAX_LINE_BYTES) -> Iterator[bytes | Invalid]:
    """
    Yield the lines that are not empty, until the end of the stream. A line that is too long is skipped, and an error is
    yielded for it.
    """
    current = _Line(limit)
    while chunk := _read(descriptor):
        *ended, rest = chunk.split(b"\n")
        for part in ended:
            current.add(part)
            if (line := current.end()) is not None:
                yield line
        current.add(rest)
    if (line := current.end()) is not None:
        yield line


class _Line:
    """A line that is being read. Its memory is limited."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._content = bytearray()
        self._is_too_long = False

    def add(self, part: bytes) -> None:
        """Add to it."""
        self._is_too_long = self._is_too_long or len(self._content) + len(part) > self._limit
        if self._is_too_long:
            self._content.clear()
        else:
            self._content += part

    def end(self) -> bytes | Invalid | None:
        """Return it, or None if it is empty, and begin another one."""
        line, was_too_long = bytes(self._content).strip(b" \t\r"), self._is_too_long
        self._content.clear()
        self._is_too_long = False
        if was_too_long:
            return Invalid(INVALID_REQUEST, f"The message is longer than {self._limit} bytes, so it was ignored.")
        return line or None


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        return b""


class Output:
    """Writes messages. Threads may share it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._is_closed = False
        self.on_closed: Callable[[], object] = lambda: None
        """Called when the client has closed the stream."""

    def send(self, body: bytes) -> None:
        """Write a message, which is valid JSON, on one line. Does nothing after the client has closed the stream."""
        # In JSON, a line break is between values. (In strings, it is escaped.)
        line = memoryview(body.replace(b"\r", b" ").replace(b"\n", b" ") + b"\n")
        with self._lock:
            while line and not self._is_closed:
                try:
                    line = line[os.write(self._descriptor, line) :]
                except BlockingIOError:
                    select.select([], [self._descriptor], [])
                except OSError as error:
                    if error.errno == errno.EINTR:
                        continue
                    self._is_closed = True
                    self.on_closed()

    def fail(self, request_id: object, code: int, message: str, /, **data: object) -> None:
        """Write an error response."""
        error: dict[str, object] = {"code": code, "message": message}
        if data:
            error["data"] = data
        self.send(msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "error": error}))

    def succeed(self, request_id: object, result: object) -> None:
        """Write a response."""
        self.send(msgspec.json.encode({"jsonrpc": "2.0", "id": request_id, "result": result}))

    def notify(self, method: str, params: object = None) -> None:
        """Write a notification."""
        message: dict[str, object] = {"jsonrpc": "2.0", "method": method}
        if params is not None:
            message["params"] = params
        self.send(msgspec.json.encode(message))


def warn(text: str) -> None:
    """Write a line for the user to stderr, where clients keep a log."""
    try:
        sys.stderr.write(f"upstash-helper: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        pass  # it cannot be reported anywhere
