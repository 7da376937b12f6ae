"""Where the session bus is looked for."""

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
    # The path of a socket has about 100 characters at most.
    with tempfile.TemporaryDirectory(prefix="uh") as short:
        yield Path(short)


def make_bus(runtime: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(runtime / "bus"))


def test_the_session_says_where_its_bus_is() -> None:
    """
    A program of a desktop's session takes the bus that the session names.
    """
    environ = {"DBUS_SESSION_BUS_ADDRESS": "unix:abstract=/tmp/x", "XDG_RUNTIME_DIR": "/nowhere"}

    assert "unix:abstract=/tmp/x" == session_bus_address(environ)


def test_a_program_of_no_session_finds_the_bus(runtime: Path) -> None:
    """
    A daemon started by cron or over SSH finds the bus that systemd has made for its user.
    """
    make_bus(runtime)
    environ = {"XDG_RUNTIME_DIR": str(runtime)}

    find_session_bus(environ)

    assert f"unix:path={runtime}/bus" == environ["DBUS_SESSION_BUS_ADDRESS"]


def test_without_a_bus_there_is_none(runtime: Path) -> None:
    """
    Where there is no bus, none is named.
    """
    environ = {"XDG_RUNTIME_DIR": str(runtime)}

    find_session_bus(environ)

    assert {"XDG_RUNTIME_DIR": str(runtime)} == environ


def test_what_is_no_socket_is_no_bus(runtime: Path) -> None:
    """
    A file or a link in the bus's place is not used.
    """
    (runtime / "bus").touch()

    assert session_bus_address({"XDG_RUNTIME_DIR": str(runtime)}) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="platform: only root can give a socket away")
def test_another_users_bus_is_not_used(runtime: Path) -> None:
    """
    What is said on the bus is not said to another user.
    """
    make_bus(runtime)
    os.chown(runtime / "bus", 65534, 65534)

    assert session_bus_address({"XDG_RUNTIME_DIR": str(runtime)}) is None
