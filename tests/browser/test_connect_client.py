"""connect.js as a module: what a page can do with it by itself, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Console, Site
from tests.support.web_tool import BUTTON, CLIENTS, approve, connect_js, waiting
from tests.support.world import World, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page, Route

    from tests.support.sandbox import Sandbox

PLAIN = "<!doctype html><title>A page</title><link rel='icon' href='data:,'>"


async def keep(page: Page, world: World, token: str) -> None:
    """Put a token where connect.js has put it."""
    await page.evaluate(
        """([key, token]) => localStorage.setItem(key, JSON.stringify({ token, scopes: [],
            wished: ['connection:read', 'connection:write', 'databases:read'] }))""",
        [f"upstash-helper:http://localhost:{world.settings.port}", token],
    )


async def test_a_revoked_token_without_events(world: World, page: Page, console: Console) -> None:
    """
    A page whose origin is let in no longer may not read most answers. It is told all the same why.
    """
    console.expect("status of 40[13]|CORS|ERR_FAILED")
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair("connection:read", "databases:read", origin=site.origin)
        await page.goto(site.origin)
        await keep(page, world, app.token)
        await world.call("DELETE", f"/v1/apps/{app.id}")

        code = await page.evaluate(
            """async () => {
                const { resumeUpstash } = await import('/connect.js');
                const before = await resumeUpstash();
                return [before, localStorage.length];
            }"""
        )

        assert [None, 0] == code


async def test_whether_the_helper_runs(world: World, page: Page, console: Console, home_page: str) -> None:
    """
    A page can ask before it offers anything; another program on the port is no helper.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 404|CORS|ERR_FAILED")
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site, Site.serving({}) as other:
        await page.goto(site.origin)
        asked = "async (url) => (await import('/connect.js')).isHelperRunning({ url })"

        answers = [
            await page.evaluate(asked, url) for url in (home_page, f"http://localhost:{free_port()}", other.origin)
        ]

        assert [True, False, False] == answers


async def test_a_helper_elsewhere_is_refused(world: World, page: Page) -> None:
    """
    The token goes to this computer alone, whatever address a page is led to give.
    """
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)

        error = await page.evaluate(
            """async () => {
                const { connectUpstash } = await import('/connect.js');
                const url = 'http://localhost.evil.example:3000';
                return connectUpstash({ name: 'x', url }).catch(({ name }) => name);
            }"""
        )

        assert "TypeError" == error


async def test_a_blocked_popup_is_an_error_with_the_address(world: World, page: Page) -> None:
    """
    Who calls the function without a way to show a link gets the address in a typed error.
    """
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair("connection:read", "connection:write", "databases:read", origin=site.origin)
        await page.goto(site.origin)
        await keep(page, world, app.token)

        name, url = await page.evaluate(
            """async () => {
                const { connectUpstash } = await import('/connect.js');
                window.open = () => null;
                const error = await connectUpstash({ name: 'x', scopes: 'databases:read' }).catch((error) => error);
                return [error.name, error.url];
            }"""
        )

        assert "PopupBlocked" == name
        assert url.startswith(world.sandbox.auth_url)


async def test_a_lost_answer_makes_no_second_database(world: World, page: Page, console: Console) -> None:
    """
    The client asks again with the same key until it knows.
    """
    console.expect("ERR_FAILED")
    await world.connect()
    lost: list[str] = []

    async def lose(route: Route) -> None:
        if route.request.method == "POST" and not lost:
            lost.append(route.request.headers["idempotency-key"])
            await route.fetch()
            await route.abort()
        else:
            await route.continue_()

    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair("databases:read", "databases:write", origin=site.origin)
        await page.goto(site.origin)
        await keep(page, world, app.token)
        await page.route("**/v1/databases", lose)

        names = await page.evaluate(
            """async () => {
                const upstash = await (await import('/connect.js')).resumeUpstash();
                await upstash.databases.create({ name: 'orders', primary_region: 'us-east-1' });
                return (await upstash.databases.list()).map(({ name }) => name);
            }"""
        )

        assert 1 == len(lost)
        assert ["orders"] == names


