"""The ``PassThroughApi`` port: requests, responses, and broken exchanges."""

from __future__ import annotations

import asyncio
import base64
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Hang, Reset, Step, answer, faulty, late
from tests.support.retries import retries
from tests.support.upstream_api import upstream_api
from upstash_helper import __version__
from upstash_helper.broker.errors import HelperError, UpstreamTimeout, UpstreamUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.broker.ports import PassThroughRequest, PassThroughResponse
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.pass_through import DeveloperApiPassThrough

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


CREDENTIAL = Credential(email="adä@b.example", api_key=Secret("key-s3cret"), method="oauth", since=0.0)
BASIC = base64.b64encode("adä@b.example:key-s3cret".encode()).decode()


@pytest.fixture
async def clock() -> FakeClock:
    """The client's clock."""
    return FakeClock()


@pytest.fixture
async def http(clock: FakeClock) -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    upstream = HttpClient(clock=clock, retry_seconds=0.001)
    yield upstream
    await upstream.close()


@asynccontextmanager
async def sent(
    http: HttpClient,
    url: str,
    method: str = "GET",
    target: str = "v2/thing",
    *,
    seconds: float = 20.0,
    headers: tuple[tuple[str, str], ...] = (),
    **request: Any,
) -> AsyncIterator[PassThroughResponse]:
    """Send a request through the port to the API at ``url``."""
    pass_through_api = DeveloperApiPassThrough(http=http, api_url=url, answer_seconds=seconds, idle_seconds=seconds)
    passed_request = PassThroughRequest(method=method, target=target, headers=headers, **request)
    async with pass_through_api.open(CREDENTIAL, passed_request) as passed:
        yield passed


async def read_all(http: HttpClient, url: str, *args: Any, **options: Any) -> tuple[int, bytes]:
    """Return status and body."""
    async with sent(http, url, *args, **options) as passed:
        return passed.status, b"".join([chunk async for chunk in passed.pieces])


async def failed(http: HttpClient, url: str, *args: Any, **options: Any) -> HelperError:
    """Return the error of an exchange."""
    with pytest.raises(HelperError) as caught:
        await read_all(http, url, *args, **options)
    return caught.value


