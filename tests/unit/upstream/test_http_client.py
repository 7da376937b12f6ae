import asyncio
import gzip
import logging
import ssl
import threading
from collections.abc import AsyncIterator

import pytest
import trustme

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Flood, Hang, Reset, answer, faulty, late, tunnel
from tests.support.retries import retries
from upstash_helper import __version__
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.request import Request, RetryPolicy, TransportFailed

EVERY_RESEND = list(RetryPolicy)


def request(
    url: str, retry: RetryPolicy = RetryPolicy.ALWAYS, *, deadline: float = 20.0, limit: int = 65536
) -> Request:
    """Return a request with secrets in it."""
    return Request(
        method="GET" if retry is RetryPolicy.ALWAYS else "POST",
        url=f"{url}/v2/thing",
        headers={"Authorization": "Basic s3cret-header"},
        body=None if retry is RetryPolicy.ALWAYS else b"s3cret-body",
        retry=retry,
        deadline=deadline,
        limit=limit,
    )


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


async def failed(http: HttpClient, sent: Request) -> TransportFailed:
    """Return the error of a request."""
    with pytest.raises(TransportFailed) as caught:
        await http.send(sent)
    return caught.value


# --- responses --------------------------------------------------------------------------------------------------------


async def test_response_is_returned_whatever_its_status(http: HttpClient) -> None:
    """
    An error status is a response too, which the caller interprets.
    """
    async with faulty(answer({"error": "no"}, 418, Retry_After="3")) as server:
        response = await http.send(request(server.url))

    assert (418, "application/json", 3.0, b'{"error": "no"}') == (
        response.status,
        response.media_type,
        response.retry_after,
        response.body,
    )


async def test_requests_have_a_user_agent_and_no_cookies(http: HttpClient) -> None:
    """
    Upstash can identify the program, and cookies of a response are not sent back.
    """
    async with faulty(answer({}, Set_Cookie="a=b; Path=/"), answer({})) as server:
        await http.send(request(server.url))
        await http.send(request(server.url))

        first, second = server.requests

    assert f"upstash-helper/{__version__}" == first.headers["user-agent"]
    assert "cookie" not in second.headers


async def test_path_encoding_is_preserved(http: HttpClient) -> None:
    """
    An escaped slash remains part of its path segment.
    """
    async with faulty(answer({})) as server:
        await http.send(request(f"{server.url}/a%2Fb%20c"))

        assert ["GET /a%2Fb%20c/v2/thing"] == server.sends


async def test_reads_share_a_connection(http: HttpClient) -> None:
    """
    Consecutive reads need one handshake.
    """
    async with faulty(answer(1), answer(2), answer(3)) as server:
        for _ in range(3):
            await http.send(request(server.url))

        assert 1 == server.connections


@pytest.mark.parametrize("retry", [RetryPolicy.UNSENT, RetryPolicy.UNANSWERED])
async def test_unrepeatable_requests_get_a_new_connection(http: HttpClient, retry: RetryPolicy) -> None:
    """
    A kept-alive connection may break during the request, and then it is unknown whether it was processed.
    """
    async with faulty(answer(1), answer(2), answer(3)) as server:
        for each in (RetryPolicy.ALWAYS, retry, retry):
            await http.send(request(server.url, each))

        assert [0, 1, 2] == [request.connection for request in server.requests]


async def test_read_survives_a_closed_keep_alive_connection(http: HttpClient) -> None:
    """
    A server may close a kept-alive connection at any time; a read uses another one.
    """
    async with faulty(answer(1), Reset(), answer(2)) as server:
        await http.send(request(server.url))
        response = await http.send(request(server.url))

    assert b"2" == response.body


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t36_redirects_are_not_followed(http: HttpClient, status: int) -> None:
    """
    A credential is sent to the configured URL and nowhere else.
    """
    async with faulty() as elsewhere, faulty(Answer(status, b"", {"Location": f"{elsewhere.url}/x"})) as server:
        failure = await failed(http, request(server.url))

        assert ("unreadable", "answered") == (failure.kind, failure.stage)
        assert 1 == len(server.requests)
        assert [] == elsewhere.sends


