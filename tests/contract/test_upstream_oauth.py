"""The ``AuthorizationServer`` port, against a server that fails in many ways."""

import asyncio
import base64
import hashlib
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.support.clock import FakeClock
from tests.support.faulty import (
    Answer,
    Bytes,
    Flood,
    Hang,
    Reset,
    Step,
    answer,
    faulty,
    late,
    time_limit,
    unreadable_reason,
)
from tests.support.retries import retries
from upstash_helper.broker.models import Secret, TokenSet
from upstash_helper.broker.ports import AuthorizationFailed
from upstash_helper.protocol.messages import CONNECT_AGAIN, FAILURES
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.oauth import OAuth

CODE = Secret("c0de-s3cret")
VERIFIER = Secret("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk-s3cret")
TOKENS = TokenSet(access_token=Secret("at-s3cret"), refresh_token=Secret("rt-s3cret"), id_token=None)
GRANTED = {
    "access_token": "at-s3cret",
    "refresh_token": "rt-s3cret",
    "id_token": "it-s3cret",
    "scope": "offline_access",
    "expires_in": 172800,
    "token_type": "Bearer",
}


def jwt(claims: dict[str, Any]) -> Secret:
    """Return a JWT with these claims."""
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return Secret(f"eyJhbGciOiJSUzI1NiJ9.{payload}.c2ln")


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    upstream = HttpClient(clock=FakeClock(), retry_seconds=0.001)
    yield upstream
    await upstream.close()


def oauth(http: HttpClient, url: str, *, seconds: float = 20.0) -> OAuth:
    """Return the adapter for that server."""
    return OAuth(
        http=http,
        auth_url=url,
        client_id="client-1",
        redirect_uri="http://localhost:3000",
        exchange_seconds=seconds,
        revoke_seconds=seconds,
        userinfo_seconds=seconds,
    )


async def failed(server: OAuth) -> AuthorizationFailed:
    """Return the failure of an exchange."""
    with pytest.raises(AuthorizationFailed) as caught:
        await server.exchange(code=CODE, code_verifier=VERIFIER)
    return caught.value


# --- the authorization request ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["https://auth.upstash.com", "https://auth.upstash.com/", "http://127.0.0.1:8077"])
def test_authorization_url_follows_the_guideline(base: str) -> None:
    """
    The URL has all parameters of Upstash's guideline, a state, and PKCE's S256 challenge.
    """
    server = oauth(HttpClient(clock=FakeClock()), base)

    url = urlsplit(server.authorization_url(state=Secret("st4te"), code_verifier=VERIFIER))

    digest = hashlib.sha256(VERIFIER.reveal().encode()).digest()
    assert base.rstrip("/") == f"{url.scheme}://{url.netloc}"
    assert "/authorize" == url.path
    assert {
        "response_type": ["code"],
        "client_id": ["client-1"],
        "redirect_uri": ["http://localhost:3000"],
        "scope": ["offline_access openid email"],
        "audience": ["upstash-api"],
        "state": ["st4te"],
        "code_challenge": [base64.urlsafe_b64encode(digest).decode().rstrip("=")],
        "code_challenge_method": ["S256"],
    } == parse_qs(url.query)


def test_authorization_url_does_not_contain_the_verifier() -> None:
    """
    The browser's history is no help in redeeming a code.
    """
    server = oauth(HttpClient(clock=FakeClock()), "https://auth.upstash.com")

    url = server.authorization_url(state=Secret("st4te"), code_verifier=VERIFIER)

    assert VERIFIER.reveal() not in url


def test_issuer_ends_with_a_slash() -> None:
    """
    Auth0's issuers end with a slash, and Auth0 may leave them out of a redirect.
    """
    server = oauth(HttpClient(clock=FakeClock()), "https://auth.upstash.com")

    accepted = [server.is_issuer(issuer) for issuer in (None, "https://auth.upstash.com/", "https://auth.upstash.com")]

    assert [True, True, False] == accepted


# --- the exchange -----------------------------------------------------------------------------------------------------


