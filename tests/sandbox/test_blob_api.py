"""The management of Blob buckets, with the requests and the format of Upstash's command line."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.sandbox.callers import Caller

if TYPE_CHECKING:
    import aiohttp

    from tests.support.sandbox import Sandbox

BUCKETS = "/v2/blob/bucket"


async def create(caller: Caller, **fields: Any) -> dict[str, Any]:
    """Create a bucket."""
    response = await caller.call("POST", BUCKETS, {"name": "covers", "visibility": "private", **fields})
    assert response.status == 200, response.body
    bucket: dict[str, Any] = response.json
    return bucket


async def test_bucket_is_created_listed_shown_and_deleted(caller: Caller) -> None:
    """
    A bucket has the fields of Upstash's command line. The list leaves out the token.
    """
    origins = ["https://a.example.com", "*"]
    bucket = await create(caller, visibility="public", cors=origins)
    at = f"{BUCKETS}/{bucket['id']}"

    listed, shown = await caller.call("GET", BUCKETS), await caller.call("GET", at)
    deleted, again = await caller.call("DELETE", at), await caller.call("DELETE", at)

    assert {
        "customer_id": caller.email, "name": "covers", "visibility": "public", "cors": origins, "pw_version": 1,
    }.items() <= bucket.items()  # fmt: skip
    assert bucket == shown.json
    assert [{name: value for name, value in bucket.items() if name != "token"}] == listed.json
    assert [(200, "OK"), (404, {"error": "bucket not found"})] == [(it.status, it.json) for it in (deleted, again)]
    assert [] == (await caller.call("GET", BUCKETS)).json


async def test_token_names_its_bucket(caller: Caller) -> None:
    """
    Upstash's command line reads the bucket's ID from the token: the third byte is its length, and it begins after six.
    """
    bucket = await create(caller)

    raw = base64.urlsafe_b64decode(bucket["token"] + "=" * (-len(bucket["token"]) % 4))

    assert bucket["id"] == raw[6 : 6 + raw[2]].decode()
    assert len(raw) > 6 + raw[2] + 16


async def test_defaults(caller: Caller) -> None:
    """
    Without more than a name, a bucket is private and has no origins.
    """
    response = await caller.call("POST", BUCKETS, {"name": "covers"})

    assert ("private", []) == (response.json["visibility"], response.json["cors"])


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "x", "visibility": "secret"}, "visibility"),
        ({"name": "x", "cors": "https://a.example.com"}, "cors"),
        ({"name": "x", "cors": ["https://a.example.com/path"]}, "cors.0"),
        ({"name": "x", "cors": ["*"] * 101}, "cors"),
    ],
)
async def test_invalid_bucket_is_refused(caller: Caller, body: dict[str, Any], part: str) -> None:
    """
    The error names the invalid field.
    """
    response = await caller.call("POST", BUCKETS, body)

    assert (400, True) == (response.status, response.json["error"].startswith(f"invalid request body: {part}"))


async def test_name_is_unique_within_an_account(
    sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession
) -> None:
    """
    Clients find a bucket by its name, so an account has each name once. Another account can have it, too.
    """
    await create(caller)
    other = await Caller.new(sandbox, session)

    again = await caller.call("POST", BUCKETS, {"name": "covers"})
    elsewhere = await other.call("POST", BUCKETS, {"name": "covers"})

    assert [409, 200] == [again.status, elsewhere.status]


async def test_bucket_of_another_account_does_not_exist(
    sandbox: Sandbox, caller: Caller, session: aiohttp.ClientSession
) -> None:
    """
    Another account neither sees nor deletes a bucket, and a read-only key only reads.
    """
    at = f"{BUCKETS}/{(await create(caller))['id']}"
    other = await Caller.new(sandbox, session)
    reader = Caller(sandbox, session, caller.email, await sandbox.api_key(caller.email, "reader", read_only=True))

    foreign = [await other.call("GET", at), await other.call("DELETE", at)]
    read = [await reader.call("GET", at), await reader.call("DELETE", at), await reader.call("POST", BUCKETS, {})]

    assert [404, 404] == [response.status for response in foreign]
    assert [200, 403, 403] == [response.status for response in read]
    assert [] == (await other.call("GET", BUCKETS)).json
