"""Finding the session bus."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from upstash_helper.system.session_bus import find_session_bus, session_bus_address

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "win32":
    pytest.skip("platform: there is no session bus", allow_module_level=True)


@pytest.fixture(name="runtime")
def _runtime() -> Iterator[Path]:
    # A socket's path can have about 100 characters.
    with tempfile.TemporaryDirectory(prefix="uh") as short:
        yield Path(short)


def make_bus(runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(runtime / "bus"))


def test_address_in_the_environment_is_used() -> None:
    """
    A program of a desktop session uses the address in its environment.
    """
    environ = {"DBUS_SESSION_BUS_ADDRESS": "unix:abstract=/tmp/x", "XDG_RUNTIME_DIR": "/nowhere"}

    assert "unix:abstract=/tmp/x" == session_bus_address(environ)


def test_bus_is_found_without_a_session(runtime: Path) -> None:
    """
    A daemon started by cron or over SSH finds the bus that systemd created for the user.
    """
    make_bus(runtime)
    environ = {"XDG_RUNTIME_DIR": str(runtime)}

    find_session_bus(environ)

    assert f"unix:path={runtime}/bus" == environ["DBUS_SESSION_BUS_ADDRESS"]


def test_no_bus_returns_none(runtime: Path) -> None:
    """
    Without a bus, no address is set.
    """
    environ = {"XDG_RUNTIME_DIR": str(runtime)}

    find_session_bus(environ)

    assert {"XDG_RUNTIME_DIR": str(runtime)} == environ


def test_only_a_socket_counts_as_bus(runtime: Path) -> None:
    """
    A file or a link in place of the bus is not used.
    """
    (runtime / "bus").touch()

    assert session_bus_address({"XDG_RUNTIME_DIR": str(runtime)}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="platform: only root can give a socket away")
def test_bus_of_another_user_is_not_used(runtime: Path) -> None:
    """
    Secrets must not be sent to another user's bus.
    """
    make_bus(runtime)
    os.chown(runtime / "bus", 65534, 65534)

    assert session_bus_address({"XDG_RUNTIME_DIR": str(runtime)}) is None