async def test_t36_body_declared_too_large_is_not_read(http: HttpClient) -> None:
    """
    A response of ten megabytes is rejected before its body is read.
    """
    async with faulty(Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")) as server:
        failure = await failed(http, request(server.url))
        await server.gone.wait()

    assert "unreadable" == failure.kind
    assert "larger than 65536 bytes" in failure.detail


async def test_t36_endless_body_is_cut_at_the_limit(http: HttpClient) -> None:
    """
    A body without a length is read up to the limit.
    """
    async with faulty(Flood(b"x" * 65536)) as server:
        failure = await failed(http, request(server.url, limit=100_000))
        await server.gone.wait()

    assert ("unreadable", "answered") == (failure.kind, failure.stage)
    assert server.sent < 10 * 1024 * 1024


async def test_t36_decompression_bomb_is_cut_at_the_limit(http: HttpClient) -> None:
    """
    The limit applies to the decompressed body.
    """
    bomb = gzip.compress(b"\0" * 64 * 1024 * 1024)
    async with faulty(Answer(200, bomb, {"Content-Encoding": "gzip"})) as server:
        failure = await failed(http, request(server.url, limit=100_000))

    assert len(bomb) < 100_000
    assert "unreadable" == failure.kind
    assert "larger than 100000 bytes" in failure.detail


async def test_compressed_responses_are_read(http: HttpClient) -> None:
    """
    A long list can be sent compressed.
    """
    body = b"[" + b"1," * 10_000 + b"1]"
    async with faulty(Answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})) as server:
        response = await http.send(request(server.url))

    assert body == response.body


@pytest.mark.parametrize(
    "step",
    [Hang(), Hang(b"HTTP/1.1 200 O"), Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
    ids=["nothing", "part of the head", "part of the body"],
)
@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_t36_t48_deadline_includes_the_whole_response(http: HttpClient, step: Hang, retry: RetryPolicy) -> None:
    """
    A server that stops in the middle is given up and not asked again.
    """
    async with faulty(step) as server:
        failure = await failed(http, request(server.url, retry, deadline=0.1))
        await server.gone.wait()

        assert ("timeout", "answered" if step.data else "sent") == (failure.kind, failure.stage)
        assert 1 == len(server.requests)


async def test_plain_http_is_allowed_for_loopback_only(http: HttpClient) -> None:
    """
    A credential is never sent in plaintext over a network.
    """
    failure = await failed(http, request("http://upstash.test"))

    assert "connecting" == failure.stage
    assert "Use https" in failure.detail


async def test_closed_client_rejects_requests(http: HttpClient) -> None:
    """
    While the daemon stops, requests fail.
    """
    async with faulty() as server:
        await http.close()
        failure = await failed(http, request(server.url))

        assert ("connecting", []) == (failure.stage, server.sends)


# --- retries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "sends"), [(RetryPolicy.UNSENT, 1), (RetryPolicy.UNANSWERED, 3), (RetryPolicy.ALWAYS, 3)], ids=str
)
@pytest.mark.parametrize("step", [Reset(), Bytes(b"")], ids=["reset", "closed"])
async def test_t36_connection_broken_before_a_response(
    http: HttpClient, step: Reset | Bytes, retry: RetryPolicy, sends: int
) -> None:
    """
    A request that may have been received is repeated only if that is harmless or rejected, and at most three times.
    """
    async with faulty(*[step] * 5) as server:
        failure = await failed(http, request(server.url, retry))

        assert ("network", "sent") == (failure.kind, failure.stage)
        assert sends == len(server.requests)


