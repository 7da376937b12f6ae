"""State notifications to the service manager, over real datagram sockets."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import ServiceManager
from upstash_helper.runtime.systemd import notify

if sys.platform == "win32":
    pytest.skip("platform: Windows has no sd_notify", allow_module_level=True)

ADDRESSES = ["path", pytest.param("@", marks=pytest.mark.skipif(sys.platform != "linux", reason="platform: Linux"))]


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    # The path of a socket is limited to about 100 characters.
    with tempfile.TemporaryDirectory(prefix="uh") as short:
        yield Path(short)


@pytest.mark.parametrize("kind", ADDRESSES)
def test_service_manager_receives_all_states(folder: Path, kind: str) -> None:
    """A service manager receives all states in one message, by a path or in the abstract namespace."""
    path = str(folder / "notify")
    manager = ServiceManager(f"@{path}" if kind == "@" else path)

    sent = notify("READY=1", "STATUS=Serving", environ=manager.environ)

    assert sent
    assert ["READY=1", "STATUS=Serving"] == manager.receive()
    manager.close()


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_missing_service_manager_is_not_an_error(address: str) -> None:
    """Without a service manager, or if it has exited, the daemon keeps running."""
    assert not notify("READY=1", environ={"NOTIFY_SOCKET": address} if address else {})
