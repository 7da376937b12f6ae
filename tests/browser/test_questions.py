"""Questions of apps in the dashboard: what is shown, and which clicks decide."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from playwright.async_api import expect

from tests.browser.dashboard import dashboard_link, open_dashboard, press
from tests.support.questions import DELETE, FOLDER, asking
from upstash_helper.broker.confirmations import Question

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from tests.support.world import App, World

OTHER = Question(action="database.delete", title='Delete the database "invoices"?', detail="All of it.", target="db-2")
MISSED = "That click was ignored"


async def agent(world: World) -> App:
    """Give an agent access."""
    return await world.pair("databases:delete", audience="mcp", name="Agent")


def card(page: Page, question: Question = DELETE) -> Locator:
    """Return the card of a question."""
    return page.get_by_role("article", name=question.title)


def decisions(page: Page) -> list[str]:
    """Return the list to which the decisions that the page sends are added."""
    sent: list[str] = []
    page.on("request", lambda it: sent.append(it.url) if it.method == "POST" and "/confirmations/" in it.url else None)
    return sent


async def test_question_names_what_is_destroyed_and_is_allowed(world: World, page: Page) -> None:
    """It appears without a reload. The tab's title counts it."""
    app = await agent(world)
    await open_dashboard(world, page)
    async with asking(world, app.id) as task:
        await expect(card(page)).to_contain_text(DELETE.detail)
        await expect(card(page)).to_contain_text("python")
        await expect(card(page)).to_contain_text("“Agent”")
        await expect(page).to_have_title(f"(1) {(await page.title()).removeprefix('(1) ')}")
        await press(card(page).get_by_role("button", name="Allow"))
        answer = await asyncio.wait_for(task, 60)

        await expect(card(page)).to_have_count(0)
    assert "allowed" == answer


async def test_question_and_its_buttons_are_in_sight(world: World, page: Page) -> None:
    """Without scrolling, on a small laptop and on a phone, where the navigation is at the bottom."""
    app = await agent(world)
    async with asking(world, app.id):
        await open_dashboard(world, page)
        for width, height in ((1280, 760), (1024, 600), (360, 640)):
            await page.set_viewport_size({"width": width, "height": height})
            for part in (*(card(page).get_by_role("button", name=name) for name in ("Deny", "Allow")), card(page)):
                await expect(part).to_be_in_viewport(ratio=1)
        places = [await it.bounding_box() for it in (card(page), page.get_by_role("navigation").first)]

    [question, navigation] = [it for it in places if it is not None]
    assert question["y"] + question["height"] <= navigation["y"]


async def test_yes_that_is_not_only_for_this_once_says_so(world: World, page: Page) -> None:
    """On the button."""
    app = await agent(world)
    async with asking(world, app.id, FOLDER) as task:
        await open_dashboard(world, page)
        await press(card(page, FOLDER).get_by_role("button", name="Allow from now on"))

        assert "allowed" == await asyncio.wait_for(task, 60)


async def test_question_is_denied(world: World, page: Page) -> None:
    """It waits already when the dashboard is opened, and Deny has the focus."""
    app = await agent(world)
    async with asking(world, app.id) as task:
        await page.goto(await dashboard_link(world))
        await expect(card(page).get_by_role("button", name="Deny")).to_be_focused()
        await press(card(page).get_by_role("button", name="Deny"))

        assert "denied" == await asyncio.wait_for(task, 60)


async def test_question_that_is_over_disappears(world: World, page: Page) -> None:
    """Because it was decided elsewhere, or the app gave up."""
    app = await agent(world)
    await open_dashboard(world, page)
    async with asking(world, app.id):
        await expect(card(page)).to_be_visible()
        [one] = world.daemon.confirmations().waiting
        world.daemon.confirmations().deny(one.id)
        await expect(card(page)).to_have_count(0)
        await expect(page.get_by_text(f"“{DELETE.title}” was denied elsewhere.").first).to_be_attached()
    async with asking(world, app.id, OTHER):
        await expect(card(page, OTHER)).to_be_visible()
    await expect(card(page, OTHER)).to_have_count(0)

    assert () == world.daemon.confirmations().waiting


async def test_t61_question_that_takes_the_place_of_another_is_not_under_the_pointer(world: World, page: Page) -> None:
    """A click that was meant for the first one decides nothing about the second."""
    app = await agent(world)
    await open_dashboard(world, page)
    sent = decisions(page)
    async with asking(world, app.id, OTHER) as other:
        async with asking(world, app.id):
            allow = card(page).get_by_role("button", name="Allow")
            await allow.hover()
            await expect(allow).to_be_enabled()
            place = await allow.bounding_box()
            assert place is not None
        await expect(card(page)).to_have_count(0)
        await page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        await expect(card(page, OTHER)).to_be_visible()

        assert not other.done()
    assert [] == sent


async def test_t61_click_on_a_question_that_has_just_appeared_decides_nothing(world: World, page: Page) -> None:
    """The user cannot have read it. The page says that the click was ignored."""
    app = await agent(world)
    await open_dashboard(world, page)
    sent = decisions(page)
    # Clicks in the same frame in which the card appears.
    await page.evaluate(
        """() => {
          new MutationObserver(() => document.querySelector('.approval [data-action="allow"]')?.click())
            .observe(document.body, {childList: true, subtree: true});
        }"""
    )
    async with asking(world, app.id) as task:
        await expect(page.get_by_text(MISSED)).to_be_visible()

        assert not task.done()
    assert [] == sent


async def test_names_that_an_app_chose_are_shown_as_text(world: World, page: Page) -> None:
    """They add no elements to the page."""
    app = await agent(world)
    await open_dashboard(world, page)
    hostile = Question(
        action="database.delete", title='Delete "<img src=x onerror=alert(1)>"?', detail="<b>x</b>", target="x"
    )
    async with asking(world, app.id, hostile):
        await expect(card(page, hostile)).to_contain_text("<b>x</b>")

        await expect(card(page, hostile).locator("img, b")).to_have_count(0)
        assert DELETE.target not in await card(page, hostile).inner_text()


async def test_app_is_shown_with_the_folders_that_the_user_agreed_to(world: World, page: Page) -> None:
    """Under Apps, where its access is revoked."""
    app = await agent(world)
    await world.daemon.apps.agree(app.id, "/home/me/project")

    await open_dashboard(world, page, "Apps")

    await expect(page.locator("article.app")).to_contain_text("May write .env files in")
    await expect(page.locator("article.app")).to_contain_text("/home/me/project")
    assert ["/home/me/project"] == (await world.get(f"/v1/apps/{app.id}")).json["folders"]
