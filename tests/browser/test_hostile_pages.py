"""Pages of strangers in the user's browser, while an account is connected and a sign-in runs: they get nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.attacks import AHEAD, ATTACKS, PATHS, READING, SENDING, SENDS, TOOLS
from tests.support.browser import Console, Site, launch
from tests.support.effects import no_effect
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from playwright.async_api import Page, Playwright

    from tests.support.world import World

pytestmark = pytest.mark.slow

# Both are foreign to http://localhost:<port>: another site, and the same site on another port.
HOSTS = ("127.0.0.1", "localhost")


async def outcomes(page: Page, script: str, addresses: list[Any]) -> list[str]:
    """Run one attack on each address, and return what the page could tell."""
    async with asyncio.timeout(30):
        return [str(await page.evaluate(script, address)) for address in addresses]


async def victim(world: World) -> dict[str, Any]:
    """Have something to take: an account, a database, and a sign-in that runs."""
    await world.connect()
    await world.create("precious")
    return await world.start(force=True)


async def signed_in(world: World, started: dict[str, Any]) -> str:
    """Return where Upstash sends the user who signs in again."""
    return await world.sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False)


async def untouched(world: World, started: dict[str, Any]) -> bool:
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return bool(attempt["state"] == "pending")


@pytest.mark.parametrize("script", ATTACKS.values(), ids=ATTACKS)
async def test_what_a_page_loads_from_us_tells_it_nothing(
    world: World, page: Page, console: Console, home_page: str, script: str
) -> None:
    """
    Whatever way a page has to load something of the daemon, even knowing the id of the attempt: it cannot tell what is
    there, and nothing happens.
    """
    console.expect(".")
    started = await victim(world)
    addresses = [home_page + path.format(attempt=started["attempt_id"]) for path in PATHS]
    for host in HOSTS:
        async with Site.serving({"/": TOOLS}, host=host) as site:
            await page.goto(site.origin)
            async with no_effect(world):
                told = await outcomes(page, script, addresses)

            assert ["nothing"] * len(addresses) == told
    assert await untouched(world, started)


@pytest.mark.parametrize("script", SENDING.values(), ids=SENDING)
async def test_what_a_page_sends_to_us_does_nothing(
    world: World, page: Page, console: Console, home_page: str, script: str
) -> None:
    """
    What a page can send without asking first reaches no account, no database, no queue of approvals, and nothing of
    what waits in the browser's memory is sent along.
    """
    console.expect(".")
    started = await victim(world)
    sends = [[home_page + path.format(attempt=started["attempt_id"]), body] for path, body in SENDS]
    for host in HOSTS:
        async with Site.serving({"/": TOOLS}, host=host) as site:
            await page.goto(site.origin)
            async with no_effect(world):
                told = await outcomes(page, script, sends)

            assert ["nothing"] * len(sends) == told
    assert await untouched(world, started)


@pytest.mark.parametrize("element", ["iframe", "embed", "object"])
async def test_no_page_of_ours_is_shown_in_a_strangers(
    world: World, page: Page, console: Console, home_page: str, element: str
) -> None:
    """
    Nothing can be laid over a page of ours to have the user click on it unawares.
    """
    console.expect(".")
    started = await victim(world)
    answers: list[int] = []
    page.on("response", lambda answer: answers.append(answer.status) if answer.url.startswith(home_page) else None)
    name = "data" if element == "object" else "src"
    paths = ["/", "/?code=ATTACKER&state=guess", f"/?attempt={started['attempt_id']}", "/web/pages/page.css"]
    frames = "".join(f"<{element} {name}='{home_page}{path}'></{element}>" for path in paths)
    async with Site.serving({"/": f"<!doctype html><title>Hostile</title><body>{frames}"}) as site:
        async with no_effect(world):
            await page.goto(site.origin, wait_until="load")

        assert [403] * len(paths) == answers
    assert await untouched(world, started)


@pytest.mark.parametrize(
    "path", ["/?code=ATTACKER&state=guess", "/?error=access_denied&state=guess", "/?code=ATTACKER", "/?state=guess"]
)
async def test_a_window_with_an_attackers_code_is_noise(
    world: World, page: Page, console: Console, home_page: str, path: str
) -> None:
    """
    A page may open our address in a window, as the sign-in does. Without the state of an attempt that is a page for the
    user, and the page that opened it neither reads it nor hears of it.
    """
    console.expect("status of 400")
    started = await victim(world)
    async with Site.serving({"/": TOOLS}) as site:
        await page.goto(site.origin)
        async with no_effect(world):
            async with page.expect_popup() as coming:
                await page.evaluate("(url) => { window.popup = window.open(url); }", home_page + path)
            popup = await coming.value
            await expect(popup.get_by_role("heading", level=1)).to_have_text("This sign-in has ended")
            reading = await page.evaluate(READING)
            await page.evaluate("popup.postMessage({ type: 'upstash-helper', state: 'succeeded' }, '*')")

        assert "" == reading
        assert [] == await page.evaluate("heard")
    assert await untouched(world, started)
    await world.land(await signed_in(world, started))
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_nothing_is_fetched_ahead_of_time(world: World, page: Page, console: Console, home_page: str) -> None:
    """
    A page cannot have the browser go through a sign-in's end ahead of the user.
    """
    console.expect(".")
    started = await victim(world)
    address = await signed_in(world, started)
    async with Site.serving({"/": AHEAD.replace("ADDRESS", address)}, host="localhost") as site, no_effect(world):
        await page.goto(site.origin, wait_until="networkidle")

    assert await untouched(world, started)


async def test_a_name_that_was_bent_to_us_is_refused(world: World, playwright: Playwright, home_page: str) -> None:
    """
    DNS rebinding: a page whose name suddenly means this computer is of the daemon's port, and not of its name.
    """
    started = await victim(world)
    browser = await launch(playwright, "--host-resolver-rules=MAP rebound.test 127.0.0.1")
    page = await browser.new_page()

    async with no_effect(world):
        answer = await page.goto(home_page.replace("localhost", "rebound.test") + f"/?attempt={started['attempt_id']}")
    await browser.close()

    assert answer is not None
    assert 421 == answer.status
    assert await untouched(world, started)