async def test_code_is_exchanged_for_tokens(http: HttpClient) -> None:
    """
    The code is sent once, as a form, with the verifier and the same redirect URI.
    """
    async with faulty(answer(GRANTED)) as server:
        tokens = await oauth(http, server.url).exchange(code=CODE, code_verifier=VERIFIER)

        (request,) = server.requests

    assert (
        TokenSet(
            access_token=Secret("at-s3cret"),
            refresh_token=Secret("rt-s3cret"),
            id_token=Secret("it-s3cret"),
            expires_in=172_800.0,
        )
        == tokens
    )
    assert ("POST", "/oauth/token") == (request.method, request.target)
    assert "application/x-www-form-urlencoded" == request.headers["content-type"]
    assert {
        "grant_type": "authorization_code",
        "client_id": "client-1",
        "code": CODE.reveal(),
        "code_verifier": VERIFIER.reveal(),
        "redirect_uri": "http://localhost:3000",
        "audience": "upstash-api",
    } == dict(parse_qsl(request.body.decode()))


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": "openid"},
        {"scope": None},
        {"token_type": "bearer"},
        {"expires_in": "172800"},
        {"expires_in": None},
        {"expires_in": "soon"},
        {"expires_in": "9" * 400},
        {"expires_in": [], "expires_at": "soon"},
        {"refresh_token": None},
        {"id_token": 5},
        {"surprise": {"a": 1}},
    ],
    ids=str,
)
async def test_access_token_is_the_only_required_field(http: HttpClient, changes: dict[str, Any]) -> None:
    """
    Other scopes, spellings and missing fields do not fail a sign-in.
    """
    async with faulty(answer(GRANTED | changes)) as server:
        tokens = await oauth(http, server.url).exchange(code=CODE, code_verifier=VERIFIER)

    assert Secret("at-s3cret") == tokens.access_token


REFUSALS = [
    (answer({"error": "invalid_grant", "error_description": "Invalid authorization code"}, 403), "invalid_grant"),
    (answer({"error": "invalid_grant"}, 400), "invalid_grant"),
    (answer({"error": "invalid_grant"}, 200), "invalid_grant"),
    (answer({"error": "invalid_client"}, 401), "invalid_client"),
    (answer({"error": "access_denied", "error_description": "Unauthorized"}, 401), "invalid_client"),
    (Answer(401), "invalid_client"),
    (answer({"error": "unauthorized_client"}, 403), "invalid_client"),
    (answer({"error": "access_denied"}, 403), "access_denied"),
    (answer({"error": "unauthorized"}, 403), "unauthorized"),
    (answer({"error": "consent_required"}, 403), "consent_required"),
    (answer({"error": "login_required"}, 403), "login_required"),
    (answer({"error": "invalid_scope"}, 400), "invalid_request"),
    (answer({"error": "unsupported_grant_type"}, 400), "invalid_request"),
    (answer({"error": "something_new"}, 400), "invalid_request"),
    (answer({"error": "too_many_requests"}, 400), "rate_limited"),
    (Answer(429, b"", {"Retry-After": "17"}), "rate_limited"),
    (answer({"error": "temporarily_unavailable"}, 400), "server_error"),
    (answer({"error": "invalid_grant"}, 500), "server_error"),
    (Answer(502, b"<html>Bad gateway</html>", {"Content-Type": "text/html"}), "server_error"),
    (Answer(503), "server_error"),
]


@pytest.mark.parametrize(("step", "reason"), REFUSALS, ids=str)
async def test_t36_error_response_has_a_reason_and_is_not_retried(http: HttpClient, step: Answer, reason: str) -> None:
    """
    Any error of the token endpoint ends the sign-in with a reason, and the code was sent once.
    """
    async with faulty(step, answer(GRANTED)) as server:
        failure = await failed(oauth(http, server.url))

        assert reason == failure.reason
        assert 1 == len(server.requests)


async def test_t36_server_error_is_not_retried(http: HttpClient) -> None:
    """
    A 500 is a response, so the code is not sent again.
    """
    async with faulty(Answer(500), Answer(500), answer(GRANTED)) as server:
        failure = await failed(oauth(http, server.url))

        assert ("server_error", 1) == (failure.reason, len(server.requests))


async def test_t36_rate_limit_includes_retry_after(http: HttpClient) -> None:
    """
    The error includes the seconds of Retry-After.
    """
    async with faulty(Answer(429, b"", {"Retry-After": "17"})) as server:
        failure = await failed(oauth(http, server.url))

    assert "in 17 s" in failure.detail


