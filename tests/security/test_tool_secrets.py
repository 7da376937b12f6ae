"""No result of a tool contains a secret of the account, whatever Upstash sends and whatever the agent may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from tests.support.agents import Agent
from tests.support.upstream_api import upstream_api
from tests.support.world import World
from upstash_helper.api.mcp.tool import ToolError
from upstash_helper.broker.errors import HelperError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

NEW_FIELD = "a-secret-in-a-field-that-upstash-added"
SCOPES = (
    "databases:read",
    "databases:write",
    "databases:delete",
    "databases:commands",
    "upstash:read",
    "upstash:write",
)


def with_new_fields(value: Any) -> Any:
    """Return a document in which every object has two more fields, as if Upstash had added them."""
    match value:
        case dict():
            found = {key: with_new_fields(item) for key, item in value.items()}
            return {**found, "signing_key": NEW_FIELD, "details": {"token": NEW_FIELD}}
        case list():
            return [with_new_fields(item) for item in value]
        case _:
            return value


@pytest.fixture
async def world(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon whose Developer API is the sandbox's, with a new field in every object of every response."""

    async def forward(request: web.Request) -> web.Response:
        headers = {name: request.headers[name] for name in ("Authorization", "Content-Type") if name in request.headers}
        async with session.request(
            request.method, sandbox.api_url + request.raw_path, headers=headers, data=await request.read()
        ) as response:
            document = msgspec.json.decode(await response.read())
            return web.json_response(with_new_fields(document), status=response.status)

    async with (
        aiohttp.ClientSession() as session,
        upstream_api(forward) as api,
        World.running(tmp_path, sandbox, daemon_port, api_url=api.url) as world,
    ):
        await world.connect()
        yield world


async def secrets_of(world: World) -> set[str]:
    """Return every password, token, and key of the account and of the daemon."""
    found = {NEW_FIELD, world.owner}
    credential = await world.store.load()
    assert credential is not None
    assert credential.api_key is not None
    found.add(credential.api_key.reveal())
    for database in (await world.get("/v1/databases")).json["databases"]:
        found |= set(named_like_secrets((await world.get(f"/v1/databases/{database['id']}/credentials")).json))
    for path in ("redis/databases", "vector/index", "search", "qstash/users"):
        found |= set(named_like_secrets((await world.get(f"/upstash/v2/{path}")).json))
    return found


def named_like_secrets(value: Any, name: str = "") -> Iterator[str]:
    """Yield the texts in a document whose name is that of a secret."""
    match value:
        case dict():
            for key, item in value.items():
                yield from named_like_secrets(item, key)
        case list():
            for item in value:
                yield from named_like_secrets(item, name)
        case str() if value and ("token" in name.lower() or "password" in name.lower()):
            yield value


async def store(credentials: dict[str, Any], *command: str) -> None:
    """Store something in a database, as an app does that has its credentials."""
    headers = {"Authorization": f"Bearer {credentials['rest_token']}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(credentials["rest_url"], json=command, headers=headers) as response,
    ):
        assert response.status == 200, await response.text()


