"""Faults on demand, and the log of requests: what other tests rely on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.sandbox.callers import Caller, ask
from tests.support.sandbox import SandboxFailed

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

DATABASE = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1"}


async def test_an_answer_is_replaced_as_often_as_told(sandbox: Sandbox, caller: Caller) -> None:
    """
    Status, headers and body are those of the fault, for the method and path it names, so many times.
    """
    await sandbox.fault(
        method="GET",
        path="/v2/redis/databases",
        times=2,
        status=429,
        headers={"Retry-After": "7"},
        body='{"error":"slow"}',
    )

    other = await caller.call("POST", "database", {})
    answers = [await caller.call("GET", "databases") for _ in range(3)]

    assert other.status == 400
    assert [429, 429, 200] == [answer.status for answer in answers]
    assert ("7", {"error": "slow"}) == (answers[0].headers["Retry-After"], answers[0].json)


async def test_before_means_that_nothing_happens(sandbox: Sandbox, caller: Caller) -> None:
    """
    With `when: before` the operation is not carried out.
    """
    await sandbox.fault(method="POST", path="/v2/redis/database", status=500)

    answer = await caller.call("POST", "database", DATABASE)

    assert answer.status == 500
    assert [] == (await caller.call("GET", "databases")).json


@pytest.mark.parametrize("fault", [{"status": 503, "body": "lost"}, {"reset": True}, {"truncate": 10}])
async def test_after_means_that_it_happens_and_the_answer_is_lost(
    sandbox: Sandbox, caller: Caller, fault: dict[str, Any]
) -> None:
    """
    With `when: after` the operation is carried out, however its answer comes to grief.
    """
    await sandbox.fault(method="POST", path="/v2/redis/database", when="after", **fault)

    try:
        answer = await caller.call("POST", "database", DATABASE)
    except aiohttp.ClientError:
        answer = None

    assert answer is None or (503, b"lost") == (answer.status, answer.body)
    assert ["books"] == [database["database_name"] for database in (await caller.call("GET", "databases")).json]


async def test_a_reset_cuts_the_connection(sandbox: Sandbox, caller: Caller) -> None:
    """
    The caller sees a reset by the peer, and nothing of an answer.
    """
    # aiohttp sends a GET that was cut off once more.
    await sandbox.fault(path="/v2/redis/databases", reset=True, times=2)

    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await caller.call("GET", "databases")

    assert (await caller.call("GET", "databases")).status == 200


async def test_a_truncated_body_ends_early(sandbox: Sandbox, caller: Caller) -> None:
    """
    The announced length is the full one, and the connection closes before it is reached.
    """
    await caller.call("POST", "database", DATABASE)
    await sandbox.fault(path="/v2/redis/databases", truncate=10)

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.call("GET", "databases")


async def test_latency_delays_the_answer(sandbox: Sandbox, caller: Caller) -> None:
    """
    The answer comes no sooner than told, and is the real one.
    """
    await sandbox.fault(path="/v2/redis/databases", latency=0.3)

    started = asyncio.get_running_loop().time()
    answer = await caller.call("GET", "databases")

    assert asyncio.get_running_loop().time() - started >= 0.3
    assert (200, []) == (answer.status, answer.json)


async def test_a_body_can_drip_and_be_huge(sandbox: Sandbox, caller: Caller) -> None:
    """
    A body comes byte by byte, or repeated to any size.
    """
    await sandbox.fault(path="/v2/redis/databases", status=200, body="[    ]", drip=0.02)
    await sandbox.fault(path="/v2/redis/databases", status=200, body="x" * 1000, repeat=10_000)

    started = asyncio.get_running_loop().time()
    dripped = await caller.call("GET", "databases")
    elapsed = asyncio.get_running_loop().time() - started
    huge = await caller.call("GET", "databases")

    assert (b"[    ]", 10_000_000) == (dripped.body, len(huge.body))
    assert elapsed >= 0.1


async def test_patterns_listeners_and_clearing(sandbox: Sandbox, caller: Caller) -> None:
    """
    A path may be a pattern, a fault may be on the data plane, and clearing lifts all.
    """
    database = await caller.create()
    await sandbox.fault(path="/v2/redis/*", times=None, status=500)
    await sandbox.fault(listener="rest", path="*", times=None, status=502)

    broken = [await caller.call("GET", "databases"), await caller.rest(database["rest_token"], "/get/name")]
    await sandbox.clear_faults()
    mended = [await caller.call("GET", "databases"), await caller.rest(database["rest_token"], "/get/name")]

    assert [500, 502] == [answer.status for answer in broken]
    assert [200, 200] == [answer.status for answer in mended]


async def test_the_log_has_every_request_and_no_secret(sandbox: Sandbox, caller: Caller) -> None:
    """
    Method, path without query, and status of each request are logged, in order; the admin's own are not.
    """
    database = await caller.create()
    await sandbox.forget_requests()
    await sandbox.fault(path="/v2/redis/rename/*", reset=True)

    await caller.call("GET", "databases?credentials=hide")
    with pytest.raises(aiohttp.ClientError):
        await caller.call("POST", f"rename/{database['database_id']}", {"name": "secret"})
    await caller.rest("wrong", "/set/name/secret?_token=secret")

    requests = await sandbox.requests()
    assert [
        ("api", "GET", "/v2/redis/databases", 200, False),
        ("api", "POST", f"/v2/redis/rename/{database['database_id']}", None, True),
        ("rest", "GET", "/set", 401, False),
    ] == [tuple(seen[name] for name in ("listener", "method", "path", "status", "fault")) for seen in requests]
    assert "secret" not in str(requests)


@pytest.mark.parametrize(
    "fault",
    [{"status": 99}, {"wehn": "before"}, {"latency": -1}, {"times": 0}, {"headers": {"a": "b\r\nc: d"}}, {"drip": 0}],
)
async def test_a_wrong_fault_is_refused(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """
    A fault that could not happen is refused, so that no test waits for it.
    """
    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.fault(**fault)


async def test_a_wrong_setting_is_refused(sandbox: Sandbox) -> None:
    """
    A setting that is not known, or of the wrong type, is refused and changes nothing.
    """
    before = await sandbox.settings()

    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.settings(nonsense=True)
    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.settings(userinfo="no")

    assert before == await sandbox.settings()


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
async def test_the_admin_token_is_needed(sandbox: Sandbox, caller: Caller, token: str) -> None:
    """
    Without the admin token nothing can be seen or changed.
    """
    headers = {"Authorization": f"Bearer {token}"}

    seen = await ask(caller.session, "GET", f"{sandbox.ready.admin_url}/requests", headers=headers)
    changed = await ask(caller.session, "POST", f"{sandbox.ready.admin_url}/faults", json={}, headers=headers)

    assert [401, 401] == [seen.status, changed.status]
