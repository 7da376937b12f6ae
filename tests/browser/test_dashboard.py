"""The dashboard in a real browser, against a real daemon and the sandbox."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import (
    access_request,
    connection_card,
    dashboard_link,
    dialog,
    expect_notice,
    go_to,
    one_time_link,
    open_dashboard,
    press,
)
from tests.browser.sign_in import cancel, sign_up
from tests.support.clock import FakeClock
from tests.support.web_tool import BUTTON, example_tool, wait_for_state
from tests.support.world import PASSWORD, World
from upstash_helper.broker.account.attempts import HINT_SECONDS
from upstash_helper.broker.identity import MEANING, all_databases_meaning
from upstash_helper.client.dashboard_link import NAME
from upstash_helper.protocol.messages import CONNECTION, FAILURES, HINTS, SAME_PROGRAM_ASKS, VIA_BRIDGE
from upstash_helper.system.browser import write_page

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page, Request, Route

    from tests.support.browser import Console
    from tests.support.sandbox import Sandbox

APP = "https://app.example.com"
OTHER_APP = "https://other.example.org"


async def token_of(page: Page) -> str | None:
    """Return the token of the page's session."""
    token: str | None = await page.evaluate("sessionStorage.getItem('upstash-helper.session')")
    return token


# --- the session ------------------------------------------------------------------------------------------------------


async def test_ticket_opens_a_session_and_leaves_the_address(world: World, page: Page) -> None:
    """The ticket is exchanged for a token of this tab, and removed from the address and the history."""
    await page.goto(await dashboard_link(world))
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert f"{world.pages}/" == page.url
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
async def test_link_can_name_a_section(world: World, page: Page, section: str, title: str, left: str) -> None:
    """A link with a section opens it. The ticket and an invalid section are removed from the address."""
    await page.goto(f"{await dashboard_link(world)}&section={section}")
    await expect(page.get_by_role("heading", name=title, level=1)).to_be_visible()

    assert f"{world.pages}/{left}" == page.url


async def test_every_section_shows_that_it_is_a_sandbox(world: World, page: Page) -> None:
    """The badge, the tab's title, and the settings show it. At Upstash, there is no badge."""
    await open_dashboard(world, page)
    badge = page.get_by_role("banner").get_by_text("Sandbox", exact=False).first
    await expect(badge).to_be_visible()
    await expect(page).to_have_title("Overview · upstash-helper · Sandbox")
    await go_to(page, "Settings")
    await expect(badge).to_have_text("Sandbox: everything on this page is in a local Upstash on this computer")
    await expect(page.get_by_role("main").get_by_text("Sandbox", exact=True)).to_be_visible()

    async def as_upstash(route: Route) -> None:
        await route.fulfill(json={**(await world.get("/v1/daemon")).json, "upstream": "upstash"})

    await page.route("**/v1/daemon", as_upstash)
    await page.get_by_role("button", name="Refresh").click()
    await expect(badge).to_be_hidden()
    assert "Settings · upstash-helper" == await page.title()


async def test_settings_show_the_tray_state(world: World, page: Page) -> None:
    """The settings show whether a tray icon is attached, and how to start it if not."""
    await open_dashboard(world, page, "Settings")
    card = page.locator("section.card", has_text="Tray icon")
    await expect(card).to_contain_text("Not attached")
    detached = await card.inner_text()

    sent = {"Authorization": f"Bearer {world.owner}"}
    async with world.session.get("/v1/events?tray=statusnotifier&notifies=true", headers=sent):
        await page.get_by_role("button", name="Refresh").click()
        await expect(card).to_contain_text("statusnotifier")
        attached = await card.inner_text()
        tray = (await world.get("/v1/daemon")).json["tray"]

    assert "upstash-helper tray" in detached
    assert "Attached" in attached
    assert "Not attached" not in attached
    assert ("attached", "statusnotifier") == (tray["state"], tray["backend"])


