"""T65: what takes rights away takes effect at once on a full, read-only, or locked disk, and is written later."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.security.test_t51_ledger import fill, restore_a_backup
from tests.support.clock import FakeClock
from tests.support.mounts import run_with_mounts
from tests.support.oauth_client import decide, registered
from tests.support.sandbox import Sandbox
from tests.support.until import until_async
from tests.support.world import App, Reply, World, as_page, free_port
from upstash_helper.api.server.routes import Order
from upstash_helper.broker.errors import StoreLocked
from upstash_helper.broker.models import Credential, Secret
from upstash_helper.broker.ports import StoreHealth

SMALL_DISK = 'mount -t tmpfs -o size=1m tmpfs "$2"'
PAGE = "https://page.example.com"

UNREACHABLE = "http://127.0.0.1:9"
UPSTASH = cast(
    "Sandbox",
    SimpleNamespace(
        client_id="client",
        auth_url=UNREACHABLE,
        issuer_url=UNREACHABLE,
        api_url=UNREACHABLE,
        rest_url=UNREACHABLE,
    ),
)
"""No request of these tests gets as far as Upstash."""


@contextlib.asynccontextmanager
async def running(home: Path, **options: Any) -> AsyncIterator[World]:
    """Run the daemon with its folders below ``home``."""
    async with World.running(home, UPSTASH, free_port(), **options) as world:
        yield world


async def works(world: World, app: App) -> bool:
    """Return whether the app's token is accepted."""
    reply = await world.as_app(app, "GET", "/v1/token")
    return reply.status == 200


def written(ledger: Path, query: str = "SELECT count(*) FROM apps") -> Any:
    """Return the value of a query in the ledger's file."""
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        return connection.execute(query).fetchone()[0]


def outcome(reply: Reply) -> list[Any]:
    """Return what a test compares of a response."""
    body = reply.json if reply.body else {}
    return [reply.status, body.get("recorded"), body.get("code")]


# --- a full disk ------------------------------------------------------------------------------------------------------


