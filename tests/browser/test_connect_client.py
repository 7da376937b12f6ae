"""connect.js as a module, without the Connect button, in a real browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Console, Site
from tests.support.web_tool import BUTTON, CLIENTS, approve, connect_js, pending_request
from tests.support.world import World, free_port

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.async_api import Page, Route

    from tests.support.sandbox import Sandbox

PLAIN = "<!doctype html><title>A page</title><link rel='icon' href='data:,'>"


async def store_token(page: Page, world: World, token: str) -> None:
    """Store a token as connect.js does."""
    await page.evaluate(
        """([key, token]) => localStorage.setItem(key, JSON.stringify({ token, scopes: [],
            requested: ['connection:read', 'connection:write', 'databases:read'] }))""",
        [f"upstash-helper:http://localhost:{world.settings.port}", token],
    )


async def test_resume_without_access_deletes_the_token(world: World, page: Page, console: Console) -> None:
    """
    A page whose access was revoked cannot read most responses, but it learns of the revocation.
    """
    console.expect("status of 40[13]|CORS|ERR_FAILED")
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair("connection:read", "databases:read", origin=site.origin)
        await page.goto(site.origin)
        await store_token(page, world, app.token)
        await world.call("DELETE", f"/v1/apps/{app.id}")

        resumed = await page.evaluate(
            """async () => {
                const { resumeUpstash } = await import('/connect.js');
                const client = await resumeUpstash();
                return [client, localStorage.length];
            }"""
        )

        assert [None, 0] == resumed


async def test_page_can_check_whether_the_helper_is_running(
    world: World, page: Page, console: Console, home_page: str
) -> None:
    """
    The check is positive only for a helper, and not for another program on the port.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 404|CORS|ERR_FAILED")
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site, Site.serving({}) as other:
        await page.goto(site.origin)
        check = "async (url) => (await import('/connect.js')).isHelperRunning({ url })"

        results = [
            await page.evaluate(check, url) for url in (home_page, f"http://localhost:{free_port()}", other.origin)
        ]

        assert [True, False, False] == results


async def test_address_of_another_computer_is_rejected(world: World, page: Page) -> None:
    """
    connect.js sends tokens only to this computer, whatever address it is given.
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


async def test_blocked_popup_is_an_error_with_the_address(world: World, page: Page) -> None:
    """
    Without a callback that shows a link, the error has the address.
    """
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair("connection:read", "connection:write", "databases:read", origin=site.origin)
        await page.goto(site.origin)
        await store_token(page, world, app.token)

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


async def test_lost_response_creates_no_second_database(world: World, page: Page, console: Console) -> None:
    """
    The client repeats the request with the same idempotency key.
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
        await store_token(page, world, app.token)
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


async def test_other_methods_of_the_client(world: World, page: Page, console: Console) -> None:
    """
    The client reads, changes, and deletes a database, rotates the token, and raises errors with the API's code.
    """
    console.expect("status of 404")
    await world.connect()
    async with Site.serving({"/": PLAIN, "/connect.js": connect_js(world)}) as site:
        app = await world.pair(
            "connection:read", "databases:read", "databases:write", "databases:delete", origin=site.origin
        )
        await page.goto(site.origin)
        await store_token(page, world, app.token)

        results = await page.evaluate(
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

        assert ["b", "b", "ApiError", "database_not_found", 404, "connected", site.origin] == results


async def test_events_continue_after_a_restart(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, page: Page, console: Console
) -> None:
    """
    The event stream reconnects after a restart of the helper and ends when the page aborts it.
    """
    console.expect("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE|ERR_CONNECTION_RESET|ERR_EMPTY")
    async with World.running(tmp_path, sandbox, daemon_port) as first:
        pages = {"/": PLAIN, "/connect.js": connect_js(first)}
        async with Site.serving(pages) as site:
            app = await first.pair("connection:read", "connection:write", origin=site.origin)
            await page.goto(site.origin)
            await store_token(page, first, app.token)
            await page.evaluate(
                """async () => {
                    const upstash = await (await import('/connect.js')).resumeUpstash();
                    window.states = [];
                    window.stop = new AbortController();
                    const { signal } = window.stop;
                    const listener = ({ type, data }) => { if (type === 'connection') window.states.push(data.state); };
                    window.over = upstash.events(listener, { signal }).then(() => 'over');
                }"""
            )
            first.stop.set()
            await first.serving
            async with World.running(tmp_path, sandbox, daemon_port) as second:
                # The page misses events until it has reconnected, so they are repeated.
                while not await page.evaluate("window.states.length"):
                    await second.call("POST", "/v1/connection", {"force": True})
                over = await page.evaluate("(window.stop.abort(), window.over)")

    assert "over" == over


async def test_readme_example_works(world: World, page: Page) -> None:
    """
    The README's example, unchanged, creates a database and prints its credentials. On a later visit, it creates no
    second one.
    """
    await world.connect()
    readme = (CLIENTS.parents[1] / "README.md").read_text(encoding="utf-8")
    [lines] = re.findall(r"```html\n(.*?)```", readme, re.DOTALL)
    html = f"<!doctype html><meta charset='utf-8'><title>A page</title><link rel='icon' href='data:,'>{lines}"
    async with Site.serving({"/": html, "/connect.js": connect_js(world)}) as site:
        await page.goto(site.origin)
        await page.locator(BUTTON).click()
        async with page.expect_console_message() as logged:
            await approve(world)

        [env] = [await argument.json_value() for argument in (await logged.value).args]
        async with page.expect_console_message() as logged:
            await page.reload()
        [later] = [await argument.json_value() for argument in (await logged.value).args]
        databases = (await world.get("/v1/databases")).json["databases"]

        assert ["orders"] == [database["name"] for database in databases]
        assert "UPSTASH_REDIS_REST_URL" in env
        assert env == later


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_module_loaded_from_the_helper_finds_it(world: World, page: Page, home_page: str, host: str) -> None:
    """
    A module that was loaded from the helper's address looks for the helper there, on a cross-site and a same-site page.
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
        pairing = await pending_request(world)

        assert site.origin == pairing["identity"]["name"]
        assert await page.evaluate("window.running")
