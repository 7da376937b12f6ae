"""One-time links: what a browser gets on its command line, which other users may read."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.support.clock import FakeClock
from tests.support.peers import UnknownPeers
from tests.support.world import World, free_port
from upstash_helper.broker.apps.one_time_links import LINK_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

LINK = re.compile(r"http://127\.\d+\.\d+\.\d+:\d+/links/[\w-]{43}")
NAVIGATION = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


class Unidentified(UnknownPeers):
    """A system that does not report the users of connections."""

    def is_this_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """Return False: nobody knows."""
        return False

    def identifies_users(self) -> bool:
        """Return False."""
        return False


class Elsewhere(UnknownPeers):
    """Reports users, except those who follow links."""

    def is_this_user(self, local: tuple[str, int], remote: tuple[str, int]) -> bool:
        """Return False."""
        return False


async def follow(link: str, **headers: str) -> tuple[int, str, str]:
    """Open a link as a browser does. Return the status, the page, and its policy."""
    async with aiohttp.ClientSession() as session, session.get(link, headers={**NAVIGATION, **headers}) as response:
        return response.status, await response.text(), response.headers["Content-Security-Policy"]


async def dashboard_link(world: World, **parameters: str) -> dict[str, str]:
    """Return a ticket with a link."""
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    reply = await world.call("POST", f"/v1/dashboard/tickets?link=true{query}")
    assert 201 == reply.status, reply.text
    ticket: dict[str, str] = reply.json
    return ticket


async def test_link_opens_the_dashboard_once(world: World) -> None:
    """It has no ticket in it, continues to the address with one, and is used up."""
    ticket = await dashboard_link(world, section="key")

    status, page, policy = await follow(ticket["link"])
    again, used, _ = await follow(ticket["link"])

    assert LINK.fullmatch(ticket["link"])
    assert 200 == status
    assert f'data-address="{ticket["url"]}&amp;section=key"' in page
    assert f'data-fallback="{ticket["numeric_url"]}&amp;section=key"' in page
    assert f"connect-src {world.pages};" in policy
    assert 410 == again
    assert "This link has been used or has expired" in used
    assert "run the command in the terminal again" in used
    assert "ticket=" not in used


async def test_link_is_on_an_address_without_service_workers(world: World) -> None:
    """The addresses that other programs have used do not lead to a link's destination, and do not use it up."""
    ticket = await dashboard_link(world)
    path = "/links/" + ticket["link"].rpartition("/")[2]

    shared = await world.get(path, headers=NAVIGATION, token=None)
    status, _, _ = await follow(ticket["link"])

    assert (404, 200) == (shared.status, status)
    assert "ticket=" not in shared.text


async def test_link_expires(tmp_path: Path, sandbox: Sandbox) -> None:
    """Half a minute is enough for a browser to start."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, free_port(), clock=clock) as world:
        ticket = await dashboard_link(world)
        clock.advance(LINK_SECONDS)

        status, page, _ = await follow(ticket["link"])

    assert 410 == status
    assert "ticket=" not in page


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Purpose": "prefetch"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Dest": "iframe"},
    ],
    ids=["prefetch", "other site", "other port", "extension", "frame"],
)
async def test_link_is_only_used_up_by_opening_it(world: World, headers: dict[str, str]) -> None:
    """Neither a prefetch, another site's navigation, nor an extension that looks at addresses opens it."""
    ticket = await dashboard_link(world)

    refused, page, _ = await follow(ticket["link"], **headers)
    status, _, _ = await follow(ticket["link"])

    assert (403, 200) == (refused, status)
    assert "ticket=" not in page


async def test_link_is_for_this_user_only(tmp_path: Path, sandbox: Sandbox) -> None:
    """A program whose user the system does not report gets nothing from it."""
    async with World.running(tmp_path, sandbox, free_port(), peers=Elsewhere()) as world:
        ticket = await dashboard_link(world)

        status, page, _ = await follow(ticket["link"])

    assert 403 == status
    assert "upstash-helper open --print" in page
    assert "ticket=" not in page


async def test_browser_of_windows_opens_a_link_from_wsl(tmp_path: Path, sandbox: Sandbox) -> None:
    """
    It reaches only 127.0.0.1, so the link has the name of the pages; and with WSL's mirrored network, Linux does not
    know its user.
    """
    async with World.running(tmp_path, sandbox, free_port(), peers=Elsewhere(), in_wsl=True) as world:
        ticket = await dashboard_link(world)
        path = "/links/" + ticket["link"].rpartition("/")[2]

        opened = await world.get(path, headers=world.at_pages(**NAVIGATION), token=None)
        again = await world.get(path, headers=world.at_pages(**NAVIGATION), token=None)

    assert f"{world.pages}{path}" == ticket["link"]
    assert (200, 410) == (opened.status, again.status)
    assert ticket["url"] in opened.text


async def test_link_leads_to_the_numeric_address_on_request(world: World) -> None:
    """A user whose browser does not find the name, although something answers there, is not sent to it."""
    ticket = await dashboard_link(world, numeric="true", section="key")

    status, page, _ = await follow(ticket["link"])

    assert 200 == status
    assert f"{ticket['numeric_url']}&amp;section=key" in page
    assert ticket["url"] not in page
    assert "<script" not in page


async def test_no_link_where_users_are_unknown(tmp_path: Path, sandbox: Sandbox) -> None:
    """Such as in some sandboxes. The browser gets a private file then."""
    async with World.running(tmp_path, sandbox, free_port(), peers=Unidentified(), open_browser=True) as world:
        ticket = await dashboard_link(world)
        started = await world.call("POST", "/v1/connection?link=true", {"open_browser": False, "force": True})
        await world.call("POST", "/v1/connection", {"open_browser": True, "force": True})

    assert "link" not in ticket
    assert "link" not in started.json
    assert [None] == world.browser.links


async def test_sign_in_that_the_daemon_opens_has_a_link(world: World) -> None:
    """The state of the sign-in is not on the browser's command line."""
    started = await world.start(open_browser=True)
    [link] = world.browser.links

    assert link is not None
    status, page, _ = await follow(link)

    assert 200 == status
    assert "state=" not in link
    assert started["authorization_url"].replace("&", "&amp;") in page
    assert "<script" not in page


async def test_sign_in_that_a_tool_of_the_owner_opens_has_a_link(world: World) -> None:
    """Only the owner gets one, and only on request."""
    without = await world.start(force=True)
    reply = await world.call("POST", "/v1/connection?link=true", {"force": True})
    app = await world.pair("connection:read", "connection:write")
    as_app = await world.call("POST", "/v1/connection?link=true", {}, headers=app.headers)

    status, page, _ = await follow(reply.json["link"])

    assert "link" not in without
    assert 202 == as_app.status
    assert "link" not in as_app.json
    assert 200 == status
    assert reply.json["authorization_url"].replace("&", "&amp;") in page


@pytest.mark.parametrize(("platform", "public"), [("linux", True), ("freebsd14", True), ("darwin", False)])
def test_arguments_are_public_where_nothing_hides_them(platform: str, public: bool) -> None:  # noqa: FBT001
    """On other Unix systems than Linux, the users of connections are unknown, so there are no links."""
    code = """
import asyncio, pathlib, socket, ssl, sys
import aiohttp.web, msgspec
sys.platform = sys.argv[1]
from upstash_helper.runtime.compose import Machine
print(Machine.arguments_are_public)
"""
    done = subprocess.run([sys.executable, "-c", code, platform], capture_output=True, text=True, check=True)

    assert str(public) == done.stdout.strip()
