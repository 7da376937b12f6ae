"""The ``CommandsApi`` and ``ResourcesApi`` ports, against servers that fail in many ways."""

import json
from collections.abc import AsyncIterator

import pytest

from tests.support.clock import FakeClock
from tests.support.faulty import Answer, Faulty, Hang, Reset, Step, answer, faulty, time_limit
from upstash_helper.broker.errors import HelperError
from upstash_helper.broker.models import CommandReply, Credential, Secret
from upstash_helper.broker.ports import Command, ResourceRequest
from upstash_helper.upstream.http_client import HttpClient
from upstash_helper.upstream.redis_rest import RedisRest
from upstash_helper.upstream.resources import DeveloperApiResources

TOKEN = Secret("rest-s3cret")
CREDENTIAL = Credential(email="ada@b.example", api_key=Secret("key-s3cret"), method="oauth", since=0.0)
PING: tuple[Command, ...] = (("PING",),)
READ = ResourceRequest(method="GET", path=("redis", "stats", "id-1"), query=(("period", "1h"),))
CHANGE = ResourceRequest(method="POST", path=("redis", "create-backup", "id-1"), body={"name": "now"})


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    """The client, with very short retry delays."""
    client = HttpClient(clock=FakeClock(), retry_seconds=0.001)
    yield client
    await client.close()


async def run(http: HttpClient, server: Faulty, commands: tuple[Command, ...] = PING) -> tuple[CommandReply, ...]:
    """Run commands on that server."""
    return await RedisRest(http=http, seconds=20.0).run(server.url, TOKEN, commands)


# --- commands ---------------------------------------------------------------------------------------------------------


async def test_commands_are_sent_as_one_pipeline_with_the_token(http: HttpClient) -> None:
    """
    Numbers stay numbers, and each command has its own reply or error.
    """
    async with faulty(answer([{"result": "OK"}, {"error": "ERR no"}, {"result": None}])) as server:
        replies = await run(http, server, (("SET", "k", 1), ("INCRBYFLOAT", "k", 1.5), ("GET", "ä")))

        (request,) = server.requests

    assert ["POST /pipeline"] == server.sends
    assert "Bearer rest-s3cret" == request.headers["authorization"]
    assert [["SET", "k", 1], ["INCRBYFLOAT", "k", 1.5], ["GET", "ä"]] == json.loads(request.body)
    assert (
        CommandReply(result=b'"OK"'),
        CommandReply(error="ERR no"),
        CommandReply(),
    ) == replies


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (answer({"error": "WRONGPASS rest-s3cret"}, 401), "upstream_forbidden"),
        (answer({"error": "forbidden"}, 403), "upstream_forbidden"),
        (answer({"error": "ERR max requests limit exceeded"}, 429), "upstream_rate_limited"),
        (answer({"error": "ERR failed to parse pipeline request"}, 400), "upstream_rejected"),
        (answer({"error": "boom"}, 500), "upstream_unavailable"),
        (answer([]), "upstream_unavailable"),
        (answer({"result": 1}), "upstream_unavailable"),
        (answer([{"result": 1}, {"result": 2}]), "upstream_unavailable"),
        (Answer(200, b"<html>"), "upstream_unavailable"),
        (answer([], 302, Location="https://elsewhere.example"), "upstream_unavailable"),
        (Reset(), "upstream_unavailable"),
    ],
    ids=str,
)
async def test_a_failed_request_is_an_error_without_the_token(http: HttpClient, step: Step, code: str) -> None:
    """
    It is sent once: the commands may have run.
    """
    async with faulty(step) as server:
        with pytest.raises(HelperError) as failed:
            await run(http, server)

    assert code == failed.value.code
    assert 1 == len(server.sends)
    assert "s3cret" not in repr(failed.value) + failed.value.detail


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (b'[{"result":"a\xff\xfeb"}]', CommandReply(result='"a\ufffd\ufffdb"'.encode())),
        (b'[{"error":"ERR \xff"}]', CommandReply(error="ERR \ufffd")),
    ],
    ids=["result", "error"],
)
async def test_bytes_that_are_not_utf8_are_replaced(http: HttpClient, body: bytes, reply: CommandReply) -> None:
    """
    The commands have run, so the rest of the reply must not be lost.
    """
    async with faulty(Answer(200, body)) as server:
        assert (reply,) == await run(http, server)


async def test_a_database_that_does_not_answer_is_a_timeout(http: HttpClient) -> None:
    """
    The message says that the commands may have run.
    """
    step = Hang()
    async with faulty(step) as server:
        with pytest.raises(HelperError) as failed:
            await RedisRest(http=http, seconds=time_limit(step)).run(server.url, TOKEN, PING)

    assert "upstream_timeout" == failed.value.code
    assert "may have been made" in failed.value.detail


async def test_half_a_surrogate_pair_is_rejected_before_anything_is_sent(http: HttpClient) -> None:
    """
    It has no encoding.
    """
    async with faulty() as server:
        with pytest.raises(HelperError) as failed:
            await run(http, server, (("SET", "k", "\ud800"),))

        assert ("invalid_request", []) == (failed.value.code, server.sends)


# --- resources --------------------------------------------------------------------------------------------------------


async def test_a_resource_is_read_again_after_a_broken_connection(http: HttpClient) -> None:
    """
    Reading changes nothing. The query is part of the URL.
    """
    async with faulty(Reset(), answer({"a": 1})) as server:
        document = await DeveloperApiResources(http=http, api_url=server.url).send(CREDENTIAL, READ)

    assert ["GET /v2/redis/stats/id-1?period=1h"] * 2 == server.sends
    assert {"a": 1} == json.loads(document)


async def test_a_change_is_sent_once(http: HttpClient) -> None:
    """
    Repeating it could have a second effect.
    """
    async with faulty(Reset(), answer("OK")) as server:
        with pytest.raises(HelperError) as failed:
            await DeveloperApiResources(http=http, api_url=server.url).send(CREDENTIAL, CHANGE)

    assert ["POST /v2/redis/create-backup/id-1"] == server.sends
    assert "may have been made" in failed.value.detail


@pytest.mark.parametrize("segment", ["", ".", "..", "a/b", "a?b", "ä", "a b", "%2e", "x" * 129])
async def test_an_id_that_could_name_another_resource_is_not_sent(http: HttpClient, segment: str) -> None:
    """
    It stays one segment of the path.
    """
    request = ResourceRequest(method="DELETE", path=("redis", "delete-backup", segment))
    async with faulty() as server:
        with pytest.raises(HelperError) as failed:
            await DeveloperApiResources(http=http, api_url=server.url).send(CREDENTIAL, request)

        assert ("invalid_request", []) == (failed.value.code, server.sends)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "upstream_rejected"),
        (401, "reconnect_required"),
        (403, "upstream_forbidden"),
        (404, "upstream_rejected"),
        (409, "upstream_conflict"),
        (429, "upstream_rate_limited"),
        (500, "upstream_unavailable"),
    ],
)
async def test_each_status_is_the_error_that_the_databases_have(http: HttpClient, status: int, code: str) -> None:
    """
    With Upstash's explanation, and without the key that it repeats.
    """
    async with faulty(answer({"error": "no such thing: key-s3cret"}, status)) as server:
        with pytest.raises(HelperError) as failed:
            await DeveloperApiResources(http=http, api_url=server.url).send(CREDENTIAL, CHANGE)

    assert code == failed.value.code
    assert "s3cret" not in failed.value.detail
