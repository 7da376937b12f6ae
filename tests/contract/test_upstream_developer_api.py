"""The ``DatabasesApi`` port, against an API that fails in many ways."""

import asyncio
import base64
import contextlib
import functools
import json
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.support.clock import FakeClock
from tests.support.faulty import (
    Answer,
    Bytes,
    Faulty,
    Flood,
    Hang,
    Reset,
    Step,
    answer,
    faulty,
    late,
    time_limit,
    tunnel,
)
from tests.support.retries import retries
from upstash_helper.broker import models
from upstash_helper.broker.errors import HelperError
from upstash_helper.broker.models import Change, Credential, DatabaseSecrets, NewDatabase, Secret
from upstash_helper.system.proxies import ProxySettings
from upstash_helper.system.trust import tls_context
from upstash_helper.upstream.developer_api import DeveloperApi
from upstash_helper.upstream.http_client import HttpClient

CREDENTIAL = Credential(email="adä@b.example", api_key=Secret("key-s3cret"), method="oauth", since=0.0)
NEW = NewDatabase(name="cache", primary_region="us-east-1")
DOCUMENT = {
    "database_id": "id-1",
    "database_name": "cache",
    "endpoint": "slug-1",
    "port": 6379,
    "state": "active",
    "tls": True,
    "primary_region": "us-east-1",
    "password": "pw-s3cret",
    "rest_token": "rest-s3cret",
    "read_only_rest_token": "ro-s3cret",
}

Verb = Callable[[DeveloperApi], Awaitable[object]]
VERBS: dict[str, Verb] = {
    "list": lambda api: api.list(CREDENTIAL),
    "get": lambda api: api.get(CREDENTIAL, "id-1"),
    "create": lambda api: api.create(CREDENTIAL, NEW),
    "change": lambda api: api.change(CREDENTIAL, "id-1", models.Rename("other")),
    "delete": lambda api: api.delete(CREDENTIAL, "id-1"),
}
READING = {"list", "get"}
FINE: dict[str, Answer] = {
    "list": answer([DOCUMENT]),
    "get": answer(DOCUMENT),
    "create": answer(DOCUMENT),
    "change": answer("OK"),
    "delete": answer("OK"),
}

every_verb = pytest.mark.parametrize("verb", VERBS)


@pytest.fixture
async def clock() -> FakeClock:
    """The client's clock."""
    return FakeClock()


@pytest.fixture
async def http(clock: FakeClock) -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    upstream = HttpClient(clock=clock, retry_seconds=0.001)
    yield upstream
    await upstream.close()


def api(http: HttpClient, server: Faulty, *, seconds: float = 20.0) -> DeveloperApi:
    """Return the adapter for that server."""
    return DeveloperApi(http=http, api_url=server.url, read_seconds=seconds, write_seconds=seconds)


async def failed(verb: str, subject: DeveloperApi) -> HelperError:
    """Return the error of a call."""
    with pytest.raises(HelperError) as caught:
        await VERBS[verb](subject)
    return caught.value


# --- requests ---------------------------------------------------------------------------------------------------------


@every_verb
async def test_credential_is_sent_as_http_basic(http: HttpClient, verb: str) -> None:
    """
    Each request has the email address and the key, as UTF-8.
    """
    async with faulty(FINE[verb]) as server:
        await VERBS[verb](api(http, server))

        (request,) = server.requests

    scheme, _, encoded = request.headers["authorization"].partition(" ")
    assert ("Basic", "adä@b.example:key-s3cret") == (scheme, base64.b64decode(encoded).decode())


@every_verb
async def test_nothing_is_sent_without_an_email(http: HttpClient, verb: str) -> None:
    """
    An incomplete credential is not tried.
    """
    half = Credential(email=None, api_key=Secret("key-s3cret"), method="oauth", since=0.0)
    verbs: dict[str, Verb] = {
        "list": lambda api: api.list(half),
        "get": lambda api: api.get(half, "id-1"),
        "create": lambda api: api.create(half, NEW),
        "change": lambda api: api.change(half, "id-1", models.ResetPassword()),
        "delete": lambda api: api.delete(half, "id-1"),
    }
    async with faulty() as server:
        with pytest.raises(HelperError) as caught:
            await verbs[verb](api(http, server))

        assert ("reconnect_required", []) == (caught.value.code, server.sends)


