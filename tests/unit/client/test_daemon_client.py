"""``DaemonClient`` against a scripted server."""

import re
import threading
import time
from pathlib import Path

import msgspec
import pytest

from tests.support.scripted import HANG, Hanging, Scripted, answer, stream
from tests.support.until import until
from tests.support.world import free_port
from upstash_helper.client import ApiProblem, DaemonClient, DaemonUnreachable, UnexpectedAnswer, WaitTimedOut
from upstash_helper.protocol import discovery, wire
from upstash_helper.protocol.discovery import Discovery
from upstash_helper.protocol.lock import InstanceLock

BYE = "event: bye\ndata: {}\n\n"
ATTEMPT = wire.Attempt(attempt_id="a1", state="pending", expires_at="2026-01-01T00:00:00Z")


def client_of(server: Scripted, *, timeout: float = 10.0) -> DaemonClient:
    return DaemonClient(server.url, "the-token", timeout=timeout)


def as_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def test_token_is_in_the_authorization_header() -> None:
    """It is nowhere else in the request."""
    with Scripted.running(answer("200 OK", '{"state":"disconnected"}')) as server:
        found = client_of(server).connection()

    assert wire.Connection(state="disconnected") == found
    assert server.requests[0].startswith("GET /v1/connection HTTP/1.1\r\n")
    assert "Authorization: Bearer the-token\r\n" in server.requests[0]
    assert 1 == server.requests[0].count("the-token")


UNAUTHORIZED = answer("401 Unauthorized", '{"status":401,"code":"invalid_token","title":"Unauthorized","detail":"No."}')


def test_rejected_token_is_reloaded() -> None:
    """A restarted daemon has another token, with which the request is repeated."""
    with Scripted.running(UNAUTHORIZED, answer("200 OK", '{"state":"disconnected"}')) as server:
        client = DaemonClient(server.url, "the-old-token", reload_token=lambda: "the-new-token")

        found = client.connection()

    assert wire.Connection(state="disconnected") == found
    assert "Authorization: Bearer the-old-token\r\n" in server.requests[0]
    assert "Authorization: Bearer the-new-token\r\n" in server.requests[1]


@pytest.mark.parametrize("newer", ["the-token", None])
def test_rejected_token_without_a_newer_one_is_an_error(newer: str | None) -> None:
    """The daemon's error is raised, and the request is not repeated."""
    with Scripted.running(UNAUTHORIZED) as server, pytest.raises(ApiProblem, match="No"):
        DaemonClient(server.url, "the-token", reload_token=lambda: newer).connection()

    assert 1 == len(server.requests)


def test_request_is_repeated_only_once() -> None:
    """The newer token is rejected as well."""
    with Scripted.running(UNAUTHORIZED, UNAUTHORIZED) as server, pytest.raises(ApiProblem, match="No"):
        DaemonClient(server.url, "the-old-token", reload_token=lambda: "the-new-token").connection()

    assert 2 == len(server.requests)


@pytest.mark.parametrize("left_behind", [True, False])
def test_daemon_that_is_starting_is_waited_for(tmp_path: Path, *, left_behind: bool) -> None:
    """
    It answers shortly before it has replaced the discovery file, which on Windows may take a second. Until then, the
    file is that of an earlier daemon, or there is none.
    """

    def announce(token: str, url: str) -> None:
        found = Discovery(
            pid=1, port=int(url.rpartition(":")[2]), base_url=url, owner_token=token, version="1", api_version=1
        )
        discovery.write(tmp_path, found)

    def replace_when_rejected() -> None:
        until(lambda: server.requests)
        if not left_behind:
            discovery.remove(tmp_path)
        time.sleep(0.05)  # the client has read it by then
        announce("the-new-token", server.url)

    with (
        InstanceLock(tmp_path),
        Scripted.running(UNAUTHORIZED, answer("200 OK", '{"state":"disconnected"}')) as server,
    ):
        announce("the-old-token", server.url)
        client = DaemonClient.discover(tmp_path)
        starting = threading.Thread(target=replace_when_rejected)
        starting.start()
        found = client.connection()
        starting.join()

    assert wire.Connection(state="disconnected") == found
    assert ["old", "new"] == re.findall("the-([a-z]+)-token", "".join(server.requests))


