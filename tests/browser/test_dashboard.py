"""The dashboard in a real browser, against a real daemon and the sandbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.owner import approval, dialog, go_to, open_dashboard, said, ticket
from tests.browser.person import sign_up
from tests.support.clock import FakeClock
from tests.support.web_tool import BUTTON, example, in_state
from tests.support.world import PASSWORD, World
from upstash_helper.broker.account.attempts import HINT_SECONDS
from upstash_helper.client.dashboard_link import leave_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page, Request, Route

    from tests.support.browser import Console
    from tests.support.sandbox import Sandbox

APP = "https://app.example.com"
OWN = {"Sec-Fetch-Site": "same-origin"}


async def token_of(page: Page) -> str | None:
    """Return the session's token."""
    found: str | None = await page.evaluate("sessionStorage.getItem('upstash-helper.session')")
    return found


# --- the session ------------------------------------------------------------------------------------------------------


async def test_a_ticket_opens_it_and_leaves_the_address(world: World, page: Page) -> None:
    """The ticket stands in no address bar and no history, and is exchanged for a token of this tab."""
    await page.goto(await ticket(world))
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert f"http://localhost:{world.settings.port}/" == page.url
    assert (await token_of(page) or "").startswith("uhs_")
    assert [] == await page.context.cookies()


@pytest.mark.parametrize(
    ("section", "title", "left"),
    [
        ("apps", "Apps", "#apps"),
        ("nothing", "Overview", "#nothing"),
        ("%3Cimg%3E", "Overview", ""),
        ("", "Overview", ""),
    ],
)
async def test_a_ticket_may_come_with_a_section(world: World, page: Page, section: str, title: str, left: str) -> None:
    """The tray leads to the databases, say; the ticket leaves the address all the same, and what is no section does."""
    await page.goto(f"{await ticket(world)}&section={section}")
    await expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()

    assert f"http://localhost:{world.settings.port}/{left}" == page.url


async def test_the_settings_tell_of_the_tray(world: World, page: Page) -> None:
    """Whether one is attached, and what to do if not."""
    await open_dashboard(world, page, "Settings")
    card = page.locator("section.card", has_text="Tray icon")
    await expect(card).to_contain_text("Not attached")
    await expect(card).to_contain_text("upstash-helper tray")

    sent = {"Authorization": f"Bearer {world.owner}"}
    async with world.session.get("/v1/events?tray=statusnotifier&notifies=true", headers=sent):
        await page.get_by_role("button", name="Refresh").click()
        await expect(card).to_contain_text("Attached")
        await expect(card).to_contain_text("statusnotifier")


async def test_the_file_that_the_command_leaves_leads_there(world: World, page: Page, tmp_path: Path) -> None:
    """A browser that is given nothing but the file's name ends at the dashboard, with a session."""
    file = leave_page(tmp_path, await ticket(world))

    await page.goto(file.as_uri())
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert f"http://localhost:{world.settings.port}/" == page.url


