"""
T61: what is under the pointer changes at the moment of a click.

The mouse and the keyboard are the browser's own (DevTools protocol), so a click does what a real one would do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import access_request, dashboard_link, dialog, expect_notice, open_dashboard, press
from tests.support.replacement import attack
from tests.support.tabs import Chromium
from tests.support.world import as_page
from upstash_helper.broker.identity import MEANING, STRONG

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import FloatRect, Locator, Page

    from tests.support.world import World

APP, OTHER = "https://app.example.com", "https://other.example.net"
MISSED = "That click was ignored"
SOON = 0.9
"""Seconds within which a click follows a change: the delay. After it, a click is no test of the delay."""

TWO_FRAMES = "() => new Promise((shown) => requestAnimationFrame(() => requestAnimationFrame(shown)))"
HAS_NO_FOCUS = """() => new Promise((done, fail) => {
  const look = () => document.hasFocus() ? setTimeout(look, 5) : done();
  look();
  setTimeout(() => fail(new Error('The page still has the focus.')), 10_000);
})"""
CHANGE_AND_BLOCK = """() => {
  addEventListener('pointerdown', (event) => { window.pressed = event.timeStamp; }, {capture: true, once: true});
  document.querySelector('.approval-list').append(document.createElement('i'));
  const end = performance.now() + 3000;
  return Promise.resolve().then(() => {
    while (performance.now() < end);
    return end;
  });
}"""
ALLOW = '[data-action="allow"]'
CAN_ALLOW = f"document.querySelector('{ALLOW}')?.getAttribute('aria-disabled') === null"


def decisions(page: Page) -> list[str]:
    """Return the list to which the decisions that the page sends are added."""
    sent: list[str] = []
    page.on("request", lambda it: sent.append(it.url) if it.method == "POST" and "/v1/pairings/" in it.url else None)
    return sent


async def state_of(world: World, origin: str, asked: dict[str, str]) -> str:
    """Return the state of a request, as its app sees it."""
    reply = await world.get(f"/v1/pairings/{asked['id']}", headers=as_page(origin), token=asked["poll_secret"])
    state: str = reply.json["state"]
    return state


async def withdraw(world: World, origin: str, asked: dict[str, str]) -> None:
    """Withdraw a request, as its app."""
    path = f"/v1/pairings/{asked['id']}"
    reply = await world.call("DELETE", path, headers=as_page(origin), token=asked["poll_secret"])
    assert reply.status == 204, reply.text


async def box(control: Locator) -> FloatRect:
    """Return where a control is."""
    found = await control.bounding_box()
    assert found is not None
    return found


async def click_at(page: Page, place: FloatRect) -> None:
    """Click in the middle of a place, whatever is there."""
    await page.mouse.click(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)


async def settled(control: Locator) -> None:
    """Move the mouse to a control, and wait until a click on it counts."""
    await control.hover()
    await expect(control).to_be_enabled()


# --- requests that go and come ----------------------------------------------------------------------------------------


async def test_t61_withdrawn_request_leaves_its_place_empty(world: World, page: Page) -> None:
    """
    When the request under the pointer is withdrawn, no other one takes its place, and the click decides nothing. Once
    the pointer has left, the gap closes, and the next request can be allowed.
    """
    await open_dashboard(world, page)
    sent = decisions(page)
    first = (await world.ask("databases:read", origin=APP)).json
    second = (await world.ask("databases:read", origin=OTHER)).json
    card, other = access_request(page, APP), access_request(page, OTHER)
    await expect(other).to_be_visible()
    allow = card.get_by_role("button", name="Allow")
    await settled(allow)
    place, before = await box(allow), await box(other)

    await withdraw(world, APP, first)
    await expect(card).to_have_count(0)
    await click_at(page, place)
    gap = await page.get_by_text(f"{APP} no longer requests access").first.is_visible()
    after = await box(other)

    assert [] == sent
    assert gap
    assert before == after
    assert "pending" == await state_of(world, OTHER, second)

    await page.mouse.move(5, 5)
    await expect(page.locator(".gone")).to_have_count(0)
    await press(other.get_by_role("button", name="Allow"))
    await expect(other).to_have_count(0)
    assert "approved" == await state_of(world, OTHER, second)


async def test_t61_request_that_replaces_another_one_is_not_under_the_pointer(world: World, page: Page) -> None:
    """
    An app asks for more when the user is about to click. The new request comes last, in a place of its own, and can be
    decided once the user has moved there. The click decides nothing.
    """
    await open_dashboard(world, page)
    sent = decisions(page)
    first = (await world.ask("databases:read", origin=APP)).json
    card = access_request(page, APP)
    allow = card.get_by_role("button", name="Allow")
    await settled(allow)
    place = await box(allow)

    second = (await world.ask("databases:write", origin=APP)).json
    await expect(page.get_by_text(second["user_code"], exact=True)).to_be_visible()
    await click_at(page, place)
    await expect(page.get_by_text(first["user_code"], exact=True)).to_have_count(0)

    assert [] == sent
    await expect(page.get_by_text(f"{APP} has sent a new request").first).to_be_visible()
    await expect(card).to_have_count(1)
    await page.mouse.move(5, 5)
    await press(card.get_by_role("button", name="Allow"))
    await expect(card).to_have_count(0)
    assert "approved" == await state_of(world, APP, second)


async def test_t61_decided_request_leaves_its_place_empty(world: World, page: Page) -> None:
    """A double click on Deny, or a second Enter, denies one request and not the next."""
    await open_dashboard(world, page)
    sent = decisions(page)
    for origin in (APP, OTHER):
        await world.ask("databases:read", origin=origin)
    card, other = access_request(page, APP), access_request(page, OTHER)
    await expect(other).to_be_visible()
    deny = card.get_by_role("button", name="Deny")
    await settled(deny)
    before = await box(other)

    await deny.dblclick()
    await expect(page.get_by_text(f"{APP} was denied.").first).to_be_visible()
    await page.keyboard.press("Enter")

    assert 1 == len(sent)
    assert before == await box(other)
    assert [OTHER] == [it["identity"]["name"] for it in (await world.get("/v1/pairings")).json["pairings"]]


async def test_t61_keyboard_focus_keeps_the_place_empty(world: World, page: Page) -> None:
    """After a decision with the keyboard, the focus stays in that place, until the user moves it."""
    await open_dashboard(world, page)
    for origin in (APP, OTHER):
        await world.ask("databases:read", origin=origin)
    deny, next_deny = (access_request(page, it).get_by_role("button", name="Deny") for it in (APP, OTHER))
    await expect(next_deny).to_be_enabled()
    await page.keyboard.press("Tab")  # the page learns that the user has a keyboard
    await deny.focus()
    await page.evaluate(TWO_FRAMES)  # the focus may have scrolled the page
    await expect(deny).to_be_enabled()

    await page.keyboard.press("Enter")
    gone = page.locator(".gone p")
    await expect(gone).to_be_focused()
    text = await gone.inner_text()
    await page.keyboard.press("Tab")
    await expect(gone).to_have_count(0)

    assert f"{APP} was denied." == text
    assert [OTHER] == [it["identity"]["name"] for it in (await world.get("/v1/pairings")).json["pairings"]]
    assert await page.locator(":focus").evaluate("(it) => it.closest('[data-key]') !== null")


async def test_t61_new_request_comes_last_and_restarts_the_delay(world: World, page: Page) -> None:
    """A request that arrives at the moment of a click moves no other one, and the click decides nothing."""
    await open_dashboard(world, page)
    sent = decisions(page)
    first = (await world.ask("databases:read", origin=APP)).json
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await settled(allow)
    before = await box(allow)

    await world.ask("databases:read", origin=OTHER)
    await expect(access_request(page, OTHER)).to_be_visible()
    await click_at(page, before)
    await expect_notice(page, MISSED)

    assert [] == sent
    assert before == await box(allow)
    await press(allow)
    await expect(access_request(page, APP)).to_have_count(0)
    assert "approved" == await state_of(world, APP, first)


# --- what moves or covers a request -----------------------------------------------------------------------------------


async def resize(page: Page) -> None:
    """Resize the window."""
    await page.set_viewport_size({"width": 900, "height": 700})


async def scroll(page: Page) -> None:
    """Scroll by a little."""
    await page.evaluate("document.body.style.minHeight = '300vh'")
    await page.mouse.wheel(0, 40)


async def insert_above(page: Page) -> None:
    """Show something above the requests, as a banner does."""
    await page.evaluate(
        "document.querySelector('.banner').append(Object.assign(document.createElement('p'), {textContent: 'Moved'}))"
    )


async def change_text(page: Page) -> None:
    """Change what a request says, without moving anything."""
    await page.locator("article.approval h3").evaluate("(it) => { it.firstChild.data = 'https://abc.example.com'; }")


async def uncover(page: Page) -> None:
    """Remove something that covers the requests, as a notice does when its time is over."""
    await page.evaluate("document.getElementById('cover').remove()")


async def close_dialog(page: Page) -> None:
    """Close a dialog that covers the requests."""
    await page.keyboard.press("Escape")


async def nothing(page: Page) -> None:
    """Cover nothing."""


async def cover(page: Page) -> None:
    """Cover the requests."""
    await page.evaluate(
        """() => document.body.append(Object.assign(document.createElement('div'),
            {id: 'cover', style: 'position: fixed; inset: 0; z-index: 9; background: gray'}))"""
    )
    await page.evaluate(TWO_FRAMES)


async def open_dialog(page: Page) -> None:
    """Open a dialog in front of the requests."""
    await page.get_by_role("button", name="Use an API key").press("Enter")
    await expect(dialog(page, "Use an API key")).to_be_visible()


Step = Callable[["Page"], Awaitable[None]]


@pytest.mark.parametrize(
    ("before", "change"),
    [
        pytest.param(nothing, resize, id="resize"),
        pytest.param(nothing, scroll, id="scroll"),
        pytest.param(nothing, insert_above, id="inserted above"),
        pytest.param(nothing, change_text, id="other text"),
        pytest.param(cover, uncover, id="uncovered"),
        pytest.param(open_dialog, close_dialog, id="dialog closed"),
    ],
)
async def test_t61_click_after_a_change_decides_nothing(world: World, page: Page, before: Step, change: Step) -> None:
    """A click right after something has moved or uncovered a request decides nothing; after the delay, it works."""
    await open_dashboard(world, page)
    sent = decisions(page)
    asked = (await world.ask("databases:read", origin=APP)).json
    allow = page.locator("article.approval").get_by_role("button", name="Allow")
    await settled(allow)
    await before(page)
    await expect(allow).to_be_enabled()

    changed = time.monotonic()
    await change(page)
    await click_at(page, await box(allow))
    elapsed = time.monotonic() - changed
    await expect_notice(page, MISSED)

    assert elapsed < SOON
    assert [] == sent
    await press(allow)
    await expect(page.locator("article.approval")).to_have_count(0)
    assert "approved" == await state_of(world, APP, asked)


async def test_t61_mouse_that_comes_from_nowhere_decides_nothing(world: World, page: Page) -> None:
    """
    The mouse is suddenly over the page: a window in front of it may have closed. Clicks decide nothing, on no button
    and no checkbox.
    """
    await page.goto(await dashboard_link(world))
    sent = decisions(page)
    await world.ask("databases:read", origin=APP)
    card = access_request(page, APP)
    buttons = [card.get_by_role("button", name=name) for name in ("Allow", "Deny", "Block")]
    once = card.get_by_label("Allow for one hour only")
    await expect(buttons[0]).to_be_enabled()
    places = [await box(it) for it in (*buttons, once)]

    changed = time.monotonic()
    for place in places:
        await click_at(page, place)
    elapsed = time.monotonic() - changed
    await expect_notice(page, MISSED)

    assert elapsed < SOON
    assert [] == sent
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(once).not_to_be_checked()
    await press(once)
    await expect(once).to_be_checked()


async def test_t61_waiting_button_says_why(world: World, page: Page) -> None:
    """A button that does not work yet keeps the focus, and screen readers read why it does not work."""
    await world.ask("databases:read", origin=APP)
    await page.goto(await dashboard_link(world))
    deny = access_request(page, APP).get_by_role("button", name="Deny")
    await expect(deny).to_be_focused()
    await page.set_viewport_size({"width": 900, "height": 700})
    await page.evaluate(TWO_FRAMES)

    said = await deny.evaluate("(it) => [it.ariaDisabled, it.ariaDescribedByElements?.[0].textContent]")
    await expect(deny).to_be_enabled()
    after = await deny.evaluate("(it) => [it.ariaDisabled, it.hasAttribute('aria-describedby')]")

    assert ["true", "Available in a moment: the page has just changed."] == said
    assert [None, False] == after
    await expect(deny).to_be_focused()


# --- clicks that began before -----------------------------------------------------------------------------------------


async def test_t61_press_that_began_too_early_decides_nothing(world: World, page: Page) -> None:
    """A mouse button that was pressed during the delay, and is released after it, decides nothing."""
    await open_dashboard(world, page)
    sent = decisions(page)
    asked = (await world.ask("databases:read", origin=APP)).json
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await allow.hover()

    await page.mouse.down()
    await expect(allow).to_be_enabled()
    await page.mouse.up()
    await expect_notice(page, MISSED)

    assert [] == sent
    await page.mouse.down()
    await page.mouse.up()
    await expect(access_request(page, APP)).to_have_count(0)
    assert "approved" == await state_of(world, APP, asked)


async def test_t61_repeating_key_decides_nothing(world: World, page: Page) -> None:
    """Enter that is held down since before the request could be read decides nothing, however often it repeats."""
    await open_dashboard(world, page)
    sent = decisions(page)
    await page.get_by_role("link", name="Settings").focus()
    await page.keyboard.down("Enter")
    asked = (await world.ask("databases:read", origin=APP)).json
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await allow.focus()
    await expect(allow).to_be_enabled()

    for _ in range(3):
        await page.keyboard.down("Enter")
    await expect_notice(page, MISSED)
    await page.keyboard.up("Enter")

    assert [] == sent
    await page.keyboard.press("Enter")
    await expect(access_request(page, APP)).to_have_count(0)
    assert "approved" == await state_of(world, APP, asked)


# --- the window -------------------------------------------------------------------------------------------------------


async def test_t61_tab_that_comes_to_the_front(world: World, tmp_path: Path) -> None:
    """A click right after the tab is shown decides nothing. After the delay, it works."""
    asked = (await world.ask("databases:read", origin=APP)).json
    async with Chromium.running(tmp_path / "profile") as browser:
        tab = await browser.open(await dashboard_link(world))
        await tab.until(f"{CAN_ALLOW} && document.hasFocus()")
        x, y = await tab.center(ALLOW)
        await tab.mouse("mouseMoved", x, y)
        await tab.until(CAN_ALLOW)
        await browser.open("about:blank")
        await tab.until("document.hidden")

        changed = time.monotonic()
        await tab.to_front()
        await tab.until("document.hasFocus() && !document.hidden")
        await tab.click(x, y)
        elapsed = time.monotonic() - changed
        await tab.until(f"document.body.innerText.includes({MISSED!r})")
        at_first = await state_of(world, APP, asked)
        await tab.until(CAN_ALLOW)
        await tab.click(*await tab.center(ALLOW))
        await tab.until("document.querySelector('article.approval') === null")

    assert elapsed < SOON
    assert ("pending", "approved") == (at_first, await state_of(world, APP, asked))


async def test_t61_window_that_gets_the_focus(world: World, page: Page) -> None:
    """A click right after the window has got the focus decides nothing. After the delay, it works."""
    await open_dashboard(world, page)
    sent = decisions(page)
    asked = (await world.ask("databases:read", origin=APP)).json
    other = await page.context.new_page()
    for it in (page, other):
        devtools = await page.context.new_cdp_session(it)
        await devtools.send("Emulation.setFocusEmulationEnabled", {"enabled": False})
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await page.bring_to_front()
    await settled(allow)
    await other.bring_to_front()
    await page.evaluate(HAS_NO_FOCUS)
    await expect(allow).to_be_enabled()

    changed = time.monotonic()
    await page.bring_to_front()
    await click_at(page, await box(allow))
    elapsed = time.monotonic() - changed
    await expect_notice(page, MISSED)

    assert elapsed < SOON
    assert [] == sent
    await press(allow)
    await expect(access_request(page, APP)).to_have_count(0)
    assert "approved" == await state_of(world, APP, asked)


# --- a second step for strong scopes ----------------------------------------------------------------------------------


def test_t61_scopes_that_take_a_second_step() -> None:
    """They are those that delete data, read passwords, or reach everything in the account."""
    assert {
        "databases:commands",
        "databases:credentials",
        "databases:delete",
        "upstash:read",
        "upstash:write",
    } == STRONG


async def test_t61_strong_scope_takes_a_second_step_elsewhere(world: World, page: Page) -> None:
    """
    A double click on Allow only opens a question that names the app and what is dangerous. Its button is at another
    place, and works after a delay of its own.
    """
    await open_dashboard(world, page)
    sent = decisions(page)
    asked = (await world.ask("databases:read", "databases:delete", origin=APP)).json
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await settled(allow)
    place = await box(allow)

    await allow.dblclick()
    question = dialog(page, "Allow this access?")
    await expect(question).to_be_visible()
    yes = question.get_by_role("button", name="Allow")
    second = await box(yes)
    text = await question.inner_text()
    can_allow_at_first = await yes.is_enabled()
    await page.keyboard.press("Escape")
    await expect(question).to_have_count(0)

    assert [] == sent
    assert not can_allow_at_first
    assert APP in text
    assert asked["user_code"] in text
    assert MEANING["databases:delete"] in text
    assert MEANING["databases:read"] not in text
    assert (
        second["y"] > place["y"] + place["height"]
        or second["y"] + second["height"] < place["y"]
        or (second["x"] > place["x"] + place["width"] or second["x"] + second["width"] < place["x"])
    )

    await press(allow)
    await press(yes)
    await expect(access_request(page, APP)).to_have_count(0)
    assert "approved" == await state_of(world, APP, asked)


async def test_t61_second_step_depends_on_what_is_chosen(world: World, page: Page) -> None:
    """Without the strong scope, Allow needs no second step; with all databases, the question names that, too."""
    await open_dashboard(world, page)
    await world.ask("databases:read", "databases:credentials", origin=APP)
    card = access_request(page, APP)

    await press(card.get_by_label("Also: read the passwords and tokens of all your databases"))
    await press(card.get_by_role("button", name="Allow…"))
    text = await dialog(page, "Allow this access?").inner_text()
    await page.keyboard.press("Escape")
    await press(card.get_by_label(MEANING["databases:credentials"]))
    await press(card.get_by_role("button", name="Allow"))
    await expect(card).to_have_count(0)

    assert "all your databases" in text
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_t61_second_step_closes_when_the_request_is_withdrawn(world: World, page: Page) -> None:
    """The question about a request disappears with the request, and the click that comes too late decides nothing."""
    await open_dashboard(world, page)
    sent = decisions(page)
    first = (await world.ask("upstash:write", origin=APP)).json
    second = (await world.ask("upstash:write", origin=OTHER)).json
    await press(access_request(page, APP).get_by_role("button", name="Allow"))
    question = dialog(page, "Allow this access?")
    yes = question.get_by_role("button", name="Allow")
    await settled(yes)
    place = await box(yes)

    await withdraw(world, APP, first)
    await expect(question).to_have_count(0)
    await click_at(page, place)

    assert [] == sent
    assert "pending" == await state_of(world, OTHER, second)


# --- what else an app can move ----------------------------------------------------------------------------------------


async def test_t61_question_about_an_account_that_has_just_appeared(world: World, page: Page) -> None:
    """An app decides when the question appears. A click right after that keeps no account and opens no dialog."""
    await open_dashboard(world, page, "Apps")
    keep, replace = (page.get_by_role("button", name=name) for name in ("Keep the account", "Replace…"))
    _, started, _ = await attack(world, APP)
    await expect(keep).to_be_visible()
    await page.mouse.move(5, 5)
    places = [await box(keep), await box(replace)]

    await page.set_viewport_size({"width": 1000, "height": 768})
    for place in places:
        await click_at(page, place)
    await expect_notice(page, MISSED)

    path = f"/v1/connection/attempts/{started['attempt_id']}"
    assert "confirmation_required" == (await world.get(path)).json["state"]
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await press(keep)
    await expect(keep).to_have_count(0)
    assert "replacement_declined" == (await world.get(path)).json["reason"]


async def test_t61_second_click_of_a_double_click_confirms_nothing(world: World, page: Page) -> None:
    """Every question of the dashboard counts a click only after the delay: here, whether to revoke an app's access."""
    app = await world.pair("connection:read", origin=APP)
    await open_dashboard(world, page, "Apps")
    revoked: list[str] = []
    page.on("request", lambda it: revoked.append(it.url) if it.method == "DELETE" else None)

    await page.get_by_role("button", name="Revoke…").click()
    yes = dialog(page, "Revoke this app's access?").get_by_role("button", name="Revoke")
    await click_at(page, await box(yes))
    await expect_notice(page, MISSED)
    at_first = tuple(revoked)
    await press(yes)
    await expect(page.get_by_text("No apps connected yet")).to_be_visible()

    assert ((), 1) == (at_first, len(revoked))
    assert (await world.as_app(app, "GET", "/v1/connection")).status == 403


