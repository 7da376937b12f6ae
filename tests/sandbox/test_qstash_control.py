"""The Developer API's QStash operations, with the shapes of Upstash's OpenAPI document."""

from __future__ import annotations

import base64
import sys
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.sandbox.callers import PASSWORD, Caller, OpenClient, Response, basic, send, unique_email
from tests.support.sandbox import Sandbox

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

OK = "OK"
UNKNOWN = "99a4c327-31f0-490f-a594-043ade84085a"

WITH_ID: list[tuple[str, str, Any]] = [
    ("GET", "user/{id}", None),
    ("GET", "stats/{id}", None),
    ("POST", "rotate-token/{id}", None),
    ("POST", "set-plan/{id}", {"plan_name": "paid"}),
    ("PATCH", "update-budget/{id}", {"budget": 100}),
    ("POST", "enable-prodpack/{id}", None),
    ("POST", "disable-prodpack/{id}", None),
]
CHANGES = [operation for operation in WITH_ID if operation[0] != "GET"]


async def user_of(caller: Caller) -> dict[str, Any]:
    """Return the caller's only QStash user."""
    response = await caller.call("GET", "/v2/qstash/users")
    assert response.status == 200, response.body
    (user,) = response.json
    found: dict[str, Any] = user
    return found


async def call_each(caller: Caller, operations: list[tuple[str, str, Any]], user_id: str) -> list[Response]:
    """Call operations on a QStash user."""
    return [
        await caller.call(method, f"/v2/qstash/{path.format(id=user_id)}", body) for method, path, body in operations
    ]


def decoded(token: str) -> dict[str, str]:
    """Return what a QStash token contains."""
    contents: dict[str, str] = msgspec.json.decode(base64.b64decode(token, validate=True))
    return contents


# --- reading ----------------------------------------------------------------------------------------------------------


async def test_account_has_a_qstash_user(caller: Caller) -> None:
    """
    An account has one QStash user from the beginning, on the free plan, which is listed and shown in the same way.
    """
    listed = await user_of(caller)
    shown = await caller.call("GET", f"/v2/qstash/user/{listed['id']}")

    assert (200, listed) == (shown.status, shown.json)
    assert listed == await user_of(caller)
    assert (caller.email, caller.email) == (listed["customer_id"], listed["created_by"])
    assert ("free", "", 0, "eu-central-1") == tuple(
        listed[name] for name in ("type", "reserved_type", "budget", "region")
    )
    assert (True, "active", False) == (listed["active"], listed["state"], listed["prod_pack_enabled"])
    assert (1000, 1000) == (listed["max_requests_per_day"], listed["max_requests_per_day_hard"])
    assert {"modifying_state", "enterprise"}.isdisjoint(listed)


async def test_tokens_have_the_form_of_qstash_tokens(caller: Caller) -> None:
    """
    Both tokens are Base64 of JSON with the user's ID and a password of 32 digits, which differ.
    """
    user = await user_of(caller)

    tokens = [decoded(user["token"]), decoded(user["read_only_token"])]

    assert [{"UserID", "Password"}] * 2 == [set(token) for token in tokens]
    assert {user["id"]} == {token["UserID"] for token in tokens}
    assert [32, 32] == [len(token["Password"]) for token in tokens]
    assert tokens[0]["Password"] != tokens[1]["Password"]


