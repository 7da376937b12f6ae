"""The window of a sign-in while the key is made, and what it leaves behind, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import WebApp, sign_up
from tests.support.browser import violations

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

CONNECTED = "Your account has been connected"


async def token_requests(world: World) -> int:
    return sum(seen["path"] == "/oauth/token" for seen in await world.sandbox.requests())


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
async def test_progress_turns_into_success_by_itself(world: World, page: Page) -> None:
    """
    While the key is being made the page says so, and turns into what comes next without being loaded again; a screen
    reader hears it.
    """
    await world.sandbox.fault(method="POST", path="/apikey", latency=2)
    started = await world.start()
    await page.goto(await world.sign_in(started))
    heading = page.get_by_role("heading", level=1)
    await expect(heading).to_have_text("Connecting your account")
    await page.evaluate("window.still = true")
    meanwhile = await violations(page)

    await expect(heading).to_have_text(CONNECTED)

    assert [] == meanwhile
    assert await page.evaluate("window.still")
    assert f"{CONNECTED} · upstash-helper" == await page.title()
    await expect(page.get_by_role("status")).to_contain_text(CONNECTED)


async def test_progress_turns_into_failure_by_itself(world: World, page: Page) -> None:
    """
    If Upstash makes no key, the page says why and what to do next, and stays.
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
        assert ["exchanging", "failed"] == [told["data"]["state"] for told in await app.messages()]


async def test_an_account_without_an_e_mail_is_asked_for_it(world: World, page: Page) -> None:
    """
    If Upstash did not tell whose key it is, the page says how to tell it, and does not go away.
    """
    await world.sandbox.settings(id_token_email=False, userinfo=False)
    started = await world.start()

    await page.goto(await world.sign_in(started))

    await expect(page.get_by_role("heading", level=1)).to_have_text("One more step")
    await expect(page.get_by_text("upstash-helper connect --email")).to_be_visible()
    await expect(page.locator(".closing")).to_have_text("You can close this window.")


async def test_without_a_script_the_page_asks_again_by_itself(world: World, browser: Browser) -> None:
    """
    A browser whose scripts are off shows the same, a second later.
    """
    await world.sandbox.fault(method="POST", path="/apikey", latency=1)
    started = await world.start()
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(await world.sign_in(started))
    heading = page.locator("h1")
    await expect(heading).to_have_text("Connecting your account")

    await expect(heading).to_have_text(CONNECTED)

    await expect(page.locator(".closing")).to_have_text("You can close this window.")
    await context.close()


async def test_a_helper_that_does_not_answer_is_told_and_waited_for(world: World, page: Page, console: Console) -> None:
    """
    If the helper stops while the window waits, the window says so; when it is back, the window goes on.
    """
    console.expect("ERR_CONNECTION_REFUSED")
    started = await world.start()
    await page.goto(f"http://localhost:{world.settings.port}/?attempt={started['attempt_id']}")
    await page.route("**/state", lambda route: route.abort("connectionrefused"))
    await expect(page.locator(".closing")).to_have_text("The helper is not responding. Is it running?")

    await page.unroute("**/state")
    await world.land(await world.sign_in(started))

    await expect(page.get_by_role("heading", level=1)).to_have_text(CONNECTED)
    await expect(page.locator(".closing")).to_have_text("You can close this window.")


async def test_other_pages_of_the_helper_are_told(
    world: World, page: Page, context: BrowserContext, home_page: str
) -> None:
    """
    A dashboard that is open hears that a sign-in has ended, whoever opened its window.
    """
    other = await context.new_page()
    await other.goto(f"{home_page}/web/pages/icon.svg")
    await other.evaluate(
        """() => { window.heard = new Promise((told) =>
            new BroadcastChannel("upstash-helper").addEventListener("message", ({ data }) => {
                if (data.state === "succeeded") told(data);
            })); }"""
    )
    started = await world.start()

    await page.goto(await world.sign_in(started))
    told = await other.evaluate("window.heard")

    assert {"type": "upstash-helper", "attempt": started["attempt_id"], "state": "succeeded"} == told


async def test_reload_and_back_spend_the_code_once(world: World, page: Page) -> None:
    """
    Whoever presses reload, or goes back and forth, sees the same page, and Upstash hears nothing of it.
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


async def test_the_code_is_in_no_address_history_or_referrer(world: World, page: Page, home_page: str) -> None:
    """
    What the browser shows, remembers and sends on after the sign-in has neither the code nor the state.
    """
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - Playwright wants a function
    started = await world.start()
    await page.goto(started["authorization_url"])
    await sign_up(page, world.email)
    await expect(page.get_by_role("heading", level=1)).to_have_text(CONNECTED)

    entries = await page.evaluate("navigation.entries().map((entry) => entry.url)")
    timings = await page.evaluate("performance.getEntries().map((entry) => entry.name)")
    referrer = await page.evaluate("document.referrer")
    landed = [request for request in sent if request.url.startswith(home_page)]
    referers = [(await request.all_headers()).get("referer", "") for request in landed]

    assert f"{home_page}/?attempt={started['attempt_id']}" == page.url
    assert [page.url] == entries
    assert [] == [name for name in timings if "code=" in name or "state=" in name]
    assert "" == referrer
    assert not any("code=" in referer or home_page in referer for referer in referers)