async def test_automatic_approvals_are_shown_on_every_section(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page
) -> None:
    """A banner says that requests are approved automatically. Otherwise, there is none."""
    banner = page.get_by_text("Access requests are approved automatically (sandbox)")
    badge = page.get_by_role("banner").get_by_text("Sandbox", exact=False).first
    for auto_approve in (False, True):
        async with World.running(
            tmp_path / str(auto_approve), sandbox, daemon_port, auto_approve=auto_approve, sign_in="open"
        ) as world:
            await open_dashboard(world, page, "Activity")
            await expect(badge).to_be_visible()  # shown from the same response as the banner
            await expect(banner).to_have_count(int(auto_approve))
            automatic = (await world.get("/v1/daemon")).json["auto_approve"]
            assert auto_approve is automatic
            if auto_approve:
                await world.ask("databases:read", origin=APP)
                await page.reload()
                await expect(page.get_by_text("Approved automatically", exact=True)).to_be_visible()
                await expect(banner).to_be_visible()
                await go_to(page, "Overview")
                await expect(banner).to_be_visible()


async def test_one_time_link_of_the_command_opens_the_dashboard(world: World, page: Page) -> None:
    """The link is replaced in the history, so that "back" does not lead to one that is used up."""
    link = await one_time_link(world)

    await page.goto("about:blank")
    await page.goto(link)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    await page.go_back()

    assert "about:blank" == page.url


async def test_link_file_of_the_command_opens_the_dashboard(world: World, page: Page, tmp_path: Path) -> None:
    """A browser that opens the file of ``upstash-helper open`` ends at the dashboard, with a session."""
    file = write_page(tmp_path, f"{NAME}.html", await dashboard_link(world))

    await page.goto(file.as_uri())
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert f"{world.pages}/" == page.url


async def test_page_without_a_session_shows_how_to_open_it_and_calls_no_api(home_page: str, page: Page) -> None:
    """Without a session, the page shows and fetches nothing of the user's."""
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))

    await page.goto(home_page)
    await expect(page.get_by_text("upstash-helper open")).to_be_visible()

    assert [] == [url for url in requested if "/v1/" in url]
    await expect(page.get_by_role("navigation")).to_have_count(0)


async def test_used_ticket_opens_no_session(world: World, page: Page, console: Console) -> None:
    """The page shows the API's error, with the command that opens a new session."""
    console.expect("403")
    url = await dashboard_link(world)
    await page.goto(url)
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    other = await page.context.new_page()

    async with other.expect_response("**/v1/dashboard/sessions") as refused:
        await other.goto(url)
    problem = await (await refused.value).json()

    await expect(other.get_by_role("heading", name="The dashboard cannot be opened")).to_be_visible()
    assert "ticket_not_valid" == problem["code"]
    assert problem["detail"] == await other.get_by_role("alert").inner_text()
    assert "upstash-helper open" in problem["detail"]
    assert await token_of(other) is None


async def test_end_session_revokes_the_token(world: World, page: Page) -> None:
    """The session's token stops working when the user ends the session."""
    await open_dashboard(world, page, "Settings")
    token = await token_of(page)

    await page.get_by_role("button", name="End session").click()
    await expect(page.get_by_role("heading", name="This session is over")).to_be_visible()

    assert 401 == (await world.get("/v1/apps", token=token, headers=world.as_own_page(get=True))).status
    assert await token_of(page) is None


# --- the connection ---------------------------------------------------------------------------------------------------


async def test_sign_up_in_the_window_connects_the_account(world: World, page: Page) -> None:
    """The card shows the account when the sign-in in the window is done, without a reload."""
    await open_dashboard(world, page)

    async with page.expect_popup() as opened:
        await page.get_by_role("button", name="Connect Upstash").click()
    await sign_up(await opened.value, world.email)

    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    connection = (await world.get("/v1/connection")).json
    assert ("connected", "oauth", world.email) == (
        connection["state"], connection["method"], connection["account"]["email"],
    )  # fmt: skip
    shown = await connection_card(page)
    assert CONNECTION["connected"].format(email=world.email).title in shown
    assert "Through Upstash's partner sign-in" in shown
    assert connection["api_key_name"] in shown


async def test_connect_with_an_api_key_and_disconnect(
    world: World, page: Page, sandbox: Sandbox, console: Console
) -> None:
    """The form shows that Upstash rejects a key, and the page never shows a valid key."""
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
    await press(dialog(page, "Disconnect this account?").get_by_role("button", name="Disconnect"))

    await expect(page.get_by_role("heading", name=CONNECTION["disconnected"].title)).to_be_visible()
    assert key not in shown


