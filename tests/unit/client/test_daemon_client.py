from pathlib import Path

import msgspec
import pytest

from tests.support.scripted import HANG, Hanging, Scripted, answer, stream
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


def test_requests_carry_the_token() -> None:
    """
    The token goes into the Authorization header, and nowhere else.
    """
    with Scripted.running(answer("200 OK", '{"state":"disconnected"}')) as server:
        found = client_of(server).connection()

    assert wire.Connection(state="disconnected") == found
    assert server.requests[0].startswith("GET /v1/connection HTTP/1.1\r\n")
    assert "Authorization: Bearer the-token\r\n" in server.requests[0]
    assert 1 == server.requests[0].count("the-token")


TURNED_AWAY = answer("401 Unauthorized", '{"status":401,"code":"invalid_token","title":"Unauthorized","detail":"No."}')


def test_the_token_of_a_daemon_that_was_started_meanwhile_is_taken() -> None:
    """
    A daemon that knows the token no longer is asked once more, with the token that it announces.
    """
    with Scripted.running(TURNED_AWAY, answer("200 OK", '{"state":"disconnected"}')) as server:
        client = DaemonClient(server.url, "the-old-token", renew=lambda: "the-new-token")

        found = client.connection()

    assert wire.Connection(state="disconnected") == found
    assert "Authorization: Bearer the-old-token\r\n" in server.requests[0]
    assert "Authorization: Bearer the-new-token\r\n" in server.requests[1]


@pytest.mark.parametrize("newer", ["the-token", None])
def test_a_token_that_is_not_taken_is_told_where_there_is_no_newer_one(newer: str | None) -> None:
    """
    The daemon's own refusal is passed on, and nothing is asked twice.
    """
    with Scripted.running(TURNED_AWAY) as server, pytest.raises(ApiProblem, match="No"):
        DaemonClient(server.url, "the-token", renew=lambda: newer).connection()

    assert 1 == len(server.requests)


def test_a_newer_token_that_is_not_taken_either_is_told() -> None:
    """
    It is tried once.
    """
    with Scripted.running(TURNED_AWAY, TURNED_AWAY) as server, pytest.raises(ApiProblem, match="No"):
        DaemonClient(server.url, "the-old-token", renew=lambda: "the-new-token").connection()

    assert 2 == len(server.requests)


def test_bodies_leave_out_what_is_not_said() -> None:
    """
    A change names what changes and nothing else.
    """
    made = wire.Database(
        id="1", name="n", state="active", host="h", port=1, tls=True, rest_url="https://h", plan="free",
        primary_region="us-east-1", read_regions=(), eviction=True, auto_upgrade=False, daily_backup=False,
        budget=None, created_at="2026-01-01T00:00:00Z",
    )  # fmt: skip
    with Scripted.running(answer("200 OK", as_json(made))) as server:
        found = client_of(server).change_database("a/b", wire.ChangeDatabase(eviction=True))

    head, _, body = server.requests[0].partition("\r\n\r\n")
    assert made == found
    assert head.startswith("PATCH /v1/databases/a%2Fb HTTP/1.1\r\n")
    assert "\r\nContent-Type: application/json" in head
    assert '{"eviction":true}' == body


def test_problem_has_its_code() -> None:
    """
    What the daemon refuses is an error that programs can tell apart, with the daemon's own words.
    """
    problem = '{"status":409,"code":"not_connected","title":"Conflict","detail":"Connect first.","retry_after":3}'
    with (
        Scripted.running(answer("409 Conflict", problem, kind="application/problem+json")) as server,
        pytest.raises(ApiProblem) as caught,
    ):
        client_of(server).regions()

    assert ("not_connected", 409, "Connect first.") == (caught.value.code, caught.value.status, str(caught.value))
    assert 3 == caught.value.problem.retry_after


