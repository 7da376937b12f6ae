"""Parsing server-sent events."""

import msgspec
import pytest

from upstash_helper.client.errors import UnexpectedAnswer
from upstash_helper.client.events import Event, Frame, FrameParser, decode_frame
from upstash_helper.protocol import wire, wire_apps

PAIRING = wire_apps.Pairing(
    id="p",
    identity=wire_apps.Identity(kind="web", name="https://app.example.com", shown="https://app.example.com"),
    claimed_name="Orders",
    user_code="WDJB-MJHT",
    scopes=(wire_apps.RequestedScope(scope="databases:read", meaning="List your databases", strong=False),),
    reason="",
    state="pending",
    all_databases_meaning=None,
    created_at="2026-01-01T00:00:00Z",
    expires_at="2026-01-01T00:02:00Z",
)


def frames(text: str, *, last_id: str = "") -> list[Frame]:
    return list(FrameParser(last_id).frames(text.encode().splitlines(keepends=True)))


def test_event_is_terminated_by_an_empty_line() -> None:
    """Its fields are id, event, and data."""
    found = frames("id: 7-1\nevent: database\ndata: {}\n\n")

    assert [Frame(id="7-1", event="database", data="{}")] == found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data: a\ndata: b\n\n", [Frame(id="", event="message", data="a\nb")]),
        ("data:a\n\n", [Frame(id="", event="message", data="a")]),
        ("data:  a\n\n", [Frame(id="", event="message", data=" a")]),
        ("data: a: b\r\n\r\n", [Frame(id="", event="message", data="a: b")]),
        (": a comment\n\n", []),
        ("event: lonely\n\n", []),
        ("retry: 10\nunknown: x\ndata\n\n", [Frame(id="", event="message", data="")]),
        ("data: cut off", []),
        ("data: cut off\n", []),
        ("event: a\n\ndata: b\n\n", [Frame(id="", event="message", data="b")]),
    ],
)
def test_lines_are_parsed_according_to_the_standard(text: str, expected: list[Frame]) -> None:
    """HTML standard, section 9.2.6."""
    assert expected == frames(text)


def test_last_id_is_kept_for_events_without_one() -> None:
    """It is needed to resume the stream."""
    parser = FrameParser("6-9")

    before = parser.last_id
    found = list(parser.frames([b"data: a\n", b"\n", b"id: 7-1\n", b"data: b\n", b"\n", b"data: c\n", b"\n"]))

    assert "6-9" == before
    assert ["6-9", "7-1", "7-1"] == [frame.id for frame in found]
    assert "7-1" == parser.last_id


@pytest.mark.parametrize(
    ("event", "value"),
    [
        ("connection", wire.Connection(state="disconnected")),
        ("attempt", wire.Attempt(attempt_id="a", state="pending", expires_at="2026-01-01T00:00:00Z")),
        ("database", wire.DatabaseChange(change="created", id="x", name="orders")),
        ("pairing", PAIRING),
        ("revoked", wire_apps.RevokedApp(app_id="a", name="Orders", reason="misused")),
    ],
)
def test_data_of_known_events_is_typed(event: str, value: msgspec.Struct) -> None:
    """The types are those of the API."""
    found = decode_frame(Frame(id="1", event=event, data=msgspec.json.encode(value).decode()))

    assert value == found.data


def test_reset_has_no_data() -> None:
    """It means only that events were missed."""
    assert Event(id="1", event="reset", data=None) == decode_frame(Frame(id="1", event="reset", data="{}"))


def test_data_of_unknown_events_is_plain_json() -> None:
    """A newer daemon may send other events."""
    assert {"a": 1} == decode_frame(Frame(id="", event="weather", data='{"a":1}')).data


@pytest.mark.parametrize("data", ["", "{", '{"state":"no such state"}'])
def test_invalid_data_is_unexpected(data: str) -> None:
    """The error names the event."""
    with pytest.raises(UnexpectedAnswer, match="'connection'"):
        decode_frame(Frame(id="", event="connection", data=data))
