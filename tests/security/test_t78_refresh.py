"""
T78: renewing a grant's access token. One refresh at a time, no refresh token is sent twice, the new one is stored
before its access token is used, and nothing ends the grant but Upstash's word that it has ended.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.clock import FakeClock
from tests.support.world import World
from upstash_helper.broker.account.credential_cache import CredentialCache
from upstash_helper.broker.account.grants import EARLY_SECONDS, MAX_PAUSE_SECONDS, PAUSE_SECONDS, Grants
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import StoreLocked, UpstreamTimeout
from upstash_helper.broker.models import Credential
from upstash_helper.broker.ports import StoreHealth
from upstash_helper.storage.credentials.file_store import MemoryStore
from upstash_helper.storage.registrations import MemoryRegistrations
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.open_sign_in import OpenSignIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support.sandbox import Sandbox

DAY = 86_400


class Store(MemoryStore):
    """A store that can be locked, and that remembers the state of each grant that it stored."""

    def __init__(self) -> None:
        super().__init__()
        self.locked_from: int | None = None
        """The number of the save from which it is locked."""
        self.saved: list[Credential] = []

    async def save(self, credential: Credential) -> None:
        """Store it, unless the keyring is locked."""
        if self.locked_from is not None and len(self.saved) >= self.locked_from:
            raise StoreLocked("The keyring is locked.")
        await super().save(credential)
        self.saved.append(credential)

    def lock(self, *, after: int = 0) -> None:
        """Lock it after this many further saves."""
        self.locked_from = len(self.saved) + after

    def unlock(self) -> None:
        """Unlock it."""
        self.locked_from = None

    def health(self) -> StoreHealth:
        """Return the state."""
        return StoreHealth(kind="memory", state="ok")

    @property
    def states(self) -> list[str]:
        """The states of the grants, in the order in which they were stored."""
        return [credential.grant.state for credential in self.saved if credential.grant]

    @property
    def tokens(self) -> list[str]:
        """The refresh tokens, likewise."""
        return [credential.grant.refresh_token.reveal() for credential in self.saved if credential.grant]


class Connected:
    """A daemon with a grant, and what a test does to it."""

    def __init__(self, world: World, store: Store, clock: FakeClock) -> None:
        self.world = world
        self.store = store
        self.clock = clock

    async def listed(self) -> Any:
        """List the databases, which needs an access token."""
        return await self.world.get("/v1/databases?refresh=true")

    async def state(self) -> str:
        """Return the connection's state."""
        return str((await self.world.get("/v1/connection")).json["state"])

    async def refreshes(self) -> list[int | None]:
        """Return the statuses of the token requests since the sign-in."""
        return [
            request["status"]
            for request in await self.world.sandbox.requests()
            if (request["listener"], request["path"]) == ("issuer", "/oauth/token")
        ]

    async def fail(self, **fault: Any) -> None:
        """Let token requests fail."""
        await self.world.sandbox.fault(listener="issuer", method="POST", path="/oauth/token", **fault)

    async def grant(self) -> dict[str, Any]:
        """Return the grant, as Upstash knows it."""
        (grant,) = await self.world.sandbox.grants(self.world.email)
        return dict(grant)


@pytest.fixture(name="connected")
async def _connected(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[Connected]:
    store, clock = Store(), FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store, clock=clock) as world:
        await world.connect()
        await sandbox.forget_requests()
        yield Connected(world, store, clock)
        await sandbox.clear_faults()
        await sandbox.settings()


async def test_token_is_renewed_shortly_before_it_expires(connected: Connected) -> None:
    """Not earlier: an idle daemon sends nothing."""
    connected.clock.advance(DAY - EARLY_SECONDS - 1)
    assert 200 == (await connected.listed()).status
    assert [] == await connected.refreshes()

    connected.clock.advance(2)

    assert 200 == (await connected.listed()).status
    assert [200] == await connected.refreshes()


async def test_new_refresh_token_is_stored_before_the_access_token_is_used(connected: Connected) -> None:
    """And before the old one is sent, the store is written: a locked keyring must not use up the token."""
    connected.clock.advance(DAY)

    await connected.listed()

    assert ["live", "refreshing", "live"] == connected.store.states
    first, sent, new = connected.store.tokens
    assert first == sent != new
    seen = [(request["path"], request["status"]) for request in await connected.world.sandbox.requests()]
    assert ("/oauth/token", 200) == next(one for one in seen if one[0] != "/.well-known/oauth-authorization-server")