async def test_t61_request_that_moves_another_button(world: World, page: Page) -> None:
    """A request that arrives moves what is below it. A click right after that unblocks nobody."""
    asked = (await world.ask("databases:read", origin=OTHER)).json
    await world.call("POST", f"/v1/pairings/{asked['id']}/block")
    await open_dashboard(world, page, "Apps")
    unblock = page.get_by_role("button", name=f"Unblock {OTHER}")
    await settled(unblock)

    await world.ask("databases:read", origin=APP)
    await expect(access_request(page, APP)).to_be_visible()
    await unblock.evaluate("(it) => it.scrollIntoView()")
    await click_at(page, await box(unblock))
    await expect_notice(page, MISSED)

    assert 1 == len((await world.get("/v1/blocks")).json["blocks"])
    await press(unblock)
    await expect(unblock).to_have_count(0)


async def test_t61_enter_in_a_field_of_a_question(world: World, page: Page) -> None:
    """Enter submits the form of a question like a click on its button: not before the delay, but after it."""
    await open_dashboard(world, page)
    sent = decisions(page)
    await world.ask("databases:read", origin=APP)
    await press(access_request(page, APP).get_by_role("button", name="Block"))
    question = dialog(page, "Block this app?")

    await question.get_by_label(f"Only {APP}").focus()
    await page.keyboard.press("Enter")
    await expect_notice(page, MISSED)
    at_first = tuple(sent)
    await expect(question.get_by_role("button", name="Block")).to_be_enabled()
    await page.keyboard.press("Enter")
    await expect(question).to_have_count(0)

    assert ((), 1) == (at_first, len(sent))


