"""What the ``Ledger`` port promises, of one in a file and of one in memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

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
NATIVE = Identity(kind="native", name="/usr/bin/żółć-ide", pid=4711)

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


@pytest.fixture(name="ledger", params=["file", "memory"])
async def _ledger(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Ledger]:
    ledger = SqliteLedger(path if request.param == "file" else None)
    yield ledger
    await ledger.close()


# --- apps -------------------------------------------------------------------------------------------------------------


async def test_a_new_ledger_holds_nothing(ledger: Ledger) -> None:
    """
    Before anything was written there are no records, and that is no error.
    """
    found = (
        await ledger.apps.load(),
        await ledger.pairings.load(),
        await ledger.creates.find(KEY),
        await ledger.creates.claimed((DATABASE.id,)),
        await ledger.creates.creator(DATABASE.id),
        await ledger.audit.page(AuditQuery()),
    )

    assert ((), ((), ()), None, frozenset(), None, ()) == found


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(APP, id="whole"),
        pytest.param(msgspec.structs.replace(APP, expires_at=None, scopes=(), all_databases=False), id="least"),
        pytest.param(msgspec.structs.replace(APP, identity=NATIVE, name="\u202e\x00👩‍👩‍👧"), id="native"),
    ],
)
async def test_an_app_comes_back_as_it_was_saved(ledger: Ledger, app: App) -> None:
    """
    An app is loaded to the last field.
    """
    await ledger.apps.save(app)

    assert (app,) == await ledger.apps.load()


async def test_apps_come_the_oldest_first(ledger: Ledger) -> None:
    """
    Apps are in the order in which they were let in, however often they are saved.
    """
    young = msgspec.structs.replace(APP, id="app-0", created_at=NOW + 5)
    for app in (young, APP, young, msgspec.structs.replace(APP, last_used_at=NOW + 9)):
        await ledger.apps.save(app)

    loaded = await ledger.apps.load()

    assert [("app-1", NOW + 9), ("app-0", NOW + 1)] == [(app.id, app.last_used_at) for app in loaded]


async def test_a_removed_app_is_gone(ledger: Ledger) -> None:
    """
    Removing an app leaves the others, and doing it twice is as good as once.
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
async def test_a_pairing_comes_back_with_its_decision(ledger: Ledger, decision: Decision) -> None:
    """
    A pairing is loaded to the last field, and the last decision holds.
    """
    await ledger.pairings.save(PAIRING)
    decided = msgspec.structs.replace(PAIRING, decision=decision)

    await ledger.pairings.save(decided)

    assert ((decided,), ()) == await ledger.pairings.load()


async def test_pairings_come_the_oldest_first(ledger: Ledger) -> None:
    """
    Pairings are in the order in which they were asked for.
    """
    young = msgspec.structs.replace(PAIRING, id="pairing-0", created_at=NOW + 5)
    await ledger.pairings.save(young)
    await ledger.pairings.save(PAIRING)

    pairings, _ = await ledger.pairings.load()

    assert (PAIRING, young) == pairings


async def test_expired_pairings_are_forgotten(ledger: Ledger) -> None:
    """
    Only what expired before the given time is forgotten.
    """
    later = msgspec.structs.replace(PAIRING, id="pairing-2", expires_at=NOW + 601)
    await ledger.pairings.save(PAIRING)
    await ledger.pairings.save(later)

    await ledger.pairings.forget(NOW + 601)

    assert ((later,), ()) == await ledger.pairings.load()


async def test_an_identity_is_blocked_once(ledger: Ledger) -> None:
    """
    A block takes the place of the one of the same identity, whichever process asked.
    """
    again = Block(id="block-2", identity=msgspec.structs.replace(NATIVE, pid=4712), blocked_at=NOW + 1)
    other = Block(id="block-3", identity=WEB, blocked_at=NOW + 2)
    for block in (BLOCK, again, other):
        await ledger.pairings.block(block)

    assert ((), (again, other)) == await ledger.pairings.load()


async def test_an_unblocked_identity_is_free(ledger: Ledger) -> None:
    """
    Unblocking takes one block away, and doing it twice is as good as once.
    """
    other = Block(id="block-3", identity=WEB, blocked_at=NOW + 2)
    await ledger.pairings.block(BLOCK)
    await ledger.pairings.block(other)

    await ledger.pairings.unblock(BLOCK.id)
    await ledger.pairings.unblock(BLOCK.id)

    assert ((), (other,)) == await ledger.pairings.load()


