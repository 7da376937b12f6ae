"""The registry of apps: expiry, misused tokens, and concurrent changes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec
import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.registry import IDLE_SECONDS, MAX_MISMATCHES, ONCE_SECONDS, AppRegistry, Revoked
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import AppNotFound, InvalidRequest, LedgerUnavailable
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import JUST_USED, App, AppRecords, AppTimes, Grant
from upstash_helper.broker.pending_writes import NoTombstones, PendingWrites
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

MORE = Grant(scopes=("databases:read", "databases:write"), all_databases=True)
PAGE = Identity(kind="web", name="https://app.example.com")


class Records:
    """The ``AppRecords`` port on a real ledger that a test can break or delay."""

    def __init__(self, real: AppRecords) -> None:
        self.real = real
        self.broken = False
        self.writing = asyncio.Event()
        """Set when a write has started."""
        self.go = asyncio.Event()
        """Writes wait until this is set."""
        self.go.set()

    async def load(self) -> tuple[App, ...]:
        """Return all apps."""
        return await self.real.load()

    async def times(self) -> Mapping[str, AppTimes]:
        """Return the times of all apps."""
        return await self.real.times()

    async def save(self, app: App, times: AppTimes = JUST_USED) -> None:
        """Store one app."""
        await self._write()
        await self.real.save(app, times)

    async def remove(self, app_id: str) -> None:
        """Remove one app."""
        await self._write()
        await self.real.remove(app_id)

    async def _write(self) -> None:
        self.writing.set()
        await self.go.wait()
        if self.broken:
            raise LedgerUnavailable("The test has taken the disk away.")


@dataclass
class Run:
    """One run of the daemon, as far as apps are concerned."""

    ledger: SqliteLedger
    clock: FakeClock
    events: EventBus = field(default_factory=EventBus)
    background: Background = field(default_factory=Background)
    runs: list[Run] = field(default_factory=list)
    """This run and those before and after it."""

    def __post_init__(self) -> None:
        self.runs.append(self)
        self.records = Records(self.ledger.apps)
        self.pending = PendingWrites(
            ledger=self.ledger, tombstones=NoTombstones(), background=self.background, clock=self.clock
        )
        self.apps = AppRegistry(
            records=self.records,
            audit=Audit(records=self.ledger.audit, pending=self.pending, clock=self.clock),
            pending=self.pending,
            events=self.events,
            background=self.background,
            clock=self.clock,
        )

    async def add(self, *, once: bool = False, identity: Identity = PAGE) -> tuple[App, bytes]:
        """Give an app access, and return it with its token."""
        grant = Grant(scopes=("databases:read",), once=once)
        app, token = await self.apps.add(name="App", identity=identity, grant=grant)
        return app, token.reveal().encode()

    async def again(self) -> Run:
        """Stop, and start again on the same ledger."""
        await self.background.drain(5)
        await self.pending.close()
        await self.apps.save_last_uses()
        run = Run(ledger=self.ledger, clock=self.clock, runs=self.runs)
        await run.apps.ready()
        return run


@pytest.fixture
async def run(tmp_path: Path) -> AsyncIterator[Run]:
    """A daemon with an empty ledger."""
    clock = FakeClock()
    ledger = SqliteLedger(tmp_path / "ledger.db", monotonic=clock.monotonic, wall=clock.time)
    run = Run(ledger=ledger, clock=clock)
    yield run
    for each in run.runs:  # a later write would open the ledger again
        await each.background.drain(5)
    await ledger.close()


async def test_only_the_exact_token_is_found(run: Run) -> None:
    """Similar tokens are unknown."""
    app, token = await run.add()

    found = run.apps.find(token)

    assert found is not None
    assert (app.id, ("databases:read",)) == (found.id, found.scopes)
    assert not any(run.apps.find(other) for other in (b"", token + b"x", token[:-1], token.upper(), app.digest))


async def test_access_expires_after_90_days_without_a_call(run: Run) -> None:
    """Each call restarts the period. Afterwards the token is unknown."""
    _, token = await run.add()
    app, busy = await run.add(identity=Identity(kind="native", name="/usr/bin/busy"))

    run.clock.advance(IDLE_SECONDS - 1)
    before = run.apps.find(token)
    run.apps.used(app.id)
    run.clock.advance(1)

    assert before is not None
    assert run.apps.find(token) is None
    assert not run.apps.approved(PAGE.name)
    assert run.apps.find(busy) is not None
    assert [app.id] == [it.id for it in await run.apps.all()]


async def test_last_use_is_kept_across_restarts(run: Run) -> None:
    """An app that calls every day keeps its access even if the daemon is restarted every day."""
    app, token = await run.add()
    run.clock.advance(IDLE_SECONDS - 60)
    run.apps.used(app.id)
    run.clock.advance(30)
    run.apps.used(app.id)

    later = await run.again()
    later.clock.advance(IDLE_SECONDS - 60)

    assert later.apps.find(token) is not None
    later.clock.advance(60)
    assert later.apps.find(token) is None


async def test_access_allowed_once_lasts_one_hour(run: Run) -> None:
    """Calls do not extend it."""
    app, token = await run.add(once=True)

    run.clock.advance(ONCE_SECONDS - 1)
    run.apps.used(app.id)
    before = run.apps.find(token)
    run.clock.advance(1)

    assert before is not None
    assert run.apps.find(token) is None
    with pytest.raises(AppNotFound):
        await run.apps.rotate(app.id)
    assert () == await run.apps.all()
    assert (await run.again()).apps.find(token) is None


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0])
async def test_t52_wall_clock_changes_do_not_affect_access_allowed_once(run: Run, jump: float) -> None:
    """Setting the clock back or forward neither extends nor ends access."""
    _, token = await run.add(once=True)

    run.clock.set_wall_clock(jump)
    run.clock.advance(ONCE_SECONDS - 1)
    before = run.apps.find(token)
    run.clock.advance(1)

    assert before is not None
    assert run.apps.find(token) is None


async def test_t52_clock_set_back_before_a_restart_does_not_extend_access(run: Run) -> None:
    """At most one hour is left after a restart."""
    _, token = await run.add(once=True)

    run.clock.set_wall_clock(-86_400)
    later = await run.again()
    later.clock.advance(ONCE_SECONDS)

    assert later.apps.find(token) is None


async def test_t07_misuse_is_counted_across_restarts(run: Run) -> None:
    """The fifth misuse in total revokes the token, and the owner is informed of the reason."""
    app, token = await run.add()
    for _ in range(MAX_MISMATCHES - 1):
        await run.apps.misused(app.id, where="https://evil.example")

    later = await run.again()
    known = (await later.apps.get(app.id)).mismatches
    follower = later.events.subscribe()
    before = later.apps.find(token)
    await later.apps.misused(app.id, where="https://evil.example")
    later.events.close()

    assert MAX_MISMATCHES - 1 == known
    assert before is not None
    assert later.apps.find(token) is None
    assert [Revoked(app.id, "App", "misused")] == [event.data async for event in follower]
    assert (await later.again()).apps.find(token) is None


async def test_t07_misuse_is_counted_during_concurrent_changes(run: Run) -> None:
    """Concurrent calls, a rename, and a rotation lose no count."""
    app, _ = await run.add()

    for number in range(MAX_MISMATCHES - 1):
        run.apps.used(app.id)
        await asyncio.gather(
            run.apps.rename(app.id, f"Name {number}"),
            run.apps.misused(app.id, where="x"),
            run.apps.rotate(app.id),
        )
        run.apps.used(app.id)

    assert MAX_MISMATCHES - 1 == (await run.apps.get(app.id)).mismatches


async def test_misuse_is_counted_if_the_client_disconnects(run: Run) -> None:
    """The count is completed even if the request is gone."""
    app, _ = await run.add()
    run.records.go.clear()
    run.records.writing.clear()

    request = asyncio.create_task(run.apps.misused(app.id, where="x"))
    await run.records.writing.wait()
    request.cancel()
    run.records.go.set()
    await run.background.drain(5)

    assert 1 == (await (await run.again()).apps.get(app.id)).mismatches


@pytest.mark.parametrize("first", ["rename", "rotate", "grant", "misused", "used"])
async def test_t30_revocation_wins_over_concurrent_changes(run: Run, first: str) -> None:
    """In any order, the app is removed from memory and ledger, and none of its tokens works."""
    app, token = await run.add()
    run.records.go.clear()
    run.records.writing.clear()
    tokens = [token]

    async def begun() -> None:
        match first:
            case "rename":
                await run.apps.rename(app.id, "New name")
            case "rotate":
                _, new = await run.apps.rotate(app.id)
                tokens.append(new.reveal().encode())
            case "grant":
                await run.apps.grant_again(app.id, MORE)
            case "misused":
                await run.apps.misused(app.id, where="x")
            case _:
                run.clock.advance(301)
                run.apps.used(app.id)

    other = asyncio.create_task(begun())
    await run.records.writing.wait()
    revoke = asyncio.create_task(run.apps.revoke(app.id, reason="owner"))
    await asyncio.sleep(0)
    run.records.go.set()
    await revoke
    # A change that is written when the app is revoked fails, or was finished before.
    changed = await asyncio.gather(other, return_exceptions=True)
    later = await run.again()

    assert type(changed[0]) in {AppNotFound, type(None)}
    assert not any(run.apps.find(one) or later.apps.find(one) for one in tokens)
    assert () == await later.apps.all()


async def test_t30_changes_after_a_revocation_fail(run: Run) -> None:
    """A late rename or rotation does not restore access."""
    app, _ = await run.add()
    run.records.go.clear()
    run.records.writing.clear()

    revoke = asyncio.create_task(run.apps.revoke(app.id, reason="owner"))
    await run.records.writing.wait()
    late = [
        asyncio.create_task(run.apps.rename(app.id, "New name")),
        asyncio.create_task(run.apps.rotate(app.id)),
        asyncio.create_task(run.apps.grant_again(app.id, MORE)),
        asyncio.create_task(run.apps.misused(app.id, where="x")),
    ]
    run.apps.used(app.id)
    await asyncio.sleep(0)
    run.records.go.set()
    await revoke
    results = await asyncio.gather(*late, return_exceptions=True)

    assert [AppNotFound, AppNotFound, AppNotFound, type(None)] == [type(result) for result in results]
    assert () == await (await run.again()).apps.all()


async def test_revocation_takes_effect_even_if_the_ledger_fails(run: Run) -> None:
    """T65: access ends at once, and the ledger has it once the disk works again."""
    _, stopped = await run.add(identity=Identity(kind="native", name="/usr/bin/other"))
    app, token = await run.add()
    other = run.apps.find(stopped)
    assert other is not None
    follower = run.events.subscribe()
    run.records.broken = True
    for app_id in (app.id, other.id):
        await run.apps.revoke(app_id, reason="owner")
    found = [run.apps.find(token), run.apps.find(stopped), bool(run.pending)]

    run.records.broken = False
    with pytest.raises(AppNotFound):
        await run.apps.revoke(app.id, reason="owner")
    later = await run.again()
    run.events.close()

    assert [None, None, True] == found
    assert () == await later.apps.all()
    assert [app.id, other.id] == [
        event.data.app_id async for event in follower if isinstance(event.data, Revoked)
    ]  # fmt: skip


async def test_list_works_even_if_expired_apps_cannot_be_removed(run: Run) -> None:
    """A full disk does not prevent listing the apps."""
    await run.add(once=True)
    app, _ = await run.add()
    run.clock.advance(ONCE_SECONDS)
    run.records.broken = True

    apps = await run.apps.all()

    assert [app.id] == [it.id for it in apps]


async def test_new_grant_takes_the_place_of_the_former(run: Run) -> None:
    """The app stays the same, with the same token. That its access ends, or no longer does, is part of the grant."""
    app, token = await run.add(once=True)
    told: list[str] = []
    run.apps.on_new_grant.append(told.append)

    await run.apps.grant_again(app.id, MORE)
    run.clock.advance(ONCE_SECONDS + 1)
    lasting = (await run.again()).apps.find(token)
    await run.apps.grant_again(app.id, msgspec.structs.replace(MORE, once=True))
    run.clock.advance(ONCE_SECONDS + 1)

    assert lasting is not None
    assert (app.id, MORE.scopes, MORE.all_databases) == (lasting.id, lasting.scopes, lasting.all_databases)
    assert run.apps.find(token) is None
    assert (await (await run.again()).apps.all()) == ()
    assert [app.id, app.id] == told


@pytest.mark.parametrize("once", [False, True])
async def test_new_grant_that_is_taken_back_leaves_the_former(run: Run, *, once: bool) -> None:
    """As it was, until it would have ended, also after a restart."""
    app, token = await run.add(once=once)
    run.clock.advance(1000)

    _, take_back = await run.apps.grant_again(app.id, msgspec.structs.replace(MORE, once=not once))
    take_back()
    later = await run.again()

    for apps in (run.apps, later.apps):
        found = apps.find(token)
        assert found is not None
        assert (app.scopes, app.all_databases) == (found.scopes, found.all_databases)
    assert app.expires_at == (await later.apps.get(app.id)).expires_at
    run.clock.advance(ONCE_SECONDS - 1001)
    assert later.apps.find(token) is not None
    run.clock.advance(2)
    assert once == (later.apps.find(token) is None) == (run.apps.find(token) is None)


async def test_new_grant_that_cannot_be_recorded_changes_nothing(run: Run) -> None:
    """The app keeps the former one."""
    app, token = await run.add()
    run.records.broken = True

    with pytest.raises(LedgerUnavailable):
        await run.apps.grant_again(app.id, MORE)

    found = run.apps.find(token)
    assert found is not None
    assert app.scopes == found.scopes


async def test_rotation_that_cannot_be_recorded_changes_nothing(run: Run) -> None:
    """The app keeps its token."""
    app, token = await run.add()
    run.records.broken = True

    with pytest.raises(LedgerUnavailable):
        await run.apps.rotate(app.id)

    assert run.apps.find(token) is not None


async def test_after_a_rotation_only_the_new_token_works(run: Run) -> None:
    """It is the same app with the same scopes, also after a restart."""
    app, old = await run.add()

    _, new = await run.apps.rotate(app.id)
    later = await run.again()

    for apps in (run.apps, later.apps):
        found = apps.find(new.reveal().encode())
        assert found is not None
        assert (app.id, app.scopes) == (found.id, found.scopes)
        assert apps.find(old) is None


@pytest.mark.parametrize("name", ["", " ", "\u200b\u202e", "\u3164"])
async def test_rename_to_an_invisible_name_is_rejected(run: Run, name: str) -> None:
    """This applies to the user's own tools, too."""
    app, _ = await run.add()

    with pytest.raises(InvalidRequest):
        await run.apps.rename(app.id, name)

    assert "App" == (await run.apps.get(app.id)).name