@pytest.mark.parametrize(
    ("changes", "body"),
    [
        ({}, {"platform": "aws", "primary_region": "us-east-1"}),
        ({"primary_region": "us-central1"}, {"platform": "gcp", "primary_region": "us-central1"}),
        ({"primary_region": "us-east4"}, {"platform": "gcp", "primary_region": "us-east4"}),
        ({"primary_region": "europe-west1"}, {"platform": "gcp", "primary_region": "europe-west1"}),
        ({"primary_region": "asia-northeast1"}, {"platform": "gcp", "primary_region": "asia-northeast1"}),
        ({"primary_region": "mars-north-1"}, {"platform": "aws", "primary_region": "mars-north-1"}),
        ({"platform": "gcp"}, {"platform": "gcp", "primary_region": "us-east-1"}),
        ({"tls": False}, {"platform": "aws", "primary_region": "us-east-1", "tls": False}),
        (
            {"read_regions": ("us-west-1",), "plan": "payg", "budget": 0, "eviction": False, "tls": True},
            {
                "platform": "aws",
                "primary_region": "us-east-1",
                "read_regions": ["us-west-1"],
                "plan": "payg",
                "budget": 0,
                "eviction": False,
                "tls": True,
            },
        ),
    ],
    ids=str,
)
async def test_create_sends_only_the_given_fields(
    http: HttpClient, changes: dict[str, Any], body: dict[str, Any]
) -> None:
    """
    Fields that the user left out are left to Upstash.
    """
    new = NewDatabase(**{"name": "cache", "primary_region": "us-east-1"} | changes)
    async with faulty(answer(DOCUMENT)) as server:
        await api(http, server).create(CREDENTIAL, new)

        (request,) = server.requests

    assert ["POST /v2/redis/database"] == server.sends
    assert {"database_name": "cache"} | body == json.loads(request.body)


@pytest.mark.parametrize(
    ("change", "sent", "body"),
    [
        (models.Rename("other"), "POST /v2/redis/rename/id-1", {"name": "other"}),
        (models.SetEviction(True), "POST /v2/redis/enable-eviction/id-1", None),
        (models.SetEviction(False), "POST /v2/redis/disable-eviction/id-1", None),
        (models.SetAutoUpgrade(True), "POST /v2/redis/enable-autoupgrade/id-1", None),
        (models.SetAutoUpgrade(False), "POST /v2/redis/disable-autoupgrade/id-1", None),
        (models.SetDailyBackup(True), "PATCH /v2/redis/enable-dailybackup/id-1", None),
        (models.SetDailyBackup(False), "PATCH /v2/redis/disable-dailybackup/id-1", None),
        (models.SetReadRegions(("us-west-1",)), "POST /v2/redis/update-regions/id-1", {"read_regions": ["us-west-1"]}),
        (models.SetReadRegions(()), "POST /v2/redis/update-regions/id-1", {"read_regions": []}),
        (models.SetPlan("fixed_1gb"), "POST /v2/redis/id-1/change-plan", {"plan_name": "fixed_1gb"}),
        (models.SetBudget(20), "PATCH /v2/redis/update-budget/id-1", {"budget": 20}),
        (models.EnableTls(), "POST /v2/redis/enable-tls/id-1", None),
        (models.ResetPassword(), "POST /v2/redis/reset-password/id-1", None),
    ],
    ids=str,
)
@pytest.mark.parametrize("success", [answer("OK"), answer(DOCUMENT), Answer(204)], ids=["OK", "document", "nothing"])
async def test_each_change_is_one_request(
    http: HttpClient, change: Change, sent: str, body: dict[str, Any] | None, success: Answer
) -> None:
    """
    A change uses the route in the API's document, and any 2xx status is a success.
    """
    async with faulty(success) as server:
        await api(http, server).change(CREDENTIAL, "id-1", change)

        (request,) = server.requests

    assert [sent] == server.sends
    assert body == (json.loads(request.body) if request.body else None)


@pytest.mark.parametrize(
    "database_id", ["", ".", "..", "a/b", "../databases", "a?b", "a%2Fb", "a b", "ä", "a\n", "x" * 129]
)
@pytest.mark.parametrize("verb", ["get", "change", "delete"])
async def test_invalid_id_is_rejected_before_building_the_url(http: HttpClient, verb: str, database_id: str) -> None:
    """
    An invalid id is reported as not found, and nothing is sent.
    """
    verbs: dict[str, Verb] = {
        "get": lambda api: api.get(CREDENTIAL, database_id),
        "change": lambda api: api.change(CREDENTIAL, database_id, models.EnableTls()),
        "delete": lambda api: api.delete(CREDENTIAL, database_id),
    }
    async with faulty() as server:
        with pytest.raises(HelperError) as caught:
            await verbs[verb](api(http, server))

        assert ("database_not_found", []) == (caught.value.code, server.sends)


