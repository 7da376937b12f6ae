"""T73: a clock that is wrong for a while removes no app, no audit entry, and no record of a created database."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.contract.test_ledger import DATABASE, KEY, RECORD
from tests.security.test_t65_full_disk import running
from tests.support.clock import FakeClock
from upstash_helper.broker.apps.registry import IDLE_SECONDS, ONCE_SECONDS
from upstash_helper.broker.databases.create import LIFETIME, RequestsInProgress
from upstash_helper.broker.ledger import AuditQuery
from upstash_helper.storage.ledger.elapsed import MAX_GAP_SECONDS
from upstash_helper.storage.ledger.schema import MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import App, World

DAY = 86_400.0
NOW = 1_790_000_000.0
WRONG = [pytest.param(100 * DAY, id="100-days-ahead"), pytest.param(-400 * DAY, id="400-days-behind")]


async def works(world: World, app: App) -> bool:
    """Return whether the app's token is accepted."""
    reply = await world.as_app(app, "GET", "/v1/token")
    return reply.status == 200


async def audited(world: World) -> int:
    """Return the number of audit entries."""
    return len((await world.get("/v1/audit?page_size=500")).json["entries"])


@pytest.mark.parametrize("jump", WRONG)
async def test_t73_one_start_with_a_wrong_clock(tmp_path: Path, jump: float) -> None:
    """Apps and audit are there, during that run and when the clock is right again."""
    clock, seen, entries = FakeClock(), [], list[int]()
    async with running(tmp_path, clock=clock) as world:
        app = await world.pair()
        before = await audited(world)
    for change in (jump, -jump):
        clock.set_wall_clock(change)
        async with running(tmp_path, clock=clock) as world:
            listed = [it["id"] for it in (await world.get("/v1/apps")).json["apps"]]
            seen.append((listed, await works(world, app)))
            await world.pair(
                origin="https://another.example.com", name=f"{change}"
            )  # writes to the audit, which prunes
            entries.append(await audited(world))

    assert [([app.id], True)] == seen[:1]
    assert app.id in seen[1][0]
    assert seen[1][1]
    assert before < entries[0] < entries[1]


@pytest.mark.parametrize("jump", WRONG)
async def test_t73_one_request_with_a_wrong_clock(tmp_path: Path, jump: float) -> None:
    """A request at the wrong time changes nothing but what it shows; the last use only moves forward."""
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as world:
        app, other = await world.pair(), await world.pair(name="Other")
        before = await audited(world)
        clock.set_wall_clock(jump)
        during = [await works(world, app), (await world.call("PATCH", f"/v1/apps/{app.id}", {"name": "New"})).status]
        clock.set_wall_clock(-jump)
        used = (await world.get(f"/v1/apps/{app.id}")).json["last_used_at"]
        created = (await world.get(f"/v1/apps/{app.id}")).json["created_at"]
        after = [await works(world, app), await works(world, other)]
        entries = await audited(world)
    async with running(tmp_path, clock=clock) as world:
        restarted = [await works(world, app), await works(world, other)]

    assert [True, 200] == during
    assert [[True, True]] * 2 == [after, restarted]
    assert used >= created
    assert entries > before


