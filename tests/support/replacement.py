"""The attack of threat T59: an app signs in to an account of its own while the user's account is connected."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.support.world import PASSWORD

if TYPE_CHECKING:
    from tests.support.world import App, Reply, World

SCOPES = ("connection:read", "connection:write")


async def start_as(world: World, app: App, **wanted: Any) -> dict[str, Any]:
    """Start a sign-in as ``app``, or join one."""
    reply = await world.as_app(app, "POST", "/v1/connection", wanted)
    assert reply.status == 202, reply.text
    started: dict[str, Any] = reply.json
    return started


async def use_api_key(world: World, email: str) -> None:
    """Connect an account with an API key, as the user."""
    await world.sandbox.account(email, PASSWORD)
    key = await world.sandbox.api_key(email, "console")
    reply = await world.call("PUT", "/v1/connection/api-key", {"email": email, "api_key": key})
    assert reply.status == 200, reply.text


async def own_account(world: World, started: dict[str, Any]) -> str:
    """Sign in to an account of the attacker, and return the redirect's URL."""
    return await world.sandbox.authorize(started["authorization_url"], f"evil-{world.email}", PASSWORD)


async def asked(world: World, attempt_id: str) -> dict[str, Any]:
    """Wait until the owner is asked, and return the attempt as the owner sees it."""
    async with asyncio.timeout(20):
        while True:
            attempt: dict[str, Any] = (await world.get(f"/v1/connection/attempts/{attempt_id}")).json
            if attempt["state"] not in ("pending", "exchanging"):
                assert "confirmation_required" == attempt["state"], attempt
                return attempt
            await asyncio.sleep(0.01)


async def attack(world: World, origin: str | None) -> tuple[App, dict[str, Any], Reply]:
    """
    Start a sign-in as an app while nothing is connected, connect the user's account, let the app sign in to its own.

    Returns:
        The app, its attempt, and the response to the redirect.
    """
    app = await world.pair(*SCOPES, origin=origin, name="Orders")
    started = await start_as(world, app)
    await use_api_key(world, world.email)
    await world.sandbox.forget_requests()
    landed = await world.land(await own_account(world, started))
    await asked(world, started["attempt_id"])
    return app, started, landed