async def test_without_a_session_it_says_how_to_open_it_and_asks_for_nothing(home_page: str, page: Page) -> None:
    """A page that somebody finds open shows and fetches nothing of the owner's."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.goto(home_page)
    await expect(page.get_by_text("upstash-helper open")).to_be_visible()

    assert [] == [url for url in asked if "/v1/" in url]
    assert 0 == await page.get_by_role("navigation").count()


async def test_a_used_ticket_opens_nothing(world: World, page: Page, console: Console) -> None:
    """The page says so, and how to get another."""
    console.expect("403")
    url = await ticket(world)
    await page.goto(url)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    other = await page.context.new_page()

    await other.goto(url)

    await expect(other.get_by_text("This address has been used, or is too old.")).to_be_visible()
    assert await token_of(other) is None


async def test_the_owner_ends_the_session(world: World, page: Page) -> None:
    """Its token is good for nothing from then on."""
    await open_dashboard(world, page, "Settings")
    token = await token_of(page)

    await page.get_by_role("button", name="End session").click()
    await expect(page.get_by_role("heading", name="This session is over")).to_be_visible()

    assert 401 == (await world.get("/v1/apps", token=token, headers=OWN)).status
    assert await token_of(page) is None


# --- the connection ---------------------------------------------------------------------------------------------------


async def test_the_owner_connects_by_signing_up_in_the_window(world: World, page: Page) -> None:
    """The card turns to the account by itself."""
    await open_dashboard(world, page)

    async with page.expect_popup() as opened:
        await page.get_by_role("button", name="Connect Upstash").click()
    await sign_up(await opened.value, world.email)

    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    await expect(page.get_by_text("Through Upstash, in the browser")).to_be_visible()


async def test_the_owner_connects_with_an_api_key_and_disconnects(
    world: World, page: Page, sandbox: Sandbox, console: Console
) -> None:
    """A key that Upstash refuses is told in the form, and the good one is never shown."""
    console.expect("422")
    await sandbox.account(world.email, PASSWORD)
    key = await sandbox.api_key(world.email, "made-in-the-console")
    await open_dashboard(world, page)

    await page.get_by_role("button", name="Use an API key").click()
    form = dialog(page, "Use an API key")
    await form.get_by_label("Account email").fill(world.email)
    await form.get_by_label("API key").fill("wrong")
    await form.get_by_role("button", name="Connect").click()
    await expect(form.get_by_role("alert").filter(has_text=re.compile(r"\w"))).to_be_visible()
    await form.get_by_label("API key").fill(key)
    await form.get_by_role("button", name="Connect").click()
    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    shown = await page.content()
    await page.get_by_role("button", name="Disconnect").click()
    await dialog(page, "Disconnect this account?").get_by_role("button", name="Disconnect").click()

    await expect(page.get_by_role("heading", name="No account is connected")).to_be_visible()
    assert key not in shown


async def test_a_disconnect_names_the_key_that_is_left(world: World, page: Page) -> None:
    """Upstash has no call to delete it, so the user is asked to."""
    name = (await world.connect())["api_key_name"]
    await open_dashboard(world, page)

    await page.get_by_role("button", name="Disconnect").click()
    await dialog(page, "Disconnect this account?").get_by_role("button", name="Disconnect").click()

    await expect(dialog(page, "One step left").get_by_text(name)).to_be_visible()


async def test_a_blocked_window_leaves_a_link(world: World, page: Page) -> None:
    """The sign-in goes on by it."""
    await open_dashboard(world, page)
    await page.evaluate("window.open = () => null")

    await page.get_by_role("button", name="Connect Upstash").click()
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="Sign in to Upstash").click()
    await sign_up(await opened.value, world.email)

    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()


async def test_a_sign_in_is_cancelled(world: World, page: Page) -> None:
    """And the card says what became of it."""
    await open_dashboard(world, page)
    await page.evaluate("window.open = () => null")
    await page.get_by_role("button", name="Connect Upstash").click()
    await expect(page.get_by_role("heading", name="Waiting for your sign-in")).to_be_visible()

    await page.get_by_role("button", name="Cancel").click()

    await expect(page.get_by_role("heading", name="No account is connected")).to_be_visible()


async def test_the_address_is_pasted_where_the_browser_does_not_come_back(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page
) -> None:
    """After a while the card says what may be in the way, and takes the address from the other window."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        await open_dashboard(world, page)
        started = await world.start()
        address = await world.sign_in(started)
        clock.advance(HINT_SECONDS)

        await page.get_by_label("Address from the other window").fill(address)
        await page.get_by_role("button", name="Finish the sign-in").click()

        await expect(page.get_by_role("heading", name=world.email)).to_be_visible()


# --- databases --------------------------------------------------------------------------------------------------------