@pytest.mark.parametrize(
    ("retry", "sends"), [(RetryPolicy.UNSENT, 1), (RetryPolicy.UNANSWERED, 1), (RetryPolicy.ALWAYS, 3)], ids=str
)
@pytest.mark.parametrize(
    "step",
    [
        Bytes(b"H"),
        Bytes(b"H", reset=True),
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Ty", reset=True),
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", reset=True),
    ],
    ids=["a byte", "a byte, reset", "part of the head, reset", "part of the body", "part of the body, reset"],
)
async def test_t36_connection_broken_during_a_response(
    http: HttpClient, step: Bytes, retry: RetryPolicy, sends: int
) -> None:
    """
    The first byte of a response means that the request was processed: only reads are repeated.
    """
    async with faulty(*[step] * 5) as server:
        failure = await failed(http, request(server.url, retry))

        assert ("network", "answered") == (failure.kind, failure.stage)
        assert sends == len(server.requests)


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_response_that_is_not_http_is_unreadable(http: HttpClient, retry: RetryPolicy) -> None:
    """
    Another kind of server is a failure, and is asked once.
    """
    async with faulty(Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as server:
        failure = await failed(http, request(server.url, retry))

        assert ("unreadable", "answered", 1) == (failure.kind, failure.stage, len(server.requests))


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_t36_refused_connection_is_retried_twice(http: HttpClient, retry: RetryPolicy) -> None:
    """
    As long as nothing was sent, a retry is safe; the delays increase.
    """
    async with late() as (server, _):
        with retries() as seen:
            failure = await failed(http, request(server.url, retry))

    assert ("network", "connecting") == (failure.kind, failure.stage)
    assert [1, 2] == [retry.retry_num for retry in seen]
    assert 0.001 <= seen[0].wait_for <= 0.002 <= seen[1].wait_for <= 0.003


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_service_that_comes_up_between_retries_is_reached(http: HttpClient, retry: RetryPolicy) -> None:
    """
    A short network failure goes unnoticed.
    """
    async with late(answer("ok")) as (server, come_up):
        with retries(then=come_up):
            response = await http.send(request(server.url, retry))

        assert b'"ok"' == response.body
        assert 1 == len(server.requests)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_t48_gateway_error_is_retried_for_reads(http: HttpClient, status: int) -> None:
    """
    A read survives a temporary failure of the gateway.
    """
    async with faulty(Answer(status), Answer(status), answer("ok")) as server:
        response = await http.send(request(server.url))

    assert 200 == response.status


async def test_t48_last_gateway_error_is_returned_after_three_attempts(http: HttpClient) -> None:
    """
    After three attempts the caller gets the response.
    """
    async with faulty(*[Answer(503)] * 5) as server:
        response = await http.send(request(server.url))

        assert (503, 3) == (response.status, len(server.requests))


@pytest.mark.parametrize(
    ("step", "retry"),
    [
        (Answer(500), RetryPolicy.ALWAYS),
        (Answer(429), RetryPolicy.ALWAYS),
        (Answer(503, b"", {"Retry-After": "9"}), RetryPolicy.ALWAYS),
        (Answer(502), RetryPolicy.UNANSWERED),
        (Answer(502), RetryPolicy.UNSENT),
    ],
)
async def test_t48_other_error_statuses_are_not_retried(http: HttpClient, step: Answer, retry: RetryPolicy) -> None:
    """
    A rate limit is respected, and a change that got a response is not repeated.
    """
    async with faulty(step, answer("ok")) as server:
        response = await http.send(request(server.url, retry))

        assert (step.status, 1) == (response.status, len(server.requests))


# --- the circuit breaker ----------------------------------------------------------------------------------------------


async def test_t48_failing_service_is_left_alone(http: HttpClient, clock: FakeClock) -> None:
    """
    After five failed requests the next ones fail at once, with the time to wait; then one succeeds.
    """
    async with faulty(*[Answer(500)] * 5, answer("back")) as server:
        for _ in range(5):
            await http.send(request(server.url))

        refused = [await failed(http, request(server.url)) for _ in range(20)]
        sent_while_down = len(server.requests)
        clock.advance(10)
        response = await http.send(request(server.url))

    assert {("network", "connecting", 10.0)} == {(each.kind, each.stage, each.retry_after) for each in refused}
    assert 5 == sent_while_down
    assert b'"back"' == response.body


async def test_t48_probe_is_not_retried(http: HttpClient, clock: FakeClock) -> None:
    """
    Checking whether a service works again costs one request.
    """
    async with faulty(*[Answer(500)] * 5, *[Answer(503)] * 3) as server:
        for _ in range(5):
            await http.send(request(server.url))
        clock.advance(10)

        response = await http.send(request(server.url))

        assert (503, 6) == (response.status, len(server.requests))


async def test_each_service_has_its_own_breaker(http: HttpClient) -> None:
    """
    Signing in works while the Developer API is down.
    """
    async with faulty(*[Answer(500)] * 5) as down, faulty(answer("ok")) as up:
        for _ in range(5):
            await http.send(request(down.url))

        response = await http.send(request(up.url))

    assert 200 == response.status


async def test_client_errors_do_not_open_the_breaker(http: HttpClient) -> None:
    """
    An account without permission does not count as a failing service, and neither does an operation that it lacks.
    """
    async with faulty(*[Answer(403), Answer(429), Answer(501)] * 5) as server:
        responses = [await http.send(request(server.url)) for _ in range(15)]

    assert [403, 429, 501] * 5 == [response.status for response in responses]


async def test_canceled_probe_does_not_block_the_service(http: HttpClient, clock: FakeClock) -> None:
    """
    If the caller of the probe is canceled, the next request is the probe.
    """
    async with faulty(*[Answer(500)] * 5, Hang(), answer("back")) as server:
        for _ in range(5):
            await http.send(request(server.url))
        clock.advance(10)
        server.asked.clear()
        probe = asyncio.create_task(http.send(request(server.url)))
        await server.asked.wait()
        probe.cancel()
        await asyncio.wait([probe])

        response = await http.send(request(server.url))

    assert b'"back"' == response.body


# --- TLS and proxies --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that is not trusted by default."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS context of a server on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return a client context that trusts the authority."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_tls_context_is_created_once_in_a_thread_when_needed(
    authority: trustme.CA, server_tls: ssl.SSLContext
) -> None:
    """
    Loading the trust store delays neither the start nor the event loop.
    """
    makers: list[threading.Thread] = []

    def make() -> ssl.SSLContext:
        makers.append(threading.current_thread())
        return trusting(authority)

    http = HttpClient(clock=FakeClock(), tls=make)
    async with faulty(answer("plain")) as plain, faulty(*[answer("tls")] * 3, tls=server_tls) as server:
        await http.send(request(plain.url))
        made_for_plain_http = len(makers)
        responses = await asyncio.gather(*(http.send(request(server.url)) for _ in range(3)))
        await http.close()

    assert 0 == made_for_plain_http
    assert 1 == len(makers)
    assert threading.main_thread() not in makers
    assert [b'"tls"'] * 3 == [response.body for response in responses]