# --- responses --------------------------------------------------------------------------------------------------------


async def test_list_returns_all_databases(http: HttpClient) -> None:
    """
    The list includes databases with hardly any data, and no secrets.
    """
    async with faulty(answer([DOCUMENT, {"database_id": "id-2", "state": "passive"}])) as server:
        databases = await api(http, server).list(CREDENTIAL)

    assert ["GET /v2/redis/databases"] == server.sends
    assert [("id-1", "slug-1.upstash.io"), ("id-2", "")] == [(each.id, each.host) for each in databases]
    assert "s3cret" not in repr(databases)


async def test_list_may_be_empty(http: HttpClient) -> None:
    """
    An empty list is not an error.
    """
    async with faulty(answer([])) as server:
        assert () == await api(http, server).list(CREDENTIAL)


async def test_get_returns_the_database_with_its_secrets(http: HttpClient) -> None:
    """
    The secrets are there, and are not in the repr.
    """
    async with faulty(answer(DOCUMENT)) as server:
        database, secrets = await api(http, server).get(CREDENTIAL, "id-1")

    assert ["GET /v2/redis/database/id-1"] == server.sends
    assert ("id-1", "https://slug-1.upstash.io") == (database.id, database.rest_url)
    assert (
        DatabaseSecrets(
            password=Secret("pw-s3cret"), rest_token=Secret("rest-s3cret"), read_only_rest_token=Secret("ro-s3cret")
        )
        == secrets
    )
    assert "s3cret" not in repr(secrets)


async def test_sandbox_on_this_machine_names_its_ca_file(http: HttpClient, tmp_path: Path) -> None:
    """
    The file is among what clients need to connect.
    """
    file = tmp_path / "ca.pem"
    file.touch()
    async with faulty(answer(DOCUMENT | {"tls_ca": str(file)})) as server:
        _, secrets = await api(http, server).get(CREDENTIAL, "id-1")

    assert str(file) == secrets.ca_file


async def test_other_machines_name_no_ca_file(tmp_path: Path) -> None:
    """
    What clients on this machine trust is not for another one to say, even if it names a file that exists here.
    """
    file = tmp_path / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(file)
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("api.upstash.test").configure_cert(inside)
    document = answer(DOCUMENT | {"tls_ca": str(file)})
    async with faulty(document, tls=inside) as server, tunnel(server.url) as carried:
        tls = functools.partial(tls_context, file)
        http = HttpClient(clock=FakeClock(), tls=tls, proxies=ProxySettings(https_proxy=carried.url))
        _, secrets = await DeveloperApi(http=http, api_url="https://api.upstash.test").get(CREDENTIAL, "id-1")
        await http.close()

    assert ("pw-s3cret", None) == (secrets.password.reveal(), secrets.ca_file)


@pytest.mark.parametrize(
    "value", ["{}", "{}/missing.pem", "ca.pem", "{}/a\nb", "\0", "", 1, True, None, [], {"a": "b"}]
)
async def test_ca_file_that_is_not_here_is_not_named(http: HttpClient, tmp_path: Path, value: object) -> None:
    """
    A sandbox behind a forwarded port names a file of another machine. Its databases can be used nevertheless.
    """
    named = value.format(tmp_path) if isinstance(value, str) else value
    with contextlib.suppress(OSError):  # Windows has no such names
        (tmp_path / "a\nb").touch()
    async with faulty(answer(DOCUMENT | {"tls_ca": named})) as server:
        database, secrets = await api(http, server).get(CREDENTIAL, "id-1")

    assert ("id-1", None) == (database.id, secrets.ca_file)


async def test_get_without_secrets_is_an_error(http: HttpClient) -> None:
    """
    Empty credentials are not returned.
    """
    async with faulty(answer(DOCUMENT | {"password": None})) as server:
        assert "upstream_unavailable" == (await failed("get", api(http, server))).code


# --- errors -----------------------------------------------------------------------------------------------------------