async def test_a_database_from_its_making_to_its_end(world: World, page: Page, home_page: str) -> None:
    """Made, looked into, copied, renamed and deleted; its secrets are fetched when they are asked for."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=home_page)
    await world.connect()
    await open_dashboard(world, page, "Databases")
    read: list[str] = []
    page.on("request", lambda request: read.append(request.url) if request.url.endswith("/credentials") else None)

    await page.get_by_role("button", name="New database").first.click()
    form = dialog(page, "New database")
    await form.get_by_label("Name").fill("orders")
    await form.get_by_label("Primary region").select_option("eu-west-1")
    await form.get_by_text("Read regions", exact=True).click()
    await form.get_by_label("Frankfurt, Germany").check()
    await form.get_by_label("Eviction").check()
    await form.get_by_role("button", name="Create database").click()

    panel = dialog(page, "orders")
    await expect(panel.get_by_role("definition").filter(has_text="Dublin, Ireland")).to_be_visible()
    made = (await world.get("/v1/databases?refresh=true")).json["databases"][0]
    assert ("orders", "eu-west-1", ["eu-central-1"], True) == (
        made["name"], made["primary_region"], made["read_regions"], made["eviction"],
    )  # fmt: skip
    secrets = (await world.get(f"/v1/databases/{made['id']}/credentials")).json
    assert [] == read
    assert secrets["rest_token"] not in await page.content()

    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_text(secrets["redis_url"], exact=True)).to_be_visible()
    await panel.get_by_role("button", name="Copy REST token", exact=True).click()
    await said(page, "REST token copied.")
    assert secrets["rest_token"] == await page.evaluate("navigator.clipboard.readText()")
    await panel.get_by_role("button", name="Copy .env block").click()
    await said(page, ".env block copied.")
    block = await page.evaluate("navigator.clipboard.readText()")
    assert f'UPSTASH_REDIS_REST_TOKEN="{secrets["rest_token"]}"' in block.splitlines()
    assert 1 == len(read)

    await panel.get_by_role("button", name="Rename").click()
    naming = dialog(page, "Rename the database")
    await naming.get_by_label("Name").fill("orders-eu")
    await naming.get_by_role("button", name="Rename").click()
    panel = dialog(page, "orders-eu")
    await expect(panel).to_be_visible()

    await panel.get_by_role("button", name="Delete").click()
    deletion = dialog(page, "Delete the database?")
    await expect(deletion.get_by_role("button", name="Delete database")).to_be_disabled()
    await deletion.get_by_label("Type orders-eu to continue").fill("orders-eu")
    await deletion.get_by_role("button", name="Delete database").click()
    await expect(page.get_by_text("No databases yet")).to_be_visible()
    assert [] == (await world.get("/v1/databases?refresh=true")).json["databases"]


async def test_a_new_password_replaces_the_old_secrets(world: World, page: Page) -> None:
    """What is shown afterwards is what works."""
    await world.connect()
    database = await world.create("orders")
    before = (await world.get(f"/v1/databases/{database['id']}/credentials")).json["rest_token"]
    await open_dashboard(world, page, "Databases")
    await page.get_by_role("button", name="orders").click()
    panel = dialog(page, "orders")
    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_text(before, exact=True)).to_be_visible()

    await panel.get_by_role("button", name="Reset password").click()
    await dialog(page, "Reset the password?").get_by_role("button", name="Reset password").click()
    await said(page, "The password and the tokens were reset.")

    after = (await world.get(f"/v1/databases/{database['id']}/credentials")).json["rest_token"]
    await expect(panel.get_by_text(after, exact=True)).to_be_visible()
    await expect(panel.get_by_text(before, exact=True)).to_have_count(0)


async def test_a_create_that_is_sent_again_keeps_its_key(world: World, page: Page, console: Console) -> None:
    """However often the button is pressed after a failure, at most one database comes of it."""
    console.expect("Failed to load resource")
    await world.connect()
    await open_dashboard(world, page, "Databases")
    keys: list[str] = []

    async def lost(route: Route, request: Request) -> None:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.abort()
        else:
            await route.continue_()

    await page.route(lambda url: url.endswith("/v1/databases"), lost)
    await page.get_by_role("button", name="New database").first.click()
    form = dialog(page, "New database")
    await form.get_by_label("Name").fill("orders")
    await form.get_by_role("button", name="Create database").click()
    await expect(form.get_by_text("The helper is not responding.")).to_be_visible()
    await form.get_by_role("button", name="Create database").click()
    await expect(dialog(page, "orders")).to_be_visible()

    assert 1 == len(set(keys))
    assert 1 == len((await world.get("/v1/databases?refresh=true")).json["databases"])


async def test_what_others_do_appears_by_itself(world: World, page: Page) -> None:
    """A database that an app makes is in the list without a reload; the search finds it by its region's name."""
    await world.connect()
    await open_dashboard(world, page, "Databases")
    await expect(page.get_by_text("No databases yet")).to_be_visible()

    await world.create("sessions", primary_region="ap-northeast-1")
    await world.create("orders", primary_region="eu-west-1")
    await expect(page.get_by_role("button", name="sessions")).to_be_visible()
    await page.get_by_label("Search databases").fill("tokyo")

    await expect(page.get_by_role("button", name="orders")).to_have_count(0)
    await expect(page.get_by_role("button", name="sessions")).to_be_visible()


