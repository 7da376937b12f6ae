"""The REST API's streams of server-sent events."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from yarl import URL

from tests.sandbox.callers import Caller, bearer, send
from tests.support.npm import run_with_client
from tests.support.sandbox import Sandbox
from tests.support.until import SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    import aiohttp

no_valkey = pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no Valkey, and so no MONITOR")
orderly_stop = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: Windows can only kill a program that has no console"
)
ACCEPT = {"Accept": "text/event-stream"}

SUBSCRIBER = """
import { Redis } from "@upstash/redis";

const redis = new Redis({ url: process.env.URL, token: process.env.TOKEN });
const received = [];
const channel = redis.subscribe("chat");
const pattern = redis.psubscribe("user:*");
const confirmed = (stream, type) => new Promise((resolve) => stream.on(type, resolve));
await Promise.all([confirmed(channel, "subscribe"), confirmed(pattern, "psubscribe")]);

await new Promise((resolve, reject) => {
  const add = (...parts) => { if (received.push(parts) === 3) resolve(); };
  for (const stream of [channel, pattern]) stream.on("error", reject);
  channel.on("message", ({ channel, message }) => add(channel, message));
  pattern.on("pmessage", ({ pattern, channel, message }) => add(pattern, channel, message));
  redis.publish("chat", "hello, world")
    .then(() => redis.publish("chat", { born: 1815 }))
    .then(() => redis.publish("user:1", { name: "Ada" }));
});
await channel.unsubscribe();
await pattern.unsubscribe();
console.log(JSON.stringify(received));
"""


class Events:
    """An open stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self) -> list[str]:
        """Return the data of the next event, by line; or nothing at the end of the stream."""
        lines = []
        async with asyncio.timeout(SECONDS):
            while (line := (await self.response.content.readline()).decode()).strip():
                assert line.startswith("data: ")
                lines.append(line.removeprefix("data: ").removesuffix("\n"))
        return lines


@asynccontextmanager
async def opened(
    caller: Caller, token: str, path: str, *, method: str = "GET", headers: Mapping[str, str] = ACCEPT
) -> AsyncIterator[Events]:
    """Open a stream, and leave it on exit from the context."""
    url = URL(caller.sandbox.rest_url + path, encoded=True)
    async with caller.session.request(method, url, headers={**bearer(token), **headers}) as response:
        yield Events(response)


async def subscribers(caller: Caller, database: dict[str, Any], channel: str) -> int:
    """Return how many connections to the database's server have subscribed to a channel."""
    return int((await caller.run(database, "PUBSUB", "NUMSUB", channel))[1])


async def until_no_subscriber(caller: Caller, database: dict[str, Any], channel: str) -> None:
    """Wait until no connection has subscribed to a channel."""
    async with asyncio.timeout(SECONDS):
        while await subscribers(caller, database, channel):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


@pytest.fixture
async def database(caller: Caller) -> dict[str, Any]:
    """A new database."""
    return await caller.create()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_messages_of_a_channel_are_events(caller: Caller, database: dict[str, Any], method: str) -> None:
    """
    The stream begins with the confirmation, and has each message as it is published. It is not base64.
    """
    headers = {**ACCEPT, "Upstash-Encoding": "base64"}
    async with opened(caller, database["rest_token"], "/subscribe/chat", method=method, headers=headers) as events:
        confirmed = await events.next()
        await caller.run(database, "PUBLISH", "chat", "hello")
        await caller.run(database, "PUBLISH", "chat", "how are you, today?")
        messages = [await events.next(), await events.next()]

    assert (200, "text/event-stream") == (events.response.status, events.response.content_type)
    assert events.response.headers["Access-Control-Allow-Origin"] == "*"
    assert events.response.headers["Upstash-Sync-Token"]
    assert ["subscribe,chat,1"] == confirmed
    assert [["message,chat,hello"], ["message,chat,how are you, today?"]] == messages


