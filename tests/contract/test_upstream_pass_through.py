"""The ``PassThroughApi`` port: what reaches the Developer API, what comes back, and how broken exchanges end."""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from tests.support.clock import FakeClock
from tests.support.far_api import far_api
from tests.support.faulty import Answer, Bytes, Flood, Hang, Reset, Step, answer, faulty, late
from tests.support.retries import retries
from upstash_helper import __version__
from upstash_helper.broker.errors import HelperError, UpstreamTimeout, UpstreamUnavailable
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.broker.ports import PassThroughRequest, PassThroughResponse
from upstash_helper.upstream.http_client import Upstream
from upstash_helper.upstream.pass_through import DeveloperApiPassage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sandbox import Sandbox

CREDENTIAL = Credential(email="adä@b.example", api_key=Secret("key-s3cret"), method="oauth", since=0.0)
BASIC = base64.b64encode("adä@b.example:key-s3cret".encode()).decode()


@pytest.fixture
async def clock() -> FakeClock:
    """The clock of the client."""
    return FakeClock()


@pytest.fixture
async def http(clock: FakeClock) -> AsyncIterator[Upstream]:
    """The client, with hardly a pause before a retry."""
    upstream = Upstream(clock=clock, retry_seconds=0.001)
    yield upstream
    await upstream.close()


@asynccontextmanager
async def sent(
    http: Upstream,
    url: str,
    method: str = "GET",
    target: str = "v2/thing",
    *,
    seconds: float = 20.0,
    headers: tuple[tuple[str, str], ...] = (),
    **request: Any,
) -> AsyncIterator[PassThroughResponse]:
    """Send a request through the port to the API at ``url``."""
    passage = DeveloperApiPassage(http=http, api_url=url, answer_seconds=seconds, idle_seconds=seconds)
    wanted = PassThroughRequest(method=method, target=target, headers=headers, **request)
    async with passage.open(CREDENTIAL, wanted) as passed:
        yield passed


async def whole(http: Upstream, url: str, *args: Any, **options: Any) -> tuple[int, bytes]:
    """Return status and body."""
    async with sent(http, url, *args, **options) as passed:
        return passed.status, b"".join([piece async for piece in passed.pieces])


async def failed(http: Upstream, url: str, *args: Any, **options: Any) -> HelperError:
    """Return the error of an exchange."""
    with pytest.raises(HelperError) as caught:
        await whole(http, url, *args, **options)
    return caught.value


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """Yield the pieces of a body."""
    for part in parts:
        yield part


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_the_account_s_credential_takes_the_place_of_the_app_s(http: Upstream) -> None:
    """
    Upstash sees one Authorization, the daemon's name, and nothing that the app is known by.
    """
    app = (("Authorization", "Bearer app-token"), ("Cookie", "a=b"), ("User-Agent", "curl/8"), ("X-Own", "1"))
    async with far_api() as far:
        await whole(http, far.url, headers=app)

        (request,) = far.seen

    assert [f"Basic {BASIC}"] == request.headers.getall("Authorization")
    assert [f"upstash-helper/{__version__}"] == request.headers.getall("User-Agent")
    assert ["identity"] == request.headers.getall("Accept-Encoding")
    assert {"Host", "Authorization", "Accept-Encoding", "User-Agent", "Via", "X-Own"} == set(request.headers)


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
async def test_path_and_query_arrive_as_they_were_written(http: Upstream, target: str) -> None:
    """
    Nothing is decoded, encoded or ordered anew.
    """
    async with faulty(answer({})) as far_side:
        await whole(http, far_side.url, target=target)

        assert [f"GET /{target.removesuffix('?')}"] == far_side.sends


@pytest.mark.parametrize("base", ["", "/", "/some/where", "/some/where/"])
async def test_the_api_may_have_a_path_of_its_own(http: Upstream, base: str) -> None:
    """
    A gateway before the Developer API is a matter of the setting alone.
    """
    async with faulty(answer({})) as far_side:
        await whole(http, far_side.url + base)

        assert [f"GET {base.rstrip('/')}/v2/thing"] == far_side.sends