async def test_disconnect_names_the_remaining_api_key(world: World, page: Page) -> None:
    """Upstash has no endpoint to delete an API key, so the user is asked to do it."""
    name = (await world.connect())["api_key_name"]
    await open_dashboard(world, page)

    await page.get_by_role("button", name="Disconnect").click()
    await press(dialog(page, "Disconnect this account?").get_by_role("button", name="Disconnect"))

    await expect(dialog(page, "One step left").get_by_text(name)).to_be_visible()
    connection = (await world.get("/v1/connection")).json
    assert ("disconnected", None) == (connection["state"], connection["account"])
    assert "Upstash console" in await dialog(page, "One step left").inner_text()
    assert name in await world.sandbox.api_key_names(world.email)


async def test_blocked_popup_becomes_a_link(world: World, page: Page) -> None:
    """If the browser blocks the window, the card shows a link, and the sign-in works in that tab."""
    await open_dashboard(world, page)
    await page.evaluate("window.open = () => null")

    await page.get_by_role("button", name="Connect Upstash").click()
    async with page.context.expect_page() as opened:
        await page.get_by_role("link", name="Sign in to Upstash").click()
    await sign_up(await opened.value, world.email)

    await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
    assert world.email == (await world.get("/v1/connection")).json["account"]["email"]
    await expect(page.get_by_role("link", name="Sign in to Upstash")).to_have_count(0)


async def test_cancel_ends_the_sign_in(world: World, page: Page) -> None:
    """Cancel in the card cancels the attempt, and the card shows that no account is connected."""
    await open_dashboard(world, page)
    await page.evaluate("window.open = () => null")
    await page.get_by_role("button", name="Connect Upstash").click()
    await expect(page.get_by_role("heading", name=CONNECTION["connecting"].title)).to_be_visible()

    await page.get_by_role("button", name="Cancel").click()

    await expect(page.get_by_role("heading", name=CONNECTION["disconnected"].title)).to_be_visible()
    connection = (await world.get("/v1/connection")).json
    assert "disconnected" == connection["state"]
    assert ("failed", "cancelled") == (connection["attempt"]["state"], connection["attempt"]["reason"])
    await expect(page.get_by_role("button", name="Connect Upstash")).to_be_enabled()


async def test_failed_sign_in_is_shown_in_the_words_of_the_api(world: World, page: Page) -> None:
    """After a sign-in that failed, the card shows its title and detail from the API."""
    await open_dashboard(world, page)

    async with page.expect_popup() as opened:
        await page.get_by_role("button", name="Connect Upstash").click()
    await cancel(await opened.value)

    await expect(page.get_by_text(FAILURES["access_denied"].title)).to_be_visible()
    shown = await connection_card(page)
    assert CONNECTION["disconnected"].title in shown
    assert FAILURES["access_denied"].detail in shown


async def test_address_is_pasted_when_the_browser_does_not_return(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page
) -> None:
    """After a while, the card shows what may interfere, and a form for the address of the other window."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        await open_dashboard(world, page)
        started = await world.start()
        address = await world.sign_in(started)
        clock.advance(HINT_SECONDS)

        field = page.get_by_label("Address from the other window")
        await expect(field).to_be_visible()
        hint = await connection_card(page)
        await field.fill(address)
        await page.get_by_role("button", name="Finish the sign-in").click()

        await expect(page.get_by_role("heading", name=world.email)).to_be_visible()
        connection = (await world.get("/v1/connection")).json
        assert HINTS["no_callback"].detail in hint
        assert "paste it into the field below" in hint
        assert "upstash-helper connect" not in hint
        assert ("connected", world.email) == (connection["state"], connection["account"]["email"])
        assert started["attempt_id"] == connection["attempt"]["attempt_id"]
        assert "code=" not in await page.content()


# --- databases --------------------------------------------------------------------------------------------------------


async def test_lifecycle_of_a_database(world: World, page: Page) -> None:
    """A database is created, shown, renamed, and deleted, and its secrets are fetched only when they are needed."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=world.pages)
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
    created = (await world.get("/v1/databases?refresh=true")).json["databases"][0]
    assert ("orders", "eu-west-1", ["eu-central-1"], True) == (
        created["name"], created["primary_region"], created["read_regions"], created["eviction"],
    )  # fmt: skip
    secrets = (await world.get(f"/v1/databases/{created['id']}/credentials")).json
    assert [] == read
    assert secrets["rest_token"] not in await page.content()

    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_text(secrets["redis_url"], exact=True)).to_be_visible()
    await panel.get_by_role("button", name="Copy REST token", exact=True).click()
    await expect_notice(page, "REST token copied.")
    assert secrets["rest_token"] == await page.evaluate("navigator.clipboard.readText()")
    await panel.get_by_role("button", name="Copy .env block").click()
    await expect_notice(page, ".env block copied.")
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
    await press(deletion.get_by_role("button", name="Delete database"))
    await expect(page.get_by_text("No databases yet")).to_be_visible()
    assert [] == (await world.get("/v1/databases?refresh=true")).json["databases"]


