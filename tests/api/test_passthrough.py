"""``/upstash/…``: existing clients of the Developer API work through the daemon, without its API key."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gzip
import json
import logging
import socket
import urllib.request
from collections.abc import Callable
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support import rawhttp
from tests.support.faulty import Bytes, Step, faulty
from tests.support.upstream_api import UpstreamApi, ok, upstream_api
from tests.support.world import World
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.upstream_api import Handler

EMAIL, KEY = "ada@upstash.example", "key-s3cret"
BASIC = base64.b64encode(f"{EMAIL}:{KEY}".encode()).decode()
ORDER = {"database_name": "passed", "platform": "aws", "primary_region": "us-east-1", "tls": True}
MIB = 1024 * 1024

DaemonFor = Callable[[str], contextlib.AbstractAsyncContextManager[World]]


@pytest.fixture
def daemon_for(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> DaemonFor:
    """Run a daemon with an account at the given Developer API."""

    @contextlib.asynccontextmanager
    async def running(url: str) -> AsyncIterator[World]:
        store = MemoryStore()
        await store.save(Credential(email=EMAIL, api_key=Secret(KEY), method="api_key", since=0.0))
        async with World.running(tmp_path, sandbox, daemon_port, store=store, api_url=url) as world:
            yield world

    return running


@contextlib.asynccontextmanager
async def pass_through(daemon_for: DaemonFor, handler: Handler = ok) -> AsyncIterator[tuple[World, UpstreamApi]]:
    """Run a Developer API that answers with ``handler``, and a daemon in front of it."""
    async with upstream_api(handler) as upstream, daemon_for(upstream.url) as world:
        yield world, upstream


class ExistingClient:
    """A typical client of the Developer API: it has a base URL, an email address, and an API key."""

    def __init__(self, base_url: str, email: str, api_key: str) -> None:
        self._base_url = base_url
        self._authorization = "Basic " + base64.b64encode(f"{email}:{api_key}".encode()).decode()

    def _call(self, method: str, path: str, document: Any = None) -> Any:
        data = None if document is None else json.dumps(document).encode()
        # urllib gives a body the type application/x-www-form-urlencoded, as curl does.
        request = urllib.request.Request(self._base_url + path, data, method=method)  # noqa: S310 - to servers of the test
        request.add_header("Authorization", self._authorization)
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - as above
            return json.loads(response.read())

    def full_session(self) -> list[Any]:
        """Use the whole Redis part of the Developer API, and return what is reproducible."""
        at = "/v2/redis"
        one = self._call("POST", f"{at}/database", ORDER)["database_id"]
        done = [
            self._call("POST", f"{at}/rename/{one}", {"name": "renamed"})["database_name"],
            self._call("POST", f"{at}/enable-eviction/{one}"),
            self._call("POST", f"{at}/disable-eviction/{one}"),
            self._call("POST", f"{at}/enable-autoupgrade/{one}"),
            self._call("PATCH", f"{at}/enable-dailybackup/{one}"),
            self._call("PATCH", f"{at}/update-budget/{one}", {"budget": 20}),
            self._call("POST", f"{at}/update-regions/{one}", {"read_regions": ["us-west-1"]}),
            self._call("POST", f"{at}/create-backup/{one}", {"name": "nightly"}),
            [backup["name"] for backup in self._call("GET", f"{at}/list-backup/{one}")],
            sorted(self._call("GET", f"{at}/stats/{one}")),
            self._call("POST", f"{at}/reset-password/{one}")["database_name"],
            self._call("GET", f"{at}/database/{one}?credentials=hide").get("password"),
            [database["database_name"] for database in self._call("GET", f"{at}/databases")],
            self._call("DELETE", f"{at}/database/{one}"),
            self._call("GET", f"{at}/databases"),
            self._call("GET", "/v2/teams"),
            bool(self._call("GET", "/auditlogs")),
        ]
        return [*done]


# --- an existing client -----------------------------------------------------------------------------------------------


async def test_client_works_after_changing_its_base_url(world: World) -> None:
    """The same client gets the same results with an API key at Upstash and with its token here."""
    await world.connect()
    key = await world.sandbox.api_key(world.email, "of the client itself")
    app = await world.pair("upstash:read", "upstash:write")
    there = ExistingClient(world.sandbox.api_url, world.email, key)
    here = ExistingClient(f"http://localhost:{world.settings.port}/upstash", "anyone@example.com", app.token)

    expected = await asyncio.to_thread(there.full_session)
    actual = await asyncio.to_thread(here.full_session)

    assert expected == actual
    assert ["nightly"] in actual


async def test_curl_request_from_the_manual_works(world: World) -> None:
    """``curl -u me:$TOKEN -d '{…}' http://localhost:3000/upstash/v2/redis/database``."""
    await world.connect()
    token = base64.b64encode(f"me:{world.owner}".encode()).decode()
    body = json.dumps(ORDER).encode()
    headers = (
        ("Authorization", f"Basic {token}"),
        ("User-Agent", "curl/8.5.0"),
        ("Accept", "*/*"),
        ("Content-Length", str(len(body))),
        ("Content-Type", "application/x-www-form-urlencoded"),
    )
    port = world.settings.port

    async with rawhttp.connected(port) as connection:
        for _ in range(2):
            request = rawhttp.request("POST", "/upstash/v2/redis/database", port=port, headers=headers, body=body)
            await connection.send(request)
            answer = await connection.answer()
            assert (200, "passed") == (answer.status, answer.json["database_name"])


