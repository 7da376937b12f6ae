"""The window of a sign-in while the API key is created, and the traces that it leaves in the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import WebApp, sign_up
from tests.support.browser import violations
from tests.support.world import continued
from upstash_helper.protocol.messages import NEEDS_EMAIL

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

CONNECTED = "Your account has been connected"


async def token_requests(world: World) -> int:
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_progress_page_shows_success_without_a_reload(world: World, page: Page) -> None:
    """
    While the API key is created, the page shows the progress. It then shows the result without a reload, also to
    screen readers.
    """
    await world.sandbox.fault(method="POST", path="/apikey", latency=2)
    started = await world.start()
    await page.goto(await world.sign_in(started))
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("Connecting your account")
    await page.evaluate("window.isSamePage = true")
    found = await violations(page)

    await expect(heading).to_have_text(CONNECTED)

    assert [] == found
    assert await page.evaluate("window.isSamePage")
    assert f"{CONNECTED} · upstash-helper" == await page.title()
    await expect(page.get_by_role("status")).to_contain_text(CONNECTED)


async def test_progress_page_shows_a_failure_and_stays_open(world: World, page: Page) -> None:
    """
    If Upstash creates no API key, the page shows the reason and the next steps, and stays open.
    """
    await world.sandbox.fault(method="POST", path="/apikey", latency=1, status=403, body='{"error": "no more keys"}')
    started = await world.start()
    async with WebApp.running(world, page) as app:
        popup = await app.open_popup(await world.sign_in(started))
        heading = popup.get_by_role("heading", level=1)
        await expect(heading).to_have_text("Connecting your account")

        await expect(heading).to_have_text("Upstash did not create an API key")

        await expect(popup.get_by_text("upstash-helper connect --api-key")).to_be_visible()
        await expect(popup.locator(".closing")).to_have_text("You can close this window.")
        assert ["exchanging", "failed"] == [message["data"]["state"] for message in await app.messages()]


async def test_missing_email_shows_how_to_enter_it(world: World, page: Page) -> None:
    """
    If Upstash did not provide the email address, the page shows how to enter it, and stays open.
    """
    await world.sandbox.settings(id_token_email=False, userinfo=False)
    started = await world.start()

    await page.goto(await world.sign_in(started))
    await expect(page.get_by_role("heading", level=1)).to_have_text(NEEDS_EMAIL.title)

    shown = await page.locator("main").inner_text()
    assert NEEDS_EMAIL.detail in shown
    assert all(step.command in shown for step in NEEDS_EMAIL.steps)
    assert "You can close this window." in shown
    assert "needs_email" == (await world.get("/v1/connection")).json["state"]


async def test_page_without_javascript_refreshes(world: World, browser: Browser) -> None:
    """
    With JavaScript disabled, the page refreshes until it shows the result.
    """
    await world.sandbox.fault(method="POST", path="/apikey", latency=1)
    started = await world.start()
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(await world.sign_in(started))
    heading = page.locator("h1")
    await expect(heading).to_have_text("Connecting your account")

    await expect(heading).to_have_text(CONNECTED)
    shown = await page.locator("main").inner_text()
    await context.close()

    assert world.email in shown
    assert "You can close this window." in shown
    assert "connected" == (await world.get("/v1/connection")).json["state"]


async def test_page_shows_that_the_helper_does_not_respond_and_continues(
    world: World, page: Page, console: Console
) -> None:
    """
    If the helper stops responding, the window shows that, and continues when the helper is back.
    """
    console.expect("ERR_CONNECTION_REFUSED")
    started = await world.start()
    await world.sandbox.fault(method="POST", path="/oauth/token", latency=4)
    landed = await world.land(await world.sign_in(started))
    await page.route("**/state", lambda route: route.abort("connectionrefused"))
    await page.goto(continued(landed))
    await expect(page.locator(".closing")).to_have_text("The helper is not responding. Is it running?")

    await page.unroute("**/state")

    await expect(page.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    assert "You can close this window." == await page.locator(".closing").inner_text()
    assert world.email in await page.locator(".facts").inner_text()
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_other_pages_of_the_helper_are_notified(
    world: World, page: Page, context: BrowserContext, pages_origin: str
) -> None:
    """
    Other pages on the helper's origin are notified that a sign-in has ended.
    """
    other = await context.new_page()
    await other.goto(f"{pages_origin}/web/pages/icon.svg")
    await other.evaluate(
        """() => { window.notified = new Promise((resolve) =>
            new BroadcastChannel("upstash-helper").addEventListener("message", ({ data }) => {
                if (data.state === "succeeded") resolve(data);
            })); }"""
    )
    started = await world.start()

    await page.goto(await world.sign_in(started))
    message = await other.evaluate("window.notified")

    assert {"type": "upstash-helper", "attempt": started["attempt_id"], "state": "succeeded"} == message


async def test_reload_and_back_use_the_code_once(world: World, page: Page) -> None:
    """
    Reload, back, and forward show the same page, and send no other token request.
    """
    await world.sandbox.forget_requests()
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text(CONNECTED)

    await page.reload()
    await expect(heading).to_have_text(CONNECTED)
    await page.go_back()
    await page.go_forward()
    await expect(heading).to_have_text(CONNECTED)

    assert 1 == await token_requests(world)


async def test_code_is_not_in_address_history_or_referrer(world: World, page: Page, home_page: str) -> None:
    """
    After the sign-in, the address, the history, and the referrer contain neither the code nor the state.
    """
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - Playwright requires a function
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)
    await expect(page.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    entries = await page.evaluate("navigation.entries().map((entry) => entry.url)")
    timings = await page.evaluate("performance.getEntries().map((entry) => entry.name)")
    referrer = await page.evaluate("document.referrer")
    landed = [request for request in sent if request.url.startswith(home_page)]
    referers = [(await request.all_headers()).get("referer", "") for request in landed]

    assert page.url.startswith(f"{world.pages}/?attempt=")
    assert [page.url] == entries
    assert [] == [name for name in timings if "code=" in name or "state=" in name]
    assert "" == referrer
    assert not any("code=" in referer or home_page in referer for referer in referers)
