"""Connecting, disconnecting, and the effect of the keyring's state on them (threat T44 over HTTP)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.world import PASSWORD, World
from upstash_helper.broker.account.sign_in import NAME_ATTEMPTS
from upstash_helper.broker.errors import StoreLocked, StoreUnavailable
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.file_store import FileStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.broker.models import Credential


class LockableStore:
    """The ``CredentialStore`` port of a keyring that a test can lock."""

    def __init__(self) -> None:
        self.kept: Credential | None = None
        self.error: StoreLocked | StoreUnavailable | None = None
        self.calls = 0

    def _try(self) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    async def load(self, *, prompt: bool = True) -> Credential | None:
        self._try()
        return self.kept

    async def save(self, credential: Credential) -> None:
        self._try()
        self.kept = credential

    async def delete(self) -> None:
        self._try()
        self.kept = None

    def health(self) -> StoreHealth:
        if self.error is None:
            return StoreHealth(kind="test", state="ok")
        return StoreHealth(kind="test", state="locked", detail=self.error.detail)


async def test_disconnect_forgets_the_account_and_names_the_key(world: World) -> None:
    """The user learns which key to delete in the console."""
    connection = await world.connect()

    reply = await world.call("DELETE", "/v1/connection")
    again = await world.call("DELETE", "/v1/connection")

    assert 200 == reply.status
    assert connection["api_key_name"] == reply.json["api_key_name"]
    assert connection["api_key_name"] in reply.json["detail"]
    assert await world.store.load() is None
    assert "disconnected" == (await world.get("/v1/connection")).json["state"]
    assert (200, None) == (again.status, again.json["api_key_name"])


async def test_connection_is_kept_across_restarts(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The next daemon reads the account from the store."""
    path = tmp_path / "credential.json"
    async with World.running(tmp_path, sandbox, daemon_port, store=FileStore(path)) as world:
        before = await world.connect()
        await world.create("kept")

    async with World.running(tmp_path, sandbox, daemon_port, store=FileStore(path)) as world:
        after = (await world.get("/v1/connection")).json
        listed = (await world.get("/v1/databases")).json["databases"]

    assert (before["state"], before["account"], before["since"]) == (after["state"], after["account"], after["since"])
    assert ["kept"] == [database["name"] for database in listed]


async def test_second_connect_within_a_second_uses_another_key_name(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Key names are unique within an account, so the name of the next second is used."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=FakeClock(now=1_790_000_000)) as world:
        first = await world.connect()
        started = await world.start(force=True)
        await world.land(await sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False))
        assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
        second = (await world.get("/v1/connection")).json
        names = await sandbox.api_key_names(world.email)

    assert ["UPSTASH_HELPER_API_KEY_1790000000", "UPSTASH_HELPER_API_KEY_1790000001"] == names
    assert names == [first["api_key_name"], second["api_key_name"]]


async def test_connect_fails_if_all_key_names_are_taken(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A few names are tried, then the attempt fails with Upstash's message, and nothing is changed."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=FakeClock(now=1_790_000_000)) as world:
        await sandbox.account(world.email, PASSWORD)
        taken = [f"UPSTASH_HELPER_API_KEY_{1_790_000_000 + later}" for later in range(NAME_ATTEMPTS)]
        for name in taken:
            await sandbox.api_key(world.email, name)
        started = await world.start()
        await world.land(await sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False))
        attempt = await world.settled(started["attempt_id"])

        assert ("failed", "api_key_refused") == (attempt["state"], attempt["reason"])
        assert "already exists" in attempt["detail"]
        assert taken == await sandbox.api_key_names(world.email)
        assert "disconnected" == (await world.get("/v1/connection")).json["state"]


async def test_redirect_of_a_canceled_attempt_changes_nothing(world: World) -> None:
    """A canceled attempt cannot be completed."""
    started = await world.start()
    address = await world.sign_in(started)

    cancelled = await world.call("DELETE", f"/v1/connection/attempts/{started['attempt_id']}")
    landed = await world.land(address)

    assert ("failed", "cancelled") == (cancelled.json["state"], cancelled.json["reason"])
    assert 200 == landed.status
    assert "disconnected" == (await world.get("/v1/connection")).json["state"]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/connection/attempts/x"), ("DELETE", "/v1/connection/attempts/x")]
)
async def test_unknown_attempt_is_not_found(world: World, method: str, path: str) -> None:
    """The message says that attempts end with the daemon."""
    reply = await world.call(method, path)

    assert (404, "attempt_not_found") == (reply.status, reply.code)


