"""``DaemonClient.follow``: the events of a single stream, and canceling it from another thread."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.scripted import Hanging, Scripted, stream
from tests.support.until import SECONDS
from upstash_helper.client.daemon import DaemonClient, TrayInfo
from upstash_helper.client.errors import DaemonUnreachable
from upstash_helper.client.transport import CancelToken

if TYPE_CHECKING:
    from upstash_helper.client.events import Event

OPEN = stream(": upstash-helper\n\n", complete=False)


def test_events_begin_with_hello_and_end_with_bye() -> None:
    """After ``hello`` no event is missed. ``bye`` means that the daemon is stopping."""
    with Scripted.running(stream("event: bye\ndata: {}\n\n")) as server:
        events = list(DaemonClient(server.url, "t").follow(tray=TrayInfo("xorg", notifies=True)))

    assert ["hello", "bye"] == [event.event for event in events]
    assert "GET /v1/events?tray=xorg&notifies=true" in server.requests[0]


def test_broken_stream_ends_the_events() -> None:
    """It is not resumed, since the daemon may have been restarted."""
    with Scripted.running(OPEN) as server:  # a second connection would be refused
        events = list(DaemonClient(server.url, "t").follow())

    assert ["hello"] == [event.event for event in events]


def test_cancel_wakes_up_a_blocked_reader() -> None:
    """The reader has no timeout."""
    cancel_token, started, ended = CancelToken(), threading.Event(), threading.Event()

    def follow(url: str) -> None:
        for _ in DaemonClient(url, "t").follow(cancel_token=cancel_token):
            started.set()
        ended.set()

    with Scripted.running(Hanging(OPEN)) as server:
        threading.Thread(target=follow, args=(server.url,)).start()
        assert started.wait(SECONDS)
        cancel_token.cancel()

        assert ended.wait(SECONDS)


def test_cancel_before_the_stream_is_open() -> None:
    """It ends a stream that waits for an answer, and one that is opened afterwards."""
    cancel_token = CancelToken()

    def follow(url: str) -> list[Event]:
        return list(DaemonClient(url, "t").follow(cancel_token=cancel_token))

    # The kernel accepts the connections, and the server never answers.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        timer = threading.Timer(0.05, cancel_token.cancel)
        timer.start()
        with pytest.raises(DaemonUnreachable):
            follow(url)
        timer.join()
        with pytest.raises(DaemonUnreachable):
            follow(url)