@every_verb
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "upstream_rejected"),
        (401, "reconnect_required"),
        (402, "upstream_rejected"),
        (403, "upstream_forbidden"),
        (405, "upstream_rejected"),
        (406, "upstream_rejected"),
        (409, "upstream_conflict"),
        (422, "upstream_rejected"),
        (429, "upstream_rate_limited"),
    ],
)
async def test_t48_error_statuses_have_their_own_errors(http: HttpClient, verb: str, status: int, code: str) -> None:
    """
    Each status in the API's document is a separate error, with Upstash's text, and is not retried.
    """
    async with faulty(answer({"error": "because"}, status, Retry_After="9")) as server:
        error = await failed(verb, api(http, server))

        assert (code, 9.0, 1) == (error.code, error.retry_after, len(server.requests))
        assert error.detail.endswith("Upstash says: because")


@pytest.mark.parametrize(
    ("verb", "code"),
    [
        ("list", "upstream_rejected"),
        ("get", "database_not_found"),
        ("create", "upstream_rejected"),
        ("change", "database_not_found"),
        ("delete", "database_not_found"),
    ],
)
async def test_t48_not_found_depends_on_the_request(http: HttpClient, verb: str, code: str) -> None:
    """
    A 404 for an id means that the database does not exist; otherwise it is a rejected request.
    """
    async with faulty(Answer(404)) as server:
        assert code == (await failed(verb, api(http, server))).code


@pytest.mark.parametrize(
    ("header", "seconds"), [("120", 120.0), ("Mon, 21 Sep 2026 14:14:20 GMT", 60.0), ("soon", None)]
)
async def test_t48_rate_limit_has_retry_after(http: HttpClient, header: str, seconds: float | None) -> None:
    """
    Retry-After is passed on in both forms; an invalid one is not.
    """
    async with faulty(Answer(429, b"", {"Retry-After": header})) as server:
        error = await failed("list", api(http, server))

    assert ("upstream_rate_limited", seconds) == (error.code, error.retry_after)


