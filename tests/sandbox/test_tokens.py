"""The token endpoint, what tokens are good for, and API keys."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from tests.sandbox.callers import Caller, OAuthClient, ask, claims_of, unique_email

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


async def test_a_code_gives_tokens(client: OAuthClient) -> None:
    """
    The answer has everything that Upstash documents, and may not be kept.
    """
    answer = await client.exchange(await client.code(unique_email()))

    tokens = answer.json
    assert (200, "no-store") == (answer.status, answer.headers["Cache-Control"])
    assert {"access_token", "refresh_token", "id_token", "scope", "expires_in", "token_type"} == tokens.keys()
    assert (172_800, "Bearer", client.scope) == (tokens["expires_in"], tokens["token_type"], tokens["scope"])


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("openid", {"id_token"}), ("offline_access", {"refresh_token"}), ("email", set())],
)
async def test_only_what_was_asked_for_is_given(client: OAuthClient, scope: str, expected: set[str]) -> None:
    """
    A refresh token needs `offline_access`, an id_token `openid`.
    """
    client.scope = scope

    tokens = await client.sign_in(unique_email())

    assert expected == tokens.keys() & {"refresh_token", "id_token"}


async def test_tokens_are_signed_with_the_published_key(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Access token and id_token say who issued them for whom, and their signatures hold against the published key.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    access, identity = claims_of(tokens["access_token"]), claims_of(tokens["id_token"])

    assert {f"{sandbox.auth_url}/"} == {access["iss"], identity["iss"]}
    assert access["sub"] == identity["sub"]
    assert "upstash-api" in access["aud"]
    assert (client.sandbox.client_id, email) == (identity["aud"], identity["email"])
    configuration = await ask(client.session, "GET", f"{sandbox.auth_url}/.well-known/openid-configuration")
    keys = await ask(client.session, "GET", configuration.json["jwks_uri"])
    for token in (tokens["access_token"], tokens["id_token"]):
        verify(token, keys.json["keys"][0])


async def test_a_code_is_good_once(client: OAuthClient) -> None:
    """
    A code that is shown again is refused, and what it had given is revoked (RFC 6749, section 4.1.2).
    """
    code = await client.code(unique_email())
    tokens = (await client.exchange(code)).json

    again = await client.exchange(code)

    assert (400, "invalid_grant") == (again.status, again.json["error"])
    assert (await client.userinfo(tokens["access_token"])).status == 401
    assert (await client.refresh(tokens["refresh_token"])).json["error"] == "invalid_grant"


async def test_a_code_expires(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    A code is not good for longer than it may be.
    """
    code = await client.code(unique_email())
    await sandbox.settings(code_lifetime=0)

    answer = await client.exchange(code)

    assert (400, "invalid_grant") == (answer.status, answer.json["error"])


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
async def test_a_code_is_bound_to_its_request(
    client: OAuthClient, changes: dict[str, str | None], status: int, error: str
) -> None:
    """
    A code is exchanged only with its client, redirect URI and code verifier; else an error of RFC 6749, section 5.2.
    """
    code = await client.code(unique_email())

    fields: dict[str, Any] = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": "http://localhost:3000",
        "code_verifier": client.verifier,
    }
    answer = await client.token(**{**fields, **changes})

    assert (status, error) == (answer.status, answer.json["error"])
    assert (await client.exchange(code)).status == 200


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xfe", b"grant_type=%zz", b"grant_type=authorization_code&grant_type=refresh_token", b"{}"]
)
async def test_a_broken_token_request_is_an_error_of_the_caller(client: OAuthClient, body: bytes) -> None:
    """
    Whatever is sent to the token endpoint, the answer is JSON that says what is wrong.
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await ask(client.session, "POST", f"{client.sandbox.auth_url}/oauth/token", data=body, headers=headers)

    assert answer.status in {400, 401}
    assert answer.json["error"]


async def test_refreshing_gives_a_new_refresh_token(client: OAuthClient) -> None:
    """
    Each refresh gives a new access token and a new refresh token, which works in its turn.
    """
    tokens = await client.sign_in(unique_email())

    first = (await client.refresh(tokens["refresh_token"])).json
    second = (await client.refresh(first["refresh_token"])).json

    assert len({tokens["refresh_token"], first["refresh_token"], second["refresh_token"]}) == 3
    assert (await client.userinfo(second["access_token"])).status == 200


async def test_a_replaced_refresh_token_revokes_its_family(client: OAuthClient) -> None:
    """
    Who shows a refresh token that was replaced ends the grant for everybody (RFC 9700, section 4.14.2).
    """
    tokens = await client.sign_in(unique_email())
    newer = (await client.refresh(tokens["refresh_token"])).json

    reused = await client.refresh(tokens["refresh_token"])

    assert (400, "invalid_grant") == (reused.status, reused.json["error"])
    assert (await client.refresh(newer["refresh_token"])).json["error"] == "invalid_grant"
    assert (await client.userinfo(newer["access_token"])).status == 401


@pytest.mark.parametrize("revoked", ["access_token", "refresh_token"])
async def test_a_revoked_token_is_good_for_nothing(client: OAuthClient, revoked: str) -> None:
    """
    A revoked access token is refused; a revoked refresh token takes the access token along (RFC 7009).
    """
    tokens = await client.sign_in(unique_email())

    form = {"client_id": client.sandbox.client_id, "token": tokens[revoked]}
    answer = await ask(client.session, "POST", f"{client.sandbox.auth_url}/oauth/revoke", data=form)

    assert answer.status == 200
    assert (await client.userinfo(tokens["access_token"])).status == 401
    expected = 400 if revoked == "refresh_token" else 200
    assert (await client.refresh(tokens["refresh_token"])).status == expected


async def test_revoking_needs_the_client_and_tells_nothing(client: OAuthClient) -> None:
    """
    An unknown token is answered as if it had been revoked; an unknown client is refused.
    """
    url = f"{client.sandbox.auth_url}/oauth/revoke"

    unknown = await ask(client.session, "POST", url, data={"client_id": client.sandbox.client_id, "token": "made-up"})
    stranger = await ask(client.session, "POST", url, data={"client_id": "nobody", "token": "made-up"})
    empty = await ask(client.session, "POST", url, data={"client_id": client.sandbox.client_id})

    assert [200, 401, 400] == [unknown.status, stranger.status, empty.status]


# --- where the e-mail can be found ------------------------------------------------------------------------------------


async def test_each_place_of_the_email_can_be_switched(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    The e-mail is in the id_token and at /userinfo; the answer of /apikey and the access token have it if told so.
    """
    email = unique_email()
    await sandbox.settings(api_key_email=True, id_token_email=False, access_token_email=True, userinfo=False)

    tokens = await client.sign_in(email)
    key = await client.make_key(tokens["access_token"], "one")
    userinfo = await client.userinfo(tokens["access_token"])

    assert key.json["email"] == email
    assert "email" not in claims_of(tokens["id_token"])
    assert email in claims_of(tokens["access_token"]).values()
    assert userinfo.status == 503


