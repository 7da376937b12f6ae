"""Hostile HTTP below the guard: framing, sizes, slow clients, and numbers of connections (T18 to T23, T42)."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import time
from typing import TYPE_CHECKING, cast

import psutil
import pytest

from tests.support.rawhttp import Answer, connected, exchange, get, request
from tests.support.served import LocalDaemon, RecordingServer
from tests.support.until import until_async
from upstash_helper.api.server.body import BODY_LIMIT, BODY_SECONDS
from upstash_helper.api.server.connections import Limits
from upstash_helper.runtime.logs import NOISY_BUDGET, log_to

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /upload HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

QUICK = Limits(idle_seconds=0.5, linger_seconds=0.1, answer_seconds=0.5)


@pytest.fixture(name="server")
async def _server() -> AsyncIterator[RecordingServer]:
    async with RecordingServer.serving(limits=QUICK) as server:
        yield server


@pytest.fixture(name="daemon")
async def _daemon(tmp_path: Path) -> AsyncIterator[LocalDaemon]:
    async with LocalDaemon.serving(tmp_path) as daemon:
        yield daemon


# --- T18: where one request ends and the next begins ------------------------------------------------------------------

AT_ONCE = {
    "length and chunked": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
    "the same length twice": POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd",
    "a list of lengths": POST + b"Content-Length: 4, 4\r\n\r\nabcd",
    "length with a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "negative length": POST + b"Content-Length: -5\r\n\r\nabcde",
    "length with an underscore": POST + b"Content-Length: 1_0\r\n\r\nabcdefghij",
    "folded header": POST + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a header": POST + b"X: a\0b\r\n\r\n",
    "NUL in the target": b"GET /a\0b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bare LF everywhere": b"GET /a HTTP/1.1\nHost: localhost\n\n",
    "bare LF in a header": b"GET /a HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare CR in a header": b"GET /a HTTP/1.1\r\nHost: localhost\rX: y\r\n\r\n",
    "space before the colon": POST + b"Content-Length : 4\r\n\r\nabcd",
    "header without a name": b"GET /a HTTP/1.1\r\n: b\r\n\r\n",
    "nearly chunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked is not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked after a control": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk size is no number": CHUNKED + b"ZZ\r\nabc\r\n0\r\n\r\n",
    "chunk size with 0x": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "chunk size with a sign": CHUNKED + b"+3\r\nabc\r\n0\r\n\r\n",
    "chunk size overflows": CHUNKED + b"ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "chunk lines end in LF": CHUNKED + b"3\nabc\n0\n\n",
    "chunk longer than its size": CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n",
    "LF in a chunk extension": CHUNKED + b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "malformed trailer": CHUNKED + b"0\r\nX : y\r\n\r\n",
    "HTTP/0.9": b"GET /a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "request line too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "header too long": b"GET /a HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many headers": b"GET /a HTTP/1.1\r\n" + b"X: 1\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("hostile", AT_ONCE.values(), ids=AT_ONCE.keys())
async def test_t18_malformed_request_ends_its_connection(server: RecordingServer, hostile: bytes) -> None:
    """Whatever is wrong with the framing of a request, it gets one 400, and nothing after it is parsed as a request."""
    answers = await exchange(server.port, hostile + SMUGGLED)

    assert [400] == [answer.status for answer in answers]
    assert [] == server.handled


@pytest.mark.parametrize("path", ["/v1/databases", "/no-such-path", "/upstash/v2/x"])
async def test_t18_unknown_expectation_is_refused_like_any_malformed_request(daemon: LocalDaemon, path: str) -> None:
    """It is not quoted, and the answer has the form of all the others. aiohttp would answer before our guard."""
    headers = (("Expect", "banana"), ("Content-Length", "2"))
    hostile = request("POST", path, port=daemon.port, headers=headers, body=b"{}")

    answers = await exchange(daemon.port, hostile + SMUGGLED)

    assert [(400, "malformed_request")] == [(answer.status, answer.json["code"]) for answer in answers]
    assert b"banana" not in answers[0].body


LATER = {
    "chunk size is no number": (CHUNKED, b"ZZ\r\nabc\r\n0\r\n\r\n"),
    "second chunk has no size": (CHUNKED + b"3\r\nabc\r\n", b"ZZ\r\nabc\r\n0\r\n\r\n"),
    "chunk longer than its size": (CHUNKED + b"3\r\nabc", b"def\r\n0\r\n\r\n"),
    "malformed trailer": (CHUNKED + b"3\r\nabc\r\n0\r\n", b"X : y\r\n\r\n"),
}


@pytest.mark.parametrize(("first", "hostile"), LATER.values(), ids=LATER.keys())
async def test_t18_body_with_invalid_framing_ends_its_connection(
    server: RecordingServer, first: bytes, hostile: bytes
) -> None:
    """
    A handler that is reading the body gets an error as soon as the framing is invalid, and the only response is a
    400.
    """
    answers = await exchange(server.port, first, hostile + SMUGGLED)

    assert [400] == [answer.status for answer in answers]
    assert ["/upload"] == server.handled


async def test_t18_smuggled_request_is_not_executed(daemon: LocalDaemon) -> None:
    """No request with the owner's token can be hidden behind a body with two framings."""
    hostile = request(
        "POST",
        "/v1/connection",
        port=daemon.port,
        headers=(*daemon.owner, ("Content-Length", "4"), ("Transfer-Encoding", "chunked")),
        body=b"0\r\n\r\n",
    )

    answers = await exchange(
        daemon.port, hostile + request("GET", "/v1/daemon", port=daemon.port, headers=daemon.owner)
    )

    assert [400] == [answer.status for answer in answers]


