"""The stdio bridge, with a scripted server in the daemon's place: what it forwards, and what it survives."""

from __future__ import annotations

import base64
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.mcp_bridge import SECONDS, BridgeProcess, stateless, tokens
from tests.support.mcp_server import TOKEN, Break, Call, McpServer, Status, failure
from upstash_helper.cli.mcp.lines import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[McpServer]:
    tokens(tmp_path).save(TOKEN)
    with McpServer.running(tmp_path / "run") as server:
        yield server


@pytest.fixture(name="bridge")
def _bridge(tmp_path: Path, server: McpServer) -> Iterator[BridgeProcess]:
    assert server.token == TOKEN
    with BridgeProcess.running(tmp_path) as bridge:
        yield bridge


# --- forwarding -------------------------------------------------------------------------------------------------------


def test_messages_of_a_session_are_forwarded_with_its_header_fields(server: McpServer, bridge: BridgeProcess) -> None:
    """
    The client is connected at once. The session is opened with its own request before the first message that needs it.
    """
    initialized = bridge.initialize("2025-06-18", name="a certain client")
    listed = bridge.request(2, "tools/list")

    assert ("upstash-helper", "2025-06-18") == (
        initialized["result"]["serverInfo"]["name"],
        initialized["result"]["protocolVersion"],
    )
    assert {"jsonrpc": "2.0", "id": 2, "result": {"tools": [{"name": "redis_list"}]}} == listed
    assert ["initialize", "notifications/initialized", "tools/list"] == [call.method for call in server.calls]
    assert "a certain client" == server.calls[0].message["params"]["clientInfo"]["name"]
    headers = server.calls[-1].headers
    assert ("2025-06-18", "session-1") == (headers["mcp-protocol-version"], headers["mcp-session-id"])
    assert "application/json, text/event-stream" == headers["accept"]


def test_requests_without_a_session_get_the_header_fields_from_their_body(
    server: McpServer, bridge: BridgeProcess
) -> None:
    """For 2026-07-28, the header fields repeat the body, also a name that a header field cannot have as it is."""
    server.on("tools/call", lambda _: {"content": []})
    server.on("resources/read", lambda _: {"contents": []})

    for request_id, name in enumerate(("redis_list", "größe", " padded", "=?base64?eA==?=")):
        bridge.request(request_id, "tools/call", stateless(name=name, arguments={}))
    bridge.request("uri", "resources/read", stateless(uri="upstash://databases/1"))

    named = [call.headers["mcp-name"] for call in server.calls]
    encoded = [f"=?base64?{base64.b64encode(it.encode()).decode()}?=" for it in ("größe", " padded", "=?base64?eA==?=")]
    assert ["redis_list", *encoded, "upstash://databases/1"] == named
    assert {"2026-07-28"} == {call.headers["mcp-protocol-version"] for call in server.calls}
    assert not any("mcp-session-id" in call.headers for call in server.calls)


def test_each_message_of_a_stream_is_one_line(server: McpServer, bridge: BridgeProcess) -> None:
    """All messages of an event stream arrive, in order, each on a line, whatever their layout in the stream was."""
    progress = {"method": "notifications/progress", "params": {"progressToken": 7, "progress": 1}}
    server.on("tools/call", lambda _: iter([progress, progress, {"result": {"content": [{"text": "two\nlines"}]}}]))

    first = bridge.request(1, "tools/call", stateless(name="slow"))
    rest = [bridge.receive(), bridge.receive()]

    assert {"jsonrpc": "2.0", **progress} == first == rest[0]
    assert "two\nlines" == rest[1]["result"]["content"][0]["text"]


def test_requests_run_at_the_same_time(server: McpServer, bridge: BridgeProcess) -> None:
    """A request that takes long does not delay those after it."""
    release = threading.Event()

    def call(call: Call) -> dict[str, Any]:
        if call.message["params"]["name"] == "slow":
            release.wait(SECONDS)
        return {"content": call.message["params"]["name"]}

    server.on("tools/call", call)
    bridge.send(id=1, method="tools/call", params=stateless(name="slow"))
    server.wait_for(lambda: server.calls_of("tools/call"))

    second = bridge.request(2, "tools/call", stateless(name="quick"))
    release.set()

    assert (2, "quick") == (second["id"], second["result"]["content"])
    assert 1 == bridge.receive()["id"]