UNREADABLE = [
    Answer(200, b"<!DOCTYPE html><title>Sign in</title>", {"Content-Type": "text/html"}),
    Answer(400, b"<html>Bad request</html>", {"Content-Type": "text/html"}),
    Answer(403, b"<html>Blocked</html>", {"Content-Type": "text/html"}),
    Answer(200, b""),
    Answer(200, b'{"access_token": "at'),
    Answer(200, b"access_token=at-s3cret&token_type=Bearer"),
    Answer(200, b"[" * 60_000),
    Answer(200, b"\xff\xfe"),
    Answer(204),
    answer([]),
    answer("text"),
    answer(None),
    answer({}),
    answer(GRANTED | {"access_token": ""}),
    answer(GRANTED | {"access_token": 5}),
    answer(GRANTED | {"access_token": "a\r\nX-Injected: 1"}),
    answer(GRANTED | {"token_type": "MAC"}),
    answer(GRANTED | {"scope": 5}),
    answer({"error": {"a": 1}}),
    answer({"error": None}, 200),
    answer(GRANTED, 201),
    Answer(302, b"", {"Location": "http://evil.test/oauth/token"}),
    Answer(307, b"", {"Location": "http://evil.test/oauth/token"}),
    Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    Bytes(b"HTTP/1.1 200 OK\r\nContent-Le", reset=True),
    Bytes(b"220 smtp.example ESMTP\r\n\r\n"),
    Answer(200, b" " * 10 * 1024 * 1024),
    Flood(b" " * 65536),
]


@pytest.mark.parametrize("step", UNREADABLE, ids=lambda step: str(step)[:60])
async def test_t36_unreadable_response_is_a_failure(http: HttpClient, step: Step) -> None:
    """
    HTML, broken JSON, a redirect or ten megabytes end the sign-in with a reason, after one request.
    """
    async with faulty(step, answer(GRANTED)) as server:
        failure = await failed(oauth(http, server.url))

        assert unreadable_reason(step) == failure.reason
        assert 1 == len(server.requests)


@pytest.mark.parametrize("step", [Hang(), Hang(b"HTTP/1.1 200 OK\r\n")], ids=["silent", "stops in the head"])
async def test_t36_silent_server_is_a_timeout(http: HttpClient, step: Hang) -> None:
    """
    The deadline ends the sign-in, and the code was sent once.
    """
    async with faulty(step, answer(GRANTED)) as server:
        failure = await failed(oauth(http, server.url, seconds=0.5))
        await server.gone.wait()

        assert ("timeout", 1) == (failure.reason, len(server.requests))


def test_t36_deadline_is_below_thirty_seconds() -> None:
    """
    The port promises at most thirty seconds.
    """
    from upstash_helper.upstream.oauth import EXCHANGE_SECONDS

    assert 20 < EXCHANGE_SECONDS < 30


async def test_t36_reset_before_a_response_is_retried(http: HttpClient) -> None:
    """
    A connection that breaks before the first byte of a response does not fail the sign-in.
    """
    async with faulty(Reset(), Bytes(b""), answer(GRANTED)) as server:
        tokens = await oauth(http, server.url).exchange(code=CODE, code_verifier=VERIFIER)

        assert Secret("at-s3cret") == tokens.access_token
        assert 3 == len(server.requests)


async def test_t36_code_used_before_a_reset_is_reported(http: HttpClient) -> None:
    """
    If the server redeemed the code before the reset, it rejects the retry, and the user is told to connect again.
    """
    async with faulty(Reset(), answer({"error": "invalid_grant"}, 403), answer(GRANTED)) as server:
        failure = await failed(oauth(http, server.url))

        assert ("invalid_grant", 2) == (failure.reason, len(server.requests))
        assert CONNECT_AGAIN in FAILURES[failure.reason].steps


async def test_t36_resets_end_after_three_attempts(http: HttpClient) -> None:
    """
    A server that always resets gets the code three times, with a delay before each retry.
    """
    async with faulty(*[Reset()] * 5) as server:
        with retries() as seen:
            failure = await failed(oauth(http, server.url))

        assert ("network_error", 3) == (failure.reason, len(server.requests))
        assert [True, True] == [retry.wait_for > 0 for retry in seen]


async def test_t36_unreachable_server_is_a_network_error(http: HttpClient) -> None:
    """
    A refused connection is retried twice.
    """
    async with late() as (server, _):
        with retries() as seen:
            failure = await failed(oauth(http, server.url))

    assert ("network_error", 2) == (failure.reason, len(seen))


async def test_t36_restarting_server_does_not_fail_the_sign_in(http: HttpClient) -> None:
    """
    A connection that is refused once only costs a delay.
    """
    async with late(answer(GRANTED)) as (server, come_up):
        with retries(then=come_up):
            tokens = await oauth(http, server.url).exchange(code=CODE, code_verifier=VERIFIER)

    assert Secret("at-s3cret") == tokens.access_token


