"""The Developer API's 9 Search operations, with the shapes of Upstash's OpenAPI document."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import PASSWORD, Caller, OpenClient, basic, send, unique_email
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

BASE = "/v2/search"
BODY = {"name": "books", "region": "eu-west-1", "type": "payg"}
TEAM = {"team_name": "Librarians", "copy_cc": False}


async def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    """Create an index."""
    response = await caller.call("POST", BASE, {**BODY, **fields})
    assert response.status == 200, response.body
    return without_series(response.json)


async def show(caller: Caller, index: dict[str, Any]) -> dict[str, Any]:
    """Return the index's current state."""
    response = await caller.call("GET", f"{BASE}/{index['id']}")
    assert response.status == 200, response.body
    return without_series(response.json)


async def indexes(caller: Caller) -> list[dict[str, Any]]:
    """Return the caller's indexes."""
    response = await caller.call("GET", BASE)
    assert response.status == 200, response.body
    return [without_series(index) for index in response.json]


def without_series(index: dict[str, Any]) -> dict[str, Any]:
    """Leave out the throughput, whose times are different each minute."""
    return {name: value for name, value in index.items() if name != "throughput_vector"}


# --- who has access ---------------------------------------------------------------------------------------------------

READS: list[tuple[str, str, Any]] = [
    ("GET", "/{id}", None),
    ("GET", "/{id}/stats", None),
]
CHANGES: list[tuple[str, str, Any]] = [
    ("DELETE", "/{id}", None),
    ("POST", "/{id}/rename", {"name": "papers"}),
    ("POST", "/{id}/reset-password", None),
    ("POST", "/{id}/transfer", {"target_account": "any"}),
]


@pytest.mark.parametrize(("method", "path", "body"), [*READS, *CHANGES])
@pytest.mark.parametrize("unknown", ["none", "99a4c327-31f0-490f-a594-043ade84085a", "%00", "%FF", "%ED%A0%80", "'"])
async def test_unknown_index_is_404(caller: Caller, method: str, path: str, body: Any, unknown: str) -> None:
    """
    Every operation on an index that does not exist is 404, whatever its ID has.
    """
    response = await caller.call(method, BASE + path.format(id=unknown), body)

    assert (404, {"error": "index not found"}) == (response.status, response.json)


async def test_index_of_another_account_is_404(sandbox: Sandbox, caller: Caller) -> None:
    """
    Every operation on another account's index is 404 and changes nothing, and the index is not listed.
    """
    index = await create(caller)
    other = await Caller.new(sandbox, caller.session)

    responses = [
        await other.call(method, BASE + path.format(id=index["id"]), body) for method, path, body in (*READS, *CHANGES)
    ]

    assert [404] * len(responses) == [response.status for response in responses]
    assert [] == await indexes(other)
    assert index == await show(caller, index)


async def test_credentials_are_required(sandbox: Sandbox, caller: Caller) -> None:
    """
    Every operation with a wrong API key is 401, and no index is created.
    """
    paths = [("GET", ""), ("POST", ""), ("GET", "/stats"), *((method, path) for method, path, _ in (*READS, *CHANGES))]
    headers = basic(caller.email, "wrong")

    responses = [
        await send(caller.session, method, sandbox.api_url + BASE + path.format(id="x"), json=BODY, headers=headers)
        for method, path in paths
    ]

    assert [401] * len(paths) == [response.status for response in responses]
    assert all(response.json["error"] for response in responses)
    assert [] == await indexes(caller)


async def test_read_only_key_cannot_make_changes(sandbox: Sandbox, caller: Caller) -> None:
    """
    With a read-only key, reads work, and every change is 403 and has no effect.
    """
    index = await create(caller)
    reader = Caller(sandbox, caller.session, caller.email, await sandbox.api_key(caller.email, "r", read_only=True))

    changes = [
        await reader.call("POST", BASE, BODY),
        *[await reader.call(method, BASE + path.format(id=index["id"]), body) for method, path, body in CHANGES],
    ]
    reads = [
        await reader.call("GET", f"{BASE}/stats"),
        *[await reader.call(method, BASE + path.format(id=index["id"]), body) for method, path, body in READS],
    ]

    assert [403] * len(changes) == [response.status for response in changes]
    assert {"Forbidden: this API key is read-only"} == {response.json["error"] for response in changes}
    assert [200] * len(reads) == [response.status for response in reads]
    assert [index] == await indexes(reader)


