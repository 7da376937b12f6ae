"""
Chromium with real tabs and windows, controlled through the DevTools protocol.

Playwright makes every page believe that it is visible and has the focus. Here, a tab is hidden when another one is in
front of it, and only one has the focus.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.browser import ARGUMENTS, chromium
from tests.support.until import SECONDS, until_async

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Chromium:
    """A running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, profile: Path) -> AsyncIterator[Chromium]:
        """Run a headless browser with its data in the folder ``profile``."""
        more = ("--headless", "--window-size=1280,1000", "--remote-debugging-port=0", f"--user-data-dir={profile}")
        command = [chromium(), *ARGUMENTS, *more, "about:blank"]
        process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
        announced = profile / "DevToolsActivePort"
        try:
            await until_async(lambda: announced.is_file() and announced.read_text().count("\n") > 0)
            port, path = announced.read_text().split()
            url = f"ws://127.0.0.1:{port}{path}"
            async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=0) as socket:
                yield cls(socket)
        finally:
            process.terminate()
            await process.wait()

    async def open(self, url: str, *, in_window: bool = False) -> Tab:
        """Open an address in a new tab, or in a new window. It is then in front."""
        target = (await self.send("Target.createTarget", url="about:blank", newWindow=in_window))["targetId"]
        session = (await self.send("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        tab = Tab(self, target, session)
        await tab.send("Page.enable")
        await tab.send("Page.bringToFront")
        await tab.send("Page.navigate", url=url)
        return tab

    async def send(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        """Send a command and return its result. Events are dropped."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message if session is None else {**message, "sessionId": session})
        async with asyncio.timeout(SECONDS):
            while True:
                answer = await self._socket.receive_json()
                if answer.get("id") == number:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]


@dataclass
class Tab:
    """A tab, or the only tab of a window."""

    browser: Chromium
    target: str
    session: str

    async def send(self, method: str, **parameters: Any) -> Any:
        """Send a command to the tab."""
        return await self.browser.send(method, self.session, **parameters)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page; None while there is no page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression in the page has a true value, and return that."""
        async with asyncio.timeout(SECONDS):
            while not (found := await self.evaluate(expression)):  # noqa: ASYNC110 - another process is waited for
                await asyncio.sleep(0.01)
        return found

    async def to_front(self) -> None:
        """Show the tab in front of the others, and give it the focus."""
        await self.send("Page.bringToFront")

    async def mouse(self, kind: str, x: float, y: float) -> None:
        """Send a mouse event, such as ``mouseMoved``."""
        button = "none" if kind == "mouseMoved" else "left"
        await self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    async def click(self, x: float, y: float) -> None:
        """Click with the left button. The mouse is not moved first."""
        await self.mouse("mousePressed", x, y)
        await self.mouse("mouseReleased", x, y)

    async def center(self, selector: str) -> tuple[float, float]:
        """Return the center of an element."""
        found = await self.evaluate(
            f"(() => {{ const it = document.querySelector({selector!r}).getBoundingClientRect();"
            " return [it.x + it.width / 2, it.y + it.height / 2]; })()"
        )
        return found[0], found[1]

    async def close(self) -> None:
        """Close the tab."""
        await self.browser.send("Target.closeTarget", targetId=self.target)
