"""T36 and T48: failures of Upstash, as seen from the loopback API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.world import PASSWORD, World
from upstash_helper.broker.models import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture(autouse=True)
async def _no_fault_is_left(world: World) -> AsyncIterator[None]:
    yield
    await world.sandbox.clear_faults()
    await world.sandbox.settings(userinfo=True, id_token_email=True, access_token_email=False, api_key_email=False)


async def attempted(world: World, **fault: Any) -> dict[str, Any]:
    started = await world.start()
    address = await world.sign_in(started)
    await world.sandbox.forget_requests()
    await world.sandbox.fault(**fault)
    await world.land(address)
    return await world.settled(started["attempt_id"])


async def sent(world: World, path: str) -> int:
    return sum(seen["path"] == path for seen in await world.sandbox.requests())


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 400, "body": '{"error":"invalid_grant"}'}, "invalid_grant"),
        ({"status": 401, "body": '{"error":"invalid_client"}'}, "invalid_client"),
        ({"status": 429, "headers": {"Retry-After": "3"}, "body": "{}"}, "rate_limited"),
        ({"status": 500, "body": "oops"}, "server_error"),
        ({"status": 200, "body": "<html>maintenance</html>"}, "invalid_response"),
        ({"status": 200, "body": "x" * 100, "repeat": 100_000}, "invalid_response"),
        ({"status": 302, "headers": {"Location": "http://evil.example/"}, "body": ""}, "network_error"),
        ({"truncate": 20}, "network_error"),
    ],
)
async def test_t36_token_endpoint_failure_has_a_reason(world: World, fault: dict[str, Any], reason: str) -> None:
    """The page explains what happened, the code is sent once, and nothing is stored."""
    attempt = await attempted(world, method="POST", path="/oauth/token", times=None, **fault)

    assert "failed" == attempt["state"]
    assert reason == attempt["reason"] or (reason == "network_error" and attempt["reason"] == "invalid_response")
    assert attempt["detail"]
    assert 1 == await sent(world, "/oauth/token")
    assert await world.store.load() is None


async def test_t36_code_is_not_sent_again_after_a_response(world: World) -> None:
    """A retry would have succeeded here, but would have sent the code twice."""
    attempt = await attempted(world, method="POST", path="/oauth/token", times=2, status=500, body="oops")

    assert "server_error" == attempt["reason"]
    assert 1 == await sent(world, "/oauth/token")


async def test_t36_exchange_is_retried_if_no_response_arrived(world: World) -> None:
    """No byte of a response has arrived, and the authorization server itself refuses a code that was used."""
    attempt = await attempted(world, method="POST", path="/oauth/token", times=1, reset=True)

    assert "succeeded" == attempt["state"], attempt
    assert 2 == await sent(world, "/oauth/token")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"status": 403, "body": '{"error":"forbidden"}'}, "api_key_refused"),
        ({"status": 400, "body": '{"error":"maximum number of api keys is reached"}'}, "api_key_limit"),
        ({"status": 500, "body": "oops"}, "server_error"),
        ({"status": 200, "body": "<html></html>"}, "invalid_response"),
    ],
)
async def test_t36_failure_to_create_the_key_has_a_reason(world: World, fault: dict[str, Any], reason: str) -> None:
    """The user is signed in but has no key, and the reason makes that clear."""
    attempt = await attempted(world, method="POST", path="/apikey", times=None, **fault)

    assert ("failed", reason) == (attempt["state"], attempt["reason"])
    assert 1 == await sent(world, "/apikey")
    assert await world.store.load() is None


async def test_key_whose_response_was_lost_is_named(world: World) -> None:
    """The key exists at Upstash: the user learns its name, to delete it."""
    attempt = await attempted(world, method="POST", path="/apikey", when="after", reset=True)
    names = await world.sandbox.api_key_names(world.email)

    assert "failed" == attempt["state"]
    assert 1 == len(names)
    assert names[0] in attempt["detail"]


async def test_failed_attempt_can_be_repeated(world: World) -> None:
    """A failed attempt does not prevent the next one."""
    await attempted(world, method="POST", path="/oauth/token", status=500, body="oops")
    await world.sandbox.clear_faults()
    started = await world.start()

    await world.land(await world.sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False))

    assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]


async def test_oauth_tokens_are_revoked(world: World) -> None:
    """Once the key is stored, the tokens are revoked: only the key remains."""
    await world.sandbox.forget_requests()

    await world.connect()
    await world.daemon.background.drain(10)

    assert await sent(world, "/oauth/revoke")


@pytest.mark.parametrize(
    "switches",
    [
        {"api_key_email": True, "id_token_email": False, "userinfo": False},
        {"id_token_email": True, "userinfo": False},
        {"access_token_email": True, "id_token_email": False, "userinfo": False},
        {"userinfo": True, "id_token_email": False},
    ],
)
async def test_email_is_found_in_every_documented_place(world: World, switches: dict[str, bool]) -> None:
    """The email may be in the key's response, the ID token, the access token, or userinfo."""
    await world.sandbox.settings(**switches)

    connection = await world.connect()

    assert world.email == connection["account"]["email"]


