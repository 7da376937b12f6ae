"""The versions of the protocol at ``/mcp``: what a request must say about itself, and what it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.mcp.raw_client import ACCEPT, PREFIX, STATELESS, WITH_SESSION, Agent
from upstash_helper.api.mcp.sessions import MAX_SESSIONS_PER_APP

if TYPE_CHECKING:
    from tests.mcp.fixture_server import FixtureServer

VERSIONS = [STATELESS, WITH_SESSION, "2025-06-18"]


async def test_discovery_names_the_versions_and_the_capabilities(agent: Agent) -> None:
    """A client without a session learns in one request what there is."""
    result = (await agent.call("server/discover")).result

    assert VERSIONS == result["supportedVersions"]
    assert {"listChanged": True} == result["capabilities"]["tools"]
    assert "complete" == result["resultType"]
    assert "upstash-helper" == result["_meta"][f"{PREFIX}serverInfo"]["name"]


async def test_lists_can_be_kept_for_a_while_by_this_client_only(agent: Agent) -> None:
    """What an app may do is not the same for another one."""
    replies = [await agent.call(method) for method in ("tools/list", "prompts/list", "resources/list")]

    assert {("private", 60_000)} == {(reply.result["cacheScope"], reply.result["ttlMs"]) for reply in replies}


async def test_tools_are_in_a_fixed_order_with_their_schemas(agent: Agent) -> None:
    """The order and the schemas are part of what a model caches."""
    first, second = [(await agent.call("tools/list")).result["tools"] for _ in range(2)]

    assert first == second
    [add] = [tool for tool in first if tool["name"] == "fixture_add"]
    assert "object" == add["inputSchema"]["type"]
    assert ["first", "second"] == add["inputSchema"]["required"]
    assert add["inputSchema"]["additionalProperties"] is False
    assert {"total": {"type": "integer"}} == add["outputSchema"]["properties"]
    assert add["annotations"]["readOnlyHint"] is True


async def test_result_of_a_tool_is_text_and_structured(agent: Agent) -> None:
    """A client that knows no structured content has the same in the text."""
    reply = await agent.tool("fixture_add", {"first": 2, "second": 3})

    assert {"total": 5} == reply.result["structuredContent"]
    assert '{"total":5}' == reply.text


async def test_invalid_arguments_are_a_result_that_the_model_can_correct(agent: Agent) -> None:
    """Each of them is named, and the call does not fail as a request."""
    reply = await agent.tool("fixture_add", {"first": "two", "third": 3})

    assert reply.result["isError"] is True
    assert "/first: Must be a whole number" in reply.text
    assert "/second: Is required." in reply.text
    assert "/third" in reply.text


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"])
async def test_unknown_method_is_not_found(agent: Agent, method: str) -> None:
    """That includes methods of earlier versions."""
    reply = await agent.call(method)

    assert (404, -32601) == (reply.status, reply.code)


@pytest.mark.parametrize("missing", ["protocolVersion", "clientCapabilities"])
async def test_request_without_its_envelope_is_refused(agent: Agent, missing: str) -> None:
    """Each request says which version it speaks, and what its client can do."""
    body, headers = agent.request("tools/list", {})
    del body["params"]["_meta"][f"{PREFIX}{missing}"]

    reply = await agent.post(body, headers)

    assert (400, -32602) == (reply.status, reply.code)
    assert missing in reply.last["error"]["message"]
    assert body["id"] == reply.last["id"]


FORGED = {
    "version": {"MCP-Protocol-Version": WITH_SESSION},
    "method": {"Mcp-Method": "prompts/list"},
    "case of the method": {"Mcp-Method": "TOOLS/CALL"},
    "name": {"Mcp-Name": "fixture_delete"},
    "encoded name": {"Mcp-Name": "=?base64?Zml4dHVyZV9kZWxldGU=?="},
    "malformed encoding": {"Mcp-Name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA?="},
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_header_that_differs_from_the_body_is_refused(agent: Agent, forged: dict[str, str]) -> None:
    """A proxy that decides by the header would otherwise decide about another request."""
    reply = await agent.call("tools/call", {"name": "test_simple_text"}, headers=forged)

    assert (400, -32020) == (reply.status, reply.code)


@pytest.mark.parametrize("name", ["MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"])
async def test_missing_header_is_refused(agent: Agent, name: str) -> None:
    """A proxy cannot be passed by leaving out what it looks at."""
    body, headers = agent.request("tools/call", {"name": "test_simple_text"})
    del headers[name]

    reply = await agent.post(body, headers)

    assert (400, -32020) == (reply.status, reply.code)


async def test_repeated_header_is_refused(server: FixtureServer, agent: Agent) -> None:
    """Programs that read the first of two and programs that read the last would disagree."""
    body, headers = agent.request("tools/call", {"name": "test_simple_text"})
    twice = [*headers.items(), ("Mcp-Name", "fixture_delete")]

    async with server.session.post(server.url, json=body, headers=twice) as response:
        reply = await response.json()

    assert (400, -32020) == (response.status, reply["error"]["code"])


async def test_encoded_header_is_compared_with_what_it_stands_for(agent: Agent) -> None:
    """A name can have characters that a header cannot."""
    encoded = {"Mcp-Name": "=?base64?dGVzdF9zaW1wbGVfdGV4dA==?="}

    reply = await agent.call("tools/call", {"name": "test_simple_text"}, headers=encoded)

    assert 200 == reply.status


async def test_unknown_version_is_refused_with_the_known_ones(agent: Agent) -> None:
    """The client can choose one of them."""
    about = {"_meta": {f"{PREFIX}protocolVersion": "2099-01-01"}}

    reply = await agent.call("tools/list", about, headers={"MCP-Protocol-Version": "2099-01-01"})

    assert (400, -32022) == (reply.status, reply.code)
    assert {"supported": VERSIONS, "requested": "2099-01-01"} == reply.last["error"]["data"]


async def test_notification_without_a_session_has_no_effect(agent: Agent) -> None:
    """A client cancels a request by closing its stream."""
    body = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}

    reply = await agent.post(body, {"MCP-Protocol-Version": STATELESS})

    assert 202 == reply.status


@pytest.mark.parametrize("version", [WITH_SESSION, "2025-06-18"])
async def test_session_has_the_version_that_the_client_asked_for(server: FixtureServer, version: str) -> None:
    """Both versions with sessions are spoken."""
    agent = Agent(server.session, server.url)

    begun = await agent.initialize(version)

    assert version == begun.result["protocolVersion"]
    assert "Hello" not in str(begun.result)
    assert "test_simple_text" == (await agent.call("tools/list")).result["tools"][0]["name"]


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", STATELESS, "2099-01-01"])
async def test_session_of_another_version_gets_the_newest(server: FixtureServer, version: str) -> None:
    """The client decides whether it can speak it."""
    begun = await Agent(server.session, server.url).initialize(version)

    assert WITH_SESSION == begun.result["protocolVersion"]


async def test_results_in_a_session_have_nothing_of_the_later_version(legacy: Agent) -> None:
    """Some clients refuse members that they do not know."""
    result = (await legacy.call("tools/list")).result

    assert {"tools"} == set(result)


async def test_ping_is_answered_in_a_session(legacy: Agent) -> None:
    """Clients find out in this way whether the server responds."""
    assert {} == (await legacy.call("ping")).result


async def test_unknown_method_in_a_session_is_not_the_end_of_the_session(legacy: Agent) -> None:
    """To such a client a 404 means that its session has ended."""
    reply = await legacy.call("no/such")

    assert (200, -32601) == (reply.status, reply.code)


async def test_unknown_session_is_not_found(legacy: Agent) -> None:
    """The client then begins another one."""
    legacy.session_id = "made-up"

    assert 404 == (await legacy.call("tools/list")).status


async def test_session_of_another_app_is_not_found(server: FixtureServer, legacy: Agent) -> None:
    """An ID that leaks is worth nothing to another app."""
    other = Agent(server.session, server.url, {"Fixture-Caller": "other"}, session_id=legacy.session_id)

    assert 404 == (await other.call("tools/list")).status
    assert 200 == (await legacy.call("tools/list")).status


async def test_number_of_sessions_is_limited(server: FixtureServer, legacy: Agent) -> None:
    """The one that was not used for longest ends, and other apps keep theirs."""
    other = Agent(server.session, server.url, {"Fixture-Caller": "other"})
    await other.initialize()
    for _ in range(MAX_SESSIONS_PER_APP - 1):
        await Agent(server.session, server.url).initialize()
    before = (await legacy.call("ping")).status
    first_of_the_rest = Agent(server.session, server.url)
    await first_of_the_rest.initialize()

    for _ in range(MAX_SESSIONS_PER_APP - 1):
        await Agent(server.session, server.url).initialize()

    assert 200 == before
    assert 404 == (await legacy.call("ping")).status
    assert 200 == (await first_of_the_rest.call("ping")).status
    assert 200 == (await other.call("ping")).status


async def test_deleted_session_is_not_found(server: FixtureServer, legacy: Agent) -> None:
    """A client can end its session."""
    sent = {"Mcp-Session-Id": str(legacy.session_id)}

    async with server.session.delete(server.url, headers=sent) as response:
        assert 204 == response.status

    assert 404 == (await legacy.call("tools/list")).status


async def test_request_without_a_session_and_without_an_envelope_is_refused(agent: Agent) -> None:
    """It belongs to neither era."""
    reply = await agent.post({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})

    assert (400, -32000) == (reply.status, reply.code)


async def test_unsupported_version_in_a_session_is_refused(legacy: Agent) -> None:
    """As those versions require."""
    reply = await legacy.call("tools/list", headers={"MCP-Protocol-Version": "2024-11-05"})

    assert 400 == reply.status


async def test_batch_is_refused(legacy: Agent) -> None:
    """No version that is spoken here has batches."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "ping"}

    reply = await legacy.post([message, message])

    assert (400, -32600) == (reply.status, reply.code)