# --- making databases -------------------------------------------------------------------------------------------------


async def test_a_request_that_was_begun_is_known(ledger: Ledger) -> None:
    """
    A request is known by its key and its caller: another caller's key of the same name is another one.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)

    found = await ledger.creates.find(KEY)
    of_another = await ledger.creates.find(CreateKey("web:https://app.example.com", KEY.key))

    assert (RECORD, None) == (found, of_another)


async def test_a_result_is_written_down(ledger: Ledger) -> None:
    """
    After a request succeeded its record has the database, which is claimed and has a creator.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)

    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)

    assert msgspec.structs.replace(RECORD, state="done", result=DATABASE) == await ledger.creates.find(KEY)
    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id, "another"))
    assert KEY.caller == await ledger.creates.creator(DATABASE.id)


async def test_a_record_that_is_done_may_be_given_whole(ledger: Ledger) -> None:
    """
    A record that comes with its result is one that is done, to the last field.
    """
    done = msgspec.structs.replace(RECORD, state="done", result=DATABASE)

    await ledger.creates.begin(KEY, done, forget_before=0.0)

    assert done == await ledger.creates.find(KEY)
    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id,))


async def test_the_users_own_databases_have_no_creator(ledger: Ledger) -> None:
    """
    Without an owner the result is written down alone.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)

    await ledger.creates.done(KEY, DATABASE, owner=None)

    assert {DATABASE.id} == await ledger.creates.claimed((DATABASE.id,))
    assert None is await ledger.creates.creator(DATABASE.id)


async def test_a_request_without_effect_is_forgotten(ledger: Ledger) -> None:
    """
    A request that had no effect leaves nothing, and forgetting it twice is as good as once.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)

    await ledger.creates.forget(KEY)
    await ledger.creates.forget(KEY)

    assert None is await ledger.creates.find(KEY)


async def test_old_requests_are_forgotten_and_their_creators_are_not(ledger: Ledger) -> None:
    """
    A record is kept for as long as it is asked to be; who created a database is known beyond that.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)
    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)
    recent = CreateKey(KEY.caller, "key-2")
    at_the_edge = msgspec.structs.replace(RECORD, sent_at=NOW + 1)
    await ledger.creates.begin(recent, at_the_edge, forget_before=0.0)

    await ledger.creates.begin(CreateKey(KEY.caller, "key-3"), RECORD, forget_before=NOW + 1)

    assert [None, at_the_edge] == [await ledger.creates.find(KEY), await ledger.creates.find(recent)]
    assert frozenset() == await ledger.creates.claimed((DATABASE.id,))
    assert KEY.caller == await ledger.creates.creator(DATABASE.id)


async def test_beginning_anew_replaces(ledger: Ledger) -> None:
    """
    A key that is used anew has the new record alone.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)
    await ledger.creates.done(KEY, DATABASE, owner=None)
    anew = msgspec.structs.replace(RECORD, fingerprint=b"another", sent_at=NOW + 1)

    await ledger.creates.begin(KEY, anew, forget_before=0.0)

    assert anew == await ledger.creates.find(KEY)
    assert frozenset() == await ledger.creates.claimed((DATABASE.id,))


@pytest.mark.parametrize("count", [0, 1, 300_000], ids=["none", "one", "very-many"])
async def test_claims_are_told_for_any_number_of_databases(ledger: Ledger, count: int) -> None:
    """
    However many databases are asked about, those that some request made are told.
    """
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)
    await ledger.creates.done(KEY, DATABASE, owner=None)
    asked = tuple(f"database-{number}" for number in range(count - 1)) + (DATABASE.id,) * min(count, 1)

    claimed = await ledger.creates.claimed(asked)

    assert ({DATABASE.id} if count else set()) == claimed


# --- the audit --------------------------------------------------------------------------------------------------------


async def add(ledger: Ledger, *entries: AuditEntry) -> list[int]:
    """Write entries down, one after another, and return their ids."""
    return [await ledger.audit.add(entry, forget_before=0.0) for entry in entries]


async def test_an_entry_comes_back_as_it_was_added(ledger: Ledger) -> None:
    """
    An entry is read to the last field, with the id that it was given.
    """
    entry = msgspec.structs.replace(ENTRY, count=3, last_at=NOW + 5)

    (entry_id,) = await add(ledger, entry)

    assert (msgspec.structs.replace(entry, id=entry_id),) == await ledger.audit.page(AuditQuery())