def test_unset_properties_are_not_sent() -> None:
    """The body of a change contains only the properties that change."""
    database = wire.Database(
        id="1", name="n", state="active", host="h", port=1, tls=True, rest_url="https://h", plan="free",
        primary_region="us-east-1", read_regions=(), eviction=True, auto_upgrade=False, daily_backup=False,
        budget=None, created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    with Scripted.running(answer("200 OK", as_json(database))) as server:
        found = client_of(server).change_database("a/b", wire.ChangeDatabase(eviction=True))

    head, _, body = server.requests[0].partition("\r\n\r\n")
    assert database == found
    assert head.startswith("PATCH /v1/databases/a%2Fb HTTP/1.1\r\n")
    assert "\r\nContent-Type: application/json" in head
    assert '{"eviction":true}' == body


def test_error_answer_has_its_code_and_detail() -> None:
    """The code is for programs, and the detail is the message."""
    problem = '{"status":409,"code":"not_connected","title":"Conflict","detail":"Connect first.","retry_after":3}'
    with (
        Scripted.running(answer("409 Conflict", problem, kind="application/problem+json")) as server,
        pytest.raises(ApiProblem) as caught,
    ):
        client_of(server).regions()

    assert ("not_connected", 409, "Connect first.") == (caught.value.code, caught.value.status, str(caught.value))
    assert 3 == caught.value.problem.retry_after


@pytest.mark.parametrize(
    "response",
    [
        answer("200 OK", "<html>"),
        answer("200 OK", '{"state":"no such state"}'),
        answer("200 OK", ""),
        answer("500 Internal Server Error", "oops", kind="text/plain"),
        answer("404 Not Found", '{"error":"another program"}'),
    ],
)
def test_answer_of_another_program_is_unexpected(response: bytes) -> None:
    """The error names the address."""
    with Scripted.running(response) as server, pytest.raises(UnexpectedAnswer, match=server.url):
        client_of(server).connection()


@pytest.mark.parametrize(
    "response", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", b"SSH-2.0-OpenSSH\r\n", b"\r\n"]
)
def test_broken_connection_is_unreachable(response: bytes) -> None:
    """The error contains the command that starts the daemon."""
    with Scripted.running(response) as server, pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        client_of(server).connection()


def test_hanging_daemon_times_out() -> None:
    """The error contains the command that restarts it."""
    with Scripted.running(HANG) as server, pytest.raises(DaemonUnreachable, match="upstash-helper restart"):
        client_of(server, timeout=0.05).connection()


def test_error_without_a_daemon_contains_the_start_command() -> None:
    """The command names the profile."""
    client = DaemonClient(f"http://127.0.0.1:{free_port()}", None, start_command="upstash-helper --profile x start")

    with pytest.raises(DaemonUnreachable, match=r"not running\. Start it with: upstash-helper --profile x start$"):
        client.health()


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:3000",
        "https://127.0.0.1:3000",
        "http://localhost.evil.example:3000",
        "http://127.0.0.1:3/x",
        "",
    ],
)
def test_only_loopback_addresses_are_accepted(url: str) -> None:
    """The token is sent in plaintext."""
    with pytest.raises(ValueError, match="not the address of a daemon on this machine"):
        DaemonClient(url, "the-token")


def test_token_is_not_in_the_representation() -> None:
    """This includes the representation of its attributes."""
    client = DaemonClient("http://127.0.0.1:3000", "the-token")

    assert "the-token" not in f"{client!r} {vars(client)!r}"