async def test_tls_is_off_in_a_sandbox_unless_it_is_turned_on(world: World, page: Page) -> None:
    """With TLS, the `.env` block has the CA file and the line for each client."""
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=world.pages)
    await world.connect()
    await open_dashboard(world, page, "Databases")

    for name, tls in (("orders", False), ("secured", True)):
        await page.get_by_role("button", name="New database").first.click()
        form = dialog(page, "New database")
        await form.get_by_label("Name").fill(name)
        await expect(form.get_by_label("TLS")).not_to_be_checked()
        if tls:
            await form.get_by_label("TLS").check()
        await form.get_by_role("button", name="Create database").click()
        panel = dialog(page, name)
        await panel.get_by_role("button", name="Copy .env block").click()
        await expect_notice(page, ".env block copied.")
        block = await page.evaluate("navigator.clipboard.readText()")
        created = {it["name"]: it for it in (await world.get("/v1/databases?refresh=true")).json["databases"]}[name]
        credentials = (await world.get(f"/v1/databases/{created['id']}/credentials")).json
        usage = [f"# {client}: {code}" for client, code in credentials["ca_usage"].items()]
        assert tls is created["tls"]
        assert usage == [line for line in block.splitlines() if line.startswith("#")]
        assert (4 if tls else 0) == len(usage)
        assert tls is (f'REDIS_CA_FILE="{credentials["ca_file"]}"' in block.splitlines())
        await page.keyboard.press("Escape")


async def test_tls_is_on_at_upstash_unless_it_is_turned_off(world: World, page: Page) -> None:
    """The dashboard asks Upstash for TLS, and sends what the user chose otherwise."""
    await world.connect()
    sent: list[object] = []

    async def at_upstash(route: Route) -> None:
        reply = await route.fetch()
        await route.fulfill(response=reply, json=await reply.json() | {"console_url": "https://console.upstash.com"})

    async def record(route: Route, request: Request) -> None:
        if request.method == "POST":
            sent.append((request.post_data_json or {}).get("tls"))
        await route.continue_()

    await page.route(lambda url: url.endswith("/v1/daemon"), at_upstash)
    await page.route(lambda url: url.endswith("/v1/databases"), record)
    await open_dashboard(world, page, "Databases")

    for name, turned_off in (("orders", False), ("plain", True)):
        await page.get_by_role("button", name="New database").first.click()
        form = dialog(page, "New database")
        await form.get_by_label("Name").fill(name)
        if turned_off:
            await form.get_by_label("TLS").uncheck()
        await form.get_by_role("button", name="Create database").click()
        await expect(dialog(page, name)).to_be_visible()
        await page.keyboard.press("Escape")

    assert [True, False] == sent


async def test_password_reset_replaces_the_shown_secrets(world: World, page: Page) -> None:
    """After a reset, the panel shows the new secrets, and the old ones no longer."""
    await world.connect()
    database = await world.create("orders")
    before = (await world.get(f"/v1/databases/{database['id']}/credentials")).json["rest_token"]
    await open_dashboard(world, page, "Databases")
    await page.get_by_role("button", name="orders").click()
    panel = dialog(page, "orders")
    await panel.get_by_role("button", name="Show the secrets").click()
    await expect(panel.get_by_text(before, exact=True)).to_be_visible()

    await panel.get_by_role("button", name="Reset password").click()
    await press(dialog(page, "Reset the password?").get_by_role("button", name="Reset password"))
    await expect_notice(page, "The password and the tokens were reset.")

    after = (await world.get(f"/v1/databases/{database['id']}/credentials")).json["rest_token"]
    await expect(panel.get_by_text(after, exact=True)).to_be_visible()
    shown = await panel.inner_text()
    assert before != after
    assert after in shown
    assert before not in shown


