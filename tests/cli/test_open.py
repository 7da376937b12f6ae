"""``open``: the dashboard's address, and how the browser gets it."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import TYPE_CHECKING
from urllib.error import HTTPError

import pytest

from tests.support.command_line import run_cli
from tests.support.daemon import clean_environment
from tests.support.redirect import page_of
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Shell
    from tests.support.daemon import DaemonProcess

ADDRESS = re.compile(r"http://[0-9a-f]{16}\.upstash-helper\.localhost:(\d+)/#ticket=uht_[\w-]{43}")
LINK = re.compile(r"http://127\.\d+\.\d+\.\d+:\d+/links/[\w-]{43}")
NUMERIC = re.compile(r"http://127\.\d+\.\d+\.\d+:\d+/#ticket=uht_[\w-]{43}")


class NotedBrowser:
    """A fake browser that records the address it is given."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "opened"
        script = folder / "browser"
        script.write_text(f'#!/bin/sh\nprintf %s "$1" > {self._seen}.new && mv {self._seen}.new {self._seen}\n')
        script.chmod(0o700)
        self.environment = {"BROWSER": f"{script} %s"}

    async def opened(self) -> str:
        """Wait for the address and return it: the command does not wait for the browser."""
        async with asyncio.timeout(10):
            while not self._seen.exists():  # noqa: ASYNC110 - another process writes it
                await asyncio.sleep(0.01)
        return self._seen.read_text()


async def test_print_returns_a_new_address_each_time(shell: Shell, running: DaemonProcess) -> None:
    """The address is for a browser that the user opens, and works once."""
    first, second = await shell("open", "--print"), await shell("open", "--print")

    assert exit_codes.OK == first.code
    found = ADDRESS.fullmatch(first.out.strip())
    assert found is not None
    assert str(running.port) == found[1]
    assert first.out != second.out
    assert "" == first.err


async def test_ssh_session_gets_the_command_that_forwards_the_port(running: DaemonProcess) -> None:
    """The user's browser is on another computer: the address alone would lead nowhere."""
    removed = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    environment = {name: text for name, text in running.environment.items() if name not in removed}
    environment |= {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 2222"}

    opened = await run_cli("open", environment=environment)

    assert ADDRESS.fullmatch(opened.out.strip())
    assert f"\n\n  ssh -N -L {running.port}:127.0.0.1:{running.port} -p 2222 " in opened.err
    assert "@10.0.0.2\n" in opened.err


async def test_ssh_session_gets_the_command_that_forwards_the_numeric_address(running: DaemonProcess) -> None:
    """The daemon listens at that address only, and the browser opens it."""
    removed = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    environment = {name: text for name, text in running.environment.items() if name not in removed}
    environment |= {"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}

    opened = await run_cli("open", "--numeric", environment=environment)

    assert NUMERIC.fullmatch(opened.out.strip())
    address = opened.out.strip().removeprefix("http://").partition("/")[0]
    assert f"\n\n  ssh -N -L {address}:{address} " in opened.err


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
async def test_numeric_address_is_what_a_browser_opens_on_request(tmp_path: Path, running: DaemonProcess) -> None:
    """The name is not tried: it is there for a browser in which that does not work."""
    browser = NotedBrowser(tmp_path)

    ran = await run_cli("open", "--numeric", environment={**running.environment, **browser.environment})
    page = page_of(await browser.opened())

    assert exit_codes.OK == ran.code
    assert NUMERIC.search(page)
    assert ADDRESS.search(page) is None


async def test_numeric_address_for_browsers_that_do_not_find_the_name(shell: Shell) -> None:
    """It has no name, and another port than the daemon's."""
    ran, as_json = await shell("open", "--print", "--numeric"), await shell("open", "--numeric", "--json")

    assert NUMERIC.fullmatch(ran.out.strip())
    assert NUMERIC.fullmatch(as_json.json["url"])


async def test_open_as_json(shell: Shell) -> None:
    """With --json the result has the address and its expiry."""
    ran = await shell("open", "--json")

    assert ["expires_at", "url"] == sorted(json.loads(ran.out))
    assert ADDRESS.fullmatch(ran.json["url"])


@pytest.mark.skipif(sys.platform == "win32", reason="platform: BROWSER names a program on POSIX systems")
async def test_ticket_is_not_in_the_process_list(tmp_path: Path, running: DaemonProcess) -> None:
    """The browser is given a one-time link that redirects to the address, and no file, which an editor may open."""
    browser = NotedBrowser(tmp_path)

    ran = await run_cli("open", environment={**running.environment, **browser.environment})
    opened = await browser.opened()
    page = page_of(opened)
    with pytest.raises(HTTPError) as used:
        page_of(opened)
    used.value.close()

    assert exit_codes.OK == ran.code
    assert LINK.fullmatch(opened)
    assert ADDRESS.search(page)
    assert NUMERIC.search(page)
    assert 410 == used.value.code
    assert "ticket" not in opened + ran.out + ran.err
    assert [] == list(running.folders.runtime.glob("dashboard*"))


@pytest.mark.skipif(
    sys.platform != "linux", reason="platform: elsewhere there is always something that opens addresses"
)
async def test_missing_browser_prints_the_address(running: DaemonProcess) -> None:
    """Such as over ssh."""
    gone = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    environment = {name: value for name, value in running.environment.items() if name not in gone}

    ran = await run_cli("open", environment={**environment, "PATH": "/nonexistent"})

    assert exit_codes.OK == ran.code
    assert ADDRESS.fullmatch(ran.out.strip())
    assert "No browser could be opened" in ran.err


async def test_stopped_daemon_shows_how_to_start_it(tmp_path: Path) -> None:
    """Nothing is opened."""
    ran = await run_cli("open", environment={**clean_environment(), "UPSTASH_HELPER_HOME": str(tmp_path / "home")})

    assert exit_codes.NOT_RUNNING == ran.code
    assert "upstash-helper start" in ran.err
