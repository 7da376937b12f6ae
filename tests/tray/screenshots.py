"""
Take the screenshots for the documentation: the icon and its menu in a real panel on a virtual display.

    python -m tests.tray.screenshots OUTDIR
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tests.mcp.raw_client import ACCEPT, PREFIX, STATELESS
from tests.support.connecting import connected, settings_for
from tests.support.daemon import DaemonProcess, free_port
from tests.support.panel import Panel
from tests.support.sandbox import Sandbox
from tests.support.tray_process import TrayProcess
from tests.support.until import until
from tests.support.virtual_desktop import HEIGHT
from tests.support.world import as_page
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from PIL.Image import Image

EMAIL = "ada@example.com"
_DRAWN_SECONDS = 1.0


async def pictures(*, dark: bool) -> dict[str, Image]:
    """Return screenshots of the menu by their names: of the databases, an agent's question, and an access request."""
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
                    with question(daemon, "staging-cache"):
                        asked = _screenshot(panel, "Down", "Right")
                    request_access(daemon)
                    approval = _screenshot(panel, "Down", "Right")
                    return {"approval": approval, "databases": databases, "question": asked}


def fill(daemon: DaemonProcess) -> None:
    """Create databases."""
    for name in ("orders", "sessions", "staging-cache"):
        wanted = wire.CreateDatabase(name=name, primary_region="eu-west-1")
        daemon.client.create_database(wanted, idempotency_key=name)


def request_access(daemon: DaemonProcess) -> None:
    """Request access as a page."""
    scopes = ("databases:read", "databases:write", "databases:credentials")
    wanted = {"name": "Orders", "scopes": scopes, "reason": "To keep your orders"}
    _curl(f"{daemon.client.base_url}/v1/pairings", wanted, as_page("https://orders.example.com"))


@contextmanager
def question(daemon: DaemonProcess, name: str) -> Iterator[None]:
    """Give an agent access, and let it ask whether it may delete a database, until the block ends."""
    scopes = ("databases:read", "databases:delete")
    pairings = f"{daemon.client.base_url}/v1/pairings"
    begun = _curl(pairings, {"name": "my-agent", "scopes": scopes, "audience": "mcp"})
    daemon.client.approve(begun["id"])
    token = _curl(f"{pairings}/{begun['id']}/token", None, _authorized(begun["poll_secret"]))["token"]
    [found] = [it.id for it in daemon.client.databases() if it.name == name]
    tool = "redis_delete_database"
    about = {f"{PREFIX}protocolVersion": STATELESS, f"{PREFIX}clientCapabilities": {}}
    params = {"name": tool, "arguments": {"database_id": found}, "_meta": about}
    headers = {
        **_authorized(token),
        "Accept": ACCEPT,
        "MCP-Protocol-Version": STATELESS,
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    with subprocess.Popen(_command(f"{daemon.client.base_url}/mcp", headers), stdin=subprocess.PIPE) as asking:
        assert asking.stdin is not None
        asking.stdin.write(msgspec.json.encode(body))
        asking.stdin.close()
        until(daemon.client.confirmations)
        yield
        asking.kill()


def _authorized(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _curl(address: str, body: Any, headers: Mapping[str, str] | None = None) -> Any:
    """Send a request with curl, whose path is the same on every machine."""
    command = _command(address, headers or {})
    sent = b"" if body is None else msgspec.json.encode(body)
    ran = subprocess.run(command, input=sent, check=True, stdout=subprocess.PIPE)
    return msgspec.json.decode(ran.stdout)


def _command(address: str, headers: Mapping[str, str]) -> list[str]:
    sent = {"Content-Type": "application/json", **headers}
    options = [option for name, value in sent.items() for option in ("-H", f"{name}: {value}")]
    return ["curl", "-sSf", *options, "--data-binary", "@-", address]


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
        for name, picture in asyncio.run(pictures(dark=dark)).items():
            picture.save(folder / f"{name}-{scheme}.png")


if __name__ == "__main__":
    main()
