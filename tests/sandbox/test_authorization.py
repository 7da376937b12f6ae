"""The authorization endpoint and its pages (RFC 6749, section 4.1, and RFC 7636)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.sandbox.callers import PASSWORD, REDIRECT_URI, OAuthClient, parameters_of, send, unique_email
from tests.support.sandbox import SandboxFailed, read_page

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


async def test_sign_up_redirects_with_a_code(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    After signing up, the browser is redirected to the redirect URI with a code, the unchanged state, and nothing else.
    """
    redirect = await sandbox.authorize(client.url(state="a b&c=d"), unique_email(), PASSWORD)

    found = parameters_of(redirect)
    assert redirect.startswith(f"{REDIRECT_URI}/?")
    assert {"code", "state"} == found.keys()
    assert found["state"] == "a b&c=d"


async def test_existing_account_can_sign_in(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    An account that signed up can sign in, whatever the capitalization of the email.
    """
    email = unique_email()
    await sandbox.authorize(client.url(), email, PASSWORD)

    redirect = await sandbox.authorize(client.url(), email.upper(), PASSWORD, sign_up=False)

    assert "code" in parameters_of(redirect)


async def test_cancel_redirects_with_access_denied(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Cancel redirects the browser with `access_denied`, a description, and the state.
    """
    found = parameters_of(await sandbox.cancel(client.url()))

    assert ("access_denied", "state-1") == (found["error"], found["state"])
    assert found["error_description"]


async def test_redirects_name_the_issuer_if_configured(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    With the setting `redirect_iss`, every redirect names the issuer (RFC 9207), including errors.
    """
    await sandbox.settings(redirect_iss=True)

    granted = await sandbox.authorize(client.url(), unique_email(), PASSWORD)
    denied = await sandbox.cancel(client.url())

    assert {f"{sandbox.auth_url}/"} == {parameters_of(granted)["iss"], parameters_of(denied)["iss"]}


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"redirect_uri": None},
        {"redirect_uri": "http://localhost:3000/"},
        {"redirect_uri": "http://localhost:3001"},
        {"redirect_uri": "http://localhost:3000@evil.example"},
        {"redirect_uri": "not an address"},
    ],
)
async def test_invalid_client_or_redirect_uri_shows_an_error_page(
    client: OAuthClient, changes: dict[str, str | None]
) -> None:
    """
    If the client or redirect URI is invalid, an error page is shown, without a redirect (RFC 6749, section 4.1.2.1).
    """
    response = await send(client.session, "GET", client.url(**changes))

    assert response.status == 400
    assert "Location" not in response.headers
    assert b"<form" not in response.body


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"audience": "somebody-else"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"scope": "openid admin"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"response_mode": "form_post"}, "invalid_request"),
    ],
)
async def test_invalid_request_of_a_registered_client_redirects_with_the_error(
    client: OAuthClient, changes: dict[str, str | None], error: str
) -> None:
    """
    A registered client receives the error and its state by redirect.
    """
    response = await send(client.session, "GET", client.url(**changes))

    found = parameters_of(response.headers["Location"])
    assert (303, error, "state-1") == (response.status, found["error"], found["state"])


@pytest.mark.parametrize(
    "query", ["%", "client_id=%ff", "a=1&client_id=\\x00", "client_id=a&client_id=b", "&&&", "x" * 7000]
)
async def test_malformed_query_shows_an_error_page(client: OAuthClient, query: str) -> None:
    """
    A malformed query is answered with an error page.
    """
    response = await send(client.session, "GET", f"{client.sandbox.auth_url}/authorize?{query}")

    assert response.status == 400
    assert response.headers["Content-Type"].startswith("text/html")


async def test_wrong_password_keeps_the_entered_email(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    After a wrong password, the form is shown again with an error and the email that was entered.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)

    page = await submit(client, {"email": email, "password": "wrong", "intent": "sign-in"})

    assert (401, "Wrong email or password.") == (page.status, page.message)
    assert page.fields["email"] == email
    assert page.fields["password"] == ""


async def test_unknown_email_has_the_same_error_as_a_wrong_password(client: OAuthClient) -> None:
    """
    The error for an unknown email is the same as for a wrong password.
    """
    page = await submit(client, {"email": unique_email(), "password": "wrong", "intent": "sign-in"})

    assert (401, "Wrong email or password.") == (page.status, page.message)


@pytest.mark.parametrize(
    ("email", "password", "part"),
    [("not an email", PASSWORD, "email address"), ("ada@example.com", "short", "at least 8")],
)
async def test_invalid_sign_up_shows_the_reason(client: OAuthClient, email: str, password: str, part: str) -> None:
    """
    Signing up with an invalid email or password shows the reason.
    """
    page = await submit(client, {"email": email, "password": password, "intent": "sign-up"})

    assert page.status == 400
    assert part in page.message


async def test_signing_up_twice_is_rejected(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    An email can have only one account.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)

    with pytest.raises(SandboxFailed, match="Sign in instead"):
        await sandbox.authorize(client.url(), email, PASSWORD)


async def test_screen_hint_and_login_hint_are_applied(client: OAuthClient) -> None:
    """
    `screen_hint=signup` shows the sign-up form, and `login_hint` is filled in as the email, escaped.
    """
    response = await send(client.session, "GET", client.url(screen_hint="signup", login_hint='"><script>'))

    assert b"<h1>Sign up</h1>" in response.body
    assert b"<script>" not in response.body
    assert read_page(response.body.decode()).fields["email"] == '"><script>'


async def test_form_is_protected_against_csrf(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Another site cannot submit the form (CSRF): a missing cookie, a wrong token, or a foreign origin is 403.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)
    fields = {"email": email, "password": PASSWORD, "intent": "sign-in"}

    without_cookie = await send(client.session, "POST", client.url(), data=fields)
    wrong_token = await submit(client, fields, csrf="0" * 64)
    foreign_origin = await submit(client, fields, origin="https://evil.example")

    assert [403, 403, 403] == [without_cookie.status, wrong_token.status, foreign_origin.status]


async def test_page_has_a_strict_content_security_policy(client: OAuthClient) -> None:
    """
    The page loads no external resources, cannot be framed or cached, and its form goes only to the server and client.
    """
    response = await send(client.session, "GET", client.url())

    policy = dict(part.strip().partition(" ")[::2] for part in response.headers["Content-Security-Policy"].split(";"))
    assert "'none'" == policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"]
    assert policy["form-action"] == f"'self' {REDIRECT_URI}"
    assert response.headers["Cache-Control"] == "no-store"
    assert b"<script" not in response.body


class Submitted:
    """The page returned after a form was submitted."""

    def __init__(self, status: int, html: str) -> None:
        page = read_page(html)
        self.status = status
        self.message = page.message
        self.fields = page.fields


async def submit(
    client: OAuthClient, fields: dict[str, str], *, csrf: str | None = None, origin: str | None = None
) -> Submitted:
    """Open the page, and submit its form."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        form = await send(browser, "GET", client.url())
        hidden = read_page(form.body.decode()).hidden | ({"csrf": csrf} if csrf else {})
        headers = {"Origin": origin or client.sandbox.auth_url, "Content-Type": "application/x-www-form-urlencoded"}
        response = await send(browser, "POST", client.url(), data=urlencode({**hidden, **fields}), headers=headers)
    return Submitted(response.status, response.body.decode())