async def act_on_a_full_disk(home: Path, state: Path) -> dict[str, Any]:
    """Take away every kind of right while the disk is full; then free it, and look at the file."""
    clock = FakeClock()
    async with running(home, clock=clock) as world:
        revoked, own = await world.pair(name="Revoked"), await world.pair(name="Signs out")
        page, rotates = await world.pair(origin=PAGE, name="Stolen"), await world.pair(name="Rotates")
        denied = (await world.ask(origin="https://denied.example")).json
        blocked = (await world.ask(origin="https://blocked.example")).json
        withdrawn = (await world.ask(origin="https://withdrawn.example")).json
        attempt = await world.start()
        ballast = fill(state)

        as_page = {"Origin": "https://withdrawn.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
        answers = {
            "revoke": await world.call("DELETE", f"/v1/apps/{revoked.id}"),
            "sign out": await world.as_app(own, "DELETE", "/v1/token"),
            "deny": await world.call("POST", f"/v1/pairings/{denied['id']}/deny"),
            "block": await world.call("POST", f"/v1/pairings/{blocked['id']}/block"),
            "withdraw": await world.call(
                "DELETE", f"/v1/pairings/{withdrawn['id']}", headers=as_page, token=withdrawn["poll_secret"]
            ),
            "cancel": await world.call("DELETE", f"/v1/connection/attempts/{attempt['attempt_id']}"),
            "disconnect": await world.call("DELETE", "/v1/connection"),
            "open": await world.call("POST", "/v1/dashboard/tickets"),
        }
        for _ in range(5):
            await world.as_app(
                App(id=page.id, token=page.token, origin="https://thief.example.com"), "GET", "/v1/token"
            )
        refused = {
            "approve": await world.call("POST", f"/v1/pairings/{denied['id']}/approve", {}),
            "rotate": await world.as_app(rotates, "POST", "/v1/token/rotate"),
            "ask": await world.ask(name="New"),
        }
        rights = [await works(world, app) for app in (revoked, own, page, rotates)]
        blocks = [it["identity"]["name"] for it in (await world.get("/v1/blocks")).json["blocks"]]
        before = written(state / "ledger.db")

        ballast.unlink()
        clock.advance(2)
        await until_async(lambda: written(state / "ledger.db") == 1)
        await until_async(lambda: written(state / "ledger.db", "SELECT count(*) FROM blocks") == 1)
        await until_async(
            lambda: written(state / "ledger.db", "SELECT count(*) FROM audit WHERE action = 'dashboard.open'")
        )
        last = await world.call("POST", "/v1/dashboard/tickets")
        audit = (await world.get("/v1/audit?page_size=500")).json["entries"]
    return {
        "answers": {name: outcome(reply) for name, reply in answers.items()},
        "notice": answers["revoke"].json.get("notice"),
        "refused": {name: outcome(reply)[2] for name, reply in refused.items()},
        "rights": rights,
        "blocks": blocks,
        "before": before,
        "last": outcome(last),
        "actions": sorted({it["action"] for it in audit}),
    }


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened on a full disk."""
    home = tmp_path_factory.mktemp("full")
    (home / "state").mkdir()
    seen: dict[str, Any] = run_with_mounts(SMALL_DISK, act_on_a_full_disk, home, home / "state")
    return seen


def test_t65_full_disk_does_not_keep_a_right_alive(full_disk: dict[str, Any]) -> None:
    """A revoked app, one that signed out, and a stolen token have no access, before anything is written."""
    assert [False, False, False, True] == full_disk["rights"]
    assert ["https://blocked.example"] == full_disk["blocks"]
    assert 4 == full_disk["before"]


def test_t65_responses_say_that_it_is_not_written_yet(full_disk: dict[str, Any]) -> None:
    """Each succeeds and states that it was not recorded, and why."""
    ok = {name: [200, False, None] for name in full_disk["answers"]} | {"open": [201, False, None]}

    assert ok == full_disk["answers"]
    assert "is full. Free some space." in full_disk["notice"]
    assert full_disk["notice"].startswith("This has taken effect, but could not be saved yet. ")
    assert "restart" not in full_disk["notice"]  # a tombstone is kept


def test_t65_what_gives_rights_is_written_first(full_disk: dict[str, Any]) -> None:
    """On a full disk, no access is requested or granted, and no token is replaced."""
    assert {"approve": "disk_full", "rotate": "disk_full", "ask": "disk_full"} == full_disk["refused"]


def test_t65_changes_are_written_once_there_is_space(full_disk: dict[str, Any]) -> None:
    """The ledger then has them, with their audit entries, and the next response says nothing about it."""
    assert [201, None, None] == full_disk["last"]
    assert {"app.revoke", "app.sign_out", "token.misused", "pairing.deny", "pairing.block", "connection.cancel",
            "connection.disconnect", "dashboard.open"} <= set(full_disk["actions"])  # fmt: skip


# --- after a restart --------------------------------------------------------------------------------------------------


async def restart_on_a_full_disk(home: Path, state: Path) -> dict[str, Any]:
    """Revoke, deny, and block on a full disk, restart on it, and restart again with space."""
    async with running(home) as world:
        app = await world.pair()
        asked = (await world.ask(origin="https://blocked.example")).json
        ballast = fill(state)
        replies = [
            await world.call("DELETE", f"/v1/apps/{app.id}"),
            await world.call("POST", f"/v1/pairings/{asked['id']}/block"),
        ]
    async with running(home) as world:
        full = await works(world, app)
    ballast.unlink()
    async with running(home) as world:
        free = await works(world, app)
        apps = (await world.get("/v1/apps")).json["apps"]
        blocks = [it["identity"]["name"] for it in (await world.get("/v1/blocks")).json["blocks"]]
        pending = (await world.get("/v1/pairings")).json["pairings"]
        await until_async(lambda: written(state / "ledger.db") == 0)
        await until_async(lambda: written(state / "ledger.db", "SELECT count(*) FROM blocks") == 1)
    return {
        "replies": [reply.status for reply in replies],
        "works": [full, free],
        "left": [apps, blocks, pending],
        "tombstones": any((state / "tombstones").read_bytes()),
    }


def test_t65_revoked_app_stays_revoked_after_a_restart_on_the_full_disk(tmp_path: Path) -> None:
    """Neither on the full disk nor once there is space does the app, or the request, come back."""
    (tmp_path / "state").mkdir()

    seen = run_with_mounts(SMALL_DISK, restart_on_a_full_disk, tmp_path, tmp_path / "state")

    assert ([200, 200], [False, False]) == (seen["replies"], seen["works"])
    assert [[], ["https://blocked.example"], []] == seen["left"]
    assert not seen["tombstones"]  # all are written, so none is left


# --- a read-only disk -------------------------------------------------------------------------------------------------


async def act_on_a_read_only_disk(home: Path, state: Path) -> dict[str, Any]:
    """Revoke while the state folder is read-only, restart, and make it writable again."""
    async with running(home) as world:
        app, other = await world.pair(), await world.pair(origin=PAGE)
    subprocess.run(["mount", "--bind", state, state], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", state], check=True)
    async with running(home) as world:
        before = await works(world, app)
        reply = await world.call("DELETE", f"/v1/apps/{app.id}")
        after = await works(world, app)
    clock = FakeClock()
    async with running(home, clock=clock) as world:
        restarted = await works(world, app)
        second = await world.call("DELETE", f"/v1/apps/{other.id}")
        subprocess.run(["mount", "-o", "remount,bind,rw", state], check=True)
        clock.advance(2)
        await until_async(lambda: written(state / "ledger.db") == 0)
        last = await world.call("POST", "/v1/dashboard/tickets")
    return {
        "reply": [outcome(reply), outcome(second), outcome(last)],
        "notice": reply.json.get("notice"),
        "works": [before, after, restarted],
    }


def test_t65_read_only_disk(tmp_path: Path) -> None:
    """Access ends at once, also after a restart, and is removed from the file when that can be written again."""
    (tmp_path / "state").mkdir()

    seen = run_with_mounts("", act_on_a_read_only_disk, tmp_path, tmp_path / "state")

    assert [[200, False, None], [200, False, None], [201, None, None]] == seen["reply"]
    assert [True, False, False] == seen["works"]
    assert "cannot be written" in seen["notice"]


# --- a locked ledger --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock the ledger as another program would."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


async def test_t65_locked_ledger(tmp_path: Path) -> None:
    """Access ends at once, stays ended after a restart, and is removed from the file once that is unlocked."""
    ledger = tmp_path / "state" / "ledger.db"
    async with running(tmp_path) as world:
        app = await world.pair()
        with locked(ledger):
            reply = await world.call("DELETE", f"/v1/apps/{app.id}")
            during = await works(world, app)
            stop = await world.call("POST", "/v1/daemon/stop")
            async with asyncio.timeout(20):
                await asyncio.shield(world.serving)
    async with running(tmp_path) as world:
        later = await works(world, app)
        await until_async(lambda: written(ledger) == 0)

    assert [[200, False, None], [202, False, None]] == [outcome(reply), outcome(stop)]
    assert "in use by another program" in reply.json["notice"]
    assert [False, False] == [during, later]


async def test_t65_right_ends_while_the_disk_does_not_answer(tmp_path: Path) -> None:
    """The effect does not wait for the disk: another request is refused before the first one is answered."""
    async with running(tmp_path) as world:
        app = await world.pair()
        with locked(tmp_path / "state" / "ledger.db"):
            revoking = asyncio.create_task(world.call("DELETE", f"/v1/apps/{app.id}"))
            reply = None
            while not revoking.done():
                reply = await world.as_app(app, "GET", "/v1/token")
                if reply.status == 401:
                    break
            was_answered = revoking.done()
            await revoking

    assert reply is not None
    assert (401, False) == (reply.status, was_answered)


@pytest.mark.parametrize("what", ["deny", "block", "withdraw"])
async def test_t65_app_whose_request_is_denied_while_it_fetches_its_token_gets_none(tmp_path: Path, what: str) -> None:
    """The disk takes its time to write that the app has access; meanwhile the request is denied."""
    async with running(tmp_path) as world:
        asked = (await world.ask(origin=PAGE)).json
        one, headers = f"/v1/pairings/{asked['id']}", as_page(PAGE)
        await world.call("POST", f"{one}/approve", {})
        with locked(tmp_path / "state" / "ledger.db"):
            fetching = asyncio.create_task(
                world.call("POST", f"{one}/token", headers=headers, token=asked["poll_secret"])
            )
            await asyncio.sleep(0.2)
            if what == "withdraw":
                ending = world.call("DELETE", one, headers=headers, token=asked["poll_secret"])
            else:
                ending = world.call("POST", f"{one}/{what}")
            ended = asyncio.create_task(ending)
            await asyncio.sleep(0.2)
        reply = await fetching
        done = (await ended).status
        apps = (await world.get("/v1/apps")).json["apps"]

    assert done in (200, 204)
    assert (reply.status in (403, 409, 410), []) == (True, apps)


async def test_t65_agent_whose_new_grant_is_denied_while_it_fetches_it_keeps_the_former(tmp_path: Path) -> None:
    """A client that has access stays the same app when it asks again, but gets nothing more than it had."""
    async with running(tmp_path) as world:
        client = await registered(world)
        page = await client.begin()
        await decide(world, "approve", scopes=["databases:read"])
        await client.exchange((await client.answer(page))["code"])
        page = await client.begin()
        [asked] = (await world.get("/v1/pairings")).json["pairings"]
        await decide(world, "approve")
        code = (await client.answer(page))["code"]
        with locked(tmp_path / "state" / "ledger.db"):
            fetching = asyncio.create_task(client.exchange(code))
            await asyncio.sleep(0.2)
            ended = asyncio.create_task(world.call("POST", f"/v1/pairings/{asked['id']}/deny"))
            await asyncio.sleep(0.2)
        reply = await fetching
        done = (await ended).status
        [app] = (await world.get("/v1/apps")).json["apps"]

    assert (200, 400, "invalid_grant") == (done, reply.status, reply.json["error"])
    assert ["databases:read"] == [it["scope"] for it in app["scopes"]]


# --- a ledger that is replaced ----------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows does not replace a file that is open")
async def test_t65_revoked_app_stays_revoked_if_a_backup_was_restored_before(tmp_path: Path) -> None:
    """A backup program has put an older file in the ledger's place while the daemon was running."""
    ledger = tmp_path / "state" / "ledger.db"
    async with running(tmp_path) as world:
        app = await world.pair()
        restore_a_backup(ledger)
        reply = await world.call("DELETE", f"/v1/apps/{app.id}")
    async with running(tmp_path) as world:
        later = await works(world, app)

    assert (204, False, 0) == (reply.status, later, written(ledger))


# --- a locked keyring -------------------------------------------------------------------------------------------------


class LockableStore:
    """The ``CredentialStore`` port of a keyring that can be locked."""

    def __init__(self) -> None:
        self.stored: Credential | None = Credential(
            email="ada@example.com", api_key=Secret("key-1"), method="api_key", since=0.0
        )
        self.is_locked = False

    async def load(self, *, prompt: bool = True) -> Credential | None:
        """Return the credential."""
        self._check()
        return self.stored

    async def save(self, credential: Credential) -> None:
        """Replace the credential."""
        self._check()
        self.stored = credential

    async def delete(self) -> None:
        """Delete the credential."""
        self._check()
        self.stored = None

    def health(self) -> StoreHealth:
        """Return the state."""
        return StoreHealth(kind="keyring", state="locked" if self.is_locked else "ok")

    def _check(self) -> None:
        if self.is_locked:
            raise StoreLocked("The keyring is locked.")


async def test_t65_disconnect_with_a_locked_keyring_survives_a_restart(tmp_path: Path) -> None:
    """The account is not connected again by a restart, and its key is deleted once the keyring is unlocked."""
    store = LockableStore()
    async with running(tmp_path, store=store) as world:
        before = (await world.get("/v1/connection")).json["state"]
        store.is_locked = True
        reply = await world.call("DELETE", "/v1/connection")
    store.is_locked = False
    async with running(tmp_path, store=store) as world:
        after = (await world.get("/v1/connection")).json["state"]

    assert ("connected", "disconnected") == (before, after)
    assert [200, False, None] == outcome(reply)
    assert store.stored is None


# --- the declaration --------------------------------------------------------------------------------------------------

ACTS_FIRST = {
    "POST /oauth/revoke",
    "DELETE /v1/apps/{app_id}",
    "DELETE /v1/connection",
    "DELETE /v1/connection/attempts/{attempt_id}",
    "DELETE /v1/dashboard/sessions",
    "DELETE /v1/pairings/{pairing_id}",
    "DELETE /v1/token",
    "POST /v1/confirmations/{confirmation_id}/deny",
    "POST /v1/daemon/stop",
    "POST /v1/dashboard/tickets",
    "POST /v1/pairings/{pairing_id}/block",
    "POST /v1/pairings/{pairing_id}/deny",
}


async def test_t65_order_of_each_route_is_declared(tmp_path: Path) -> None:
    """The routes that act first are exactly those that take rights away, end something, or let the owner in."""
    async with running(tmp_path) as world:
        orders = {f"{route.method} {route.path}": route.policy.order for route in world.daemon.routes}

    assert {name for name, order in orders.items() if order is Order.ACT_FIRST} == ACTS_FIRST
    # These change nothing that is kept: they begin a session, have the browser opened, or wait.
    kept_nowhere = {
        "POST /v1/dashboard/sessions", "POST /attempts/{page}/dashboard", "POST /oauth/requests/{key}/dashboard",
        "POST /oauth/requests/{key}/decision",
    }  # fmt: skip
    changing = {name for name in orders if not name.startswith(("GET", "HEAD"))} - kept_nowhere
    assert not [name for name in changing if orders[name] is None]