def test_request_of_the_server_is_relayed_and_the_answer_returned(server: McpServer, bridge: BridgeProcess) -> None:
    """A question to the user goes to the client, and its answer to the daemon, in the session that it belongs to."""

    def ask(_: Call) -> Iterator[dict[str, Any]]:
        yield {"id": 99, "method": "elicitation/create", "params": {"message": "Delete it?"}}
        answers = server.wait_for(lambda: [call for call in server.calls if call.message.get("id") == 99])
        yield {"result": {"content": answers[0].message["result"]["action"]}}

    server.on("tools/call", ask)
    bridge.initialize()

    question = bridge.request(1, "tools/call", {"name": "redis_delete"})
    bridge.send(id=99, result={"action": "decline"})

    assert "Delete it?" == question["params"]["message"]
    assert "decline" == bridge.receive()["result"]["content"]
    assert "session-1" == server.calls[-1].headers["mcp-session-id"]


def test_error_response_is_passed_on(server: McpServer, bridge: BridgeProcess) -> None:
    """A JSON-RPC error arrives as it is, whatever its HTTP status, with the request's ID if it has none."""

    def refuse(_: Call) -> dict[str, Any]:
        raise Status(404, failure(None, -32601, "There is no such method."))

    server.on("some/method", refuse)

    response = bridge.request(5, "some/method", stateless())

    assert {"jsonrpc": "2.0", "id": 5, "error": {"code": -32601, "message": "There is no such method."}} == response