async def test_several_channels_and_patterns(caller: Caller, database: dict[str, Any]) -> None:
    """
    Each segment of the path is a channel or a pattern, percent-decoded.
    """
    token = database["rest_token"]
    async with (
        opened(caller, token, "/subscribe/one/a%2Fb") as channels,
        opened(caller, token, f"/PSUBSCRIBE/us%3F%3A*?_token={token}", headers=ACCEPT) as patterns,
    ):
        confirmed = [await channels.next(), await channels.next(), await patterns.next()]
        await caller.run(database, "PUBLISH", "a/b", "x")
        await caller.run(database, "PUBLISH", "user:1", "y")
        await caller.run(database, "PUBLISH", "use:1", "z")
        messages = [await channels.next(), await patterns.next()]

    assert [["subscribe,one,1"], ["subscribe,a/b,2"], ["psubscribe,us?:*,1"]] == confirmed
    assert [["message,a/b,x"], ["pmessage,us?:*,use:1,z"]] == messages


async def test_line_breaks_cannot_forge_an_event(caller: Caller, database: dict[str, Any]) -> None:
    """
    Each line of a message is a data field of the same event, and bytes that are not UTF-8 are replaced.
    """
    async with opened(caller, database["rest_token"], "/subscribe/chat") as events:
        await events.next()
        await caller.rest(
            database["rest_token"], "/publish/chat", method="POST", data=b"a\n\ndata: x\r\nevent: e\rb\xffc\n"
        )
        message = await events.next()

    assert ["message,chat,a", "", "data: x", "event: e", "b�c", ""] == message


async def test_read_only_token_can_subscribe(caller: Caller, database: dict[str, Any]) -> None:
    """
    Subscribing only reads.
    """
    async with opened(caller, database["read_only_rest_token"], "/subscribe/chat") as events:
        assert await events.next() == ["subscribe,chat,1"]


@no_valkey
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_monitor_shows_the_commands_of_all_clients(caller: Caller, database: dict[str, Any], method: str) -> None:
    """
    After OK, there is a line for each command over REST and TCP, in Redis's format, without passwords.
    """
    async with opened(caller, database["rest_token"], "/monitor", method=method) as events:
        confirmed = await events.next()
        await caller.run(database, "SET", "name", 'Ad"a\né')
        await caller.rest(database["read_only_rest_token"], "/get/name")
        client = Redis(host=database["endpoint"], port=database["port"], password=database["password"])
        async with client:
            await client.ping()
        (first,), (second,) = await events.next(), await events.next()
        rest = [await events.next()]
        while "PING" not in rest[-1][0].upper():
            rest.append(await events.next())

    assert ['"OK"'] == confirmed
    assert re.fullmatch(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "SET" "name" "Ad\\"a\\n\\xc3\\xa9"', first)
    assert second.endswith('] "get" "name"')
    assert re.fullmatch(r'\d+\.\d{6} \[0 127\.0\.0\.1:\d+\] "PING"', rest[-1][0])
    assert database["password"] not in str(rest)


async def test_monitor_is_for_those_who_may(caller: Caller, database: dict[str, Any]) -> None:
    """
    The read-only token cannot monitor, and arguments are an error.
    """
    denied = await caller.rest(database["read_only_rest_token"], "/monitor", headers=ACCEPT)
    arguments = await caller.rest(database["rest_token"], "/monitor/x", headers=ACCEPT)

    assert denied.status == 400
    assert denied.json == {"error": "NOPERM this user has no permissions to run the 'monitor' command"}
    assert arguments.json == {"error": "ERR wrong number of arguments for 'monitor' command"}


@no_valkey
async def test_client_that_leaves_no_longer_monitors(caller: Caller, database: dict[str, Any]) -> None:
    """
    When the client closes its connection, nothing is left of it.
    """

    async def monitors() -> int:
        stats = await caller.call("GET", f"stats/{database['database_id']}")
        return int(stats.json["monitor_count"]["y"])

    async with opened(caller, database["rest_token"], "/monitor") as events:
        await events.next()
        during = await monitors()
        events.response.close()

    async with asyncio.timeout(SECONDS):
        while await monitors():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)
    assert during == 1


@pytest.mark.parametrize("path", ["/subscribe/chat", "/psubscribe/*", "/subscribe", "/monitor"])
async def test_stream_requires_its_media_type(caller: Caller, database: dict[str, Any], path: str) -> None:
    """
    Without `Accept: text/event-stream`, the response is 400, and says what is missing.
    """
    response = await caller.rest(database["rest_token"], path)

    assert response.status == 400
    assert response.json["error"].startswith(f'ERR Command "{path.split("/")[1].upper()}" is not allowed in REST or')
    assert response.json["error"].endswith("the request needs the header Accept: text/event-stream")


