"""How a daemon recognizes a sandbox, and does not take another server on this machine for one."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from tests.support.clock import FakeClock
from tests.support.sandbox import Sandbox
from upstash_helper.upstream.sandbox import ASK_SECONDS, PATH, RECHECK_SECONDS, SERVICE, SandboxCheck

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def urls_of(sandbox: Sandbox) -> dict[str, str]:
    """Return the URLs that a daemon would be configured with."""
    return {"api_url": sandbox.api_url, "rest_url": sandbox.rest_url, "issuer_url": sandbox.issuer_url}


@contextlib.asynccontextmanager
async def checked(urls: dict[str, str], clock: FakeClock | None = None) -> AsyncIterator[SandboxCheck]:
    """Yield the check, and close its connection at the end."""
    check = SandboxCheck(urls=urls, clock=clock or FakeClock())
    yield check
    await check.close()


class OtherServer:
    """A server at the API's address that counts its requests. ``answer`` is what it says about itself."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.seconds = 0.0
        self.requests = 0
        self.url = ""

    async def show(self, _request: web.Request) -> web.Response:
        """Return the answer."""
        self.requests += 1
        await asyncio.sleep(self.seconds)
        if isinstance(self.answer, web.Response):
            return web.Response(status=self.answer.status, text=self.answer.text, headers=self.answer.headers)
        return web.json_response(self.answer)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve it."""
        app = web.Application()
        app.add_routes([web.get(PATH, self.show)])
        runner = web.AppRunner(app)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.url = f"http://{host}:{port}"
            yield
        finally:
            await runner.cleanup()


async def test_sandbox_is_recognized(sandbox: Sandbox) -> None:
    """
    A sandbox is recognized if all URLs are its own, also under the name localhost.
    """
    named = {name: url.replace("127.0.0.1", "localhost") for name, url in urls_of(sandbox).items()}

    async with checked(urls_of(sandbox)) as check, checked(named) as by_name:
        assert (True, True) == (await check.is_sandbox(), await check.answers_now())
        assert await by_name.is_sandbox()


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("rest_url", "http://127.0.0.1:9"),
        ("issuer_url", "https://clerk.upstash.com"),
        ("rest_url", "https://{host}"),
        ("rest_url", "http://localhost.example.com:80"),
    ],
)
async def test_every_url_must_be_the_sandboxes(sandbox: Sandbox, name: str, url: str) -> None:
    """
    If one of the URLs leads elsewhere, secrets would go there, so it does not count as a sandbox.
    """
    async with checked({**urls_of(sandbox), name: url}) as check:
        assert (False, False) == (await check.is_sandbox(), await check.answers_now())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        [],
        {"service": SERVICE},
        {"service": "other", "auth_url": "", "api_url": "", "issuer_url": "", "rest_url": ""},
        web.Response(status=404, text="not found"),
        web.Response(status=302, headers={"Location": "https://api.upstash.com/"}),
        web.Response(text="<!doctype html>", content_type="text/html"),
        web.Response(text="{" * 10_000),
    ],
    ids=["empty", "list", "no URLs", "other service", "404", "redirect", "page", "large"],
)
async def test_other_server_on_this_machine_is_no_sandbox(answer: Any) -> None:
    """
    A server on the loopback interface, such as a tunnel to Upstash, is not a sandbox unless it says so completely.
    """
    server = OtherServer(answer)
    async with server.serving(), checked({"api_url": server.url}) as check:
        assert (False, False) == (await check.is_sandbox(), await check.answers_now())


async def test_server_is_asked_once_in_a_while() -> None:
    """
    The answer is remembered, and asked for again only later. A decision about access always asks.
    """
    clock, server = FakeClock(), OtherServer({})
    async with server.serving(), checked({"api_url": server.url}, clock) as check:
        server.answer = {"service": SERVICE, "auth_url": "", "api_url": server.url, "issuer_url": "", "rest_url": ""}
        first = [await check.is_sandbox() for _ in range(3)]
        asked = server.requests
        server.answer = {}
        clock.advance(RECHECK_SECONDS)
        later = await check.is_sandbox()
        await check.answers_now()

    assert ([True] * 3, 1, False, 3) == (first, asked, later, server.requests)


async def test_busy_sandbox_is_remembered() -> None:
    """
    If a sandbox does not answer in time, the user still sees that it is one.
    """
    clock, server = FakeClock(), OtherServer({})
    async with server.serving(), checked({"api_url": server.url}, clock) as check:
        server.answer = {"service": SERVICE, "auth_url": "", "api_url": server.url, "issuer_url": "", "rest_url": ""}
        before = await check.is_sandbox()
        server.seconds = ASK_SECONDS + 0.5
        clock.advance(RECHECK_SECONDS)
        during = await check.is_sandbox()

    assert (True, True, 2) == (before, during, server.requests)


async def test_nothing_is_asked_for_urls_elsewhere() -> None:
    """
    If a URL is not on this machine, no request is sent.
    """
    server = OtherServer({})
    async with server.serving(), checked({"api_url": server.url, "issuer_url": "https://upstash.example"}) as check:
        await check.is_sandbox()
        await check.answers_now()

    assert 0 == server.requests


async def test_stopped_sandbox_is_remembered_but_does_not_count_for_access(tmp_path: Path) -> None:
    """
    The user still sees that it was a sandbox. A decision about access requires that it answers.
    """
    clock = FakeClock()
    async with Sandbox.running(tmp_path / "data") as own, checked(urls_of(own), clock) as check:
        before = await check.is_sandbox()
        await own.stop()
        clock.advance(RECHECK_SECONDS)

        assert (True, True, False) == (before, await check.is_sandbox(), await check.answers_now())


async def test_identity_can_be_turned_off(sandbox: Sandbox) -> None:
    """
    For tests, a sandbox can pretend to be another server. The question is neither logged nor affected by faults.
    """
    await sandbox.forget_requests()
    await sandbox.fault(status=503, times=1)
    async with checked(urls_of(sandbox)) as check:
        recognized = await check.answers_now()
        await sandbox.settings(identity=False)
        hidden = await check.answers_now()

    assert (True, False, []) == (recognized, hidden, await sandbox.requests())