async def test_without_switches_the_email_is_in_the_id_token_and_at_userinfo(client: OAuthClient) -> None:
    """
    As documented nowhere by Upstash, and as Auth0 does: /apikey does not name the e-mail.
    """
    email = unique_email()

    tokens = await client.sign_in(email)
    key = await client.make_key(tokens["access_token"], "one")

    assert "email" not in key.json
    assert email not in claims_of(tokens["access_token"]).values()
    assert {email} == {
        claims_of(tokens["id_token"])["email"],
        (await client.userinfo(tokens["access_token"])).json["email"],
    }


async def test_userinfo_needs_its_scopes(client: OAuthClient) -> None:
    """
    Without `email` no e-mail is told, and without `openid` nothing.
    """
    client.scope = "openid"
    with_openid = await client.userinfo((await client.sign_in(unique_email()))["access_token"])
    client.scope = "email"
    with_email = await client.userinfo((await client.sign_in(unique_email()))["access_token"])

    assert (200, {"sub"}) == (with_openid.status, with_openid.json.keys())
    assert with_email.status == 403


# --- API keys ---------------------------------------------------------------------------------------------------------


async def test_an_api_key_opens_the_developer_api(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    A key made with the access token works at once with the account's e-mail.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    answer = await client.make_key(tokens["access_token"], "HELPER_API_KEY_1")

    assert answer.status == 200
    caller = Caller(sandbox, client.session, email, answer.json["api_key"])
    assert (await caller.call("GET", "databases")).json == []


async def test_key_names_are_unique_in_an_account(client: OAuthClient) -> None:
    """
    The same name again is a conflict for the same account, and none for another one.
    """
    tokens = await client.sign_in(unique_email())
    other = await client.sign_in(unique_email())
    await client.make_key(tokens["access_token"], "one")

    again = await client.make_key(tokens["access_token"], "one")
    elsewhere = await client.make_key(other["access_token"], "one")

    assert [409, 200] == [again.status, elsewhere.status]
    assert "already exists" in again.json["error"]


async def test_an_account_holds_37_keys(client: OAuthClient) -> None:
    """
    The 38th key is refused with the reason, and 37 are there.
    """
    email = unique_email()
    tokens = await client.sign_in(email)
    await asyncio.gather(*(client.make_key(tokens["access_token"], f"key {number}") for number in range(37)))

    refused = await client.make_key(tokens["access_token"], "one too many")

    assert refused.status == 400
    assert "37" in refused.json["error"]
    assert len(await client.sandbox.api_key_names(email)) == 37


@pytest.mark.parametrize(
    "body", [b"", b"{}", b'{"name": ""}', b'{"name": 5}', b"[]", b'{"name": "\xff"}', b"[" * 100_000]
)
async def test_a_key_needs_a_name(client: OAuthClient, body: bytes) -> None:
    """
    A body without a usable name is refused, and makes no key.
    """
    email = unique_email()
    tokens = await client.sign_in(email)

    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    answer = await ask(client.session, "POST", f"{client.sandbox.api_url}/apikey", data=body, headers=headers)

    assert answer.status == 400
    assert answer.json["error"]
    assert await client.sandbox.api_key_names(email) == []


async def test_a_key_needs_an_access_token_for_the_api(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    No token, a made-up one, an expired one, an id_token or a token for another audience make no key.
    """
    email = unique_email()
    tokens = await client.sign_in(email)
    location = await sandbox.authorize(client.url(audience=None), email, "correct horse battery", sign_up=False)
    elsewhere = (await client.exchange(location.partition("code=")[2].partition("&")[0])).json
    await sandbox.settings(token_lifetime=0)
    expired = await client.sign_in(email, sign_up=False)

    shown = ["", "made-up", "ä", tokens["id_token"], elsewhere["access_token"], expired["access_token"]]
    answers = [await client.make_key(token, "one") for token in shown]

    assert [401] * len(shown) == [answer.status for answer in answers]
    assert await sandbox.api_key_names(email) == []


def verify(token: str, key: dict[str, str]) -> None:
    """Check a signature with a published key."""
    numbers = [int.from_bytes(base64.urlsafe_b64decode(key[name] + "==")) for name in ("e", "n")]
    signed, _, signature = token.rpartition(".")
    public_key = RSAPublicNumbers(*numbers).public_key()
    public_key.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode(), PKCS1v15(), SHA256())