@pytest.mark.parametrize(
    "target",
    ["@evil.test/", "http://evil.test/", "/evil.test/x", "evil.test:443", ":80@evil.test/", "a?http://evil.test", ";x"],
)
async def test_no_target_leads_to_another_host(http: Upstream, target: str) -> None:
    """
    Whatever a path looks like, it is a path at the Developer API.
    """
    async with faulty(answer({})) as far_side:
        await whole(http, far_side.url, target=target)

        (request,) = far_side.requests

    assert far_side.url == f"http://{request.headers['host']}"
    assert f"/{target}" == request.target


@pytest.mark.parametrize("target", ["", "a b", "a\r\nHost: evil.test", "a\tb", "ä", "a#b", "a?ä", "\udce4", "a\0"])
async def test_a_target_that_would_have_to_be_rewritten_is_refused(http: Upstream, target: str) -> None:
    """
    What is sent is what was judged, or nothing.
    """
    async with faulty() as far_side:
        error = await failed(http, far_side.url, target=target)

        assert ("invalid_request", []) == (error.code, far_side.sends)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("length", "framing"), [(9, {"Content-Length": "9"}), (None, {"Transfer-Encoding": "chunked"})]
)
async def test_a_body_arrives_as_it_is(
    http: Upstream, method: str, length: int | None, framing: dict[str, str]
) -> None:
    """
    With its type, its encoding, and its length if that was declared.
    """
    headers = (("Content-Type", "application/x-www-form-urlencoded"), ("Content-Encoding", "gzip"))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await far.body(request))

    async with far_api(handler) as far:
        got = await whole(
            http, far.url, method, headers=headers, body=pieces(b"\x1f\x8b\x08", b"\xff" * 6), length=length
        )

        (request,) = far.seen

    assert (200, b"\x1f\x8b\x08" + b"\xff" * 6) == got
    assert framing.items() <= request.headers.items()
    assert set(headers) <= set(request.headers.items())
    assert 1 == len({"Content-Length", "Transfer-Encoding"} & set(request.headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_without_a_body_none_is_invented(http: Upstream, method: str) -> None:
    """
    No type is guessed, and the length says zero.
    """
    async with far_api() as far:
        await whole(http, far.url, method)

        (request,) = far.seen

    assert "0" == request.headers["Content-Length"]
    assert {"Content-Type", "Accept", "Transfer-Encoding"}.isdisjoint(request.headers)


async def test_without_an_email_nothing_is_sent(http: Upstream) -> None:
    """
    A credential that is known by half is not tried.
    """
    half = msgspec.structs.replace(CREDENTIAL, email=None)
    async with faulty() as far_side:
        passage = DeveloperApiPassage(http=http, api_url=far_side.url)
        with pytest.raises(HelperError) as caught:
            async with passage.open(half, PassThroughRequest(method="GET", target="v2/thing", headers=())):
                pass

        assert ("reconnect_required", []) == (caught.value.code, far_side.sends)


# --- what comes back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [200, 201, 202, 304, 400, 403, 404, 405, 406, 409, 418, 422, 429, 500, 502, 503, 504]
)
async def test_t48_a_status_is_handed_on(http: Upstream, status: int) -> None:
    """
    Upstash's refusals and failures are the app's to read, and not a reason to ask twice.
    """
    async with faulty(Answer(status, b"" if status == 304 else b'{"error":"x"}', {"Retry-After": "3"})) as far_side:
        async with sent(http, far_side.url) as passed:
            body = b"".join([piece async for piece in passed.pieces])

        assert 1 == len(far_side.requests)
    assert (status, b"" if status == 304 else b'{"error":"x"}') == (passed.status, body)
    assert {"Retry-After": "3", "Via": "1.1 upstash-helper"}.items() <= dict(passed.headers).items()


async def test_t48_a_refused_key_is_no_answer(http: Upstream) -> None:
    """
    An app's own token is fine: a 401 of Upstash's would tell it to throw that away.
    """
    challenge = {"WWW-Authenticate": "Basic"}
    async with faulty(Answer(401, b'{"error":"Unauthorized"}', challenge)) as far_side:
        assert "reconnect_required" == (await failed(http, far_side.url)).code


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_redirect_is_followed_by_nobody(http: Upstream, method: str, status: int) -> None:
    """
    The credential goes to the Developer API and nowhere else, and the app is not sent elsewhere either.
    """
    async with faulty() as elsewhere, faulty(Answer(status, b"", {"Location": f"{elsewhere.url}/x"})) as far_side:
        error = await failed(http, far_side.url, method)

        assert ("upstream_unavailable", 1, []) == (error.code, len(far_side.requests), elsewhere.sends)


async def test_an_encoded_body_stays_encoded(http: Upstream) -> None:
    """
    The app asked for it and decodes it; a decompression bomb is no bomb here.
    """
    packed = gzip.compress(b"x" * 1000)
    async with faulty(Answer(200, packed, {"Content-Encoding": "gzip"})) as far_side:
        async with sent(http, far_side.url, headers=(("Accept-Encoding", "gzip, zstd"),)) as passed:
            body = b"".join([piece async for piece in passed.pieces])

        assert "gzip, zstd" == far_side.requests[0].headers["accept-encoding"]
    assert packed == body
    assert {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}.items() <= dict(passed.headers).items()


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("HEAD", Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")),
        ("DELETE", Bytes(b"HTTP/1.1 204 No Content\r\n\r\n")),
        ("GET", Bytes(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12\r\n\r\n")),
    ],
)
async def test_what_has_no_body_ends_with_its_headers(http: Upstream, method: str, step: Step) -> None:
    """
    No body is waited for where HTTP has none.
    """
    async with faulty(step) as far_side:
        assert b"" == (await whole(http, far_side.url, method, seconds=5.0))[1]


@pytest.mark.parametrize(
    "line",
    [
        b"X-Bad: a\x01b",
        b"X-Bad: a\x7fb",
        b"X-Bad: a\xe9",
        b"Set-Cookie: a=b; Path=/",
        b"Authorization: Basic x",
        b"Server: x",
    ],
)
async def test_a_field_that_is_not_for_apps_is_left_out(http: Upstream, line: bytes) -> None:
    """
    An answer is not refused for one odd field: it comes without it.
    """
    head = b"HTTP/1.1 200 OK\r\nX-Good: yes\r\n" + line + b"\r\nContent-Length: 2\r\n\r\nok"
    async with faulty(Bytes(head)) as far_side, sent(http, far_side.url) as passed:
        assert (("X-Good", "yes"), ("Content-Length", "2"), ("Via", "1.1 upstash-helper")) == passed.headers
        assert b"ok" == b"".join([piece async for piece in passed.pieces])


# --- streaming --------------------------------------------------------------------------------------------------------


async def test_an_answer_is_handed_out_while_it_is_still_written(http: Upstream) -> None:
    """
    First the headers, then each piece as it comes: nothing is collected.
    """
    headers_seen, first_seen = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await headers_seen.wait()
        await response.write(b"first")
        await first_seen.wait()
        await response.write(b"second")
        return response

    async with far_api(handler) as far, sent(http, far.url, seconds=5.0) as passed:
        headers_seen.set()
        first = await anext(passed.pieces)
        first_seen.set()
        second = await anext(passed.pieces)

        assert (b"first", b"second") == (first, second)


async def test_a_body_is_passed_on_while_it_is_still_written(http: Upstream) -> None:
    """
    Upstash has the beginning before the app has written the end.
    """

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await far.body(request))

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await far.arrived.wait()
        yield b"second"

    async with far_api(handler) as far:
        assert (200, b"firstsecond") == await whole(http, far.url, "POST", body=body(), seconds=5.0)


async def test_an_answer_may_come_before_the_body_is_complete(http: Upstream) -> None:
    """
    Upstash need not read what it refuses.
    """
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"error": "too much"}, status=413)

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await never.wait()

    async with far_api(handler) as far:
        assert 413 == (await whole(http, far.url, "POST", body=body(), seconds=5.0))[0]