async def test_list_is_fresh_after_a_pass_through_change(world: World) -> None:
    """The cached list is discarded."""
    await world.connect()
    before = (await world.get("/v1/databases")).json["databases"]

    made = (await world.call("POST", "/upstash/v2/redis/database", ORDER)).json
    between = (await world.get("/v1/databases")).json["databases"]
    await world.call("DELETE", f"/upstash/v2/redis/database/{made['database_id']}")
    after = (await world.get("/v1/databases")).json["databases"]

    assert ([], [made["database_id"]], []) == (before, [it["id"] for it in between], after)


async def test_head_has_the_headers_of_get(daemon_for: DaemonFor) -> None:
    """Content-Length is that of the omitted body."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 12, content_type="application/json")

    async with pass_through(daemon_for, handler) as (world, upstream):
        reply = await world.call("HEAD", "/upstash/v2/redis/databases")
        again = await world.get("/upstash/v2/redis/databases")

        assert ["HEAD /v2/redis/databases", "GET /v2/redis/databases"] == upstream.targets
    assert (200, b"", "12") == (reply.status, reply.body, reply.headers["Content-Length"])
    assert again.headers["Content-Type"] == reply.headers["Content-Type"]


@pytest.mark.parametrize("status", [204, 304])
async def test_response_without_a_body(daemon_for: DaemonFor, status: int) -> None:
    """The connection can be reused afterwards."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"ETag": '"x"'})

    async with pass_through(daemon_for, handler) as (world, _):
        port = world.settings.port
        async with rawhttp.connected(port) as connection:
            headers = (("Authorization", f"Bearer {world.owner}"),)
            await connection.send(rawhttp.request("GET", "/upstash/v2/x", port=port, headers=headers) * 2)
            both = [await connection.reader.readuntil(b"\r\n\r\n") for _ in range(2)]

    assert 2 == sum(head.startswith(f"HTTP/1.1 {status} ".encode()) for head in both)


