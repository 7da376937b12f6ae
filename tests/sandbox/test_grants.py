"""Grants: what an app may do at the Developer API with the issuer's access token, and the console that lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import PASSWORD, Caller, OAuthClient, OpenClient, basic, bearer, send, unique_email
from tests.support.open_sign_in import Visitor

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

DATABASE = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1"}


async def with_team(sandbox: Sandbox, role: str = "dev") -> tuple[str, str]:
    """Create an account that is a member of another account's team. Return its email and the team's ID."""
    email, owner = unique_email(), unique_email()
    await sandbox.account(owner, PASSWORD)
    await sandbox.account(email, PASSWORD)
    return email, await sandbox.team(owner, "Librarians", {email: role})


async def names(client: OpenClient, access_token: str) -> list[str]:
    """Return the names of the databases that a token sees."""
    response = await client.call(access_token, "GET", "redis/databases")
    assert response.status == 200, response.body
    return [database["database_name"] for database in response.json]


# --- what a grant allows ----------------------------------------------------------------------------------------------


async def test_grant_for_a_team_sees_only_the_databases_of_the_team(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A grant for a team sees the team's databases, and one for the personal account the personal ones.
    """
    email, team_id = await with_team(sandbox)
    other = await OpenClient.new(sandbox, open_client.session)
    personal = (await open_client.sign_in(email, sign_up=False, full_access=True))["access_token"]
    team = (await other.sign_in(email, sign_up=False, team_id=team_id, full_access=True))["access_token"]

    own = (await open_client.call(personal, "POST", "redis/database", DATABASE)).json
    shared = (await other.call(team, "POST", "redis/database", {**DATABASE, "database_name": "catalog"})).json
    foreign = [
        await open_client.call(personal, "GET", f"redis/database/{shared['database_id']}"),
        await other.call(team, "GET", f"redis/database/{own['database_id']}"),
        await other.call(team, "DELETE", f"redis/database/{own['database_id']}"),
    ]

    assert (["books"], ["catalog"]) == (await names(open_client, personal), await names(other, team))
    assert [404, 404, 404] == [response.status for response in foreign]


@pytest.mark.parametrize("role", ["admin", "dev", "finance"])
async def test_token_info_of_a_team(sandbox: Sandbox, open_client: OpenClient, role: str) -> None:
    """
    `token-info` has the user's email, the team and their role in it, and whether the grant is read-only.
    """
    email, team_id = await with_team(sandbox, role)
    tokens = await open_client.sign_in(email, sign_up=False, team_id=team_id)

    info = await open_client.token_info(tokens["access_token"])

    assert {"email": email, "team_id": team_id, "team_role": role, "read_only": True} == info.json


