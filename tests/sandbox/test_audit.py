"""The audit log: every change from every source, in Upstash's format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.sandbox.callers import PASSWORD, Caller, OAuthClient, OpenClient, bearer, send, unique_email

if TYPE_CHECKING:
    import aiohttp

    from tests.support.sandbox import Sandbox


async def log_of(caller: Caller) -> list[dict[str, Any]]:
    """Return an account's audit log, oldest first."""
    response = await caller.call("GET", "/auditlogs")
    assert response.status == 200, response.body
    return list(reversed(response.json))


async def test_every_change_of_a_team_and_its_resources_is_logged(
    sandbox: Sandbox, session: aiohttp.ClientSession
) -> None:
    """
    Each change has the key that made it, what it was made to, and where it came from. Reading is not logged.
    """
    caller = await Caller.new(sandbox, session)
    team = (await caller.call("POST", "/v2/team", {"team_name": "Librarians", "copy_cc": False})).json
    member = {"team_id": team["team_id"], "member_email": unique_email(), "member_role": "dev"}
    await caller.call("POST", "/v2/teams/member", member)
    await caller.call("DELETE", "/v2/teams/member", member)
    database = await caller.create()
    moved = {"team_id": team["team_id"], "database_id": database["database_id"]}
    await caller.call("POST", "move-to-team", moved)
    bucket = (await caller.call("POST", "/v2/blob/bucket", {"name": "covers"})).json
    await caller.call("DELETE", f"/v2/blob/bucket/{bucket['id']}")
    await caller.call("GET", "/v2/teams")

    log = await log_of(caller)

    source = "API_KEY - tests"
    assert [
        ("Create API Key", "CONSOLE", "tests", "NA"),
        ("Create Team", source, "Librarians", "NA"),
        ("Add Team Member", source, "Librarians", member["member_email"]),
        ("Remove Team Member", source, "Librarians", member["member_email"]),
        ("Create Database", source, "books", "NA"),
        ("Move To Team", source, "books", team["team_id"]),
        ("Create Blob Bucket", source, "covers", "NA"),
        ("Delete Blob Bucket", source, "covers", "NA"),
    ] == [(it["action_string"], it["source"], it["entity"], it["secondary_entity"]) for it in log]
    assert {("127.0.0.1", caller.email)} == {(it["ip"], it["actor"]) for it in log}
    assert len(log) == len({it["log_id"] for it in log})
    assert all(it["ttl"] > it["timestamp"] for it in log)


async def test_sign_ins_and_the_issuers_console_are_logged(
    sandbox: Sandbox, client: OAuthClient, open_client: OpenClient, session: aiohttp.ClientSession
) -> None:
    """
    The account's log has what the user allows on the consent page, and the key that a partner's app creates.
    """
    tokens = (await client.exchange(await client.code(email := unique_email()))).json
    created = await send(
        session, "POST", f"{sandbox.api_url}/apikey", json={"name": "app"}, headers=bearer(tokens["access_token"])
    )
    await open_client.sign_in(email, sign_up=False)
    (grant,) = await sandbox.grants(email)
    await sandbox.revoke_grant(grant["id"])

    log = await log_of(Caller(sandbox, session, email, created.json["api_key"]))

    assert [
        ("Create API Key", "OAUTH", "app"),
        ("Allow OAuth Client", "CONSOLE", "Book shop"),
        ("Revoke OAuth Client", "CONSOLE", "Book shop"),
    ] == [(it["action_string"], it["source"], it["entity"]) for it in log]


async def test_team_has_a_log_of_its_own(sandbox: Sandbox, open_client: OpenClient, caller: Caller) -> None:
    """
    A member who acts for a team sees what was changed in it, also by others.
    """
    team = (await caller.call("POST", "/v2/team", {"team_name": "Librarians", "copy_cc": False})).json
    await sandbox.account(email := unique_email(), PASSWORD)
    member = {"team_id": team["team_id"], "member_email": email, "member_role": "dev"}
    await caller.call("POST", "/v2/teams/member", member)
    database = await caller.create()
    await caller.call("POST", "move-to-team", {"team_id": team["team_id"], "database_id": database["database_id"]})
    tokens = await open_client.sign_in(email, sign_up=False, team_id=team["team_id"])

    url = f"{sandbox.api_url}/auditlogs"
    response = await send(open_client.session, "GET", url, headers=bearer(tokens["access_token"]))

    assert [
        ("Allow OAuth Client", email),
        ("Move To Team", caller.email),
        ("Add Team Member", caller.email),
        ("Create Team", caller.email),
    ] == [(it["action_string"], it["actor"]) for it in response.json]