@pytest.mark.parametrize(
    ("query", "points"),
    [("", 60), *((f"?period={period}", 60) for period in ("1h", "3h", "12h", "1d", "3d", "7d")), ("?period=30d", 240)],
)
async def test_statistics_are_zero(caller: Caller, query: str, points: int) -> None:
    """
    Each series of the period has Upstash's number of points, those by day have one per day, and all values are zero.
    """
    user = await user_of(caller)

    response = await caller.call("GET", f"/v2/qstash/stats/{user['id']}{query}")

    stats = response.json
    assert response.status == 200
    of_period = [stats[name] for name in ("daily_used", "daily_used_workflow", "daily_bandwidth_used")]
    of_period += [stats[name][0]["data_points"] for name in ("daily_qstash_messages", "daily_workflow_messages")]
    of_days = [stats[name] for name in ("daily_requests", "daily_billings", "daily_bandwidths")]
    assert [points] * 5 == [len(series) for series in of_period]
    assert [len(stats["days"])] * 3 == [len(series) for series in of_days]
    assert 28 <= len(stats["days"]) <= 31
    assert {0} == {point["y"] for series in of_period + of_days for point in series}
    assert {(0, 0)} == {(day["workflow_message"], day["workflow_run"]) for day in stats["daily_requests"]}
    assert (0, 0) == (stats["dlq_message_count"], stats["total_monthly_billing"])
    times = [point["x"] for point in stats["daily_used"]]
    assert sorted(times) == times


@pytest.mark.parametrize("period", ["", "2h", "1H", "%00", "%ff"])
async def test_unknown_period_is_rejected(caller: Caller, period: str) -> None:
    """
    A period that Upstash does not have is 400 with the parameter's name and the possible values.
    """
    user = await user_of(caller)

    response = await caller.call("GET", f"/v2/qstash/stats/{user['id']}?period={period}")

    assert response.status == 400
    assert "period: Must be one of 1h, 3h, 12h, 1d, 3d, 7d, 30d." in response.json["error"]


async def test_addresses_need_no_authentication(sandbox: Sandbox, session: aiohttp.ClientSession) -> None:
    """
    The addresses that QStash sends from are a list of blocks, with and without credentials.
    """
    url = f"{sandbox.api_url}/v2/qstash/ipv4"

    responses = [
        await send(session, "GET", url),
        await send(session, "GET", url, headers=basic("nobody@example.com", "wrong")),
    ]

    assert [200, 200] == [response.status for response in responses]
    assert all(block.endswith("/32") for block in responses[0].json)


# --- changing ---------------------------------------------------------------------------------------------------------


async def test_rotating_replaces_both_tokens(caller: Caller) -> None:
    """
    The response is the QStash user with new tokens, and nothing else has changed.
    """
    before = await user_of(caller)

    response = await caller.call("POST", f"/v2/qstash/rotate-token/{before['id']}")

    after = response.json
    assert response.status == 200
    assert {"token", "read_only_token"} == {name for name in before if before[name] != after[name]}
    assert after == await user_of(caller)


@pytest.mark.parametrize(
    ("plan", "reserved", "per_day"),
    [
        ("paid", "", 2**31 - 1),
        ("qstash_fixed_1m", "qstash_fixed_1m", 1_000_000),
        ("qstash_fixed_10m", "qstash_fixed_10m", 10_000_000),
        ("qstash_fixed_100m", "qstash_fixed_100m", 100_000_000),
    ],
)
async def test_plan_changes_the_limits(caller: Caller, plan: str, reserved: str, per_day: int) -> None:
    """
    The QStash user has the type, the label, and the daily limit of the new plan, and the time of the change.
    """
    user = await user_of(caller)

    response = await caller.call("POST", f"/v2/qstash/set-plan/{user['id']}", {"plan_name": plan})

    after = await user_of(caller)
    assert (200, OK) == (response.status, response.json)
    assert ("paid", reserved, per_day) == (after["type"], after["reserved_type"], after["max_requests_per_day"])
    assert after["last_plan_upgrade_time"] >= after["creation_time"] > user["last_plan_upgrade_time"] == 0


@pytest.mark.parametrize("budget", [0, 20, 10_000])
async def test_budget_is_stored(caller: Caller, budget: int) -> None:
    """
    The limits of the range, and 0 for no limit, are accepted.
    """
    user = await user_of(caller)

    response = await caller.call("PATCH", f"/v2/qstash/update-budget/{user['id']}", {"budget": budget})

    assert (200, OK) == (response.status, response.json)
    assert {**user, "budget": budget} == await user_of(caller)


