"""
Take the screenshots for the documentation: the icon and its menu in a real panel on a virtual display.

    python -m tests.tray.screenshots OUTDIR
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tests.support.connecting import connected, settings_for
from tests.support.daemon import DaemonProcess, free_port
from tests.support.panel import Panel
from tests.support.sandbox import Sandbox
from tests.support.tray_process import TrayProcess
from tests.support.virtual_desktop import HEIGHT
from tests.support.world import as_page
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from PIL.Image import Image

EMAIL = "ada@example.com"
_DRAWN_SECONDS = 1.0


async def pictures(*, dark: bool) -> tuple[Image, Image]:
    """Return screenshots of the menu with an access request and with the databases open."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        async with Sandbox.running(home / "far", redirect_uris=(f"http://localhost:{port}",)) as sandbox:
            with Panel.running(dark=dark) as panel:
                panel.paint(0x2B3A35 if dark else 0xDCE6E1)
                env = {**panel.environment, "UPSTASH_HELPER_HOME": str(home / "helper")}
                with (
                    DaemonProcess.running(
                        home / "helper", port=port, environment=env, **settings_for(sandbox, "open")
                    ) as daemon,
                    TrayProcess.running(env, "--wait", "30"),
                ):  # fmt: skip
                    await connected(daemon, sandbox, "open", EMAIL, full_access=True)
                    fill(daemon)
                    databases = _screenshot(panel, "Down", "Down", "Down", "Right", "Down", "Right")
                    request_access(daemon)
                    return _screenshot(panel, "Down", "Right"), databases


def fill(daemon: DaemonProcess) -> None:
    """Create databases."""
    for name in ("orders", "sessions", "staging-cache"):
        wanted = wire.CreateDatabase(name=name, primary_region="eu-west-1")
        daemon.client.create_database(wanted, idempotency_key=name)


def request_access(daemon: DaemonProcess) -> None:
    """Request access with curl, whose path is the same on every machine."""
    scopes = ("databases:read", "databases:write", "databases:credentials")
    body = msgspec.json.encode({"name": "Orders", "scopes": scopes, "reason": "To keep your orders"})
    headers = {**as_page("https://orders.example.com"), "Content-Type": "application/json"}
    options = [option for name, value in headers.items() for option in ("-H", f"{name}: {value}")]
    address = f"{daemon.client.base_url}/v1/pairings"
    subprocess.run(["curl", "-sSf", "-o", os.devnull, *options, "--data-binary", "@-", address], input=body, check=True)


def _screenshot(panel: Panel, *keys: str) -> Image:
    time.sleep(2 * _DRAWN_SECONDS)  # there is no event when the panel has drawn
    panel.click(right=True)
    time.sleep(_DRAWN_SECONDS)
    panel.press(*keys)
    time.sleep(_DRAWN_SECONDS)
    picture = panel.picture()
    panel.press("Escape", "Escape")
    return _cut(picture)


def _cut(picture: Image) -> Image:
    """Cut off the empty part of the display."""
    from PIL import Image as Images
    from PIL import ImageChops

    below = (0, HEIGHT + 2, *picture.size)
    empty = Images.new("RGB", picture.size, picture.getpixel((picture.width - 1, picture.height - 1)))
    box = ImageChops.difference(picture, empty).crop(below).getbbox()
    assert box is not None, "no menu has opened"
    return picture.crop((0, 0, min(box[2] + 24, picture.width), HEIGHT + 2 + box[3] + 24))


def main() -> None:
    """Take the screenshots, in light and dark."""
    parser = argparse.ArgumentParser(prog="python -m tests.tray.screenshots", description="Screenshots of the tray.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for scheme, dark in (("light", False), ("dark", True)):
        approval, databases = asyncio.run(pictures(dark=dark))
        approval.save(folder / f"approval-{scheme}.png")
        databases.save(folder / f"databases-{scheme}.png")


if __name__ == "__main__":
    main()