async def test_token_info_reports_a_blocked_account(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    With the setting `blocked`, `token-info` reports the account as blocked.
    """
    tokens = await open_client.sign_in(unique_email(), full_access=True)
    await sandbox.settings(blocked=True)

    info = await open_client.token_info(tokens["access_token"])

    assert info.json["blocked"] is True


async def test_token_info_requires_an_access_token(caller: Caller) -> None:
    """
    `token-info` rejects an API key.
    """
    response = await caller.call("GET", "/v2/account/oauth/token-info")

    assert response.status == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "redis/database", DATABASE),
        ("DELETE", "redis/database/{id}", None),
        ("POST", "redis/rename/{id}", {"name": "novels"}),
        ("POST", "redis/reset-password/{id}", None),
        ("POST", "redis/enable-eviction/{id}", None),
        ("PATCH", "redis/enable-dailybackup/{id}", None),
        ("POST", "redis/create-backup/{id}", {"name": "backup"}),
        ("POST", "redis/move-to-team", {"database_id": "{id}", "team_id": "any"}),
    ],
)
async def test_read_only_grant_cannot_write(
    sandbox: Sandbox, open_client: OpenClient, method: str, path: str, body: Any
) -> None:
    """
    A read-only grant can read, and every change is refused with 403 and changes nothing.
    """
    caller = await Caller.new(sandbox, open_client.session)
    database = await caller.create()
    token = (await open_client.sign_in(caller.email, sign_up=False))["access_token"]

    refused = await open_client.call(token, method, path.format(id=database["database_id"]), body)

    assert (403, True) == (refused.status, "read-only" in refused.json["error"])
    assert ["books"] == await names(open_client, token)


async def test_no_grant_manages_teams(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A grant with full access can list teams and members. Every change of a team is refused with 403.
    """
    await sandbox.account(email := unique_email(), PASSWORD)
    team_id = await sandbox.team(email, "Librarians")
    token = (await open_client.sign_in(email, sign_up=False, full_access=True))["access_token"]
    member = {"team_id": team_id, "member_email": unique_email(), "member_role": "dev"}

    read = [await open_client.call(token, "GET", path) for path in ("teams", f"teams/{team_id}")]
    refused = [
        await open_client.call(token, "POST", "team", {"team_name": "More", "copy_cc": False}),
        await open_client.call(token, "DELETE", f"team/{team_id}"),
        await open_client.call(token, "POST", "teams/member", member),
        await open_client.call(token, "DELETE", "teams/member", member),
    ]

    assert [200, 200] == [response.status for response in read]
    assert ["Librarians"] == [team["team_name"] for team in read[0].json]
    assert [403] * 4 == [response.status for response in refused]
    assert [email] == [found["member_email"] for found in read[1].json]


@pytest.mark.parametrize("token", ["", "made-up", "eyJhbGciOiJub25lIn0.e30."])
async def test_invalid_access_token_is_rejected(open_client: OpenClient, token: str) -> None:
    """
    An unknown access token is rejected with 401 and a Bearer challenge.
    """
    response = await open_client.call(token, "GET", "redis/databases")

    assert (401, 'Bearer error="invalid_token"') == (response.status, response.headers["WWW-Authenticate"])


async def test_partner_tokens_are_not_valid_at_the_developer_api(
    sandbox: Sandbox, client: OAuthClient, open_client: OpenClient
) -> None:
    """
    A partner's access token is valid only for `/apikey`, and a refresh token nowhere.
    """
    partner = await client.sign_in(email := unique_email())
    own = await open_client.sign_in(email, sign_up=False)

    statuses = [
        (await open_client.call(token, "GET", "redis/databases")).status
        for token in (partner["access_token"], own["refresh_token"])
    ]

    assert [401, 401] == statuses


async def test_audit_log_names_the_app(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Changes with an access token are logged with the app's name, and those for a team in the team's log.
    """
    email, team_id = await with_team(sandbox)
    token = (await open_client.sign_in(email, sign_up=False, team_id=team_id, full_access=True))["access_token"]
    await open_client.call(token, "POST", "redis/database", DATABASE)

    log = await send(open_client.session, "GET", f"{sandbox.api_url}/auditlogs", headers=bearer(token))

    assert [
        ("Create Database", "OAUTH - Book shop", email),
        ("Allow OAuth Client", "CONSOLE", email),
    ] == [(entry["action_string"], entry["source"], entry["actor"]) for entry in log.json[:2]]


# --- one grant for each client and account ----------------------------------------------------------------------------


async def test_signing_in_again_replaces_the_grant(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Signing in again with the same client and account replaces the grant, and its earlier tokens are rejected.
    """
    email, team_id = await with_team(sandbox)
    first = await open_client.sign_in(email, sign_up=False)
    (before,) = await sandbox.grants(email)

    second = await open_client.sign_in(email, sign_up=False, team_id=team_id, full_access=True)

    (after,) = await sandbox.grants(email)
    assert (before["id"], None, True) == (after["id"], before["team_id"], before["read_only"])
    assert ("Book shop", team_id, "Librarians", False) == (
        after["client_name"],
        after["team_id"],
        after["team_name"],
        after["read_only"],
    )
    assert (await open_client.token_info(first["access_token"])).status == 401
    assert (await open_client.refresh(first["refresh_token"])).json["error"] == "invalid_grant"
    assert (await open_client.token_info(second["access_token"])).status == 200


async def test_revoking_replaced_tokens_keeps_the_new_grant(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Reusing or revoking the refresh token of an earlier sign-in does not end the current one.
    """
    first = await open_client.sign_in(email := unique_email())
    second = await open_client.sign_in(email, sign_up=False)

    await open_client.refresh(first["refresh_token"])
    await open_client.revoke(first["refresh_token"])

    assert (await open_client.token_info(second["access_token"])).status == 200
    assert len(await sandbox.grants(email)) == 1


async def test_other_client_or_account_adds_a_grant(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Another client, or another account, has a grant of its own.
    """
    other = await OpenClient.new(sandbox, open_client.session, "Query studio")
    first = await open_client.sign_in(email := unique_email())
    await other.sign_in(email, sign_up=False)
    await open_client.sign_in(another := unique_email())

    assert ["Book shop", "Query studio"] == [grant["client_name"] for grant in await sandbox.grants(email)]
    assert ["Book shop"] == [grant["client_name"] for grant in await sandbox.grants(another)]
    assert (await open_client.token_info(first["access_token"])).status == 200


async def test_last_use_is_recorded(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Each request with the access token updates when the grant was last used.
    """
    tokens = await open_client.sign_in(email := unique_email())
    (before,) = await sandbox.grants(email)

    await open_client.token_info(tokens["access_token"])

    (after,) = await sandbox.grants(email)
    assert before["used_at"] < after["used_at"]
    assert before["created_at"] == after["created_at"]


# --- teams that change ------------------------------------------------------------------------------------------------


async def test_removed_member_loses_the_grant(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Removing a member from a team revokes the member's grants for the team, and not those for the personal account.
    """
    owner = await Caller.new(sandbox, open_client.session)
    await sandbox.account(email := unique_email(), PASSWORD)
    team_id = await sandbox.team(owner.email, "Librarians", {email: "dev"})
    personal = await OpenClient.new(sandbox, open_client.session)
    team_tokens = await open_client.sign_in(email, sign_up=False, team_id=team_id)
    own_tokens = await personal.sign_in(email, sign_up=False)
    code = await open_client.code(email, sign_up=False, team_id=team_id)

    removed = await owner.call("DELETE", "/v2/teams/member", {"team_id": team_id, "member_email": email})

    assert removed.status == 200
    assert (await open_client.token_info(team_tokens["access_token"])).status == 401
    assert (await open_client.refresh(team_tokens["refresh_token"])).json["error"] == "invalid_grant"
    assert (await open_client.exchange(code)).json["error"] == "invalid_grant"
    assert (await personal.token_info(own_tokens["access_token"])).status == 200


async def test_deleted_team_ends_its_grants(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Deleting a team ends its grants. A team with databases is not deleted.
    """
    owner = await Caller.new(sandbox, open_client.session)
    team_id = await sandbox.team(owner.email, "Librarians")
    tokens = await open_client.sign_in(owner.email, sign_up=False, team_id=team_id, full_access=True)
    created = await open_client.call(tokens["access_token"], "POST", "redis/database", DATABASE)

    refused = await owner.call("DELETE", f"/v2/team/{team_id}")
    await open_client.call(tokens["access_token"], "DELETE", f"redis/database/{created.json['database_id']}")
    deleted = await owner.call("DELETE", f"/v2/team/{team_id}")

    assert [400, 200] == [refused.status, deleted.status]
    assert [] == await sandbox.grants(owner.email)
    assert (await open_client.token_info(tokens["access_token"])).status == 401


# --- the console and the admin API ------------------------------------------------------------------------------------


async def test_admin_api_revokes_a_grant(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A test can revoke a grant as the user would: the tokens are rejected from then on.
    """
    tokens = await open_client.sign_in(email := unique_email())
    (grant,) = await sandbox.grants(email)

    await sandbox.revoke_grant(grant["id"])

    assert (await open_client.token_info(tokens["access_token"])).status == 401
    assert (await open_client.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"
    assert [] == await sandbox.grants(email)
    assert grant["id"] not in {found["id"] for found in await sandbox.grants()}


async def test_console_lists_and_revokes_grants(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The console lists the user's OAuth clients, after a sign-in, and revokes one of them.
    """
    tokens = await open_client.sign_in(email := unique_email())
    (grant,) = await sandbox.grants(email)

    async with Visitor.new() as visitor:
        await visitor.open(f"{sandbox.issuer_url}/console")
        await visitor.sign_in(email, PASSWORD, sign_up=False)
        listed = visitor.html
        await visitor.submit(intent="revoke", grant=grant["id"])

    assert f"Signed in as <strong>{email}</strong>" in listed
    assert "<strong>Book shop</strong>" in listed
    assert "Personal account · Read-only · last used " in listed
    assert "No app is connected." in visitor.html
    assert (await open_client.token_info(tokens["access_token"])).status == 401


async def test_console_does_not_revoke_grants_of_others(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A user cannot revoke another user's grant, and nobody can without a sign-in or with a forged form.
    """
    await open_client.sign_in(email := unique_email())
    (grant,) = await sandbox.grants(email)

    async with Visitor.new() as visitor:
        await visitor.open(f"{sandbox.issuer_url}/console")
        await visitor.submit(intent="revoke", grant=grant["id"])
        await visitor.sign_in(unique_email(), PASSWORD)
        await visitor.submit(intent="revoke", grant=grant["id"])
    async with Visitor.new() as visitor:
        await visitor.open(f"{sandbox.issuer_url}/console")
        await visitor.sign_in(email, PASSWORD, sign_up=False)
        visitor.origin = "https://evil.example"
        await visitor.submit(intent="revoke", grant=grant["id"])

    assert 403 == visitor.status
    assert [grant["id"]] == [found["id"] for found in await sandbox.grants(email)]


async def test_console_creates_and_revokes_api_keys(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The console creates an API key and shows it once. It can be used, and revoked again.
    """
    email = unique_email()
    url = f"{sandbox.api_url}/v2/redis/databases"

    async with Visitor.new() as visitor:
        await visitor.open(f"{sandbox.issuer_url}/console")
        await visitor.sign_in(email, PASSWORD)
        await visitor.submit(intent="create", name="<laptop>", **{"read-only": "1"})
        key = visitor.html.partition("<code>")[2].partition("</code>")[0]
        used = await send(open_client.session, "GET", url, headers=basic(email, key))
        written = await send(open_client.session, "POST", url[:-1], json=DATABASE, headers=basic(email, key))
        await visitor.submit(intent="create", name="<laptop>")
        duplicate = visitor.status, visitor.page.message
        await visitor.open(f"{sandbox.issuer_url}/console")
        listed = visitor.html
        await visitor.submit(intent="revoke", key="<laptop>")

    assert [200, 403] == [used.status, written.status]
    assert (409, "An API key with the name <laptop> already exists") == duplicate
    assert "&lt;laptop&gt;" in listed
    assert key not in listed
    assert [] == await sandbox.api_key_names(email)


async def test_signing_out_of_the_console(sandbox: Sandbox) -> None:
    """
    After signing out, the console shows the sign-in form.
    """
    async with Visitor.new() as visitor:
        await visitor.open(f"{sandbox.issuer_url}/console")
        await visitor.sign_in(unique_email(), PASSWORD)
        await visitor.submit(intent="sign-out")

    assert {"email", "password"} == visitor.page.fields.keys()
    assert "to the console" == visitor.page.message
