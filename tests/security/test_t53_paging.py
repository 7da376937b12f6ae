"""T53: manipulated page sizes and page tokens, in addition to ``tests/api/test_databases.py``."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.support.effects import no_effect
from tests.support.world import World

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox


async def test_t53_modified_page_token_is_rejected(world: World) -> None:
    """Changing any bit of a token makes it invalid."""
    await world.connect()
    for name in ("a", "b"):
        await world.create(name)
    token = (await world.get("/v1/databases?page_size=1")).json["next_page_token"]
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    changed = [
        base64.urlsafe_b64encode(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :]).decode().rstrip("=")
        for place in range(len(raw))
    ]
    changed += [token[:-4], token + "AAAA", token.swapcase(), token + "%20x", "=" * 4]

    replies = [await world.get(f"/v1/databases?page_token={other}") for other in changed]

    assert {(400, "invalid_page_token")} == {(reply.status, reply.code) for reply in replies}
    assert ["b"] == [it["name"] for it in (await world.get(f"/v1/databases?page_token={token}")).json["databases"]]


async def test_t53_page_token_of_an_earlier_run_is_rejected(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, world: World
) -> None:
    """Each run has its own key. The error says to start with the first page."""
    await world.connect()
    for name in ("a", "b"):
        await world.create(name)
    token = (await world.get("/v1/databases?page_size=1")).json["next_page_token"]
    world.stop.set()
    await world.serving

    async with World.running(tmp_path / "later", sandbox, daemon_port, store=world.store) as later:
        reply = await later.get(f"/v1/databases?page_token={token}")

    assert (400, "invalid_page_token") == (reply.status, reply.code)
    assert "first page" in reply.json["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("page_size=-1", 400), ("page_size=0", 200), ("page_size=1000000000", 200), ("page_size=x", 400),
        ("page_size=%D9%A3", 400), ("page_size=" + "9" * 400, 400), ("page_token=0", 200), ("page_token=-1", 400),
        ("page_token=x", 400), ("page_token=1%3B--", 400), ("page_token=999999999999999", 200),
        ("page_token=" + "9" * 30, 400), ("since=x", 422), ("since=2026-13-45", 422), ("since=0001-01-01", 200),
        ("since=9999-12-31T23:59:59-23:59", 200), ("since=2026-01-31T09:00:00Z", 200), ("since=%00", 422),
        ("app='; DROP TABLE audit; --", 200), ("app=%ED%A0%80", 200), ("app=%FF", 200), ("app=%00", 200),
    ],
)  # fmt: skip
async def test_t53_audit_page_sizes_are_validated(world: World, query: str, status: int) -> None:
    """
    Negative sizes are rejected, an empty one is the default, large ones are reduced, and none is an internal error.
    """
    async with no_effect(world):
        reply = await world.get(f"/v1/audit?{query}")

    assert status == reply.status, reply.text


async def test_t53_audit_pages_are_complete(world: World) -> None:
    """Each entry appears once, newest first, for every page size."""
    app = await world.pair("databases:read")
    for number in range(7):
        await world.call("PATCH", f"/v1/apps/{app.id}", {"name": f"Name {number}"})
    all_at_once = (await world.get("/v1/audit")).json["entries"]

    found: list[object] = []
    token: str | None = ""
    while token is not None:
        page = (await world.get(f"/v1/audit?page_size=2&page_token={token}")).json
        found += page["entries"]
        token = page["next_page_token"]

    assert ["app.rename"] * 7 == [entry["action"] for entry in all_at_once][:7]
    assert sorted((entry["id"] for entry in all_at_once), reverse=True) == [entry["id"] for entry in all_at_once]
    assert all_at_once == found
