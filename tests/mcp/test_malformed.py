"""Malformed messages at ``/mcp``: an error response, whatever they are, and never a failure."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.mcp.raw_client import PREFIX, STATELESS, Agent

if TYPE_CHECKING:
    from tests.mcp.fixture_server import FixtureServer

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
NAMES = st.sampled_from(
    ["test_simple_text", "fixture_add", "fixture_delete", "test://static-text", "test_simple_prompt"]
)
METHODS = st.sampled_from([
    "initialize", "ping", "tools/list", "tools/call", "prompts/list", "prompts/get", "resources/read",
    "resources/list", "server/discover", "subscriptions/listen", "notifications/cancelled", "completion/complete",
])  # fmt: skip
MEMBERS = ("name", "uri", "arguments", "cursor", "inputResponses", "requestState", "protocolVersion", "capabilities")
PARAMS = VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, NAMES | VALUES))
MESSAGES = st.fixed_dictionaries(
    {}, optional={"jsonrpc": st.just("2.0") | VALUES, "id": st.integers(0, 9) | VALUES, "method": METHODS | VALUES,
                  "params": PARAMS, "result": VALUES, "error": VALUES},
)  # fmt: skip

MALFORMED = {
    "empty": b"",
    "no JSON": b"{",
    "no UTF-8": b'{"method": "\xff"}',
    "lone surrogate": b'{"jsonrpc": "2.0", "id": "\\ud800", "method": "ping"}',
    "key twice": b'{"jsonrpc": "2.0", "id": 1, "method": "ping", "method": "tools/list"}',
    "deep": b"[" * 50_000,
    "deep object": b'{"a":' * 20_000,
    "large number": b'{"jsonrpc": "2.0", "id": ' + b"9" * 5_000 + b', "method": "ping"}',
    "infinite number": b'{"jsonrpc": "2.0", "id": 1e999, "method": "ping"}',
    "NaN": b'{"jsonrpc": "2.0", "id": NaN, "method": "ping"}',
}
INVALID: dict[str, Any] = {
    "text": "ping",
    "null": None,
    "batch": [{"jsonrpc": "2.0", "id": 1, "method": "ping"}],
    "no version": {"id": 1, "method": "ping"},
    "version 1": {"jsonrpc": "1.0", "id": 1, "method": "ping"},
    "too deep": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "ping",
        "params": {"a": msgspec.json.decode(b"[" * 80 + b"]" * 80)},
    },
    "null ID": {"jsonrpc": "2.0", "id": None, "method": "ping"},
    "true as ID": {"jsonrpc": "2.0", "id": True, "method": "ping"},
    "fraction as ID": {"jsonrpc": "2.0", "id": 1.5, "method": "ping"},
    "large ID": {"jsonrpc": "2.0", "id": 2**60, "method": "ping"},
    "long ID": {"jsonrpc": "2.0", "id": "x" * 300, "method": "ping"},
    "no method": {"jsonrpc": "2.0", "id": 1},
    "number as method": {"jsonrpc": "2.0", "id": 1, "method": 1},
    "empty method": {"jsonrpc": "2.0", "id": 1, "method": ""},
    "list as parameters": {"jsonrpc": "2.0", "id": 1, "method": "ping", "params": []},
    "result and error": {"jsonrpc": "2.0", "id": 1, "result": {}, "error": {}},
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
async def test_what_is_not_json_is_a_parse_error(agent: Agent, body: bytes) -> None:
    """Without an ID, since none can be read."""
    reply = await agent.post(body)

    assert (400, -32700, None) == (reply.status, reply.code, reply.last["id"])


@pytest.mark.parametrize("message", INVALID.values(), ids=INVALID)
async def test_what_is_no_message_is_an_invalid_request(agent: Agent, message: Any) -> None:
    """In a sentence."""
    reply = await agent.post(message)

    assert (400, -32600) == (reply.status, reply.code)
    assert reply.last["error"]["message"].endswith(".")


async def test_body_above_the_limit_is_refused_before_it_is_read(agent: Agent) -> None:
    """Ten megabytes are not read into memory."""
    reply = await agent.post(io.BytesIO(b" " * 10_000_000))

    assert 413 == reply.status


@given(message=MESSAGES | VALUES)
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_message_is_a_failure(server: FixtureServer, legacy: Agent, message: Any) -> None:
    """In no era. A response to a request has its ID."""
    if not server.answer.done():
        server.answer.set_result(False)
    agent = Agent(server.session, server.url)
    for sender, headers in ((agent, {"MCP-Protocol-Version": STATELESS}), (agent, {}), (legacy, {})):
        reply = await sender.post(message, headers)

        assert reply.status < 500
        assert_errors_are_plain(reply.messages)
    server.events.end("fixture")


@given(method=METHODS, params=st.fixed_dictionaries({}, optional=dict.fromkeys(MEMBERS, NAMES | VALUES)))
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_parameters_are_a_failure(
    server: FixtureServer, legacy: Agent, method: str, params: dict[str, Any]
) -> None:
    """Of a request that is otherwise complete. What a stream would have to wait for is left out."""
    if not server.answer.done():
        server.answer.set_result(False)
    agent = Agent(server.session, server.url)
    about = {f"{PREFIX}protocolVersion": STATELESS, f"{PREFIX}clientCapabilities": {"elicitation": {}}}
    name = params.get("uri" if method == "resources/read" else "name")
    encoded = {"Mcp-Name": name} if isinstance(name, str) and name.isascii() and name.isprintable() else {}
    headers = {"MCP-Protocol-Version": STATELESS, "Mcp-Method": method, **encoded}
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}

    stateless = await agent.post({**message, "params": {**params, "_meta": about}}, headers)
    in_session = await legacy_reply(legacy, message)

    for reply in (stateless, in_session):
        assert reply.status < 500
        assert_errors_are_plain(reply.messages)


async def legacy_reply(legacy: Agent, message: dict[str, Any]) -> Any:
    """Return the response in a session. If it asks, the answer is no."""
    legacy.capabilities = {}
    async with asyncio.timeout(20):
        return await legacy.post(message)


def assert_errors_are_plain(messages: list[Any]) -> None:
    """Nothing of our code is in a response."""
    text = msgspec.json.encode(messages).decode()
    assert "Traceback" not in text
    assert "msgspec" not in text
    assert "-32603" not in text
