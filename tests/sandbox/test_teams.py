"""Teams at the Developer API, with the shapes of Upstash's OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import PASSWORD, Caller, OpenClient, unique_email

if TYPE_CHECKING:
    import aiohttp

    from tests.support.sandbox import Sandbox


async def create_team(caller: Caller, name: str = "Librarians") -> dict[str, Any]:
    """Create a team."""
    response = await caller.call("POST", "/v2/team", {"team_name": name, "copy_cc": True})
    assert response.status == 200, response.body
    team: dict[str, Any] = response.json
    return team


async def test_team_is_created_listed_and_deleted(caller: Caller) -> None:
    """
    A team can be created, is listed with its owner as its only member, and can be deleted.
    """
    team = await create_team(caller)

    listed = await caller.call("GET", "/v2/teams")
    members = await caller.call("GET", f"/v2/teams/{team['team_id']}")
    deleted = await caller.call("DELETE", f"/v2/team/{team['team_id']}")

    assert {"team_id": team["team_id"], "team_name": "Librarians", "copy_cc": True} == team
    assert [team] == listed.json
    assert [{**team, "member_email": caller.email, "member_role": "owner"}] == members.json
    assert (200, "OK") == (deleted.status, deleted.json)
    assert [] == (await caller.call("GET", "/v2/teams")).json


async def test_members_are_added_and_removed(sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession) -> None:
    """
    A member sees the team, also if the email signs up only after it was added, until it is removed.
    """
    team = await create_team(caller)
    body = {"team_id": team["team_id"], "member_email": unique_email(), "member_role": "dev"}

    added = await caller.call("POST", "/v2/teams/member", body)
    await sandbox.account(body["member_email"], PASSWORD)
    key = await sandbox.api_key(body["member_email"], "tests")
    member = Caller(sandbox, session, body["member_email"], key)
    seen = (await member.call("GET", "/v2/teams")).json
    removed = await caller.call("DELETE", "/v2/teams/member", body)

    assert {**team, **body} == added.json
    assert [team] == seen
    assert (200, "OK") == (removed.status, removed.json)
    assert [] == (await member.call("GET", "/v2/teams")).json
    assert (await member.call("GET", f"/v2/teams/{team['team_id']}")).status == 404


async def test_teams_of_others_do_not_exist(sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession) -> None:
    """
    A team is not found for an account that is not a member.
    """
    team = await create_team(caller)
    stranger = await Caller.new(sandbox, session)
    body = {"team_id": team["team_id"], "member_email": stranger.email, "member_role": "admin"}

    responses = [
        await stranger.call("GET", f"/v2/teams/{team['team_id']}"),
        await stranger.call("DELETE", f"/v2/team/{team['team_id']}"),
        await stranger.call("POST", "/v2/teams/member", body),
        await stranger.call("DELETE", "/v2/teams/member", {**body, "member_email": caller.email}),
    ]

    assert [404] * 4 == [response.status for response in responses]


@pytest.mark.parametrize(("role", "statuses"), [("admin", [200, 200, 403]), ("dev", [403, 403, 403])])
async def test_roles_limit_what_a_member_can_do(
    sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession, role: str, statuses: list[int]
) -> None:
    """
    Owners and admins manage members. Only the owner deletes the team.
    """
    team = await create_team(caller)
    member = await Caller.new(sandbox, session)
    body = {"team_id": team["team_id"], "member_email": member.email, "member_role": role}
    await caller.call("POST", "/v2/teams/member", body)
    other = {**body, "member_email": unique_email()}

    responses = [
        await member.call("POST", "/v2/teams/member", other),
        await member.call("DELETE", "/v2/teams/member", other),
        await member.call("DELETE", f"/v2/team/{team['team_id']}"),
    ]

    assert statuses == [response.status for response in responses]


async def test_invalid_changes_of_members_are_rejected(caller: Caller) -> None:
    """
    A member cannot be added twice or as an owner, the owner cannot be removed, and a stranger is not found.
    """
    team_id = (await create_team(caller))["team_id"]
    other = {"team_id": team_id, "member_email": unique_email(), "member_role": "dev"}
    await caller.call("POST", "/v2/teams/member", other)

    responses = [
        await caller.call("POST", "/v2/teams/member", other),
        await caller.call("POST", "/v2/teams/member", {**other, "member_role": "owner"}),
        await caller.call("POST", "/v2/teams/member", {**other, "member_email": "nonsense"}),
        await caller.call("DELETE", "/v2/teams/member", {"team_id": team_id, "member_email": caller.email}),
        await caller.call("DELETE", "/v2/teams/member", {"team_id": team_id, "member_email": unique_email()}),
        await caller.call("POST", "/v2/team", {"team_name": "Without copy_cc"}),
    ]

    assert [409, 400, 400, 400, 404, 400] == [response.status for response in responses]


async def test_read_only_key_cannot_manage_teams(
    sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession
) -> None:
    """
    A read-only API key can list teams, and cannot create one.
    """
    reader = Caller(sandbox, session, caller.email, await sandbox.api_key(caller.email, "reader", read_only=True))

    listed = await reader.call("GET", "/v2/teams")
    created = await reader.call("POST", "/v2/team", {"team_name": "Librarians", "copy_cc": False})

    assert [200, 403] == [listed.status, created.status]


async def test_database_is_moved_to_a_team(caller: Caller) -> None:
    """
    A database can be moved to a team. It then no longer belongs to the personal account.
    """
    team = await create_team(caller)
    database = await caller.create()
    body = {"team_id": team["team_id"], "database_id": database["database_id"]}

    unknown = await caller.call("POST", "move-to-team", {**body, "team_id": "unknown"})
    moved = await caller.call("POST", "move-to-team", body)

    assert [400, 200] == [unknown.status, moved.status]
    assert [] == (await caller.call("GET", "databases")).json


async def test_user_owns_at_most_five_teams(sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession) -> None:
    """
    A user can own five teams, as documented, and be a member of more.
    """
    for number in range(5):
        await create_team(caller, f"Team {number}")
    other = await Caller.new(sandbox, session)
    team = await create_team(other)

    sixth = await caller.call("POST", "/v2/team", {"team_name": "Team 6", "copy_cc": False})
    joined = await other.call(
        "POST",
        "/v2/teams/member",
        {"team_id": team["team_id"], "member_email": caller.email, "member_role": "dev"},
    )

    assert [400, 200] == [sixth.status, joined.status]
    assert "at most 5 teams" in sixth.json["error"]
    assert 6 == len((await caller.call("GET", "/v2/teams")).json)


@pytest.mark.parametrize(("role", "status"), [("admin", 200), ("dev", 200), ("finance", 403)])
async def test_role_decides_who_changes_the_teams_databases(
    sandbox: Sandbox, caller: Caller, open_client: OpenClient, role: str, status: int
) -> None:
    """
    A member who signs in for a team sees its databases. Only owners, admins, and devs change them, and move databases
    into the team.
    """
    team_id = (await create_team(caller))["team_id"]
    member = await Caller.new(sandbox, caller.session)
    body = {"team_id": team_id, "member_email": member.email, "member_role": role}
    await caller.call("POST", "/v2/teams/member", body)
    database = await caller.create()
    await caller.call("POST", "move-to-team", {"team_id": team_id, "database_id": database["database_id"]})
    token = (await open_client.sign_in(member.email, sign_up=False, team_id=team_id, full_access=True))["access_token"]
    own = await member.create()

    seen = await open_client.call(token, "GET", "redis/databases")
    renamed = await open_client.call(token, "POST", f"redis/rename/{database['database_id']}", {"name": "atlas"})
    moved = await member.call("POST", "move-to-team", {"team_id": team_id, "database_id": own["database_id"]})

    assert ["books"] == [it["database_name"] for it in seen.json]
    assert [status, status] == [renamed.status, moved.status]
    assert status == 200 or "role" in renamed.json["error"]
