"""The token, revocation, and userinfo endpoints, and API keys created with an access token."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from tests.sandbox.callers import (
    PASSWORD,
    REDIRECT_URI,
    Caller,
    OAuthClient,
    claims_of,
    parameters_of,
    send,
    unique_email,
)

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


async def test_code_is_exchanged_for_tokens(client: OAuthClient) -> None:
    """
    The token response has all documented fields and must not be cached.
    """
    response = await client.exchange(await client.code(unique_email()))

    tokens = response.json
    assert (200, "no-store") == (response.status, response.headers["Cache-Control"])
    assert {"access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"} == tokens.keys()
    assert (172_800, "Bearer", client.scope) == (tokens["expires_in"], tokens["token_type"], tokens["scope"])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("openid", {"id_token"}), ("offline_access", {"refresh_token"}), ("email", set())],
)
async def test_tokens_depend_on_the_scope(client: OAuthClient, scope: str, expected: set[str]) -> None:
    """
    A refresh token requires the scope `offline_access`, an ID token `openid`.
    """
    client.scope = scope

    tokens = await client.sign_in(unique_email())

    assert expected == tokens.keys() & {"refresh_token", "id_token"}


async def test_tokens_are_signed_with_the_published_key(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Access token and ID token name their issuer, subject, and audience, and the published key verifies their signatures.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    access, identity = claims_of(tokens["access_token"]), claims_of(tokens["id_token"])

    assert {f"{sandbox.auth_url}/"} == {access["iss"], identity["iss"]}
    assert access["sub"] == identity["sub"]
    assert "upstash-api" in access["aud"]
    assert (client.sandbox.client_id, email) == (identity["aud"], identity["email"])
    configuration = await send(client.session, "GET", f"{sandbox.auth_url}/.well-known/openid-configuration")
    keys = await send(client.session, "GET", configuration.json["jwks_uri"])
    for token in (tokens["access_token"], tokens["id_token"]):
        verify(token, keys.json["keys"][0])


async def test_code_can_be_used_once(client: OAuthClient) -> None:
    """
    A code that is used again is rejected, and the tokens issued for it are revoked (RFC 6749, section 4.1.2).
    """
    code = await client.code(unique_email())
    tokens = (await client.exchange(code)).json

    again = await client.exchange(code)

    assert (400, "invalid_grant") == (again.status, again.json["error"])
    assert (await client.userinfo(tokens["access_token"])).status == 401
    assert (await client.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"


async def test_expired_code_is_rejected(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    An expired code is rejected.
    """
    code = await client.code(unique_email())
    await sandbox.settings(code_lifetime=0)

    response = await client.exchange(code)

    assert (400, "invalid_grant") == (response.status, response.json["error"])


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code": "made-up"}, 400, "invalid_grant"),
        ({"code": None}, 400, "invalid_request"),
        ({"code_verifier": "x" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"redirect_uri": "http://localhost:3000/"}, 400, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_grant"),
        ({"client_id": "somebody-else"}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": None}, 400, "unsupported_grant_type"),
    ],
)
async def test_code_is_bound_to_its_request(
    client: OAuthClient, changes: dict[str, str | None], status: int, error: str
) -> None:
    """
    A code is bound to its client, redirect URI, and code verifier; a mismatch is an error of RFC 6749, section 5.2.
    """
    code = await client.code(unique_email())

    fields: dict[str, Any] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "http://localhost:3000",
        "code_verifier": client.verifier,
    }
    response = await client.token(**{**fields, **changes})

    assert (status, error) == (response.status, response.json["error"])
    assert (await client.exchange(code)).status == 200


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"grant_type=%zz", b"grant_type=authorization_code&grant_type=refresh_token", b"{}"]
)
async def test_malformed_token_request_is_a_client_error(client: OAuthClient, body: bytes) -> None:
    """
    A malformed token request is answered with a JSON error.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    response = await send(client.session, "POST", f"{client.sandbox.auth_url}/oauth/token", data=body, headers=headers)

    assert response.status in {400, 401}
    assert response.json["error"]


async def test_refresh_rotates_the_refresh_token(client: OAuthClient) -> None:
    """
    Each refresh issues a new access token and a new refresh token, which can be used for the next refresh.
    """
    tokens = await client.sign_in(unique_email())

    first = (await client.refresh(tokens["refresh_token"])).json
    second = (await client.refresh(first["refresh_token"])).json

    assert len({tokens["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    assert (await client.userinfo(second["access_token"])).status == 200


async def test_reused_refresh_token_revokes_its_family(client: OAuthClient) -> None:
    """
    Using a replaced refresh token revokes all tokens of its grant (RFC 9700, section 4.14.2).
    """
    tokens = await client.sign_in(unique_email())
    newer = (await client.refresh(tokens["refresh_token"])).json

    reused = await client.refresh(tokens["refresh_token"])

    assert (400, "invalid_grant") == (reused.status, reused.json["error"])
    assert (await client.refresh(newer["refresh_token"])).json["error"] == "invalid_grant"
    assert (await client.userinfo(newer["access_token"])).status == 401


@pytest.mark.parametrize("revoked", ["access_token", "refresh_token"])
async def test_revoked_token_is_rejected(client: OAuthClient, revoked: str) -> None:
    """
    A revoked access token is rejected. Revoking a refresh token also revokes its access token (RFC 7009).
    """
    tokens = await client.sign_in(unique_email())

    form = {"client_id": client.sandbox.client_id, "token": tokens[revoked]}
    response = await send(client.session, "POST", f"{client.sandbox.auth_url}/oauth/revoke", data=form)

    assert response.status == 200
    assert (await client.userinfo(tokens["access_token"])).status == 401
    expected = 400 if revoked == "refresh_token" else 200
    assert (await client.refresh(tokens["refresh_token"])).status == expected


async def test_revocation_requires_the_client_and_discloses_nothing(client: OAuthClient) -> None:
    """
    Revoking an unknown token succeeds, so that nothing is disclosed. An unknown client is rejected.
    """
    url = f"{client.sandbox.auth_url}/oauth/revoke"

    unknown = await send(client.session, "POST", url, data={"client_id": client.sandbox.client_id, "token": "made-up"})
    unknown_client = await send(client.session, "POST", url, data={"client_id": "nobody", "token": "made-up"})
    missing = await send(client.session, "POST", url, data={"client_id": client.sandbox.client_id})

    assert [200, 401, 400] == [unknown.status, unknown_client.status, missing.status]


async def test_narrower_refresh_keeps_the_scope_of_the_refresh_token(client: OAuthClient) -> None:
    """
    A refresh that requests less returns an ID token if it requests `openid`, and the new refresh token keeps the whole
    scope (RFC 6749, section 6).
    """
    tokens = await client.sign_in(unique_email())

    narrow = (
        await client.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"], scope="openid")
    ).json
    whole = (await client.refresh(narrow["refresh_token"])).json

    assert ("openid", tokens["scope"]) == (narrow["scope"], whole["scope"])
    assert "id_token" in narrow


async def test_token_requests_are_accepted_as_json(client: OAuthClient) -> None:
    """
    Like Auth0, the token and revocation endpoints accept JSON.
    """
    base, id_ = client.sandbox.auth_url, client.sandbox.client_id
    exchange = {
        "grant_type": "authorization_code",
        "client_id": id_,
        "code": await client.code(unique_email()),
        "redirect_uri": REDIRECT_URI,
        "code_verifier": client.verifier,
    }

    tokens = await send(client.session, "POST", f"{base}/oauth/token", json=exchange)
    revocation = {"client_id": id_, "token": tokens.json["refresh_token"]}
    revoked = await send(client.session, "POST", f"{base}/oauth/revoke", json=revocation)

    assert [200, 200] == [tokens.status, revoked.status]
    assert (await client.refresh(tokens.json["refresh_token"])).status == 400


async def test_client_that_follows_the_guideline_to_the_letter(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    With `require_pkce` off, the requests of the guideline work: neither PKCE nor `state`. A verifier without a
    challenge is rejected (RFC 9700, section 4.8.2), and a challenge is still checked.
    """
    await sandbox.settings(require_pkce=False)
    plain = client.url(state=None, code_challenge=None, code_challenge_method=None)

    redirects = [parameters_of(await sandbox.authorize(plain, unique_email(), PASSWORD)) for _ in range(2)]
    tokens = await client.exchange(redirects[0]["code"], code_verifier=None)
    downgraded = await client.exchange(redirects[1]["code"])
    unproven = await client.exchange(await client.code(unique_email()), code_verifier=None)
    key = await client.create_api_key(tokens.json["access_token"], "APPNAME_API_KEY_1")

    assert [{"code"}] * 2 == [set(found) for found in redirects]
    assert [200, 400, 400, 200] == [tokens.status, downgraded.status, unproven.status, key.status]


