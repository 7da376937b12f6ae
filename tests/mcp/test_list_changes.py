"""Streams on which clients of ``/mcp`` learn that a list has changed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest

from tests.mcp.fixture_server import FixtureServer
from tests.mcp.raw_client import ACCEPT, PREFIX, Agent, Stream
from upstash_helper.api.mcp.streams import MAX_STREAMS_PER_AGENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SUBSCRIPTION = f"{PREFIX}subscriptionId"


@contextlib.asynccontextmanager
async def listening(agent: Agent, **wanted: Any) -> AsyncIterator[Stream]:
    """Open ``subscriptions/listen``."""
    async with agent.open("subscriptions/listen", {"notifications": wanted}) as stream:
        yield stream


@contextlib.asynccontextmanager
async def following(server: FixtureServer, legacy: Agent) -> AsyncIterator[Stream]:
    """Open the stream of a session."""
    sent = {"Accept": ACCEPT, "Mcp-Session-Id": str(legacy.session_id)}
    async with server.session.get(server.url, headers=sent) as response:
        assert 200 == response.status
        yield Stream(response)


async def test_subscription_is_acknowledged_with_what_it_will_get(agent: Agent) -> None:
    """First of all, and only with what there is."""
    async with listening(agent, toolsListChanged=True, resourcesListChanged=True, other=1) as stream:
        first = await stream.next()

    assert "notifications/subscriptions/acknowledged" == first["method"]
    assert {"toolsListChanged": True} == first["params"]["notifications"]
    assert {SUBSCRIPTION: 1} == first["params"]["_meta"]


async def test_subscriber_gets_what_it_wanted(server: FixtureServer, agent: Agent) -> None:
    """And nothing else. Each notification has the ID of the subscription."""
    async with listening(agent, promptsListChanged=True) as stream:
        await stream.next()
        server.endpoint.streams.list_changed("tools")
        server.endpoint.streams.list_changed("prompts")
        found = await stream.next()

    assert "notifications/prompts/list_changed" == found["method"]
    assert {SUBSCRIPTION: 1} == found["params"]["_meta"]


async def test_follower_of_a_session_gets_changes(server: FixtureServer, legacy: Agent) -> None:
    """As notifications without parameters."""
    async with following(server, legacy) as stream:
        server.endpoint.streams.list_changed("tools")
        found = await stream.next()

    assert {"jsonrpc": "2.0", "method": "notifications/tools/list_changed"} == found


async def test_change_of_one_app_is_for_that_app(server: FixtureServer, agent: Agent) -> None:
    """Other apps do not learn what the user has decided about it."""
    async with listening(agent, toolsListChanged=True) as stream:
        await stream.next()
        server.endpoint.streams.list_changed("tools", app_id="other")
        server.endpoint.streams.list_changed("tools", app_id="fixture")
        server.events.close()

        messages = [await stream.next() for _ in range(3)]

    assert ["notifications/tools/list_changed", None, None] == [each and each.get("method") for each in messages]


async def test_tools_change_with_the_access_to_the_account(server: FixtureServer, agent: Agent) -> None:
    """Read-only access takes away the tools that write. Other events change nothing."""
    async with listening(agent, toolsListChanged=True) as stream:
        await stream.next()
        server.events.publish("connection", None)
        server.is_read_only = True
        server.events.publish("database", None)
        server.events.publish("connection", None)
        server.events.publish("connection", None)
        server.events.close()

        messages = [await stream.next() for _ in range(3)]

    assert ["notifications/tools/list_changed", None, None] == [each and each.get("method") for each in messages]


async def test_subscription_ends_with_the_daemon(server: FixtureServer, agent: Agent) -> None:
    """With a result, so that the client knows that it ended in order."""
    async with listening(agent, toolsListChanged=True) as stream:
        await stream.next()
        server.events.close()

        last = await stream.next()

    assert {"resultType": "complete", "_meta": {SUBSCRIPTION: 1}} == last["result"]


async def test_stream_ends_with_the_access_of_its_app(server: FixtureServer, agent: Agent, legacy: Agent) -> None:
    """In both eras."""
    async with listening(agent, toolsListChanged=True) as stream, following(server, legacy) as followed:
        await stream.next()
        server.end_access("fixture")

        assert await stream.next() is None
        assert await followed.next() is None


async def test_stream_ends_with_its_session(server: FixtureServer, legacy: Agent) -> None:
    """A client that ends its session needs nothing of it any more."""
    async with following(server, legacy) as stream:
        async with server.session.delete(server.url, headers={"Mcp-Session-Id": str(legacy.session_id)}):
            pass

        assert await stream.next() is None


async def test_app_has_few_streams(server: FixtureServer, agent: Agent, legacy: Agent) -> None:
    """They count among event streams. One that ends makes room."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MAX_STREAMS_PER_AGENT - 1):
            await (await stack.enter_async_context(listening(agent))).next()
        async with listening(agent) as last:
            await last.next()
            refused = await agent.call("subscriptions/listen", {"notifications": {}})
            sent = {"Accept": ACCEPT, "Mcp-Session-Id": str(legacy.session_id)}
            async with server.session.get(server.url, headers=sent) as response:
                pass
        server.events.end("fixture")

    assert (429, -32000) == (refused.status, refused.code)
    assert 429 == response.status
    assert "5" == response.headers["Retry-After"]


@pytest.mark.parametrize("wanted", [{}, {"notifications": []}, {"notifications": None}], ids=str)
async def test_subscription_without_a_filter_is_refused(agent: Agent, wanted: dict[str, Any]) -> None:
    """Before the stream begins."""
    reply = await agent.call("subscriptions/listen", wanted)

    assert -32602 == reply.code
