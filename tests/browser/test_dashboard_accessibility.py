"""Accessibility of every section and state of the dashboard, and no overflow, from phone to desktop width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest
from playwright.async_api import expect

from tests.browser.connection_states import STATUSES, connection, show_connection
from tests.browser.dashboard import connection_card, dashboard_link, dialog, go_to, open_dashboard, press
from tests.support.browser import overflowing_elements, violations
from tests.support.questions import asking
from upstash_helper.broker.confirmations import Question

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.browser import Console
    from tests.support.world import World

pytestmark = pytest.mark.slow

COLOR_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (360, 768, 1440)
AXE_WIDTHS = (360, 1440)
LONG = "https://a-very-long-name-of-a-sub-domain.with-many-parts.and-even-more.preview.deployments.example-hosting.com"


async def problems_of(page: Page) -> list[str]:
    """Return the accessibility violations and the overflowing elements in both color schemes and at every width."""
    problems = []
    for width in WIDTHS:
        await page.set_viewport_size({"width": width, "height": 900})
        for scheme in COLOR_SCHEMES:
            await page.emulate_media(color_scheme=scheme)
            found = await overflowing_elements(page) + (await violations(page) if width in AXE_WIDTHS else [])
            problems += [f"{width}, {scheme}: {it}" for it in found]
    return problems


async def test_without_a_session(page: Page, home_page: str) -> None:
    """The page without a session is accessible."""
    await page.goto(home_page)
    await expect(page.get_by_role("heading", name="Open the dashboard")).to_be_visible()

    assert [] == await problems_of(page)


async def test_empty_sections(world: World, page: Page) -> None:
    """The sections of an unused helper are accessible and fit."""
    await open_dashboard(world, page)

    for section in ("Overview", "Databases", "Apps", "Activity", "Settings"):
        await go_to(page, section)
        assert [] == await problems_of(page), section


async def test_full_sections(world: World, page: Page) -> None:
    """The sections with databases, apps, a block, and a pending request with long names are accessible and fit."""
    await world.connect()
    await world.create("orders", read_regions=["eu-west-1"])
    await world.create("a" * 64)
    await world.pair(
        "connection:read", "databases:credentials", origin="https://studio.example.com", all_databases=True
    )
    await world.pair("databases:read", name="<b>" + "wide " * 40, once=True)
    blocked = (await world.ask("upstash:write", origin=LONG)).json
    await world.call("POST", f"/v1/pairings/{blocked['id']}/block")
    await world.ask(
        "databases:write",
        "databases:credentials",
        origin=LONG.replace("example-hosting", "other-hosting"),
        reason="Because. " * 50,
    )
    await open_dashboard(world, page)

    for section in ("Overview", "Databases", "Apps", "Activity", "Settings"):
        await go_to(page, section)
        assert [] == await problems_of(page), section


async def test_dialogs(world: World, page: Page) -> None:
    """The dialogs to create, show, and delete a database are accessible and fit."""
    await world.connect()
    await world.create("orders")
    await open_dashboard(world, page, "Databases")

    await page.get_by_role("button", name="New database").click()
    await dialog(page, "New database").get_by_text("Read regions", exact=True).click()
    await dialog(page, "New database").get_by_role("button", name="Create database").click()
    assert [] == await problems_of(page)
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="orders").click()
    panel = dialog(page, "orders")
    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_role("button", name="Hide the secrets")).to_be_visible()
    assert [] == await problems_of(page)

    await panel.get_by_role("button", name="Delete").click()
    await expect(dialog(page, "Delete the database?")).to_be_visible()
    assert [] == await problems_of(page)


async def test_access_request(world: World, page: Page) -> None:
    """A request whose buttons have to wait, its second question, and the place it leaves are accessible and fit."""
    await world.ask("databases:read", "databases:credentials", origin=LONG, reason="Because. " * 50)
    await page.goto(await dashboard_link(world))
    card = page.get_by_role("article")
    allow = card.get_by_role("button", name="Allow")
    await expect(allow).to_be_visible()

    waiting = await problems_of(page)
    await press(allow)
    question = dialog(page, "Allow this access?")
    await expect(question).to_be_visible()
    asking = await problems_of(page)
    await press(question.get_by_role("button", name="Allow"))
    await expect(question).to_have_count(0)
    await expect(allow).to_have_count(0)
    # The place is empty for as long as the pointer is on it.
    over = await problems_of(page)

    assert [] == waiting + asking + over
    assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_question_of_an_app(world: World, page: Page) -> None:
    """Its card, and the place that it leaves, with a long path and a long name."""
    app = await world.pair("databases:delete", audience="mcp", name="Agent " * 10)
    path = "/home/someone/" + "a-long-folder/" * 12 + ".env"
    question = Question(action="env.write", title=f'Write "{"o" * 80}" to {path}?', detail=f"It sets {path}. " * 5)
    async with asking(world, app.id, question) as task:
        await page.goto(await dashboard_link(world))
        deny = page.get_by_role("article").get_by_role("button", name="Deny")
        await expect(deny).to_be_visible()
        waiting = await problems_of(page)
        await press(deny)
        await task
        await expect(deny).to_have_count(0)
        over = await problems_of(page)

    assert [] == waiting + over


@pytest.mark.parametrize("name", STATUSES)
async def test_states_of_the_connection(world: World, page: Page, console: Console, name: str) -> None:
    """The card shows the API's title and detail for each state, has a button, is accessible, and fits."""
    console.expect("409")  # the daemon itself has no account
    await open_dashboard(world, page)

    await show_connection(page, name)

    card, sent = await connection_card(page), connection(name)
    assert sent["title"] in card
    assert sent.get("detail", "") in card
    await expect(page.get_by_role("region", name="Connection").get_by_role("button").first).to_be_visible()
    assert [] == await problems_of(page)
