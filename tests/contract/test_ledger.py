"""The contract of the ``Ledger`` port, for a ledger in a file and one in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support.clock import FakeClock
from upstash_helper.broker.authorization_records import Client, RefreshToken
from upstash_helper.broker.identity import Identity
from upstash_helper.broker.ledger import (
    App,
    Approved,
    AuditEntry,
    AuditQuery,
    Block,
    CreateKey,
    CreateRecord,
    Decision,
    Delivered,
    Denied,
    Grant,
    Ledger,
    Pairing,
    Waiting,
)
from upstash_helper.broker.models import Database
from upstash_helper.storage.ledger.sqlite import SqliteLedger

NOW = 1_790_000_000.25

WEB = Identity(kind="web", name="https://app.example.com")
NATIVE = Identity(
    kind="native",
    name="/usr/bin/żółć-ide",
    pid=4711,
    warnings=("sandboxed", "shared"),
    others=("/bin/cat (process 3)",),
)

APP = App(
    id="app-1",
    name="Ada's IDE",
    identity=WEB,
    scopes=("databases:read", "databases:credentials"),
    all_databases=True,
    digest=bytes(range(32)),
    created_at=NOW,
    last_used_at=NOW + 1,
    expires_at=NOW + 2,
    mismatches=3,
)
PAIRING = Pairing(
    id="pairing-1",
    digest=bytes(range(32)),
    user_code="BDFG-HJKM",
    identity=NATIVE,
    name='"żółć"\\ пример 💾',
    scopes=("databases:read",),
    reason="To list them",
    created_at=NOW,
    expires_at=NOW + 600,
)
BLOCK = Block(id="block-1", identity=NATIVE, blocked_at=NOW)
CLIENT = Client(
    id="client-1",
    name="Claude Code",
    identity=msgspec.structs.replace(NATIVE, pid=None, others=()),
    redirect_uris=("http://localhost/callback", "cursor://anysphere.cursor-mcp/oauth/callback"),
    created_at=NOW,
    used_at=NOW + 1,
)
REFRESH_TOKEN = RefreshToken(
    family="family-1",
    digest=bytes(range(32)),
    client_id="client-1",
    app_id="app-1",
    resource="http://localhost:3000/mcp",
    created_at=NOW,
)
KEY = CreateKey("app:app-1", "key-1")
RECORD = CreateRecord(fingerprint=bytes(range(32)), name="cache", sent_at=NOW)
DATABASE = Database(
    id="93e3a3b8-4fd4-4a8f-a1d2-55a6e5b5d1f0",
    name="cache",
    state="active",
    host="cache-1.upstash.io",
    port=6379,
    tls=True,
    rest_url="https://cache-1.upstash.io",
    plan="free",
    primary_region="eu-west-1",
    read_regions=("us-east-1",),
    budget=20,
    created_at=1_790_000_000,
)
ENTRY = AuditEntry(
    at=NOW,
    last_at=NOW,
    app_id="app-1",
    app_name="Ada's IDE",
    identity="https://app.example.com",
    action="database.read",
    target=DATABASE.id,
    result="ok",
)


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def clock() -> FakeClock:
    """The clock of the ledger."""
    return FakeClock(now=NOW)


@pytest.fixture(name="ledger", params=["file", "memory"])
async def _ledger(request: pytest.FixtureRequest, path: Path, clock: FakeClock) -> AsyncIterator[Ledger]:
    place = path if request.param == "file" else None
    # The limit is not what is tested here, and hundreds of transactions take long on a slow disk.
    ledger = SqliteLedger(place, deadline=60.0, monotonic=clock.monotonic, wall=clock.time)
    yield ledger
    await ledger.close()


# --- apps -------------------------------------------------------------------------------------------------------------


async def test_new_ledger_is_empty(ledger: Ledger) -> None:
    """
    Before the first write there are no records, and that is not an error.
    """
    found = (
        await ledger.apps.load(),
        await ledger.pairings.load(),
        await ledger.creates.find(KEY),
        await ledger.creates.claimed((DATABASE.id,)),
        await ledger.creates.creator(DATABASE.id),
        await ledger.audit.page(AuditQuery()),
        await ledger.authorization.load(),
    )

    assert ((), ((), ()), None, frozenset(), None, (), ((), ())) == found


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(APP, id="whole"),
        pytest.param(msgspec.structs.replace(APP, expires_at=None, scopes=(), all_databases=False), id="least"),
        pytest.param(msgspec.structs.replace(APP, audience="mcp", folders=("/home/é", "C:\\x")), id="agent"),
        pytest.param(msgspec.structs.replace(APP, identity=NATIVE, name="\u202e\x00👩‍👩‍👧"), id="native"),
    ],
)
async def test_app_is_loaded_as_saved(ledger: Ledger, app: App) -> None:
    """
    Every field of an app is preserved.
    """
    await ledger.apps.save(app)

    assert (app,) == await ledger.apps.load()


async def test_apps_are_ordered_by_approval(ledger: Ledger) -> None:
    """
    The order does not change when an app is saved again.
    """
    young = msgspec.structs.replace(APP, id="app-0", created_at=NOW + 5)
    for app in (young, APP, young, msgspec.structs.replace(APP, last_used_at=NOW + 9)):
        await ledger.apps.save(app)

    loaded = await ledger.apps.load()

    assert [("app-1", NOW + 9), ("app-0", NOW + 1)] == [(app.id, app.last_used_at) for app in loaded]


async def test_removed_app_is_gone(ledger: Ledger) -> None:
    """
    Removing an app keeps the others, and removing it twice is not an error.
    """
    other = msgspec.structs.replace(APP, id="app-2")
    await ledger.apps.save(APP)
    await ledger.apps.save(other)

    await ledger.apps.remove(APP.id)
    await ledger.apps.remove(APP.id)

    assert (other,) == await ledger.apps.load()


# --- pairings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decision",
    [
        Waiting(),
        Approved(grant=Grant(scopes=("databases:read", "upstash:read"), all_databases=True, once=True)),
        Denied(at=NOW + 3),
        Delivered(app_id="app-1"),
    ],
    ids=lambda decision: type(decision).__name__,
)
async def test_pairing_is_loaded_with_its_decision(ledger: Ledger, decision: Decision) -> None:
    """
    Every field of a pairing is preserved, and the last decision counts.
    """
    await ledger.pairings.save(PAIRING)
    decided = msgspec.structs.replace(PAIRING, decision=decision)

    await ledger.pairings.save(decided)

    assert ((decided,), ()) == await ledger.pairings.load()


async def test_pairings_are_ordered_by_request(ledger: Ledger) -> None:
    """
    Pairings are in the order of the requests.
    """
    young = msgspec.structs.replace(PAIRING, id="pairing-0", created_at=NOW + 5)
    await ledger.pairings.save(young)
    await ledger.pairings.save(PAIRING)

    pairings, _ = await ledger.pairings.load()

    assert (PAIRING, young) == pairings


async def test_forgotten_pairings_are_deleted(ledger: Ledger) -> None:
    """
    Only the named pairings are deleted, and an unknown one is not an error.
    """
    later = msgspec.structs.replace(PAIRING, id="pairing-2")
    await ledger.pairings.save(PAIRING)
    await ledger.pairings.save(later)

    await ledger.pairings.forget((PAIRING.id, "unknown"))

    assert ((later,), ()) == await ledger.pairings.load()


async def test_block_replaces_that_of_the_same_identity(ledger: Ledger) -> None:
    """
    There is one block for each identity, whichever process made the request.
    """
    again = Block(id="block-2", identity=msgspec.structs.replace(NATIVE, pid=4712), blocked_at=NOW + 1)
    other = Block(id="block-3", identity=WEB, blocked_at=NOW + 2)
    for block in (BLOCK, again, other):
        await ledger.pairings.block(block)

    assert ((), (again, other)) == await ledger.pairings.load()


async def test_t62_block_of_a_site_is_kept_beside_that_of_the_identity(ledger: Ledger) -> None:
    """
    There is one block for each site, and one for each identity.
    """
    first = Block(id="block-4", identity=WEB, site="domain:example.com", blocked_at=NOW)
    site = Block(id="block-5", identity=NATIVE, site="domain:example.com", blocked_at=NOW + 1)
    other = Block(id="block-6", identity=WEB, blocked_at=NOW + 2)
    for block in (first, site, other):
        await ledger.pairings.block(block)

    assert ((), (site, other)) == await ledger.pairings.load()


async def test_unblock_removes_one_block(ledger: Ledger) -> None:
    """
    Other blocks are kept, and unblocking twice is not an error.
    """
    other = Block(id="block-3", identity=WEB, blocked_at=NOW + 2)
    await ledger.pairings.block(BLOCK)
    await ledger.pairings.block(other)

    await ledger.pairings.unblock(BLOCK.id)
    await ledger.pairings.unblock(BLOCK.id)

    assert ((), (other,)) == await ledger.pairings.load()


# --- creating databases -----------------------------------------------------------------------------------------------


async def test_begun_request_is_found_by_key_and_caller(ledger: Ledger) -> None:
    """
    Another caller's request with the same key is a different one.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)

    found = await ledger.creates.find(KEY)
    of_another = await ledger.creates.find(CreateKey("web:https://app.example.com", KEY.key))

    assert (RECORD, None) == (found, of_another)