async def test_forced_connect_cancels_the_pending_attempt(world: World) -> None:
    """At most one attempt is alive."""
    first = await world.start()

    second = await world.start(force=True)

    assert first["attempt_id"] != second["attempt_id"]
    old = (await world.get(f"/v1/connection/attempts/{first['attempt_id']}")).json
    assert ("failed", "cancelled") == (old["state"], old["reason"])


async def test_t44_locked_keyring_is_reported_and_not_read_again_at_once(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """Requests that need the key get 503 with Retry-After, the state names the problem, and no browser is opened."""
    store = LockableStore()
    store.error = StoreLocked("The keyring is locked. Unlock it.")
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        databases = [await world.get("/v1/databases") for _ in range(5)]
        connect = await world.call("POST", "/v1/connection", {"open_browser": True})
        state = (await world.get("/v1/connection")).json

        assert {(503, "keyring_locked")} == {(reply.status, reply.code) for reply in (*databases, connect)}
        assert all(1 <= int(reply.headers["Retry-After"]) <= 5 for reply in databases)
        assert ("keyring_locked", "locked") == (state["state"], state["credential_store"]["state"])
        assert [] == world.browser.opened
        assert 1 == store.calls


async def test_t44_disconnect_succeeds_with_a_locked_keyring(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The account is forgotten at once, and the keyring entry before the next read."""
    store = LockableStore()
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        await world.connect()
        store.error = StoreLocked("The keyring is locked. Unlock it.")

        reply = await world.call("DELETE", "/v1/connection")
        locked = (await world.get("/v1/connection")).json["state"]

        assert 200 == reply.status
        assert "keyring could not be reached" in reply.json["detail"]
        assert "keyring_locked" == locked
        assert store.kept is not None


async def test_t44_key_that_cannot_be_stored_is_named_and_the_old_one_is_kept(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """If the keyring is locked during the sign-in, the user learns which key to delete."""
    store = LockableStore()
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        before = await world.connect()
        world.email = "other-" + world.email
        started = await world.start(force=True)
        address = await world.sign_in(started)
        store.error = StoreLocked("The keyring is locked. Unlock it.")

        await world.land(address)
        attempt = await world.settled(started["attempt_id"])
        [orphan] = await sandbox.api_key_names(world.email)
        after = (await world.get("/v1/connection")).json

        assert ("failed", "keyring_locked") == (attempt["state"], attempt["reason"])
        assert orphan in attempt["detail"]
        assert (before["state"], before["account"]) == (after["state"], after["account"])
        assert 200 == (await world.get("/v1/databases?refresh=true")).status


async def test_sign_in_completes_even_if_the_browser_disconnects(world: World) -> None:
    """Closing the window after the redirect still connects the account."""
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.fault(method="POST", path="/oauth/token", latency=0.3)

    browser = asyncio.create_task(world.land(address))
    async with asyncio.timeout(10):
        while (  # noqa: ASYNC110 - asked as a client asks
            await world.get(f"/v1/connection/attempts/{started['attempt_id']}")
        ).json["state"] == "pending":
            await asyncio.sleep(0.001)
    browser.cancel()
    attempt = await world.settled(started["attempt_id"])

    assert "succeeded" == attempt["state"]


async def test_stopping_daemon_finishes_a_sign_in(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """A daemon that is stopped during the code exchange stores the key before it exits."""
    store = LockableStore()
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        started = await world.start()
        address = await world.sign_in(started)
        await sandbox.fault(method="POST", path="/apikey", latency=0.5)
        await world.land(address)

    assert store.kept is not None
    assert [store.kept.key_name] == await sandbox.api_key_names(world.email)


@pytest.mark.skipif(os.name == "nt", reason="platform: POSIX modes")
async def test_daemon_status_is_for_the_owner(world: World) -> None:
    """Version, process, profile, and connection."""
    reply = await world.get("/v1/daemon")
    refused = await world.get("/v1/daemon", token=None)

    assert (os.getpid(), "test", 1) == (reply.json["pid"], reply.json["profile"], reply.json["api_version"])
    assert "disconnected" == reply.json["connection"]["state"]
    assert 401 == refused.status


async def test_status_can_be_read_without_a_prompt(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """With `prompt=false`, the keyring is told not to ask its user for anything."""
    prompts = []

    class Store(LockableStore):
        async def load(self, *, prompt: bool = True) -> Credential | None:
            prompts.append(prompt)
            return await super().load(prompt=prompt)

    async with World.running(tmp_path, sandbox, daemon_port, store=Store()) as world:
        reply = await world.get("/v1/daemon?prompt=false")
        refused = await world.get("/v1/daemon?prompt=maybe")

    assert ([False], "disconnected") == (prompts, reply.json["connection"]["state"])
    assert 422 == refused.status


async def test_owner_can_stop_the_daemon(world: World) -> None:
    """The request is answered before the daemon stops."""
    reply = await world.call("POST", "/v1/daemon/stop")

    assert 202 == reply.status
    assert world.stop.is_set()


async def test_t55_health_is_constant(world: World) -> None:
    """It reveals nothing about the user, and no other page can read it."""
    before = await world.get("/health", token=None)
    await world.connect()
    after = await world.get(
        "/health",
        token=None,
        headers={"Origin": "https://app.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
    )

    assert (200, {"status": "ok", "service": "upstash-helper"}) == (before.status, before.json)
    assert before.body == after.body
    assert "Access-Control-Allow-Origin" not in after.headers


# --- what the API says in words ---------------------------------------------------------------------------------------


async def test_connection_state_has_a_title_and_next_steps(world: World) -> None:
    """Clients render the catalog's texts, with the account's email address filled in."""
    before = (await world.get("/v1/connection")).json
    after = await world.connect()

    assert "No account connected" == before["title"]
    assert "upstash-helper connect" == before["next_steps"][0]["command"]
    assert "detail" not in before
    assert f"Connected as {world.email}" == after["title"]
    assert [] == after["next_steps"]


async def test_settings_without_a_sign_in_are_the_detail_of_a_disconnected_state(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The next steps are to use an API key, which works, or to change the settings."""
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, sign_in="partner") as world:
        connection = (await world.get("/v1/connection")).json

    assert ("disconnected", "No account connected") == (connection["state"], connection["title"])
    assert "without a client_id" in connection["detail"]
    assert (connection["sign_in"], connection["can_sign_in"]) == (None, False)
    assert ["upstash-helper connect --api-key", ""] == [step.get("command", "") for step in connection["next_steps"]]


async def test_failed_attempt_has_a_title_a_detail_and_next_steps(world: World) -> None:
    """The detail has what Upstash said; title and next steps come from the catalog."""
    await world.sandbox.fault(method="POST", path="/apikey", status=403, body='{"error": "no more keys"}')
    started = await world.start()
    await world.land(await world.sign_in(started))

    attempt = await world.settled(started["attempt_id"])

    assert ("failed", "api_key_refused") == (attempt["state"], attempt["reason"])
    assert "Upstash did not create an API key" == attempt["title"]
    assert "no more keys" in attempt["detail"]
    assert "upstash-helper connect" == attempt["next_steps"][0]["command"]


async def test_denied_attempt_has_the_detail_of_its_reason(world: World) -> None:
    """A reason without a specific detail has the catalog's."""
    started = await world.start()
    await world.land(await world.sandbox.cancel(started["authorization_url"]))

    attempt = await world.settled(started["attempt_id"])

    assert ("access_denied", "You canceled the sign-in") == (attempt["reason"], attempt["title"])
    assert "Nothing was changed." == attempt["detail"]


async def test_problem_has_the_title_of_its_code(world: World) -> None:
    """The title names the problem, and the detail ends with the next step."""
    problem = (await world.get("/v1/databases")).json

    assert ("not_connected", "No account connected") == (problem["code"], problem["title"])
    assert problem["detail"].endswith("upstash-helper connect")


async def test_title_and_next_steps_are_described(world: World) -> None:
    """Generated clients know the fields."""
    schemas = (await world.get("/openapi.json", token=None)).json["components"]["schemas"]

    assert {"title", "next_steps"} <= schemas["Connection"]["properties"].keys() & schemas["Attempt"][
        "properties"
    ].keys()
    assert {"text", "command"} == schemas["NextStep"]["properties"].keys()
