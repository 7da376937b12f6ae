"""T56: the owner's pages for browsers that do not resolve their name: an address for which nobody can have prepared."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.daemon import DaemonProcess
from tests.support.other_programs import occupied
from tests.support.until import until_async
from tests.support.world import World, free_port
from upstash_helper.broker.apps.dashboard_sessions import IDLE_SECONDS
from upstash_helper.protocol.pages_origin import SITE
from upstash_helper.runtime.numeric_address import CHECK_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import Reply


@pytest.fixture(name="clock")
def _clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(name="world")
async def _world(tmp_path: Path, sandbox: Sandbox, daemon_port: int, clock: FakeClock) -> AsyncIterator[World]:
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield world


async def opened(world: World) -> tuple[str, str]:
    """Return the origin of the numeric address, and a ticket."""
    reply = await world.call("POST", "/v1/dashboard/tickets?numeric=true")
    found = re.fullmatch(r"(http://127\.\d+\.\d+\.\d+:\d+)/#ticket=(uht_[\w-]{43})", reply.json["numeric_url"])
    assert found
    assert reply.json["url"] == f"{world.pages}/#ticket={found[2]}"
    return found[1], found[2]


def own_page(origin: str, **more: str) -> dict[str, str]:
    """Return the headers of a page at ``origin``."""
    return {
        "Host": origin.removeprefix("http://"), "Origin": origin, "Sec-Fetch-Site": "same-origin",
        "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", **more,
    }  # fmt: skip


async def begin(world: World, origin: str, ticket: str, headers: dict[str, str] | None = None) -> Reply:
    """Exchange a ticket there."""
    sent = own_page(origin) if headers is None else headers
    return await world.call("POST", f"{origin}/v1/dashboard/sessions", {"ticket": ticket}, headers=sent, token=None)


def is_listening(origin: str) -> bool:
    """Return whether anything listens there."""
    host, _, port = origin.removeprefix("http://").partition(":")
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex((host, int(port))) == 0


async def test_t56_session_at_the_numeric_address_works_only_there(world: World) -> None:
    """The dashboard and its session work at exactly that Host and Origin."""
    origin, ticket = await opened(world)
    page = await world.get(f"{origin}/", headers={"Host": origin.removeprefix("http://")}, token=None)
    others = [f"http://localhost:{world.port}", f"http://localhost:{origin.rpartition(':')[2]}", "null"]

    refused = [await begin(world, origin, ticket, own_page(other)) for other in others]
    token = (await begin(world, origin, ticket)).json["token"]
    used = await world.call("DELETE", f"{origin}/v1/connection", token=token, headers=own_page(origin))
    elsewhere = await world.call("DELETE", "/v1/connection", token=token, headers=world.as_own_page())

    assert "<title>upstash-helper</title>" in page.text
    assert {403, 421} >= {reply.status for reply in refused}
    assert (200, 403) == (used.status, elsewhere.status)


async def test_t57_numeric_address_has_no_bridge(world: World) -> None:
    """The bridge's header is believed only from the named origin."""
    origin, _ = await opened(world)
    headers = own_page(origin, **{"Upstash-Helper-On-Behalf-Of": "https://bank.example"})
    body = {"name": "Bank", "scopes": ["databases:read"]}

    reply = await world.call("POST", f"{origin}/v1/pairings", body, headers=headers, token=None)

    assert (403, "on_behalf_not_allowed") == (reply.status, reply.code)


async def test_t56_numeric_address_is_open_only_while_it_is_used(world: World, clock: FakeClock) -> None:
    """Nothing is open before; it closes when no page has got a session, and when the session is over."""
    plain = (await world.call("POST", "/v1/dashboard/tickets")).json
    unused, _ = await opened(world)
    again, _ = await opened(world)
    clock.advance(CHECK_SECONDS)
    await until_async(lambda: not is_listening(unused))
    used, ticket = await opened(world)
    await begin(world, used, ticket)
    for _ in range(3):
        clock.advance(CHECK_SECONDS)
    while_used = is_listening(used)
    clock.advance(IDLE_SECONDS)
    await until_async(lambda: not is_listening(used))
    host = used.removeprefix("http://")
    after = await world.get("/", headers={"Host": host}, token=None)

    assert plain.get("numeric_url") is None
    assert unused == again != used
    assert while_used
    assert (421, "host_not_allowed") == (after.status, after.code)


async def test_t56_each_daemon_has_new_origins(world: World, tmp_path: Path, sandbox: Sandbox) -> None:
    """The name and the numeric address of one run do not help to guess those of another."""
    async with World.running(tmp_path / "other", sandbox, free_port()) as other:
        names = [one.pages.removeprefix("http://").partition(".")[0] for one in (world, other)]
        numeric = {(await opened(one))[0] for one in (world, other)}
        at_other = await world.get("/", headers=world.at_pages(Host=f"{names[1]}.{SITE}:{world.port}"), token=None)

    assert [16, 16] == [len(name) for name in names]
    assert names[0] != names[1]
    assert 2 == len(numeric)
    assert 421 == at_other.status


async def test_t56_program_at_the_other_loopback_address_gets_no_ticket(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Browsers prefer ``::1``, so a ticket for the name would be sent to a program that listens there."""
    options = {"client_id": sandbox.client_id, "auth_url": sandbox.auth_url, "api_url": sandbox.api_url}
    with (
        occupied("::1", daemon_port),
        DaemonProcess.running(tmp_path / "home", port=daemon_port, **options) as daemon,
    ):
        ticket = await asyncio.to_thread(daemon.client.open_dashboard)

    assert re.match(r"http://127\.\d+\.\d+\.\d+:\d+/#ticket=", ticket.url)
    assert ticket.url == ticket.numeric_url
