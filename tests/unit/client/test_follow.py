"""Following the events for as long as one stream lasts, and ending that from another thread."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted import Hanging, Scripted, stream
from tests.support.until import SECONDS
from upstash_helper.client.daemon import DaemonClient, Tray
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.client.transport import CancelToken

if TYPE_CHECKING:
    from upstash_helper.client.events import Event

OPEN = stream(": upstash-helper\n\n", whole=False)


def test_it_begins_with_a_hello_and_ends_with_the_goodbye() -> None:
    """So whoever follows knows from when on nothing is missed, and why it is over."""
    with Scripted.running(stream("event: bye\ndata: {}\n\n")) as server:
        events = list(DaemonClient(server.url, "t").follow(tray=Tray("xorg", notifies=True)))

    assert ["hello", "bye"] == [event.event for event in events]
    assert "GET /v1/events?tray=xorg&notifies=true" in server.requests[0]


def test_a_stream_that_breaks_just_ends() -> None:
    """It is not taken up again: its daemon may be another one by now."""
    with Scripted.running(OPEN) as server:  # a second time it would be refused
        events = list(DaemonClient(server.url, "t").follow())

    assert ["hello"] == [event.event for event in events]


def test_it_can_be_ended_although_its_reader_is_blocked() -> None:
    """From another thread, without a timeout that wakes the reader up."""
    cancel_token, begun, ended = CancelToken(), threading.Event(), threading.Event()

    def follow(url: str) -> None:
        for _ in DaemonClient(url, "t").follow(cancel_token=cancel_token):
            begun.set()
        ended.set()

    with Scripted.running(Hanging(OPEN)) as server:
        threading.Thread(target=follow, args=(server.url,)).start()
        assert begun.wait(SECONDS)
        cancel_token.cancel()

        assert ended.wait(SECONDS)


def test_one_that_is_not_open_yet_is_ended_as_well() -> None:
    """Whether nobody has answered yet, or not even been asked."""
    cancel_token = CancelToken()

    def follow(url: str) -> list[Event]:
        return list(DaemonClient(url, "t").follow(cancel_token=cancel_token))

    # The kernel takes connections for a server that does not.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        timer = threading.Timer(0.05, cancel_token.cancel)
        timer.start()
        with pytest.raises(DaemonUnreachable):
            follow(url)
        timer.join()
        with pytest.raises(DaemonUnreachable):
            follow(url)