async def test_t18_error_response_is_constant(server: RecordingServer) -> None:
    """The response to a malformed request is a constant problem, whatever was sent."""
    [answer] = await exchange(server.port, b"GET /<script>alert(1)</script>\0 HTTP/1.1\r\n\r\n")

    assert "application/problem+json; charset=utf-8" == answer.headers["content-type"]
    assert ("malformed_request", 400) == (answer.json["code"], answer.json["status"])
    assert b"script" not in answer.body


# --- T19: sizes -------------------------------------------------------------------------------------------------------


def _upload(daemon: LocalDaemon, *headers: tuple[str, str], body: bytes) -> bytes:
    return request("POST", "/v1/connection", port=daemon.port, headers=(*daemon.owner, *headers), body=body)


TOO_LARGE = {
    "by its length": ((("Content-Length", str(17 * 1024)),), b"x" * 17 * 1024),
    "by a length that never comes": ((("Content-Length", str(10**12)),), b"abc"),
    "by its chunks": ((("Transfer-Encoding", "chunked"),), b"4400\r\n" + b"x" * 0x4400 + b"\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize(("headers", "body"), TOO_LARGE.values(), ids=TOO_LARGE.keys())
async def test_t19_large_body_is_rejected_immediately(
    daemon: LocalDaemon, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    """
    A body above 16 KiB is rejected before it has arrived completely, and the connection is closed without waiting
    for the rest.
    """
    began = time.monotonic()

    answers = await exchange(daemon.port, _upload(daemon, *headers, body=body))

    assert [(413, "body_too_large")] == [(answer.status, answer.json["code"]) for answer in answers]
    assert time.monotonic() - began < 2.0


async def test_t19_compressed_body_is_rejected_unread(daemon: LocalDaemon) -> None:
    """A compressed body is rejected by its header, and uses no memory."""
    bomb = gzip.compress(bytes(50_000_000))[:BODY_LIMIT]
    refused = [_upload(daemon, ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))), body=body)
               for body in (bomb, b"this is no gzip")]  # fmt: skip
    await exchange(daemon.port, refused[0])
    before = psutil.Process().memory_info().rss

    answers: list[Answer] = []
    for _ in range(10):
        for hostile in refused:
            answers += await exchange(daemon.port, hostile)

    assert 20 * [(415, "unsupported_encoding")] == [(answer.status, answer.json["code"]) for answer in answers]
    assert psutil.Process().memory_info().rss - before < 5_000_000


