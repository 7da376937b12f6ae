"""No response names the version of the helper, Python, or aiohttp, so that nobody learns which faults to try."""

from __future__ import annotations

import asyncio
import re
import sys
from typing import TYPE_CHECKING

import aiohttp

from tests.support.served import LocalDaemon
from upstash_helper import __version__
from upstash_helper.api.server.connections import Limits

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

VERSIONS = re.compile(
    "|".join((r"(?i:aiohttp|python)/", re.escape(aiohttp.__version__), sys.version.split()[0], re.escape(__version__)))
)
HOST = "Host: localhost:{port}\r\n"

REQUESTS = {
    "health": "GET /health HTTP/1.1\r\n" + HOST,
    "description": "GET /openapi.json HTTP/1.1\r\n" + HOST,
    "page": "GET / HTTP/1.1\r\n" + HOST,
    "redirect": "GET /?code=a&state=b HTTP/1.1\r\n" + HOST,
    "script": "GET /connect.js HTTP/1.1\r\n" + HOST,
    "no token": "GET /v1/databases HTTP/1.1\r\n" + HOST,
    "no route": "GET /nowhere HTTP/1.1\r\n" + HOST,
    "wrong method": "PATCH /health HTTP/1.1\r\n" + HOST,
    "wrong host": "GET / HTTP/1.1\r\nHost: evil.example\r\n",
    "malformed": "GET / HTTP/9.9.9\r\n",
    "bad header": "GET / HTTP/1.1\r\nbad header\r\n" + HOST,
    "long line": "GET /" + "a" * 20_000 + " HTTP/1.1\r\n" + HOST,
    "preflight": "OPTIONS /v1/pairings HTTP/1.1\r\nOrigin: https://a.example\r\n"
    "Access-Control-Request-Method: POST\r\n" + HOST,
}


async def received(port: int, request: str, *, close: bool = True) -> str:
    """Send a request, and return everything that arrives until the server closes the connection."""
    end = "Connection: close\r\n\r\n" if close else "\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write((request.format(port=port) + end).encode())
    async with asyncio.timeout(10):
        found = await reader.read(-1)
    writer.close()
    return found.decode("latin-1")


async def test_no_response_of_the_daemon_has_a_version(tmp_path: Path) -> None:
    """
    Answers of routes, refusals of the guard, and errors of the HTTP server itself name no version; nor does the API's
    description, whose own version is the API's.
    """
    async with LocalDaemon.serving(tmp_path) as daemon:
        answers = {name: await received(daemon.port, text) for name, text in REQUESTS.items()}

    assert all(text.startswith("HTTP/1.") for text in answers.values()), answers
    assert {} == {name: found[0] for name, text in answers.items() if (found := VERSIONS.search(text))}
    assert '"version": "1"' in answers["description"]


async def test_refused_connection_has_no_version(tmp_path: Path) -> None:
    """The same applies when there are too many connections."""
    async with LocalDaemon.serving(tmp_path, limits=Limits(connections=0)) as daemon:
        answer = await received(daemon.port, "")

    assert answer.startswith("HTTP/1.1 503 ")
    assert VERSIONS.search(answer) is None


async def test_sandbox_has_no_version(sandbox: Sandbox) -> None:
    """The sandbox's answers have none either, like Upstash's."""
    async with aiohttp.ClientSession() as session:
        for url in (sandbox.api_url, sandbox.rest_url, f"{sandbox.api_url}/v2/redis/databases"):
            async with session.get(url) as answer:
                assert VERSIONS.search(str(answer.raw_headers)) is None