async def test_page_of_the_list_of_tools_continues_after_its_cursor(agent: Agent) -> None:
    """The cursor is what the previous page ended with; another one is refused."""
    tools = [tool["name"] for tool in (await agent.call("tools/list")).result["tools"]]

    rest = (await agent.call("tools/list", {"cursor": tools[3]})).result["tools"]
    invalid = await agent.call("tools/list", {"cursor": "made-up"})

    assert tools[4:] == [tool["name"] for tool in rest]
    assert -32602 == invalid.code


async def test_client_that_accepts_neither_form_of_a_response_is_refused(agent: Agent) -> None:
    """It could not read the response."""
    reply = await agent.call("tools/list", headers={"Accept": "text/html"})

    assert 406 == reply.status


async def test_client_that_accepts_only_json_gets_json(agent: Agent) -> None:
    """Messages before the result are left out."""
    sent: dict[str, Any] = {"name": "test_tool_with_progress", "_meta": {"progressToken": "t"}}

    reply = await agent.call("tools/call", sent, headers={"Accept": "application/json"})

    assert reply.headers["Content-Type"].startswith("application/json")
    assert "Done." == reply.text


async def test_progress_precedes_the_result(agent: Agent) -> None:
    """With the token that the client has chosen."""
    reply = await agent.call("tools/call", {"name": "test_tool_with_progress", "_meta": {"progressToken": 7}})

    assert [(7, 0), (7, 50), (7, 100)] == [
        (it["params"]["progressToken"], it["params"]["progress"]) for it in reply.messages[:-1]
    ]
    assert "Done." == reply.text