async def test_missing_email_is_requested(world: World) -> None:
    """The key is kept, the state shows what is missing, and the user's email is verified before it is stored."""
    await world.sandbox.settings(id_token_email=False, userinfo=False)

    connection = await world.connect()
    blocked = await world.get("/v1/databases")
    wrong = await world.call("PUT", "/v1/connection/email", {"email": "someone@else.example"})
    right = await world.call("PUT", "/v1/connection/email", {"email": world.email})

    assert ("needs_email", None) == (connection["state"], connection["account"])
    assert (409, "needs_email") == (blocked.status, blocked.code)
    assert (422, "credential_refused") == (wrong.status, wrong.code)
    assert ("connected", world.email) == (right.json["state"], right.json["account"]["email"])
    assert 200 == (await world.get("/v1/databases")).status


async def test_console_api_key_is_verified_and_stored(world: World) -> None:
    """Without a client ID a user can connect with a key from the console."""
    await world.sandbox.account(world.email, PASSWORD)
    key = await world.sandbox.api_key(world.email, "by-hand")

    wrong = await world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": "wrong"})
    stored_after_wrong = await world.store.load()
    right = await world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": key})

    assert (422, "credential_refused") == (wrong.status, wrong.code)
    assert stored_after_wrong is None
    assert ("connected", "api_key") == (right.json["state"], right.json["method"])
    assert Secret(key) == (await world.store.load()).api_key  # type: ignore[union-attr]


async def test_unverified_api_key_is_not_stored(world: World) -> None:
    """If Upstash cannot be reached, the response says so, and nothing changes."""
    await world.sandbox.fault(path="/v2/*", times=None, status=500, body="oops")

    reply = await world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": "some-key"})

    assert (502, "upstream_unavailable") == (reply.status, reply.code)
    assert await world.store.load() is None


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ({"status": 401, "body": '{"error":"unauthorized"}'}, 424, "reconnect_required"),
        ({"status": 403, "body": '{"error":"read only"}'}, 424, "upstream_forbidden"),
        ({"status": 409, "body": '{"error":"busy"}'}, 409, "upstream_conflict"),
        ({"status": 429, "headers": {"Retry-After": "7"}, "body": "{}"}, 429, "upstream_rate_limited"),
        ({"status": 400, "body": '{"error":"bad"}'}, 422, "upstream_rejected"),
        ({"status": 500, "body": "oops"}, 502, "upstream_unavailable"),
        ({"truncate": 1}, 502, "upstream_unavailable"),
        ({"status": 200, "body": "<html></html>"}, 502, "upstream_unavailable"),
        ({"status": 200, "body": '{"not":"a list"}'}, 502, "upstream_unavailable"),
    ],
)
async def test_t48_upstream_errors_have_own_statuses_and_codes(
    world: World, fault: dict[str, Any], status: int, code: str
) -> None:
    """Each kind of failure has its own status and code, and none is a 401."""
    await world.connect()
    await world.sandbox.fault(path="/v2/redis/databases", times=None, **fault)

    reply = await world.get("/v1/databases?refresh=true")

    assert (status, code) == (reply.status, reply.code)
    assert "WWW-Authenticate" not in reply.headers
    if status == 429:
        assert ("7", 7) == (reply.headers["Retry-After"], reply.json["retry_after"])


async def test_t48_revoked_key_requires_a_reconnect_without_further_requests(world: World) -> None:
    """After Upstash has refused the key, calls fail locally until the user connects again."""
    connection = await world.connect()
    await world.sandbox.revoke_api_key(world.email, connection["api_key_name"])
    await world.sandbox.forget_requests()

    replies = [await world.get("/v1/databases?refresh=true") for _ in range(10)]
    state = (await world.get("/v1/connection")).json["state"]

    assert {(424, "reconnect_required")} == {(reply.status, reply.code) for reply in replies}
    assert "reconnect_required" == state
    assert 1 == await sent(world, "/v2/redis/databases")
    started = await world.start()
    await world.land(await world.sandbox.authorize(started["authorization_url"], world.email, PASSWORD, sign_up=False))
    await world.settled(started["attempt_id"])
    assert 200 == (await world.get("/v1/databases")).status