async def arguments_of_every_tool(agent: Agent, folder: Path) -> dict[str, dict[str, Any]]:
    """Create one object of each kind, and return arguments with which each tool does its work."""
    database = await agent.call("redis_create_database", name="orders", primary_region="us-east-1")
    database_id = database["database_id"]
    real = (await agent.world.get(f"/v1/databases/{database_id}/credentials")).json
    await store(real, "MSET", "url", real["redis_url"], "token", real["rest_token"])
    await agent.call("redis_create_backup", database_id=database_id, name="first")
    backup = (await agent.call("redis_list_backups", database_id=database_id))["backups"][0]
    vector = {"product": "vector", "region": "eu-west-1", "similarity_function": "COSINE", "dimension_count": 3}
    index = {"product": "vector", "index_id": (await agent.call("index_create", **vector, name="one"))["id"]}
    user = (await agent.call("qstash_list_users"))["users"][0]
    of: dict[str, Any] = {"database_id": database_id}
    one_backup = {**of, "backup_id": backup["backup_id"]}
    await store(real, "MSET", "url", real["redis_url"], "token", real["rest_token"])
    stored = {"commands": [["MGET", "url", "token"]]}
    new = {"name": "second", "primary_region": "us-east-1"}
    return {
        "redis_list_databases": {},
        "redis_get_database": of,
        "redis_list_regions": {},
        "redis_create_database": new,
        "redis_rename_database": {**of, "name": "renamed"},
        "redis_set_eviction": {**of, "enabled": True},
        "redis_set_auto_upgrade": {**of, "enabled": True},
        "redis_update_regions": {**of, "read_regions": ["eu-west-1"]},
        "redis_get_stats": {**of, "stat_type": "keyspace"},
        "redis_list_backups": of,
        "redis_create_backup": {**of, "name": "second"},
        "redis_restore_backup": one_backup,
        "redis_delete_backup": one_backup,
        "redis_set_daily_backup": {**of, "enabled": True},
        "redis_run_command": {**of, **stored},
        "env_write": {"database": database_id, "path": str(folder.resolve() / ".env"), "redis_url": True},
        "index_list": {"product": "vector"},
        "index_get": index,
        "index_get_stats": index,
        "index_create": {"product": "search", "name": "pages", "region": "eu-west-1"},
        "index_update": {**index, "name": "renamed", "plan": "payg"},
        "index_reset_password": index,
        "index_delete": index,
        "qstash_list_users": {},
        "qstash_get_stats": {"qstash_id": user["id"]},
        "audit_list": {},
        "redis_database_list_databases": {},
        "redis_database_get_details": of,
        "redis_database_create_new": {**new, "name": "third"},
        "redis_database_update_regions": {"id": database_id, "read_regions": []},
        "redis_database_reset_password": {"id": "none"},
        "redis_database_get_statistics": {"id": database_id, "period": "1h"},
        "redis_database_run_redis_commands": {**of, "commands": [["ACL", "WHOAMI"], ["CONFIG", "GET", "*"]]},
        "redis_database_run_single_redis_command": {**of, "command": ["INFO"]},
        "redis_database_run_multiple_redis_commands": {**of, **stored},
        "redis_database_list_backups": of,
        "redis_database_create_backup": {**of, "backup_name": "third"},
        "redis_database_delete_backup": {**of, "backup_id": "none"},
        "redis_database_restore_backup": {**of, "backup_id": "none"},
        "redis_database_set_daily_backup": {**of, "enable": False},
        "redis_database_manage_backup": {**of, "operation": "create", "backup_name": "fourth"},
        "redis_database_delete": {"database_id": "none"},
        "redis_reset_password": of,  # what is stored is no secret any more then
        "redis_delete_database": of,  # the last one, since the others need it
    }


async def said(agent: Agent, name: str, arguments: dict[str, Any]) -> str:
    """Call a tool, and return everything that the agent sees of it, or what its error says."""
    try:
        return repr(await agent.call(name, **arguments))
    except (HelperError, ToolError) as error:
        return repr(error) + str(error)


@pytest.mark.parametrize("allows", [True, False], ids=["allowed", "denied"])
async def test_no_result_of_any_tool_contains_a_secret(world: World, tmp_path: Path, *, allows: bool) -> None:
    """
    Not the API key, a password, or a token of a database, an index, or QStash, and nothing in fields that nobody knows:
    with every scope but databases:credentials, in results, errors, questions, and the audit log.
    """
    agent = await Agent.approved(world, *SCOPES, all_databases=True)
    agent.allows = allows
    wanted = await arguments_of_every_tool(agent, tmp_path)
    assert wanted.keys() == (await agent.tools()).keys(), "each tool is called"

    texts, secrets = {}, await secrets_of(world)
    for name, arguments in wanted.items():
        texts[name] = await said(agent, name, arguments)
        secrets |= await secrets_of(world)

    texts["questions"] = repr(agent.asked)
    texts["audit"] = (await world.get("/v1/audit")).text
    assert len(secrets) > 10
    assert [] == [(name, secret) for name, text in texts.items() for secret in secrets if secret in text]
    if allows:
        written = (tmp_path / ".env").read_text()
        assert [secret for secret in secrets if secret in written], "the file has the values"
        worked = [name for name, text in texts.items() if "Error(" not in text]
        assert len(worked) > len(wanted) - 6, "most tools did their work"


async def test_the_search_finds_a_secret_that_a_result_contains(world: World, tmp_path: Path) -> None:
    """The same search finds what an agent with databases:credentials requests, so it would find a leak."""
    agent = await Agent.approved(world, *SCOPES, "databases:credentials")
    wanted = await arguments_of_every_tool(agent, tmp_path)

    secrets = await secrets_of(world)
    for name in ("redis_get_database", "index_get", "qstash_list_users"):
        text = await said(agent, name, {**wanted[name], "include_credentials": True})

        assert [secret for secret in secrets if secret in text], name
        assert NEW_FIELD not in text
