"""
Pictures of the pages, for looking at and for the README.

  python -m tests.browser.screenshots OUTDIR          every page, at three widths, in both color schemes
  python -m tests.browser.screenshots --readme        tests/browser/pictures anew
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from playwright.async_api import expect

from tests.browser.gallery import gallery, pages
from tests.browser.staging import staged
from tests.support.browser import launch, playing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from playwright.async_api import Browser, BrowserContext, Page

    from tests.browser.staging import Stage

PICTURES = Path(__file__).parent / "pictures"

WIDTHS = {360: 740, 768: 1024, 1440: 900}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@contextlib.asynccontextmanager
async def looking(
    browser: Browser, scheme: Literal["light", "dark"], *, scale: float = 1
) -> AsyncIterator[BrowserContext]:
    """Look with one color scheme, and without anything that moves."""
    context = await browser.new_context(color_scheme=scheme, reduced_motion="reduce", device_scale_factor=scale)
    yield context
    await context.close()


async def at_all_widths(page: Page, out: Path, name: str) -> None:
    """Take a page as it is on a phone, a tablet and a desk."""
    for width, height in WIDTHS.items():
        await page.set_viewport_size({"width": width, "height": height})
        await page.screenshot(path=out / f"{name}-{width}.png", full_page=True)


async def every_page(browser: Browser, out: Path) -> None:
    """Take all of them."""
    async with gallery() as site:
        for scheme in SCHEMES:
            async with looking(browser, scheme) as context:
                page = await context.new_page()
                for name in pages():
                    await page.goto(f"{site.origin}/{name}")
                    await at_all_widths(page, out, f"{name}-{scheme}")
    async with in_scene() as stage:
        for scheme in SCHEMES:
            async with looking(browser, scheme) as context:
                page = await context.new_page()
                await page.goto(stage.home)
                await at_all_widths(page, out, f"dashboard-closed-{scheme}")
                page = await stage.dashboard(context)
                for name, show in stage.views.items():
                    await show(page)
                    await at_all_widths(page, out, f"dashboard-{name}-{scheme}")
        async with looking(browser, "light") as other, stage.asked(other):
            for scheme in SCHEMES:
                async with looking(browser, scheme) as context:
                    page = await stage.dashboard(context)
                    await expect(page.get_by_role("button", name="Allow")).to_be_enabled()
                    await at_all_widths(page, out, f"approval-{scheme}")


async def for_the_readme(browser: Browser, out: Path) -> None:
    """Take what the README shows."""
    async with in_scene() as stage, gallery() as site:
        for scheme in SCHEMES:
            async with looking(browser, scheme) as context:
                page = await stage.dashboard(context)
                await page.set_viewport_size({"width": 1200, "height": 470})
                await stage.views["databases"](page)
                await page.screenshot(path=out / f"dashboard-{scheme}.png")
                await page.set_viewport_size({"width": 640, "height": 720})
                await page.goto(f"{site.origin}/connected")
                await page.screenshot(path=out / f"connected-{scheme}.png")
        async with looking(browser, "light") as other, stage.asked(other):
            for scheme in SCHEMES:
                async with looking(browser, scheme) as context:
                    page = await stage.dashboard(context)
                    await page.set_viewport_size({"width": 1200, "height": 600})
                    await expect(page.get_by_role("button", name="Allow")).to_be_enabled()
                    await page.screenshot(path=out / f"approval-{scheme}.png")


@contextlib.asynccontextmanager
async def in_scene() -> AsyncIterator[Stage]:
    """Set the scene in a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        async with staged(Path(folder)) as stage:
            yield stage


def shrink(folder: Path) -> None:
    """Write the pictures anew with a palette of 256 colors: these pages have few, and the files stay small."""
    from PIL import Image

    for file in sorted(folder.glob("*.png")):
        with Image.open(file) as picture:
            small = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        small.save(file, optimize=True)


async def main(arguments: list[str]) -> None:
    """Take what was asked for."""
    readme = arguments == ["--readme"]
    out = PICTURES if readme else Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    async with playing() as playwright:
        browser = await launch(playwright)
        await (for_the_readme if readme else every_page)(browser, out)
        await browser.close()
    if readme:
        shrink(out)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