async def test_production_pack_is_enabled_and_disabled(caller: Caller) -> None:
    """
    Both operations return the string OK, also when nothing changes.
    """
    user = await user_of(caller)
    seen = []

    for action in ("disable", "enable", "enable", "disable"):
        response = await caller.call("POST", f"/v2/qstash/{action}-prodpack/{user['id']}")
        assert (200, OK) == (response.status, response.json)
        seen.append((await user_of(caller))["prod_pack_enabled"])

    assert [False, True, True, False] == seen


@pytest.mark.parametrize(
    ("method", "path", "data", "part"),
    [
        ("POST", "set-plan/{id}", b'{"plan_name": "free"}', "plan_name: Must be one of"),
        ("POST", "set-plan/{id}", b'{"plan_name": 5}', "plan_name"),
        ("POST", "set-plan/{id}", b"{}", "plan_name: Is required"),
        ("POST", "set-plan/{id}", b"[]", "Must be an object"),
        ("POST", "set-plan/{id}", b"", "It is empty"),
        ("POST", "set-plan/{id}", b'{"plan_name":', "ends too early"),
        ("PATCH", "update-budget/{id}", b'{"budget": 19}', "budget: Must be 0 for no limit, or from 20 to 10000."),
        ("PATCH", "update-budget/{id}", b'{"budget": 10001}', "budget: Must be a whole number from 0 to 10000"),
        ("PATCH", "update-budget/{id}", b'{"budget": -1}', "budget"),
        ("PATCH", "update-budget/{id}", b'{"budget": 20.5}', "budget"),
        ("PATCH", "update-budget/{id}", b'{"budget": true}', "budget"),
        ("PATCH", "update-budget/{id}", b'{"budget": 1' + b"0" * 400 + b"}", "budget"),
        ("PATCH", "update-budget/{id}", b"{}", "budget: Is required"),
        ("PATCH", "update-budget/{id}", b"\xff\xfe{}", "invalid request body"),
        ("POST", "move-to-team", b"{}", "qstash_id: Is required"),
        ("POST", "move-to-team", b'{"qstash_id": "x"}', "target_team_id: Is required"),
        ("POST", "move-to-team", b'{"qstash_id": 5, "target_team_id": "x"}', "qstash_id"),
        ("POST", "move-to-team", b"null", "Must be an object"),
    ],
)
async def test_invalid_change_is_rejected(caller: Caller, method: str, path: str, data: bytes, part: str) -> None:
    """
    An invalid body is 400 with the field and the reason, and the QStash user is unchanged.
    """
    user = await user_of(caller)

    response = await caller.call(method, "/v2/qstash/" + path.format(id=user["id"]), data=data)

    assert response.status == 400
    assert part in response.json["error"]
    assert user == await user_of(caller)


# --- who may do what --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user_id", [UNKNOWN, "nothing", "%00", "%ff", "a%2Fb", "x" * 1000])
async def test_unknown_user_is_not_found(caller: Caller, user_id: str) -> None:
    """
    Every operation on a QStash user that does not exist is 404.
    """
    body = {"qstash_id": user_id, "target_team_id": UNKNOWN}

    responses = await call_each(caller, WITH_ID, user_id)
    responses.append(await caller.call("POST", "/v2/qstash/move-to-team", body))

    assert [(404, "qstash user not found")] * len(responses) == [
        (response.status, response.json["error"]) for response in responses
    ]