async def test_grant_for_a_team_sees_only_the_indexes_of_the_team(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    An app with access to a team creates and sees the team's indexes. The user's own API key sees none of them.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    team_id = await sandbox.team(email, "Librarians")
    token = (await open_client.sign_in(email, sign_up=False, team_id=team_id, full_access=True))["access_token"]
    own = Caller(sandbox, open_client.session, email, await sandbox.api_key(email, "tests"))
    await create(own)

    created = await open_client.call(token, "POST", "search", {**BODY, "name": "catalog"})
    listed = await open_client.call(token, "GET", "search")

    assert 200 == created.status
    assert ["catalog"] == [index["name"] for index in listed.json]
    assert ["books"] == [index["name"] for index in await indexes(own)]


# --- create, list, get, delete ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "code", "plan", "limits"),
    [
        ("eu-west-1", "eu1", "free", (200_000, 10_000)),
        ("us-central1", "gcp-usc1", "payg", (2_000_000, -1)),
        ("us-central1", "gcp-usc1", "fixed", (2_000_000, -1)),
    ],
)
async def test_index_is_created_as_requested(
    caller: Caller, region: str, code: str, plan: str, limits: tuple[int, int]
) -> None:
    """
    A new index has the requested values, and an endpoint, tokens, and limits in Upstash's format.
    """
    body = {"name": "papers", "region": region, "type": plan}

    response = await caller.call("POST", BASE, body)

    index = response.json
    assert 200 == response.status
    assert body == {name: index[name] for name in body}
    assert (caller.email, "", True) == (
        index["customer_id"],
        index["vercel_email"],
        index["input_enrichment_enabled"],
    )
    assert re.fullmatch(rf"sandbox-[a-z]+-\d{{5}}-{code}", index["endpoint"])
    assert index["endpoint"].encode() + b"admin" in base64.b64decode(index["token"], validate=True)
    assert index["endpoint"].encode() + b"readonly" in base64.b64decode(index["read_only_token"], validate=True)
    assert limits == (index["max_vector_count"], index["max_daily_queries"])
    assert {0} == {point["y"] for point in index["throughput_vector"]}


async def test_indexes_are_listed_and_deleted(caller: Caller) -> None:
    """
    Indexes are listed in the order of their creation, and a deleted index no longer exists.
    """
    first, second = await create(caller), await create(caller)
    listed = await indexes(caller)

    deleted = await caller.call("DELETE", f"{BASE}/{first['id']}")

    assert [first, second] == listed
    assert (200, "OK") == (deleted.status, deleted.json)
    assert [second] == await indexes(caller)
    assert (await caller.call("GET", f"{BASE}/{first['id']}")).status == 404
    assert (await caller.call("DELETE", f"{BASE}/{first['id']}")).status == 404


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": 5}, "name"),
        ({"region": "us-east-1"}, "region"),
        ({"region": None}, "region"),
        ({"type": "paid"}, "type"),
        ({"type": ["free"]}, "type"),
    ],
)
async def test_invalid_request_creates_nothing(caller: Caller, changes: dict[str, Any], part: str) -> None:
    """
    An invalid field is 400 with its name, and no index is created.
    """
    response = await caller.call("POST", BASE, {**BODY, **changes})

    assert 400 == response.status
    assert part in response.json["error"]
    assert [] == await indexes(caller)


@pytest.mark.parametrize("missing", BODY)
async def test_required_fields(caller: Caller, missing: str) -> None:
    """
    A missing required field is 400 with the field's name.
    """
    response = await caller.call("POST", BASE, {name: value for name, value in BODY.items() if name != missing})

    assert (400, f"invalid request body: {missing}: Is required.") == (response.status, response.json["error"])


@pytest.mark.parametrize("path", ["", "/{id}/rename", "/{id}/transfer"])
@pytest.mark.parametrize(
    "data", [b"", b"nonsense", b"null", b"[]", b'{"name":', b"\xff\xfe{}", b"[" * 200_000, b'{"name": "\\ud800"}']
)
async def test_body_that_is_not_a_json_object_is_rejected(caller: Caller, path: str, data: bytes) -> None:
    """
    A body that is not a JSON object is 400, and the index is unchanged.
    """
    index = await create(caller)

    response = await caller.call("POST", BASE + path.format(id=index["id"]), data=data)

    assert 400 == response.status
    assert response.json["error"].startswith("invalid request body: ")
    assert [index] == await indexes(caller)


# --- changes ----------------------------------------------------------------------------------------------------------


async def test_rename(caller: Caller) -> None:
    """
    Renaming changes only the name.
    """
    index = await create(caller)

    response = await caller.call("POST", f"{BASE}/{index['id']}/rename", {"name": "papers"})

    assert (200, "OK") == (response.status, response.json)
    assert {**index, "name": "papers"} == await show(caller, index)


