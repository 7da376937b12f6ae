"""T68: an app has a share of the audit and no more, and the ledger stays small."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.security.test_t65_full_disk import running
from tests.support.clock import FakeClock
from tests.support.world import World
from upstash_helper.broker.audit import MAX_IDENTITY_BYTES, MAX_TEXT_BYTES, shortened
from upstash_helper.broker.ledger import NO_TOKEN_SHARE, OWNER_SHARE, AuditEntry, AuditQuery
from upstash_helper.storage.ledger import audit
from upstash_helper.storage.ledger.schema import MIGRATIONS
from upstash_helper.storage.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox

MAX_BYTES = 20_000_000

LARGEST = {
    "at": 1_790_000_000.123,
    "last_at": 1_790_000_059.123,
    "count": 300,
    "app_name": "n" * MAX_TEXT_BYTES,
    "identity": "i" * MAX_IDENTITY_BYTES,
    "action": "a" * 32,
    "target": "t" * MAX_TEXT_BYTES,
    "result": "r" * 32,
    "elapsed": 1_000_000.123,
}
INSERT = """
    INSERT INTO audit (at, last_at, count, app_id, app_name, identity, action, target, result, elapsed, share)
    VALUES (:at, :last_at, :count, :app_id, :app_name, :identity, :action, :target, :result, :elapsed, :share)
