"""Fault injection and the request log, which other tests rely on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.sandbox.callers import Caller, OpenClient, send, unique_email
from tests.support.sandbox import SandboxFailed

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

DATABASE = {"database_name": "books", "platform": "aws", "primary_region": "us-east-1"}


async def test_fault_replaces_the_response_the_given_number_of_times(sandbox: Sandbox, caller: Caller) -> None:
    """
    The fault's status, headers, and body replace the response, for its method and path, the given number of times.
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
    responses = [await caller.call("GET", "databases") for _ in range(3)]

    assert other.status == 400
    assert [429, 429, 200] == [response.status for response in responses]
    assert ("7", {"error": "slow"}) == (responses[0].headers["Retry-After"], responses[0].json)


async def test_before_skips_the_operation(sandbox: Sandbox, caller: Caller) -> None:
    """
    With `when: before`, the operation is not carried out.
    """
    await sandbox.fault(method="POST", path="/v2/redis/database", status=500)

    response = await caller.call("POST", "database", DATABASE)

    assert response.status == 500
    assert [] == (await caller.call("GET", "databases")).json


@pytest.mark.parametrize("fault", [{"status": 503, "body": "lost"}, {"reset": True}, {"truncate": 10}])
async def test_after_carries_out_the_operation(sandbox: Sandbox, caller: Caller, fault: dict[str, Any]) -> None:
    """
    With `when: after`, the operation is carried out, and its response is replaced or lost.
    """
    await sandbox.fault(method="POST", path="/v2/redis/database", when="after", **fault)

    try:
        response = await caller.call("POST", "database", DATABASE)
    except aiohttp.ClientError:
        response = None

    assert response is None or (503, b"lost") == (response.status, response.body)
    assert ["books"] == [database["database_name"] for database in (await caller.call("GET", "databases")).json]


async def test_reset_closes_the_connection(sandbox: Sandbox, caller: Caller) -> None:
    """
    The connection is reset, without a response.
    """
    # aiohttp retries a GET once if the connection was closed.
    await sandbox.fault(path="/v2/redis/databases", reset=True, times=2)

    with pytest.raises((aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)):
        await caller.call("GET", "databases")

    assert (await caller.call("GET", "databases")).status == 200


async def test_truncate_cuts_the_body(sandbox: Sandbox, caller: Caller) -> None:
    """
    The connection is closed before the body has the length in `Content-Length`.
    """
    await caller.call("POST", "database", DATABASE)
    await sandbox.fault(path="/v2/redis/databases", truncate=10)

    with pytest.raises(aiohttp.ClientPayloadError):
        await caller.call("GET", "databases")


async def test_latency_delays_the_response(sandbox: Sandbox, caller: Caller) -> None:
    """
    The real response is sent after the given delay.
    """
    await sandbox.fault(path="/v2/redis/databases", latency=0.3)

    started = asyncio.get_running_loop().time()
    response = await caller.call("GET", "databases")

    assert asyncio.get_running_loop().time() - started >= 0.3
    assert (200, []) == (response.status, response.json)


async def test_drip_and_repeat(sandbox: Sandbox, caller: Caller) -> None:
    """
    A body can be sent slowly, byte by byte, or repeated to any size.
    """
    await sandbox.fault(path="/v2/redis/databases", status=200, body="[    ]", drip=0.02)
    await sandbox.fault(path="/v2/redis/databases", status=200, body="x" * 1000, repeat=10_000)

    started = asyncio.get_running_loop().time()
    dripped = await caller.call("GET", "databases")
    elapsed = asyncio.get_running_loop().time() - started
    huge = await caller.call("GET", "databases")

    assert (b"[    ]", 10_000_000) == (dripped.body, len(huge.body))
    assert elapsed >= 0.1


async def test_path_pattern_listener_and_clearing(sandbox: Sandbox, caller: Caller) -> None:
    """
    A fault's path can be a pattern, a fault can affect the REST API, and clearing removes all faults.
    """
    database = await caller.create()
    await sandbox.fault(path="/v2/redis/*", times=None, status=500)
    await sandbox.fault(listener="rest", path="*", times=None, status=502)

    broken = [await caller.call("GET", "databases"), await caller.rest(database["rest_token"], "/get/name")]
    await sandbox.clear_faults()
    cleared = [await caller.call("GET", "databases"), await caller.rest(database["rest_token"], "/get/name")]

    assert [500, 502] == [response.status for response in broken]
    assert [200, 200] == [response.status for response in cleared]


