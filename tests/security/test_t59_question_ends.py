"""Threat T59: what happens around the question whether an app's sign-in replaces the account, and after it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.clock import FakeClock
from tests.support.replacement import SCOPES, asked, attack, own_account, start_as, use_api_key
from tests.support.stream import follow
from tests.support.world import World
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.broker.models import Credential

PAGE = "https://app.evil.example"
SIBLING = "https://other.evil.example"


async def account(world: World) -> str:
    connection = (await world.get("/v1/connection")).json
    return str((connection["account"] or {"email": ""})["email"])


async def until_requested(world: World, path: str, *, times: int = 1) -> None:
    """Wait until Upstash has received requests, whether or not they are answered."""
    async with asyncio.timeout(20):
        while len([it for it in await world.sandbox.requests() if it["path"] == path]) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


# --- the app's access ends --------------------------------------------------------------------------------------------


async def test_t59_question_ends_with_the_access_of_its_app(world: World) -> None:
    """At once, and without anyone looking at it: dashboards remove it, and the tokens are revoked."""
    app, started, _ = await attack(world, PAGE)
    await asked(world, started["attempt_id"])
    async with follow(world) as stream:
        await world.call("DELETE", f"/v1/apps/{app.id}")
        event = await stream.until("attempt")

    await until_requested(world, "/oauth/revoke", times=2)

    assert (started["attempt_id"], "failed") == (event["data"]["attempt_id"], event["data"]["state"])
    assert world.email == await account(world)


async def test_t59_pending_sign_in_holds_nothing_after_the_access_of_its_app(world: World) -> None:
    """The callback port is released, so that the program that has it otherwise can use it."""
    app = await world.pair(*SCOPES, origin=PAGE)
    await start_as(world, app)
    before = world.loopback.held
    async with follow(world) as stream:
        await world.call("DELETE", f"/v1/apps/{app.id}")
        event = await stream.until("attempt")
        await stream.until("connection")

    assert (True, False) == (before, world.loopback.held)
    assert "cancelled" == event["data"]["reason"]


async def test_t59_app_that_loses_its_access_during_the_exchange_connects_nothing(world: World) -> None:
    """The key that was being created is not stored, and the user gets its name."""
    app = await world.pair(*SCOPES, origin=PAGE)
    started = await start_as(world, app)
    address = await own_account(world, started)
    await world.sandbox.fault(method="POST", path="*/apikey", latency=3)
    await world.sandbox.forget_requests()
    await world.land(address)
    async with asyncio.timeout(20):
        while not [it for it in await world.sandbox.requests() if it["path"].endswith("/apikey")]:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    await world.call("DELETE", f"/v1/apps/{app.id}")
    attempt = await world.settled(started["attempt_id"])

    assert ("failed", "cancelled", "") == (attempt["state"], attempt["reason"], await account(world))
    assert "UPSTASH_HELPER_API_KEY_" in attempt["detail"]


# --- the answer -------------------------------------------------------------------------------------------------------


class BusyStore(MemoryStore):
    """A keyring that, while a test wants it, waits for the user to unlock it, and then stays locked."""

    def __init__(self) -> None:
        super().__init__()
        self.is_busy = False
        self.saving, self.released = asyncio.Event(), asyncio.Event()

    async def save(self, credential: Credential) -> None:
        """Store ``credential``, or wait and fail."""
        if self.is_busy:
            self.saving.set()
            await self.released.wait()
            raise StoreLocked
        await super().save(credential)


async def test_t59_yes_in_the_last_second_counts(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Although the keyring keeps the new key waiting until after the time to decide."""
    store, clock = BusyStore(), FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, store=store, clock=clock) as world:
        _, started, _ = await attack(world, PAGE)
        await asked(world, started["attempt_id"])
        path, key = f"/v1/connection/attempts/{started['attempt_id']}", await sandbox.api_key(world.email, "second")
        store.is_busy = True
        other = asyncio.create_task(world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": key}))
        await store.saving.wait()
        clock.advance(299)
        confirmed = await world.call("POST", f"{path}/confirm")
        clock.advance(1)
        waiting = (await world.get(path)).json
        store.is_busy = False
        store.released.set()
        failed = await other
        attempt = await world.settled(started["attempt_id"])

        assert (503, 200, "exchanging") == (failed.status, confirmed.status, waiting["state"])
        assert ("succeeded", f"evil-{world.email}") == (attempt["state"], await account(world))


async def test_t59_only_the_account_in_the_question_is_stored(world: World) -> None:
    """If Upstash does not confirm that the new key belongs to it, the connected account is kept."""
    _, started, _ = await attack(world, PAGE)
    await asked(world, started["attempt_id"])
    await world.sandbox.fault(method="GET", path="/v2/redis/databases", status=401, body="{}")

    await world.call("POST", f"/v1/connection/attempts/{started['attempt_id']}/confirm")
    attempt = await world.settled(started["attempt_id"])

    assert ("failed", "account_not_confirmed") == (attempt["state"], attempt["reason"])
    assert world.email == await account(world)


# --- asking again -----------------------------------------------------------------------------------------------------


async def reject_key(world: World) -> None:
    """Have Upstash reject the connected account's key, so that apps can start sign-ins again."""
    await world.sandbox.fault(method="GET", path="/v2/redis/databases", status=401, body="{}", times=None)
    await world.get("/v1/databases?refresh=true")
    assert "reconnect_required" == (await world.get("/v1/connection")).json["state"]


async def end_of(world: World, started: dict[str, Any]) -> tuple[str, str]:
    attempt = await world.settled(started["attempt_id"])
    return attempt["state"], attempt.get("reason", "")


async def test_t59_app_that_ends_its_questions_cannot_ask_on(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """While Upstash rejects the key, an app can start sign-ins. It gets three questions in ten minutes."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        app = await world.pair(*SCOPES, origin=PAGE)
        await use_api_key(world, world.email)
        await reject_key(world)
        ends, user = [], world.email
        for number in range(5):
            world.email = f"{number}{user}"
            started = await start_as(world, app)
            await world.land(await own_account(world, started))
            ends.append(await end_of(world, started))
            await world.as_app(app, "DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
        clock.advance(600)
        world.email = f"5{user}"
        started = await start_as(world, app)
        await world.land(await own_account(world, started))
        later = await end_of(world, started)
        await sandbox.clear_faults()

        assert [*[("confirmation_required", "")] * 3, *[("failed", "cancelled")] * 2] == ends
        assert "confirmation_required" == later[0]
        assert 4 == sum("Replace" in title for title, _ in world.desktop.shown)


async def test_t59_no_applies_to_the_whole_site(world: World) -> None:
    """Another page of the site that the user has just refused is not asked about either."""
    first, second = await world.pair(*SCOPES, origin=PAGE), await world.pair(*SCOPES, origin=SIBLING)
    await use_api_key(world, world.email)
    await reject_key(world)
    ends, user = [], world.email
    for number, app in enumerate((first, second)):
        world.email = f"{number}{user}"
        started = await start_as(world, app)
        await world.land(await own_account(world, started))
        ends.append(await end_of(world, started))
        await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")

    assert [("confirmation_required", ""), ("failed", "replacement_declined")] == ends


# --- what an app may know ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [PAGE, None], ids=["page", "native"])
async def test_t59_app_that_may_only_connect_does_not_learn_the_account(world: World, origin: str | None) -> None:
    """The answer says that an account is connected, and not which."""
    blind = await world.pair("connection:write", origin=origin, name="Blind")
    seeing = await world.pair(*SCOPES, origin=SIBLING, name="Seeing")
    await world.connect()

    answers = [await world.as_app(app, "POST", "/v1/connection", {}) for app in (blind, seeing)]

    assert [(200, "connected", True)] * 2 == [
        (it.status, it.json["state"], it.json["already_connected"]) for it in answers
    ]
    assert "An account is connected" == answers[0].json["title"]
    assert [None, world.email] == [(it.json["account"] or {}).get("email") for it in answers]
    assert [] == [word for word in (world.email, "UPSTASH_HELPER_API_KEY", "attempt_id") if word in answers[0].text]
