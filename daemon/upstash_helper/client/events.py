"""Parsing ``GET /v1/events``: server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.client.errors import UnexpectedAnswer
from upstash_helper.protocol.wire import Attempt, Connection, DatabaseChange
from upstash_helper.protocol.wire_apps import Confirmation, Pairing, RevokedApp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GOODBYE: Final = "bye"
"""The last event of a stream: the daemon is stopping."""

Data = Connection | Attempt | DatabaseChange | Pairing | Confirmation | RevokedApp | dict[str, object] | None

_TYPES: Final[dict[str, type[Connection | Attempt | DatabaseChange | Pairing | Confirmation | RevokedApp]]] = {
    "connection": Connection,
    "attempt": Attempt,
    "database": DatabaseChange,
    "pairing": Pairing,
    "confirmation": Confirmation,
    "revoked": RevokedApp,
}


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """An event with its data as text."""

    id: str
    event: str
    data: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    An event of the daemon.

    The type of ``data`` depends on ``event``: a ``Connection`` (``connection``), an ``Attempt`` (``attempt``), a
    ``DatabaseChange`` (``database``), a ``Pairing`` that is new, decided, or expired (``pairing``), a
    ``Confirmation`` like that (``confirmation``), a ``RevokedApp`` (``revoked``), None (``reset``: events were missed,
    so the state has to be read again), or plain JSON for an event that this version does not know.
    """

    id: str
    event: str
    data: Data


class FrameParser:
    """Assembles lines into events. ``last_id`` is the ``Last-Event-ID`` for resuming the stream."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id

    def frames(self, lines: Iterable[bytes]) -> Iterator[Frame]:
        """Yield the events in ``lines``. An event that is cut off at the end is dropped, as the standard requires."""
        event, data = "", list[str]()
        for raw in lines:
            line = raw.rstrip(b"\r\n").decode(errors="replace")
            if not line:
                if data:
                    yield Frame(id=self.last_id, event=event or "message", data="\n".join(data))
                event, data = "", []
                continue
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                event = value
            elif field == "data":
                data.append(value)
            elif field == "id" and "\0" not in value:
                self.last_id = value


def decode_frame(frame: Frame) -> Event:
    """
    Decode the data of a frame.

    Raises:
        UnexpectedAnswer: If it does not match this version of the API.
    """
    try:
        return Event(id=frame.id, event=frame.event, data=_data(frame))
    except msgspec.MsgspecError as error:
        message = f"The daemon sent an event {frame.event!r} that cannot be read. It may be a different version."
        raise UnexpectedAnswer(message) from error


def _data(frame: Frame) -> Data:
    if frame.event in {"reset", GOODBYE}:
        return None
    kind = _TYPES.get(frame.event)
    if kind is None:
        return msgspec.json.decode(frame.data, type=dict[str, object])
    return msgspec.json.decode(frame.data, type=kind)