async def test_repeated_create_keeps_its_idempotency_key(world: World, page: Page, console: Console) -> None:
    """Pressing the button again after a failure creates at most one database."""
    console.expect("Failed to load resource")
    await world.connect()
    await open_dashboard(world, page, "Databases")
    keys: list[str] = []

    async def lose_first(route: Route, request: Request) -> None:
        keys.append(request.headers["idempotency-key"])
        if len(keys) == 1:
            await route.abort()
        else:
            await route.continue_()

    await page.route(lambda url: url.endswith("/v1/databases"), lose_first)
    await page.get_by_role("button", name="New database").first.click()
    form = dialog(page, "New database")
    await form.get_by_label("Name").fill("orders")
    await form.get_by_role("button", name="Create database").click()
    await expect(form.get_by_text("The helper is not responding.")).to_be_visible()
    await form.get_by_role("button", name="Create database").click()
    await expect(dialog(page, "orders")).to_be_visible()

    assert 1 == len(set(keys))
    assert 1 == len((await world.get("/v1/databases?refresh=true")).json["databases"])


async def test_new_databases_appear_without_a_reload(world: World, page: Page) -> None:
    """A database that an app creates appears in the list, and the search finds it by the name of its region."""
    await world.connect()
    await open_dashboard(world, page, "Databases")
    await expect(page.get_by_text("No databases yet")).to_be_visible()

    async def names() -> list[str]:
        return await page.locator("#main .list-title").all_inner_texts()

    await world.create("sessions", primary_region="ap-northeast-1")
    await world.create("orders", primary_region="eu-west-1")
    await expect(page.get_by_role("button", name="sessions")).to_be_visible()
    await expect(page.get_by_role("button", name="orders")).to_be_visible()
    both = await names()
    await page.get_by_label("Search databases").fill("tokyo")
    await expect(page.get_by_role("button", name="orders")).to_have_count(0)

    assert ["orders", "sessions"] == sorted(both)
    assert ["sessions"] == await names()


# --- access requests --------------------------------------------------------------------------------------------------


async def test_access_request_over_the_bridge_says_so(world: World, page: Page) -> None:
    """A request of the page itself does not."""
    await open_dashboard(world, page)
    body = {"name": "Orders", "scopes": ["connection:read"]}
    over_bridge = {**world.as_own_page(), "Upstash-Helper-On-Behalf-Of": OTHER_APP}
    await world.call("POST", "/v1/pairings", body, headers=over_bridge, token=None)
    await world.ask("connection:read", origin=APP)

    await expect(access_request(page, OTHER_APP).get_by_text(VIA_BRIDGE)).to_be_visible()
    await expect(access_request(page, APP)).to_be_visible()

    await expect(page.get_by_text(VIA_BRIDGE)).to_have_count(1)
    assert VIA_BRIDGE not in await access_request(page, APP).inner_text()


async def test_access_requests_of_one_program_name_each_other(world: World, page: Page) -> None:
    """An agent that connects in two ways is asked about twice, and the second card says so."""
    await open_dashboard(world, page)
    sent = [
        (
            await world.call(
                "POST", "/v1/pairings", {"name": name, "scopes": ["databases:read"], "audience": "mcp"}, token=None
            )
        )
        for name in ("agent", "Agent (command)")
    ]

    said = SAME_PROGRAM_ASKS.format(codes=sent[0].json["user_code"])
    second = page.get_by_role("article").filter(has_text=sent[1].json["user_code"]).filter(has_text=said)
    await expect(second.get_by_text(said)).to_be_visible()
    assert [202, 202] == [it.status for it in sent]