async def test_t19_compressed_transfer_encoding_is_rejected(daemon: LocalDaemon) -> None:
    """``Transfer-Encoding: gzip, chunked`` is another form of compression."""
    hostile = _upload(daemon, ("Transfer-Encoding", "gzip, chunked"), body=b"0\r\n\r\n")

    answers = await exchange(daemon.port, hostile)

    assert [415] == [answer.status for answer in answers]


# --- T20: slowness ----------------------------------------------------------------------------------------------------


def test_t20_default_limits() -> None:
    """By default the daemon waits 15 seconds for headers and 5 for a body, and keeps at most 64 connections open."""
    limits = Limits()

    assert (15.0, 5.0, 16 * 1024, 64) == (limits.idle_seconds, BODY_SECONDS, BODY_LIMIT, limits.connections)


async def test_t20_silent_connection_is_closed(server: RecordingServer) -> None:
    """A client that connects and sends nothing is disconnected."""
    assert [] == await exchange(server.port, b"")


async def test_t20_slow_headers_do_not_extend_the_timeout(server: RecordingServer) -> None:
    """Headers that arrive byte by byte are cut off after the same time as silence."""
    began = time.monotonic()

    async with connected(server.port) as connection:
        dripping = asyncio.create_task(connection.drip(b"GET / HTTP/1.1\r\nX: " + b"a" * 1000, every=0.02))
        answers = await connection.until_closed()
        took = time.monotonic() - began
        dripping.cancel()

    assert [] == answers
    assert [] == server.handled
    assert took < 5.0


async def test_t20_idle_keep_alive_connection_is_closed(server: RecordingServer) -> None:
    """After a response the connection can be reused for a while, and is then closed."""
    answers = await exchange(server.port, request("GET", "/one"), request("GET", "/two"))

    assert [200, 200] == [answer.status for answer in answers]
    assert ["/one", "/two"] == server.handled


async def test_t20_slow_body_is_cut_off(server: RecordingServer) -> None:
    """A body that arrives byte by byte gets a 408 at its deadline, and the connection is closed."""
    async with connected(server.port) as connection:
        await connection.send(POST + b"Content-Length: 1000\r\n\r\n")
        dripping = asyncio.create_task(connection.drip(b"a" * 1000, every=0.02))
        answers = await connection.until_closed()
        dripping.cancel()

    assert [408] == [answer.status for answer in answers]


async def test_t20_slow_clients_do_not_block_others() -> None:
    """
    If every connection is used by a client that sends its headers slowly, another client is still served
    immediately.
    """
    async with contextlib.AsyncExitStack() as stack, asyncio.timeout(20):
        server = await stack.enter_async_context(RecordingServer.serving(limits=Limits(connections=16)))
        for _ in range(16):
            slow = await stack.enter_async_context(connected(server.port))
            await slow.send(b"GET / HTTP/1.1\r\nX: ")

        answer = await get(server.port, "/quick")

    assert 200 == answer.status
    assert ["/quick"] == server.handled