async def test_many_callers_share_one_refresh(connected: Connected) -> None:
    """The second one would revoke the whole login."""
    connected.clock.advance(DAY)
    await connected.fail(latency=0.3)

    replies = await asyncio.gather(*(connected.listed() for _ in range(8)))

    assert {200} == {reply.status for reply in replies}
    assert [200] == await connected.refreshes()


async def test_refused_token_is_renewed_and_the_call_repeated_once(connected: Connected) -> None:
    """Also for a pass-through without a body."""
    await connected.world.sandbox.expire_access_tokens((await connected.grant())["id"])

    listed = await connected.listed()
    await connected.world.sandbox.expire_access_tokens((await connected.grant())["id"])
    connected.clock.advance(60)
    passed = await connected.world.get("/upstash/v2/redis/databases")

    assert (200, 200) == (listed.status, passed.status)
    assert [200, 200] == await connected.refreshes()


async def test_pass_through_with_a_body_is_not_repeated(connected: Connected) -> None:
    """The body may be gone. The problem says so, and the next request works."""
    await connected.world.sandbox.expire_access_tokens((await connected.grant())["id"])
    body = {"database_name": "a", "platform": "aws", "primary_region": "us-east-1"}

    first = await connected.world.call("POST", "/upstash/v2/redis/database", body)
    second = await connected.world.call("POST", "/upstash/v2/redis/database", body)

    assert (503, "access_renewed") == (first.status, first.code)
    assert 200 == second.status
    assert [200] == await connected.refreshes()


async def test_refused_path_renews_nothing(connected: Connected) -> None:
    """An app must not be able to cause refreshes: a call of our own decides."""
    await connected.world.sandbox.fault(path="/v2/odd", status=401, times=None)

    replies = [await connected.world.get("/upstash/v2/odd") for _ in range(3)]

    assert {(424, "upstream_forbidden")} == {(reply.status, reply.code) for reply in replies}
    assert [] == await connected.refreshes()
    assert "connected" == await connected.state()


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 429, "headers": {"Retry-After": "1"}}, id="429"),
        pytest.param({"reset": True}, id="reset"),
        pytest.param({"status": 200, "body": "<html>"}, id="not-a-token"),
    ],
)
async def test_failure_of_the_refresh_ends_nothing(connected: Connected, fault: dict[str, Any]) -> None:
    """Later calls try again with the same token, not in quick succession."""
    connected.clock.advance(DAY)
    await connected.fail(**fault)

    failed = await connected.listed()
    at_once = await connected.listed()
    state = await connected.state()
    connected.clock.advance(PAUSE_SECONDS)
    later = await connected.listed()

    assert failed.status == at_once.status
    assert failed.status in {429, 502, 504}
    assert "could not be renewed" in failed.json["detail"]
    assert "connected" == state
    assert 200 == later.status, later.text
    assert 2 == len(await connected.refreshes())


async def test_rate_limit_is_respected(connected: Connected) -> None:
    """No request is sent before Upstash wants it, however often apps call, but the helper does not wait for a day."""
    connected.clock.advance(DAY)
    await connected.fail(status=429, headers={"Retry-After": "60"})

    replies = [await connected.listed()]
    connected.clock.advance(59)
    replies.append(await connected.listed())
    early = await connected.refreshes()
    connected.clock.advance(2)
    await connected.fail(status=429, headers={"Retry-After": "86400"})
    replies.append(await connected.listed())
    connected.clock.advance(MAX_PAUSE_SECONDS)

    assert [429] * 3 == [reply.status for reply in replies]
    assert "60" == replies[0].headers["Retry-After"]
    assert [429] == early
    assert 200 == (await connected.listed()).status


async def test_failure_shortly_before_the_end_does_not_stop_calls(connected: Connected) -> None:
    """The old access token is still good."""
    connected.clock.advance(DAY - EARLY_SECONDS + 1)
    await connected.fail(status=500, times=None)

    assert [200, 200] == [(await connected.listed()).status for _ in range(2)]


