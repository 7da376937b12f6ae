"""``connect`` reads an address that is pasted at the terminal while it waits. T43 for remote and headless use."""

from __future__ import annotations

import asyncio
import secrets
import signal
import stat
import sys
import termios
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.support.command_line import run_cli
from tests.support.terminal import terminal
from tests.support.world import PASSWORD
from upstash_helper.cli import exit_codes

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.daemon import DaemonProcess
    from tests.support.sandbox import Sandbox
    from tests.support.terminal import Terminal

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="platform: Windows has no pseudo-terminals of this kind"
)

WAITING = b"Waiting for the sign-in. Press Ctrl-C to cancel.\n"


async def offered(screen: Terminal) -> tuple[str, str]:
    """Wait until the command waits, and return the sign-in's address and all that was printed."""
    printed = await screen.shows(WAITING)
    [url] = (line.strip() for line in printed.splitlines() if line.strip().startswith("http"))
    return url, printed


async def redirect_of(sandbox: Sandbox, url: str) -> tuple[str, str]:
    """Sign up, and return the email and the address to which the browser would return."""
    email = f"typed-{secrets.token_hex(4)}@example.com"
    return email, await sandbox.authorize(url, email, PASSWORD)


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["text", "json"])
async def test_t43_address_is_pasted_while_connect_waits(
    running: DaemonProcess, sandbox: Sandbox, flags: tuple[str, ...]
) -> None:
    """The sign-in is completed in the same command. The address is not shown, and --json prints only the result."""
    async with terminal("connect", *flags, environment=running.environment) as screen:
        url, _ = await offered(screen)
        email, address = await redirect_of(sandbox, url)
        screen.type(f"\x1b[200~{address}\x1b[201~\n")
        ran = await screen.ended()

    assert 0 == ran.code, ran.err
    assert email in ran.out
    assert not flags or email == ran.json["account"]["email"]
    assert URL(address).query["code"] not in ran.out + ran.err


async def test_t43_address_longer_than_a_terminal_line_is_read(running: DaemonProcess, sandbox: Sandbox) -> None:
    """A terminal itself cuts lines at 4,096 bytes; an address has no such limit."""
    async with terminal("connect", environment=running.environment) as screen:
        url, _ = await offered(screen)
        email, address = await redirect_of(sandbox, url)
        head, tail = address.split("?")
        long = f"{head}?session={'x' * 6000}&{tail}"
        for start in range(0, len(long), 1000):
            screen.type(long[start : start + 1000])
            await asyncio.sleep(0)
        screen.type("\n")
        ran = await screen.ended()

    assert 0 == ran.code, ran.err
    assert email in ran.out


async def test_t43_long_address_is_read_by_paste(running: DaemonProcess, sandbox: Sandbox) -> None:
    """The same with --paste, in a second terminal."""
    started = running.client.connect(open_browser=False)
    email, address = await redirect_of(sandbox, getattr(started, "authorization_url", ""))
    head, tail = address.split("?")

    async with terminal("connect", "--paste", environment=running.environment) as screen:
        await screen.shows()
        screen.type(f"{head}?session={'x' * 6000}&{tail}\n")
        ran = await screen.ended()

    assert 0 == ran.code, ran.err
    assert email in ran.out


async def test_t43_wrong_address_is_explained_and_another_one_accepted(
    running: DaemonProcess, sandbox: Sandbox
) -> None:
    """A truncated address is the most common mistake. The command keeps waiting."""
    async with terminal("connect", environment=running.environment) as screen:
        url, _ = await offered(screen)
        email, address = await redirect_of(sandbox, url)
        screen.type(f"{address.partition('&')[0]}\n")
        explained = await screen.shows(b"Still waiting for the sign-in.\n")
        screen.type(f"{address.replace('localhost', 'LOCALHOST')}\n")
        ran = await screen.ended()

    assert "cut off" in explained
    assert "in quotes" in explained
    assert URL(address).query["code"] not in explained
    assert (0, True) == (ran.code, email in ran.out), ran.err


