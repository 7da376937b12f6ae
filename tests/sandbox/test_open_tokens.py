"""The issuer's token, revocation, and userinfo endpoints."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.sandbox.callers import PASSWORD, OpenClient, Response, bearer, claims_of, parameters_of, send, unique_email
from tests.support.open_sign_in import allow

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

FORM = "application/x-www-form-urlencoded"


async def userinfo(client: OpenClient, access_token: str, method: str = "GET") -> Response:
    """Request the claims about the access token's user."""
    url = f"{client.sandbox.issuer_url}/oauth/userinfo"
    return await send(client.session, method, url, headers=bearer(access_token))


# --- codes ------------------------------------------------------------------------------------------------------------


async def test_code_can_be_used_once(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Using a code twice revokes the tokens of its first use, and its grant (RFC 6749, section 4.1.2).
    """
    email = unique_email()
    code = await open_client.code(email)
    tokens = (await open_client.exchange(code)).json

    again = await open_client.exchange(code)

    assert (400, "invalid_grant") == (again.status, again.json["error"])
    assert (await open_client.token_info(tokens["access_token"])).status == 401
    assert (await open_client.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"
    assert [] == await sandbox.grants(email)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"code_verifier": "x" * 43}, 400, "invalid_grant"),
        ({"code_verifier": None}, 400, "invalid_request"),
        ({"redirect_uri": "http://127.0.0.1:4568/callback"}, 400, "invalid_grant"),
        ({"redirect_uri": None}, 400, "invalid_grant"),
        ({"code": "made-up"}, 400, "invalid_grant"),
        ({"client_id": "client_unknown"}, 401, "invalid_client"),
        ({"client_id": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ],
)
async def test_code_is_bound_to_its_request(
    open_client: OpenClient, changes: dict[str, str | None], status: int, error: str
) -> None:
    """
    A code can be exchanged only by its client, with its verifier and redirect URI, including the port.
    """
    code = await open_client.code(unique_email())
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": open_client.redirect_uri,
        "code_verifier": open_client.verifier,
    }

    response = await open_client.token(**{**form, **changes})

    assert (status, error) == (response.status, response.json["error"])


async def test_code_of_another_client_is_rejected(open_client: OpenClient) -> None:
    """
    A code cannot be exchanged by another client.
    """
    other = await OpenClient.new(open_client.sandbox, open_client.session)
    code = await open_client.code(unique_email())

    response = await open_client.exchange(code, client_id=other.client_id)

    assert (400, "invalid_grant") == (response.status, response.json["error"])


async def test_pkce_can_be_made_optional(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    With `issuer_require_pkce` off, a client without PKCE is accepted, but a verifier without a challenge is not
    (RFC 9700, section 4.8.2), and a challenge is still checked.
    """
    await sandbox.settings(issuer_require_pkce=False)
    url = open_client.url(code_challenge=None, code_challenge_method=None)

    codes = [await code_at(open_client, url) for _ in range(2)]
    without = await open_client.exchange(codes[0], code_verifier=None)
    downgraded = await open_client.exchange(codes[1])
    unproven = await open_client.exchange(await open_client.code(unique_email()), code_verifier=None)

    assert [200, 400, 400] == [without.status, downgraded.status, unproven.status]


async def code_at(client: OpenClient, url: str) -> str:
    """Sign a new user in at an authorization URL, and return the code."""
    return parameters_of(await allow(url, unique_email(), PASSWORD))["code"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("openid email offline_access", {"refresh_token", "id_token"}),
        ("offline_access", {"refresh_token"}),
        ("openid", {"id_token"}),
        ("email", set()),
    ],
)
async def test_tokens_depend_on_the_scope(open_client: OpenClient, scope: str, expected: set[str]) -> None:
    """
    The scope `openid` returns an ID token, and `offline_access` a refresh token.
    """
    open_client.scope = scope

    tokens = await open_client.sign_in(unique_email())

    assert {"access_token", "token_type", "expires_in", "scope", *expected} == tokens.keys()