async def test_request_log_has_every_request_and_no_secret(sandbox: Sandbox, caller: Caller) -> None:
    """
    Each request's method, path without query, and status are logged in order, except requests to the admin API.
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
    ] == [tuple(entry[name] for name in ("listener", "method", "path", "status", "fault")) for entry in requests]
    assert "secret" not in str(requests)


@pytest.mark.parametrize(
    "fault",
    [{"status": 99}, {"wehn": "before"}, {"latency": -1}, {"times": 0}, {"headers": {"a": "b\r\nc: d"}}, {"drip": 0}],
)
async def test_invalid_fault_is_rejected(sandbox: Sandbox, fault: dict[str, Any]) -> None:
    """
    An invalid fault is rejected, so that no test waits for one that cannot happen.
    """
    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.fault(**fault)


async def test_invalid_setting_is_rejected(sandbox: Sandbox) -> None:
    """
    An unknown setting, or one of the wrong type, is rejected and changes nothing.
    """
    before = await sandbox.settings()

    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.settings(nonsense=True)
    with pytest.raises(SandboxFailed, match="400"):
        await sandbox.settings(userinfo="no")

    assert before == await sandbox.settings()


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
async def test_admin_token_is_required(sandbox: Sandbox, caller: Caller, token: str) -> None:
    """
    Without the admin token, nothing can be read or changed.
    """
    headers = {"Authorization": f"Bearer {token}"}

    read = await send(caller.session, "GET", f"{sandbox.ready.admin_url}/requests", headers=headers)
    changed = await send(caller.session, "POST", f"{sandbox.ready.admin_url}/faults", json={}, headers=headers)

    assert [401, 401] == [read.status, changed.status]


ISSUER_ROUTES = [
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/.well-known/jwks.json"),
    ("POST", "/oauth/register"),
    ("GET", "/oauth/authorize"),
    ("POST", "/oauth/authorize"),
    ("POST", "/oauth/token"),
    ("POST", "/oauth/token/revoke"),
    ("GET", "/oauth/userinfo"),
    ("POST", "/oauth/userinfo"),
    ("GET", "/console"),
    ("POST", "/console"),
]


@pytest.mark.parametrize(("method", "path"), ISSUER_ROUTES)
async def test_every_route_of_the_issuer_can_fail(
    sandbox: Sandbox, session: aiohttp.ClientSession, method: str, path: str
) -> None:
    """
    Every route of the issuer can fail, before or after the operation, and is logged. The API is not affected.
    """
    await sandbox.forget_requests()
    await sandbox.fault(listener="issuer", method=method, path=path, status=500)
    await sandbox.fault(listener="issuer", method=method, path=path, status=502, when="after")

    other = await send(session, method, sandbox.api_url + path)
    failed = [await send(session, method, sandbox.issuer_url + path) for _ in range(2)]
    answered = await send(session, method, sandbox.issuer_url + path)

    assert [500, 502] == [response.status for response in failed]
    assert not {500, 502} & {other.status, answered.status}
    assert [("api", False), ("issuer", True), ("issuer", True), ("issuer", False)] == [
        (entry["listener"], entry["fault"]) for entry in await sandbox.requests()
    ]


async def test_operations_of_the_issuer_are_carried_out_before_the_response_is_lost(
    sandbox: Sandbox, open_client: OpenClient
) -> None:
    """
    With `when: after`, a registration, an exchange, and a revocation are carried out, and their responses are lost.
    """
    count = len(await sandbox.clients())
    await sandbox.fault(listener="issuer", path="/oauth/register", when="after", status=503)
    await sandbox.fault(listener="issuer", path="/oauth/token", when="after", status=503)
    await sandbox.fault(listener="issuer", path="/oauth/token/revoke", when="after", status=503)

    registered = await open_client.register()
    exchanged = await open_client.exchange(await open_client.code(email := unique_email()))
    grants = await sandbox.grants(email)
    tokens = await open_client.sign_in(email, sign_up=False)
    revoked = await open_client.revoke(tokens["refresh_token"])

    assert [503, 503, 503] == [registered.status, exchanged.status, revoked.status]
    assert count + 1 == len(await sandbox.clients())
    assert 1 == len(grants)
    assert [] == await sandbox.grants(email)
