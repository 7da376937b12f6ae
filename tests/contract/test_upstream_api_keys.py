"""The ``KeyIssuer`` port, against an API that fails in many ways."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Bytes, Flood, Hang, Reset, Step, answer, faulty, late, time_limit
from tests.support.retries import retries
from upstash_helper.broker.models import IssuedKey, Secret
from upstash_helper.broker.ports import AuthorizationFailed, KeyNameTaken
from upstash_helper.upstream.api_keys import ApiKeyIssuer
from upstash_helper.upstream.http_client import HttpClient

NAME = "UPSTASH_HELPER_API_KEY_1784000000"
TOKEN = Secret("access-s3cret")
MADE = {"api_key": "key-s3cret", "name": NAME}


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    upstream = HttpClient(clock=FakeClock(), retry_seconds=0.001)
    yield upstream
    await upstream.close()


async def failed(http: HttpClient, url: str, *, seconds: float = 20.0) -> AuthorizationFailed:
    """Return the failure of creating a key."""
    with pytest.raises(AuthorizationFailed) as caught:
        await ApiKeyIssuer(http=http, api_url=url, issue_seconds=seconds).issue(access_token=TOKEN, name=NAME)
    return caught.value


async def test_key_is_created_with_the_access_token(http: HttpClient) -> None:
    """
    The request follows Upstash's guideline: `POST /apikey`, a bearer token, a name.
    """
    async with faulty(answer(MADE)) as server:
        issued = await ApiKeyIssuer(http=http, api_url=f"{server.url}/").issue(access_token=TOKEN, name=NAME)

        (request,) = server.requests

    assert IssuedKey(api_key=Secret("key-s3cret")) == issued
    assert "POST /apikey" == f"{request.method} {request.target}"
    assert ("Bearer access-s3cret", "application/json") == (
        request.headers["authorization"],
        request.headers["content-type"],
    )
    assert {"name": NAME} == json.loads(request.body)


@pytest.mark.parametrize(
    ("field", "email"),
    [({"email": "ada@b.example"}, "ada@b.example"), ({"email": "nobody"}, None), ({"email": 5}, None), ({}, None)],
)
async def test_email_in_the_response_is_returned(http: HttpClient, field: dict[str, object], email: str | None) -> None:
    """
    An email address in the response is used; an invalid one is ignored.
    """
    async with faulty(answer(MADE | field, 201)) as server:
        issued = await ApiKeyIssuer(http=http, api_url=server.url).issue(access_token=TOKEN, name=NAME)

    assert email == issued.email


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (answer({"error": "unauthorized"}, 401), "api_key_refused"),
        (answer({"error": "token limit of 37"}, 401), "api_key_refused"),
        (Answer(403), "api_key_refused"),
        (answer({"error": "api key name already exists"}, 409), "api_key_refused"),
        (answer({"error": "bad name"}, 400), "api_key_refused"),
        (Answer(404, b"<html>", {"Content-Type": "text/html"}), "api_key_refused"),
        (answer({"error": "You can have at most 37 api keys"}, 400), "api_key_limit"),
        (answer({"message": "API key limit reached"}, 409), "api_key_limit"),
        (answer("Maximum number of keys", 403), "api_key_limit"),
        (Answer(429, b"", {"Retry-After": "8"}), "rate_limited"),
        (Answer(500), "server_error"),
        (Answer(503), "server_error"),
        (answer({}), "invalid_response"),
        (answer([]), "invalid_response"),
        (answer({"api_key": ""}), "invalid_response"),
        (answer({"api_key": None}), "invalid_response"),
        (answer({"api_key": "two words"}), "invalid_response"),
        (Answer(200, b'{"api_key": "key-s'), "invalid_response"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "network_error"),
        (Answer(200, b"\xff"), "invalid_response"),
        (Answer(302, b"", {"Location": "http://evil.test"}), "network_error"),
        (Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"), "invalid_response"),
        (Flood(b" " * 65536), "invalid_response"),
        (Reset(), "network_error"),
        (Bytes(b""), "network_error"),
        (Hang(), "timeout"),
    ],
    ids=lambda value: str(value)[:70],
)
async def test_t36_key_request_is_sent_once(http: HttpClient, step: Step, reason: str) -> None:
    """
    Every failure has a reason, and no second request leaves an unused key in the account.
    """
    async with faulty(step, answer(MADE)) as server:
        failure = await failed(http, server.url, seconds=time_limit(step))

        assert reason == failure.reason
        assert 1 == len(server.requests)


async def test_taken_name_has_its_own_error(http: HttpClient) -> None:
    """
    No key was created, so another name can be tried.
    """
    async with faulty(answer({"error": "api key name already exists"}, 409)) as server:
        taken = await failed(http, server.url)
    async with faulty(answer({"error": "bad name"}, 400)) as server:
        refused = await failed(http, server.url)

    assert [True, False] == [isinstance(failure, KeyNameTaken) for failure in (taken, refused)]


@pytest.mark.parametrize(
    "step",
    [Reset(), Hang(), Answer(500), Answer(200, b"{"), Bytes(b"HTTP/1.1 2"), Flood(b" " * 65536)],
    ids=lambda step: str(step)[:30],
)
async def test_lost_response_names_the_key(http: HttpClient, step: Step) -> None:
    """
    If a key may have been created, the user learns its name and where to delete it.
    """
    async with faulty(step) as server:
        failure = await failed(http, server.url, seconds=time_limit(step))

    assert NAME in failure.detail
    assert "Account → Management API" in failure.detail


async def test_unsent_request_is_retried_without_naming_a_key(http: HttpClient) -> None:
    """
    Without a connection no key was created, and the error does not mention one.
    """
    async with late() as (server, _):
        with retries() as seen:
            failure = await failed(http, server.url)

    assert ("network_error", 2) == (failure.reason, len(seen))
    assert NAME not in failure.detail


async def test_upstashs_error_text_is_quoted(http: HttpClient) -> None:
    """
    The reason is quoted without unsafe characters.
    """
    async with faulty(answer({"error": f"the name is taken\x07 ({TOKEN.reveal()})"}, 409)) as server:
        failure = await failed(http, server.url)

    assert failure.detail.endswith("Upstash says: the name is taken (…)")


@pytest.mark.parametrize(
    "step", [answer(MADE), answer({"error": "no: access-s3cret"}, 403), Hang(), Answer(200, b"s3cret")]
)
async def test_logs_and_errors_contain_no_secrets(
    http: HttpClient, caplog: pytest.LogCaptureFixture, step: Step
) -> None:
    """
    At DEBUG neither the token nor the key appears in the log, a repr or an error.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with faulty(step) as server:
        try:
            shown = repr(
                await ApiKeyIssuer(http=http, api_url=server.url, issue_seconds=time_limit(step)).issue(
                    access_token=TOKEN, name=NAME
                )
            )
        except AuthorizationFailed as failure:
            logging.getLogger("test").exception("failed")
            shown = f"{failure!r} {failure.__context__!r} {failure.__cause__!r}"

    logged = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert caplog.records
    assert all("s3cret" not in text for text in [shown, *logged])
