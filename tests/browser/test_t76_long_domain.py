"""T76: the dashboard shows the end of every domain, on a phone's screen too. T64: and what makes a program doubtful."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from tests.browser.dashboard import access_request, dialog, go_to, open_dashboard, press
from tests.support.mounts import skip_unless_mounting_is_unprivileged

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.support.world import World

PHONE = {"width": 360, "height": 740}

# Whether the text at the end of each occurrence is inside the screen and inside every element that cuts its content.
HIDDEN = """
(end) => {
  const hidden = [];
  let count = 0;
  for (const element of document.querySelectorAll("body, body *")) {
    // Its own text, which <wbr> may divide.
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
    const text = texts.map((node) => node.data).join("");
    const at = text.indexOf(end);
    if (at < 0 || element.closest("option, .unseen, .announcer, [hidden]")) continue;
    const place = (offset) => {
      for (const node of texts) {
        if (offset <= node.length) return [node, offset];
        offset -= node.length;
      }
    };
    const range = document.createRange();
    range.setStart(...place(at));
    range.setEnd(...place(at + end.length));
    const rects = [...range.getClientRects()].filter((rect) => rect.width > 0);
    if (!rects.length) hidden.push(text);
    for (const rect of rects) {
      count += 1;
      let inside = rect.left >= 0 && rect.right <= innerWidth + 0.5;
      for (let box = element; box; box = box.parentElement) {
        const style = getComputedStyle(box);
        const outer = box.getBoundingClientRect();
        const isCut = rect.right > outer.right + 0.5 || rect.left < outer.left - 0.5;
        if (style.overflowX !== "visible" && isCut) inside = false;
        if (style.overflowY === "hidden" && box !== document.body && rect.bottom > outer.bottom + 0.5) inside = false;
      }
      if (!inside) hidden.push(text);
    }
  }
  return [count, hidden];
}
"""


def long_origin(length: int, end: str) -> str:
    """Return an origin whose domain has this many characters and begins with somebody else's."""
    end = f".{end}.example"
    labels = "accounts.google.com." + ".".join(["a" * 30] * 8)
    return f"https://{labels[: length - len(end)].rstrip('.')}{end}"


async def assert_visible(page: Page, end: str) -> None:
    """Assert that the end of a domain is on the page and nowhere cut off."""
    count, hidden = await page.evaluate(HIDDEN, end)
    assert count
    assert [] == hidden


@pytest.mark.parametrize("length", [100, 253])
async def test_t76_end_of_a_domain_is_visible(world: World, page: Page, length: int) -> None:
    """The request, the questions about it, the apps, and the activity show the end of a long domain."""
    asking, approved = long_origin(length, "evil-asks"), long_origin(length, "evil-has-access")
    await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    await world.pair("databases:read", origin=approved, name=approved[8:72])
    await open_dashboard(world, page, "Apps")
    await world.ask("databases:read", origin=asking, name=asking[8:264])

    await expect(access_request(page, asking)).to_be_visible()
    await assert_visible(page, "evil-asks.example")
    await assert_visible(page, "evil-has-access.example")
    await press(access_request(page, asking).get_by_role("button", name="Block"))
    await expect(dialog(page, "Block this app?")).to_be_visible()
    await assert_visible(page, "evil-asks.example")
    await dialog(page, "Block this app?").get_by_role("button", name="Cancel").click()
    await go_to(page, "Activity")
    await expect(page.get_by_role("table")).to_contain_text("evil-has-access.example")
    await assert_visible(page, "evil-has-access.example")
    options = await page.get_by_role("combobox").first.locator("option").all_inner_texts()
    assert any("evil-has-access.example (" in option[:60] for option in options)


async def test_t64_doubtful_program_is_explained(world: World, page: Page) -> None:
    """The card of a program in a sandbox says so, next to its path and in a sentence of its own."""
    skip_unless_mounting_is_unprivileged()
    if shutil.which("bash") is None:
        pytest.skip("bash is not installed")
    body = '{"name": "Orders", "scopes": ["databases:read"]}'
    script = (
        "exec 3<>/dev/tcp/127.0.0.1/$1; printf 'POST /v1/pairings HTTP/1.1\\r\\nHost: localhost:%s\\r\\n"
        f"Content-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n%s' \"$1\" '{body}' >&3; "
        "read -r -u 3"
    )
    await open_dashboard(world, page)

    process = await asyncio.create_subprocess_exec(
        *("unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script, "bash", str(world.settings.port))
    )
    await process.wait()

    card = page.get_by_role("article").first
    await expect(card).to_contain_text(f"(process {process.pid}, inside a container or sandbox)")
    await expect(card).to_contain_text("where a different file can be at this path.")
    [waiting] = (await world.get("/v1/pairings")).json["pairings"]
    assert ["sandboxed"] == [warning["code"] for warning in waiting["identity"]["warnings"]]