async def test_timeout_of_the_refresh_ends_nothing(connected: Connected) -> None:
    """Like a 500. The daemon waits for 25 seconds; here, the same parts wait for less."""
    sandbox, clock, background = connected.world.sandbox, connected.clock, Background()
    http = HttpClient(clock=clock)
    server = OpenSignIn(
        http=http,
        issuer_url=sandbox.issuer_url,
        api_url=sandbox.api_url,
        redirect_uri="http://127.0.0.1:1/callback",
        client_name="",
        registrations=MemoryRegistrations(),
        clock=clock,
        refresh_seconds=0.2,
    )
    credentials = CredentialCache(store=connected.store, clock=clock)
    grants = Grants(server=server, credentials=credentials, turn=asyncio.Lock(), background=background, clock=clock)
    credential = await credentials.get()
    assert credential is not None
    await connected.fail(latency=1.0)

    with pytest.raises(UpstreamTimeout):
        await grants.authorize(credential)
    ended = grants.ended(credential)
    await sandbox.clear_faults()
    await asyncio.sleep(1.0)  # a fault that is waiting does not use the token when its client has gone
    clock.advance(PAUSE_SECONDS)
    authorized = await grants.authorize(credential)
    await http.close()

    assert ended is None
    assert ["live", "refreshing", "live", "refreshing", "live"] == connected.store.states
    assert authorized.access_token is not None


async def test_lost_answer_to_a_refresh_costs_at_most_this_grant(connected: Connected) -> None:
    """Upstash has replaced the token and sees the old one again: the state says that the sign-in has ended."""
    connected.clock.advance(DAY)
    await connected.fail(when="after", reset=True)

    await connected.listed()
    connected.clock.advance(PAUSE_SECONDS)
    later = await connected.listed()

    assert (424, "reconnect_required") == (later.status, later.code)
    assert "reconnect_required" == await connected.state()
    assert "ended" == connected.store.states[-1]


async def test_grant_revoked_in_the_console_is_noticed_at_the_next_call(connected: Connected) -> None:
    """With the reason, which stays after a restart."""
    await connected.world.sandbox.revoke_grant((await connected.grant())["id"])

    reply = await connected.listed()
    connection = (await connected.world.get("/v1/connection")).json

    assert (424, "reconnect_required") == (reply.status, reply.code)
    assert "revoked in the Upstash console" in reply.json["detail"]
    assert "reconnect_required" == connection["state"]
    assert "Your sign-in at Upstash has ended" == connection["title"]
    assert "revoked in the Upstash console" in connection["detail"]
    assert connected.world.email == connection["account"]["email"]
    assert "ended" == connected.store.states[-1]


async def test_ended_grant_is_not_asked_for_again(connected: Connected) -> None:
    """Not even by the next daemon."""
    await connected.world.sandbox.revoke_grant((await connected.grant())["id"])
    await connected.listed()
    before = await connected.refreshes()
    connected.clock.advance(DAY)

    await connected.listed()

    assert before == await connected.refreshes()


async def test_locked_keyring_uses_up_no_token(connected: Connected) -> None:
    """The problem is the keyring's, and after it is unlocked, calls work."""
    connected.clock.advance(DAY)
    connected.store.lock()

    locked = await connected.listed()
    none_sent = await connected.refreshes()
    connected.store.unlock()
    connected.clock.advance(PAUSE_SECONDS)
    unlocked = await connected.listed()

    assert (503, "keyring_locked") == (locked.status, locked.code)
    assert [] == none_sent
    assert 200 == unlocked.status


async def test_token_that_cannot_be_stored_is_not_used_until_it_is(connected: Connected) -> None:
    """The keyring is locked while Upstash answers. Nothing is lost, and no second refresh is sent."""
    connected.clock.advance(DAY)
    connected.store.lock(after=1)

    locked = await connected.listed()
    used = [request["path"] for request in await connected.world.sandbox.requests() if request["listener"] == "api"]
    connected.store.unlock()
    connected.clock.advance(PAUSE_SECONDS)
    unlocked = await connected.listed()

    assert (503, "keyring_locked") == (locked.status, locked.code)
    assert [] == used
    assert 200 == unlocked.status
    assert [200] == await connected.refreshes()


@pytest.mark.parametrize("days", [-1, 1])
async def test_wrong_clock_ends_nothing(connected: Connected, days: int) -> None:
    """Lifetimes are counted by the monotonic clock."""
    connected.clock.set_wall_clock(days * DAY)

    assert 200 == (await connected.listed()).status
    assert [] == await connected.refreshes()
    assert "connected" == await connected.state()


async def test_token_that_expires_during_sleep_is_renewed(connected: Connected) -> None:
    """The monotonic clock may stand still while the machine sleeps."""
    await connected.world.sandbox.expire_access_tokens((await connected.grant())["id"])

    assert 200 == (await connected.listed()).status


