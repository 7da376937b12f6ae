"""The Python client for apps: storing, rotating, and revoking the token."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.python_app import ALL, TOKEN, User, pair
from tests.support.world import World
from upstash_helper.client import (
    MemoryTokens,
    SignedOut,
    TokenRevoked,
    TokenStoreUnavailable,
)


@pytest.fixture
def user(world: World) -> User:
    return User(world)


async def test_revoked_token_is_deleted_and_requested_again(world: World, user: User) -> None:
    """The first call after the revocation raises an error and empties the store."""
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)
    [app] = await asyncio.to_thread(user.owner.apps)
    await asyncio.to_thread(user.owner.revoke_app, app.id)

    with pytest.raises(TokenRevoked, match="revoked"):
        await asyncio.to_thread(helper.databases.list)
    stored = store.load()
    await pair(world, user.approves(), store=store)

    assert stored is None
    assert 2 == len(user.codes)


async def test_pairing_with_an_invalid_stored_token_asks_the_user(world: World, user: User) -> None:
    """The stored token is replaced."""
    store = MemoryTokens()
    store.save(TOKEN)

    helper = await pair(world, user.approves(), store=store)

    assert TOKEN != store.load()
    assert ALL == helper.scopes


@pytest.mark.parametrize("text", ["", "two words", "line\r\nX-Header: 1", "ünïcode"])
async def test_invalid_text_in_the_store_is_not_sent(world: World, user: User, text: str) -> None:
    """It is treated like an empty store."""
    store = MemoryTokens()
    store.save(text)

    await pair(world, user.approves(), store=store)

    assert (store.load() or "").startswith("uha_")


async def test_rotation_replaces_the_stored_token(world: World, user: User) -> None:
    """The old token stops working, and another process of the app uses the new one."""
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)
    other = await pair(world, user.denies(), store=store)
    before = store.load()

    await asyncio.to_thread(helper.rotate)

    first, second = await asyncio.to_thread(helper.token), await asyncio.to_thread(other.token)
    rejected = await world.get("/v1/token", token=before)
    assert before != store.load()
    assert first == second
    assert 401 == rejected.status


async def test_sign_out_revokes_and_deletes_the_token(world: World, user: User) -> None:
    """Signing out a second time has no effect."""
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)

    await asyncio.to_thread(helper.sign_out)
    await asyncio.to_thread(helper.sign_out)

    assert () == await asyncio.to_thread(user.owner.apps)
    assert store.load() is None
    with pytest.raises(SignedOut, match=r"Helper\.pair"):
        await asyncio.to_thread(helper.token)


async def test_token_that_cannot_be_stored_is_revoked(world: World, user: User) -> None:
    """Otherwise an app would remain for which nobody has the token."""
    with pytest.raises(TokenStoreUnavailable):
        await pair(world, user.approves(), store=Unwritable())

    assert () == await asyncio.to_thread(user.owner.apps)


class Unwritable(MemoryTokens):
    """A full disk."""

    def save(self, token: str) -> None:
        raise TokenStoreUnavailable("The disk is full.")


async def test_token_is_in_no_representation(world: World, user: User) -> None:
    """This includes the representations of attributes."""
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)

    parts = [vars(part) for part in vars(helper).values() if hasattr(part, "__dict__")]
    shown = f"{helper!r} {vars(helper)!r} {parts!r}"

    assert (store.load() or "no token") not in shown
    assert "uha_" not in shown