# --- the account's email ----------------------------------------------------------------------------------------------


async def test_settings_control_where_the_email_is_returned(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Settings add the email to the response of /apikey and to the access token, and remove it elsewhere.
    """
    email = unique_email()
    await sandbox.settings(api_key_email=True, id_token_email=False, access_token_email=True, userinfo=False)

    tokens = await client.sign_in(email)
    key = await client.create_api_key(tokens["access_token"], "one")
    userinfo = await client.userinfo(tokens["access_token"])

    assert key.json["email"] == email
    assert "email" not in claims_of(tokens["id_token"])
    assert email in claims_of(tokens["access_token"]).values()
    assert userinfo.status == 503


async def test_email_is_in_the_id_token_and_at_userinfo_by_default(client: OAuthClient) -> None:
    """
    By default, the email is in the ID token and at /userinfo, like Auth0's, and not in the response of /apikey.
    """
    email = unique_email()

    tokens = await client.sign_in(email)
    key = await client.create_api_key(tokens["access_token"], "one")

    assert "email" not in key.json
    assert email not in claims_of(tokens["access_token"]).values()
    assert {email} == {
        claims_of(tokens["id_token"])["email"],
        (await client.userinfo(tokens["access_token"])).json["email"],
    }


async def test_userinfo_depends_on_the_scopes(client: OAuthClient) -> None:
    """
    Without the scope `email`, /userinfo does not return the email, and without `openid` it is 403.
    """
    client.scope = "openid"
    with_openid = await client.userinfo((await client.sign_in(unique_email()))["access_token"])
    client.scope = "email"
    with_email = await client.userinfo((await client.sign_in(unique_email()))["access_token"])

    assert (200, {"sub"}) == (with_openid.status, with_openid.json.keys())
    assert with_email.status == 403


# --- API keys ---------------------------------------------------------------------------------------------------------


async def test_api_key_is_valid_for_the_developer_api(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    An API key created with an access token works immediately with the account's email.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    response = await client.create_api_key(tokens["access_token"], "HELPER_API_KEY_1")

    assert response.status == 200
    caller = Caller(sandbox, client.session, email, response.json["api_key"])
    assert (await caller.call("GET", "databases")).json == []


async def test_api_key_names_are_unique_per_account(client: OAuthClient) -> None:
    """
    A duplicate key name is a conflict in the same account, but not in another one.
    """
    tokens = await client.sign_in(unique_email())
    other = await client.sign_in(unique_email())
    await client.create_api_key(tokens["access_token"], "one")

    duplicate = await client.create_api_key(tokens["access_token"], "one")
    other_account = await client.create_api_key(other["access_token"], "one")

    assert [409, 200] == [duplicate.status, other_account.status]
    assert "already exists" in duplicate.json["error"]


async def test_account_is_limited_to_37_api_keys(client: OAuthClient) -> None:
    """
    An account can have 37 keys. The 38th is rejected with the reason.
    """
    email = unique_email()
    tokens = await client.sign_in(email)
    await asyncio.gather(*(client.create_api_key(tokens["access_token"], f"key {number}") for number in range(37)))

    rejected = await client.create_api_key(tokens["access_token"], "one too many")

    assert rejected.status == 400
    assert "37" in rejected.json["error"]
    assert len(await client.sandbox.api_key_names(email)) == 37


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"name": ""}', b'{"name": 5}', b"[]", b'{"name": "\xff"}', b"[" * 100_000]
)
async def test_api_key_requires_a_name(client: OAuthClient, body: bytes) -> None:
    """
    A body without a valid name is rejected, and no key is created.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    response = await send(client.session, "POST", f"{client.sandbox.api_url}/apikey", data=body, headers=headers)

    assert response.status == 400
    assert response.json["error"]
    assert await client.sandbox.api_key_names(email) == []


async def test_api_key_requires_an_access_token_for_the_api(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    No key is created without a token, or with an unknown one, an expired one, an ID token, or another audience's token.
    """
    email = unique_email()
    tokens = await client.sign_in(email)
    location = await sandbox.authorize(client.url(audience=None), email, "correct horse battery", sign_up=False)
    other_audience = (await client.exchange(location.partition("code=")[2].partition("&")[0])).json
    await sandbox.settings(token_lifetime=0)
    expired = await client.sign_in(email, sign_up=False)

    values = ["", "made-up", "ä", tokens["id_token"], other_audience["access_token"], expired["access_token"]]
    responses = [await client.create_api_key(token, "one") for token in values]

    assert [401] * len(values) == [response.status for response in responses]
    assert await sandbox.api_key_names(email) == []


def verify(token: str, key: dict[str, str]) -> None:
    """Verify a token's signature with a published key."""
    numbers = [int.from_bytes(base64.urlsafe_b64decode(key[name] + "==")) for name in ("e", "n")]
    signed, _, signature = token.rpartition(".")
    public_key = RSAPublicNumbers(*numbers).public_key()
    public_key.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode(), PKCS1v15(), SHA256())