async def test_like_requests_in_a_short_while_are_one_entry(ledger: Ledger) -> None:
    """
    A request like the app's last one raises that one's count and time.
    """
    (first,) = await add(ledger, ENTRY)
    await add(ledger, msgspec.structs.replace(ENTRY, app_id="app-2"))
    again = msgspec.structs.replace(ENTRY, at=NOW + 9, last_at=NOW + 9)

    second = await ledger.audit.add(again, merge_since=NOW, forget_before=0.0)

    _, merged = await ledger.audit.page(AuditQuery())
    assert first == second
    assert msgspec.structs.replace(ENTRY, id=first, count=2, last_at=NOW + 9) == merged


@pytest.mark.parametrize(
    ("changes", "merge_since"),
    [
        pytest.param({}, None, id="not-wanted"),
        pytest.param({}, NOW + 1, id="too-long-ago"),
        pytest.param({"app_id": "app-2"}, 0.0, id="another-app"),
        pytest.param({"identity": "https://other.example.com"}, 0.0, id="another-identity"),
        pytest.param({"action": "database.delete"}, 0.0, id="another-action"),
        pytest.param({"target": ""}, 0.0, id="another-target"),
        pytest.param({"result": "rate_limited"}, 0.0, id="another-result"),
    ],
)
async def test_unlike_requests_are_entries_of_their_own(
    ledger: Ledger, changes: dict[str, str], merge_since: float | None
) -> None:
    """
    What differs in anything, or comes late, is an entry of its own with a larger id.
    """
    (first,) = await add(ledger, ENTRY)
    other = msgspec.structs.replace(ENTRY, at=NOW + 9, last_at=NOW + 9, **changes)

    second = await ledger.audit.add(other, merge_since=merge_since, forget_before=0.0)

    assert first < second
    assert [second, first] == [entry.id for entry in await ledger.audit.page(AuditQuery())]


async def test_only_the_newest_entry_is_raised(ledger: Ledger) -> None:
    """
    The order of what an app did is kept: a like entry with another one after it is left alone.
    """
    await add(ledger, ENTRY, msgspec.structs.replace(ENTRY, action="database.delete"))

    await ledger.audit.add(ENTRY, merge_since=0.0, forget_before=0.0)

    page = await ledger.audit.page(AuditQuery())
    assert ["database.read", "database.delete", "database.read"] == [entry.action for entry in page]


async def test_an_entry_can_be_settled(ledger: Ledger) -> None:
    """
    What was started gets its target and result once they are known.
    """
    first, second = await add(ledger, *(msgspec.structs.replace(ENTRY, target="", result="started"),) * 2)

    await ledger.audit.settle(first, target=DATABASE.id, result="ok")

    page = await ledger.audit.page(AuditQuery())
    assert [(second, "", "started"), (first, DATABASE.id, "ok")] == [(e.id, e.target, e.result) for e in page]


async def test_old_entries_are_forgotten(ledger: Ledger) -> None:
    """
    Entries whose last request is older than wished for are gone after the next one; the rest stay.
    """
    kept = msgspec.structs.replace(ENTRY, last_at=NOW + 5, action="kept")
    await add(ledger, ENTRY, kept)

    await ledger.audit.add(
        msgspec.structs.replace(ENTRY, at=NOW + 9, last_at=NOW + 9, action="new"), forget_before=NOW + 5
    )

    assert ["new", "kept"] == [entry.action for entry in await ledger.audit.page(AuditQuery())]