"""
ENTRY = AuditEntry(
    at=1.0,
    last_at=1.0,
    app_id="app-1",
    app_name="One",
    identity="https://one.example.com",
    action="upstash.get",
    result="ok",
)


def insert(path: Path, share: str, count: int, *, app_id: str = "", **values: Any) -> None:
    """Write entries of the largest size into the file."""
    row = LARGEST | {"share": share, "app_id": app_id or share} | values
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(INSERT, [row] * count)


def counts(path: Path) -> dict[str, int]:
    """Return the number of entries of each share."""
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT share, count(*) FROM audit GROUP BY share").fetchall())


async def add(path: Path, *shares: str, times: int = 1) -> None:
    """Add an entry to each share, as the daemon does."""
    ledger = SqliteLedger(path)
    for _ in range(times):
        for share in shares:
            await ledger.audit.add(msgspec.structs.replace(ENTRY, app_id=share), share=share, keep_seconds=1e9)
    await ledger.close()


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """An empty ledger."""
    path = tmp_path / "state" / "ledger.db"
    ledger = SqliteLedger(path)
    await ledger.apps.load()
    await ledger.close()
    return path


async def test_t68_ledger_stays_below_20_mb(path: Path) -> None:
    """Even if every share is full of entries of the largest size, and further ones are written."""
    insert(path, OWNER_SHARE, audit.MAX_OWNER_ENTRIES)
    insert(path, NO_TOKEN_SHARE, audit.MAX_NO_TOKEN_ENTRIES)
    for number in range(audit.MAX_APPS_ENTRIES // audit.MAX_APP_ENTRIES):
        insert(path, f"app-{number:012}", audit.MAX_APP_ENTRIES)

    await add(path, OWNER_SHARE, NO_TOKEN_SHARE)
    await add(path, "app-000000000000", "another", times=32)

    found = counts(path)
    assert path.stat().st_size <= MAX_BYTES
    assert (audit.MAX_OWNER_ENTRIES, audit.MAX_NO_TOKEN_ENTRIES) == (found[OWNER_SHARE], found[NO_TOKEN_SHARE])
    assert sum(found.values()) <= (audit.MAX_OWNER_ENTRIES + audit.MAX_NO_TOKEN_ENTRIES + audit.MAX_APPS_ENTRIES + 64)


async def test_t68_app_displaces_only_its_own_entries(path: Path) -> None:
    """One that fills its share loses its oldest entry; those of the owner and of other apps are kept."""
    insert(path, OWNER_SHARE, 3)
    insert(path, "quiet", 3)
    insert(path, "loud", audit.MAX_APP_ENTRIES)

    await add(path, "loud", times=5)

    assert {OWNER_SHARE: 3, "quiet": 3, "loud": audit.MAX_APP_ENTRIES} == counts(path)


async def test_t68_many_apps_share_fairly(path: Path) -> None:
    """If all apps together have too many entries, those with the most lose theirs, down to the same number."""
    for number in range(5):
        insert(path, f"loud-{number}", audit.MAX_APP_ENTRIES)
    insert(path, "quiet", 100)

    await add(path, "loud-0", times=64)

    found = counts(path)
    assert 100 == found["quiet"]
    fair = (audit.MAX_APPS_ENTRIES - 100) // 5
    assert all(fair <= found[f"loud-{number}"] <= fair + 64 for number in range(5))


async def test_t68_oversized_ledger_shrinks_with_the_upgrade(tmp_path: Path) -> None:
    """A ledger that an older version has let grow is small after the first start, with the newest entries."""
    path = tmp_path / "state" / "ledger.db"
    older = SqliteLedger(path, migrations=MIGRATIONS[:1])
    await older.pairings.load()
    await older.close()
    row = LARGEST | {"target": "/" + "t" * 1900}
    old_insert = INSERT.replace(", elapsed, share)", ")").replace(", :elapsed, :share)", ")")
    with closing(sqlite3.connect(path)) as connection, connection:
        many = [row | {"app_id": "app-1", "at": float(number)} for number in range(12_000)]
        connection.executemany(old_insert, [row | {"app_id": "owner", "action": "app.rename"}, *many])
        connection.execute(old_insert, row | {"app_id": "app-1", "action": "app.let_in"})
    before = path.stat().st_size

    ledger = SqliteLedger(path)
    page = await ledger.audit.page(AuditQuery(limit=3))
    await ledger.close()

    assert before > MAX_BYTES
    assert path.stat().st_size < 5_000_000
    assert {OWNER_SHARE: 2, "app-1": audit.MAX_APP_ENTRIES} == counts(path)
    assert ["app.let_in", 11_999.0, 11_998.0] == [page[0].action, page[1].at, page[2].at]
    assert max(len(entry.target) for entry in page) <= MAX_TEXT_BYTES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", "short"),
        ("a" * 200, "a" * 200),
        ("a" * 150 + "b" * 150, "a" * 132 + "…" + "b" * 65),
        ("\N{GRINNING FACE}" * 60, "\N{GRINNING FACE}" * 33 + "…" + "\N{GRINNING FACE}" * 16),
        ("\udcff", "?"),
    ],
)
def test_t68_texts_are_shortened(text: str, expected: str) -> None:
    """By bytes, without cutting a character, keeping the beginning and the end."""
    assert expected == shortened(text, 200)


# --- through the daemon -----------------------------------------------------------------------------------------------


async def entries(world: World, action: str) -> list[dict[str, Any]]:
    """Return the audit entries of one action."""
    page = (await world.get("/v1/audit?page_size=500")).json["entries"]
    return [entry for entry in page if entry["action"] == action]


async def test_t68_refused_requests_are_one_entry_a_minute(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """An app that makes up databases leaves one entry for each action, with a count and without what it made up."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        await world.connect()
        app = await world.pair("databases:credentials", "databases:delete", all_databases=True)
        codes = set()
        for number in range(10):
            read = await world.as_app(app, "GET", f"/v1/databases/made-up-{number}/credentials")
            deleted = await world.as_app(app, "DELETE", f"/v1/databases/made-up-{number}")
            codes |= {read.code, deleted.code}
        first = [await entries(world, "database.credentials"), await entries(world, "database.delete")]
        clock.advance(61)
        await world.as_app(app, "GET", "/v1/databases/made-up-0/credentials")
        later = await entries(world, "database.credentials")

    assert {"database_not_found"} == codes
    assert [[(10, "", "database_not_found")]] * 2 == [
        [(entry["count"], entry["target"], entry["result"]) for entry in found] for found in first
    ]
    assert [1, 10] == [entry["count"] for entry in later]


async def test_t68_callers_without_a_token_share_one_entry_a_minute(tmp_path: Path) -> None:
    """However many senders request access, there is one entry with their number."""
    clock = FakeClock()
    async with running(tmp_path, clock=clock) as world:
        for number in range(3):
            await world.ask(origin=f"https://app-{number}.example.com", name=f"App {number}")
        found = await entries(world, "pairing.ask")

    assert [(3, "", "")] == [(entry["count"], entry["identity"], entry["target"]) for entry in found]


async def test_t68_decisions_about_an_app_are_kept(tmp_path: Path) -> None:
    """That an app was given access is not displaced by what it does."""
    async with running(tmp_path) as world:
        app = await world.pair("upstash:read")
    insert(tmp_path / "state" / "ledger.db", app.id, audit.MAX_APP_ENTRIES)
    async with running(tmp_path) as world:
        await world.as_app(app, "GET", "/upstash/v2/redis/databases")
        page = (await world.get(f"/v1/audit?app={app.id}&page_size=500")).json
        while page["next_page_token"]:
            token = page["next_page_token"]
            page = (await world.get(f"/v1/audit?app={app.id}&page_size=500&page_token={token}")).json

    assert "app.let_in" == page["entries"][-1]["action"]