async def chunks(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the chunks of a body."""
    for part in parts:
        yield part


# --- requests ---------------------------------------------------------------------------------------------------------


async def test_accounts_credential_replaces_the_apps(http: HttpClient) -> None:
    """
    Upstash sees one Authorization field, the daemon's name, and nothing that identifies the app.
    """
    app = (("Authorization", "Bearer app-token"), ("Cookie", "a=b"), ("User-Agent", "curl/8"), ("Accept", "1"))
    async with upstream_api() as upstream:
        await read_all(http, upstream.url, headers=app)

        (request,) = upstream.seen

    assert [f"Basic {BASIC}"] == request.headers.getall("Authorization")
    assert [f"upstash-helper/{__version__}"] == request.headers.getall("User-Agent")
    assert ["identity"] == request.headers.getall("Accept-Encoding")
    assert {"Host", "Authorization", "Accept-Encoding", "User-Agent", "Via", "Accept"} == set(request.headers)


@pytest.mark.parametrize(
    "target",
    [
        "v2/redis/databases",
        "v2/redis/databases?",
        "v2/redis/database/a%20b?credentials=hide&x=%2F&y=a+b",
        "auditlogs?from=1;to=2",
        "v2/a:b@c/d,e!(f)*'$&=~",
        "v2/%E2%82%AC",
    ],
)
async def test_path_and_query_are_forwarded_unchanged(http: HttpClient, target: str) -> None:
    """
    Nothing is decoded, encoded or reordered.
    """
    async with faulty(answer({})) as server:
        await read_all(http, server.url, target=target)

        assert [f"GET /{target.removesuffix('?')}"] == server.sends


@pytest.mark.parametrize("base", ["", "/", "/some/where", "/some/where/"])
async def test_api_url_may_have_a_path(http: HttpClient, base: str) -> None:
    """
    A gateway in front of the Developer API needs only a setting.
    """
    async with faulty(answer({})) as server:
        await read_all(http, server.url + base)

        assert [f"GET {base.rstrip('/')}/v2/thing"] == server.sends


@pytest.mark.parametrize(
    "target",
    ["@evil.test/", "http://evil.test/", "/evil.test/x", "evil.test:443", ":80@evil.test/", "a?http://evil.test", ";x"],
)
async def test_target_cannot_change_the_host(http: HttpClient, target: str) -> None:
    """
    Any target is a path at the Developer API.
    """
    async with faulty(answer({})) as server:
        await read_all(http, server.url, target=target)

        (request,) = server.requests

    assert server.url == f"http://{request.headers['host']}"
    assert f"/{target}" == request.target


@pytest.mark.parametrize("target", ["", "a b", "a\r\nHost: evil.test", "a\tb", "ä", "a#b", "a?ä", "\udce4", "a\0"])
async def test_target_that_would_be_rewritten_is_rejected(http: HttpClient, target: str) -> None:
    """
    The target is sent exactly as it was checked.
    """
    async with faulty() as server:
        error = await failed(http, server.url, target=target)

        assert ("invalid_request", []) == (error.code, server.sends)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("length", "framing"), [(9, {"Content-Length": "9"}), (None, {"Transfer-Encoding": "chunked"})]
)
async def test_body_is_forwarded_unchanged(
    http: HttpClient, method: str, length: int | None, framing: dict[str, str]
) -> None:
    """
    It keeps its type, its encoding, and its declared length.
    """
    headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip"))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async with upstream_api(handler) as upstream:
        received = await read_all(
            http, upstream.url, method, headers=headers, body=chunks(b"\x1f\x8b\x08", b"\xff" * 6), length=length
        )

        (request,) = upstream.seen

    assert (200, b"\x1f\x8b\x08" + b"\xff" * 6) == received
    assert framing.items() <= request.headers.items()
    assert set(headers) <= set(request.headers.items())
    assert 1 == len({"Content-Length", "Transfer-Encoding"} & set(request.headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_no_body_is_added(http: HttpClient, method: str) -> None:
    """
    No type is added, and the length is zero.
    """
    async with upstream_api() as upstream:
        await read_all(http, upstream.url, method)

        (request,) = upstream.seen

    assert "0" == request.headers["Content-Length"]
    assert {"Content-Type", "Accept", "Transfer-Encoding"}.isdisjoint(request.headers)


async def test_nothing_is_sent_without_an_email(http: HttpClient) -> None:
    """
    An incomplete credential is not tried.
    """
    half = msgspec.structs.replace(CREDENTIAL, email=None)
    async with faulty() as server:
        pass_through_api = DeveloperApiPassThrough(http=http, api_url=server.url)
        with pytest.raises(HelperError) as caught:
            async with pass_through_api.open(half, PassThroughRequest(method="GET", target="v2/thing", headers=())):
                pass

        assert ("reconnect_required", []) == (caught.value.code, server.sends)


# --- responses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_redirects_are_not_followed(http: HttpClient, method: str, status: int) -> None:
    """
    The credential is sent to the Developer API only, and the app is not redirected either.
    """
    async with faulty() as elsewhere, faulty(Answer(status, b"", {"Location": f"{elsewhere.url}/x"})) as server:
        error = await failed(http, server.url, method)

        assert ("upstream_unavailable", 1, []) == (error.code, len(server.requests), elsewhere.sends)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_switch_to_another_protocol_is_no_response(http: HttpClient, method: str) -> None:
    """
    What follows is not HTTP, so the app must not get it as a response.
    """
    switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    async with faulty(Bytes(switch)) as server:
        error = await failed(http, server.url, method)

        assert ("upstream_unavailable", 1) == (error.code, len(server.requests))
        assert "switched to another protocol" in error.detail


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("HEAD", Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")),
        ("DELETE", Bytes(b"HTTP/1.1 204 No Content\r\n\r\n")),
        ("GET", Bytes(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n")),
    ],
)
async def test_response_without_a_body_ends_with_its_headers(http: HttpClient, method: str, step: Step) -> None:
    """
    The exchange does not wait for a body where HTTP has none.
    """
    async with faulty(step) as server:
        assert b"" == (await read_all(http, server.url, method, seconds=5.0))[1]


@pytest.mark.parametrize(
    "line",
    [
        b"Last-Modified: a\x01b",
        b"Last-Modified: a\x7fb",
        b"Last-Modified: a\xe9",
        b"Set-Cookie: a=b; Path=/",
        b"Authorization: Basic x",
        b"Server: x",
    ],
)
async def test_invalid_response_fields_are_dropped(http: HttpClient, line: bytes) -> None:
    """
    One invalid field does not fail the response.
    """
    head = b"HTTP/1.1 200 OK\r\nVary: yes\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok"
    async with faulty(Bytes(head)) as server, sent(http, server.url) as passed:
        assert (("Vary", "yes"), ("Content-Length", "2"), ("Via", "1.1 upstash-helper")) == passed.headers
        assert b"ok" == b"".join([chunk async for chunk in passed.pieces])


# --- streaming --------------------------------------------------------------------------------------------------------


async def test_response_may_precede_the_end_of_the_body(http: HttpClient) -> None:
    """
    Upstash need not read a body that it rejects.
    """
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"error": "too much"}, status=413)

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await never.wait()

    async with upstream_api(handler) as upstream:
        assert 413 == (await read_all(http, upstream.url, "POST", body=body(), seconds=5.0))[0]


async def test_leaving_before_a_response_closes_the_connection(http: HttpClient) -> None:
    """
    The request ends, and does not count as a failure of Upstash.
    """
    async with faulty(Hang()) as server:
        waiting = asyncio.create_task(read_all(http, server.url, "POST"))
        await server.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            await server.gone.wait()


class AppLeft(Exception):
    """What the API raises for a request body that breaks off or is rejected."""


@pytest.mark.parametrize("length", [None, 100])
async def test_incomplete_request_body_fails_with_the_apps_error(http: HttpClient, length: int | None) -> None:
    """
    Upstash does not take part of a body for all of it, and is not blamed for the failure.
    """

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await upstream.arrived.wait()
        raise AppLeft

    async with upstream_api(handler) as upstream:
        for _ in range(6):
            with pytest.raises(AppLeft):
                await read_all(http, upstream.url, "POST", body=body(), length=length)
        async with asyncio.timeout(5):
            await upstream.left.wait()

        assert upstream.seen
        assert not any(request.whole for request in upstream.seen)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_unreachable_api_is_unavailable(http: HttpClient, method: str) -> None:
    """
    Connecting is tried three times, since nothing was sent.
    """
    async with late() as (server, _):
        with retries() as seen:
            error = await failed(http, server.url, method)

    assert ("upstream_unavailable", 2) == (error.code, len(seen))
    assert "may have been" not in error.detail


async def test_body_is_complete_after_a_retry(http: HttpClient) -> None:
    """
    A short network failure loses nothing of it.
    """
    async with late(answer("OK")) as (server, come_up):
        with retries(then=come_up):
            await read_all(http, server.url, "POST", body=chunks(b"fir", b"st"), length=5)

        assert [b"first"] == [request.body for request in server.requests]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("step", [Reset(), Bytes(b""), Bytes(b"HTTP/1.1 2"), Bytes(b"nonsense\r\n\r\n")])
async def test_request_that_was_sent_is_not_repeated(http: HttpClient, method: str, step: Step) -> None:
    """
    The app decides whether to repeat it.
    """
    async with faulty(step, answer("OK")) as server:
        error = await failed(http, server.url, method)

        assert ("upstream_unavailable", 1) == (error.code, len(server.requests))
        assert (method not in ("GET", "HEAD")) == ("may have been made" in error.detail)


async def test_read_survives_a_closed_keep_alive_connection(http: HttpClient) -> None:
    """
    A read is sent again over a new connection, once.
    """
    async with faulty(answer(1), Reset(), answer(2), Reset(), Reset(), answer(3)) as server:
        await read_all(http, server.url)
        assert (200, b"2") == await read_all(http, server.url)
        assert "upstream_unavailable" == (await failed(http, server.url)).code

        assert [0, 0, 1, 1, 2] == [request.connection for request in server.requests]


async def test_change_uses_a_new_connection(http: HttpClient) -> None:
    """
    A kept-alive connection may break during it, and then it is unknown whether it was processed.
    """
    async with faulty(*[answer("OK")] * 5) as server:
        for method, body in (("GET", None), ("GET", None), ("POST", None), ("GET", chunks(b"x")), ("DELETE", None)):
            await read_all(http, server.url, method, body=body, length=None if body is None else 1)

        assert [0, 0, 1, 2, 3] == [request.connection for request in server.requests]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("step", [Hang(), Hang(b"HTTP/1.1 200 OK\r\n")])
async def test_t48_slow_api_is_a_timeout(http: HttpClient, method: str, step: Step) -> None:
    """
    The app gets an error at the time limit, and the connection is closed.
    """
    async with faulty(step) as server:
        error = await failed(http, server.url, method, seconds=0.1)
        async with asyncio.timeout(5):
            await server.gone.wait()

    assert ("upstream_timeout", method == "POST") == (error.code, "may have been made" in error.detail)


async def test_slow_app_does_not_use_up_upstashs_time(http: HttpClient) -> None:
    """
    The timer stops while the app's body is awaited.
    """

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(0.6)  # longer than Upstash may take
        yield b"second"

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await upstream.body(request))

    async with upstream_api(handler) as upstream:
        assert (200, b"firstsecond") == await read_all(http, upstream.url, "POST", body=body(), seconds=0.3)


async def test_api_that_does_not_read_the_body_is_a_timeout(http: HttpClient) -> None:
    """
    A server that does not read does not respond either.
    """
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024 * 1024

    async with upstream_api(handler) as upstream:
        assert "upstream_timeout" == (await failed(http, upstream.url, "POST", body=body(), seconds=0.3)).code


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
HALF_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (Bytes(HALF), UpstreamUnavailable),
        (Bytes(HALF, reset=True), UpstreamUnavailable),
        (Bytes(HALF_CHUNKED), UpstreamUnavailable),
        (Bytes(HALF_CHUNKED + b"nonsense\r\n"), UpstreamUnavailable),
        (Hang(HALF), UpstreamTimeout),
        (Hang(HALF_CHUNKED), UpstreamTimeout),
    ],
)
async def test_incomplete_response_is_an_error(http: HttpClient, step: Step, kind: type[HelperError]) -> None:
    """
    What arrived is passed on, followed by an error.
    """
    received = bytearray()

    async def read() -> None:
        async with sent(http, server.url, seconds=0.3) as passed:
            async for chunk in passed.pieces:
                received.extend(chunk)

    async with faulty(step) as server:
        with pytest.raises(kind):
            await read()

    assert b"half"[: len(received)] == received


async def test_t48_failing_api_is_left_alone(http: HttpClient, clock: FakeClock) -> None:
    """
    After five consecutive failures the app is told how long to wait; then one request is admitted as a probe.
    """
    async with faulty(*[Answer(503)] * 5, answer("OK")) as server:
        for _ in range(5):
            assert 503 == (await read_all(http, server.url))[0]

        error = await failed(http, server.url)
        clock.advance(10)
        after = await read_all(http, server.url)

        assert ("upstream_unavailable", 10.0) == (error.code, error.retry_after)
        assert (200, 6) == (after[0], len(server.requests))


async def test_closed_client_rejects_requests(http: HttpClient) -> None:
    """
    No connections are opened while the daemon stops.
    """
    async with faulty() as server:
        await http.close()

        assert ("upstream_unavailable", []) == ((await failed(http, server.url)).code, server.sends)


async def test_plain_http_is_allowed_for_loopback_only(http: HttpClient) -> None:
    """
    The credential is not sent over a network in plaintext.
    """
    assert "Use https" in (await failed(http, "http://api.example")).detail


@pytest.mark.parametrize(
    "step",
    [
        answer({"password": "pw-s3cret"}),
        answer({"error": f"{BASIC} adä@b.example:key-s3cret"}, 401),
        answer({"error": BASIC}, 500),
        Answer(302, b"", {"Location": f"https://x.test/{BASIC}"}),
        Bytes(BASIC.encode() + b"\r\n\r\n"),
        Reset(),
        Hang(),
        Bytes(HALF),
    ],
    ids=lambda step: str(step)[:40],
)
async def test_t48_logs_and_errors_contain_no_secrets(
    http: HttpClient, caplog: pytest.LogCaptureFixture, step: Step
) -> None:
    """
    At DEBUG, with an API that repeats requests, the credential is in no log, error, header or repr.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    headers = (("Authorization", "Bearer s3cret-app-token"),)
    async with faulty(*[step] * 3) as server:
        try:
            async with sent(http, server.url, "POST", headers=headers, seconds=0.3) as passed:
                shown = f"{passed!r} {passed.headers!r}"
                [_ async for _ in passed.pieces]
        except HelperError as error:
            logging.getLogger("test").exception("failed")
            shown = f"{error!r} {error.detail} {error.__context__!r} {error.__cause__!r}"

    for text in [shown, caplog.text, *(str(vars(record)) for record in caplog.records)]:
        assert "s3cret" not in text.lower()
        assert "b.example" not in text
        assert BASIC not in text


# --- the sandbox ------------------------------------------------------------------------------------------------------