async def test_disconnect_during_a_refresh_leaves_nothing(connected: Connected) -> None:
    """Neither here nor at Upstash."""
    connected.clock.advance(DAY)
    await connected.fail(latency=0.3)
    listing = asyncio.create_task(connected.listed())
    await asyncio.sleep(0.1)

    await connected.world.call("DELETE", "/v1/connection")
    reply = await listing
    await connected.world.daemon.background.drain(10)

    assert 409 == reply.status
    assert await connected.store.load() is None
    assert [] == await connected.world.sandbox.grants(connected.world.email)


async def test_old_refresh_token_ends_the_login_visibly(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """As after restoring an old backup of the keyring: Upstash revokes the login, and the state says so."""
    clock, store, restored = FakeClock(), Store(), Store()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store, clock=clock) as world:
        await world.connect()
        clock.advance(DAY)
        assert 200 == (await world.get("/v1/databases")).status
        email = world.email
    await restored.save(store.saved[0])

    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=restored) as world:
        before = (await world.get("/v1/connection")).json
        reply = await world.get("/v1/databases")
        after = (await world.get("/v1/connection")).json

    assert "connected" == before["state"]  # nothing here says that the token is old
    assert (424, "reconnect_required") == (reply.status, reply.code)
    assert ("reconnect_required", email) == (after["state"], after["account"]["email"])
    assert "ended" == restored.states[-1]
    assert [] == await sandbox.grants(email)