async def test_user_of_another_account_is_not_found(sandbox: Sandbox, caller: Caller) -> None:
    """
    Every operation on another account's QStash user is 404, and it is neither listed nor changed.
    """
    user = await user_of(caller)
    other = await Caller.new(sandbox, caller.session)
    team_id = await sandbox.team(other.email, "Librarians")
    move = {"qstash_id": user["id"], "target_team_id": team_id}

    responses = await call_each(other, WITH_ID, user["id"])
    responses.append(await other.call("POST", "/v2/qstash/move-to-team", move))

    assert [404] * len(responses) == [response.status for response in responses]
    assert all(response.json["error"] for response in responses)
    assert user["id"] != (await user_of(other))["id"]
    assert user == await user_of(caller)


async def test_read_only_key_cannot_make_changes(sandbox: Sandbox, caller: Caller) -> None:
    """
    With a read-only key, reads work, and every change is 403 and has no effect.
    """
    user = await user_of(caller)
    team_id = await sandbox.team(caller.email, "Librarians")
    reader = Caller(sandbox, caller.session, caller.email, await sandbox.api_key(caller.email, "r", read_only=True))

    reads = [await reader.call("GET", f"/v2/qstash/{path}/{user['id']}") for path in ("user", "stats")]
    changes = await call_each(reader, CHANGES, user["id"])
    changes.append(
        await reader.call("POST", "/v2/qstash/move-to-team", {"qstash_id": user["id"], "target_team_id": team_id})
    )

    assert [200, 200] == [response.status for response in reads]
    assert [403] * len(changes) == [response.status for response in changes]
    assert all("read-only" in response.json["error"] for response in changes)
    assert user == await user_of(reader)


async def test_wrong_credentials_are_401(sandbox: Sandbox, caller: Caller) -> None:
    """
    Without credentials, and with wrong ones, every operation on QStash users is 401.
    """
    user = await user_of(caller)
    paths = [("GET", "users"), ("POST", "move-to-team"), *((method, path) for method, path, _ in WITH_ID)]

    responses = [
        await send(caller.session, method, f"{sandbox.api_url}/v2/qstash/{path.format(id=user['id'])}", headers=headers)
        for method, path in paths
        for headers in ({}, basic(caller.email, "wrong"))
    ]

    assert [401] * len(responses) == [response.status for response in responses]
    assert all(response.json["error"] for response in responses)