async def test_access_request_appears_and_is_granted_in_part(world: World, page: Page) -> None:
    """A request appears without taking the focus, and the app's token has only the scopes that stayed checked."""
    await open_dashboard(world, page)
    settings = page.get_by_role("link", name="Settings")
    await settings.focus()
    requested = (
        await world.ask("connection:read", "databases:write", origin=APP, name="Orders", reason="To test.")
    ).json
    card = access_request(page, APP)

    await expect(card.get_by_text(requested["user_code"])).to_be_visible()
    await expect(settings).to_be_focused()
    await press(card.get_by_label(MEANING["databases:write"]))
    await press(card.get_by_label("Allow for one hour only"))
    await press(card.get_by_role("button", name="Allow"))
    await expect(card).to_have_count(0)

    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    token = await world.call(
        "POST", f"/v1/pairings/{requested['id']}/token", headers=headers, token=requested["poll_secret"]
    )
    assert ["connection:read"] == token.json["scopes"]
    assert token.json["expires_at"] is not None
    assert not token.json["all_databases"]


async def test_option_for_all_databases_is_below_its_permission(world: World, page: Page) -> None:
    """It is indented, so that it must not follow another permission, which it does not belong to."""
    await open_dashboard(world, page)
    await world.ask("databases:credentials", "upstash:write", origin=APP)
    card = access_request(page, APP)
    await expect(card).to_be_visible()

    labels = await card.locator("label").all_inner_texts()

    all_databases = all_databases_meaning(("databases:credentials",)) or ""
    assert [MEANING["databases:credentials"], f"Also: {all_databases[:1].lower()}{all_databases[1:]}"] == labels[:2]


async def test_web_tool_is_approved_in_the_dashboard_and_connects_in_its_window(
    world: World, context: BrowserContext, page: Page
) -> None:
    """
    A tool on another origin requests access, the user allows it in the dashboard and signs up in the tool's window, and
    the dashboard shows the app and the database that it creates.
    """
    await open_dashboard(world, page, "Databases")
    async with example_tool(world) as site:
        tool = await context.new_page()
        await tool.goto(site.origin)
        async with context.expect_page() as opened:
            await tool.locator(BUTTON).click()
            card = access_request(page, site.origin)
            await press(card.get_by_role("button", name="Allow"))
            await press(dialog(page, "Allow this access?").get_by_role("button", name="Allow"))
        await sign_up(await opened.value, world.email)
        await wait_for_state(tool, "connected")
        await expect(page.get_by_text("No databases yet")).to_be_visible()

        await tool.get_by_role("button", name="New database").click()
        await tool.get_by_label("Name").fill("orders")
        await tool.get_by_role("button", name="Create").click()
        await expect(page.get_by_role("button", name="orders")).to_be_visible()

        await go_to(page, "Apps")
        await expect(page.get_by_role("heading", name=site.origin)).to_be_visible()

        [app] = (await world.get("/v1/apps")).json["apps"]
        [database] = (await world.get("/v1/databases")).json["databases"]
        assert ("web", site.origin) == (app["identity"]["kind"], app["identity"]["name"])
        assert "orders" == database["name"]
        assert world.email == (await world.get("/v1/connection")).json["account"]["email"]


