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


def call(url: str, retry: RetryPolicy = RetryPolicy.ALWAYS, *, deadline: float = 20.0, limit: int = 65536) -> Request:
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
    """The clock of the client."""
    return FakeClock()


@pytest.fixture
async def http(clock: FakeClock) -> AsyncIterator[HttpClient]:
    """The client, with hardly a pause before a retry."""
    upstream = HttpClient(clock=clock, retry_seconds=0.001)
    yield upstream
    await upstream.close()


async def transport_failure(http: HttpClient, sent: Request) -> TransportFailed:
    """Return the failure of a request."""
    with pytest.raises(TransportFailed) as caught:
        await http.send(sent)
    return caught.value


# --- an answer --------------------------------------------------------------------------------------------------------


async def test_an_answer_is_returned_whatever_its_status(http: HttpClient) -> None:
    """
    A refusal is an answer too; what it means is for others to say.
    """
    async with faulty(answer({"error": "no"}, 418, Retry_After="3")) as far_side:
        reply = await http.send(call(far_side.url))

    assert (418, "application/json", 3.0, b'{"error": "no"}') == (
        reply.status,
        reply.media_type,
        reply.retry_after,
        reply.body,
    )


async def test_requests_name_the_program_and_carry_no_cookie(http: HttpClient) -> None:
    """
    Upstash can tell who asks; what an answer sets is not sent back.
    """
    async with faulty(answer({}, Set_Cookie="a=b; Path=/"), answer({})) as far_side:
        await http.send(call(far_side.url))
        await http.send(call(far_side.url))

        first, second = far_side.requests

    assert f"upstash-helper/{__version__}" == first.headers["user-agent"]
    assert "cookie" not in second.headers


async def test_a_path_is_sent_as_it_was_encoded(http: HttpClient) -> None:
    """
    An escaped slash stays one segment of the path.
    """
    async with faulty(answer({})) as far_side:
        await http.send(call(f"{far_side.url}/a%2Fb%20c"))

        assert ["GET /a%2Fb%20c/v2/thing"] == far_side.sends


async def test_calls_share_a_connection(http: HttpClient) -> None:
    """
    Reading calls in a row cost one handshake.
    """
    async with faulty(answer(1), answer(2), answer(3)) as far_side:
        for _ in range(3):
            await http.send(call(far_side.url))

        assert 1 == far_side.connections


@pytest.mark.parametrize("retry", [RetryPolicy.UNSENT, RetryPolicy.UNANSWERED])
async def test_what_must_not_be_repeated_gets_a_connection_of_its_own(http: HttpClient, retry: RetryPolicy) -> None:
    """
    A kept connection may break under the request, and then nobody could tell whether it was taken.
    """
    async with faulty(answer(1), answer(2), answer(3)) as far_side:
        for each in (RetryPolicy.ALWAYS, retry, retry):
            await http.send(call(far_side.url, each))

        assert [0, 1, 2] == [request.connection for request in far_side.requests]


async def test_a_kept_connection_that_was_closed_meanwhile_is_no_failure(http: HttpClient) -> None:
    """
    A server may close what it kept at any time; a reading call goes on over another connection.
    """
    async with faulty(answer(1), Reset(), answer(2)) as far_side:
        await http.send(call(far_side.url))
        reply = await http.send(call(far_side.url))

    assert b"2" == reply.body


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_t36_a_redirect_is_not_followed(http: HttpClient, status: int) -> None:
    """
    A credential goes to the configured address and nowhere else.
    """
    async with faulty() as elsewhere, faulty(Answer(status, b"", {"Location": f"{elsewhere.url}/x"})) as far_side:
        failure = await transport_failure(http, call(far_side.url))

        assert ("unreadable", "answered") == (failure.kind, failure.stage)
        assert 1 == len(far_side.requests)
        assert [] == elsewhere.sends


