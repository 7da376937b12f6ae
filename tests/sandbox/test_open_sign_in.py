"""The issuer's authorization endpoint and its pages: sign-in, consent, and the redirect."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sandbox.callers import PASSWORD, OpenClient, parameters_of, send, unique_email
from tests.support.open_sign_in import Visitor, allow, cancel
from tests.support.sandbox import SandboxFailed

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

DATABASE = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1"}


async def test_whole_sign_in(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    An app that registered itself signs a new user in, and calls the Developer API with the access token.
    """
    email = unique_email()

    redirect = await allow(open_client.url(), email, PASSWORD, full_access=True)
    tokens = (await open_client.exchange(parameters_of(redirect)["code"])).json
    created = await open_client.call(tokens["access_token"], "POST", "redis/database", DATABASE)
    info = await open_client.token_info(tokens["access_token"])

    assert redirect.startswith("http://127.0.0.1:4567/callback?")
    assert {"code", "state", "iss"} == parameters_of(redirect).keys()
    assert sandbox.issuer_url == parameters_of(redirect)["iss"]
    assert ("Bearer", 86_400) == (tokens["token_type"], tokens["expires_in"])
    assert {"access_token", "refresh_token", "id_token", "token_type", "expires_in", "scope"} == tokens.keys()
    assert created.status == 200, created.body
    assert {"email": email} == info.json


@pytest.mark.parametrize("path", ["oauth-authorization-server", "openid-configuration"])
async def test_metadata_names_the_endpoints(sandbox: Sandbox, open_client: OpenClient, path: str) -> None:
    """
    Both metadata documents name the issuer, exactly as in redirects, and the endpoints.
    """
    response = await send(open_client.session, "GET", f"{sandbox.issuer_url}/.well-known/{path}")

    metadata = response.json
    assert sandbox.issuer_url == metadata["issuer"]
    assert {
        "authorization_endpoint": "/oauth/authorize",
        "token_endpoint": "/oauth/token",
        "revocation_endpoint": "/oauth/token/revoke",
        "registration_endpoint": "/oauth/register",
        "userinfo_endpoint": "/oauth/userinfo",
        "jwks_uri": "/.well-known/jwks.json",
    } == {
        name: value.removeprefix(sandbox.issuer_url)
        for name, value in metadata.items()
        if name.endswith(("_endpoint", "_uri"))
    }
    assert (["S256"], True) == (
        metadata["code_challenge_methods_supported"],
        metadata["authorization_response_iss_parameter_supported"],
    )


async def test_consent_page_names_the_app_and_preselects_the_least_access(
    sandbox: Sandbox, open_client: OpenClient
) -> None:
    """
    The consent page names the app, offers the personal account and the user's teams, and preselects the personal
    account with read-only access.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)
    team_id = await sandbox.team(email, "Librarians")
    await sandbox.account(other := unique_email(), PASSWORD)
    await sandbox.team(other, "Others")

    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        await visitor.sign_in(email, PASSWORD, sign_up=False)

    assert f"Book shop wants to connect. You are signed in as {email}." == visitor.page.message
    assert {"account": ["", team_id], "access": ["read-only", "full"]} == visitor.page.choices
    assert {"account": "", "access": "read-only"} == visitor.page.chosen


async def test_app_name_is_escaped(open_client: OpenClient) -> None:
    """
    The name that an app registered is shown as text.
    """
    open_client.client_id = (await open_client.register(client_name="<script>alert(1)</script>")).json["client_id"]

    page = await send(open_client.session, "GET", open_client.url())

    assert b"&lt;script&gt;" in page.body
    assert b"<script" not in page.body


async def test_cancel_redirects_with_access_denied(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Cancel on the sign-in page and on the consent page redirects with `access_denied`, the state, and the issuer.
    """
    at_sign_in = parameters_of(await cancel(open_client.url()))
    at_consent = parameters_of(await cancel(open_client.url(), unique_email(), PASSWORD))

    for found in (at_sign_in, at_consent):
        assert {"error", "error_description", "state", "iss"} == found.keys()
        assert ("access_denied", "state-1", sandbox.issuer_url) == (found["error"], found["state"], found["iss"])


async def test_signed_in_browser_is_asked_for_consent_only(open_client: OpenClient) -> None:
    """
    A browser that is signed in is asked for consent without a password, until the user chooses another account.
    """
    email, other = unique_email(), unique_email()

    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        await visitor.sign_in(email, PASSWORD)
        await visitor.allow()
        await visitor.open(open_client.url())
        second = await visitor.allow()
        await visitor.open(open_client.url())
        await visitor.submit(intent="sign-out")
        fields = visitor.page.fields
        await visitor.sign_in(other, PASSWORD)

    assert "code" in parameters_of(second)
    assert {"email", "password"} == fields.keys()
    assert other in visitor.page.message