async def test_leaving_ends_the_exchange_amid_an_answer(http: Upstream) -> None:
    """
    An app that goes away leaves no download behind.
    """
    async with faulty(Flood(b"x" * 65536, b"HTTP/1.1 200 OK\r\n\r\n")) as far_side:
        async with sent(http, far_side.url) as passed:
            await anext(passed.pieces)
        async with asyncio.timeout(5):
            await far_side.gone.wait()


async def test_leaving_ends_the_exchange_before_an_answer(http: Upstream) -> None:
    """
    Nobody waits for what nobody wants any more, and nothing is learned from it about Upstash.
    """
    async with faulty(Hang()) as far_side:
        waiting = asyncio.create_task(whole(http, far_side.url, "POST"))
        await far_side.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        async with asyncio.timeout(5):
            await far_side.gone.wait()


class AppLeft(Exception):
    """What the API raises for a body that it does not get or does not take."""


@pytest.mark.parametrize("length", [None, 100])
async def test_a_body_that_breaks_off_is_no_request(http: Upstream, length: int | None) -> None:
    """
    Upstash does not take half of a body for all of it, the app's error is named, and Upstash is not blamed.
    """

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await far.body(request))

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await far.arrived.wait()
        raise AppLeft

    async with far_api(handler) as far:
        for _ in range(6):
            with pytest.raises(AppLeft):
                await whole(http, far.url, "POST", body=body(), length=length)
        async with asyncio.timeout(5):
            await far.left.wait()

        assert far.seen
        assert not any(request.whole for request in far.seen)


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_api_that_is_not_there_is_unavailable(http: Upstream, method: str) -> None:
    """
    Connecting is tried three times: nothing was sent.
    """
    async with late() as (far_side, _):
        with retries() as seen:
            error = await failed(http, far_side.url, method)

    assert ("upstream_unavailable", 2) == (error.code, len(seen))
    assert "may have been made" not in error.detail