async def test_untrusted_certificate_stops_the_request(http: HttpClient, server_tls: ssl.SSLContext) -> None:
    """
    Nothing is sent to a server that cannot prove its identity, and the error says so.
    """
    async with faulty(tls=server_tls) as server:
        failure = await failed(http, request(server.url))

        assert ("network", "connecting") == (failure.kind, failure.stage)
        assert "certificate" in failure.detail
        assert [] == server.sends


async def test_proxy_of_the_environment_is_used(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The helper works behind a proxy, which only sees the host, through a tunnel.
    """
    async with faulty(*[Answer(403)] * 3) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "")
        failure = await failed(http, request("https://api.upstash.test"))

        assert "proxy" in failure.detail
        assert "connecting" == failure.stage
        assert {"CONNECT api.upstash.test:443"} == set(proxy.sends)
        assert "s3cret" not in str(proxy.requests)


async def test_proxy_tunnel_is_end_to_end_encrypted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    The server's own certificate is checked through a tunnel, and a lost response is still told from an unsent request.
    """
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.upstash.test").configure_cert(inside)
    http = HttpClient(clock=FakeClock(), tls=lambda: trusting(authority), retry_seconds=0.001)
    async with faulty(answer("through"), Reset(), Bytes(b"H"), tls=inside) as server, tunnel(server.url) as carried:
        monkeypatch.setenv("https_proxy", carried.url)
        monkeypatch.setenv("no_proxy", "")
        response = await http.send(request("https://api.upstash.test", RetryPolicy.UNSENT))
        lost = await failed(http, request("https://api.upstash.test", RetryPolicy.UNSENT))
        broken = await failed(http, request("https://api.upstash.test", RetryPolicy.UNSENT))
        await http.close()

        assert b'"through"' == response.body
        assert ("sent", "answered") == (lost.stage, broken.stage)
        assert 3 == len(server.requests)
        assert carried.received
        assert b"s3cret" not in carried.received


async def test_proxy_is_not_used_for_loopback(
    authority: trustme.CA, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The sandbox runs on this machine, whatever proxy is configured.
    """
    http = HttpClient(clock=FakeClock(), tls=lambda: trusting(authority))
    async with faulty() as proxy, faulty(answer(1)) as plain, faulty(answer(2), tls=server_tls) as secure:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        responses = [await http.send(request(plain.url)), await http.send(request(secure.url))]
        await http.close()

        assert [b"1", b"2"] == [response.body for response in responses]
        assert [] == proxy.sends


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        answer("ok"),
        Reset(),
        Bytes(b"s3cret-answer\r\n\r\n"),
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\ns3cret"),
        Hang(),
        Answer(302, b"s3cret", {"Location": "http://s3cret/"}),
        Answer(503, b"s3cret"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_logs_and_errors_contain_no_secrets(
    http: HttpClient, caplog: pytest.LogCaptureFixture, step: Answer, retry: RetryPolicy
) -> None:
    """
    Neither a DEBUG log nor an error or its causes contain headers, bodies or parts of a response.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    behind: list[BaseException] = []
    async with faulty(*[step] * 3) as server:
        try:
            await http.send(request(server.url, retry, deadline=0.3))
        except TransportFailed as failure:
            error: BaseException | None = failure
            while error is not None:
                behind.append(error)
                error = error.__cause__ or error.__context__

    logged = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert "127.0.0.1" in caplog.text
    assert all("s3cret" not in text for text in [*logged, *map(repr, behind), *(str(vars(each)) for each in behind)])


def test_repr_of_a_request_has_no_headers_and_body() -> None:
    """
    The repr of a request can be logged.
    """
    assert "s3cret" not in repr(request("http://localhost", RetryPolicy.UNSENT))
