"""A sign-in that is denied at Upstash, and the page that the browser ends at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.world import continued

if TYPE_CHECKING:
    from tests.support.world import World


async def failed_page(world: World, *, app: bool = False) -> str:
    """
    Let a sign-in be denied, and return the address of its result page.

    Args:
        world: The daemon.
        app: Whether a web page started the sign-in, and not the owner.
    """
    if app:
        caller = await world.pair("connection:write", origin="https://orders.example")
        started = (await world.as_app(caller, "POST", "/v1/connection", {})).json
    else:
        started = await world.start()
    world.browser.opened.clear()
    landed = await world.land(await world.sandbox.cancel(started["authorization_url"]))
    return continued(landed)