async def test_the_rest_of_the_client(world: World, page: Page, console: Console) -> None:
    """
    Get, change, delete, the token, a new one for it, and a refusal with its code.
    """
    console.expect("status of 404")
    await world.connect()
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair(
            "connection:read", "databases:read", "databases:write", "databases:delete", origin=site.origin
        )
        await page.goto(site.origin)
        await keep(page, world, app.token)

        said = await page.evaluate(
            """async () => {
                const upstash = await (await import('/connect.js')).resumeUpstash();
                const { id } = await upstash.databases.create({ name: 'a', primary_region: 'us-east-1' });
                const renamed = (await upstash.databases.change(id, { name: 'b' })).name;
                const read = (await upstash.databases.get(id)).name;
                await upstash.databases.delete(id);
                const error = await upstash.databases.get(id).catch((error) => error);
                await upstash.rotate();
                const { state } = await upstash.connection();
                const { identity } = await upstash.token();
                return [renamed, read, error.name, error.code, error.status, state, identity.name];
            }"""
        )

        assert ["b", "b", "ApiError", "database_not_found", 404, "connected", site.origin] == said


async def test_events_go_on_after_a_restart(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """
    What is followed is followed on, whoever went away meanwhile; and no longer once the page says stop.
    """
    console.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY")
    async with World.running(tmp_path, sandbox, daemon_port) as first:
        pages = {"/": PLAIN, "/connect.js": connect_js(first)}
        async with Site.serving(pages) as site:
            app = await first.pair("connection:read", "connection:write", origin=site.origin)
            await page.goto(site.origin)
            await keep(page, first, app.token)
            await page.evaluate(
                """async () => {
                    const upstash = await (await import('/connect.js')).resumeUpstash();
                    window.heard = [];
                    window.stop = new AbortController();
                    const { signal } = window.stop;
                    const hear = ({ type, data }) => { if (type === 'connection') window.heard.push(data.state); };
                    window.over = upstash.events(hear, { signal }).then(() => 'over');
                }"""
            )
            first.stop.set()
            await first.serving
            async with World.running(tmp_path, sandbox, daemon_port) as second:
                # It says so as often as it takes until the page is there again.
                while not await page.evaluate("window.heard.length"):
                    await second.call("POST", "/v1/connection", {"force": True})
                over = await page.evaluate("(window.stop.abort(), window.over)")

    assert "over" == over


async def test_the_ten_lines_of_the_readme(world: World, page: Page) -> None:
    """
    The button of the README, as it stands there, makes a database and shows what opens it.
    """
    await world.connect()
    readme = (CLIENTS.parents[1] / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"```html\n(.*?)```", readme, re.DOTALL)
    html = f"<!doctype html><meta charset='utf-8'><title>A page</title><link rel='icon' href='data:,'>{lines}"
    async with Site.serving({"/": html, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        async with page.expect_console_message() as said:
            await approve(world)

        [databases, env] = [await argument.json_value() for argument in (await said.value).args]

        assert ["orders"] == [database["name"] for database in databases]
        assert "UPSTASH_REDIS_REST_URL" in env


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_module_from_the_helper_itself(world: World, page: Page, home_page: str, host: str) -> None:
    """
    A script element takes it from the helper, another site or another port of the same one, and knows where that is.
    """
    html = f"""<!doctype html><meta charset="utf-8"><title>A page</title><link rel="icon" href="data:,">
        <script type="module" src="{home_page}/connect.js"></script>
        <script type="module">
            import {{ isHelperRunning }} from '{home_page}/connect.js';
            window.running = await isHelperRunning();
        </script>
        <upstash-connect name="A page"></upstash-connect>"""
    async with Site.serving({"/": html}, host=host) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        pairing = await waiting(world)

        assert site.origin == pairing["identity"]["name"]
        assert await page.evaluate("window.running")
