"""A crash of the daemon ends a pending sign-in. Nothing about it is on disk, and the browser gets a clear page."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from yarl import URL

from tests.support.daemon import DaemonProcess
from tests.support.world import PASSWORD, free_port
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def settings(sandbox: Sandbox, daemon_port: int) -> dict[str, Any]:
    """Settings with a credential store that outlives the daemon."""
    return {
        "port": daemon_port,
        "client_id": sandbox.client_id,
        "auth_url": sandbox.auth_url,
        "api_url": sandbox.api_url,
        "rest_url": sandbox.rest_url,
        "credential_store": "file",
        "log_level": "debug",
    }


@pytest.fixture
def daemon(tmp_path: Path, settings: dict[str, Any]) -> Iterator[DaemonProcess]:
    """A running daemon."""
    with DaemonProcess.running(tmp_path / "home", **settings) as daemon:
        yield daemon


def begin(daemon: DaemonProcess) -> wire.StartedAttempt:
    """Start a sign-in."""
    started = daemon.client.connect(open_browser=False)
    assert isinstance(started, wire.StartedAttempt)
    return started


def query(started: wire.StartedAttempt, name: str) -> str:
    """Return a parameter of the authorization request."""
    return parse_qs(urlsplit(started.authorization_url).query)[name][0]


async def land(redirect: str) -> tuple[int, str]:
    """Follow the redirect as a browser does; return the page's status and text."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(redirect.replace("localhost", "127.0.0.1"), headers=NAVIGATION) as reply,
    ):
        return reply.status, await reply.text()


async def result_page(landed: str, port: int) -> str:
    """Return the page to which the browser continues, as one that resolves its name."""
    found = re.search(r'content="0;url=([^"]+)"', landed)
    assert found
    address = URL(found[1])
    headers = {**NAVIGATION, "Host": f"{address.host}:{address.port}", "Sec-Fetch-Site": "none"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{address.path_qs}", headers=headers) as reply,
    ):
        return await reply.text()


def settled(daemon: DaemonProcess, attempt_id: str) -> str:
    """Wait until an attempt is over; return its state."""
    client = daemon.client
    while True:
        state = client.attempt(attempt_id).state
        if state not in ("pending", "exchanging"):
            return state


def files_with(daemon: DaemonProcess, started: wire.StartedAttempt) -> list[Path]:
    """Return the files of the profile that hold the attempt's state or its code verifier."""
    state, challenge = query(started, "state").encode(), query(started, "code_challenge")
    home = daemon.folders.runtime.parent
    found = []
    for file in (path for path in home.rglob("*") if path.is_file()):
        content = file.read_bytes()
        verifiers = (
            word
            for word in re.findall(rb"[A-Za-z0-9._~-]{43,128}", content)
            if challenge == base64.urlsafe_b64encode(hashlib.sha256(word).digest()).rstrip(b"=").decode()
        )
        if state in content or any(verifiers):
            found.append(file)
    return found


async def test_browser_that_returns_after_a_crash_is_told_that_the_sign_in_has_ended(
    daemon: DaemonProcess, sandbox: Sandbox
) -> None:
    """The next daemon says that the sign-in has ended and how to start again, and connects nothing."""
    started = begin(daemon)
    redirect = await sandbox.authorize(started.authorization_url, "crash@example.com", PASSWORD)

    daemon.kill()
    client = daemon.start()
    status, landed = await land(redirect)
    page = await result_page(landed, daemon.port)

    assert 400 == status
    assert "This sign-in has ended" in page
    assert "upstash-helper connect" in page
    assert "disconnected" == client.connection().state


async def test_sign_in_that_is_started_again_after_a_crash_succeeds(daemon: DaemonProcess, sandbox: Sandbox) -> None:
    """A new attempt takes the place of the lost one, which is not joined."""
    lost = begin(daemon)
    daemon.kill()
    client = daemon.start()

    started = begin(daemon)
    await land(await sandbox.authorize(started.authorization_url, "crash3@example.com", PASSWORD))

    assert lost.attempt_id != started.attempt_id
    assert not started.joined
    assert "succeeded" == settled(daemon, started.attempt_id)
    assert "connected" == client.connection().state


@pytest.mark.parametrize("end", ["pending", "crash", "stop"])
def test_state_and_code_verifier_are_never_on_disk(daemon: DaemonProcess, end: str) -> None:
    """Neither while the sign-in is pending, nor after a crash, nor after a stop."""
    started = begin(daemon)

    match end:
        case "crash":
            daemon.kill()
        case "stop":
            daemon.stop()
        case _:
            pass

    assert [] == files_with(daemon, started)


def test_callback_port_is_free_after_a_crash(tmp_path: Path, settings: dict[str, Any]) -> None:
    """The next daemon does not take the callback port before a sign-in is started again."""
    on_demand = {**settings, "port_policy": "on-demand", "api_port": free_port()}
    with DaemonProcess.running(tmp_path / "home", **on_demand) as daemon:
        begin(daemon)

        daemon.kill()
        client = daemon.start()

        assert "disconnected" == client.connection().state
        assert {"on_demand"} == {one.state for one in client.status().listeners if one.use == "sign_in"}


def test_kept_sign_in_of_an_earlier_version_is_removed_at_start(daemon: DaemonProcess) -> None:
    """Earlier versions wrote a pending sign-in, with its code verifier, to a file in the runtime folder."""
    daemon.kill()
    kept = daemon.folders.runtime / "sign-in.json"
    kept.write_text('{"format": 1, "state": "old", "code_verifier": "old"}')

    daemon.start()

    assert not kept.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: links take rights on Windows")
def test_link_in_place_of_the_kept_sign_in_is_removed_and_not_followed(daemon: DaemonProcess, tmp_path: Path) -> None:
    """The file that the link leads to is unchanged."""
    daemon.kill()
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("mine")
    kept = daemon.folders.runtime / "sign-in.json"
    kept.symlink_to(elsewhere)

    daemon.start()

    assert not kept.is_symlink()
    assert "mine" == elsewhere.read_text()
