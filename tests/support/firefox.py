"""Firefox, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), which it has built in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import shutil
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

START_SECONDS: Final = 60.0
CALL_SECONDS: Final = 30.0

_LISTENING: Final = re.compile(r"WebDriver BiDi listening on (ws://\S+)")
# No requests of the browser itself, and no page of its own at the start.
_PREFERENCES: Final[dict[str, bool | int | str]] = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.newtabpage.enabled": False,
    "browser.safebrowsing.downloads.remote.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "termsofuse.bypassNotification": True,
}


def firefox() -> str:
    """Return the path of Firefox, or skip the test."""
    found = shutil.which("firefox-esr") or shutil.which("firefox")
    if found is None:
        pytest.skip("firefox-esr is not installed")
    return found


class Tab:
    """A tab or a window."""

    def __init__(self, browser: Firefox, context: str) -> None:
        self._browser = browser
        self.context = context

    async def goto(self, url: str) -> None:
        """Load an address, as if the user typed it, and wait until it is loaded."""
        await self._browser.call("browsingContext.navigate", context=self.context, url=url, wait="complete")

    async def evaluate(self, expression: str, *, click: bool = False) -> Any:
        """
        Evaluate JavaScript and return its result, which must be JSON.

        Args:
            expression: The expression. If its value is a promise, that is awaited.
            click: Whether the page may do what it can do after a click, such as open windows.
        """
        answer = await self._browser.call(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({expression})) ?? null))()",
            target={"context": self.context},
            awaitPromise=True,
            userActivation=click,
        )
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"]["value"])

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true, also across navigations, and return its value."""
        async with asyncio.timeout(CALL_SECONDS):
            while True:
                with contextlib.suppress(BidiError):  # the page is being replaced
                    if value := await self.evaluate(expression):
                        return value
                await asyncio.sleep(0.05)

    async def text(self) -> str:
        """Return the text that is shown."""
        shown: str = await self.evaluate("document.body?.innerText ?? ''")
        return shown

    async def url(self) -> str:
        """Return the address."""
        tree = await self._browser.call("browsingContext.getTree", root=self.context, maxDepth=0)
        address: str = tree["contexts"][0]["url"]
        return address


class BidiError(Exception):
    """Firefox could not do what was requested."""


class Firefox:
    """A running Firefox."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, profile: Path) -> AsyncIterator[Firefox]:
        """Start it with a new profile in the empty folder ``profile``."""
        program = firefox()
        lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in _PREFERENCES.items())
        (profile / "user.js").write_text("".join(lines))
        process = await asyncio.create_subprocess_exec(
            program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port=0", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stderr
        reading = None
        try:
            address = await _address(process.stderr)
            reading = asyncio.create_task(process.stderr.read())
            async with aiohttp.ClientSession() as session, session.ws_connect(f"{address}/session") as socket:
                browser = cls(socket)
                receiving = asyncio.create_task(browser.receive())
                try:
                    await browser.call("session.new", capabilities={})
                    yield browser
                finally:
                    receiving.cancel()
        finally:
            process.terminate()
            await process.wait()
            if reading is not None:
                await reading

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """
        Send a command and return its result.

        Raises:
            BidiError: If it fails.
        """
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(CALL_SECONDS):
            message = await answer
        if message["type"] == "error":
            raise BidiError(f"{method}: {message['error']}: {message['message']}")
        result: dict[str, Any] = message["result"]
        return result

    async def new_tab(self) -> Tab:
        """Open a tab."""
        return Tab(self, (await self.call("browsingContext.create", type="tab"))["context"])

    async def window_of(self, tab: Tab) -> Tab:
        """Wait for a window that ``tab`` has opened, and return it."""
        async with asyncio.timeout(CALL_SECONDS):
            while True:
                tree = await self.call("browsingContext.getTree", maxDepth=0)
                for one in tree["contexts"]:
                    if one.get("originalOpener") == tab.context:
                        return Tab(self, one["context"])
                await asyncio.sleep(0.05)

    async def receive(self) -> None:
        """Pass answers on until the connection is closed; for ``running``."""
        async for message in self._socket:
            answer = json.loads(message.data)
            if answer.get("id") in self._answers:
                self._answers.pop(answer["id"]).set_result(answer)


async def _address(errors: asyncio.StreamReader) -> str:
    """Return the address that Firefox reports."""
    async with asyncio.timeout(START_SECONDS):
        while line := await errors.readline():
            if found := _LISTENING.search(line.decode(errors="replace")):
                return found[1]
    pytest.fail("Firefox has ended")