async def test_done_records_database_and_creator(ledger: Ledger) -> None:
    """
    After a request succeeded, its record has the database, which is claimed and has a creator.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)

    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)

    assert msgspec.structs.replace(RECORD, state="done", result=DATABASE) == await ledger.creates.find(KEY)
    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id, "another"))
    assert KEY.caller == await ledger.creates.creator(DATABASE.id)


async def test_finished_record_can_be_stored_at_once(ledger: Ledger) -> None:
    """
    A record that is begun with its result is finished, with every field.
    """
    done = msgspec.structs.replace(RECORD, state="done", result=DATABASE)

    await ledger.creates.begin(KEY, done, keep_seconds=1e9)

    assert done == await ledger.creates.find(KEY)
    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id,))


async def test_databases_of_the_owner_have_no_creator(ledger: Ledger) -> None:
    """
    Without an owner only the result is recorded.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)

    await ledger.creates.done(KEY, DATABASE, owner=None)

    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id,))
    assert None is await ledger.creates.creator(DATABASE.id)


async def test_request_without_effect_is_deleted(ledger: Ledger) -> None:
    """
    Nothing of it remains, and deleting it twice is not an error.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)

    await ledger.creates.forget(KEY)
    await ledger.creates.forget(KEY)

    assert None is await ledger.creates.find(KEY)


async def test_old_requests_are_deleted_but_creators_are_kept(ledger: Ledger, clock: FakeClock) -> None:
    """
    The creator of a database is known longer than the request.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)
    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)
    clock.advance(1)
    recent = CreateKey(KEY.caller, "key-2")
    at_the_edge = msgspec.structs.replace(RECORD, sent_at=NOW + 1)
    await ledger.creates.begin(recent, at_the_edge, keep_seconds=1e9)

    await ledger.creates.begin(CreateKey(KEY.caller, "key-3"), RECORD, keep_seconds=0.5)

    assert [None, at_the_edge] == [await ledger.creates.find(KEY), await ledger.creates.find(recent)]
    assert frozenset() == await ledger.creates.claimed((DATABASE.id,))
    assert KEY.caller == await ledger.creates.creator(DATABASE.id)