async def test_a_body_is_sent_whole_once_there_is_a_connection(http: Upstream) -> None:
    """
    A short break of the network costs nothing of it.
    """
    async with late(answer("OK")) as (far_side, come_up):
        with retries(then=come_up):
            await whole(http, far_side.url, "POST", body=pieces(b"fir", b"st"), length=5)

        assert [b"first"] == [request.body for request in far_side.requests]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
@pytest.mark.parametrize("step", [Reset(), Bytes(b""), Bytes(b"HTTP/1.1 2"), Bytes(b"nonsense\r\n\r\n")])
async def test_what_was_sent_is_not_sent_again(http: Upstream, method: str, step: Step) -> None:
    """
    Whether to repeat it is for the app, which knows what it asked for.
    """
    async with faulty(step, answer("OK")) as far_side:
        error = await failed(http, far_side.url, method)

        assert ("upstream_unavailable", 1) == (error.code, len(far_side.requests))
        assert (method not in ("GET", "HEAD")) == ("may have been made" in error.detail)


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(http: Upstream) -> None:
    """
    A read goes on over a new connection, once.
    """
    async with faulty(answer(1), Reset(), answer(2), Reset(), Reset(), answer(3)) as far_side:
        await whole(http, far_side.url)
        assert (200, b"2") == await whole(http, far_side.url)
        assert "upstream_unavailable" == (await failed(http, far_side.url)).code

        assert [0, 0, 1, 1, 2] == [request.connection for request in far_side.requests]


async def test_a_change_gets_a_connection_of_its_own(http: Upstream) -> None:
    """
    A kept one may break under it, and nobody could tell whether it was taken.
    """
    async with faulty(*[answer("OK")] * 5) as far_side:
        for method, body in (("GET", None), ("GET", None), ("POST", None), ("GET", pieces(b"x")), ("DELETE", None)):
            await whole(http, far_side.url, method, body=body, length=None if body is None else 1)

        assert [0, 0, 1, 2, 3] == [request.connection for request in far_side.requests]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("step", [Hang(), Hang(b"HTTP/1.1 200 OK\r\n")])
async def test_t48_a_slow_api_is_a_timeout(http: Upstream, method: str, step: Step) -> None:
    """
    The app is told at the deadline, and the connection is closed.
    """
    async with faulty(step) as far_side:
        error = await failed(http, far_side.url, method, seconds=0.1)
        async with asyncio.timeout(5):
            await far_side.gone.wait()

    assert ("upstream_timeout", method == "POST") == (error.code, "may have been made" in error.detail)


async def test_a_slow_app_is_not_held_against_upstash(http: Upstream) -> None:
    """
    While the app's body is waited for, Upstash's time stands still.
    """

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await asyncio.sleep(0.6)  # the app takes its time
        yield b"second"

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await far.body(request))

    async with far_api(handler) as far:
        assert (200, b"firstsecond") == await whole(http, far.url, "POST", body=body(), seconds=0.3)