async def test_client_without_the_refresh_grant_gets_no_refresh_token(open_client: OpenClient) -> None:
    """
    A client that registered only the grant type `authorization_code` receives no refresh token.
    """
    registered = await open_client.register(grant_types=["authorization_code"])
    open_client.client_id = registered.json["client_id"]

    tokens = await open_client.sign_in(unique_email())

    assert "refresh_token" not in tokens


# --- refreshing -------------------------------------------------------------------------------------------------------


async def test_refresh_rotates_the_refresh_token(open_client: OpenClient) -> None:
    """
    Each refresh issues a new refresh token. Earlier access tokens stay valid until they expire.
    """
    tokens = await open_client.sign_in(unique_email())

    first = (await open_client.refresh(tokens["refresh_token"])).json
    second = (await open_client.refresh(first["refresh_token"])).json

    assert len({tokens["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    for issued in (tokens, first, second):
        assert (await open_client.token_info(issued["access_token"])).status == 200


async def test_reused_refresh_token_revokes_the_whole_login(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Using an old refresh token ends the login: its tokens are rejected, and its grant is no longer listed.
    """
    email = unique_email()
    tokens = await open_client.sign_in(email)
    newer = (await open_client.refresh(tokens["refresh_token"])).json

    reused = await open_client.refresh(tokens["refresh_token"])

    assert (400, "invalid_grant") == (reused.status, reused.json["error"])
    assert (await open_client.refresh(newer["refresh_token"])).json["error"] == "invalid_grant"
    assert (await open_client.token_info(newer["access_token"])).status == 401
    assert [] == await sandbox.grants(email)


async def test_refreshing_twice_at_once_ends_the_login(open_client: OpenClient) -> None:
    """
    Of several refreshes with one token at the same time, one succeeds. The others are reuses, which end the login.
    """
    tokens = await open_client.sign_in(unique_email())

    responses = await asyncio.gather(*(open_client.refresh(tokens["refresh_token"]) for _ in range(5)))

    assert [200, 400, 400, 400, 400] == sorted(response.status for response in responses)
    (winner,) = (response.json for response in responses if response.status == 200)
    assert (await open_client.token_info(winner["access_token"])).status == 401


async def test_lost_response_to_a_refresh_ends_the_login_at_the_next_one(
    sandbox: Sandbox, open_client: OpenClient
) -> None:
    """
    A fault can lose the response to a refresh that was carried out: repeating it is a reuse.
    """
    tokens = await open_client.sign_in(unique_email())
    await sandbox.fault(listener="issuer", path="/oauth/token", when="after", reset=True)

    with pytest.raises(aiohttp.ClientError):
        await open_client.refresh(tokens["refresh_token"])
    again = await open_client.refresh(tokens["refresh_token"])

    assert (400, "invalid_grant") == (again.status, again.json["error"])


async def test_rotation_can_be_turned_off(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    With `issuer_rotation` off, a refresh returns the same refresh token, which stays valid.
    """
    await sandbox.settings(issuer_rotation=False)
    tokens = await open_client.sign_in(unique_email())

    refreshed = [(await open_client.refresh(tokens["refresh_token"])).json for _ in range(2)]

    assert {tokens["refresh_token"]} == {issued["refresh_token"] for issued in refreshed}
    assert (await open_client.token_info(refreshed[1]["access_token"])).status == 200


async def test_refresh_with_the_scope_openid_returns_an_id_token(open_client: OpenClient) -> None:
    """
    A refresh can request less. With `openid`, it returns an ID token, and the new refresh token keeps the whole scope.
    """
    email = unique_email()
    tokens = await open_client.sign_in(email)

    narrow = (await open_client.refresh(tokens["refresh_token"], scope="openid")).json
    whole = (await open_client.refresh(narrow["refresh_token"])).json
    without = (await open_client.refresh(whole["refresh_token"], scope="email")).json

    assert ("openid", "openid email offline_access") == (narrow["scope"], whole["scope"])
    assert "email" not in claims_of(narrow["id_token"])
    assert email == claims_of(whole["id_token"])["email"]
    assert "id_token" not in without


async def test_refresh_cannot_request_more(open_client: OpenClient) -> None:
    """
    A refresh cannot request a scope that was not granted. It does not use up the refresh token.
    """
    tokens = await open_client.sign_in(unique_email())

    more = await open_client.refresh(tokens["refresh_token"], scope="openid profile")

    assert (400, "invalid_scope") == (more.status, more.json["error"])
    assert (await open_client.refresh(tokens["refresh_token"])).status == 200


async def test_lifetime_of_access_tokens_is_a_setting(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    An expired access token is rejected with 401, and the refresh token returns a new one.
    """
    await sandbox.settings(issuer_token_lifetime=0)
    expired = await open_client.sign_in(unique_email())
    rejected = await open_client.token_info(expired["access_token"])
    await sandbox.settings(issuer_token_lifetime=7200)

    fresh = (await open_client.refresh(expired["refresh_token"])).json

    assert (401, 'Bearer error="invalid_token"') == (rejected.status, rejected.headers["WWW-Authenticate"])
    assert [0, 7200] == [expired["expires_in"], fresh["expires_in"]]
    assert (await open_client.token_info(fresh["access_token"])).status == 200


async def test_access_tokens_of_a_grant_can_be_made_to_expire(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The admin API lets a grant's access tokens expire, as if a day had passed.
    """
    tokens = await open_client.sign_in(email := unique_email())
    (grant,) = await sandbox.grants(email)

    await sandbox.expire_access_tokens(grant["id"])

    assert (await open_client.token_info(tokens["access_token"])).status == 401
    fresh = (await open_client.refresh(tokens["refresh_token"])).json
    assert (await open_client.token_info(fresh["access_token"])).status == 200


async def test_deleted_client_must_register_again(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    After its client was deleted, a refresh fails with `invalid_client` and 401, and the access token is rejected.
    """
    tokens = await open_client.sign_in(email := unique_email())

    await sandbox.remove_client(open_client.client_id)

    response = await open_client.refresh(tokens["refresh_token"])
    assert (401, "invalid_client") == (response.status, response.json["error"])
    assert (await open_client.token_info(tokens["access_token"])).status == 401
    assert [] == await sandbox.grants(email)


# --- the form of requests ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content_type", [FORM, "application/json"])
async def test_token_requests_are_accepted_as_a_form_and_as_json(open_client: OpenClient, content_type: str) -> None:
    """
    The token and revocation endpoints accept a form, and JSON as Auth0 does.
    """
    encode = json.dumps if content_type == "application/json" else urlencode
    code = await open_client.code(unique_email())
    headers, issuer = {"Content-Type": content_type}, open_client.sandbox.issuer_url
    exchange = {
        "grant_type": "authorization_code",
        "client_id": open_client.client_id,
        "code": code,
        "redirect_uri": open_client.redirect_uri,
        "code_verifier": open_client.verifier,
    }

    tokens = await send(open_client.session, "POST", f"{issuer}/oauth/token", data=encode(exchange), headers=headers)
    revocation = {"client_id": open_client.client_id, "token": tokens.json["refresh_token"]}
    revoked = await send(
        open_client.session, "POST", f"{issuer}/oauth/token/revoke", data=encode(revocation), headers=headers
    )

    assert [200, 200] == [tokens.status, revoked.status]
    assert (await open_client.token_info(tokens.json["access_token"])).status == 401


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{", 400),
        ("application/json", b"[]", 400),
        ("application/json", b'{"grant_type": 1}', 400),
        ("application/json", b'{"grant_type": "\xff"}', 400),
        ("application/json", b"", 400),
        (FORM, b"", 400),
        (FORM, b"%", 400),
        (FORM, b"grant_type=refresh_token&grant_type=refresh_token", 400),
        (FORM, b"\xff", 400),
        ("text/plain", b"grant_type=refresh_token", 415),
    ],
)
async def test_malformed_token_request_is_a_client_error(
    open_client: OpenClient, content_type: str, body: bytes, status: int
) -> None:
    """
    A malformed request is answered with an error in JSON.
    """
    url = f"{open_client.sandbox.issuer_url}/oauth/token"

    response = await send(open_client.session, "POST", url, data=body, headers={"Content-Type": content_type})

    assert status == response.status
    assert response.json["error"]


# --- revoking, claims, and keys ---------------------------------------------------------------------------------------


async def test_revoking_the_refresh_token_ends_the_login(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    Revoking the refresh token revokes the access token and the grant (RFC 7009, section 2.1). Doing it again succeeds.
    """
    tokens = await open_client.sign_in(email := unique_email())

    first, second = [await open_client.revoke(tokens["refresh_token"]) for _ in range(2)]

    assert [200, 200] == [first.status, second.status]
    assert (await open_client.token_info(tokens["access_token"])).status == 401
    assert (await open_client.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"
    assert [] == await sandbox.grants(email)


async def test_client_cannot_revoke_tokens_of_another(open_client: OpenClient) -> None:
    """
    Revoking a token of another client changes nothing, and an unknown client is rejected.
    """
    tokens = await open_client.sign_in(unique_email())
    other = await OpenClient.new(open_client.sandbox, open_client.session)
    unknown = OpenClient(open_client.sandbox, open_client.session, client_id="client_unknown")

    statuses = [(await client.revoke(tokens["refresh_token"])).status for client in (other, unknown)]

    assert [200, 401] == statuses
    assert (await open_client.token_info(tokens["access_token"])).status == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_userinfo_returns_the_claims(open_client: OpenClient, method: str) -> None:
    """
    The userinfo endpoint returns the same subject as the ID token, and the email.
    """
    tokens = await open_client.sign_in(email := unique_email())

    response = await userinfo(open_client, tokens["access_token"], method)
    rejected = await userinfo(open_client, "made-up", method)

    subject = claims_of(tokens["id_token"])["sub"]
    assert {"sub": subject, "email": email, "email_verified": True} == response.json
    assert (401, "Bearer") == (rejected.status, rejected.headers["WWW-Authenticate"])


async def test_tokens_name_the_issuer(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The ID token and the access token name the issuer as the metadata does, and the client.
    """
    open_client.scope = "openid email offline_access"
    tokens = await open_client.sign_in(unique_email())

    claims: list[dict[str, Any]] = [claims_of(tokens[name]) for name in ("id_token", "access_token")]

    assert [sandbox.issuer_url] * 2 == [claim["iss"] for claim in claims]
    assert open_client.client_id == claims[0]["aud"] == claims[1]["azp"]
    assert claims[0]["exp"] - claims[0]["iat"] == 86_400


async def test_tokens_of_one_server_are_rejected_by_the_other(sandbox: Sandbox, open_client: OpenClient) -> None:
    """
    The issuer's access token cannot create an API key, and its refresh token is unknown to the partners' server.
    """
    tokens = await open_client.sign_in(unique_email(), full_access=True)
    headers = bearer(tokens["access_token"])

    key = await send(open_client.session, "POST", f"{sandbox.api_url}/apikey", json={"name": "key"}, headers=headers)
    claims = await send(open_client.session, "GET", f"{sandbox.auth_url}/userinfo", headers=headers)
    form = {
        "grant_type": "refresh_token",
        "client_id": sandbox.client_id,
        "refresh_token": tokens["refresh_token"],
    }
    refreshed = await send(open_client.session, "POST", f"{sandbox.auth_url}/oauth/token", data=form)

    assert [401, 401, 400] == [key.status, claims.status, refreshed.status]
    assert (await open_client.refresh(tokens["refresh_token"])).status == 200