@pytest.mark.parametrize("tool", ["fixture_fault", "fixture_unencodable"])
async def test_bug_in_a_tool_is_an_error_that_quotes_nothing(agent: Agent, legacy: Agent, tool: str) -> None:
    """The message of an exception may have a secret."""
    replies = [await client.tool(tool) for client in (agent, legacy)]

    assert [(200, -32603)] * 2 == [(reply.status, reply.code) for reply in replies]
    assert "secret" not in str(replies)


async def test_former_name_of_a_tool_is_answered_and_not_listed(server: FixtureServer, agent: Agent) -> None:
    """So that an agent's saved instructions keep working."""
    listed = [tool["name"] for tool in (await agent.call("tools/list")).result["tools"]]
    server.answer.set_result(True)

    reply = await agent.tool("fixture_delete_old_name", {"name": "orders"})

    assert "fixture_delete_old_name" not in listed
    assert "Deleted orders." == reply.text


async def test_tool_without_its_scope_is_neither_listed_nor_called(server: FixtureServer, agent: Agent) -> None:
    """The response names the scope, so that a client can ask for it."""
    server.scopes["fixture"] = ("databases:read",)

    listed = [tool["name"] for tool in (await agent.call("tools/list")).result["tools"]]
    reply = await agent.tool("fixture_delete", {"name": "orders"})

    assert "fixture_delete" not in listed
    assert "fixture_add" in listed
    assert (403, -32000) == (reply.status, reply.code)
    challenge = reply.headers["WWW-Authenticate"]
    assert 'error="insufficient_scope", scope="databases:delete"' in challenge
    assert "/.well-known/oauth-protected-resource/mcp" in challenge
    assert [] == server.fixture.deleted


async def test_client_of_an_earlier_version_is_told_all_scopes_to_request(server: FixtureServer, legacy: Agent) -> None:
    """It requests exactly these, and would lose the others."""
    server.scopes["fixture"] = ("connection:read", "databases:read")

    reply = await legacy.tool("fixture_delete", {"name": "orders"})

    assert 403 == reply.status
    assert 'scope="connection:read databases:read databases:delete"' in reply.headers["WWW-Authenticate"]


async def test_read_only_account_has_no_tool_that_writes(server: FixtureServer, agent: Agent) -> None:
    """Neither in the list nor by its name."""
    server.is_read_only = True

    listed = (await agent.call("tools/list")).result["tools"]
    reply = await agent.tool("fixture_delete", {"name": "orders"})

    assert {True} == {tool["annotations"]["readOnlyHint"] for tool in listed}
    assert reply.result["isError"] is True
    assert "read_only_access" in reply.text
    assert [] == server.asked


async def test_get_is_answered_only_in_a_session(server: FixtureServer) -> None:
    """The later version has ``subscriptions/listen`` instead."""
    sent = {"Accept": ACCEPT}
    async with server.session.get(server.url, headers=sent) as without:
        pass
    async with server.session.get(server.url, headers={**sent, "MCP-Protocol-Version": STATELESS}) as stateless:
        pass
    async with server.session.get(server.url, headers={**sent, "Mcp-Session-Id": "made-up"}) as unknown:
        pass

    assert [400, 405, 404] == [without.status, stateless.status, unknown.status]
    assert "POST" == stateless.headers["Allow"]
