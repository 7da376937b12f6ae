"""Reading ``GET /v1/events``: server-sent events, as the WHATWG's HTML standard (section 9.2) defines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from upstash_helper.client.errors import UnexpectedAnswer
from upstash_helper.protocol.wire import Attempt, Connection, DatabaseChange
from upstash_helper.protocol.wire_apps import Pairing, RevokedApp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GOODBYE: Final = "bye"
"""The last event of a stream: the daemon is stopping."""

Data = Connection | Attempt | DatabaseChange | Pairing | RevokedApp | dict[str, object] | None

_KINDS: Final[dict[str, type[Connection | Attempt | DatabaseChange | Pairing | RevokedApp]]] = {
    "connection": Connection,
    "attempt": Attempt,
    "database": DatabaseChange,
    "pairing": Pairing,
    "revoked": RevokedApp,
}


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """One event as it came."""

    id: str
    event: str
    data: str


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """
    Something that happened.

    ``data`` is a ``Connection`` (event ``connection``), an ``Attempt`` (``attempt``), a ``DatabaseChange``
    (``database``), a ``Pairing`` (``pairing``: it is new, decided, or over), a ``RevokedApp`` (``revoked``), None
    (``reset``: events were missed, read the state anew), or plain JSON for an event that this version does not know.
    """

    id: str
    event: str
    data: Data


class FrameParser:
    """Puts lines together to events. ``last_id`` is what a resuming reader sends as ``Last-Event-ID``."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id

    def frames(self, lines: Iterable[bytes]) -> Iterator[Frame]:
        """Yield the events of ``lines``. One that the end of the stream cuts off is dropped, as the standard asks."""
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


def typed(frame: Frame) -> Event:
    """
    Return a frame as an event.

    Raises:
        UnexpectedAnswer: If its data is not what this version of the API says.
    """
    try:
        return Event(id=frame.id, event=frame.event, data=_data(frame))
    except msgspec.MsgspecError as error:
        message = f"The daemon sent an event {frame.event!r} that cannot be read: is it of another version?"
        raise UnexpectedAnswer(message) from error


def _data(frame: Frame) -> Data:
    if frame.event in {"reset", GOODBYE}:
        return None
    kind = _KINDS.get(frame.event)
    if kind is None:
        return msgspec.json.decode(frame.data, type=dict[str, object])
    return msgspec.json.decode(frame.data, type=kind)