async def test_t48_unknown_database_is_not_found(world: World) -> None:
    """The 404 names the database."""
    await world.connect()

    replies = [
        await world.get("/v1/databases/no-such-id"),
        await world.get("/v1/databases/no-such-id/credentials"),
        await world.call("PATCH", "/v1/databases/no-such-id", {"name": "x"}),
        await world.call("POST", "/v1/databases/no-such-id/reset-password"),
        await world.call("DELETE", "/v1/databases/no-such-id"),
    ]

    assert {(404, "database_not_found")} == {(reply.status, reply.code) for reply in replies}


async def test_t48_concurrent_callers_share_one_fetch(world: World) -> None:
    """However many callers request the list at once, Upstash gets one request."""
    await world.connect()
    await world.create()
    await world.sandbox.forget_requests()

    replies = await asyncio.gather(*(world.get("/v1/databases") for _ in range(20)))

    assert {200} == {reply.status for reply in replies}
    assert 1 == await sent(world, "/v2/redis/databases")


async def test_create_with_a_lost_response_finds_its_database(world: World) -> None:
    """The request was sent and its response lost: the database is found, and no second one is created."""
    await world.connect()
    await world.sandbox.fault(method="POST", path="/v2/redis/database", when="after", reset=True)
    body = {"name": "lost", "primary_region": "us-east-1"}

    first = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "lost-1"})
    again = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "lost-1"})
    listed = (await world.get("/v1/databases?refresh=true")).json["databases"]

    assert 201 == first.status, first.text
    assert first.json["id"] == again.json["id"]
    assert "true" == again.headers["Idempotency-Replayed"]
    assert ["lost"] == [database["name"] for database in listed]


async def test_create_with_an_unknown_outcome_is_reported(world: World) -> None:
    """
    If it is unknown whether the database exists, the 409 says what to do, and the same key still creates no second
    one.
    """
    await world.connect()
    await world.sandbox.fault(method="POST", path="/v2/redis/database", when="after", reset=True)
    await world.sandbox.fault(method="GET", path="/v2/redis/databases", times=None, status=500, body="oops")
    body = {"name": "maybe", "primary_region": "us-east-1"}

    first = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "maybe-1"})
    await world.sandbox.clear_faults()
    again = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "maybe-1"})
    listed = (await world.get("/v1/databases?refresh=true")).json["databases"]

    assert (409, "outcome_unknown") == (first.status, first.code)
    assert 201 == again.status, again.text
    assert ["maybe"] == [database["name"] for database in listed]


async def test_create_rejected_by_upstash_releases_its_key(world: World) -> None:
    """No database was created, so the same request can be sent again."""
    await world.connect()
    await world.sandbox.fault(method="POST", path="/v2/redis/database", status=429, body="{}")
    body = {"name": "later", "primary_region": "us-east-1"}

    refused = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "later-1"})
    made = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "later-1"})

    assert (429, 201) == (refused.status, made.status)


async def test_create_continues_after_its_client_disconnected(world: World) -> None:
    """The database is created once, and the same key finds it later."""
    await world.connect()
    await world.sandbox.fault(method="POST", path="/v2/redis/database", latency=0.3)
    body = {"name": "patient", "primary_region": "us-east-1"}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "patient-1"})
    async with asyncio.timeout(10):
        while (
            reply := await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "patient-1"})
        ).status == 409:
            assert "request_in_progress" == reply.code
            await asyncio.sleep(0.05)
    listed = (await world.get("/v1/databases?refresh=true")).json["databases"]

    assert 201 == reply.status
    assert ["patient"] == [database["name"] for database in listed]


async def test_partly_applied_changes_are_reported(world: World) -> None:
    """A caller that requests two changes, of which one is applied, learns which one."""
    await world.connect()
    made = await world.create("half")
    await world.sandbox.fault(method="POST", path="/v2/redis/rename/*", status=500, body="oops")

    reply = await world.call("PATCH", f"/v1/databases/{made['id']}", {"eviction": True, "name": "whole"})
    read = (await world.get(f"/v1/databases/{made['id']}")).json

    assert (502, "partly_applied", ["eviction"]) == (reply.status, reply.code, reply.json["applied"])
    assert ("half", True) == (read["name"], read["eviction"])
