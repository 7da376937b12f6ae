"""T76: no prompt outside the dashboard hides the end of a domain (the dashboard: ``tests/browser``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.until import until_async
from tests.tray.states import page, pairing, running
from upstash_helper_tray.presentation.notifications import NotificationTracker

if TYPE_CHECKING:
    from tests.support.world import World

WINDOWS_TITLE = 63
"""Characters of a title that Windows shows; other desktops cut titles at the end, too."""


def long_origin(length: int) -> str:
    """Return an origin whose domain has this many characters and begins with somebody else's."""
    labels = "accounts.google.com." + ".".join(["a" * 30] * 8)
    return f"https://{labels[: length - len('.evil.example')].rstrip('.')}.evil.example"


@pytest.mark.parametrize("length", [100, 253])
async def test_t76_notification_shows_the_end(world: World, length: int) -> None:
    """
    The daemon's notification shows the end of a long domain at the beginning of the title, which desktops cut at the
    end, and of the body.
    """
    origin = long_origin(length)

    await world.ask("databases:read", origin=origin)
    await until_async(lambda: world.desktop.shown)

    [(title, body)] = world.desktop.shown
    assert ".evil.example wants access" in title[:WINDOWS_TITLE]
    assert ".evil.example. It shows the code" in body[:160]


@pytest.mark.parametrize("length", [100, 253])
def test_t76_tray_notification_shows_the_end(length: int) -> None:
    """The same applies to the tray's notification."""
    request = pairing(identity=page(long_origin(length)))

    [notification] = NotificationTracker().update(running(pairings=(request,)))

    assert ".evil.example wants access" in notification.title[:WINDOWS_TITLE]
    assert ".evil.example. Code: " in notification.body[:160]


async def test_t76_refusal_shows_the_end(world: World) -> None:
    """The detail of a refusal names the origin, including its end."""
    origin = long_origin(253)

    refused = await world.get("/v1/databases", headers={"Origin": origin})

    assert 403 == refused.status
    assert ".evil.example" in refused.json["detail"]
