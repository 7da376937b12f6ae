"""Telling the service manager, on real datagram sockets."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Manager
from upstash_helper.runtime.systemd import notify

if sys.platform == "win32":
    pytest.skip("platform: there is no sd_notify", allow_module_level=True)

ADDRESSES = ["path", pytest.param("@", marks=pytest.mark.skipif(sys.platform != "linux", reason="platform: Linux"))]


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    # The path of a socket has about 100 characters at most.
    with tempfile.TemporaryDirectory(prefix="uh") as short:
        yield Path(short)


@pytest.mark.parametrize("kind", ADDRESSES)
def test_the_manager_gets_every_state(folder: Path, kind: str) -> None:
    """
    A service manager receives what is said in one message, by a path or in the abstract namespace.
    """
    path = str(folder / "notify")
    manager = Manager(f"@{path}" if kind == "@" else path)

    told = notify("READY=1", "STATUS=Serving", environ=manager.environ)

    assert told
    assert ["READY=1", "STATUS=Serving"] == manager.receive()
    manager.close()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_manager_nothing_happens(address: str) -> None:
    """
    A daemon that no service manager started, or whose manager has gone, goes on.
    """
    assert not notify("READY=1", environ={"NOTIFY_SOCKET": address} if address else {})