@pytest.mark.parametrize(
    "reply",
    [
        answer("200 OK", "<html>"),
        answer("200 OK", '{"state":"no such state"}'),
        answer("200 OK", ""),
        answer("500 Internal Server Error", "oops", kind="text/plain"),
        answer("404 Not Found", '{"error":"another program"}'),
    ],
)
def test_answer_of_another_program_is_named(reply: bytes) -> None:
    """
    An answer that is not of this API is an error that says so, and no crash.
    """
    with Scripted.running(reply) as server, pytest.raises(UnexpectedAnswer, match=server.url):
        client_of(server).connection()


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{", b"SSH-2.0-OpenSSH\r\n", b"\r\n"])
def test_broken_answer_is_unreachable(reply: bytes) -> None:
    """
    A connection that breaks in the middle is an error with the command to go on with.
    """
    with Scripted.running(reply) as server, pytest.raises(DaemonUnreachable, match="upstash-helper start"):
        client_of(server).connection()


def test_silence_ends() -> None:
    """
    A daemon that hangs does not hang its clients.
    """
    with Scripted.running(HANG) as server, pytest.raises(DaemonUnreachable, match="upstash-helper restart"):
        client_of(server, timeout=0.05).connection()


def test_nobody_there_is_a_sentence_with_the_command() -> None:
    """
    Where nothing listens, the error tells how to start the daemon.
    """
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
def test_token_never_leaves_the_machine(url: str) -> None:
    """
    A client is made for a loopback address only: the token goes there in clear.
    """
    with pytest.raises(ValueError, match="not the address of a daemon on this machine"):
        DaemonClient(url, "the-token")


def test_token_does_not_print() -> None:
    """
    The client's representation has no token.
    """
    client = DaemonClient("http://127.0.0.1:3000", "the-token")

    assert "the-token" not in f"{client!r} {vars(client)!r}"


def test_left_over_discovery_file_is_not_believed(tmp_path: Path) -> None:
    """
    A killed daemon's file leads to nobody: by now another program may have its port, and would get the token.
    """
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
        client.stop()  # lets the server end


def test_all_pages_are_listed() -> None:
    """
    Listing goes through every page.
    """
    first = '{"databases":[],"next_page_token":"a b&c"}'
    with Scripted.running(answer("200 OK", first), answer("200 OK", '{"databases":[]}')) as server:
        found = list(client_of(server).databases(refresh=True))

    assert [] == found
    assert ["GET /v1/databases?refresh=true", "GET /v1/databases?page_token=a+b%26c"] == [
        request.partition(" HTTP/")[0] for request in server.requests
    ]


def test_events_end_with_the_daemon() -> None:
    """
    When the daemon says goodbye, following ends without an error.
    """
    text = f': hello\n\nid: 1-1\nevent: connection\ndata: {{"state":"connected"}}\n\n{BYE}'
    with Scripted.running(stream(text)) as server:
        found = list(client_of(server).events(last_event_id="1-0"))

    assert [wire.Connection(state="connected")] == [event.data for event in found]
    assert "Last-Event-ID: 1-0\r\n" in server.requests[0]


@pytest.mark.parametrize("whole", [True, False])
def test_broken_stream_is_resumed_where_it_broke(*, whole: bool) -> None:
    """
    A stream that ends without a goodbye is opened again from the last event on.
    """
    broken = stream(
        'id: 1-1\nevent: database\ndata: {"change":"created","id":"x","name":"n"}\n\ndata: cut', whole=whole
    )
    with Scripted.running(broken, stream(BYE)) as server:
        found = list(client_of(server).events())

    assert ["1-1"] == [event.id for event in found]
    assert "Last-Event-ID" not in server.requests[0]
    assert "Last-Event-ID: 1-1\r\n" in server.requests[1]


def test_stream_of_a_killed_daemon_ends_with_the_sentence() -> None:
    """
    When the daemon dies, following ends with the command that starts it.
    """
    with Scripted.running(stream("", whole=False)) as server, pytest.raises(DaemonUnreachable, match="Start it with"):
        list(client_of(server).events())


def test_waiting_looks_at_what_was_before() -> None:
    """
    An attempt that ended before the stream was open is not waited for.
    """
    done = msgspec.structs.replace(ATTEMPT, state="succeeded")
    with Scripted.running(stream(""), answer("200 OK", as_json(done))) as server:
        found = client_of(server).wait_for_attempt("a1")

    assert done == found


def test_waiting_ends_with_its_own_attempt() -> None:
    """
    Only the end of the attempt that is waited for counts.
    """
    other = msgspec.structs.replace(ATTEMPT, attempt_id="a0", state="succeeded")
    mine = msgspec.structs.replace(ATTEMPT, state="failed", reason="access_denied")
    text = "".join(f"event: attempt\ndata: {as_json(one)}\n\n" for one in (other, ATTEMPT, mine))
    with Scripted.running(stream(text), answer("200 OK", as_json(ATTEMPT))) as server:
        found = client_of(server).wait_for_attempt("a1")

    assert mine == found


def test_waiting_has_an_end() -> None:
    """
    A stream on which nothing happens ends at the time that the caller set.
    """
    with Scripted.running(Hanging(stream(": hello\n\n", whole=False))) as server, pytest.raises(WaitTimedOut):
        list(client_of(server).events(timeout=0.05))