async def test_encoded_response_is_passed_unchanged(daemon_for: DaemonFor) -> None:
    """The client decodes the encoding that it accepted, so a decompression bomb has no effect on the daemon."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": "gzip"})

    packed = gzip.compress(b"x" * 1000)
    async with pass_through(daemon_for, handler) as (world, upstream):
        reply = await world.get("/upstash/v2/x", headers={"Accept-Encoding": "gzip, zstd"})

        assert "gzip, zstd" == upstream.seen[0].headers["Accept-Encoding"]
    assert (packed, "gzip") == (reply.body, reply.headers["Content-Encoding"])
    assert str(len(packed)) == reply.headers["Content-Length"]


# --- authorization ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scope", "statuses"),
    [
        ("upstash:read", [200, 200, 403, 403, 403, 403]),
        ("upstash:write", [403, 403, 200, 200, 200, 200]),
        ("databases:read", [403] * 6),
    ],
)
async def test_read_and_write_scopes_are_separate(daemon_for: DaemonFor, scope: str, statuses: list[int]) -> None:
    """Requests without the scope do not reach Upstash."""
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    async with pass_through(daemon_for) as (world, upstream):
        app = await world.pair(scope)

        replies = [await world.as_app(app, method, "/upstash/v2/x") for method in methods]

        assert statuses == [reply.status for reply in replies]
        assert [method for method, status in zip(methods, statuses, strict=True) if status == 200] == [
            seen.method for seen in upstream.seen
        ]


async def test_api_key_is_not_accepted_as_a_token(daemon_for: DaemonFor) -> None:
    """Requests with the real email address and API key are rejected: only tokens give access."""
    async with pass_through(daemon_for) as (world, upstream):
        reply = await world.get("/upstash/v2/x", headers={"Authorization": f"Basic {BASIC}"}, token=None)

        assert (401, []) == (reply.status, upstream.targets)


async def test_page_can_read_pass_through_responses(daemon_for: DaemonFor) -> None:
    """Via shows whose status it is. Upstash's own CORS headers are replaced by the daemon's."""

    async def handler(request: web.Request) -> web.Response:
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Credentials": "true", "Vary": "Accept"}
        return web.json_response({"error": "x"}, status=200 if request.path == "/v2/x" else 404, headers=headers)

    async with pass_through(daemon_for, handler) as (world, upstream):
        page = await world.pair("upstash:read", origin="https://app.example")

        replies = [await world.as_app(page, "GET", f"/upstash/{path}") for path in ("v2/x", "v2/none")]

        assert {"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode"}.isdisjoint(upstream.seen[0].headers)
    assert [200, 404] == [reply.status for reply in replies]
    for reply in replies:
        assert "1.1 upstash-helper" == reply.headers["Via"]
        origins = [text for name, text in reply.headers.items() if name.lower() == "access-control-allow-origin"]
        assert ["https://app.example"] == origins
        assert "via" in reply.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in reply.headers
        assert "Origin" in reply.headers["Vary"]


async def test_pass_through_requests_are_audited(daemon_for: DaemonFor) -> None:
    """Reads, too, since they can return passwords; without the query, which can contain anything."""
    async with pass_through(daemon_for) as (world, _):
        app = await world.pair("upstash:read", "upstash:write", name="Orders")
        await world.as_app(app, "GET", "/upstash/v2/redis/databases?token=s3cret")
        await world.as_app(app, "DELETE", "/upstash/v2/redis/database/x?a=b")

        entries = (await world.get("/v1/audit")).json["entries"]

    passed = [(it["app_name"], it["action"], it["target"], it["result"]) for it in entries if "upstash" in it["action"]]
    assert [
        ("Orders", "upstash.delete", "v2/redis/database/x", "ok"),
        ("Orders", "upstash.get", "v2/redis/databases", "ok"),
    ] == passed


# --- what is blocked or removed ---------------------------------------------------------------------------------------


API_KEY_PATHS = [
    "apikey", "apikey/", "apikey?x=y", "apikey/list", "APIKEY", "ApiKey", "%61pikey", "%61%70%69%6b%65%79",
    "%2561pikey", "apikey;v=1", "apikey%3bv", "apikey%20", "v2/apikey", "V2/api%4Bey", "v2/redis/apikey", "apikeys",
    "v2/redis/database/apikey", "v2?x=/apikey", "v2/x/api.key", "v2/x;apikey", "v2/%25252e%25252e/%252561pikey.",
    "v2/%25EF%25BC%25A1pikey", "v2/%25c1%25a1pikey", "v2/%25u0061pikey", "v2/a+p+i-k_e~y", "v2?path=%2561pikey",
]  # fmt: skip


async def test_api_keys_cannot_be_created_through_the_daemon(daemon_for: DaemonFor) -> None:
    """With its own API key, an app would keep access after it was revoked."""
    async with pass_through(daemon_for) as (world, upstream):
        replies = {
            f"{method} {path}": await world.call(method, f"/upstash/{path}")
            for method, path in product(("GET", "POST"), API_KEY_PATHS)
        }

        assert dict.fromkeys(replies, (403, "path_not_allowed")) == {
            sent: (reply.status, reply.code) for sent, reply in replies.items()
        }
        assert [] == upstream.targets


async def test_similar_paths_are_passed(daemon_for: DaemonFor) -> None:
    """Only paths and queries with the whole word are blocked."""
    paths = ["v2/redis/api/keys", "api", "v2/key", "v2/redis/database/apike", "v2?x=/api/key", "v2?api=key"]
    async with pass_through(daemon_for) as (world, upstream):
        replies = [await world.get(f"/upstash/{path}") for path in paths]

        assert [200] * len(paths) == [reply.status for reply in replies]
        assert [f"GET /{path}" for path in paths] == upstream.targets


AMBIGUOUS_TARGETS = [
    "/upstash//evil.com/", "/upstash///evil.com", "/upstash/../v2/x", "/upstash/v2/../apikey",
    "/upstash/v2/%2e%2e/apikey", "/upstash/v2/%2E./apikey", "/upstash/./v2", "/upstash/v2%2fx",
    "/upstash/v2\\..\\apikey", "/upstash/v2/%5c", "/upstash/v2/%00", "/upstash/v2/%0d%0aHost:%20evil.com",
    "/upstash/v2/%c3%a4", "/upstash/v2#x", "/upstash/http://evil.com/", "/%75pstash/v2/x", "/upstash/", "/upstash",
    "/Upstash/v2/x", "/upstash/v2?q=\xe4", "/upstash/v2?q=\x01", "http://evil.com/upstash/v2/x",
]  # fmt: skip


async def test_ambiguous_paths_are_rejected_before_sending(daemon_for: DaemonFor) -> None:
    """Dot segments, doubled or encoded slashes, and other ambiguous paths."""
    async with pass_through(daemon_for) as (world, upstream):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Connection", "close"))
        statuses = {
            target: [
                answer.status
                for answer in await rawhttp.exchange(port, rawhttp.request("GET", target, port=port, headers=headers))
            ]
            for target in AMBIGUOUS_TARGETS
        }

        accepted = {target: found for target, found in statuses.items() if found not in ([400], [404], [422])}
        assert {} == accepted
        assert [] == upstream.targets


async def test_paths_that_look_like_hosts_are_sent_to_the_developer_api(daemon_for: DaemonFor) -> None:
    """Every request goes to the Developer API's host."""
    paths = ["@evil.com/", "evil.com:443/x", "http:evil.com", ":x@evil.com", "v2;@evil.com", "v2?u=//evil.com/"]
    async with pass_through(daemon_for) as (world, upstream):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Connection", "close"))
        for path in paths:
            request = rawhttp.request("GET", f"/upstash/{path}", port=port, headers=headers)
            (answer,) = await rawhttp.exchange(port, request)
            assert 200 == answer.status

        assert [f"GET /{path}" for path in paths] == upstream.targets
        assert {upstream.url} == {f"http://{request.headers['Host']}" for request in upstream.seen}