@pytest.mark.parametrize(("setting", "expected"), [("off", None), ("wrong", "https://issuer.invalid")])
async def test_iss_can_be_missing_or_wrong(
    sandbox: Sandbox, open_client: OpenClient, setting: str, expected: str | None
) -> None:
    """
    A setting removes `iss` from redirects, also in the metadata, or replaces it, so that clients can be tested.
    """
    await sandbox.settings(issuer_iss=setting)

    granted = parameters_of(await allow(open_client.url(), unique_email(), PASSWORD))
    denied = parameters_of(await cancel(open_client.url()))
    metadata = await send(open_client.session, "GET", f"{sandbox.issuer_url}/.well-known/openid-configuration")

    assert (expected, expected) == (granted.get("iss"), denied.get("iss"))
    assert (setting != "off") == metadata.json["authorization_response_iss_parameter_supported"]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "openid profile"}, "invalid_scope"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
    ],
)
async def test_invalid_request_redirects_with_the_error(
    sandbox: Sandbox, open_client: OpenClient, changes: dict[str, str | None], error: str
) -> None:
    """
    A registered client receives the error of its invalid request by redirect, with the state and the issuer.
    """
    response = await send(open_client.session, "GET", open_client.url(**changes))

    found = parameters_of(response.headers["Location"])
    assert (303, error, "state-1", sandbox.issuer_url) == (
        response.status,
        found["error"],
        found["state"],
        found["iss"],
    )


async def test_clients_of_one_server_are_unknown_to_the_other(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The partner's client ID is unknown at the issuer, and a client of the issuer is unknown at the partners' server.
    """
    partner = await send(open_client.session, "GET", open_client.url(client_id=sandbox.client_id))
    url = open_client.url().replace(f"{sandbox.issuer_url}/oauth/authorize", f"{sandbox.auth_url}/authorize")
    own = await send(open_client.session, "GET", url)

    assert [400, 400] == [partner.status, own.status]
    assert b"The client_id is not registered." in partner.body
    assert b"The client_id is not registered." in own.body


async def test_team_of_others_is_rejected(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    A user cannot allow access to a team that they are not a member of, whatever the form says.
    """
    await sandbox.account(other := unique_email(), PASSWORD)
    team_id = await sandbox.team(other, "Others")

    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        await visitor.sign_in(unique_email(), PASSWORD)
        left = await visitor.submit(intent="allow", account=team_id, access="full")

    assert (None, 403, "You are not a member of this team.") == (left, visitor.status, visitor.page.message)


async def test_consent_is_protected_against_csrf(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Another site cannot submit the consent form: a wrong token or a foreign origin is 403, and nothing is allowed.
    """
    email = unique_email()

    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        await visitor.sign_in(email, PASSWORD)
        left = await visitor.submit(intent="allow", account="", access="full", csrf="0" * 64)
        wrong_token = visitor.status
        visitor.origin = "https://evil.example"
        left_too = await visitor.submit(intent="allow", account="", access="full")

    assert [None, None] == [left, left_too]
    assert [403, 403] == [wrong_token, visitor.status]
    assert [] == await sandbox.grants(email)


async def test_consent_without_a_sign_in_is_rejected(open_client: OpenClient) -> None:
    """
    The consent form of a browser that is not signed in leads back to the sign-in.
    """
    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        left = await visitor.submit(intent="allow", account="", access="full")

    assert (None, 401) == (left, visitor.status)
    assert "password" in visitor.page.fields


async def test_wrong_password_keeps_the_entered_email(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    After a wrong password, the sign-in form is shown again with an error and the email.
    """
    await sandbox.account(email := unique_email(), PASSWORD)

    async with Visitor.new() as visitor:
        await visitor.open(open_client.url())
        with pytest.raises(SandboxFailed, match="Wrong email or password"):
            await visitor.sign_in(email, "wrong password", sign_up=False)

    assert (401, email) == (visitor.status, visitor.page.fields["email"])


@pytest.mark.parametrize(
    ("redirect_uri", "source"),
    [
        ("http://127.0.0.1:4567/callback", "http://127.0.0.1:4567"),
        ("http://[::1]:4567/callback", "http:"),
        ("https://app.example/callback", "https://app.example"),
        ("com.example.app:/callback", "com.example.app:"),
    ],
)
async def test_pages_have_a_strict_content_security_policy(
    open_client: OpenClient, redirect_uri: str, source: str
) -> None:
    """
    The pages load no scripts, cannot be framed or cached, and their forms go only to the issuer and the app.
    """
    client_id = (await open_client.register(redirect_uris=[redirect_uri])).json["client_id"]

    page = await send(open_client.session, "GET", open_client.url(client_id=client_id, redirect_uri=redirect_uri))

    policy = dict(part.strip().partition(" ")[::2] for part in page.headers["Content-Security-Policy"].split(";"))
    assert "'none'" == policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"]
    assert policy["form-action"] == f"'self' {source}"
    assert (200, "no-store") == (page.status, page.headers["Cache-Control"])
