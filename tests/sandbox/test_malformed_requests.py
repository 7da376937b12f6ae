"""Requests that no handler sees: the responses are like all others, and have nothing of aiohttp or of the request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.rawhttp import exchange
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

HOST = b"Host: localhost\r\n"
MALFORMED = {
    "unknown method": b"NONSENSE /s3cret HTTP/1.1\r\n" + HOST + b"\r\n",
    "no ASCII": b"GET /s3cret\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "version": b"GET /s3cret HTTP/1.10\r\n" + HOST + b"\r\n",
    "two hosts": b"GET /s3cret HTTP/1.1\r\n" + HOST + HOST + b"\r\n",
    "space in a name": b"GET / HTTP/1.1\r\n" + HOST + b"A s3cret: x\r\n\r\n",
    "no address": b"GET http://s3cret:99999999/ HTTP/1.1\r\n" + HOST + b"\r\n",
    "no length": b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: s3cret\r\n\r\n",
    "chunk size": b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\ns3cret\r\n",
    "fields": b"GET / HTTP/1.1\r\n" + HOST + b"X-s3cret: x\r\n" * 300 + b"\r\n",
    "TLS": b"\x16\x03\x01s3cret\r\n\r\n",
}
TOO_LONG = {
    "line": b"GET /" + b"s3cret" * 5000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "field": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"s3cret" * 5000 + b"\r\n\r\n",
}
EXPECT = b"POST /v2/redis/database HTTP/1.1\r\n" + HOST + b"Expect: s3cret\r\nContent-Length: 2\r\n\r\n{}"
CASES = {
    **{name: (400, "malformed HTTP request", data) for name, data in MALFORMED.items()},
    **{name: (400, "the request line or a header field is longer than 16384 bytes", data)
       for name, data in TOO_LONG.items()},
    "expect": (417, "Expect must be 100-continue", EXPECT),
}  # fmt: skip


@pytest.mark.parametrize("at", ["api_url", "rest_url"])
@pytest.mark.parametrize(("status", "text", "data"), CASES.values(), ids=CASES.keys())
async def test_malformed_request_is_answered_like_any_other(
    sandbox: Sandbox, status: int, text: str, data: bytes, at: str
) -> None:
    """
    The response is JSON with a text of the sandbox, names no program's version, and quotes nothing.
    """
    port = urlsplit(getattr(sandbox, at)).port or 0

    answers = await exchange(port, data)

    assert [(status, {"error": text})] == [(answer.status, answer.json) for answer in answers]
    assert answers[0].headers["content-type"].startswith("application/json")
    assert not re.search(r"aiohttp|Python|\d\.\d+\.\d", answers[0].headers.get("server", ""))


async def test_malformed_request_leaves_a_short_line_in_the_log(tmp_path: Path) -> None:
    """
    The person who runs the sandbox sees that something was refused, without a traceback and without the request.
    """
    async with Sandbox.running(tmp_path) as sandbox:
        port = urlsplit(sandbox.api_url).port or 0
        await exchange(port, MALFORMED["unknown method"])
        await sandbox.stop()
        log = await sandbox.stderr()

    assert "refused: malformed HTTP request" in log
    assert not re.search("Traceback|s3cret|aiohttp", log)


async def test_body_that_is_too_large_is_refused_in_the_sandbox_s_words(sandbox: Sandbox) -> None:
    """
    The text of aiohttp is not shown.
    """
    port = urlsplit(sandbox.api_url).port or 0
    body = b"x" * (1024 * 1024 + 1)
    head = (
        b"POST /oauth/token HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
    )

    answers = await exchange(port, head + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    assert [(413, {"error": "the request body is too large"})] == [(answer.status, answer.json) for answer in answers]