async def test_upstash_specific_headers_are_removed(daemon_for: DaemonFor) -> None:
    """Cookies, challenges, caching and browser policies are not passed on, and neither is the credential."""

    async def handler(request: web.Request) -> web.Response:
        response = web.json_response({})
        for name in (
            "Authorization",
            "X-Frame-Options",
            "Cache-Control",
            "Content-Security-Policy",
            "Server",
            "Alt-Svc",
        ):
            response.headers[name] = request.headers["Authorization"]
        response.headers["WWW-Authenticate"] = "Basic"
        response.headers["Cache-Control"] = "public, max-age=9999"
        response.set_cookie("session", "s3cret")
        return response

    async with pass_through(daemon_for, handler) as (world, _):
        reply = await world.get("/upstash/v2/x")

    assert BASIC not in str(reply.headers)
    assert {"Authorization", "WWW-Authenticate", "Set-Cookie", "Server", "Alt-Svc"}.isdisjoint(reply.headers)
    assert "no-store" == reply.headers["Cache-Control"]
    assert "nosniff" == reply.headers["X-Content-Type-Options"]


async def test_api_key_is_never_shown(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Neither in a response nor in the log at DEBUG; the email address only where Upstash returns it."""
    caplog.set_level(logging.DEBUG)
    await world.connect()
    credential = await world.store.load()
    assert credential is not None
    assert credential.api_key is not None
    key = credential.api_key.reveal()
    basic = base64.b64encode(f"{world.email}:{key}".encode()).decode()
    at_connecting = len(world.traffic)

    made = (await world.call("POST", "/upstash/v2/redis/database", ORDER)).json["database_id"]
    for path in ("v2/redis/databases", f"v2/redis/database/{made}", "v2/x", "apikey", "auditlogs"):
        reply = await world.get(f"/upstash/{path}")
        assert world.email not in str(reply.headers)

    seen = b"".join(world.traffic)
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert made.encode() in b"".join(world.traffic[at_connecting:])
    for secret in (key, basic):
        assert secret.encode() not in seen
        assert secret not in logged
    assert world.email not in logged


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_body_of_one_mebibyte_is_passed(daemon_for: DaemonFor) -> None:
    """Far more than a request of the Developer API has."""
    got: list[int] = []

    async def handler(request: web.Request) -> web.Response:
        got.append(len(await request.content.read()))
        return web.json_response("OK")

    async with pass_through(daemon_for, handler) as (world, _):
        reply = await world.call("POST", "/upstash/v2/x", b"x" * MIB)

    assert (200, [MIB]) == (reply.status, got)


async def test_larger_body_is_rejected_before_sending(daemon_for: DaemonFor) -> None:
    """By its declared length, without waiting for it to arrive."""
    async with pass_through(daemon_for) as (world, upstream):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Content-Length", str(MIB + 1)))
        (answer,) = await rawhttp.exchange(port, rawhttp.request("POST", "/upstash/v2/x", port=port, headers=headers))

        assert (413, "body_too_large", []) == (answer.status, answer.json["code"], upstream.targets)


async def test_body_that_exceeds_the_limit_is_not_completed(daemon_for: DaemonFor) -> None:
    """Upstash never receives its end, so that it does not act on the beginning."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async def body() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 65536

    async with pass_through(daemon_for, handler) as (world, upstream):
        headers = {"Authorization": f"Bearer {world.owner}"}
        async with world.session.post("/upstash/v2/x", data=body(), headers=headers) as response:
            problem = await response.json(content_type=None)
        async with asyncio.timeout(5):
            await upstream.left.wait()

        assert (413, "body_too_large") == (response.status, problem["code"])
        assert [False] == [request.whole for request in upstream.seen]


@pytest.mark.parametrize("rest", [b"zz\r\n", b"5\r\nhelloX\r\n"])
async def test_body_with_broken_framing_is_not_completed(daemon_for: DaemonFor, rest: bytes) -> None:
    """The client gets an error, and Upstash receives no end."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async with pass_through(daemon_for, handler) as (world, upstream):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Transfer-Encoding", "chunked"))
        begin = rawhttp.request("POST", "/upstash/v2/x", port=port, headers=headers, body=b"5\r\nhello\r\n")
        async with rawhttp.connected(port) as connection:
            await connection.send(begin)
            await upstream.arrived.wait()
            await connection.send(rest)
            answers = await connection.until_closed()

        assert [(400, "malformed_request")] == [(answer.status, answer.json["code"]) for answer in answers]
        assert [False] == [request.whole for request in upstream.seen]


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip,chunked", "GZIP, Chunked"])
async def test_body_with_another_transfer_coding_is_refused(daemon_for: DaemonFor, coding: str) -> None:
    """The coding belongs to this connection, and would be lost on the way to Upstash, which would store garbage."""
    async with pass_through(daemon_for) as (world, upstream):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Transfer-Encoding", coding))
        async with rawhttp.connected(port) as connection:
            await connection.send(
                rawhttp.request("POST", "/upstash/v2/x", port=port, headers=headers, body=b"1\r\nx\r\n0\r\n\r\n")
            )
            answers = await connection.until_closed()

        assert [(415, "unsupported_encoding")] == [(answer.status, answer.json["code"]) for answer in answers]
        assert "Transfer-Encoding" in answers[0].json["error"]
        assert [] == upstream.targets


# --- streaming --------------------------------------------------------------------------------------------------------


async def test_response_is_streamed(daemon_for: DaemonFor) -> None:
    """The client has the headers and the first chunk before Upstash sends the second."""
    headers_seen, first_seen = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await headers_seen.wait()
        await response.write(b"first")
        await first_seen.wait()
        await response.write(b"second")
        return response

    async with pass_through(daemon_for, handler) as (world, _), asyncio.timeout(10):
        headers = {"Authorization": f"Bearer {world.owner}"}
        async with world.session.get("/upstash/v2/x", headers=headers) as response:
            headers_seen.set()
            first = await response.content.readany()
            first_seen.set()
            second = await response.content.readany()

    assert (b"first", b"second") == (first, second)


async def test_request_body_is_streamed(daemon_for: DaemonFor) -> None:
    """Upstash has the first chunk before the client sends the second."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await upstream.arrived.wait()
        yield b"second"

    async with pass_through(daemon_for, handler) as (world, upstream), asyncio.timeout(10):
        headers = {"Authorization": f"Bearer {world.owner}"}
        async with world.session.post("/upstash/v2/x", data=body(), headers=headers) as response:
            assert b"firstsecond" == await response.read()


async def test_read_is_aborted_if_the_client_disconnects(daemon_for: DaemonFor) -> None:
    """A download that no one reads is stopped, and not requested again."""
    canceled: list[str] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            canceled.append(request.raw_path)
            raise
        return response

    async with pass_through(daemon_for, handler) as (world, upstream):
        headers = {"Authorization": f"Bearer {world.owner}"}
        async with world.session.get("/upstash/v2/x", headers=headers) as response:
            begin = await response.content.readany()
        async with asyncio.timeout(5):
            await upstream.left.wait()

    assert b"first" == begin
    assert ["/v2/x"] == canceled
    assert ["GET /v2/x"] == upstream.targets


async def test_change_is_completed_if_the_client_disconnects(daemon_for: DaemonFor) -> None:
    """It may have taken effect at Upstash, so the daemon waits for the response to keep audit log and list correct."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.json_response("OK")

    async with pass_through(daemon_for, handler) as (world, _):
        waiting = asyncio.create_task(world.call("DELETE", "/upstash/v2/redis/database/x"))
        await asked.wait()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        go_on.set()
        assert await world.daemon.background.drain(5)
        entries = (await world.get("/v1/audit")).json["entries"]

    assert [("upstash.delete", "ok")] == [(entry["action"], entry["result"]) for entry in entries]


@pytest.mark.parametrize(
    ("framing", "begin"),
    [(("Content-Length", "10"), b"hello"), (("Transfer-Encoding", "chunked"), b"5\r\nhello\r\n")],
)
async def test_incomplete_request_body_is_not_completed(
    daemon_for: DaemonFor, framing: tuple[str, str], begin: bytes
) -> None:
    """Upstash receives no end of the body, and the audit log records it."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async with pass_through(daemon_for, handler) as (world, upstream), asyncio.timeout(10):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), framing)
        async with rawhttp.connected(port) as connection:
            await connection.send(rawhttp.request("POST", "/upstash/v2/x", port=port, headers=headers, body=begin))
            await upstream.arrived.wait()
        await upstream.left.wait()
        assert await world.daemon.background.drain(5)
        entries = (await world.get("/v1/audit")).json["entries"]

        assert [False] == [request.whole for request in upstream.seen]
    assert [("upstash.post", "status_400")] == [(entry["action"], entry["result"]) for entry in entries]


# --- failures ---------------------------------------------------------------------------------------------------------


STATUSES = [200, 500, 201, 502, 202, 503, 304, 504, 400, 403, 404, 405, 406, 409, 418, 422, 429]
"""Never five failures in a row, after which the circuit breaker would open."""


async def test_t48_upstash_status_is_passed_with_via(daemon_for: DaemonFor) -> None:
    """With its body and its Retry-After, and without a retry. Via distinguishes it from the daemon's own."""

    async def handler(request: web.Request) -> web.Response:
        status = int(request.query["status"])
        body = None if status == 304 else b'{"error":"of Upstash"}'
        return web.Response(status=status, body=body, headers={"Retry-After": "7"})

    async with pass_through(daemon_for, handler) as (world, upstream):
        replies = [await world.get(f"/upstash/v2/x?status={status}") for status in STATUSES]

        assert [f"GET /v2/x?status={status}" for status in STATUSES] == upstream.targets
    assert STATUSES == [reply.status for reply in replies]
    for reply in replies:
        assert (b"" if reply.status == 304 else b'{"error":"of Upstash"}') == reply.body
        assert ("7", "1.1 upstash-helper") == (reply.headers["Retry-After"], reply.headers["Via"])


async def test_t48_pass_through_has_its_own_circuit_breaker(daemon_for: DaemonFor) -> None:
    """After five failures in a row, pass-through requests fail for a moment; the daemon's own calls continue."""

    async def handler(request: web.Request) -> web.Response:
        return web.json_response([], status=500 if request.path == "/v2/x" else 200)

    async with pass_through(daemon_for, handler) as (world, _):
        failures = [(await world.get("/upstash/v2/x")).status for _ in range(6)]
        listed = await world.get("/v1/databases")

    assert [500] * 5 + [502] == failures
    assert 200 == listed.status


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_t48_api_key_rejected_by_upstash_is_not_a_401(daemon_for: DaemonFor, method: str) -> None:
    """The app's token is valid. The user must reconnect, and the connection state says so, after a call of our own."""

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"error": "Unauthorized"}, status=401, headers={"WWW-Authenticate": "Basic"})

    async with pass_through(daemon_for, handler) as (world, upstream):
        reply = await world.call(method, "/upstash/v2/x")
        state = (await world.get("/v1/connection")).json["state"]
        again = await world.call(method, "/upstash/v2/x")

        assert [f"{method} /v2/x", "GET /v2/redis/databases"] == upstream.targets
    assert [(424, "reconnect_required")] * 2 == [(it.status, it.code) for it in (reply, again)]
    assert ("reconnect_required", False) == (state, "WWW-Authenticate" in reply.headers)