async def test_pending_request_focuses_deny_when_the_dashboard_opens(world: World, page: Page) -> None:
    """Pressing Enter without reading anything grants no access."""
    requested = (await world.ask("databases:read", origin=APP)).json
    await page.goto(await dashboard_link(world))
    deny = access_request(page, APP).get_by_role("button", name="Deny")

    await expect(deny).to_be_focused()
    await expect(deny).to_be_enabled()
    await page.keyboard.press("Enter")
    await expect(access_request(page, APP)).to_have_count(0)

    headers = {"Origin": APP, "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    state = await world.get(f"/v1/pairings/{requested['id']}", headers=headers, token=requested["poll_secret"])
    assert "denied" == state.json["state"]


async def test_decision_elsewhere_removes_the_request(world: World, page: Page) -> None:
    """A request that was denied elsewhere disappears, and a notice shows the decision."""
    await open_dashboard(world, page)
    requested = (await world.ask("databases:read", origin=APP)).json
    await expect(access_request(page, APP)).to_be_visible()

    await world.call("POST", f"/v1/pairings/{requested['id']}/deny")

    await expect(access_request(page, APP)).to_have_count(0)
    await expect_notice(page, f"{APP} was denied elsewhere.")
    await expect(page.get_by_role("region", name="wants access")).to_have_count(0)
    assert [] == (await world.get("/v1/pairings")).json["pairings"]
    await expect(page).not_to_have_title(re.compile(re.escape("(1)")))


async def test_block_and_unblock_an_app(world: World, page: Page) -> None:
    """A blocked app cannot request access until it is unblocked."""
    await open_dashboard(world, page, "Apps")
    await world.ask("databases:read", origin=APP)

    await press(access_request(page, APP).get_by_role("button", name="Block"))
    await dialog(page, "Block this app?").get_by_label(f"Only {APP}").check()
    await press(dialog(page, "Block this app?").get_by_role("button", name="Block"))
    await expect(access_request(page, APP)).to_have_count(0)
    blocked = await world.ask("databases:read", origin=APP)
    await press(page.get_by_role("button", name=f"Unblock {APP}"))
    await expect_notice(page, "Unblocked. The app can request access again.")

    assert (403, "app_blocked") == (blocked.status, blocked.code)
    assert [] == (await world.get("/v1/blocks")).json["blocks"]


async def test_t62_whole_site_is_blocked_unless_the_user_chooses_otherwise(world: World, page: Page) -> None:
    """For a page of a domain. The list shows the site, and what is blocked on localhost is left to the user."""
    await open_dashboard(world, page, "Apps")
    await world.ask(origin=APP)

    await press(access_request(page, APP).get_by_role("button", name="Block"))
    await expect(dialog(page, "Block this app?").get_by_label("Every page of example.com")).to_be_checked()
    await press(dialog(page, "Block this app?").get_by_role("button", name="Block"))
    await expect(page.get_by_role("button", name="Unblock every page of example.com")).to_be_visible()
    refused = await world.ask(origin="https://other.example.com:8443")
    local = "http://a.localhost:8000"
    await world.ask(origin=local)
    await press(access_request(page, local).get_by_role("button", name="Block"))
    await expect(dialog(page, "Block this app?").get_by_label(f"Only {local}")).to_be_checked()

    assert (403, "app_blocked") == (refused.status, refused.code)


async def test_name_and_reason_of_an_app_are_shown_as_text(world: World, page: Page) -> None:
    """Markup in the name or the reason is shown as text, after the verified identity."""
    hostile = "<img src=x onerror=\"document.title='owned'\"><b>Upstash</b>"
    await open_dashboard(world, page)

    await world.ask("databases:read", origin=APP, name=hostile, reason=hostile)
    card = access_request(page, APP)
    await expect(card).to_be_visible()
    text = await card.inner_text()

    assert hostile in text
    assert text.index(APP) < text.index(hostile)
    await expect(card.locator("img, b")).to_have_count(0)
    assert "owned" not in await page.title()


@pytest.mark.parametrize("program", ["", "/usr/bin/firefox"])
async def test_program_that_sent_the_request_is_shown(world: World, page: Page, program: str) -> None:
    """A page's request names the program that sent it, or says that it is unknown."""
    await world.ask("databases:read", origin=APP)
    found = (await world.get("/v1/pairings")).json
    sent_by = f"{program} (process 77)" if program else ""
    found["pairings"][0]["identity"] |= {"program": program, "pid": 77 if program else None, "sent_by": sent_by}
    await page.route("**/v1/pairings", lambda route: route.fulfill(json=found))
    await page.goto(await dashboard_link(world))
    card = access_request(page, APP)

    sender = await card.get_by_text("sent by").inner_text()

    assert ("sent by /usr/bin/firefox (process 77)" if program else "sent by an unknown program") == sender


# --- apps and activity ------------------------------------------------------------------------------------------------


async def test_revoke_ends_access_immediately(world: World, page: Page) -> None:
    """The next request of a revoked app is rejected, and the app disappears from the list."""
    app = await world.pair("databases:read", origin=APP, name="Orders")
    await open_dashboard(world, page, "Apps")

    await page.get_by_role("button", name=f"Revoke… {APP}").click()
    await press(dialog(page, "Revoke this app's access?").get_by_role("button", name="Revoke"))

    await expect(page.get_by_text("No apps connected yet")).to_be_visible()
    assert 401 == (await world.as_app(app, "GET", "/v1/token")).status


async def test_granted_scopes_are_shown_in_plain_words(world: World, page: Page) -> None:
    """An app's card lists what the app may do, with the broker's texts."""
    await world.pair("databases:read", "databases:credentials", origin=APP, all_databases=True)
    await open_dashboard(world, page, "Apps")

    granted = await page.get_by_role("article").get_by_role("listitem").all_inner_texts()

    all_databases = all_databases_meaning(("databases:credentials",))
    assert [MEANING["databases:read"], MEANING["databases:credentials"], all_databases] == granted


async def test_rename_an_app(world: World, page: Page) -> None:
    """A rename changes the name of an app, but not its identity."""
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


async def test_activity_is_filtered_by_app(world: World, page: Page) -> None:
    """The filter leaves only the entries of the selected app."""
    await world.pair("databases:read", origin=APP, name="Orders")
    await world.pair("databases:read", origin="https://other.example.com", name="Other")
    await open_dashboard(world, page, "Activity")
    await expect(page.get_by_role("cell", name="You").first).to_be_visible()

    await page.get_by_label("App", exact=True).select_option(label=f"{APP} (“Orders”)")

    await expect(page.get_by_role("cell", name="You")).to_have_count(0)
    actors = await page.locator("td.who").all_inner_texts()
    actions = await page.locator("td.what").all_inner_texts()
    assert actors
    assert all(APP in actor for actor in actors)
    assert 1 == actions.count("Received its token")


# --- the keyboard -----------------------------------------------------------------------------------------------------


async def test_dialogs_work_by_keyboard_and_return_the_focus(world: World, page: Page) -> None:
    """A dialog returns the focus to the button that opened it, or to the heading if that button is gone."""
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
    renamed = (await world.get("/v1/apps")).json["apps"]
    yes = dialog(page, "Revoke this app's access?").get_by_role("button", name="Revoke")
    await expect(yes).to_be_enabled()
    await yes.press("Enter")
    await expect(page.get_by_role("heading", name="Apps")).to_be_focused()

    assert ["Shop"] == [app["name"] for app in renamed]
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_skip_link_skips_the_navigation(world: World, page: Page) -> None:
    """The skip link has the first tab stop, and the next one after it is in the content."""
    await page.goto(await dashboard_link(world))
    await expect(page.get_by_role("button", name="Connect Upstash")).to_be_visible()

    focused = "document.activeElement.textContent"

    await page.keyboard.press("Tab")
    first = await page.evaluate(focused)
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")

    assert "Skip to the content" == first
    assert "Connect Upstash" == await page.evaluate(focused)
    assert page.url.endswith("/")


# --- restarts and the event stream ------------------------------------------------------------------------------------


async def test_helper_stops_and_starts_again(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """The page shows that the helper is not running, and after its restart that the session is over."""
    console.expect("ERR_CONNECTION|401|ERR_INCOMPLETE|ERR_EMPTY|ERR_ABORTED|421")
    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await open_dashboard(world, page)

    await expect(page.get_by_text("The helper is not running")).to_be_visible()

    async with World.running(tmp_path, sandbox, daemon_port) as world:
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_role("heading", name="This session is over")).to_be_visible()
        assert await token_of(page) is None

        await open_dashboard(world, page)
        await go_to(page, "Databases")


async def test_interrupted_event_stream_resumes(world: World, page: Page) -> None:
    """The page resumes the stream at the last event, and reloads everything if the daemon sends a reset."""
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

    await expect(access_request(page, APP)).to_be_visible()
    await expect(page.get_by_text("The helper is not running")).to_have_count(0)
    assert [None, "abc-1", None] == resumed


async def test_idle_dashboard_sends_no_requests(world: World, page: Page) -> None:
    """The dashboard does not poll."""
    await page.clock.install()
    await open_dashboard(world, page)
    await expect(page.get_by_role("heading", name=CONNECTION["disconnected"].title)).to_be_visible()
    await page.wait_for_load_state()
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))

    await page.clock.run_for(600_000)

    assert [] == requested


async def test_new_ticket_in_an_open_tab_starts_a_new_session(
    world: World, context: BrowserContext, page: Page
) -> None:
    """A browser may reuse the open tab and change only the fragment of its address."""
    await open_dashboard(world, page, "Apps")
    first = await token_of(page)

    await page.goto(await dashboard_link(world))
    await expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    assert first != await token_of(page)
    assert "ticket" not in page.url