async def test_t61_change_that_is_not_drawn_yet(world: World, page: Page) -> None:
    """
    While the page or the computer is too busy to draw, the user cannot see what has changed, however long that takes.
    """
    await open_dashboard(world, page)
    sent = decisions(page)
    await world.ask("databases:read", origin=APP)
    allow = access_request(page, APP).get_by_role("button", name="Allow")
    await settled(allow)
    place = await box(allow)
    devtools = await page.context.new_cdp_session(page)
    at = {
        "x": place["x"] + place["width"] / 2, "y": place["y"] + place["height"] / 2, "button": "left", "clickCount": 1,
    }  # fmt: skip

    busy = asyncio.create_task(page.evaluate(CHANGE_AND_BLOCK))
    await asyncio.sleep(1.5)  # longer than the delay, and shorter than the page is busy
    clicked = [
        asyncio.create_task(devtools.send("Input.dispatchMouseEvent", {"type": it, **at}))
        for it in ("mousePressed", "mouseReleased")
    ]
    done = await busy
    await asyncio.gather(*clicked)
    pressed = await page.evaluate("pressed")
    await expect_notice(page, MISSED)

    assert pressed < done, "The click came too late to test anything."
    assert [] == sent
    await press(allow)
    await expect(access_request(page, APP)).to_have_count(0)