async def test_begin_replaces_a_record(ledger: Ledger) -> None:
    """
    A key that is used again has only the new record.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)
    await ledger.creates.done(KEY, DATABASE, owner=None)
    again = msgspec.structs.replace(RECORD, fingerprint=b"another", sent_at=NOW + 1)

    await ledger.creates.begin(KEY, again, keep_seconds=1e9)

    assert again == await ledger.creates.find(KEY)
    assert frozenset() == await ledger.creates.claimed((DATABASE.id,))


@pytest.mark.parametrize("count", [0, 1, 300_000], ids=["none", "one", "very-many"])
async def test_claimed_works_for_any_number_of_databases(ledger: Ledger, count: int) -> None:
    """
    Queries for many databases find those that a request created.
    """
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)
    await ledger.creates.done(KEY, DATABASE, owner=None)
    asked = tuple(f"database-{number}" for number in range(count - 1)) + (DATABASE.id,) * min(count, 1)

    claimed = await ledger.creates.claimed(asked)

    assert ({DATABASE.id} if count else set()) == claimed


# --- the audit --------------------------------------------------------------------------------------------------------


async def add(ledger: Ledger, *entries: AuditEntry) -> list[int]:
    """Add entries one after another, and return their ids."""
    return [await ledger.audit.add(entry, share="app-1", keep_seconds=1e9) for entry in entries]


async def test_audit_entry_is_returned_as_added(ledger: Ledger) -> None:
    """
    Every field of an entry is preserved, with its new id.
    """
    entry = msgspec.structs.replace(ENTRY, count=3, last_at=NOW + 5)

    (entry_id,) = await add(ledger, entry)

    assert (msgspec.structs.replace(entry, id=entry_id),) == await ledger.audit.page(AuditQuery())


async def test_repeated_requests_are_merged(ledger: Ledger) -> None:
    """
    A request equal to the app's last one increments its count and updates its time.
    """
    (first,) = await add(ledger, ENTRY)
    await add(ledger, msgspec.structs.replace(ENTRY, app_id="app-2"))
    again = msgspec.structs.replace(ENTRY, at=NOW + 9, last_at=NOW + 9)

    second = await ledger.audit.add(again, merge_within=60.0, share="app-1", keep_seconds=1e9)

    _, merged = await ledger.audit.page(AuditQuery())
    assert first == second
    assert msgspec.structs.replace(ENTRY, id=first, count=2, last_at=NOW + 9) == merged


@pytest.mark.parametrize(
    ("changes", "merge_within"),
    [
        pytest.param({}, None, id="not-requested"),
        pytest.param({}, -1.0, id="too-long-ago"),
        pytest.param({"app_id": "app-2"}, 60.0, id="another-app"),
        pytest.param({"identity": "https://other.example.com"}, 60.0, id="another-identity"),
        pytest.param({"action": "database.delete"}, 60.0, id="another-action"),
        pytest.param({"target": ""}, 60.0, id="another-target"),
        pytest.param({"result": "rate_limited"}, 60.0, id="another-result"),
    ],
)
async def test_different_requests_are_separate_entries(
    ledger: Ledger, changes: dict[str, str], merge_within: float | None
) -> None:
    """
    A request that differs, or comes later, is a new entry with a larger id.
    """
    (first,) = await add(ledger, ENTRY)
    other = msgspec.structs.replace(ENTRY, at=NOW + 9, last_at=NOW + 9, **changes)

    second = await ledger.audit.add(other, merge_within=merge_within, share="app-1", keep_seconds=1e9)

    assert first < second
    assert [second, first] == [entry.id for entry in await ledger.audit.page(AuditQuery())]


async def test_only_the_newest_entry_is_merged(ledger: Ledger) -> None:
    """
    The order of an app's requests is preserved.
    """
    await add(ledger, ENTRY, msgspec.structs.replace(ENTRY, action="database.delete"))

    await ledger.audit.add(ENTRY, merge_within=60.0, share="app-1", keep_seconds=1e9)

    page = await ledger.audit.page(AuditQuery())
    assert ["database.read", "database.delete", "database.read"] == [entry.action for entry in page]


async def test_settle_sets_target_and_result(ledger: Ledger) -> None:
    """
    Both are set once they are known.
    """
    first, second = await add(ledger, *(msgspec.structs.replace(ENTRY, target="", result="started"),) * 2)

    await ledger.audit.settle(first, target=DATABASE.id, result="ok")

    page = await ledger.audit.page(AuditQuery())
    assert [(second, "", "started"), (first, DATABASE.id, "ok")] == [(e.id, e.target, e.result) for e in page]


async def test_old_entries_are_pruned(ledger: Ledger, clock: FakeClock) -> None:
    """
    Entries that are too old are deleted with the next one; the others are kept.
    """
    await add(ledger, ENTRY)
    clock.advance(5)
    await add(ledger, msgspec.structs.replace(ENTRY, action="kept"))
    clock.advance(4)

    await ledger.audit.add(msgspec.structs.replace(ENTRY, action="new"), share="app-1", keep_seconds=4.0)

    assert ["new", "kept"] == [entry.action for entry in await ledger.audit.page(AuditQuery())]


async def test_ids_are_not_reused(ledger: Ledger, clock: FakeClock) -> None:
    """
    A page token remains valid: entries added after a deletion have larger ids.
    """
    first, second = await add(ledger, ENTRY, ENTRY)

    clock.advance(9)
    third = await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1.0)
    clock.advance(9)
    fourth = await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1.0)

    assert sorted({first, second, third, fourth}) == [first, second, third, fourth]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(AuditQuery(), [6, 5, 4, 3, 2, 1], id="all"),
        pytest.param(AuditQuery(limit=2), [6, 5], id="first-page"),
        pytest.param(AuditQuery(limit=2, before_id=5), [4, 3], id="next-page"),
        pytest.param(AuditQuery(before_id=1), [], id="beyond-the-end"),
        pytest.param(AuditQuery(since=NOW + 4), [6, 5, 4], id="since"),
        pytest.param(AuditQuery(app="app-1"), [5, 3, 1], id="by-id"),
        pytest.param(AuditQuery(app="Two"), [6, 4, 2], id="by-name"),
        pytest.param(AuditQuery(app="Old name"), [1], id="by-a-name-that-it-had"),
        pytest.param(AuditQuery(app="nobody"), [], id="nobody"),
        pytest.param(AuditQuery(app="app-1", since=NOW + 2, before_id=5, limit=1), [3], id="all-at-once"),
    ],
)
async def test_page_filters_by_app_and_time(ledger: Ledger, query: AuditQuery, expected: list[int]) -> None:
    """
    Entries are returned newest first, page by page.
    """
    apps = [("app-1", "Old name"), ("app-2", "Two"), ("app-1", "One"), ("app-2", "Two"), ("app-1", "One")]
    entries = [
        msgspec.structs.replace(ENTRY, app_id=app_id, app_name=name, at=NOW, last_at=NOW + number)
        for number, (app_id, name) in enumerate([*apps, ("app-3", "Two")], 1)
    ]
    ids = await add(ledger, *entries)

    page = await ledger.audit.page(
        query if query.before_id is None else msgspec.structs.replace(query, before_id=ids[query.before_id - 1])
    )

    assert [ids[number - 1] for number in expected] == [entry.id for entry in page]


async def test_filter_matches_id_and_name_without_duplicates(ledger: Ledger) -> None:
    """
    The name of one app may be the id of another.
    """
    ids = await add(
        ledger,
        msgspec.structs.replace(ENTRY, app_id="app-1", app_name="app-1"),
        msgspec.structs.replace(ENTRY, app_id="app-9", app_name="app-1"),
    )

    page = await ledger.audit.page(AuditQuery(app="app-1"))

    assert ids[::-1] == [entry.id for entry in page]


async def test_app_named_owner_is_not_the_owner(ledger: Ledger) -> None:
    """
    A filter for the owner's own tools returns only those.
    """
    ids = await add(
        ledger,
        msgspec.structs.replace(ENTRY, app_id="owner", app_name="owner"),
        msgspec.structs.replace(ENTRY, app_id="app-9", app_name="owner"),
    )

    page = await ledger.audit.page(AuditQuery(app="owner"))

    assert ids[:1] == [entry.id for entry in page]


# --- the whole ledger -------------------------------------------------------------------------------------------------


async def test_concurrent_calls_are_atomic(ledger: Ledger) -> None:
    """
    Each of many concurrent calls takes effect completely.
    """
    apps = [msgspec.structs.replace(APP, id=f"app-{number:03}") for number in range(100)]
    reads = [msgspec.structs.replace(ENTRY, last_at=NOW + number) for number in range(100)]

    await asyncio.gather(
        *(ledger.apps.save(app) for app in apps),
        *(ledger.audit.add(read, merge_within=60.0, share="app-1", keep_seconds=1e9) for read in reads),
        *(ledger.creates.begin(CreateKey(app.id, "key"), RECORD, keep_seconds=1e9) for app in apps),
        *(ledger.creates.done(CreateKey(app.id, "key"), DATABASE, owner=app.id) for app in apps),
    )

    (entry,) = await ledger.audit.page(AuditQuery())
    assert tuple(apps) == await ledger.apps.load()
    assert (100, NOW + 99) == (entry.count, entry.last_at)
    assert "app-099" == await ledger.creates.creator(DATABASE.id)


async def test_canceled_call_is_atomic(ledger: Ledger) -> None:
    """
    A canceled call has its whole effect or none, and the ledger keeps working.
    """
    keys = [CreateKey("app:app-1", f"key-{number}") for number in range(50)]
    for key in keys:
        await ledger.creates.begin(key, RECORD, keep_seconds=1e9)
    databases = {key: msgspec.structs.replace(DATABASE, id=f"database-of-{key.key}") for key in keys}
    tasks = [asyncio.create_task(ledger.creates.done(key, databases[key], owner="app-1")) for key in keys]

    for ready, task in enumerate(tasks):
        if ready % 2:
            await asyncio.wait((tasks[ready - 1],))
        task.cancel()
    await asyncio.wait(tasks)

    claimed = await ledger.creates.claimed(tuple(database.id for database in databases.values()))
    created = {database.id for database in databases.values() if await ledger.creates.creator(database.id)}
    assert created == claimed
    assert "unavailable" != ledger.health().state


async def test_health_is_unused_before_the_first_call(path: Path) -> None:
    """
    Reading the health, or closing the ledger, does not open it.
    """
    ledger = SqliteLedger(path)

    health = ledger.health()
    await ledger.close()

    assert ("unused", "") == (health.state, health.detail)
    assert not path.parent.exists()


async def test_health_is_ok_after_a_success(path: Path) -> None:
    """
    After a successful call the ledger is ok, without a detail.
    """
    ledger = SqliteLedger(path)

    await ledger.apps.load()

    assert ("ok", "") == (ledger.health().state, ledger.health().detail)
    await ledger.close()


async def test_memory_ledger_explains_the_consequence() -> None:
    """
    The health of a ledger without a file mentions the restart.
    """
    ledger = SqliteLedger(None)

    await ledger.apps.load()

    assert "memory" == ledger.health().state
    assert "After a restart" in ledger.health().detail
    await ledger.close()


async def fill(ledger: Ledger) -> None:
    """Write a record of each kind."""
    await ledger.apps.save(APP)
    await ledger.pairings.save(PAIRING)
    await ledger.pairings.block(BLOCK)
    await ledger.creates.begin(KEY, RECORD, keep_seconds=1e9)
    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)
    await ledger.audit.add(ENTRY, share="app-1", keep_seconds=1e9)


async def everything(ledger: Ledger) -> tuple[object, ...]:
    """Return all records that ``fill`` wrote."""
    return (
        await ledger.apps.load(),
        await ledger.pairings.load(),
        await ledger.creates.find(KEY),
        await ledger.creates.claimed((DATABASE.id,)),
        await ledger.creates.creator(DATABASE.id),
        await ledger.audit.page(AuditQuery()),
    )


FILLED = (
    (APP,),
    ((PAIRING,), (BLOCK,)),
    msgspec.structs.replace(RECORD, state="done", result=DATABASE),
    frozenset({DATABASE.id}),
    KEY.caller,
    (msgspec.structs.replace(ENTRY, id=1),),
)


async def test_records_survive_a_restart(path: Path) -> None:
    """
    The next daemon finds all records, in a single file.
    """
    before = SqliteLedger(path)
    await fill(before)
    await before.close()
    files = [file.name for file in path.parent.iterdir()]
    ledger = SqliteLedger(path)

    found = await everything(ledger)
    await ledger.close()

    assert FILLED == found
    assert ["ledger.db"] == files


async def test_close_waits_for_pending_calls(path: Path) -> None:
    """
    Calls that were made before the ledger was closed take effect.
    """
    before = SqliteLedger(path)
    saving = asyncio.create_task(before.apps.save(APP))
    await asyncio.wait((saving,), timeout=0)
    await before.close()
    await saving
    ledger = SqliteLedger(path)

    found = await ledger.apps.load()
    await ledger.close()

    assert (APP,) == found


WRITE_AND_SAY_SO = """
import asyncio, pathlib, sys
sys.path.insert(0, sys.argv[2])
from tests.contract.test_ledger import fill
from upstash_helper.storage.ledger.sqlite import SqliteLedger

