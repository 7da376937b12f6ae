"""T67: many dashboards in one browser share one event stream, and a hidden one has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.browser.dashboard import dashboard_link
from tests.support.tabs import Chromium
from tests.support.until import until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.tabs import Tab
    from tests.support.world import World

TABS = 7
"""One more than the connections that a browser opens to one origin."""
APP = "https://app.example.com"
IS_OPEN = "document.querySelector('#main h1') !== null && document.querySelector('#main .skeleton') === null"
HAS_CARD = "document.querySelector('article.approval') !== null"


def streams(world: World) -> int:
    """Return how many event streams the helper has open."""
    return world.daemon.events.stream_count


async def windows(world: World, browser: Chromium, count: int) -> AsyncIterator[Tab]:
    """Open dashboards, each in a window of its own, so that all are visible, and wait until each has loaded."""
    for _ in range(count):
        tab = await browser.open(await dashboard_link(world), in_window=True)
        await tab.until(IS_OPEN)
        yield tab


async def test_t67_visible_dashboards_share_one_stream(world: World, tmp_path: Path) -> None:
    """
    With seven visible dashboards, the browser still reaches the helper, there is one stream, every dashboard shows a
    new request, and another one takes over when the one with the stream is closed.
    """
    async with Chromium.running(tmp_path / "profile") as browser:
        tabs = [tab async for tab in windows(world, browser, TABS)]
        await until_async(lambda: streams(world) == 1)
        health = await tabs[-1].evaluate(
            "fetch('/health', {signal: AbortSignal.timeout(5000)}).then((it) => it.status)"
        )
        callback = await browser.open(f"http://localhost:{world.settings.port}/?code=x&state=y", in_window=True)
        title = await callback.until("document.querySelector('h1')?.textContent")
        await world.ask("databases:read", origin=APP)
        for tab in tabs:
            await tab.until(HAS_CARD)
        most = streams(world)

        await tabs[0].close()
        await until_async(lambda: streams(world) == 1)
        [pairing] = (await world.get("/v1/pairings")).json["pairings"]
        await world.call("POST", f"/v1/pairings/{pairing['id']}/deny")
        for tab in tabs[1:]:
            await tab.until(f"!({HAS_CARD})")

    assert 200 == health
    assert title
    assert 1 == most


async def test_t67_hidden_dashboards_have_no_stream(world: World, tmp_path: Path) -> None:
    """Of several tabs, only the one in front follows events. One that is shown again loads what it has missed."""
    async with Chromium.running(tmp_path / "profile") as browser:
        tabs = []
        for _ in range(3):
            tabs.append(await browser.open(await dashboard_link(world)))
            await tabs[-1].until(IS_OPEN)
        await until_async(lambda: streams(world) == 1)
        await browser.open("about:blank")
        await until_async(lambda: streams(world) == 0)
        await world.ask("databases:read", origin=APP)
        seen_while_hidden = [await tab.evaluate(HAS_CARD) for tab in tabs]

        await tabs[0].to_front()
        await tabs[0].until(HAS_CARD)
        await until_async(lambda: streams(world) == 1)

    assert [False] * 3 == seen_while_hidden


async def test_t67_tabs_exchange_no_data(world: World, tmp_path: Path) -> None:
    """
    Another page in the origin hears only what kind of thing has changed, and what it says cannot put anything on the
    dashboard: each dashboard loads its data with its own session.
    """
    async with Chromium.running(tmp_path / "profile") as browser:
        leader, follower = [tab async for tab in windows(world, browser, 2)]
        stranger = await browser.open((await dashboard_link(world)).partition("#")[0], in_window=True)
        await stranger.until("document.querySelector('h1') !== null")
        await stranger.evaluate(
            "window.heard = []; window.channel = new BroadcastChannel('upstash-helper.events');"
            "channel.onmessage = ({ data }) => heard.push(data); true"
        )
        asked = (await world.ask("databases:read", origin=APP)).json
        for tab in (leader, follower):
            await tab.until(HAS_CARD)
        heard = await stranger.until("heard.length > 0 && heard")

        await world.call("POST", f"/v1/pairings/{asked['id']}/deny")
        await follower.until(f"!({HAS_CARD})")
        forged = "{id: 'x', state: 'pending', identity: {kind: 'web', shown: 'https://bank.example'}, scopes: []}"
        await stranger.evaluate(
            f"channel.postMessage({{type: 'changed', kind: 'pairing', data: {forged}}});"
            f"channel.postMessage({{kind: 'pairing', data: {forged}}}); channel.postMessage(null); true"
        )
        loaded = "performance.getEntriesByType('resource').filter((it) => it.name.endsWith('/v1/pairings')).length"
        before = await follower.evaluate(loaded)
        await stranger.evaluate("channel.postMessage({type: 'changed', kind: 'pairing'}); true")
        await follower.until(f"{loaded} > {before}")
        shown = await follower.evaluate("document.body.innerText")

    assert [{"type": "changed", "kind": "pairing"}] == heard
    assert "bank.example" not in shown


async def test_t67_dashboard_without_a_session_hears_nothing(world: World, tmp_path: Path) -> None:
    """A dashboard whose own session has ended closes, although others go on."""
    async with Chromium.running(tmp_path / "profile") as browser:
        _, follower = [tab async for tab in windows(world, browser, 2)]
        token = await follower.evaluate("sessionStorage.getItem('upstash-helper.session')")
        ended = await world.call("DELETE", "/v1/dashboard/sessions", token=token, headers=world.as_own_page())
        await world.ask("databases:read", origin=APP)
        title = await follower.until("document.querySelector('.welcome h1')?.textContent")
        has_card = await follower.evaluate(HAS_CARD)

    assert 204 == ended.status
    assert ("This session is over", False) == (title, has_card)
