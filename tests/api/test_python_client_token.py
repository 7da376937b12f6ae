"""The Python client for apps: its token."""

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


async def test_a_revoked_token_is_forgotten_and_asked_for_anew(world: World, user: User) -> None:
    """
    After the user shut the app out, its calls say so, its store is empty, and pairing asks the user again.
    """
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


async def test_a_new_run_with_a_revoked_token_asks_the_user(world: World, user: User) -> None:
    """
    A stored token that does not work any more is no error of pairing.
    """
    store = MemoryTokens()
    store.save(TOKEN)

    helper = await pair(world, user.approves(), store=store)

    assert TOKEN != store.load()
    assert ALL == helper.scopes


@pytest.mark.parametrize("text", ["", "two words", "line\r\nX-Header: 1", "ünïcode"])
async def test_what_is_no_token_is_not_sent(world: World, user: User, text: str) -> None:
    """
    Something else in the store is as good as nothing.
    """
    store = MemoryTokens()
    store.save(text)

    await pair(world, user.approves(), store=store)

    assert (store.load() or "").startswith("uha_")


async def test_rotating_replaces_the_stored_token(world: World, user: User) -> None:
    """
    The old token stops working, the new one is stored, and another process of the app finds it there.
    """
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)
    other = await pair(world, user.denies(), store=store)
    before = store.load()

    await asyncio.to_thread(helper.rotate)

    mine, its = await asyncio.to_thread(helper.token), await asyncio.to_thread(other.token)
    refused = await world.get("/v1/token", token=before)
    assert before != store.load()
    assert mine == its
    assert 401 == refused.status


async def test_signing_out_ends_it(world: World, user: User) -> None:
    """
    After signing out the app is not let in any more, nothing is stored, and a second time does no harm.
    """
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)

    await asyncio.to_thread(helper.sign_out)
    await asyncio.to_thread(helper.sign_out)

    assert () == await asyncio.to_thread(user.owner.apps)
    assert store.load() is None
    with pytest.raises(SignedOut, match=r"Helper\.pair"):
        await asyncio.to_thread(helper.token)


async def test_a_token_that_cannot_be_stored_is_given_back(world: World, user: User) -> None:
    """
    An app that cannot keep its token says so, and leaves no app behind that nobody has the token of.
    """
    with pytest.raises(TokenStoreUnavailable):
        await pair(world, user.approves(), store=Unwritable())

    assert () == await asyncio.to_thread(user.owner.apps)


class Unwritable(MemoryTokens):
    """A full disk."""

    def save(self, token: str) -> None:
        raise TokenStoreUnavailable("The disk is full.")


async def test_nothing_secret_prints(world: World, user: User) -> None:
    """
    Whatever is shown of a client has no token in it.
    """
    store = MemoryTokens()
    helper = await pair(world, user.approves(), store=store)

    parts = [vars(part) for part in vars(helper).values() if hasattr(part, "__dict__")]
    shown = f"{helper!r} {vars(helper)!r} {parts!r}"

    assert (store.load() or "no token") not in shown
    assert "uha_" not in shown