async def test_grant_whose_refresh_was_interrupted_is_not_connected(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The token may be used up, so it is not sent again. A new sign-in replaces the grant."""
    store = Store()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store) as world:
        await world.connect()
    kept = store.saved[-1]
    assert kept.grant is not None
    await store.save(msgspec.structs.replace(kept, grant=msgspec.structs.replace(kept.grant, state="refreshing")))
    await sandbox.forget_requests()

    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store) as world:
        connection = (await world.get("/v1/connection")).json
        reply = await world.get("/v1/databases")
        sent = await sandbox.requests()

    assert "reconnect_required" == connection["state"]
    assert "stopped while it was renewing" in connection["detail"]
    assert (424, "reconnect_required") == (reply.status, reply.code)
    assert [] == sent


# --- apps -------------------------------------------------------------------------------------------------------------


async def test_refused_path_with_an_expired_token_ends_nothing(connected: Connected) -> None:
    """The token is renewed. That the path is refused again is no proof against the new one."""
    await connected.world.sandbox.expire_access_tokens((await connected.grant())["id"])
    await connected.world.sandbox.fault(path="/v2/odd", status=401, times=None)

    replies = [await connected.world.get("/upstash/v2/odd") for _ in range(3)]

    assert {(424, "upstream_forbidden")} == {(reply.status, reply.code) for reply in replies}
    assert "connected" == await connected.state()
    assert [200] == await connected.refreshes()
    assert 200 == (await connected.listed()).status


async def test_api_that_refuses_every_token_causes_one_refresh(connected: Connected) -> None:
    """For a minute. The next success shows that the account is connected."""
    await connected.world.sandbox.fault(listener="api", path="/v2/redis/databases", status=401, times=None)

    replies = [await connected.listed() for _ in range(5)]
    state = await connected.state()
    await connected.world.sandbox.clear_faults()
    connected.clock.advance(61)
    later = await connected.listed()

    assert {(424, "reconnect_required")} == {(reply.status, reply.code) for reply in replies}
    assert "reconnect_required" == state
    assert [200] == await connected.refreshes()
    assert 200 == later.status
    assert "connected" == await connected.state()


async def test_short_lived_token_is_not_renewed_at_each_call(connected: Connected) -> None:
    """A token that is valid for a minute would always be about to expire."""
    await connected.world.sandbox.settings(issuer_token_lifetime=60)
    connected.clock.advance(DAY)

    for _ in range(3):
        assert 200 == (await connected.listed()).status
    connected.clock.advance(31)
    assert 200 == (await connected.listed()).status

    assert [200, 200] == await connected.refreshes()


# --- without a network, and with other callers -----------------------------------------------------------------------


async def test_nothing_is_marked_without_a_network(connected: Connected) -> None:
    """A computer that is switched off while it is offline must not lose the grant."""
    connected.clock.advance(DAY)
    await connected.world.sandbox.fault(
        listener="issuer", path="/.well-known/oauth-authorization-server", reset=True, times=None
    )

    failed = await connected.listed()
    states = connected.store.states
    await connected.world.sandbox.clear_faults()
    connected.clock.advance(PAUSE_SECONDS)
    later = await connected.listed()

    assert (502, "upstream_unavailable") == (failed.status, failed.code)
    assert ["live"] == states
    assert 200 == later.status


async def test_call_does_not_go_on_with_another_account(connected: Connected) -> None:
    """A database that was asked for in one account must not be created in the other, which was connected meanwhile."""
    world, first = connected.world, connected.world.email
    connected.clock.advance(DAY)
    started = await world.start(force=True)
    world.email = f"other-{first}"
    address = await world.sign_in(started)
    await world.sandbox.fault(path="/v2/account/oauth/token-info", latency=0.5)
    await world.land(address)
    creating = asyncio.create_task(
        world.call(
            "POST", "/v1/databases", {"name": "a", "primary_region": "us-east-1"}, headers={"Idempotency-Key": "k"}
        )
    )

    attempt = await world.settled(started["attempt_id"])
    reply = await creating

    assert "succeeded" == attempt["state"]
    assert (409, "not_connected") == (reply.status, reply.code)
    assert [] == (await connected.listed()).json["databases"]


async def happened(look: Callable[[], Awaitable[object]]) -> None:
    """Look until there is something to see."""
    async with asyncio.timeout(20):
        while True:
            if await look():
                return
            await asyncio.sleep(0.01)


async def is_left(world: World) -> bool:
    """Return whether the account is not connected any more."""
    return str((await world.get("/v1/connection")).json["state"]) != "connected"


class SlowStore(Store):
    """A store whose saves can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.entered = asyncio.Event()

    async def save(self, credential: Credential) -> None:
        """Store it when the test says so."""
        self.entered.set()
        await self.go_on.wait()
        await super().save(credential)


async def test_disconnect_while_the_keyring_is_slow_is_final(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The mark that is stored meanwhile does not connect the account again, and no token is sent."""
    clock, store = FakeClock(), SlowStore()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store, clock=clock) as world:
        await world.connect()
        await sandbox.forget_requests()
        clock.advance(DAY)
        store.entered.clear()
        store.go_on.clear()
        listing = asyncio.create_task(world.get("/v1/databases"))
        await store.entered.wait()
        leaving = asyncio.create_task(world.call("DELETE", "/v1/connection"))
        await happened(partial(is_left, world))
        store.go_on.set()

        reply, left = await listing, await leaving
        await world.daemon.background.drain(10)

        assert (409, 200) == (reply.status, left.status)
        assert await store.load() is None
        assert [] == [one for one in await sandbox.requests() if one["path"] == "/oauth/token"]
        assert [] == await sandbox.grants(world.email)


# --- other grants -----------------------------------------------------------------------------------------------------


async def test_sign_in_to_a_team_does_not_revoke_what_it_has_just_got(connected: Connected) -> None:
    """Upstash has one grant for each client and user, and has replaced the earlier one itself."""
    world = connected.world
    team_id = await world.sandbox.team(world.email, "crew")

    await world.connect(force=True, sign_up=False, team_id=team_id)
    await world.daemon.background.drain(10)

    revocations = [one for one in await world.sandbox.requests() if one["path"] == "/oauth/token/revoke"]
    assert [] == revocations
    assert [team_id] == [grant["team_id"] for grant in await world.sandbox.grants(world.email)]


async def test_grant_of_an_earlier_registration_is_revoked(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """It is another one, and would be left over in the console."""
    store = Store()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store) as world:
        await world.connect()
        email = world.email
    async with World.running(tmp_path / "new", sandbox, daemon_port, client_id=None, store=store) as world:
        world.email = email

        await world.connect(force=True, sign_up=False)
        await world.daemon.background.drain(10)

        (grant,) = await sandbox.grants(email)
        kept = await store.load()
        assert kept is not None
        assert kept.grant is not None
        assert grant["client_id"] == kept.grant.client_id


async def test_grant_of_another_issuer_is_not_sent_anywhere(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """The state says why, and that the setting can be set back."""
    store = Store()
    async with World.running(tmp_path, sandbox, daemon_port, client_id=None, store=store) as world:
        await world.connect()
    await sandbox.forget_requests()
    elsewhere = sandbox.issuer_url.replace("127.0.0.1", "localhost")

    async with World.running(
        tmp_path, sandbox, daemon_port, client_id=None, store=store, issuer_url=elsewhere
    ) as world:
        reply = await world.get("/v1/databases")
        connection = (await world.get("/v1/connection")).json

    assert (424, "reconnect_required") == (reply.status, reply.code)
    assert "reconnect_required" == connection["state"]
    assert all(sandbox.issuer_url in text for text in (reply.json["detail"], connection["detail"]))
    assert "live" == store.states[-1]
    assert [] == await sandbox.requests()
