"""Databases through the loopback API: paging, validators, credentials, idempotency (threats T47 and T53)."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
import redis.asyncio
import upstash_redis.asyncio

from tests.support.npm import installed_packages

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.world import World


@pytest.fixture
async def connected(world: World) -> World:
    """A daemon with a connected account."""
    await world.connect()
    return world


async def test_list_is_paged_and_sorted_by_name(connected: World) -> None:
    """Each database is on exactly one page."""
    for name in ("delta", "Alpha", "charlie", "bravo", "alpha"):
        await connected.create(name)

    names: list[str] = []
    token: str | None = ""
    while token is not None:
        page = (await connected.get(f"/v1/databases?page_size=2&page_token={token}")).json
        assert len(page["databases"]) <= 2
        names += [database["name"] for database in page["databases"]]
        token = page["next_page_token"]

    assert ["alpha", "alpha", "bravo", "charlie", "delta"] == [name.lower() for name in names]


@pytest.mark.parametrize(
    ("size", "status"), [("-1", 400), ("0", 200), ("1000000000", 200), ("x", 400), ("1.5", 400), ("٣", 400), ("", 200)]
)
async def test_t53_page_sizes(connected: World, size: str, status: int) -> None:
    """Negative sizes are rejected, zero is the default, and large sizes are capped."""
    reply = await connected.get(f"/v1/databases?page_size={size}")

    assert status == reply.status


@pytest.mark.parametrize("token", ["x", "AAAA", "A" * 200, "%00", "é"])
async def test_t53_forged_page_token_is_rejected(connected: World, token: str) -> None:
    """Only tokens issued by this daemon are valid."""
    reply = await connected.get(f"/v1/databases?page_token={token}")

    assert (400, "invalid_page_token") == (reply.status, reply.code)


@pytest.mark.parametrize("of", ["list", "one"])
async def test_t53_unchanged_list_is_not_modified(connected: World, of: str) -> None:
    """A client that polls gets 304 until something has changed."""
    made = await connected.create("a")
    path = "/v1/databases" if of == "list" else f"/v1/databases/{made['id']}"
    first = await connected.get(path)
    tag = first.headers["ETag"]

    same = await connected.get(path, headers={"If-None-Match": tag})
    among = await connected.get(path, headers={"If-None-Match": f'"x", W/{tag}'})
    other = await connected.get(path, headers={"If-None-Match": '"x"'})
    await connected.call("PATCH", f"/v1/databases/{made['id']}", {"name": "b"})
    changed = await connected.get(path, headers={"If-None-Match": tag})

    assert [(304, b""), (304, b"")] == [(same.status, same.body), (among.status, among.body)]
    assert tag == same.headers["ETag"]
    assert 200 == other.status
    assert 200 == changed.status
    assert tag != changed.headers["ETag"]


async def test_t53_stale_if_match_changes_nothing(connected: World) -> None:
    """With two windows on one database, neither overwrites changes it has not seen."""
    made = await connected.create("a")
    at = f"/v1/databases/{made['id']}"
    tag = (await connected.get(at)).headers["ETag"]
    fresh = await connected.call("PATCH", at, {"name": "b"}, headers={"If-Match": tag})

    renamed = await connected.call("PATCH", at, {"name": "c"}, headers={"If-Match": tag})
    deleted = await connected.call("DELETE", at, headers={"If-Match": tag})
    read = (await connected.get(at)).json

    assert 200 == fresh.status
    assert [(412, "precondition_failed")] * 2 == [(it.status, it.code) for it in (renamed, deleted)]
    assert "b" == read["name"]
    assert 204 == (await connected.call("DELETE", at, headers={"If-Match": fresh.headers["ETag"]})).status


async def test_credentials_work_over_tcp_and_rest(connected: World) -> None:
    """URLs and tokens work unchanged, and the read-only token can only read."""
    made = await connected.create("used")

    credentials = (await connected.get(f"/v1/databases/{made['id']}/credentials")).json
    async with redis.asyncio.from_url(credentials["redis_url"], decode_responses=True) as client:
        assert await client.set("greeting", "hello")
    env = credentials["env"]
    rest = upstash_redis.asyncio.Redis(url=env["UPSTASH_REDIS_REST_URL"], token=env["UPSTASH_REDIS_REST_TOKEN"])
    async with rest:
        assert "hello" == await rest.get("greeting")
        assert await rest.set("other", "x")
    reader = upstash_redis.asyncio.Redis(url=credentials["rest_url"], token=credentials["read_only_rest_token"])
    async with reader:
        assert "hello" == await reader.get("greeting")
        with pytest.raises(upstash_redis.errors.UpstashError, match="NOPERM"):
            await reader.set("greeting", "bye")
    assert credentials["redis_url"] == env["REDIS_URL"]


async def test_env_map_works_with_the_javascript_client(connected: World, tmp_path: Path) -> None:
    """`Redis.fromEnv()` of `@upstash/redis` accepts the variables."""
    modules = await installed_packages()
    made = await connected.create("from-env")
    env = (await connected.get(f"/v1/databases/{made['id']}/credentials")).json["env"]
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "job.mjs").write_text(
        'import { Redis } from "@upstash/redis"; const redis = Redis.fromEnv();'
        'await redis.set("name", "Ada"); console.log(await redis.get("name"));'
    )

    process = await asyncio.create_subprocess_exec(
        "node",
        "job.mjs",
        cwd=tmp_path,
        env={**os.environ, **env, "UPSTASH_DISABLE_TELEMETRY": "1"},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()

    assert "Ada" == out.decode().strip()


async def test_password_reset_invalidates_the_old_secrets(connected: World) -> None:
    """The old password and tokens stop working."""
    made = await connected.create("rekeyed")
    path = f"/v1/databases/{made['id']}/credentials"
    old = (await connected.get(path)).json

    reply = await connected.call("POST", f"/v1/databases/{made['id']}/reset-password")
    new = (await connected.get(path)).json

    assert 200 == reply.status
    assert {"password", "rest_token", "redis_url"} <= {name for name in old if old[name] != new[name]}
    async with redis.asyncio.from_url(new["redis_url"]) as client:
        assert await client.ping()
    with pytest.raises((redis.exceptions.AuthenticationError, redis.exceptions.ResponseError)):
        async with redis.asyncio.from_url(old["redis_url"]) as client:
            await client.ping()


async def test_only_the_credentials_endpoint_returns_secrets(connected: World) -> None:
    """Lists and changes contain none."""
    made = await connected.create("quiet")
    credentials = (await connected.get(f"/v1/databases/{made['id']}/credentials")).json
    secrets = [credentials[name] for name in ("password", "rest_token", "read_only_rest_token")]

    replies = [
        await connected.get("/v1/databases"),
        await connected.get(f"/v1/databases/{made['id']}"),
        await connected.call("PATCH", f"/v1/databases/{made['id']}", {"eviction": True}),
    ]

    assert not any(secret in reply.text for secret in secrets for reply in replies)


@pytest.mark.parametrize(
    "change",
    [
        {"eviction": True}, {"auto_upgrade": True}, {"daily_backup": True},
        {"read_regions": ["eu-west-1", "us-west-2"]},
        {"plan": "payg"}, {"budget": 42}, {"tls": True}, {"name": "other"},
        {"plan": "payg", "budget": 7, "eviction": True, "auto_upgrade": True, "name": "all"},
    ],
)  # fmt: skip
async def test_every_field_can_be_changed(connected: World, change: dict[str, object]) -> None:
    """The new value is returned."""
    made = await connected.create("changing")

    reply = await connected.call("PATCH", f"/v1/databases/{made['id']}", change)
    read = (await connected.get(f"/v1/databases/{made['id']}")).json

    assert 200 == reply.status, reply.text
    assert change == {field: read[field] for field in change}


@pytest.mark.parametrize("body", [{}, {"name": None}, {"tls": False}, {"eviction": "yes"}, {"budget": -1}, {"id": "x"}])
async def test_invalid_change_is_rejected(connected: World, body: dict[str, object]) -> None:
    """With 422, and without a request to Upstash."""
    made = await connected.create("stays")
    await connected.sandbox.forget_requests()

    reply = await connected.call("PATCH", f"/v1/databases/{made['id']}", body)

    assert (422, "invalid_request") == (reply.status, reply.code)
    assert [] == await connected.sandbox.requests()


async def test_t47_same_key_returns_the_same_database(connected: World) -> None:
    """Quoted or bare, at once or later. Another request with the key is rejected, and so is a missing key."""
    body = {"name": "once", "primary_region": "us-east-1"}

    async def create(key: str | None, name: str = "once") -> tuple[int, str]:
        headers = {} if key is None else {"Idempotency-Key": key}
        reply = await connected.call("POST", "/v1/databases", {**body, "name": name}, headers=headers)
        return reply.status, reply.json.get("id") or reply.code

    together = await asyncio.gather(*(create("k-1") for _ in range(5)))
    later = await create('"k-1"')
    other = await create("k-1", name="twice")
    missing = await create(None)
    listed = (await connected.get("/v1/databases")).json["databases"]

    made = [it for it in together if it[0] == 201]
    assert made
    assert {made[0]} == set(made)
    assert all(it in (made[0], (409, "request_in_progress")) for it in together)
    assert made[0] == later
    assert (422, "idempotency_key_reused") == other
    assert (400, "idempotency_key_required") == missing
    assert ["once"] == [database["name"] for database in listed]


async def test_regions_need_no_connection(world: World) -> None:
    """A form can be rendered before an account is connected."""
    reply = await world.get("/v1/regions", token=None)

    regions = {region["id"]: region for region in reply.json["regions"]}
    assert 18 == len(regions)
    assert ("gcp", True, False) == tuple(regions["us-east4"][name] for name in ("platform", "primary", "read"))


async def test_databases_without_an_account_are_a_conflict(world: World) -> None:
    """The 409 says how to connect one."""
    reply = await world.get("/v1/databases")

    assert (409, "not_connected") == (reply.status, reply.code)
    assert "upstash-helper connect" in reply.json["detail"]


async def test_cached_list_is_not_shown_to_another_account(connected: World) -> None:
    """The cache belongs to one account."""
    await connected.create("first")
    assert 1 == len((await connected.get("/v1/databases")).json["databases"])
    await connected.call("DELETE", "/v1/connection")
    connected.email = "second-" + connected.email

    await connected.connect()

    assert [] == (await connected.get("/v1/databases")).json["databases"]