async def test_reset_password_replaces_both_tokens(caller: Caller) -> None:
    """
    Resetting the password replaces the two tokens, and nothing else.
    """
    index = await create(caller)

    response = await caller.call("POST", f"{BASE}/{index['id']}/reset-password")

    after = await show(caller, index)
    assert (200, "OK") == (response.status, response.json)
    assert {"token", "read_only_token"} == {name for name in index if index[name] != after[name]}


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("rename", {}, "name"),
        ("rename", {"name": ""}, "name"),
        ("transfer", {}, "target_account"),
        ("transfer", {"target_account": None}, "target_account"),
        ("transfer", {"target_account": "no-team"}, "team not found"),
    ],
)
async def test_invalid_change_is_rejected(caller: Caller, path: str, body: Any, part: str) -> None:
    """
    An invalid change is 400 with the reason, and the index is unchanged.
    """
    index = await create(caller)

    response = await caller.call("POST", f"{BASE}/{index['id']}/{path}", body)

    assert 400 == response.status
    assert part in response.json["error"]
    assert index == await show(caller, index)


async def test_index_is_transferred_to_a_team(sandbox: Sandbox, caller: Caller, open_client: OpenClient) -> None:
    """
    An index can be transferred to a team of the account, which then cannot be deleted before the index.
    """
    team_id = (await caller.call("POST", "/v2/team", TEAM)).json["team_id"]
    index = await create(caller)
    token = (await open_client.sign_in(caller.email, sign_up=False, team_id=team_id, full_access=True))["access_token"]

    transferred = await caller.call("POST", f"{BASE}/{index['id']}/transfer", {"target_account": team_id})

    shown = await open_client.call(token, "GET", f"search/{index['id']}")
    early = await caller.call("DELETE", f"/v2/team/{team_id}")
    await open_client.call(token, "DELETE", f"search/{index['id']}")
    late = await caller.call("DELETE", f"/v2/team/{team_id}")
    assert (200, "OK") == (transferred.status, transferred.json)
    assert [] == await indexes(caller)
    assert index == without_series(shown.json)
    assert (400, "the team has Vector or Search indexes. Delete them first") == (early.status, early.json["error"])
    assert 200 == late.status


# --- statistics, the audit log, restarts ------------------------------------------------------------------------------


async def test_statistics_are_zero(caller: Caller) -> None:
    """
    Statistics of one index and of all have zeros only, in as many points as Upstash's.
    """
    index = await create(caller)

    of_all = await caller.call("GET", f"{BASE}/stats")
    of_one = await caller.call("GET", f"{BASE}/{index['id']}/stats?period=30d")

    names = ("record_count", "request", "bandwidth", "storage", "billing", "rerank_count")
    assert (200, dict.fromkeys(names, 0)) == (of_all.status, of_all.json)
    assert 200 == of_one.status
    assert {0} == {value for value in of_one.json.values() if not isinstance(value, list)}
    assert [0] * 240 == [point["y"] for point in of_one.json["query_throughput"]]


async def test_unknown_period_is_rejected(caller: Caller) -> None:
    """
    A period that does not exist is 400, with those that do.
    """
    index = await create(caller)

    response = await caller.call("GET", f"{BASE}/{index['id']}/stats?period=1y")

    expected = "invalid query: period: Must be one of 1h, 3h, 12h, 1d, 3d, 7d, 30d."
    assert (400, {"error": expected}) == (response.status, response.json)


async def test_audit_log_has_every_change(caller: Caller) -> None:
    """
    Each change is in the audit log, with the index's name. Reads and refused changes are not.
    """
    team_id = (await caller.call("POST", "/v2/team", TEAM)).json["team_id"]
    path = f"{BASE}/{(await create(caller))['id']}"
    moved = f"{BASE}/{(await create(caller, name='catalog'))['id']}"
    await caller.call("POST", f"{path}/rename", {"name": "papers"})
    await caller.call("POST", f"{path}/rename", {"name": ""})
    await caller.call("POST", f"{path}/reset-password")
    await caller.call("GET", path)
    await caller.call("DELETE", path)
    await caller.call("POST", f"{moved}/transfer", {"target_account": team_id})

    entries = (await caller.call("GET", "/auditlogs")).json[:6]

    assert [
        ("Transfer Search Index", "catalog", team_id),
        ("Delete Search Index", "papers", "NA"),
        ("Reset Search Index Passwords", "papers", "NA"),
        ("Rename Search Index", "papers", "NA"),
        ("Create Search Index", "catalog", "NA"),
        ("Create Search Index", "books", "NA"),
    ] == [(entry["action_string"], entry["entity"], entry["secondary_entity"]) for entry in entries]


async def test_indexes_survive_a_restart(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    Indexes, their changes, and their order survive a restart. Deleted ones stay deleted.
    """
    async with Sandbox.running(tmp_path / "data") as sandbox:
        caller = await Caller.new(sandbox, session)
        first, deleted, _ = await create(caller), await create(caller), await create(caller, type="free")
        await caller.call("POST", f"{BASE}/{first['id']}/rename", {"name": "papers"})
        await caller.call("DELETE", f"{BASE}/{deleted['id']}")
        before = await indexes(caller)

        await sandbox.restart()

        assert before == await indexes(caller)
        assert ["papers", "books"] == [index["name"] for index in before]