async def test_t73_idle_time_is_what_has_certainly_passed(tmp_path: Path) -> None:
    """Running time counts in full, and each stop at most a week, whatever the clock says."""
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as world:
        app = await world.pair()
    stops = int(IDLE_SECONDS // MAX_GAP_SECONDS)
    for _ in range(stops):
        clock.set_wall_clock(100 * DAY)
        async with running(tmp_path, clock=clock) as world:
            assert (await world.get("/v1/apps")).json["apps"]
    async with running(tmp_path, clock=clock) as world:
        clock.advance(IDLE_SECONDS - stops * MAX_GAP_SECONDS)
        over = await works(world, app)

    assert not over


@pytest.mark.parametrize("jump", [-400 * DAY, 0.0])
async def test_t73_restarts_do_not_extend_access_for_one_hour(tmp_path: Path, jump: float) -> None:
    """Not even if the clock is set back before each of them."""
    clock, seen = FakeClock(), []
    async with running(tmp_path, clock=clock) as world:
        app = await world.pair(once=True)
    for _ in range(3):
        clock.set_wall_clock(jump)
        async with running(tmp_path, clock=clock) as world:
            seen.append(await works(world, app))
            clock.advance(ONCE_SECONDS / 3)

    async with running(tmp_path, clock=clock) as world:
        seen.append(await works(world, app))

    assert [True, True, True, False] == seen


async def test_t73_record_of_a_created_database_is_kept(tmp_path: Path) -> None:
    """A request at a wrong time does not make the daemon forget which databases it has created."""
    clock = FakeClock()
    path = tmp_path / "ledger.db"
    ledger = SqliteLedger(path, monotonic=clock.monotonic, wall=clock.time)
    await ledger.creates.begin(KEY, RECORD, keep_seconds=8 * DAY)
    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)
    await ledger.close()
    clock.set_wall_clock(100 * DAY)

    ledger = SqliteLedger(path, monotonic=clock.monotonic, wall=clock.time)
    await ledger.creates.begin(type(KEY)(KEY.caller, "another"), RECORD, keep_seconds=8 * DAY)
    found = await ledger.creates.find(KEY)
    await ledger.close()

    assert found is not None
    assert DATABASE == found.result


@pytest.mark.parametrize(("running_for", "is_over"), [(0.0, False), (3599.0, False), (3600.0, True)])
def test_t73_key_of_an_earlier_run_expires_when_the_clock_is_believed(running_for: float, is_over: bool) -> None:  # noqa: FBT001  # pytest passes it by its name
    """In the first hour of a run, a clock that is ahead does not make the daemon create a database twice."""
    clock = FakeClock(now=RECORD.sent_at + 100 * DAY)
    requests = RequestsInProgress(clock=clock)

    clock.advance(running_for)

    assert is_over == (requests.age(KEY, RECORD) >= LIFETIME)


# --- the upgrade ------------------------------------------------------------------------------------------------------

OLD_APP = """
    INSERT INTO apps VALUES (:id, 'App', 'web', 'https://app.example.com', '', NULL, '["databases:read"]', 0, :digest,
        :created_at, :last_used_at, :expires_at, 0)
"""


async def test_t73_upgrade_keeps_the_idle_time_and_the_audit(tmp_path: Path) -> None:
    """
    After the upgrade, an app has been idle for as long as before, relative to the last use of any app, even if the
    clock is wrong at that moment. No audit entry is removed.
    """
    path, clock = tmp_path / "ledger.db", FakeClock(now=NOW + 100 * DAY)
    older = SqliteLedger(path, migrations=MIGRATIONS[:1])
    await older.pairings.load()
    await older.close()
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, idle in enumerate((0.0, 30 * DAY, 95 * DAY)):
            values: dict[str, Any] = {
                "id": f"app-{number}",
                "digest": bytes([number]) * 32,
                "created_at": NOW - 200 * DAY,
                "last_used_at": NOW - idle,
                "expires_at": NOW + 60 if number == 1 else None,
            }
            connection.execute(OLD_APP, values)
        connection.execute(
            "INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result)"
            " VALUES (1, 1, 1, 'app-0', 'App', 'web', 'app.let_in', '', 'ok')"
        )

    ledger = SqliteLedger(path, monotonic=clock.monotonic, wall=clock.time)
    times = await ledger.apps.times()
    entries = await ledger.audit.page(AuditQuery())
    await ledger.close()

    week = MAX_GAP_SECONDS
    assert [week, 30 * DAY + week, 95 * DAY + week] == [times[f"app-{number}"].idle for number in range(3)]
    assert [None, 60 - week, None] == [times[f"app-{number}"].left for number in range(3)]
    assert ["app.let_in"] == [entry.action for entry in entries]