def test_problem_becomes_an_error_response(server: McpServer, bridge: BridgeProcess) -> None:
    """An error of the daemon's gate is an error response with its text and code."""

    def refuse(_: Call) -> dict[str, Any]:
        raise Status(429, {"title": "Too many requests", "detail": "Try again later.", "code": "rate_limited"})

    server.on("tools/list", refuse)

    error = bridge.request(1, "tools/list", stateless())["error"]

    assert "Try again later." == error["message"]
    assert {"code": "rate_limited", "status": 429} == error["data"]


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("era", ["2025-11-25", "2026-07-28"])
def test_cancellation_closes_the_request(era: str, server: McpServer, bridge: BridgeProcess) -> None:
    """
    A canceled request ends at the daemon, and has no response. Only the versions with sessions have a message for it.
    """
    has_session = era == "2025-11-25"

    def endless(_: Call) -> Iterator[dict[str, Any]]:
        while True:
            time.sleep(0.02)
            yield {"method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}

    server.on("tools/call", endless)
    if has_session:
        bridge.initialize()
    params = {"name": "slow"} if has_session else stateless(name="slow")
    bridge.request(1, "tools/call", params)

    bridge.send(method="notifications/cancelled", params={"requestId": 1})
    server.wait_for(lambda: server.closed)
    bridge.send(id=2, method="tools/list", params={} if has_session else stateless())

    received = [bridge.receive()]
    while "result" not in received[-1]:
        received.append(bridge.receive())
    assert [2] == [message["id"] for message in received if "id" in message]
    assert has_session == bool(server.calls_of("notifications/cancelled"))


# --- lines that are not messages --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "code", "request_id"),
    [
        (b"{", -32700, None),
        (b"\xff\xfe", -32700, None),
        (b"[]", -32600, None),
        (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
        (b"5", -32600, None),
        (b'{"id":1,"method":"ping"}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600, 1),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":' + b"[" * 100_000 + b"]" * 100_000 + b"}", -32600, None),
    ],
    ids=["no JSON", "no UTF-8", "array", "batch", "number", "no version", "nothing", "method", "float", "list", "deep"],
)
def test_line_that_is_no_message_gets_an_error(
    line: bytes, code: int, request_id: object, server: McpServer, bridge: BridgeProcess
) -> None:
    """Such a line gets a JSON-RPC error, is not forwarded, and does not end anything."""
    bridge.write(line + b"\r\n\n")

    error = bridge.receive()
    after = bridge.request("after", "tools/list", stateless())

    assert (code, request_id) == (error["error"]["code"], error["id"])
    assert "after" == after["id"]
    assert 1 == len(server.calls)


def test_line_that_is_too_long_is_skipped(server: McpServer, bridge: BridgeProcess) -> None:
    """A line beyond the limit gets an error that names the limit, and the next one is read as usual."""
    bridge.write(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * MAX_LINE_BYTES + b'"}\n')

    error = bridge.receive()["error"]
    after = bridge.request("after", "tools/list", stateless())

    assert -32600 == error["code"]
    assert f"longer than {MAX_LINE_BYTES} bytes" in error["message"]
    assert ("after", 1) == (after["id"], len(server.calls))


def test_id_that_is_in_use_is_refused(server: McpServer, bridge: BridgeProcess) -> None:
    """Two requests in progress cannot have the same ID."""
    release = threading.Event()
    server.on("tools/call", lambda _: {"content": [release.wait(SECONDS)]})
    bridge.send(id=1, method="tools/call", params=stateless(name="slow"))
    server.wait_for(lambda: server.calls)

    error = bridge.request(1, "tools/list", stateless())["error"]
    release.set()

    assert (-32600, "A request with this id is in progress.") == (error["code"], error["message"])
    assert "result" in bridge.receive()


# --- a daemon that restarts -------------------------------------------------------------------------------------------


def test_session_survives_a_restart_of_the_daemon(server: McpServer, bridge: BridgeProcess) -> None:
    """After a restart, the session is opened again with the client's own request, and the client notices nothing."""
    bridge.initialize("2025-06-18", name="a certain client")
    bridge.request(1, "tools/list")
    server.stop()
    server.start()

    response = bridge.request(2, "tools/list")

    assert "result" in response
    methods = [call.method for call in server.calls[3:]]
    assert ["tools/list", "initialize", "notifications/initialized", "tools/list"] == methods
    again = server.calls_of("initialize")[1].message["params"]
    assert ("2025-06-18", "a certain client") == (again["protocolVersion"], again["clientInfo"]["name"])
    assert "session-2" == server.calls[-1].headers["mcp-session-id"]


def test_lost_response_is_requested_again_unless_it_may_have_changed_something(
    server: McpServer, bridge: BridgeProcess
) -> None:
    """If the connection breaks, a list is requested again. A call is not, and the model reads that it may have run."""
    broken: list[str] = []

    def break_once(call: Call) -> dict[str, Any]:
        if call.method not in broken:
            broken.append(call.method)
            raise Break
        return {"content": [], "tools": []}

    server.on("tools/list", break_once)
    server.on("tools/call", break_once)

    listed = bridge.request(1, "tools/list", stateless())
    called = bridge.request(2, "tools/call", stateless(name="redis_run_command"))

    assert [] == listed["result"]["tools"]
    assert called["result"]["isError"]
    assert "It is not known whether the call changed anything." in called["result"]["content"][0]["text"]
    assert (2, 1) == (len(server.calls_of("tools/list")), len(server.calls_of("tools/call")))


def test_answer_to_a_question_of_a_lost_call_is_not_forwarded(server: McpServer, bridge: BridgeProcess) -> None:
    """
    If the call that asked is lost, the client is told that its question is obsolete, and a late answer goes nowhere: it
    could be taken for the answer to another question.
    """

    def ask(call: Call) -> Iterator[dict[str, Any]]:
        name = call.message["params"]["name"]
        yield {"id": f"about {name}", "method": "elicitation/create", "params": {"message": f"Delete {name}?"}}
        if name == "alpha":
            raise Break
        answers = server.wait_for(lambda: [it for it in server.calls if it.message.get("id") == f"about {name}"])
        yield {"result": {"content": answers[0].message["result"]["action"]}}

    server.on("tools/call", ask)
    bridge.initialize()
    bridge.request(1, "tools/call", {"name": "alpha"})
    lost, told = bridge.receive(), bridge.receive()
    bridge.request(2, "tools/call", {"name": "bravo"})

    bridge.send(id="about alpha", result={"action": "accept"})
    bridge.send(id="about bravo", result={"action": "decline"})

    assert (1, True) == (lost["id"], lost["result"]["isError"])
    assert ("notifications/cancelled", "about alpha") == (told["method"], told["params"]["requestId"])
    assert (2, "decline") == ((answered := bridge.receive())["id"], answered["result"]["content"])
    assert [] == [it.message for it in server.calls if it.message.get("id") == "about alpha"]


def test_question_that_the_daemon_has_withdrawn_cannot_be_answered(server: McpServer, bridge: BridgeProcess) -> None:
    """The client is told once, and an answer that crosses that goes nowhere."""

    def ask(_: Call) -> Iterator[dict[str, Any]]:
        yield {"id": "q-1", "method": "elicitation/create", "params": {"message": "Delete it?"}}
        yield {"method": "notifications/cancelled", "params": {"requestId": "q-1"}}
        yield {"result": {"content": "nobody has answered"}}

    server.on("tools/call", ask)
    bridge.initialize()
    received = [bridge.request(1, "tools/call", {"name": "alpha"}), bridge.receive(), bridge.receive()]

    bridge.send(id="q-1", result={"action": "accept"})
    listed = bridge.request(2, "tools/list")

    assert ["elicitation/create", "notifications/cancelled", None] == [it.get("method") for it in received]
    assert 2 == listed["id"]
    assert [] == [it.message for it in server.calls if it.message.get("id") == "q-1"]


def test_subscription_survives_a_restart_of_the_daemon(server: McpServer, bridge: BridgeProcess) -> None:
    """A subscription is opened again, and the client is told to ask for the list again instead of a second time."""

    def listen(call: Call) -> Iterator[dict[str, Any]]:
        meta = {"_meta": {"io.modelcontextprotocol/subscriptionId": call.message["id"]}}
        yield {"method": "notifications/subscriptions/acknowledged", "params": {**meta, "notifications": {}}}
        if len(server.calls_of("subscriptions/listen")) == 1:
            raise Break
        server.wait_for(lambda: server.closed)

    server.on("subscriptions/listen", listen)

    acknowledged = bridge.request("s", "subscriptions/listen", stateless(notifications={"toolsListChanged": True}))
    changed = bridge.receive()

    assert "notifications/subscriptions/acknowledged" == acknowledged["method"]
    assert "notifications/tools/list_changed" == changed["method"]
    assert {"_meta": {"io.modelcontextprotocol/subscriptionId": "s"}} == changed["params"]
    server.note_closed("test")


# --- tokens -----------------------------------------------------------------------------------------------------------


def test_token_of_another_process_is_used_after_a_rotation(
    tmp_path: Path, server: McpServer, bridge: BridgeProcess
) -> None:
    """If the token is not valid any more, and another process has stored a new one, that one is used."""
    bridge.request(1, "tools/list", stateless())
    server.token = "uha_another-token"
    tokens(tmp_path).save(server.token)

    response = bridge.request(2, "tools/list", stateless())

    assert "result" in response


def test_program_in_the_place_of_the_daemon_gets_no_token(server: McpServer, bridge: BridgeProcess) -> None:
    """A program that has the daemon's address and does not know the token never gets to see it."""
    server.token = "uha_not-the-agents"

    response = bridge.request(1, "tools/call", stateless(name="redis_list"))

    assert response["result"]["isError"]
    assert [] == server.calls


# --- the end ----------------------------------------------------------------------------------------------------------


def test_end_of_input_ends_it_and_the_session(server: McpServer, bridge: BridgeProcess) -> None:
    """When the client closes its end, the bridge ends the session and exits with 0, without another line."""
    bridge.initialize()
    bridge.request(1, "tools/list")

    exit_code = bridge.close_stdin()

    assert 0 == exit_code
    assert server.calls_of("DELETE")
    assert bridge.nothing_arrives()


def test_end_of_input_does_not_wait_for_requests(server: McpServer, bridge: BridgeProcess) -> None:
    """A request that takes long does not keep the bridge alive."""
    release = threading.Event()
    server.on("tools/call", lambda _: {"content": [release.wait(SECONDS)]})
    bridge.send(id=1, method="tools/call", params=stateless(name="slow"))
    server.wait_for(lambda: server.calls)
    began = time.monotonic()

    exit_code = bridge.close_stdin()

    assert 0 == exit_code
    assert time.monotonic() - began < SECONDS / 2
    release.set()


def test_responses_arrive_although_the_input_has_ended(tmp_path: Path, server: McpServer) -> None:
    """What was sent before the end of the input is still answered, as in ``printf … | upstash-helper mcp``."""
    with BridgeProcess.running(tmp_path) as bridge:
        bridge.send(id=1, method="tools/list", params=stateless())

        exit_code = bridge.close_stdin()

        assert (0, 1) == (exit_code, bridge.receive()["id"])
    assert 1 == len(server.calls)


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows ends a process without a signal")
@pytest.mark.parametrize(("number", "exit_code"), [("SIGTERM", 0), ("SIGINT", 130)])
def test_signal_ends_it(number: str, exit_code: int, server: McpServer, bridge: BridgeProcess) -> None:
    """A signal ends the bridge like the end of its input."""
    bridge.initialize()
    bridge.request(1, "tools/list")

    os.kill(bridge.pid, getattr(signal, number))

    assert exit_code == bridge.process.wait(SECONDS)
    assert server.calls_of("DELETE")


def test_closed_output_ends_it(server: McpServer, bridge: BridgeProcess) -> None:
    """A client that reads no more has ended."""
    bridge.initialize()
    bridge.stop_reading()
    bridge.send(id=1, method="tools/list")
    bridge.receive()

    bridge.send(id=2, method="tools/list")

    assert 0 == bridge.process.wait(SECONDS)
    assert server.calls_of("DELETE")


def test_standard_output_has_nothing_but_messages(server: McpServer, bridge: BridgeProcess) -> None:
    """Whatever happens, each line of standard output is a JSON-RPC message."""
    server.on("tools/call", lambda _: iter([{"result": {"content": []}}]))
    bridge.write(b"no message\n")
    bridge.send(id=1, method="tools/call", params=stateless(name="x"))
    bridge.send(id=2, method="unknown", params=stateless())

    received = [bridge.receive() for _ in range(3)]

    assert {"2.0"} == {message["jsonrpc"] for message in received}
    assert 0 == bridge.close_stdin()
    assert bridge.nothing_arrives()
    assert TOKEN not in "".join(bridge.stderr)