async def test_request_that_cannot_be_a_stream_is_rejected(caller: Caller, database: dict[str, Any]) -> None:
    """
    No channel, another method, or a wrong token is an error as for any other request, before a stream begins.
    """
    token = database["rest_token"]

    no_channel = await caller.rest(token, "/subscribe", headers=ACCEPT)
    put = await caller.rest(token, "/subscribe/chat", method="PUT", headers=ACCEPT)
    wrong = await caller.rest("wrong", "/subscribe/chat", headers=ACCEPT)

    assert (400, "ERR wrong number of arguments for 'subscribe' command") == (
        no_channel.status,
        no_channel.json["error"],
    )
    assert (405, {"GET", "POST"}) == (put.status, set(put.headers["Allow"].split(",")))
    assert wrong.status == 401


async def test_client_that_leaves_ends_the_subscription(caller: Caller, database: dict[str, Any]) -> None:
    """
    When the client closes its connection, the one to the database's server is closed, too.
    """
    async with opened(caller, database["rest_token"], "/subscribe/chat") as events:
        await events.next()
        during = await subscribers(caller, database, "chat")
        events.response.close()

    await until_no_subscriber(caller, database, "chat")
    assert during == 1


@pytest.mark.parametrize(("method", "path"), [("DELETE", "database/{id}"), ("POST", "reset-password/{id}")])
async def test_stream_ends_with_the_right_to_read_it(
    caller: Caller, database: dict[str, Any], method: str, path: str
) -> None:
    """
    When the database is deleted, or its tokens are reset, the stream ends like any complete response.
    """
    async with (
        opened(caller, database["rest_token"], "/subscribe/chat") as events,
        opened(caller, database["read_only_rest_token"], "/psubscribe/*") as others,
        AsyncExitStack() as stack,
    ):
        streams = [events, others]
        if sys.platform != "win32":
            streams.append(await stack.enter_async_context(opened(caller, database["rest_token"], "/monitor")))
        for stream in streams:
            await stream.next()
        await caller.call(method, path.format(id=database["database_id"]))

        assert [[]] * len(streams) == [await stream.next() for stream in streams]
        assert all(stream.response.content.at_eof() for stream in streams)


@orderly_stop
async def test_stream_ends_when_the_sandbox_stops(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    A stream does not delay the stop, and ends like any complete response.
    """
    async with Sandbox.running(tmp_path) as sandbox:
        caller = await Caller.new(sandbox, session)
        database = await caller.create()
        async with (
            opened(caller, database["rest_token"], "/subscribe/chat") as events,
            opened(caller, database["rest_token"], "/monitor") as commands,
        ):
            await asyncio.gather(events.next(), commands.next())
            code, *last = await asyncio.gather(sandbox.stop(), events.next(), commands.next())

            assert events.response.content.at_eof()
            assert commands.response.content.at_eof()
    assert (0, [[], []]) == (code, last)
    assert "Traceback" not in await sandbox.stderr()


async def test_subscribe_and_psubscribe_of_upstash_redis_for_javascript(
    caller: Caller, database: dict[str, Any], tmp_path: Path
) -> None:
    """
    `subscribe` and `psubscribe` of `@upstash/redis`, unchanged, receive messages and end with `unsubscribe`.
    """
    out = await run_with_client(SUBSCRIBER, tmp_path, URL=caller.sandbox.rest_url, TOKEN=database["rest_token"])

    received = sorted(json.loads(out), key=json.dumps)
    assert [["chat", "hello, world"], ["chat", {"born": 1815}], ["user:*", "user:1", {"name": "Ada"}]] == received


async def test_pages_of_any_origin_can_read_the_sync_token(caller: Caller, database: dict[str, Any]) -> None:
    """
    CORS exposes `Upstash-Sync-Token`, which clients in pages send back.
    """
    response = await send(
        caller.session, "GET", f"{caller.sandbox.rest_url}/ping", headers=bearer(database["rest_token"])
    )

    assert response.headers["Access-Control-Expose-Headers"] == "Upstash-Sync-Token"
