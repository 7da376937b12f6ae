"""The apps that are let in: how long, how often misused, and who wins when two decide at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.apps.registry import IDLE_SECONDS, MOST_MISMATCHES, ONCE_SECONDS, AppRegistry, Revoked
from upstash_helper.broker.audit import Audit
from upstash_helper.broker.background import Background
from upstash_helper.broker.errors import AppNotFound, InvalidRequest, LedgerUnavailable
from upstash_helper.broker.events import EventBus
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import App, AppRecords, Grant
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

PAGE = Identity(kind="web", name="https://app.example.com")


class Records:
    """The ``AppRecords`` port over the real ones, on a disk that a test can stop, or slow down."""

    def __init__(self, real: AppRecords) -> None:
        self.real = real
        self.broken = False
        self.writing = asyncio.Event()
        """Is set when a write has begun."""
        self.go = asyncio.Event()
        """Lets writes go on."""
        self.go.set()

    async def load(self) -> tuple[App, ...]:
        """Return all of them."""
        return await self.real.load()

    async def save(self, app: App) -> None:
        """Store one."""
        await self._write()
        await self.real.save(app)

    async def remove(self, app_id: str) -> None:
        """Forget one."""
        await self._write()
        await self.real.remove(app_id)

    async def _write(self) -> None:
        self.writing.set()
        await self.go.wait()
        if self.broken:
            raise LedgerUnavailable("The test has taken the disk away.")


@dataclass
class Run:
    """One run of the daemon, as far as apps go."""

    ledger: SqliteLedger
    clock: FakeClock
    events: EventBus = field(default_factory=EventBus)
    background: Background = field(default_factory=Background)

    def __post_init__(self) -> None:
        self.records = Records(self.ledger.apps)
        self.apps = AppRegistry(
            records=self.records,
            audit=Audit(records=self.ledger.audit, clock=self.clock),
            events=self.events,
            background=self.background,
            clock=self.clock,
        )

    async def add(self, *, once: bool = False, identity: Identity = PAGE) -> tuple[App, bytes]:
        """Let one in, and return it with its token."""
        grant = Grant(scopes=("databases:read",), once=once)
        app, token = await self.apps.add(name="App", identity=identity, grant=grant)
        return app, token.reveal().encode()

    async def again(self) -> Run:
        """Stop, and start on the same ledger."""
        await self.background.drain(5)
        await self.apps.note_uses()
        run = Run(ledger=self.ledger, clock=self.clock)
        await run.apps.ready()
        return run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A daemon on a disk of its own, that has let nobody in."""
    return Run(ledger=SqliteLedger(tmp_path / "ledger.db"), clock=FakeClock())


async def test_a_token_is_found_and_nothing_like_it(run: Run) -> None:
    """The exact bytes, and no others."""
    app, token = await run.add()

    found = run.apps.find(token)

    assert found is not None
    assert (app.id, ("databases:read",)) == (found.id, found.scopes)
    assert not any(run.apps.find(other) for other in (b"", token + b"x", token[:-1], token.upper(), app.digest))


async def test_an_app_that_does_not_call_for_90_days_is_out(run: Run) -> None:
    """Each call begins them anew; after that its token is as if it had never been."""
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


async def test_the_last_use_is_known_after_a_restart(run: Run) -> None:
    """An app that calls each day is not out because the daemon is new each day."""
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


async def test_once_is_for_an_hour(run: Run) -> None:
    """However often it calls."""
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
async def test_t52_once_is_for_an_hour_whatever_the_wall_clock_does(run: Run, jump: float) -> None:
    """Nobody gets a day by setting the clock back, and nobody is shut out by one that was wrong."""
    _, token = await run.add(once=True)

    run.clock.set_wall_clock(jump)
    run.clock.advance(ONCE_SECONDS - 1)
    before = run.apps.find(token)
    run.clock.advance(1)

    assert before is not None
    assert run.apps.find(token) is None


async def test_t52_once_is_not_prolonged_by_a_restart_with_a_clock_set_back(run: Run) -> None:
    """After a restart an hour is left at most."""
    _, token = await run.add(once=True)

    run.clock.set_wall_clock(-86_400)
    later = await run.again()
    later.clock.advance(ONCE_SECONDS)

    assert later.apps.find(token) is None


async def test_t07_misuse_is_counted_beyond_a_restart(run: Run) -> None:
    """A thief does not get five tries a run; the fifth in all ends it, and its owner is told why."""
    app, token = await run.add()
    for _ in range(MOST_MISMATCHES - 1):
        await run.apps.misused(app.id, where="https://evil.example")

    later = await run.again()
    known = (await later.apps.get(app.id)).mismatches
    follower = later.events.subscribe()
    before = later.apps.find(token)
    await later.apps.misused(app.id, where="https://evil.example")
    later.events.close()

    assert MOST_MISMATCHES - 1 == known
    assert before is not None
    assert later.apps.find(token) is None
    assert [Revoked(app.id, "App", "misused")] == [event.data async for event in follower]
    assert (await later.again()).apps.find(token) is None


