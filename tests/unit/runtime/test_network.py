"""What the owner's status says about the way to Upstash."""

from __future__ import annotations

import threading
import urllib.request
from typing import TYPE_CHECKING

import pytest

from upstash_helper.protocol.wire import Network
from upstash_helper.runtime.network import NetworkReader, network_of
from upstash_helper.settings.config import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without proxies."""
    for name in ("http_proxy", "https_proxy", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_proxy_is_shown_with_its_source_and_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """As requests use it."""
    monkeypatch.setenv("https_proxy", "http://ada:s3cret@proxy.example:3128")

    assert Network(proxy="http://…@proxy.example:3128", proxy_source="https_proxy") == network_of(Settings(), {})


def test_proxy_that_cannot_be_used_has_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not missing."""
    monkeypatch.setenv("https_proxy", "socks5://proxy.example:1080")

    assert Network(proxy_source="https_proxy") == network_of(Settings(), {})


def test_sandbox_is_reached_directly() -> None:
    """Whatever proxy there is."""
    settings = Settings(api_url="http://127.0.0.1:9", https_proxy="http://proxy.example:3128")

    assert Network() == network_of(settings, {})


@pytest.fixture(name="slow_names")
def _slow_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that resolves the name of the host to compare it with the proxy's exceptions, without a result."""
    ended = threading.Event()

    def wait(_: str) -> bool:
        ended.wait()
        return False

    monkeypatch.setattr(urllib.request, "proxy_bypass", wait)
    yield
    ended.set()


@pytest.mark.usefixtures("slow_names")
async def test_system_that_does_not_answer_is_not_waited_for() -> None:
    """Neither now, nor when it is asked again meanwhile."""
    reader = NetworkReader(Settings(), {})

    assert [None, None] == [await reader.read(), await reader.read()]


async def test_what_cannot_be_read_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the status does not depend on it."""

    def fail(_: str) -> bool:
        raise OSError

    monkeypatch.setattr(urllib.request, "proxy_bypass", fail)

    assert await NetworkReader(Settings(), {}).read() is None