async def test_t36_a_declared_huge_body_is_not_read(http: HttpClient) -> None:
    """
    Ten megabytes that were announced are refused before the first of them.
    """
    async with faulty(Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n")) as far_side:
        failure = await transport_failure(http, call(far_side.url))
        await far_side.gone.wait()

    assert "unreadable" == failure.kind
    assert "larger than 65536 bytes" in failure.detail


async def test_t36_an_endless_body_ends_at_the_limit(http: HttpClient) -> None:
    """
    A body without a length is read up to the limit, whatever the server would still send.
    """
    async with faulty(Flood(b"x" * 65536)) as far_side:
        failure = await transport_failure(http, call(far_side.url, limit=100_000))
        await far_side.gone.wait()

    assert ("unreadable", "answered") == (failure.kind, failure.stage)
    assert far_side.sent < 10 * 1024 * 1024


async def test_t36_a_decompression_bomb_ends_at_the_limit(http: HttpClient) -> None:
    """
    The limit holds for what comes out of the decompression.
    """
    bomb = gzip.compress(b"\0" * 64 * 1024 * 1024)
    async with faulty(Answer(200, bomb, {"Content-Encoding": "gzip"})) as far_side:
        failure = await transport_failure(http, call(far_side.url, limit=100_000))

    assert len(bomb) < 100_000
    assert "unreadable" == failure.kind
    assert "larger than 100000 bytes" in failure.detail


async def test_compressed_answers_are_read(http: HttpClient) -> None:
    """
    A long list costs little to send.
    """
    body = b"[" + b"1," * 10_000 + b"1]"
    async with faulty(Answer(200, gzip.compress(body), {"Content-Encoding": "gzip"})) as far_side:
        reply = await http.send(call(far_side.url))

    assert body == reply.body


@pytest.mark.parametrize(
    "step",
    [Hang(), Hang(b"HTTP/1.1 200 O"), Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")],
    ids=["nothing", "part of the head", "part of the body"],
)
@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_t36_t48_the_deadline_holds_for_the_whole_answer(
    http: HttpClient, step: Hang, retry: RetryPolicy
) -> None:
    """
    A far side that stops in the middle is given up, and not asked again: it had its time.
    """
    async with faulty(step) as far_side:
        failure = await transport_failure(http, call(far_side.url, retry, deadline=0.1))
        await far_side.gone.wait()

        assert ("timeout", "answered" if step.data else "sent") == (failure.kind, failure.stage)
        assert 1 == len(far_side.requests)


async def test_plain_http_is_for_the_loopback_interface(http: HttpClient) -> None:
    """
    A credential is never sent in clear over a network.
    """
    failure = await transport_failure(http, call("http://upstash.test"))

    assert "connecting" == failure.stage
    assert "Use https" in failure.detail


async def test_a_closed_client_sends_nothing(http: HttpClient) -> None:
    """
    While the daemon stops, calls fail by name.
    """
    async with faulty() as far_side:
        await http.close()
        failure = await transport_failure(http, call(far_side.url))

        assert ("connecting", []) == (failure.stage, far_side.sends)


# --- what is sent again, and what is not ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("retry", "sends"), [(RetryPolicy.UNSENT, 1), (RetryPolicy.UNANSWERED, 3), (RetryPolicy.ALWAYS, 3)], ids=str
)
@pytest.mark.parametrize("step", [Reset(), Bytes(b"")], ids=["reset", "closed"])
async def test_t36_a_connection_broken_before_any_answer(
    http: HttpClient, step: Reset | Bytes, retry: RetryPolicy, sends: int
) -> None:
    """
    A request that may have arrived is repeated only where a repeat is harmless or refused, and three times at most.
    """
    async with faulty(*[step] * 5) as far_side:
        failure = await transport_failure(http, call(far_side.url, retry))

        assert ("network", "sent") == (failure.kind, failure.stage)
        assert sends == len(far_side.requests)


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
async def test_t36_a_connection_broken_within_the_answer(
    http: HttpClient, step: Bytes, retry: RetryPolicy, sends: int
) -> None:
    """
    One byte of an answer means that the request was taken: only what changes nothing is sent again.
    """
    async with faulty(*[step] * 5) as far_side:
        failure = await transport_failure(http, call(far_side.url, retry))

        assert ("network", "answered") == (failure.kind, failure.stage)
        assert sends == len(far_side.requests)


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_what_is_not_http_is_unreadable(http: HttpClient, retry: RetryPolicy) -> None:
    """
    Another kind of server at the address is a failure with a name, and is asked once.
    """
    async with faulty(Bytes(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")) as far_side:
        failure = await transport_failure(http, call(far_side.url, retry))

        assert ("unreadable", "answered", 1) == (failure.kind, failure.stage, len(far_side.requests))


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_t36_a_refused_connection_is_tried_three_times(http: HttpClient, retry: RetryPolicy) -> None:
    """
    As long as nothing was sent a retry does no harm, and there are two of them, at growing intervals.
    """
    async with late() as (far_side, _):
        with retries() as seen:
            failure = await transport_failure(http, call(far_side.url, retry))

    assert ("network", "connecting") == (failure.kind, failure.stage)
    assert [1, 2] == [retry.retry_num for retry in seen]
    assert 0.001 <= seen[0].wait_for <= 0.002 <= seen[1].wait_for <= 0.003


@pytest.mark.parametrize("retry", EVERY_RESEND)
async def test_a_service_that_comes_up_in_between_is_reached(http: HttpClient, retry: RetryPolicy) -> None:
    """
    A short break of the network is not noticed.
    """
    async with late(answer("ok")) as (far_side, come_up):
        with retries(then=come_up):
            reply = await http.send(call(far_side.url, retry))

        assert b'"ok"' == reply.body
        assert 1 == len(far_side.requests)


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_t48_a_gateway_that_recovers_is_asked_again(http: HttpClient, status: int) -> None:
    """
    A reading call survives a hiccup of the gateway.
    """
    async with faulty(Answer(status), Answer(status), answer("ok")) as far_side:
        reply = await http.send(call(far_side.url))

    assert 200 == reply.status


async def test_t48_a_gateway_that_does_not_recover_is_asked_three_times(http: HttpClient) -> None:
    """
    After three tries the caller gets the answer as it is.
    """
    async with faulty(*[Answer(503)] * 5) as far_side:
        reply = await http.send(call(far_side.url))

        assert (503, 3) == (reply.status, len(far_side.requests))


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
async def test_t48_other_refusals_are_not_asked_again(http: HttpClient, step: Answer, retry: RetryPolicy) -> None:
    """
    Who asks for fewer requests does not get more of them, and a change that was answered is not repeated.
    """
    async with faulty(step, answer("ok")) as far_side:
        reply = await http.send(call(far_side.url, retry))

        assert (step.status, 1) == (reply.status, len(far_side.requests))


# --- the breaker ------------------------------------------------------------------------------------------------------


async def test_t48_a_service_that_is_down_is_left_alone(http: HttpClient, clock: FakeClock) -> None:
    """
    After five failed calls the next fail at once, and say when to come again; then one finds that it is back.
    """
    async with faulty(*[Answer(500)] * 5, answer("back")) as far_side:
        for _ in range(5):
            await http.send(call(far_side.url))

        refused = [await transport_failure(http, call(far_side.url)) for _ in range(20)]
        sent_while_down = len(far_side.requests)
        clock.advance(10)
        reply = await http.send(call(far_side.url))

    assert {("network", "connecting", 10.0)} == {(each.kind, each.stage, each.retry_after) for each in refused}
    assert 5 == sent_while_down
    assert b'"back"' == reply.body


async def test_t48_the_probe_is_not_retried(http: HttpClient, clock: FakeClock) -> None:
    """
    Finding out whether a service is back costs it one request.
    """
    async with faulty(*[Answer(500)] * 5, *[Answer(503)] * 3) as far_side:
        for _ in range(5):
            await http.send(call(far_side.url))
        clock.advance(10)

        reply = await http.send(call(far_side.url))

        assert (503, 6) == (reply.status, len(far_side.requests))


async def test_one_service_that_is_down_does_not_stop_another(http: HttpClient) -> None:
    """
    The sign-in works while the Developer API does not.
    """
    async with faulty(*[Answer(500)] * 5) as down, faulty(answer("ok")) as up:
        for _ in range(5):
            await http.send(call(down.url))

        reply = await http.send(call(up.url))

    assert 200 == reply.status


async def test_refusals_are_answers_of_a_service_that_works(http: HttpClient) -> None:
    """
    An account that may not do something does not open the breaker.
    """
    async with faulty(*[Answer(403), Answer(429)] * 5) as far_side:
        replies = [await http.send(call(far_side.url)) for _ in range(10)]

    assert [403, 429] * 5 == [reply.status for reply in replies]


async def test_a_cancelled_probe_does_not_lock_the_service_out(http: HttpClient, clock: FakeClock) -> None:
    """
    When the caller of the probe goes away, the next caller is the probe.
    """
    async with faulty(*[Answer(500)] * 5, Hang(), answer("back")) as far_side:
        for _ in range(5):
            await http.send(call(far_side.url))
        clock.advance(10)
        far_side.asked.clear()
        probe = asyncio.create_task(http.send(call(far_side.url)))
        await far_side.asked.wait()
        probe.cancel()
        await asyncio.wait([probe])

        reply = await http.send(call(far_side.url))

    assert b'"back"' == reply.body


# --- TLS and proxies --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority that nobody trusts by default."""
    return trustme.CA()


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    """The TLS context of a server on 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Return the context of a client for which that authority is one of the trusted."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_the_tls_context_is_made_late_and_once_and_in_a_worker(
    authority: trustme.CA, server_tls: ssl.SSLContext
) -> None:
    """
    Loading the trust store holds up neither the start nor the event loop.
    """
    makers: list[threading.Thread] = []

    def make() -> ssl.SSLContext:
        makers.append(threading.current_thread())
        return trusting(authority)

    http = HttpClient(clock=FakeClock(), tls=make)
    async with faulty(answer("plain")) as plain, faulty(*[answer("tls")] * 3, tls=server_tls) as far_side:
        await http.send(call(plain.url))
        made_for_plain_http = len(makers)
        replies = await asyncio.gather(*(http.send(call(far_side.url)) for _ in range(3)))
        await http.close()

    assert 0 == made_for_plain_http
    assert 1 == len(makers)
    assert threading.main_thread() not in makers
    assert [b'"tls"'] * 3 == [reply.body for reply in replies]


async def test_a_certificate_that_is_not_trusted_stops_the_request(
    http: HttpClient, server_tls: ssl.SSLContext
) -> None:
    """
    Nothing is sent to a server that cannot prove its name, and the message says so.
    """
    async with faulty(tls=server_tls) as far_side:
        failure = await transport_failure(http, call(far_side.url))

        assert ("network", "connecting") == (failure.kind, failure.stage)
        assert "certificate" in failure.detail
        assert [] == far_side.sends


async def test_the_proxy_of_the_environment_is_used(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Behind a company's proxy the helper works; what the proxy is told is the host, through a tunnel.
    """
    async with faulty(*[Answer(403)] * 3) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removeprefix("http://"))
        monkeypatch.setenv("no_proxy", "")
        failure = await transport_failure(http, call("https://api.upstash.test"))

        assert "proxy" in failure.detail
        assert "connecting" == failure.stage
        assert {"CONNECT api.upstash.test:443"} == set(proxy.sends)
        assert "s3cret" not in str(proxy.requests)


async def test_a_proxy_carries_bytes_that_it_cannot_read(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Through a tunnel the far side's own certificate counts, and a lost answer is told from an unsent request as well.
    """
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.upstash.test").configure_cert(inside)
    http = HttpClient(clock=FakeClock(), tls=lambda: trusting(authority), retry_seconds=0.001)
    async with faulty(answer("through"), Reset(), Bytes(b"H"), tls=inside) as far_side, tunnel(far_side.url) as carried:
        monkeypatch.setenv("https_proxy", carried.url)
        monkeypatch.setenv("no_proxy", "")
        reply = await http.send(call("https://api.upstash.test", RetryPolicy.UNSENT))
        lost = await transport_failure(http, call("https://api.upstash.test", RetryPolicy.UNSENT))
        broken = await transport_failure(http, call("https://api.upstash.test", RetryPolicy.UNSENT))
        await http.close()

        assert b'"through"' == reply.body
        assert ("sent", "answered") == (lost.stage, broken.stage)
        assert 3 == len(far_side.requests)
        assert carried.received
        assert b"s3cret" not in carried.received


async def test_the_loopback_interface_is_never_reached_through_a_proxy(
    authority: trustme.CA, server_tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    The sandbox is on this machine, whatever the environment says about the rest.
    """
    http = HttpClient(clock=FakeClock(), tls=lambda: trusting(authority))
    async with faulty() as proxy, faulty(answer(1)) as plain, faulty(answer(2), tls=server_tls) as secure:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("no_proxy", "")
        replies = [await http.send(call(plain.url)), await http.send(call(secure.url))]
        await http.close()

        assert [b"1", b"2"] == [reply.body for reply in replies]
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
async def test_nothing_secret_is_logged_or_carried_by_an_error(
    http: HttpClient, caplog: pytest.LogCaptureFixture, step: Answer, retry: RetryPolicy
) -> None:
    """
    Neither a DEBUG log nor an error, nor any error behind it, holds a header, a body or a part of an answer.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    behind: list[BaseException] = []
    async with faulty(*[step] * 3) as far_side:
        try:
            await http.send(call(far_side.url, retry, deadline=0.3))
        except TransportFailed as failure:
            error: BaseException | None = failure
            while error is not None:
                behind.append(error)
                error = error.__cause__ or error.__context__

    logged = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert "127.0.0.1" in caplog.text
    assert all("s3cret" not in text for text in [*logged, *map(repr, behind), *(str(vars(each)) for each in behind)])


def test_a_call_does_not_print_its_headers_and_body() -> None:
    """
    The repr of a request is fit for a log.
    """
    assert "s3cret" not in repr(call("http://localhost", RetryPolicy.UNSENT))