async def test_t07_misuse_is_counted_whatever_else_goes_on(run: Run) -> None:
    """Calls, a new name and a new token at the same moment lose no count."""
    app, _ = await run.add()

    for number in range(MOST_MISMATCHES - 1):
        run.apps.used(app.id)
        await asyncio.gather(
            run.apps.rename(app.id, f"Name {number}"),
            run.apps.misused(app.id, where="x"),
            run.apps.rotate(app.id),
        )
        run.apps.used(app.id)

    assert MOST_MISMATCHES - 1 == (await run.apps.get(app.id)).mismatches


async def test_a_thief_who_hangs_up_is_counted(run: Run) -> None:
    """The count is made to its end, though the request that it is for is gone."""
    app, _ = await run.add()
    run.records.go.clear()
    run.records.writing.clear()

    request = asyncio.create_task(run.apps.misused(app.id, where="x"))
    await run.records.writing.wait()
    request.cancel()
    run.records.go.set()
    await run.background.drain(5)

    assert 1 == (await (await run.again()).apps.get(app.id)).mismatches


@pytest.mark.parametrize("first", ["rename", "rotate", "misused", "used"])
async def test_t30_revoking_wins_over_what_goes_on_at_the_same_time(run: Run, first: str) -> None:
    """Whichever began first: the app is out afterwards, on the disk too, and no token of it is known."""
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
    await asyncio.gather(other, revoke)
    later = await run.again()

    assert not any(run.apps.find(one) or later.apps.find(one) for one in tokens)
    assert () == await later.apps.all()


async def test_t30_after_revoking_there_is_nothing_to_change(run: Run) -> None:
    """A rename or a rotation that comes too late brings nothing back."""
    app, _ = await run.add()
    run.records.go.clear()
    run.records.writing.clear()

    revoke = asyncio.create_task(run.apps.revoke(app.id, reason="owner"))
    await run.records.writing.wait()
    late = [
        asyncio.create_task(run.apps.rename(app.id, "New name")),
        asyncio.create_task(run.apps.rotate(app.id)),
        asyncio.create_task(run.apps.misused(app.id, where="x")),
    ]
    run.apps.used(app.id)
    await asyncio.sleep(0)
    run.records.go.set()
    await revoke
    results = await asyncio.gather(*late, return_exceptions=True)

    assert [AppNotFound, AppNotFound, type(None)] == [type(result) for result in results]
    assert () == await (await run.again()).apps.all()


async def test_an_app_whose_revocation_cannot_be_written_down_is_out_all_the_same(run: Run) -> None:
    """At once, and revoking it once more, or a stop of the daemon, writes it down when the disk is there again."""
    _, stopped = await run.add(identity=Identity(kind="native", name="/usr/bin/other"))
    app, token = await run.add()
    other = run.apps.find(stopped)
    assert other is not None
    follower = run.events.subscribe()
    run.records.broken = True
    for app_id in (app.id, other.id, app.id):
        with pytest.raises(LedgerUnavailable):
            await run.apps.revoke(app_id, reason="owner")
    found = [run.apps.find(token), run.apps.find(stopped)]

    run.records.broken = False
    await run.apps.revoke(app.id, reason="owner")
    with pytest.raises(AppNotFound):
        await run.apps.revoke(app.id, reason="owner")
    later = await run.again()
    run.events.close()

    assert [None, None] == found
    assert () == await later.apps.all()
    assert [app.id, other.id] == [
        event.data.app_id async for event in follower if isinstance(event.data, Revoked)
    ]  # fmt: skip


async def test_the_list_can_be_read_though_what_is_over_cannot_be_removed(run: Run) -> None:
    """A full disk is no reason not to show who is let in."""
    await run.add(once=True)
    app, _ = await run.add()
    run.clock.advance(ONCE_SECONDS)
    run.records.broken = True

    apps = await run.apps.all()

    assert [app.id] == [it.id for it in apps]


async def test_a_rotation_that_cannot_be_written_down_changes_nothing(run: Run) -> None:
    """The app goes on with the token that it has."""
    app, token = await run.add()
    run.records.broken = True

    with pytest.raises(LedgerUnavailable):
        await run.apps.rotate(app.id)

    assert run.apps.find(token) is not None


async def test_after_a_rotation_only_the_new_token_is_known(run: Run) -> None:
    """Also after a restart; it is the same app, with what it was granted."""
    app, old = await run.add()

    _, new = await run.apps.rotate(app.id)
    later = await run.again()

    for apps in (run.apps, later.apps):
        found = apps.find(new.reveal().encode())
        assert found is not None
        assert (app.id, app.scopes) == (found.id, found.scopes)
        assert apps.find(old) is None


@pytest.mark.parametrize("name", ["", " ", "\u200b\u202e", "\u3164"])
async def test_an_app_keeps_a_name_that_can_be_seen(run: Run, name: str) -> None:
    """The user's own tools too give no blank one."""
    app, _ = await run.add()

    with pytest.raises(InvalidRequest):
        await run.apps.rename(app.id, name)

    assert "App" == (await run.apps.get(app.id)).name
