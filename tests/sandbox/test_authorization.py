"""The authorization request and the pages: RFC 6749, section 4.1, and RFC 7636."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp
import pytest

from tests.sandbox.callers import PASSWORD, REDIRECT_URI, OAuthClient, ask, parameters_of, unique_email
from tests.support.sandbox import SandboxFailed, read_page

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox


async def test_signing_up_sends_the_browser_back_with_a_code(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Who signs up lands at the redirect URI with a code, the unchanged state, and nothing else.
    """
    redirect = await sandbox.authorize(client.url(state="a b&c=d"), unique_email(), PASSWORD)

    found = parameters_of(redirect)
    assert redirect.startswith(f"{REDIRECT_URI}/?")
    assert {"code", "state"} == found.keys()
    assert found["state"] == "a b&c=d"


async def test_who_has_signed_up_can_sign_in(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    The account is there for the next sign-in, however the e-mail is capitalized.
    """
    email = unique_email()
    await sandbox.authorize(client.url(), email, PASSWORD)

    redirect = await sandbox.authorize(client.url(), email.upper(), PASSWORD, sign_up=False)

    assert "code" in parameters_of(redirect)


async def test_cancel_says_access_denied(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Cancel sends the browser back with `access_denied`, a description and the state.
    """
    found = parameters_of(await sandbox.cancel(client.url()))

    assert ("access_denied", "state-1") == (found["error"], found["state"])
    assert found["error_description"]


async def test_the_issuer_is_named_when_that_is_switched_on(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    With `redirect_iss` every redirect names the issuer (RFC 9207), the refusals too.
    """
    await sandbox.settings(redirect_iss=True)

    granted = await sandbox.authorize(client.url(), unique_email(), PASSWORD)
    refused = await sandbox.cancel(client.url())

    assert {f"{sandbox.auth_url}/"} == {parameters_of(granted)["iss"], parameters_of(refused)["iss"]}


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
async def test_a_wrong_client_or_redirect_uri_redirects_nowhere(
    client: OAuthClient, changes: dict[str, str | None]
) -> None:
    """
    Where it is not sure who asks, an error page is shown and the browser goes nowhere (RFC 6749, section 4.1.2.1).
    """
    answer = await ask(client.session, "GET", client.url(**changes))

    assert answer.status == 400
    assert "Location" not in answer.headers
    assert b"<form" not in answer.body


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
    ],
)
async def test_a_wrong_request_of_a_known_client_is_sent_back(
    client: OAuthClient, changes: dict[str, str | None], error: str
) -> None:
    """
    A known client learns by redirect what is wrong with its request, with its state.
    """
    answer = await ask(client.session, "GET", client.url(**changes))

    found = parameters_of(answer.headers["Location"])
    assert (303, error, "state-1") == (answer.status, found["error"], found["state"])


@pytest.mark.parametrize(
    "query", ["%", "client_id=%ff", "a=1&client_id=\\x00", "client_id=a&client_id=b", "&&&", "x" * 7000]
)
async def test_a_broken_query_gets_a_page(client: OAuthClient, query: str) -> None:
    """
    Whatever stands in the query, the answer is a page that says so.
    """
    answer = await ask(client.session, "GET", f"{client.sandbox.auth_url}/authorize?{query}")

    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_a_wrong_password_keeps_the_email(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    After a wrong password the page says so, and the e-mail stands in the form as it was typed.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)

    page = await submit(client, {"email": email, "password": "wrong", "intent": "sign-in"})

    assert (401, "Wrong e-mail or password.") == (page.status, page.message)
    assert page.fields["email"] == email
    assert page.fields["password"] == ""


async def test_an_unknown_email_is_answered_like_a_wrong_password(client: OAuthClient) -> None:
    """
    The page does not tell whether there is an account.
    """
    page = await submit(client, {"email": unique_email(), "password": "wrong", "intent": "sign-in"})

    assert (401, "Wrong e-mail or password.") == (page.status, page.message)


@pytest.mark.parametrize(
    ("email", "password", "part"),
    [("not an e-mail", PASSWORD, "e-mail address"), ("ada@example.com", "short", "at least 8")],
)
async def test_signing_up_says_what_is_wrong(client: OAuthClient, email: str, password: str, part: str) -> None:
    """
    A sign-up that cannot be is refused with the reason.
    """
    page = await submit(client, {"email": email, "password": password, "intent": "sign-up"})

    assert page.status == 400
    assert part in page.message


async def test_signing_up_twice_says_to_sign_in(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    An e-mail makes one account.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)

    with pytest.raises(SandboxFailed, match="Sign in instead"):
        await sandbox.authorize(client.url(), email, PASSWORD)


async def test_the_form_shows_what_is_asked_for(client: OAuthClient) -> None:
    """
    `screen_hint=signup` shows the sign-up form, `login_hint` fills in the e-mail, and both are escaped.
    """
    answer = await ask(client.session, "GET", client.url(screen_hint="signup", login_hint='"><script>'))

    assert b"<h1>Sign up</h1>" in answer.body
    assert b"<script>" not in answer.body
    assert read_page(answer.body.decode()).fields["email"] == '"><script>'


async def test_a_form_without_the_browsers_cookie_changes_nothing(sandbox: Sandbox, client: OAuthClient) -> None:
    """
    Another site cannot send the form in the user's name: without our cookie and token, or with its origin, no code.
    """
    email = unique_email()
    await sandbox.account(email, PASSWORD)
    typed = {"email": email, "password": PASSWORD, "intent": "sign-in"}

    blind = await ask(client.session, "POST", client.url(), data=typed)
    forged = await submit(client, typed, csrf="0" * 64)
    foreign = await submit(client, typed, origin="https://evil.example")

    assert [403, 403, 403] == [blind.status, forged.status, foreign.status]


async def test_the_pages_are_shut_tight(client: OAuthClient) -> None:
    """
    The page loads nothing from elsewhere, cannot be framed, is not kept, and its form goes only to us and the client.
    """
    answer = await ask(client.session, "GET", client.url())

    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["Content-Security-Policy"].split(";"))
    assert "'none'" == policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"]
    assert policy["form-action"] == f"'self' {REDIRECT_URI}"
    assert answer.headers["Cache-Control"] == "no-store"
    assert b"<script" not in answer.body


class Submitted:
    """The page that came back after a form was sent."""

    def __init__(self, status: int, html: str) -> None:
        page = read_page(html)
        self.status = status
        self.message = page.message
        self.fields = page.fields


async def submit(
    client: OAuthClient, typed: dict[str, str], *, csrf: str | None = None, origin: str | None = None
) -> Submitted:
    """Open the page, and send its form."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        shown = await ask(browser, "GET", client.url())
        hidden = read_page(shown.body.decode()).hidden | ({"csrf": csrf} if csrf else {})
        headers = {"Origin": origin or client.sandbox.auth_url, "Content-Type": "application/x-www-form-urlencoded"}
        answer = await ask(browser, "POST", client.url(), data=urlencode({**hidden, **typed}), headers=headers)
    return Submitted(answer.status, answer.body.decode())
