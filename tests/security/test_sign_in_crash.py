"""A crash of the daemon does not end a sign-in that is awaited, and what is kept for that is kept from others."""

from __future__ import annotations

import socket
import stat
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from tests.support.daemon import DaemonProcess
from tests.support.world import PASSWORD, free_port
from upstash_helper.protocol import wire

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NAVIGATION = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def settings(far_side: Sandbox, daemon_port: int) -> dict[str, Any]:
    """A daemon whose key outlives it."""
    return {
        "port": daemon_port,
        "client_id": far_side.client_id,
        "auth_url": far_side.auth_url,
        "api_url": far_side.api_url,
        "rest_url": far_side.rest_url,
        "credential_store": "file",
        "log_level": "debug",
    }


@pytest.fixture
def daemon(tmp_path: Path, settings: dict[str, Any]) -> Iterator[DaemonProcess]:
    """It runs."""
    with DaemonProcess.running(tmp_path / "home", **settings) as daemon:
        yield daemon


def kept(daemon: DaemonProcess) -> Path:
    return daemon.folders.runtime / "sign-in.json"


def begin(daemon: DaemonProcess) -> wire.StartedAttempt:
    """Begin a sign-in, or join the one that runs."""
    started = daemon.client.connect(open_browser=False)
    assert isinstance(started, wire.StartedAttempt)
    return started


async def land(redirect: str) -> str:
    """Follow the redirect as a browser does, and return the page."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(redirect.replace("localhost", "127.0.0.1"), headers=NAVIGATION) as reply,
    ):
        return await reply.text()


def settled(daemon: DaemonProcess, attempt_id: str) -> str:
    """Wait until an attempt is over."""
    client = daemon.client
    while True:
        state = client.attempt(attempt_id).state
        if state not in ("pending", "exchanging"):
            return state


async def test_the_browser_comes_back_to_the_next_daemon(daemon: DaemonProcess, far_side: Sandbox) -> None:
    """Killed while the user signs in, and started again: the account is connected, and nothing is left of it."""
    started = begin(daemon)
    redirect = await far_side.authorize(started.authorization_url, "crash@example.com", PASSWORD)

    daemon.kill()
    client = daemon.start()
    joined = begin(daemon)
    await land(redirect)

    assert (started.attempt_id, started.authorization_url) == (joined.attempt_id, joined.authorization_url)
    assert "succeeded" == settled(daemon, started.attempt_id)
    assert "connected" == client.connection().state
    assert not kept(daemon).exists()


async def test_on_demand_the_port_is_taken_again(tmp_path: Path, far_side: Sandbox, settings: dict[str, Any]) -> None:
    """The next daemon listens for the browser where the one before did, and lets the port go after it."""
    on_demand = {**settings, "port_policy": "on-demand", "api_port": free_port()}
    with DaemonProcess.running(tmp_path / "home", **on_demand) as daemon:
        started = begin(daemon)
        redirect = await far_side.authorize(started.authorization_url, "crash2@example.com", PASSWORD)

        daemon.kill()
        client = daemon.start()
        await land(redirect)

        assert "succeeded" == settled(daemon, started.attempt_id)
        assert {"on_demand"} == {one.state for one in client.status().listeners if one.use == "sign_in"}


def test_another_program_that_was_faster_ends_it(tmp_path: Path, settings: dict[str, Any]) -> None:
    """Where the port of sign-ins belongs to somebody else by then, nothing is awaited, and nothing kept."""
    on_demand = {**settings, "port_policy": "on-demand", "api_port": free_port()}
    with DaemonProcess.running(tmp_path / "home", **on_demand) as daemon:
        daemon.client.connect(open_browser=False)
        daemon.kill()
        with socket.create_server(("127.0.0.1", settings["port"])):
            client = daemon.start()

            assert "disconnected" == client.connection().state
            assert not kept(daemon).exists()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows has no modes")
def test_what_is_kept_is_the_users_alone_and_in_no_log(daemon: DaemonProcess) -> None:
    """The file is closed to others; what it holds stands nowhere else."""
    started = begin(daemon)
    state = parse_qs(urlsplit(started.authorization_url).query)["state"][0]

    text = kept(daemon).read_text(encoding="utf-8")

    assert (0o600, 0o700) == tuple(stat.S_IMODE(it.stat().st_mode) for it in (kept(daemon), daemon.folders.runtime))
    assert state in text
    assert state not in daemon.log


@pytest.mark.parametrize("end", ["stop", "cancel", "again"])
def test_nothing_is_kept_of_a_sign_in_that_is_over(daemon: DaemonProcess, end: str) -> None:
    """A stop, a cancel, and another sign-in in its place."""
    client = daemon.client
    started = begin(daemon)
    before = kept(daemon).read_bytes()

    match end:
        case "stop":
            daemon.stop()
        case "cancel":
            client.cancel_attempt(started.attempt_id)
        case _:
            client.connect(open_browser=False, force=True)

    assert before != (kept(daemon).read_bytes() if kept(daemon).exists() else b"")
    assert (end == "again") == kept(daemon).exists()


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"format": 2}', b"[" * 70_000])
def test_what_cannot_be_read_is_left_out(daemon: DaemonProcess, content: bytes) -> None:
    """The daemon starts without it, and the next sign-in takes its place."""
    daemon.kill()
    kept(daemon).write_bytes(content)

    client = daemon.start()

    assert "disconnected" == client.connection().state
    begin(daemon)
    assert content != kept(daemon).read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="platform: links take rights on Windows")
def test_a_link_in_its_place_is_not_followed(daemon: DaemonProcess, tmp_path: Path) -> None:
    """What it leads to stays as it is."""
    daemon.kill()
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text("mine")
    kept(daemon).symlink_to(elsewhere)

    daemon.start().connect(open_browser=False)

    assert "mine" == elsewhere.read_text()
    assert "sign_in_not_kept" in daemon.log