async def test_an_id_is_never_given_again(ledger: Ledger) -> None:
    """
    A page token stays good: what is added after everything was forgotten has a larger id.
    """
    first, second = await add(ledger, ENTRY, ENTRY)

    third = await ledger.audit.add(msgspec.structs.replace(ENTRY, last_at=NOW + 9), forget_before=NOW + 9)
    fourth = await ledger.audit.add(msgspec.structs.replace(ENTRY, last_at=NOW + 99), forget_before=NOW + 99)

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
async def test_a_page_has_what_was_asked_for(ledger: Ledger, query: AuditQuery, expected: list[int]) -> None:
    """
    Entries come the newest first, by app, by time and page by page.
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


async def test_an_id_that_is_another_apps_name_finds_both_once(ledger: Ledger) -> None:
    """
    What an app is called may be another one's id; no entry is told twice.
    """
    ids = await add(
        ledger,
        msgspec.structs.replace(ENTRY, app_id="app-1", app_name="app-1"),
        msgspec.structs.replace(ENTRY, app_id="app-9", app_name="app-1"),
    )

    page = await ledger.audit.page(AuditQuery(app="app-1"))

    assert ids[::-1] == [entry.id for entry in page]


async def test_an_app_that_calls_itself_owner_is_not_found_as_the_owner(ledger: Ledger) -> None:
    """
    Who asks what the user's own tools did gets just that.
    """
    ids = await add(
        ledger,
        msgspec.structs.replace(ENTRY, app_id="owner", app_name="owner"),
        msgspec.structs.replace(ENTRY, app_id="app-9", app_name="owner"),
    )

    page = await ledger.audit.page(AuditQuery(app="owner"))

    assert ids[:1] == [entry.id for entry in page]


# --- all of it --------------------------------------------------------------------------------------------------------


async def test_calls_may_be_made_at_the_same_time(ledger: Ledger) -> None:
    """
    However many calls are under way, each takes effect as a whole.
    """
    apps = [msgspec.structs.replace(APP, id=f"app-{number:03}") for number in range(100)]
    reads = [msgspec.structs.replace(ENTRY, last_at=NOW + number) for number in range(100)]

    await asyncio.gather(
        *(ledger.apps.save(app) for app in apps),
        *(ledger.audit.add(read, merge_since=0.0, forget_before=0.0) for read in reads),
        *(ledger.creates.begin(CreateKey(app.id, "key"), RECORD, forget_before=0.0) for app in apps),
        *(ledger.creates.done(CreateKey(app.id, "key"), DATABASE, owner=app.id) for app in apps),
    )

    (entry,) = await ledger.audit.page(AuditQuery())
    assert tuple(apps) == await ledger.apps.load()
    assert (100, NOW + 99) == (entry.count, entry.last_at)
    assert "app-099" == await ledger.creates.creator(DATABASE.id)


async def test_a_caller_that_goes_away_leaves_all_or_nothing(ledger: Ledger) -> None:
    """
    A call that is cancelled has had its whole effect or none, and the ledger goes on.
    """
    keys = [CreateKey("app:app-1", f"key-{number}") for number in range(50)]
    for key in keys:
        await ledger.creates.begin(key, RECORD, forget_before=0.0)
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


async def test_a_ledger_that_was_not_used_yet_says_so(path: Path) -> None:
    """
    Asking how it is, and closing it, does not open it.
    """
    ledger = SqliteLedger(path)

    health = ledger.health()
    await ledger.close()

    assert ("unused", "") == (health.state, health.detail)
    assert not path.parent.exists()


async def test_a_ledger_that_works_says_so(path: Path) -> None:
    """
    A ledger that was used with success is ok and has nothing to explain.
    """
    ledger = SqliteLedger(path)

    await ledger.apps.load()

    assert ("ok", "") == (ledger.health().state, ledger.health().detail)
    await ledger.close()


async def test_a_ledger_in_memory_says_what_that_means() -> None:
    """
    A ledger without a file tells that a restart ends it.
    """
    ledger = SqliteLedger(None)

    await ledger.apps.load()

    assert "memory" == ledger.health().state
    assert "after a restart" in ledger.health().detail
    await ledger.close()


async def fill(ledger: Ledger) -> None:
    """Write something of everything."""
    await ledger.apps.save(APP)
    await ledger.pairings.save(PAIRING)
    await ledger.pairings.block(BLOCK)
    await ledger.creates.begin(KEY, RECORD, forget_before=0.0)
    await ledger.creates.done(KEY, DATABASE, owner=KEY.caller)
    await ledger.audit.add(ENTRY, forget_before=0.0)


async def everything(ledger: Ledger) -> tuple[object, ...]:
    """Return all that ``fill`` wrote."""
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


async def test_everything_outlives_the_daemon(path: Path) -> None:
    """
    What one daemon wrote down, the next one finds; and one file is all that there is.
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


async def test_closing_waits_for_what_was_begun(path: Path) -> None:
    """
    What was asked for before the ledger was closed is written.
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


async def test_what_was_written_survives_a_kill(path: Path) -> None:
    """
    A daemon that is killed right after a call returned has written what it said it had.
    """
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", WRITE_AND_SAY_SO, str(path), root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout is not None
        said = daemon.stdout.readline()
        daemon.kill()
    ledger = SqliteLedger(path)

    found = await everything(ledger)
    await ledger.close()

    assert ("written\n", FILLED) == (said, found)
