"""The REST API over TLS."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from tests.sandbox.callers import Caller, bearer
from tests.support.clock import FakeClock
from tests.support.npm import run_with_client
from tests.support.rawhttp import exchange
from tests.support.sandbox import Sandbox, SandboxFailed
from upstash_helper.upstream.sandbox import SandboxCheck

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SCRIPT = """
import { Redis } from "@upstash/redis";
const redis = new Redis({ url: process.env.URL, token: process.env.TOKEN });
await redis.set("name", "Ada");
console.log(JSON.stringify([await redis.get("name"), await redis.multi().incr("n").incr("n").exec()]));
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def with_tls(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """A sandbox whose REST API is also available over TLS."""
    data = tmp_path_factory.mktemp("tls")
    async with Sandbox.running(data, arguments=("--rest-tls-port", "0")) as sandbox:
        yield sandbox


@pytest.fixture
async def tls_caller(with_tls: Sandbox, session: aiohttp.ClientSession) -> Caller:
    """A new account with an API key."""
    return await Caller.new(with_tls, session)


def trusting(sandbox: Sandbox) -> ssl.SSLContext:
    """Return a client's context that trusts the sandbox's certificate authority, and nothing else."""
    return ssl.create_default_context(cafile=sandbox.ready.tls_ca)


def can_listen(port: int) -> bool:
    """Return whether this user can listen on a port. On most systems, only administrators can below 1024."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


async def test_api_is_the_same_over_tls(tls_caller: Caller) -> None:
    """
    The URL that the sandbox prints has the same databases, and a certificate of the sandbox's own authority.
    """
    sandbox, database = tls_caller.sandbox, await tls_caller.create()
    await tls_caller.run(database, "SET", "name", "Ada")

    headers = {**bearer(database["rest_token"]), "Accept": "text/event-stream"}
    async with (
        tls_caller.session.get(
            f"{sandbox.ready.rest_tls_url}/get/name", headers=headers, ssl=trusting(sandbox)
        ) as response,
        tls_caller.session.get(
            f"{sandbox.ready.rest_tls_url}/subscribe/chat", headers=headers, ssl=trusting(sandbox)
        ) as events,
    ):
        value, confirmed = await response.json(), await events.content.readline()
        # Otherwise it is closed only once the server has confirmed the end of TLS, after this test.
        assert events.connection is not None
        assert events.connection.transport is not None
        events.connection.transport.abort()

    assert {"result": "Ada"} == value
    assert confirmed == b"data: subscribe,chat,1\n"


async def test_daemon_recognizes_the_sandbox_by_the_url(with_tls: Sandbox) -> None:
    """
    A daemon that uses the URL with TLS recognizes the sandbox, as one that uses the other URL does.
    """
    common = {"api_url": with_tls.api_url, "issuer_url": with_tls.issuer_url}
    urls = [
        with_tls.rest_url,
        str(with_tls.ready.rest_tls_url),
        str(with_tls.ready.rest_tls_url).replace("https", "http"),
    ]

    found = []
    for url in urls:
        check = SandboxCheck(urls={**common, "rest_url": url}, clock=FakeClock())
        found.append(await check.is_sandbox())
        await check.close()

    assert [True, True, False] == found


async def test_certificate_is_not_trusted_without_the_authority(tls_caller: Caller) -> None:
    """
    A client that was not told to trust the sandbox's authority refuses to connect.
    """
    url = tls_caller.sandbox.ready.rest_tls_url

    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        await tls_caller.session.get(f"{url}/ping")


async def test_upstash_redis_for_javascript_over_tls(tls_caller: Caller, tmp_path: Path) -> None:
    """
    `@upstash/redis`, unchanged, can use the URL if Node.js was told to trust the authority.
    """
    sandbox, database = tls_caller.sandbox, await tls_caller.create()

    out = await run_with_client(
        SCRIPT,
        tmp_path,
        URL=str(sandbox.ready.rest_tls_url),
        TOKEN=database["rest_token"],
        NODE_EXTRA_CA_CERTS=str(sandbox.ready.tls_ca),
    )

    assert ["Ada", [1, 2]] == json.loads(out)


async def test_port_is_kept_and_other_protocols_are_not_logged(tmp_path: Path) -> None:
    """
    The next start uses the same port. Plain HTTP on it ends the connection, without a traceback in the log.
    """
    async with Sandbox.running(tmp_path, arguments=("--rest-tls-port", "0")) as sandbox:
        before = sandbox.ready.rest_tls_url
        await exchange(URL(str(before)).port or 0, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await sandbox.restart()
        after = sandbox.ready.rest_tls_url
        await sandbox.stop()

        assert before == after
        assert "Traceback" not in await sandbox.stderr()


async def test_url_is_null_without_the_option(sandbox: Sandbox) -> None:
    """
    Without `--rest-tls-port`, nothing listens for TLS.
    """
    assert sandbox.ready.rest_tls_url is None


async def test_endpoint_is_a_rest_url_on_port_443(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    With port 443, `https://` and a database's `endpoint` is its REST URL, as at Upstash, and `endpoint:port` is its TCP
    address. Where this port cannot be used, the error names the option.
    """
    if not can_listen(443):
        with pytest.raises(SandboxFailed, match=r"port 443 of 127\.0\.0\.1: .* --rest-tls-port"):
            await Sandbox(tmp_path, arguments=("--rest-tls-port", "443")).start()
        return

    async with Sandbox.running(tmp_path, arguments=("--rest-tls-port", "443")) as sandbox:
        caller = await Caller.new(sandbox, session)
        database = await caller.create()
        url = f"https://{database['endpoint']}"
        async with session.get(
            f"{url}/ping", headers=bearer(database["rest_token"]), ssl=trusting(sandbox)
        ) as response:
            pong = await response.json()
        _, writer = await asyncio.open_connection(database["endpoint"], database["port"])
        writer.close()

    assert ({"result": "PONG"}, url) == (pong, sandbox.ready.rest_tls_url)