async def test_t43_ctrl_c_restores_the_terminal(running: DaemonProcess) -> None:
    """However the command ends, what is typed next is shown again."""
    modes: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        async with terminal("connect", environment=running.environment) as screen:
            before = termios.tcgetattr(screen.keyboard)[3]
            await offered(screen)
            assert not termios.tcgetattr(screen.keyboard)[3] & termios.ECHO
            screen.process.send_signal(number)
            await screen.ended()
            modes += (before, termios.tcgetattr(screen.keyboard)[3])

    assert modes[0] & termios.ECHO
    assert modes[0] == modes[1] == modes[2] == modes[3]


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"}, "SSH session"),
        ({"container": "podman"}, "container"),
    ],
)
async def test_t43_remote_use_is_explained_without_being_asked(
    running: DaemonProcess, variables: dict[str, str], words: str
) -> None:
    """Over SSH and in a container, the address can be opened in any browser, and is pasted here."""
    without = {name: text for name, text in running.environment.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}

    async with terminal("connect", environment={**without, **variables}) as screen:
        _, printed = await offered(screen)

    assert "Open this address in any browser" in printed
    assert words in printed
    assert "paste it here. (In another terminal: upstash-helper connect --paste)" in printed
    forwarded = f"ssh -N -L {running.port}:127.0.0.1:{running.port}" if "SSH_CONNECTION" in variables else "ssh"
    assert (words == "SSH session") == (forwarded in printed)


async def test_t43_piped_input_is_read_over_ssh(running: DaemonProcess, sandbox: Sandbox) -> None:
    """``ssh HOST upstash-helper connect`` has no terminal, but its input can be typed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "upstash_helper", "connect",
        env={**running.environment, "SSH_CONNECTION": "10.0.0.1 50000 10.0.0.2 22"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(30):
        printed = (await process.stderr.readuntil(WAITING)).decode()
    [url] = (line.strip() for line in printed.splitlines() if line.strip().startswith("http"))
    email, address = await redirect_of(sandbox, url)

    async with asyncio.timeout(30):
        out, err = await process.communicate(f"{address}\n".encode())

    assert (0, True) == (process.returncode, email in out.decode()), err


async def test_t77_address_is_printed_before_the_browser_starts(running: DaemonProcess, tmp_path: Path) -> None:
    """A browser that stays in the foreground delays nothing, --timeout applies, and its output is not shown."""
    shown, output, browser = tmp_path / "shown", tmp_path / "output", tmp_path / "browser"
    browser.write_text(
        f"#!/bin/sh\ncat {output} > {shown}.new; mv {shown}.new {shown}; echo noise; echo noise >&2\n"
        f"while [ ! -e {tmp_path}/closed ]; do sleep 0.1; done\n"
    )
    browser.chmod(stat.S_IRWXU)
    running.stop()

    with output.open("wb") as stream:
        code = await _connect_with(running, browser, stream.fileno())
    (tmp_path / "closed").touch()

    assert exit_codes.FAILURE == code
    assert "http" in shown.read_text()
    assert "did not finish within 3 s" in output.read_text()
    assert "noise" not in output.read_text()


async def _connect_with(running: DaemonProcess, browser: Path, output: int) -> int:
    from tests.support.daemon import DaemonProcess

    settings = {name: value for name, value in running.settings.items() if name != "port"}
    with DaemonProcess.running(running.home, port=running.port, quietly=False, **settings) as daemon:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "upstash_helper", "connect", "--timeout", "3",
            env={**daemon.environment, "BROWSER": str(browser)},
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        async with asyncio.timeout(30):
            return await process.wait()


async def test_no_browser_is_opened_if_the_daemon_runs_without(running: DaemonProcess, tmp_path: Path) -> None:
    """``run --no-browser`` and ``open_browser = false`` apply to the command line as well."""
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f"#!/bin/sh\ntouch {opened}\n")
    browser.chmod(stat.S_IRWXU)

    ran = await run_cli("connect", "--no-wait", environment={**running.environment, "BROWSER": str(browser)})

    assert (0, False) == (ran.code, "Opening your browser" in ran.err)
    assert not opened.exists()