async def test_read_only_grant_cannot_make_changes(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    An access token of a read-only grant lists QStash users, and every change is 403.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    token = (await open_client.sign_in(email, sign_up=False))["access_token"]
    (user,) = (await open_client.call(token, "GET", "qstash/users")).json

    changes = [
        await open_client.call(token, method, f"qstash/{path.format(id=user['id'])}", body)
        for method, path, body in CHANGES
    ]

    assert [403] * len(changes) == [response.status for response in changes]
    assert [user] == (await open_client.call(token, "GET", "qstash/users")).json


# --- teams ------------------------------------------------------------------------------------------------------------


async def test_user_is_moved_to_a_team(sandbox: Sandbox, caller: Caller, open_client: OpenClient) -> None:
    """
    A moved QStash user keeps its tokens, belongs to the team, and is neither replaced nor found in the account.
    """
    user = await user_of(caller)
    team_id = await sandbox.team(caller.email, "Librarians")
    grant = await open_client.sign_in(caller.email, sign_up=False, team_id=team_id, full_access=True)

    moved = await caller.call("POST", "/v2/qstash/move-to-team", {"qstash_id": user["id"], "target_team_id": team_id})
    seen = await open_client.call(grant["access_token"], "GET", f"qstash/user/{user['id']}")
    changed = await open_client.call(grant["access_token"], "POST", f"qstash/enable-prodpack/{user['id']}")

    assert (200, OK) == (moved.status, moved.json)
    assert {**user, "customer_id": team_id} == seen.json
    assert (200, OK) == (changed.status, changed.json)
    assert [] == (await caller.call("GET", "/v2/qstash/users")).json
    assert (await caller.call("GET", f"/v2/qstash/user/{user['id']}")).status == 404


async def test_team_has_a_user_of_its_own(sandbox: Sandbox, caller: Caller, open_client: OpenClient) -> None:
    """
    A team has a QStash user from the beginning, which is not that of the member's own account.
    """
    team_id = await sandbox.team(caller.email, "Librarians")
    token = (await open_client.sign_in(caller.email, sign_up=False, team_id=team_id))["access_token"]

    (user,) = (await open_client.call(token, "GET", "qstash/users")).json

    assert (team_id, caller.email) == (user["customer_id"], user["created_by"])
    assert user["id"] != (await user_of(caller))["id"]


async def test_user_is_moved_only_to_a_team_of_the_account(sandbox: Sandbox, caller: Caller) -> None:
    """
    Moving to a team that does not exist, or that the account is not a member of, is rejected like for databases.
    """
    user = await user_of(caller)
    other = await Caller.new(sandbox, caller.session)
    foreign = await sandbox.team(other.email, "Librarians")

    responses = [
        await caller.call("POST", "/v2/qstash/move-to-team", {"qstash_id": user["id"], "target_team_id": team_id})
        for team_id in (UNKNOWN, "", foreign)
    ]

    assert [(400, "team not found")] * 3 == [(response.status, response.json["error"]) for response in responses]
    assert user == await user_of(caller)


async def test_users_of_a_team_are_deleted_with_it(sandbox: Sandbox, caller: Caller) -> None:
    """
    A team that has a QStash user can be deleted. An account whose only one is deleted in this way gets a new one.
    """
    user = await user_of(caller)
    team_id = await sandbox.team(caller.email, "Librarians")
    await caller.call("POST", "/v2/qstash/move-to-team", {"qstash_id": user["id"], "target_team_id": team_id})

    deleted = await caller.call("DELETE", f"/v2/team/{team_id}")

    assert (200, OK) == (deleted.status, deleted.json)
    assert user["id"] != (await user_of(caller))["id"]


# --- the audit log and restarts ---------------------------------------------------------------------------------------


async def test_changes_are_in_the_audit_log(sandbox: Sandbox, caller: Caller) -> None:
    """
    Each change, and no read, is in the audit log with the QStash user and the API key.
    """
    user = await user_of(caller)
    team_id = await sandbox.team(caller.email, "Librarians")
    await call_each(caller, WITH_ID, user["id"])
    await caller.call("POST", "/v2/qstash/move-to-team", {"qstash_id": user["id"], "target_team_id": team_id})

    entries = (await caller.call("GET", "/auditlogs")).json[:-2]  # without the creation of the API key and the team

    assert [
        ("Move QStash To Team", team_id),
        ("Disable QStash Production Pack", "NA"),
        ("Enable QStash Production Pack", "NA"),
        ("Update QStash Budget", "NA"),
        ("Set QStash Plan", "paid"),
        ("Reset QStash Token", "NA"),
    ] == [(entry["action_string"], entry["secondary_entity"]) for entry in entries]
    assert {(user["id"], "API_KEY - tests")} == {(entry["entity"], entry["source"]) for entry in entries}


@pytest.mark.skipif(sys.platform == "win32", reason="platform: Windows can only kill a program that has no console")
async def test_users_survive_a_restart(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    """
    The tokens, the plan, the budget, and the owner of QStash users survive a restart.
    """
    async with Sandbox.running(tmp_path / "data") as sandbox:
        caller, mover = await Caller.new(sandbox, session), await Caller.new(sandbox, session)
        user, moved = await user_of(caller), await user_of(mover)
        await call_each(caller, CHANGES, user["id"])
        changed = await user_of(caller)
        team_id = await sandbox.team(mover.email, "Librarians")
        await mover.call("POST", "/v2/qstash/move-to-team", {"qstash_id": moved["id"], "target_team_id": team_id})

        await sandbox.restart()

        assert user != changed
        assert changed == await user_of(caller)
        assert [] == (await mover.call("GET", "/v2/qstash/users")).json