async def test_pass_through_without_an_account_is_a_conflict(world: World) -> None:
    """The user must connect one first."""
    reply = await world.get("/upstash/v2/redis/databases")

    assert (409, "not_connected") == (reply.status, reply.code)


async def test_locked_keyring_is_reported(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """As everywhere else in the API."""

    class Locked(MemoryStore):
        async def load(self, *, prompt: bool = True) -> Credential | None:
            raise StoreLocked("The keyring is locked.")

    async with World.running(tmp_path, sandbox, daemon_port, store=Locked()) as world:
        reply = await world.get("/upstash/v2/redis/databases")

    assert (503, "keyring_locked") == (reply.status, reply.code)


async def test_unreachable_upstash_is_a_gateway_error(daemon_for: DaemonFor) -> None:
    """It is not a status of Upstash, so there is no Via."""
    with contextlib.closing(socket.socket()) as refusing:
        refusing.bind(("127.0.0.1", 0))
        async with daemon_for(f"http://127.0.0.1:{refusing.getsockname()[1]}") as world:
            reply = await world.get("/upstash/v2/x")

    assert (502, "upstream_unavailable", False) == (reply.status, reply.code, "Via" in reply.headers)


@pytest.mark.parametrize(
    "step",
    [
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
        Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    ],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_truncated_response_breaks_the_connection(daemon_for: DaemonFor, step: Step, version: str) -> None:
    """A client that takes the end of the connection for the end of the body sees an error, too."""
    async with faulty(step) as upstream, daemon_for(upstream.url) as world:
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"),)
        request = rawhttp.request("GET", "/upstash/v2/x", port=port, headers=headers)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                await reader.read()
        writer.close()
        health = await world.get("/v1/connection")

    assert "connected" == health.json["state"]


async def test_http_1_0_response_ends_with_the_connection(daemon_for: DaemonFor) -> None:
    """HTTP/1.0 has no chunked encoding."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"whole")
        return response

    async with pass_through(daemon_for, handler) as (world, _):
        port = world.settings.port
        headers = (("Authorization", f"Bearer {world.owner}"), ("Connection", "keep-alive"))
        request = rawhttp.request("GET", "/upstash/v2/x", port=port, headers=headers)
        async with rawhttp.connected(port) as connection, asyncio.timeout(10):
            await connection.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
            head, _, body = (await connection.reader.read()).partition(b"\r\n\r\n")

    assert b"whole" == body
    assert b"chunked" not in head
