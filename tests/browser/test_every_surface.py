"""Both sign-ins in a real browser, started by the command line and by the tray. Other files: a page, the dashboard."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.sign_in import sign_up
from tests.support.command_line import run_cli
from tests.support.connecting import FLOWS, Flow, connecting, settings_for
from tests.support.daemon import DaemonProcess
from tests.support.login import Login, session_environment, shows
from tests.support.notifications import session_bus
from tests.support.open_sign_in import allow_in_chromium, sign_in_in_chromium
from tests.support.until import until_async
from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.command_line import Ran
    from tests.support.sandbox import Sandbox
    from tests.support.tray_host import Line

pytestmark = pytest.mark.slow

CONNECTED = "Your account has been connected"
SIGN_INS: dict[Flow, str] = {"open": "Through Upstash's open sign-in", "partner": "Through Upstash's partner sign-in"}
LEFT: dict[Flow, str] = {"open": "(Account > OAuth Clients)", "partner": "(Account > Management API)"}
"""Where the console lists what the sign-in has created, which `disconnect` says."""


def text_of(menu: Line) -> str:
    """Return the text of a menu, in which long labels take several lines."""
    return " ".join(line.text for line in menu.lines)


async def finish(page: Page, flow: Flow) -> str:
    """Sign up and consent on Upstash's page, up to the result page, and return the new account's email address."""
    email = f"surface-{secrets.token_hex(4)}@example.com"
    if flow == "open":
        await allow_in_chromium(page, email, PASSWORD, full_access=True)
    else:
        await sign_up(page, email)
    await expect(page.get_by_role("heading", level=1)).to_have_text(CONNECTED)
    assert email in await page.locator(".facts").inner_text()
    return email


@pytest.mark.parametrize("flow", FLOWS)
async def test_command_line_connects_creates_lists_and_disconnects(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, flow: Flow
) -> None:
    """`connect` prints the address and waits until the browser has returned."""
    with DaemonProcess.running(tmp_path / "home", port=daemon_port, **settings_for(sandbox, flow)) as daemon:

        async def cli(*arguments: str) -> Ran:
            return await run_cli(*arguments, environment=daemon.environment)

        async with connecting(daemon, "--no-browser") as command:
            await page.goto(command.url)
            email = await finish(page, flow)
            code, out, err = await command.ended()
        status = await cli("status")
        created = await cli("databases", "create", "orders", "--region", "eu-west-1")
        listed = await cli("databases", "list")
        grants = [it["client_name"] for it in await sandbox.grants(email)] if flow == "open" else []
        left = await cli("disconnect", "--yes")
        after = daemon.client.connection()

    names = grants or await sandbox.api_key_names(email)
    assert (0, "") == (code, err)
    assert out.startswith(f"Connected as {email}")
    assert SIGN_INS[flow] in status.out
    assert (0, 0, 0) == (created.code, listed.code, left.code), created.err + listed.err + left.err
    assert "orders" in listed.out
    assert names
    assert f"{names[0]} {LEFT[flow]}" in left.out.replace(" in the Upstash console", "")
    assert ("disconnected", flow) == (after.state, after.sign_in)


@pytest.mark.parametrize("flow", FLOWS)
async def test_tray_starts_the_sign_in_in_the_browser(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, flow: Flow
) -> None:
    """Connect in the menu opens the browser. Afterwards, tooltip and menu show the account and the sign-in."""
    opened = tmp_path / "opened"
    with session_bus() as bus:
        environment = session_environment(bus, tmp_path, opened=opened)
        async with Login.of(bus, environment, sandbox, daemon_port, flow=flow) as login:
            item = await login.item()
            await item.until(shows("No account connected"))
            await item.click("Connect")
            await until_async(lambda: opened.exists() and opened.read_text().endswith("\n"))
            [address] = opened.read_text().splitlines()
            await page.goto(address)
            await page.get_by_role("link", name="Sign up").wait_for()
            email = await finish(page, flow)
            menu = await item.until(shows(f"Connected as {email}"))
            connection = login.daemon.client.connection()

    assert "/links/" in address  # the address of the sign-in is enough to finish it
    assert ("grant" if flow == "open" else "oauth") == connection.method
    assert SIGN_INS[flow] in text_of(menu)


async def test_grant_that_is_revoked_in_the_console_is_shown_by_the_command_line_and_the_tray(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, context: BrowserContext
) -> None:
    """With the reason, which account it was, and what to do; no text calls it an API key."""
    opened = tmp_path / "opened"
    with session_bus() as bus:
        environment = session_environment(bus, tmp_path, opened=opened)
        async with Login.of(bus, environment, sandbox, daemon_port, flow="open") as login:
            item = await login.item()
            async with connecting(login.daemon, "--no-browser") as command:
                await page.goto(command.url)
                email = await finish(page, "open")
                await command.ended()
            name = login.daemon.client.connection().grant_name
            console = await context.new_page()
            await console.goto(f"{sandbox.issuer_url}/console")
            if await console.get_by_role("button", name="Sign in").count():
                await sign_in_in_chromium(console, email, PASSWORD, sign_up=False)
            await console.get_by_role("button", name=f"Revoke {name}").click()
            await expect(console.get_by_role("button", name=f"Revoke {name}")).to_have_count(0)
            refused = await run_cli("databases", "create", "one", "--region", "us-east-1", environment=environment)
            menu = await item.until(shows("Your sign-in at Upstash has ended"))
            status = await run_cli("status", environment=environment)
            connection = login.daemon.client.connection()

    shown = text_of(menu)
    assert (4, "reconnect_required") == (refused.code, connection.state)
    assert "revoked in the Upstash console" in refused.err.replace("\n", " ")
    for text in (shown, status.out + status.err):
        assert "Your sign-in at Upstash has ended" in text
        assert "revoked in the Upstash console" in text
        assert email in text
        assert "Through Upstash's open sign-in" in text
        assert "no longer accepts the API key" not in text
    assert "upstash-helper connect --force" in status.err