# --- who wants in -----------------------------------------------------------------------------------------------------


async def test_a_request_appears_and_is_granted_in_part(world: World, page: Page) -> None:
    """It comes without a reload and takes no focus; the app gets a token for what was left checked."""
    await open_dashboard(world, page)
    settings = page.get_by_role("link", name="Settings")
    await settings.focus()
    asked = (await world.ask("connection:read", "databases:write", origin=APP, name="Orders", reason="To test.")).json
    card = approval(page, APP)

    await expect(card.get_by_text(asked["user_code"])).to_be_visible()
    await expect(settings).to_be_focused()
    await card.get_by_label("Create databases").uncheck()
    await card.get_by_label("Allow for one hour only").check()
    await card.get_by_role("button", name="Allow").click()
    await expect(card).to_have_count(0)

    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    token = await world.call("POST", f"/v1/pairings/{asked['id']}/token", headers=headers, token=asked["poll_secret"])
    assert ["connection:read"] == token.json["scopes"]
    assert token.json["expires_at"] is not None
    assert not token.json["all_databases"]


async def test_a_web_tool_is_let_in_here_and_the_account_connected_there(
    world: World, context: BrowserContext, page: Page
) -> None:
    """
    The whole way: a tool on another origin asks, the owner allows it in the dashboard, signs up in the tool's window,
    and sees in the dashboard what has come of it.
    """
    await open_dashboard(world, page, "Databases")
    async with example(world) as site:
        tool = await context.new_page()
        await tool.goto(site.origin)
        async with context.expect_page() as opened:
            await tool.locator(BUTTON).click()
            card = approval(page, site.origin)
            await card.get_by_role("button", name="Allow").click()
        await sign_up(await opened.value, world.email)
        await in_state(tool, "connected")
        await expect(page.get_by_text("No databases yet")).to_be_visible()

        await tool.get_by_role("button", name="New database").click()
        await tool.get_by_label("Name").fill("orders")
        await tool.get_by_role("button", name="Create").click()
        await expect(page.get_by_role("button", name="orders")).to_be_visible()

        await go_to(page, "Apps")
        await expect(page.get_by_role("heading", name=site.origin)).to_be_visible()


async def test_a_request_cannot_be_allowed_the_moment_it_appears(world: World, page: Page) -> None:
    """It may have come under a pointer that was about to click on something else."""
    await open_dashboard(world, page)
    await page.clock.install()
    await page.clock.pause_at(2_000_000_000_000)

    await world.ask("upstash:write", name="deploy")
    allow = page.get_by_role("article").get_by_role("button", name="Allow")

    await expect(allow).to_be_disabled()
    await expect(page.get_by_role("article").get_by_role("button", name="Deny")).to_be_enabled()