@pytest.mark.parametrize("verb", ["list", "get", "change", "delete"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_t48_server_errors_are_unavailable(http: HttpClient, verb: str, status: int) -> None:
    """
    Only reads are retried, and only after a gateway's error.
    """
    async with faulty(*[Answer(status, b"<html>", {"Content-Type": "text/html"})] * 4) as server:
        error = await failed(verb, api(http, server))

        assert "upstream_unavailable" == error.code
        assert (3 if verb in READING and status != 500 else 1) == len(server.requests)
        assert "html" not in error.detail


UNREADABLE: list[Step] = [
    Answer(200, b'[{"database_id": "id-'),
    Answer(200, b"<html>"),
    Answer(200, b""),
    Answer(200, b"\xff"),
    Answer(200, b"[" * 100_000),
    answer(None),
    answer(5),
    answer({"surprise": 1}),
    answer([{"database_name": "no id"}]),
    Answer(302, b"", {"Location": "http://evil.test"}),
    Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n[{"),
    Bytes(b"nonsense\r\n\r\n"),
    Flood(b" " * 1024 * 1024),
]


@pytest.mark.parametrize("verb", ["list", "get"])
@pytest.mark.parametrize("step", UNREADABLE, ids=lambda step: str(step)[:60])
async def test_t48_unreadable_response_is_unavailable(http: HttpClient, verb: str, step: Step) -> None:
    """
    Truncated JSON, HTML, a redirect or a flood is an error.
    """
    async with faulty(*[step] * 3) as server:
        assert "upstream_unavailable" == (await failed(verb, api(http, server))).code


@pytest.mark.parametrize("verb", ["list", "get", "change", "delete"])
async def test_t48_slow_api_is_a_timeout(http: HttpClient, verb: str) -> None:
    """
    The caller gets an error at the deadline, and the request is not repeated.
    """
    async with faulty(Hang(b"HTTP/1.1 200 OK\r\n")) as server:
        error = await failed(verb, api(http, server, seconds=0.5))

        assert ("upstream_timeout", 1) == (error.code, len(server.requests))
        assert (verb not in READING) == ("may have been made" in error.detail)


@every_verb
async def test_unreachable_api_is_unavailable(http: HttpClient, verb: str) -> None:
    """
    Without a connection nothing was done, so every request is tried three times, even a create.
    """
    async with late() as (server, _):
        with retries() as seen:
            error = await failed(verb, api(http, server))

    assert ("upstream_unavailable", 2) == (error.code, len(seen))
    assert "may have been" not in error.detail


@every_verb
async def test_api_that_comes_up_between_retries_is_used(http: HttpClient, verb: str) -> None:
    """
    A short network failure goes unnoticed.
    """
    async with late(FINE[verb]) as (server, come_up):
        with retries(then=come_up):
            await VERBS[verb](api(http, server))

        assert 1 == len(server.requests)


@pytest.mark.parametrize("verb", ["list", "get"])
@pytest.mark.parametrize("step", [Reset(), Bytes(b""), Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[")])
async def test_reads_survive_a_broken_connection(http: HttpClient, verb: str, step: Step) -> None:
    """
    Requests that change nothing are repeated.
    """
    async with faulty(step, step, FINE[verb]) as server:
        await VERBS[verb](api(http, server))

        assert 3 == len(server.requests)


@pytest.mark.parametrize("verb", ["change", "delete"])
@pytest.mark.parametrize("step", [Reset(), Bytes(b""), Bytes(b"HTTP/1.1 2")])
async def test_change_that_may_have_been_received_is_not_repeated(http: HttpClient, verb: str, step: Step) -> None:
    """
    The error says that it may have been made.
    """
    async with faulty(step, FINE[verb]) as server:
        error = await failed(verb, api(http, server))

        assert ("upstream_unavailable", 1) == (error.code, len(server.requests))
        assert "may have been made" in error.detail


@pytest.mark.parametrize(
    "step",
    [
        Reset(),
        Bytes(b""),
        Bytes(b"HTTP/1.1 200 OK\r\nContent-Le", reset=True),
        Hang(),
        Hang(b"HTTP/1.1 200 OK\r\n"),
        Answer(500),
        Answer(502),
        Answer(503),
        Answer(504),
        *UNREADABLE,
    ],
    ids=lambda step: str(step)[:60],
)
async def test_t48_create_that_may_have_been_received_is_unknown(http: HttpClient, step: Step) -> None:
    """
    A database costs money: if it may have been created, the user is told to check, and the request is not repeated.
    """
    async with faulty(step, FINE["create"]) as server:
        error = await failed("create", api(http, server, seconds=time_limit(step)))

        assert ("outcome_unknown", 1) == (error.code, len(server.requests))
        assert "'cache' may have been created" in error.detail


async def test_create_uses_a_new_connection(http: HttpClient) -> None:
    """
    A kept-alive connection that the server closes does not make the outcome uncertain.
    """
    async with faulty(FINE["list"], FINE["create"]) as server:
        subject = api(http, server)
        await subject.list(CREDENTIAL)
        await subject.create(CREDENTIAL, NEW)

        assert [0, 1] == [request.connection for request in server.requests]


async def test_t48_failing_api_is_left_alone(http: HttpClient) -> None:
    """
    After five failures callers get an error at once, with the time to wait, and a create knows that nothing was sent.
    """
    async with faulty(*[Answer(500)] * 5) as server:
        subject = api(http, server)
        for _ in range(5):
            await failed("list", subject)

        errors = [await failed(verb, subject) for verb in VERBS]

        assert {("upstream_unavailable", 10.0)} == {(error.code, error.retry_after) for error in errors}
        assert 5 == len(server.requests)


# --- secrets ----------------------------------------------------------------------------------------------------------


BASIC = base64.b64encode(b"ad\xc3\xa4@b.example:key-s3cret").decode()


@every_verb
@pytest.mark.parametrize(
    "step",
    [
        answer([DOCUMENT]),
        answer(DOCUMENT),
        answer({"error": f"adä@b.example:key-s3cret is not welcome, nor is {BASIC}"}, 403),
        answer({"error": "KEY-S3CRET"}, 400),
        Answer(200, b'{"password": "pw-s3cret"}'),
        Answer(200, b'{"database_id": 5, "password": "pw-s3cret"}'),
        Bytes(b"pw-s3cret\r\n\r\n"),
        Reset(),
        Hang(),
    ],
    ids=lambda step: str(step)[:60],
)
async def test_t48_logs_and_errors_contain_no_secrets(
    http: HttpClient, caplog: pytest.LogCaptureFixture, verb: str, step: Step
) -> None:
    """
    At DEBUG, with an API that repeats requests, neither the credential nor database secrets appear.
    """
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with faulty(*[step] * 3) as server:
        try:
            seconds = 0.1 if isinstance(step, Hang) else 1.0
            shown = repr(await VERBS[verb](api(http, server, seconds=seconds)))
        except HelperError as error:
            logging.getLogger("test").exception("failed")
            shown = f"{error!r} {error.detail} {error.__context__!r} {error.__cause__!r}"

    logged = [caplog.text, *(str(vars(record)) for record in caplog.records)]
    assert caplog.records
    for text in [shown, *logged]:
        assert "s3cret" not in text.lower()
        assert "b.example" not in text
        assert BASIC not in text