def test_left_over_discovery_file_is_ignored(tmp_path: Path) -> None:
    """The daemon was killed. Another program may have its port by now, and would get the token."""
    with Scripted.running(answer("200 OK", "{}")) as server:
        port = int(server.url.rpartition(":")[2])
        discovery.write(
            tmp_path,
            Discovery(pid=1, port=port, base_url=server.url, owner_token="old", version="0", api_version=1),
        )

        with pytest.raises(DaemonUnreachable, match="not running"):
            DaemonClient.discover(tmp_path)
        with InstanceLock(tmp_path):
            client = DaemonClient.discover(tmp_path)
        assert server.url == client.base_url
        assert [] == server.requests
        client.stop()  # so that the server ends


def test_listing_reads_all_pages() -> None:
    """Page tokens are escaped."""
    first = '{"databases":[],"next_page_token":"a b&c"}'
    with Scripted.running(answer("200 OK", first), answer("200 OK", '{"databases":[]}')) as server:
        found = list(client_of(server).databases(refresh=True))

    assert [] == found
    assert ["GET /v1/databases?refresh=true", "GET /v1/databases?page_token=a+b%26c"] == [
        request.partition(" HTTP/")[0] for request in server.requests
    ]


def test_events_end_when_the_daemon_stops() -> None:
    """The event ``bye`` is not an error, and is not yielded."""
    text = f': hello\n\nid: 1-1\nevent: connection\ndata: {{"state":"connected"}}\n\n{BYE}'
    with Scripted.running(stream(text)) as server:
        found = list(client_of(server).events(last_event_id="1-0"))

    assert [wire.Connection(state="connected")] == [event.data for event in found]
    assert "Last-Event-ID: 1-0\r\n" in server.requests[0]


@pytest.mark.parametrize("complete", [True, False])
def test_broken_stream_is_resumed_after_the_last_event(*, complete: bool) -> None:
    """A stream that ends without ``bye`` is opened again with ``Last-Event-ID``."""
    broken = stream(
        'id: 1-1\nevent: database\ndata: {"change":"created","id":"x","name":"n"}\n\ndata: cut', complete=complete
    )
    with Scripted.running(broken, stream(BYE)) as server:
        found = list(client_of(server).events())

    assert ["1-1"] == [event.id for event in found]
    assert "Last-Event-ID" not in server.requests[0]
    assert "Last-Event-ID: 1-1\r\n" in server.requests[1]


def test_stream_of_a_killed_daemon_is_an_error() -> None:
    """The error contains the command that starts it."""
    with (
        Scripted.running(stream("", complete=False)) as server,
        pytest.raises(DaemonUnreachable, match="Start it with"),
    ):
        list(client_of(server).events())


def test_waiting_returns_an_attempt_that_has_already_ended() -> None:
    """The stream does not contain events from before it was opened."""
    done = msgspec.structs.replace(ATTEMPT, state="succeeded")
    with Scripted.running(stream(""), answer("200 OK", as_json(done))) as server:
        found = client_of(server).wait_for_attempt("a1")

    assert done == found


def test_waiting_ignores_other_attempts() -> None:
    """Only a final state of the given attempt ends it."""
    other = msgspec.structs.replace(ATTEMPT, attempt_id="a0", state="succeeded")
    mine = msgspec.structs.replace(ATTEMPT, state="failed", reason="access_denied")
    text = "".join(f"event: attempt\ndata: {as_json(one)}\n\n" for one in (other, ATTEMPT, mine))
    with Scripted.running(stream(text), answer("200 OK", as_json(ATTEMPT))) as server:
        found = client_of(server).wait_for_attempt("a1")

    assert mine == found


def test_events_time_out() -> None:
    """A stream without events ends after the timeout."""
    with Scripted.running(Hanging(stream(": hello\n\n", complete=False))) as server, pytest.raises(WaitTimedOut):
        list(client_of(server).events(timeout=0.05))