async def test_t20_client_that_does_not_read_its_response_is_disconnected(
    server: RecordingServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise it would keep its connection open forever."""
    caplog.set_level(logging.INFO)
    async with connected(server.port) as connection:
        reading = cast("asyncio.ReadTransport", connection.writer.transport)
        reading.pause_reading()
        await connection.send(request("GET", "/large"))
        await until_async(lambda: "response_not_read" in caplog.messages)
        reading.resume_reading()

        with pytest.raises(AssertionError, match="cut off"):
            await connection.until_closed()


# --- T21: numbers -----------------------------------------------------------------------------------------------------


async def test_t21_idle_connections_are_evicted(tmp_path: Path) -> None:
    """With 500 idle connections a new request is answered within a second, and the log stays short."""
    log = tmp_path / "log" / "daemon.log"
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(log_to(log, level="debug"))
        daemon = await stack.enter_async_context(LocalDaemon.serving(tmp_path))
        for _ in range(500):
            await stack.enter_async_context(connected(daemon.port))
        began = time.monotonic()

        answer = await get(daemon.port, "/health")
        took = time.monotonic() - began

    assert 200 == answer.status
    assert took < 1.0
    assert len(log.read_text().splitlines()) <= 10


async def test_t21_busy_connections_are_not_evicted() -> None:
    """Only idle connections are evicted, the one that has been idle longest first."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(RecordingServer.serving(limits=Limits(connections=3)))
        busy = await stack.enter_async_context(connected(server.port))
        await busy.send(request("GET", "/hold"))
        await server.held.acquire()
        used, unused = [await stack.enter_async_context(connected(server.port)) for _ in range(2)]
        await unused.send(b"GET / HTTP/1.1\r\n")
        await used.send(request("GET", "/first"))
        await used.answer()

        assert 200 == (await get(server.port, "/other")).status

        assert [] == await unused.until_closed()
        await used.send(request("GET", "/second"))
        assert 200 == (await used.answer()).status
        server.hold.set()
        assert 200 == (await busy.answer()).status


async def test_t21_new_connection_is_refused_if_none_is_idle() -> None:
    """If every connection has a pending request of the owner, the next one gets a 503 and is closed immediately."""
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(RecordingServer.serving(limits=Limits(connections=2)))
        for _ in range(2):
            busy = await stack.enter_async_context(connected(server.port))
            await busy.send(request("GET", "/hold"))
            await server.held.acquire()

        [answer] = await exchange(server.port, request("GET", "/"))

    assert (503, "too_many_connections") == (answer.status, answer.json["code"])


# --- T22: the log -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_t22_malformed_requests_do_not_flood_the_log(tmp_path: Path) -> None:
    """Ten thousand malformed requests leave a few lines, without any of their content."""
    log = tmp_path / "log" / "daemon.log"
    hostile = b"GET / HTTP/1.1\r\nAuthorization: Bearer sk-live-secret\r\nX : y\r\n\r\n"

    async def attack(port: int) -> list[int]:
        return [answer.status for _ in range(1250) for answer in await exchange(port, hostile)]

    with log_to(log, level="debug"):
        async with LocalDaemon.serving(tmp_path) as daemon:
            statuses = await asyncio.gather(*(attack(daemon.port) for _ in range(8)))

    assert 8 * [1250 * [400]] == statuses
    minutes = 3  # that it takes at the very most
    assert len(log.read_text().splitlines()) <= minutes * 2 * NOISY_BUDGET
    assert "sk-live" not in log.read_text()


async def test_t22_failing_handler_discloses_nothing(server: RecordingServer, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected error is a bare 500, with one log line that names its type."""
    with caplog.at_level(logging.DEBUG):
        [answer] = await exchange(server.port, request("GET", "/broken"))

    assert (500, "internal_error") == (answer.status, answer.json["code"])
    assert b"sk-live" not in answer.body
    assert "sk-live" not in caplog.text
    assert ["RuntimeError"] == [record.__dict__["error"] for record in caplog.records if record.msg == "request_failed"]


# --- T23: paths -------------------------------------------------------------------------------------------------------

PATHS = (
    "/..%2f..%2fetc/passwd", "/../../etc/passwd", "/v1/%2e%2e/x", "//v1//databases", "/%00", "/v1/databases%00",
    "/v1/databases/..;/x", "/" + "a" * 4096, "/v1\\databases", "/%ff%fe", "/%", "/%zz", "/\x80",
    "*", "localhost:3000", "http://localhost:3000/v1/databases", "http://[::bad/", "?", "",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_t23_unusual_paths_are_not_found(daemon: LocalDaemon, path: str) -> None:
    """A path that no proper client sends is denied or not found, even for the owner."""
    sent = request("GET", path, port=daemon.port, headers=(*daemon.owner, ("Connection", "close")))

    [answer] = await exchange(daemon.port, sent)

    assert answer.status in {400, 404}
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.status == json.loads(answer.body)["status"]


# --- T42: TLS ---------------------------------------------------------------------------------------------------------

CLIENT_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(192)


async def test_t42_tls_connection_is_closed_and_logged_once(
    daemon: LocalDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that forces https is disconnected immediately, and the log explains it once."""
    with caplog.at_level(logging.INFO):
        answers = [await exchange(daemon.port, CLIENT_HELLO) for _ in range(3)]

    assert 3 * [[]] == answers
    hints = [record.__dict__["hint"] for record in caplog.records if record.msg == "tls_on_plain_port"]
    assert 1 == len(hints)
    assert "it supports only http" in hints[0]
