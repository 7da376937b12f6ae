"""Every command of Upstash's command line that uses the account, and what it changes, by product."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.upstash_cli import UpstashCli


async def databases(cli: UpstashCli, rest_url: str, team_id: str) -> None:
    """Databases, commands on them, and their backups. The last one belongs to the team in the end."""
    await _database(cli, rest_url)
    await _backups(cli, rest_url)
    moved = await cli("redis create", "--name", "moved", "--region", "us-east-1")
    await cli("redis move-to-team", "--db-id", moved["database_id"], "--team-id", team_id)
    assert [] == await cli("redis list")


async def _database(cli: UpstashCli, rest_url: str) -> None:
    created = await cli("redis create", "--name", "books", "--region", "eu-west-1", "--read-regions", "us-east-1")
    name, at = created["database_id"], ("--db-id", created["database_id"])
    listed = await cli("redis list")
    hidden = await cli("redis get", *at, "--hide-credentials")
    assert ([name], ["us-east-1"]) == ([one["database_id"] for one in listed], created["read_regions"])
    assert {"password", "rest_token"} <= set(created) - set(hidden)

    rest = ("--db-url", rest_url, "--db-token", created["rest_token"])
    assert {"result": "OK"} == await cli("redis exec", *rest, "SET", "title", "Emma")
    assert {"result": "Emma"} == await cli("redis exec", *rest, "--json", '["GET", "title"]')

    await cli("redis rename", *at, "--name", "novels")
    await cli("redis enable-eviction", *at)
    await cli("redis enable-autoupgrade", *at)
    await cli("redis change-plan", *at, "--plan", "payg")
    await cli("redis update-budget", *at, "--budget", "1500")
    await cli("redis update-regions", *at, "--read-regions", "us-west-1", "us-west-2")
    after = await cli("redis get", *at)
    assert {
        "database_name": "novels",
        "eviction": True,
        "auto_upgrade": True,
        "type": "payg",
        "budget": 1500,
        "read_regions": ["us-west-1", "us-west-2"],
    } == _members(after, "database_name", "eviction", "auto_upgrade", "type", "budget", "read_regions")

    await cli("redis disable-eviction", *at)
    await cli("redis disable-autoupgrade", *at)
    await cli("redis reset-password", *at)
    await cli("redis enable-tls", *at)
    after = await cli("redis get", *at)
    assert (False, False, True) == (after["eviction"], after["auto_upgrade"], after["tls"])
    assert not {created["password"], created["rest_token"]} & {after["password"], after["rest_token"]}
    assert (await cli("redis stats", *at))["current_storage"] > 0

    assert {"deleted": True, "database_id": name} == await cli("redis delete", *at)


async def _backups(cli: UpstashCli, rest_url: str) -> None:
    created = await cli("redis create", "--name", "archive", "--region", "us-east-1")
    at = ("--db-id", created["database_id"])
    execute = ("--db-url", rest_url, "--db-token", created["rest_token"])

    await cli("redis exec", *execute, "SET", "title", "Emma")
    await cli("redis backup create", *at, "--name", "monday")
    [backup] = await cli("redis backup list", *at)
    await cli("redis exec", *execute, "SET", "title", "Persuasion")
    await cli("redis backup restore", *at, "--backup-id", backup["backup_id"])
    assert ("monday", {"result": "Emma"}) == (backup["name"], await cli("redis exec", *execute, "GET", "title"))

    await cli("redis backup enable-daily", *at)
    enabled = await cli("redis get", *at)
    await cli("redis backup disable-daily", *at)
    disabled = await cli("redis get", *at)
    assert (True, False) == (enabled["daily_backup_enabled"], disabled["daily_backup_enabled"])

    await cli("redis backup delete", *at, "--backup-id", backup["backup_id"])
    assert [] == await cli("redis backup list", *at)
    await cli("redis delete", *at)


async def vector(cli: UpstashCli, team_id: str) -> None:
    """Vector indexes. The last one belongs to the team in the end."""
    created = await cli(
        "vector create", "--name", "books", "--region", "us-east-1", "--similarity-function", "COSINE",
        "--dimension-count", "384", "--index-type", "DENSE",
    )  # fmt: skip
    at = ("--index-id", created["id"])
    assert [created["id"]] == [one["id"] for one in await cli("vector list")]
    await cli("vector rename", *at, "--name", "novels")
    await cli("vector set-plan", *at, "--plan", "payg")
    await cli("vector reset-password", *at)
    after = await cli("vector get", *at)
    assert {"name": "novels", "type": "payg", "dimension_count": 384} == _members(
        after, "name", "type", "dimension_count"
    )
    assert not {created["token"], created["read_only_token"]} & {after["token"], after["read_only_token"]}
    assert 0 == (await cli("vector index-stats", *at, "--period", "3h"))["current_vector_count"]
    assert 0 == (await cli("vector stats"))["record_count"]

    await cli("vector delete", *at)
    moved = await cli(
        "vector create", "--name", "moved", "--region", "eu-west-1", "--similarity-function", "DOT_PRODUCT",
        "--dimension-count", "1024", "--index-type", "HYBRID", "--embedding-model", "BGE_M3",
        "--sparse-embedding-model", "BM25", "--type", "payg",
    )  # fmt: skip
    await cli("vector transfer", "--index-id", moved["id"], "--target-account", team_id)
    assert [] == await cli("vector list")


async def search(cli: UpstashCli, team_id: str) -> None:
    """Search indexes. The last one belongs to the team in the end."""
    created = await cli("search create", "--name", "books", "--region", "us-central1", "--type", "payg")
    at = ("--index-id", created["id"])
    assert [created["id"]] == [one["id"] for one in await cli("search list")]
    await cli("search rename", *at, "--name", "novels")
    await cli("search reset-password", *at)
    after = await cli("search get", *at)
    assert "novels" == after["name"]
    assert not {created["token"], created["read_only_token"]} & {after["token"], after["read_only_token"]}
    assert 0 == (await cli("search index-stats", *at, "--period", "1d"))["current_vector_count"]
    assert 0 == (await cli("search stats"))["record_count"]

    await cli("search delete", *at)
    moved = await cli("search create", "--name", "moved", "--region", "eu-west-1", "--type", "fixed")
    await cli("search transfer", "--index-id", moved["id"], "--target-account", team_id)
    assert [] == await cli("search list")


async def qstash(cli: UpstashCli, team_id: str) -> None:
    """The account's QStash user, which belongs to the team in the end."""
    [user] = await cli("qstash list")
    at = ("--qstash-id", user["id"])
    before = await cli("qstash get", *at)
    await cli("qstash set-plan", *at, "--plan", "qstash_fixed_1m")
    await cli("qstash update-budget", *at, "--budget", "20")
    await cli("qstash enable-prodpack", *at)
    enabled = await cli("qstash get", *at)
    await cli("qstash disable-prodpack", *at)
    await cli("qstash rotate-token", *at)
    after = await cli("qstash get", *at)
    assert (False, True, False) == tuple(one["prod_pack_enabled"] for one in (before, enabled, after))
    assert ("paid", "qstash_fixed_1m", 20) == (after["type"], after["reserved_type"], after["budget"])
    assert before["token"] != after["token"]
    assert 0 == (await cli("qstash stats", *at, "--period", "7d"))["daily_requests"][-1]["y"]
    assert all("/" in block for block in await cli("qstash ipv4"))
    await cli("qstash move-to-team", *at, "--target-team-id", team_id)
    assert user["id"] not in [one["id"] for one in await cli("qstash list")]


async def teams(cli: UpstashCli, owner: str, other: str) -> None:
    """Teams and their members: the account's user and one more, by email."""
    created = await cli("team create", "--name", "Press")
    at = ("--team-id", created["team_id"])
    assert created["team_id"] in [one["team_id"] for one in await cli("team list")]
    await cli("team add-member", *at, "--member-email", other, "--role", "dev")
    assert {owner: "owner", other: "dev"} == await _roles(cli, created["team_id"])
    await cli("team remove-member", *at, "--member-email", other)
    assert {owner: "owner"} == await _roles(cli, created["team_id"])
    assert {"deleted": True, "team_id": created["team_id"]} == await cli("team delete", *at)
    assert created["team_id"] not in [one["team_id"] for one in await cli("team list")]


async def _roles(cli: UpstashCli, team_id: str) -> dict[str, str]:
    members = await cli("team members", "--team-id", team_id)
    return {member["member_email"]: member["member_role"] for member in members}


def _members(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: found[name] for name in names}