# --- email addresses --------------------------------------------------------------------------------------------------


async def test_emails_are_ordered_by_trust(http: HttpClient) -> None:
    """
    They come from the id_token, the access token and /userinfo, in this order, without duplicates.
    """
    tokens = TokenSet(
        access_token=jwt({"https://upstash.com/email": "second@b.example"}), id_token=jwt({"email": "first@b.example"})
    )
    async with faulty(answer({"email": "third@b.example", "x/email": "first@b.example"})) as server:
        emails = await oauth(http, server.url).email_of(tokens)

        (request,) = server.requests

    assert ("first@b.example", "second@b.example", "third@b.example") == emails
    assert f"Bearer {tokens.access_token.reveal()}" == request.headers["authorization"]
    assert "/userinfo" == request.target


@pytest.mark.parametrize(
    "step",
    [
        Answer(401),
        Answer(200, b"<html>"),
        answer(["a@b.example"]),
        answer({"email": None}),
        answer({"email": "a@b.example"}, 500),
        Answer(302, b"", {"Location": "http://evil.test"}),
        Hang(),
        Reset(),
    ],
    ids=str,
)
async def test_missing_email_is_not_a_failure(http: HttpClient, step: Step) -> None:
    """
    Without an email address the sign-in continues, and the user is asked for it.
    """
    async with faulty(*[step] * 3) as server:
        assert () == await oauth(http, server.url, seconds=time_limit(step)).email_of(TOKENS)


# --- revocation -------------------------------------------------------------------------------------------------------


async def test_refresh_token_is_revoked_first(http: HttpClient) -> None:
    """
    Both tokens are revoked (RFC 7009), first the one that lives longer.
    """
    async with faulty(Answer(200), Answer(400)) as server:
        await oauth(http, server.url).revoke(TOKENS)

        bodies = [dict(parse_qsl(request.body.decode())) for request in server.requests]

    assert ["POST /oauth/revoke"] * 2 == server.sends
    assert [
        {"token": "rt-s3cret", "token_type_hint": "refresh_token", "client_id": "client-1"},
        {"token": "at-s3cret", "token_type_hint": "access_token", "client_id": "client-1"},
    ] == bodies


@pytest.mark.parametrize(
    "step", [Answer(500), Reset(), Bytes(b"x"), Flood(b"x" * 9999)], ids=lambda step: str(step)[:20]
)
async def test_failed_revocation_is_ignored(http: HttpClient, step: Step) -> None:
    """
    Nothing depends on a revocation, and the second token is tried whatever happened to the first.
    """
    async with faulty(*[step] * 3, Answer(200)) as server:
        await oauth(http, server.url).revoke(TOKENS)

        assert {"rt-s3cret", "at-s3cret"} == {dict(parse_qsl(each.body.decode()))["token"] for each in server.requests}


async def test_revocation_ends_at_its_deadline(http: HttpClient) -> None:
    """
    The deadline applies to both tokens together.
    """
    async with faulty(Hang(), Hang()) as server:
        await oauth(http, server.url, seconds=0.5).revoke(TOKENS)

        assert 1 == len(server.requests)


# --- secrets ----------------------------------------------------------------------------------------------------------


ECHO = {"error": "invalid_grant", "error_description": f"code {CODE.reveal()} with {VERIFIER.reveal()} is no good"}


@pytest.mark.parametrize(
    "step",
    [answer(GRANTED), answer(ECHO, 403), answer({"error": CODE.reveal()}, 400), Reset(), Hang(), Bytes(b"s3cret")],
    ids=lambda step: str(step)[:20],
)
async def test_t36_logs_and_errors_contain_no_secrets(
    http: HttpClient, caplog: pytest.LogCaptureFixture, step: Step
) -> None:
    """
    A whole sign-in at DEBUG, with an endpoint that repeats requests, leaves no secret in logs or errors.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    texts: list[str] = []
    async with faulty(*[step] * 10) as server:
        adapter = oauth(http, server.url, seconds=0.1 if isinstance(step, Hang) else 1.0)
        try:
            texts.append(repr(await adapter.exchange(code=CODE, code_verifier=VERIFIER)))
        except AuthorizationFailed as failure:
            logging.getLogger("test").exception("failed")
            texts += [repr(failure), failure.detail, repr(failure.__context__), repr(failure.__cause__)]
        texts.append(repr(await adapter.email_of(TOKENS)))
        await adapter.revoke(TOKENS)

    logged = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert caplog.records
    assert all("s3cret" not in text for text in [*texts, *logged])
