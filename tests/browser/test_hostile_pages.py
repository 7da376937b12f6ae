"""Hostile pages in the user's browser learn and change nothing, even while a sign-in is pending."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import expect

from tests.browser.attacks import PAGE, PATHS, PREFETCH_PAGE, READ_ATTACKS, READ_POPUP, WRITE_ATTACKS, WRITES
from tests.support.browser import Console, Site, launch
from tests.support.effects import no_effect
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from playwright.async_api import Page, Playwright

    from tests.support.world import World

pytestmark = pytest.mark.slow

# Both are cross-origin to http://localhost:<port>: another site, and the same site on another port.
HOSTS = ("127.0.0.1", "localhost")


async def outcomes(page: Page, script: str, addresses: list[Any]) -> list[str]:
    """Run one attack on each address, and return what the page learned."""
    async with asyncio.timeout(30):
        return [str(await page.evaluate(script, address)) for address in addresses]


async def connect_and_start_sign_in(world: World) -> dict[str, Any]:
    """Connect an account, create a database, and start a sign-in."""
    await world.connect()
    await world.create("precious")
    return await world.start(force=True)


async def redirect_of(world: World, started: dict[str, Any]) -> str:
    """Sign in again and return the address of the redirect."""
    return await world.sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False)


async def is_pending(world: World, started: dict[str, Any]) -> bool:
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json
    return bool(attempt["state"] == "pending")


@pytest.mark.parametrize("script", READ_ATTACKS.values(), ids=READ_ATTACKS)
async def test_page_learns_nothing_from_loading_resources(
    world: World, page: Page, console: Console, home_page: str, script: str
) -> None:
    """
    A page that loads anything from the daemon, even with the ID of the attempt, does not learn whether it exists, and
    nothing changes.
    """
    console.expect(".")
    started = await connect_and_start_sign_in(world)
    paths = [path.format(attempt=started["attempt_id"]) for path in PATHS]
    # Chromium delays each further WebSocket to an address, so only the paths that are served there.
    addresses = [home_page + path for path in paths] + [world.pages + path for path in paths if "attempt" in path]
    for host in HOSTS:
        async with Site.serving({"/": PAGE}, host=host) as site:
            await page.goto(site.origin)
            async with no_effect(world):
                learned = await outcomes(page, script, addresses)

            assert ["nothing"] * len(addresses) == learned
    assert await is_pending(world, started)


@pytest.mark.parametrize("script", WRITE_ATTACKS.values(), ids=WRITE_ATTACKS)
async def test_requests_without_preflight_have_no_effect(
    world: World, page: Page, console: Console, home_page: str, script: str
) -> None:
    """
    Requests that a page can send without a CORS preflight change no account, no database, and no access request, and
    carry no credentials.
    """
    console.expect(".")
    started = await connect_and_start_sign_in(world)
    origins = (home_page, world.pages)
    sends = [[origin + path.format(attempt=started["attempt_id"]), body] for origin in origins for path, body in WRITES]
    for host in HOSTS:
        async with Site.serving({"/": PAGE}, host=host) as site:
            await page.goto(site.origin)
            async with no_effect(world):
                learned = await outcomes(page, script, sends)

            assert ["nothing"] * len(sends) == learned
    assert await is_pending(world, started)


@pytest.mark.parametrize("element", ["iframe", "embed", "object"])
async def test_helper_pages_cannot_be_framed(
    world: World, page: Page, console: Console, home_page: str, element: str
) -> None:
    """
    The helper's pages do not load in frames, which prevents clickjacking.
    """
    console.expect(".")
    started = await connect_and_start_sign_in(world)
    statuses: list[int] = []
    origins = (home_page, world.pages)
    page.on("response", lambda it: statuses.append(it.status) if it.url.startswith(origins) else None)
    name = "data" if element == "object" else "src"
    paths = ["/", "/?code=ATTACKER&state=guess", f"/?attempt={started['attempt_id']}", "/web/pages/page.css"]
    addresses = [origin + path for origin in origins for path in paths]
    frames = "".join(f"<{element} {name}='{address}'></{element}>" for address in addresses)
    async with Site.serving({"/": f"<!doctype html><title>Hostile</title><body>{frames}"}) as site:
        async with no_effect(world):
            await page.goto(site.origin, wait_until="load")

        assert [403] * len(addresses) == statuses
    assert await is_pending(world, started)


@pytest.mark.parametrize(
    "path", ["/?code=ATTACKER&state=guess", "/?error=access_denied&state=guess", "/?code=ATTACKER", "/?state=guess"]
)
async def test_redirect_with_an_attackers_code_has_no_effect(
    world: World, page: Page, console: Console, home_page: str, path: str
) -> None:
    """
    A page can open the redirect URI in a window. Without the state of an attempt, the window shows an explanation, and
    the opener can neither read it nor receives a message. The pending sign-in can still be finished.
    """
    console.expect("status of 40[04]")
    started = await connect_and_start_sign_in(world)
    async with Site.serving({"/": PAGE}) as site:
        await page.goto(site.origin)
        async with no_effect(world):
            async with page.expect_popup() as coming:
                await page.evaluate("(url) => { window.popup = window.open(url); }", home_page + path)
            popup = await coming.value
            title = "The address was cut off" if path == "/?code=ATTACKER" else "This sign-in has ended"
            await expect(popup.get_by_role("heading", level=1)).to_have_text(title)
            reading = await page.evaluate(READ_POPUP)
            await page.evaluate("popup.postMessage({ type: 'upstash-helper', state: 'succeeded' }, '*')")

        assert "" == reading
        assert [] == await page.evaluate("messages")
    assert await is_pending(world, started)
    await world.land(await redirect_of(world, started))
    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_prefetch_does_not_finish_a_sign_in(world: World, page: Page, console: Console, home_page: str) -> None:
    """
    A page cannot finish a sign-in by having the browser prefetch or prerender the redirect.
    """
    console.expect(".")
    started = await connect_and_start_sign_in(world)
    address = await redirect_of(world, started)
    async with (
        Site.serving({"/": PREFETCH_PAGE.replace("ADDRESS", address)}, host="localhost") as site,
        no_effect(world),
    ):
        await page.goto(site.origin, wait_until="networkidle")

    assert await is_pending(world, started)


async def test_dns_rebinding_is_rejected(world: World, playwright: Playwright, home_page: str) -> None:
    """
    A page whose host name resolves to this computer is rejected by its Host header.
    """
    started = await connect_and_start_sign_in(world)
    browser = await launch(playwright, "--host-resolver-rules=MAP rebound.test 127.0.0.1")
    page = await browser.new_page()

    async with no_effect(world):
        response = await page.goto(
            home_page.replace("localhost", "rebound.test") + f"/?attempt={started['attempt_id']}"
        )
    await browser.close()

    assert response is not None
    assert 421 == response.status
    assert await is_pending(world, started)