async def main():
    await fill(SqliteLedger(pathlib.Path(sys.argv[1])))
    print("written", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


async def test_records_survive_sigkill(path: Path) -> None:
    """
    After a call has returned, a killed daemon loses nothing.
    """
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", WRITE_AND_SAY_SO, str(path), root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        line = daemon.stdout.readline()
        daemon.kill()
    ledger = SqliteLedger(path)

    found = await everything(ledger)
    await ledger.close()

    assert ("written\n", FILLED) == (line, found)


# --- the authorization server -----------------------------------------------------------------------------------------


async def test_clients_and_refresh_tokens_are_returned_as_stored(ledger: Ledger) -> None:
    """A second save replaces the first, and what is to be forgotten goes in the same transaction."""
    await ledger.apps.save(APP)
    await ledger.authorization.save_client(msgspec.structs.replace(CLIENT, id="old"))
    await ledger.authorization.save_client(msgspec.structs.replace(CLIENT, name="before"), forget=["old", "unknown"])
    await ledger.authorization.save_client(CLIENT)
    await ledger.authorization.save_token(msgspec.structs.replace(REFRESH_TOKEN, family="old"))
    await ledger.authorization.save_token(msgspec.structs.replace(REFRESH_TOKEN, digest=b"before"), forget=["old"])
    await ledger.authorization.save_token(REFRESH_TOKEN)

    assert ((CLIENT,), (REFRESH_TOKEN,)) == await ledger.authorization.load()


async def test_refresh_tokens_go_with_their_app(ledger: Ledger) -> None:
    """Saving the app again keeps them; the client stays registered."""
    await ledger.apps.save(APP)
    await ledger.authorization.save_client(CLIENT)
    await ledger.authorization.save_token(REFRESH_TOKEN)
    await ledger.apps.save(msgspec.structs.replace(APP, name="renamed"))
    kept = await ledger.authorization.load()

    await ledger.apps.remove(APP.id)

    assert ((CLIENT,), (REFRESH_TOKEN,)) == kept
    assert ((CLIENT,), ()) == await ledger.authorization.load()


async def test_refresh_token_can_be_forgotten(ledger: Ledger) -> None:
    """An unknown one is no error."""
    await ledger.apps.save(APP)
    await ledger.authorization.save_token(REFRESH_TOKEN)

    await ledger.authorization.forget_tokens(["unknown", REFRESH_TOKEN.family])

    assert ((), ()) == await ledger.authorization.load()
