"""Fixtures of the sandbox's tests: one shared sandbox process, and a new account for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.sandbox.callers import Caller, OAuthClient, OpenClient
from tests.support.json_commands import server_config
from tests.support.sandbox import Sandbox
from upstash_helper.sandbox.folder import Folder
from upstash_helper.sandbox.redis.backend import choose_backend, find_valkey
from upstash_helper.sandbox.redis.servers import DatabaseServer
from upstash_helper.sandbox.redis.tls import CertificateAuthority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """One process for all tests that do not stop it."""
    async with Sandbox.running(tmp_path_factory.mktemp("sandbox"), quick_sign_ups=True) as sandbox:
        yield sandbox


@pytest.fixture
async def sandbox(shared_sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """The shared sandbox, without faults and with default settings."""
    yield shared_sandbox
    await shared_sandbox.clear_faults()
    await shared_sandbox.settings()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def json_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DatabaseServer]:
    """A Valkey server with the sandbox's functions, without a sandbox."""
    folder = Folder(tmp_path_factory.mktemp("json"))
    try:
        find_valkey()
    except LookupError as reason:
        pytest.skip(f"platform: {reason}")
    server = choose_backend(folder, CertificateAuthority(folder, "127.0.0.1")).new_server("0123456789abcdef")
    await server.start(server_config())
    yield server
    await server.kill()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """An HTTP client that neither decompresses bodies nor stores cookies."""
    async with aiohttp.ClientSession(auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


@pytest.fixture
def client(sandbox: Sandbox, session: aiohttp.ClientSession) -> OAuthClient:
    """An app without a signed-in user."""
    return OAuthClient(sandbox, session)


@pytest.fixture
async def open_client(sandbox: Sandbox, session: aiohttp.ClientSession) -> OpenClient:
    """An app that has registered itself at the issuer, without a signed-in user."""
    return await OpenClient.new(sandbox, session)


@pytest.fixture
async def caller(sandbox: Sandbox, session: aiohttp.ClientSession) -> Caller:
    """A new account with an API key."""
    return await Caller.new(sandbox, session)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared_database(shared_sandbox: Sandbox) -> dict[str, Any]:
    """A database for all tests of a file."""
    async with aiohttp.ClientSession() as session:
        return await (await Caller.new(shared_sandbox, session)).create()
