"""A profile moves between an API key and a grant, and between accounts, and its apps stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.stream import follow
from tests.support.world import PASSWORD, World, as_page
from upstash_helper.storage.credentials.file_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from tests.support.world import App

PAGE = "https://orders.example.com"
SCOPES = ("connection:read", "databases:read", "databases:write")
NEW = {"name": "orders", "primary_region": "us-east-1"}


async def use_key(world: World) -> dict[str, Any]:
    """Connect the user's account with an API key from the console."""
    name = f"from-the-console-{len(await world.sandbox.api_key_names(world.email))}"
    key = await world.sandbox.api_key(world.email, name)
    reply = await world.call("PUT", "/v1/connection/api-key", {"email": world.email, "api_key": key})
    assert reply.status == 200, reply.text
    connection: dict[str, Any] = reply.json
    return connection


async def seen_by(world: World, app: App) -> tuple[int, str, str | None]:
    """Return how an app's request for the databases ends, and which connection it sees."""
    listed = await world.as_app(app, "GET", "/v1/databases")
    connection = (await world.as_app(app, "GET", "/v1/connection")).json
    return listed.status, connection["method"], connection["access"]


async def access_of(world: World, app: App) -> tuple[str, ...]:
    """Return the scopes that the user sees for an app."""
    (shown,) = [it for it in (await world.get("/v1/apps")).json["apps"] if it["id"] == app.id]
    return tuple(scope["scope"] for scope in shown["scopes"])


async def test_profile_moves_from_an_api_key_to_a_grant_and_back(open_world: World) -> None:
    """The app keeps its token and its scopes, and its stream reports each move. The grant that is left is revoked."""
    world = open_world
    await world.sandbox.account(world.email, PASSWORD)
    await use_key(world)
    app = await world.pair(*SCOPES, origin=PAGE)
    scopes = await access_of(world, app)
    async with follow(world, Authorization=f"Bearer {app.token}", **as_page(PAGE)) as stream:
        with_key = await seen_by(world, app)
        await world.connect(force=True, sign_up=False)
        moved = (await stream.until("connection"))["data"]
        with_grant = await seen_by(world, app)
        grants = await world.sandbox.grants(world.email)
        await use_key(world)
        while moved["method"] != "api_key":
            moved = (await stream.until("connection"))["data"]
            assert moved["state"] == "connected"
        back = await seen_by(world, app)
    await world.daemon.background.drain(10)

    assert [(200, "api_key", None), (200, "grant", "full"), (200, "api_key", None)] == [with_key, with_grant, back]
    assert set(SCOPES) == set(scopes)
    assert scopes == await access_of(world, app)
    assert 1 == len(grants)
    assert [] == await world.sandbox.grants(world.email)


async def test_repeated_create_is_recognized_after_the_move_to_a_grant(open_world: World) -> None:
    """The account is the same, so the same key means the same database."""
    world = open_world
    await world.sandbox.account(world.email, PASSWORD)
    await use_key(world)
    app = await world.pair(*SCOPES, "databases:credentials", origin=PAGE)
    key = {"Idempotency-Key": "orders-1"}
    made = await world.as_app(app, "POST", "/v1/databases", NEW, **key)
    await world.connect(force=True, sign_up=False)

    again = await world.as_app(app, "POST", "/v1/databases", NEW, **key)
    credentials = await world.as_app(app, "GET", f"/v1/databases/{made.json['id']}/credentials")

    assert (201, made.json["id"]) == (made.status, again.json["id"])
    assert 200 == credentials.status, credentials.text
    assert ["orders"] == [it["name"] for it in (await world.get("/v1/databases")).json["databases"]]


async def test_repeated_create_in_a_team_is_not_answered_with_the_personal_database(open_world: World) -> None:
    """The key belongs to a request for another account."""
    world = open_world
    await world.connect()
    app = await world.pair(*SCOPES, "databases:credentials", origin=PAGE)
    key = {"Idempotency-Key": "orders-1"}
    made = await world.as_app(app, "POST", "/v1/databases", NEW, **key)
    await world.connect(force=True, sign_up=False, team_id=await world.sandbox.team(world.email, "crew"))

    again = await world.as_app(app, "POST", "/v1/databases", NEW, **key)
    credentials = await world.as_app(app, "GET", f"/v1/databases/{made.json['id']}/credentials")

    assert 201 == made.status
    assert made.json["id"] not in again.text
    assert credentials.code in {"database_not_found", "not_the_creator"}


async def test_profile_moves_to_a_team_and_back(open_world: World) -> None:
    """The app works with the team's databases, and then with the user's own again."""
    world = open_world
    await world.connect()
    own = await world.create("own")
    app = await world.pair(*SCOPES, origin=PAGE)
    team_id = await world.sandbox.team(world.email, "crew")

    await world.connect(force=True, sign_up=False, team_id=team_id)
    in_team = (await world.as_app(app, "GET", "/v1/databases")).json["databases"]
    made = await world.as_app(app, "POST", "/v1/databases", NEW, **{"Idempotency-Key": "in-team"})
    seen = (await world.as_app(app, "GET", "/v1/connection")).json["account"]
    await world.connect(force=True, sign_up=False)
    back = (await world.as_app(app, "GET", "/v1/databases")).json["databases"]

    assert [] == in_team
    assert (201, team_id) == (made.status, seen["team_id"])
    assert [own["id"]] == [it["id"] for it in back]
    assert set(SCOPES) == set(await access_of(world, app))


async def test_move_to_read_only_access_and_back_keeps_the_scopes(open_world: World) -> None:
    """Changes are refused while the account is connected for reading only; the app need not ask again afterwards."""
    world = open_world
    await world.connect(full_access=False)
    app = await world.pair(*SCOPES, origin=PAGE)

    refused = await world.as_app(app, "POST", "/v1/databases", NEW, **{"Idempotency-Key": "one"})
    seen = await seen_by(world, app)
    await world.connect(force=True, sign_up=False)
    made = await world.as_app(app, "POST", "/v1/databases", NEW, **{"Idempotency-Key": "one"})

    assert (403, "read_only_access") == (refused.status, refused.code)
    assert (200, "grant", "read_only") == seen
    assert 201 == made.status, made.text


async def test_profile_moves_from_the_partner_sign_in_to_the_open_one_and_back(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int
) -> None:
    """The user adds or removes the client ID in the settings and restarts the daemon. What is stored keeps working."""
    store, seen = MemoryStore(), []
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        email = world.email
        await world.connect()
        app = await world.pair(*SCOPES, origin=PAGE)
        seen.append(await seen_by(world, app))
    async with World.running(tmp_path, sandbox, daemon_port, store=store, client_id=None) as world:
        world.email = email
        seen.append(await seen_by(world, app))
        await world.connect(force=True, sign_up=False)
        seen.append(await seen_by(world, app))
    async with World.running(tmp_path, sandbox, daemon_port, store=store) as world:
        world.email = email
        seen.append(await seen_by(world, app))
        flow = (await world.get("/v1/connection")).json["sign_in"]
        started = await world.start(force=True)
        await world.land(await sandbox.authorize(started["authorization_url"], email, PASSWORD, sign_up=False))
        await world.settled(started["attempt_id"])
        seen.append(await seen_by(world, app))
        await world.daemon.background.drain(10)

    key, grant = (200, "oauth", None), (200, "grant", "full")
    assert [key, key, grant, grant, key] == seen
    assert "partner" == flow
    assert [] == await sandbox.grants(email)
