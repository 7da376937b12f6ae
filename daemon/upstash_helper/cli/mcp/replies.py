"""The daemon's responses at ``/mcp``: one message as JSON, or a stream of events with one message each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from upstash_helper.client.transport import Exchange

MAX_MESSAGE_BYTES: Final = 64 << 20
"""No result is nearly as long. It limits the memory for a stream without line breaks."""


class TooLong(Exception):
    """A message of the stream is too long."""


def messages_of(exchange: Exchange) -> Iterator[bytes]:
    """
    Yield the messages of a response, as they arrive.

    Raises:
        DaemonUnreachable: If the connection breaks within a response that is not a stream. A stream just ends.
        TooLong: If a message is too long.
    """
    if exchange.header("Content-Type").partition(";")[0].strip().lower() == "text/event-stream":
        yield from events(exchange.lines())
    elif body := exchange.read().strip():
        yield body


def events(pieces: Iterable[bytes], *, limit: int = MAX_MESSAGE_BYTES) -> Iterator[bytes]:
    """
    Yield the data of each event (https://html.spec.whatwg.org/#event-stream-interpretation). Events of other types than
    ``message`` and those without data are left out.

    Args:
        pieces: Lines with their ends. A long line may come in several pieces.
        limit: Bytes of the data of one event.

    Raises:
        TooLong: If an event is longer.
    """
    data: list[bytes] = []
    size = 0
    is_message = True
    for line in _whole_lines(pieces, limit):
        if not line:
            if data and is_message and (joined := b"\n".join(data).strip()):
                yield joined
            data, size, is_message = [], 0, True
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            size += len(value)
            if size > limit:
                raise TooLong
            data.append(value)
        elif field == b"event":
            is_message = value == b"message"


def _whole_lines(pieces: Iterable[bytes], limit: int) -> Iterator[bytes]:
    pending = bytearray()
    for piece in pieces:
        pending += piece
        if len(pending) > limit + 16:
            raise TooLong
        if piece.endswith(b"\n"):
            yield bytes(pending).rstrip(b"\r\n")
            pending.clear()