async def test_whoever_opens_it_to_decide_begins_at_deny(world: World, page: Page) -> None:
    """Pressing Enter without having read anything lets nobody in."""
    asked = (await world.ask("databases:read", origin=APP)).json
    await page.goto(await ticket(world))

    await expect(approval(page, APP).get_by_role("button", name="Deny")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(approval(page, APP)).to_have_count(0)

    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    state = await world.get(f"/v1/pairings/{asked['id']}", headers=headers, token=asked["poll_secret"])
    assert "denied" == state.json["state"]


async def test_a_decision_elsewhere_takes_the_request_away(world: World, page: Page) -> None:
    """The page says what became of it."""
    await open_dashboard(world, page)
    asked = (await world.ask("databases:read", origin=APP)).json
    await expect(approval(page, APP)).to_be_visible()

    await world.call("POST", f"/v1/pairings/{asked['id']}/deny")

    await expect(approval(page, APP)).to_have_count(0)
    await said(page, f"{APP} was denied somewhere else.")


async def test_the_owner_blocks_and_unblocks(world: World, page: Page) -> None:
    """Who is blocked may not ask, until the block is lifted."""
    await open_dashboard(world, page, "Apps")
    await world.ask("databases:read", origin=APP)

    await approval(page, APP).get_by_role("button", name="Block").click()
    await dialog(page, "Block this app?").get_by_role("button", name="Block").click()
    await expect(approval(page, APP)).to_have_count(0)
    blocked = await world.ask("databases:read", origin=APP)
    await page.get_by_role("button", name=f"Unblock {APP}").click()
    await said(page, "Unblocked. The app can request access again.")

    assert (403, "app_blocked") == (blocked.status, blocked.code)
    assert [] == (await world.get("/v1/blocks")).json["blocks"]


async def test_what_an_app_calls_itself_stays_text(world: World, page: Page) -> None:
    """No markup comes of it, and the verified identity stands before it."""
    hostile = "<img src=x onerror=\"document.title='owned'\"><b>Upstash</b>"
    await open_dashboard(world, page)

    await world.ask("databases:read", origin=APP, name=hostile, reason=hostile)
    card = approval(page, APP)
    await expect(card).to_be_visible()
    text = await card.inner_text()

    assert hostile in text
    assert text.index(APP) < text.index(hostile)
    assert 0 == await card.locator("img, b").count()
    assert "owned" not in await page.title()


# --- who is in, and who did what --------------------------------------------------------------------------------------


async def test_a_revoked_app_is_out_at_once(world: World, page: Page) -> None:
    """Its next request is refused, and the list no longer has it."""
    app = await world.pair("databases:read", origin=APP, name="Orders")
    await open_dashboard(world, page, "Apps")

    await page.get_by_role("button", name=f"Revoke… {APP}").click()
    await dialog(page, "Revoke this app's access?").get_by_role("button", name="Revoke").click()

    await expect(page.get_by_text("No apps connected yet")).to_be_visible()
    assert 401 == (await world.as_app(app, "GET", "/v1/token")).status


async def test_the_owner_renames_an_app(world: World, page: Page) -> None:
    """The identity stays what it is."""
    await world.pair("databases:read", origin=APP, name="Orders")
    await open_dashboard(world, page, "Apps")

    await page.get_by_role("button", name=f"Rename {APP}").click()
    naming = dialog(page, "Rename the app")
    await naming.get_by_label("Name").fill("Shop")
    await naming.get_by_role("button", name="Rename").click()

    await expect(page.get_by_text("“Shop”")).to_be_visible()
    assert [("Shop", APP)] == [
        (it["name"], it["identity"]["name"]) for it in (await world.get("/v1/apps")).json["apps"]
    ]


async def test_the_activity_is_filtered_by_app(world: World, page: Page) -> None:
    """Only what that app did is left."""
    await world.pair("databases:read", origin=APP, name="Orders")
    await world.pair("databases:read", origin="https://other.example.com", name="Other")
    await open_dashboard(world, page, "Activity")
    await expect(page.get_by_role("cell", name="You").first).to_be_visible()

    await page.get_by_label("App", exact=True).select_option(label=f"Orders ({APP})")

    await expect(page.get_by_role("cell", name="You")).to_have_count(0)
    await expect(page.get_by_role("cell", name="https://other.example.com")).to_have_count(0)
    await expect(page.get_by_role("cell", name="Received its token")).to_have_count(1)


# --- the keyboard -----------------------------------------------------------------------------------------------------


async def test_the_keyboard_is_enough_and_finds_its_way_back(world: World, page: Page) -> None:
    """A dialog takes the focus and gives it back; what is gone leaves it at the heading."""
    await world.pair("databases:read", origin=APP, name="Orders")
    await open_dashboard(world, page, "Apps")
    rename = page.get_by_role("button", name=f"Rename {APP}")
    revoke = page.get_by_role("button", name=f"Revoke… {APP}")

    await rename.focus()
    await page.keyboard.press("Enter")
    await expect(dialog(page, "Rename the app").get_by_label("Name")).to_be_focused()
    await page.keyboard.type("Shop")
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("“Shop”")).to_be_visible()
    await expect(rename).to_be_focused()

    await revoke.focus()
    await page.keyboard.press("Enter")
    await expect(dialog(page, "Revoke this app's access?").get_by_role("button", name="Cancel")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(revoke).to_be_focused()
    await page.keyboard.press("Enter")
    await dialog(page, "Revoke this app's access?").get_by_role("button", name="Revoke").press("Enter")
    await expect(page.get_by_role("heading", name="Apps")).to_be_focused()


async def test_the_skip_link_leads_past_the_navigation(world: World, page: Page) -> None:
    """It is the first thing that the keyboard reaches."""
    await page.goto(await ticket(world))
    await expect(page.get_by_role("button", name="Connect Upstash")).to_be_visible()

    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")

    await expect(page.get_by_role("button", name="Connect Upstash")).to_be_focused()


# --- the daemon goes and comes ----------------------------------------------------------------------------------------


async def test_a_helper_that_stops_is_missed_and_found_again(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """The page says that it is gone; when it is back, that this session went with it, and how to open another."""
    console.expect("ERR_CONNECTION|401|ERR_INCOMPLETE|ERR_EMPTY|ERR_ABORTED")
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await open_dashboard(world, page)

    await expect(page.get_by_text("The helper is not running")).to_be_visible()

    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_role("heading", name="This session is over")).to_be_visible()
        assert await token_of(page) is None

        await open_dashboard(world, page)
        await go_to(page, "Databases")


async def test_a_broken_stream_goes_on_where_it_broke(world: World, page: Page) -> None:
    """The page asks for what it missed, and reads all anew where the daemon no longer knows that."""
    resumed: list[str | None] = []
    bodies = ["id: abc-1\nevent: database\ndata: {}\n\n", "event: reset\ndata: {}\n\n"]

    async def stream(route: Route, request: Request) -> None:
        resumed.append(request.headers.get("last-event-id"))
        if bodies:
            await route.fulfill(body=bodies.pop(0), content_type="text/event-stream")
        else:
            await route.continue_()

    await page.route(lambda url: url.endswith("/v1/events"), stream)
    await open_dashboard(world, page)
    async with page.expect_request(lambda request: request.url.endswith("/v1/pairings") and len(resumed) > 1):
        pass
    await world.ask("databases:read", origin=APP)

    await expect(approval(page, APP)).to_be_visible()
    await expect(page.get_by_text("The helper is not running")).to_have_count(0)
    assert [None, "abc-1", None] == resumed


async def test_it_asks_for_nothing_while_nothing_happens(world: World, page: Page) -> None:
    """There is no polling: what happens is told."""
    await page.clock.install()
    await open_dashboard(world, page)
    await expect(page.get_by_role("heading", name="No account is connected")).to_be_visible()
    await page.wait_for_load_state()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    await page.clock.run_for(600_000)

    assert [] == asked


async def test_a_new_ticket_in_an_open_tab_begins_anew(world: World, context: BrowserContext, page: Page) -> None:
    """A browser that brings the open tab to the front only changes the fragment."""
    await open_dashboard(world, page, "Apps")
    first = await token_of(page)

    await page.goto(await ticket(world))
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert first != await token_of(page)
    assert "ticket" not in page.url