async def test_an_api_that_does_not_take_the_body_is_a_timeout(http: Upstream) -> None:
    """
    Who does not read does not answer either.
    """
    never = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024 * 1024

    async with far_api(handler) as far:
        assert "upstream_timeout" == (await failed(http, far.url, "POST", body=body(), seconds=0.3)).code


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
async def test_half_an_answer_does_not_look_whole(http: Upstream, step: Step, kind: type[HelperError]) -> None:
    """
    What came is handed out, and then its reader is told that there was more.
    """
    got = bytearray()

    async def read() -> None:
        async with sent(http, far_side.url, seconds=0.3) as passed:
            async for piece in passed.pieces:
                got.extend(piece)

    async with faulty(step) as far_side:
        with pytest.raises(kind):
            await read()

    assert b"half"[: len(got)] == got


async def test_t48_an_api_that_is_down_is_left_alone(http: Upstream, clock: FakeClock) -> None:
    """
    After five failures in a row an app is told when to come again; then one request is let through to see.
    """
    async with faulty(*[Answer(503)] * 5, answer("OK")) as far_side:
        for _ in range(5):
            assert 503 == (await whole(http, far_side.url))[0]

        error = await failed(http, far_side.url)
        clock.advance(10)
        after = await whole(http, far_side.url)

        assert ("upstream_unavailable", 10.0) == (error.code, error.retry_after)
        assert (200, 6) == (after[0], len(far_side.requests))


async def test_a_helper_that_stops_sends_nothing_more(http: Upstream) -> None:
    """
    Connections are not opened behind its back.
    """
    async with faulty() as far_side:
        await http.close()

        assert ("upstream_unavailable", []) == ((await failed(http, far_side.url)).code, far_side.sends)


async def test_plain_http_leads_to_this_machine_alone(http: Upstream) -> None:
    """
    The credential is not shown to the network.
    """
    assert "use https" in (await failed(http, "http://api.example")).detail


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
async def test_t48_no_secret_is_logged_or_told(http: Upstream, caplog: pytest.LogCaptureFixture, step: Step) -> None:
    """
    At DEBUG, with an API that repeats what it got, the credential shows in no log, error, header or representation.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    headers = (("Authorization", "Bearer s3cret-app-token"),)
    async with faulty(*[step] * 3) as far_side:
        try:
            async with sent(http, far_side.url, "POST", headers=headers, seconds=0.3) as passed:
                told = f"{passed!r} {passed.headers!r}"
                [_ async for _ in passed.pieces]
        except HelperError as error:
            logging.getLogger("test").exception("failed")
            told = f"{error!r} {error.detail} {error.__context__!r} {error.__cause__!r}"

    for text in [told, caplog.text, *(str(vars(record)) for record in caplog.records)]:
        assert "s3cret" not in text.lower()
        assert "b.example" not in text
        assert BASIC not in text


# --- the sandbox ------------------------------------------------------------------------------------------------------


async def test_the_whole_developer_api_is_reached(http: Upstream, far_side: Sandbox) -> None:
    """
    A database is made, read, renamed and deleted by paths that the passage knows nothing of.
    """
    email = f"ada-{secrets.token_hex(4)}@example.com"
    await far_side.account(email, "correct horse")
    key = await far_side.api_key(email, "k")
    credential = Credential(email=email, api_key=Secret(key), method="api_key", since=0.0)
    passage = DeveloperApiPassage(http=http, api_url=far_side.api_url)

    async def call(method: str, target: str, document: Any = None) -> Any:
        body = None if document is None else pieces(msgspec.json.encode(document))
        request = PassThroughRequest(method=method, target=target, headers=(), body=body)
        async with passage.open(credential, request) as passed:
            assert 200 == passed.status
            return msgspec.json.decode(b"".join([piece async for piece in passed.pieces]))

    order = {"database_name": "a", "platform": "aws", "primary_region": "us-east-1", "tls": True}
    made = await call("POST", "v2/redis/database", order)
    await call("POST", f"v2/redis/rename/{made['database_id']}", {"name": "b"})
    listed = await call("GET", "v2/redis/databases")
    deleted = await call("DELETE", f"v2/redis/database/{made['database_id']}")
    logs = await call("GET", "auditlogs")

    assert [(made["database_id"], "b")] == [(it["database_id"], it["database_name"]) for it in listed]
    assert ("OK", []) == (deleted, await call("GET", "v2/redis/databases"))
    assert logs
