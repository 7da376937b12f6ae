"""Stolen tokens, missing scopes, and revocation: T07, T08, T29, and T30."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.support.clock import FakeClock
from tests.support.effects import no_effect, state
from tests.support.rawhttp import connected, request
from tests.support.recorded import recorded
from tests.support.stream import follow
from tests.support.world import PASSWORD, App, Reply, World, as_page
from upstash_helper.api.guard.middleware import REQUESTS_AT_ONCE, REQUESTS_PER_MINUTE
from upstash_helper.broker.apps.registry import MAX_MISMATCHES, ONCE_SECONDS
from upstash_helper.broker.identity import SCOPES
from upstash_helper.protocol.literals import Scope

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox
    from upstash_helper.api.server.routes import Route

PAGE = "https://app.example.com"
OTHER = "https://other.example.com"
EXTENSION = "chrome-extension://" + "a" * 32
CREATE = {"name": "db", "primary_region": "us-east-1"}
KEY = {"Idempotency-Key": "k"}


@pytest.fixture
async def timed(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[tuple[World, FakeClock]]:
    """A daemon with a fake clock."""
    clock = FakeClock()
    async with World.running(tmp_path, sandbox, daemon_port, clock=clock) as world:
        yield world, clock


async def steal(world: World, app: App, headers: dict[str, str], method: str = "POST") -> Reply:
    """Send a costly request with an app's token from another origin."""
    sent = {"Authorization": f"Bearer {app.token}", **KEY, **headers}
    if method == "GET":
        return await world.get("/v1/databases", headers=sent, token=None)
    return await world.call("POST", "/v1/databases", CREATE, headers=sent, token=None)


async def mismatches(world: World) -> list[int]:
    """Return the ledger's misuse count of each app."""
    return [app.mismatches for app in await world.ledger.apps.load()]


# --- T07, T08 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        as_page(OTHER),
        as_page("https://app.example.com.evil.com"),
        as_page("https://app.example.com:8443"),
        as_page("http://app.example.com"),
        as_page("https://APP.example.com"),
        as_page("https://app.example.com/"),
        as_page("http://localhost:5173"),
        as_page(EXTENSION),
        {"Origin": ""},
    ],
)
async def test_t07_page_token_is_rejected_from_another_origin(
    world: World, headers: dict[str, str], method: str
) -> None:
    """403, without a request to Upstash. The misuse is recorded, without the token."""
    await world.connect()
    app = await world.pair(*SCOPES, origin=PAGE)
    before = await state(world)

    reply = await steal(world, app, headers, method)

    after = await state(world)
    assert (403, "origin_mismatch") == (reply.status, reply.code)
    assert "Access-Control-Allow-Origin" not in reply.headers
    assert [1] == [it.mismatches for it in after.apps]
    assert before == replace(after, apps=before.apps, audit=after.audit[1:])
    assert ("token.misused", app.id) == (after.audit[0].action, after.audit[0].app_id)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        (as_page(EXTENSION), 200),
        ({**as_page(EXTENSION), "Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        (as_page("chrome-extension://" + "b" * 32), 403),
        (as_page(PAGE), 403),
    ],
)
async def test_t07_extension_get_without_origin_is_accepted(world: World, headers: dict[str, str], status: int) -> None:
    """Browsers omit it if the extension has host permission. From a page, the token is rejected."""
    app = await world.pair("connection:read", origin=EXTENSION)

    sent = {"Authorization": f"Bearer {app.token}", **headers}
    reply = await world.get("/v1/connection", headers=sent, token=None)

    assert status == reply.status


@pytest.mark.parametrize("origin", [PAGE, None])
async def test_t07_fifth_misuse_revokes_the_token(world: World, origin: str | None) -> None:
    """The app is informed of the reason, and the owner sees it in the audit log."""
    app = await world.pair("databases:read", "connection:read", origin=origin)
    good = dict(app.headers)
    async with follow(world) as owner, follow(world, **good) as mine:
        for _ in range(MAX_MISMATCHES - 1):
            assert 403 == (await steal(world, app, as_page(OTHER))).status
        still = await world.get("/v1/connection", headers=good, token=None)
        last = await steal(world, app, as_page(OTHER))
        received = [await stream.until("revoked") for stream in (owner, mine)]
        end = await mine.next()
    then = await world.get("/v1/token", headers=good, token=None)

    assert [200, 403, 401] == [still.status, last.status, then.status]
    assert [("misused", app.id)] * 2 == [(event["data"]["reason"], event["data"]["app_id"]) for event in received]
    assert "(end)" == end["event"]
    assert [] == (await world.get("/v1/apps")).json["apps"]
    [entry] = [it for it in (await world.get("/v1/audit")).json["entries"] if it["action"] == "token.misused"]
    assert (MAX_MISMATCHES, OTHER, "origin_mismatch") == (entry["count"], entry["target"], entry["result"])


async def test_t07_concurrent_misuse_is_counted(world: World) -> None:
    """Five at once count as five, even if the clients disconnect without waiting."""
    app = await world.pair("databases:read", origin=PAGE)
    text = request(
        "GET", "/v1/databases", port=world.settings.port,
        headers=(("Authorization", f"Bearer {app.token}"), ("Origin", OTHER)),
    )  # fmt: skip

    async def hit() -> None:
        async with connected(world.settings.port) as connection:
            await connection.send(text)
            await connection.reader.read(1)

    await asyncio.gather(*(hit() for _ in range(MAX_MISMATCHES)))
    await world.daemon.background.drain(5)

    assert [] == await mismatches(world)


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:5173", "http://localhost:{port}", EXTENSION, ""])
async def test_t08_program_token_is_rejected_from_a_page(world: World, origin: str) -> None:
    """A program sends no Origin, so a token with one was stolen."""
    await world.connect()
    app = await world.pair(*SCOPES)
    await world.sandbox.forget_requests()

    replies = [
        await steal(world, app, as_page(origin.format(port=world.settings.port)), method) for method in ("GET", "POST")
    ]

    assert [(403, "origin_mismatch")] * 2 == [(reply.status, reply.code) for reply in replies]
    assert [2] == await mismatches(world)
    assert [] == await world.sandbox.requests()


async def test_t08_owner_token_is_rejected_from_a_page_and_not_revoked(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It changes at every start, and the user's own tools must keep working. The log records it."""
    caplog.set_level(logging.WARNING)

    async with no_effect(world):
        replies = [await world.get("/v1/databases", headers=as_page(PAGE)) for _ in range(MAX_MISMATCHES + 1)]

    assert {(403, "origin_mismatch")} == {(reply.status, reply.code) for reply in replies}
    assert 200 == (await world.get("/v1/connection")).status
    assert "owner_token_misused" in caplog.text


async def test_t07_approved_origin_still_needs_its_token(world: World) -> None:
    """Another app's token is rejected, too."""
    await world.pair("databases:read", origin=PAGE)
    other = await world.pair("databases:read", origin=OTHER)

    without = await world.get("/v1/databases", headers=as_page(PAGE), token=None)
    foreign = await steal(world, other, as_page(PAGE), "GET")

    assert [(401, "token_required"), (403, "origin_mismatch")] == [
        (without.status, without.code), (foreign.status, foreign.code),
    ]  # fmt: skip
    assert PAGE == foreign.headers["Access-Control-Allow-Origin"]


# --- T29 --------------------------------------------------------------------------------------------------------------


def scoped(world: World) -> list[tuple[Route, Scope]]:
    """Return the routes that need a scope."""
    return [(route, route.policy.scope) for route in world.daemon.routes if route.policy.scope is not None]


def path_of(route: Route) -> str:
    return route.path.replace("{path:.+}", "v2/redis/databases").replace("{", "").replace("}", "")


async def test_t29_every_route_requires_and_names_its_scope(world: World) -> None:
    """With all other scopes, the route is forbidden, names the missing scope, and has no effect."""
    await world.connect()
    routes = scoped(world)
    origins = {scope: f"https://{scope.replace(':', '-')}.example" for scope in SCOPES}
    apps = {scope: await world.pair(*(it for it in SCOPES if it != scope), origin=origins[scope]) for scope in SCOPES}
    async with no_effect(world):
        replies = [
            (scope, await world.as_app(apps[scope], route.method, path_of(route), {}, **KEY)) for route, scope in routes
        ]

    # Only tools of /mcp require the other one.
    assert set(SCOPES) - {"databases:commands"} == {scope for _, scope in routes}
    for scope, reply in replies:
        if not reply.body:  # HEAD
            assert 403 == reply.status
            continue
        assert (403, "insufficient_scope") == (reply.status, reply.code)
        assert f'scope="{scope}"' in reply.headers["WWW-Authenticate"]
        assert scope in reply.json["detail"]


async def test_t29_user_can_grant_fewer_scopes(world: World) -> None:
    """The token has only the granted scopes, and reports them."""
    app = await world.pair("databases:read", "databases:write", "databases:delete", scopes=["databases:read"])

    what = await world.as_app(app, "GET", "/v1/token")
    closed = await world.as_app(app, "POST", "/v1/databases", CREATE, **KEY)

    assert ["databases:read"] == what.json["scopes"]
    assert (403, "insufficient_scope") == (closed.status, closed.code)


@pytest.mark.parametrize("origin", [PAGE, None], ids=["page", "native"])
async def test_app_learns_nothing_about_other_programs_of_the_user(world: World, origin: str | None) -> None:
    """The system reports the program of a request, such as the browser with its path. Only the user sees that."""
    app = await world.pair("connection:read", origin=origin)

    own = (await world.as_app(app, "GET", "/v1/token")).json["identity"]
    shown = (await world.get(f"/v1/apps/{app.id}")).json["identity"]

    assert {("program", ""), ("pid", None), ("sent_by", "")} <= {
        (name, value) for name, value in own.items() if isinstance(value, str | None)
    }
    assert ([], []) == (own["warnings"], own["others"])
    assert own["name"] == own["shown"] == own["shown_without_process"] == shown["name"]
    assert shown["pid"] is not None


async def test_t29_app_reads_only_credentials_of_its_own_databases(world: World) -> None:
    """Others get 403 without a request to Upstash, unless the user allowed all. An origin keeps its databases."""
    await world.connect()
    foreign = await world.create("foreign")
    scopes: tuple[Scope, ...] = ("databases:write", "databases:credentials")
    page, program = await world.pair(*scopes, origin=PAGE), await world.pair(*scopes)
    made = {
        app.id: (await world.as_app(app, "POST", "/v1/databases", {**CREATE, "name": name}, **KEY)).json["id"]
        for app, name in ((page, "page"), (program, "program"))
    }
    every = await world.pair(*scopes, origin=OTHER, all_databases=True)
    again = await world.pair(*scopes, origin=PAGE)
    other_program = await world.pair(*scopes)
    await world.sandbox.forget_requests()

    async def read(app: App, database_id: str) -> tuple[int, str]:
        reply = await world.as_app(app, "GET", f"/v1/databases/{database_id}/credentials")
        return reply.status, "" if reply.status == 200 else reply.code

    no = (403, "not_the_creator")
    refused = [
        await read(page, foreign["id"]),
        await read(page, made[program.id]),
        await read(program, made[page.id]),
        await read(other_program, made[program.id]),
        await read(page, "00000000-0000-0000-0000-000000000000"),
    ]
    asked = await world.sandbox.requests()
    taken = [
        await read(page, made[page.id]),
        await read(program, made[program.id]),
        await read(again, made[page.id]),
        await read(every, foreign["id"]),
        await read(every, made[page.id]),
    ]

    assert [no] * 5 == refused
    assert [] == asked
    assert [(200, "")] * 5 == taken


async def test_t29_secrets_appear_only_in_the_responses_that_deliver_them(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    """
    During a whole run at DEBUG, neither the API key, nor an OAuth token, nor the owner token is in any response, event,
    or log line. App tokens and poll secrets are only in the response that delivers them, passwords only in credentials.
    """
    caplog.set_level(logging.DEBUG)
    async with (
        recorded(URL(sandbox.auth_url).port or 0) as far,
        World.running(tmp_path, sandbox, daemon_port, auth_url=far.url, api_url=far.url) as world,
    ):
        page, delivered, passwords = await live(world)
        owner = world.owner
        ledger = repr(await state(replace_store(world))).encode()
    logged = "\n".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records).encode()
    traffic = b"\n".join(world.traffic)
    found = far.secrets

    never = {"owner": {owner}, **{kind: found[kind] for kind in ("access_token", "api_key")}}
    never |= {kind: found[kind] for kind in ("refresh_token", "id_token") if kind in found}
    assert page.token in delivered
    assert [] == [kind for kind, values in never.items() for value in values if value.encode() in traffic]
    everything = {*delivered, *passwords, *(value for values in (*never.values(), *found.values()) for value in values)}
    assert [] == [value for value in everything if value.encode() in logged]
    assert [] == [value for value in everything if value.encode() in ledger]
    assert dict.fromkeys(delivered, 1) == {value: traffic.count(value.encode()) for value in delivered}
    secretive = [text for text in world.traffic if any(value.encode() in text for value in passwords)]
    assert len(secretive) == 2


def replace_store(world: World) -> World:
    """Return the settings of the ``World`` fixture, with a credential store of its own."""
    from upstash_helper.storage.credentials.file_store import MemoryStore

    return replace(world, store=MemoryStore())


async def live(world: World) -> tuple[App, set[str], set[str]]:
    """Use everything once, also in rejected ways. Return the page, the delivered secrets, and the database secrets."""
    async with follow(world) as stream:
        started = await world.start()
        # The user signs in at the sandbox itself: its form is for its own page.
        at = started["authorization_url"].replace(world.settings.auth_url, world.sandbox.auth_url)
        await world.land(await world.sandbox.authorize(at, world.email, PASSWORD))
        assert "succeeded" == (await world.settled(started["attempt_id"]))["state"]
        page, program = await world.pair(*SCOPES, origin=PAGE), await world.pair(*SCOPES, all_databases=True)
        asked = (await world.ask(origin=OTHER)).json
        made = (await world.as_app(page, "POST", "/v1/databases", CREATE, **KEY)).json
        one = f"/v1/databases/{made['id']}"
        credentials = await world.as_app(page, "GET", f"{one}/credentials")
        await world.as_app(program, "GET", "/upstash/v2/redis/database/" + made["id"])
        rotated = (await world.as_app(program, "POST", "/v1/token/rotate")).json["token"]
        newer = replace(program, token=rotated)
        for method, path in [
            ("GET", "/v1/connection"), ("POST", "/v1/connection"), ("GET", "/v1/databases"), ("GET", one),
            ("PATCH", one), ("DELETE", "/v1/databases/none"), ("GET", "/v1/token"), ("GET", "/v1/audit"),
            ("GET", "/v1/apps"), ("GET", "/v1/pairings"), ("GET", "/v1/daemon"), ("GET", "/openapi.json"),
            ("GET", "/nothing"), ("PUT", "/v1/connection/api-key"), ("GET", "/health"), ("GET", "/"),
        ]:  # fmt: skip
            for call in (world.call(method, path, {"name": "x"}), world.as_app(newer, method, path, {"name": "x"})):
                await call
        await world.sandbox.fault(path="/v2/redis/*", status=401, times=1)
        await world.as_app(newer, "GET", "/v1/databases?refresh=true")
        await steal(world, page, as_page(OTHER))
        await world.call("DELETE", f"/v1/apps/{page.id}")
        world.traffic.append(repr([await stream.next() for _ in range(6)]).encode())
    await world.call("DELETE", "/v1/connection")
    secrets = credentials.json
    passwords = {secrets[name] for name in ("password", "rest_token", "read_only_rest_token")}
    return page, {page.token, program.token, rotated, asked["poll_secret"]}, passwords


# --- T30 --------------------------------------------------------------------------------------------------------------


async def seen_by(sandbox: Sandbox, method: str, path: str) -> None:
    """Wait until the sandbox has received a request."""
    async with asyncio.timeout(10):
        while True:
            if any((it["method"], it["path"]) == (method, path) for it in await sandbox.requests()):
                return
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("origin", [None, PAGE])
async def test_t30_request_in_progress_is_finished_after_revocation(world: World, origin: str | None) -> None:
    """The database is created and the response sent. The next request is rejected, and the audit log has the result."""
    await world.connect()
    app = await world.pair("databases:write", origin=origin)
    await world.sandbox.forget_requests()
    await world.sandbox.fault(method="POST", path="/v2/redis/database", latency=1.0)

    making = asyncio.create_task(world.as_app(app, "POST", "/v1/databases", CREATE, **KEY))
    await seen_by(world.sandbox, "POST", "/v2/redis/database")
    revoked = await world.call("DELETE", f"/v1/apps/{app.id}")
    running = not making.done()
    next_one = await world.as_app(app, "POST", "/v1/databases", CREATE, **{"Idempotency-Key": "next"})
    learned = await world.as_app(app, "GET", "/v1/token")
    made = await making

    assert running
    assert [204, 201] == [revoked.status, made.status]
    assert (401 if origin is None else 403) == next_one.status
    assert (401, "invalid_token") == (learned.status, learned.code)
    assert origin == learned.headers.get("Access-Control-Allow-Origin")
    databases = (await world.get("/v1/databases?refresh=true")).json["databases"]
    assert [made.json["id"]] == [it["id"] for it in databases]
    entries = (await world.get(f"/v1/audit?app={app.id}")).json["entries"]
    assert ("database.create", made.json["id"], "ok") in [
        (it["action"], it["target"].split()[0], it["result"]) for it in entries
    ]


async def test_t30_streams_of_a_revoked_app_end(world: World) -> None:
    """Each gets an event and ends within a second. Other streams continue."""
    loop = asyncio.get_running_loop()
    app, other = await world.pair("connection:read", origin=PAGE), await world.pair("connection:read", origin=OTHER)
    async with (
        follow(world, **app.headers) as first,
        follow(world, **app.headers) as second,
        follow(world, **other.headers) as others,
        follow(world) as owner,
    ):
        before = loop.time()
        await world.call("DELETE", f"/v1/apps/{app.id}")
        received = [[await stream.next(), await stream.next()] for stream in (first, second)]
        took = loop.time() - before
        await world.start()
        next_of_others = await others.next()
        owners = await owner.until("revoked")

    for event, end in received:
        assert ("revoked", "owner", app.id) == (event["event"], event["data"]["reason"], event["data"]["app_id"])
        assert "(end)" == end["event"]
    assert took < 1
    assert "attempt" == next_of_others["event"]
    assert app.id == owners["data"]["app_id"]


@pytest.mark.parametrize("how", ["sign out", "rotate"])
async def test_t30_app_can_revoke_or_rotate_its_own_token(world: World, how: str) -> None:
    """Signing out is a revocation. After a rotation only the old token is invalid, and streams continue."""
    app = await world.pair("connection:read", origin=PAGE)
    async with follow(world, **app.headers) as stream:
        if how == "sign out":
            reply = await world.as_app(app, "DELETE", "/v1/token")
            await stream.until("revoked")
        else:
            reply = await world.as_app(app, "POST", "/v1/token/rotate")
            await world.start()
            await stream.until("attempt")
    old = await world.as_app(app, "GET", "/v1/token")

    assert (401, "invalid_token") == (old.status, old.code)
    if how == "sign out":
        assert 204 == reply.status
    else:
        newer = replace(app, token=reply.json["token"])
        assert (200, app.id) == (reply.status, (await world.as_app(newer, "GET", "/v1/token")).json["app_id"])


async def test_t30_access_is_checked_again_after_the_body_has_arrived(timed: tuple[World, FakeClock]) -> None:
    """An app that was revoked between a request's head and body is rejected."""
    world, clock = timed
    app = await world.pair("connection:read", "connection:write")
    headers = (
        ("Authorization", f"Bearer {app.token}"),
        ("Content-Type", "application/json"),
        ("Content-Length", "2"),
    )
    clock.advance(60)
    before = (await world.get(f"/v1/apps/{app.id}")).json["last_used_at"]

    async with connected(world.settings.port) as connection, asyncio.timeout(10):
        await connection.send(request("POST", "/v1/connection", port=world.settings.port, headers=headers) + b"{")
        while before == (await world.get(f"/v1/apps/{app.id}")).json["last_used_at"]:
            pass  # its head has not been read yet
        await world.call("DELETE", f"/v1/apps/{app.id}")
        async with no_effect(world):
            await connection.send(b"}")
            answer = await connection.answer()

    assert (401, "invalid_token") == (answer.status, answer.json["code"])


# --- temporary access and rate limits ---------------------------------------------------------------------------------


async def test_expired_access_ends_the_apps_streams(timed: tuple[World, FakeClock]) -> None:
    """The app gets an event, and the owner sees that its access has ended."""
    world, clock = timed
    app = await world.pair("connection:read", once=True)
    async with follow(world, Authorization=f"Bearer {app.token}") as stream, follow(world) as owners:
        clock.advance(ONCE_SECONDS)

        assert {"app_id": app.id, "name": "Test app", "reason": "expired"} == (await stream.until("revoked"))["data"]
        assert "(end)" == (await stream.next())["event"]
        assert app.id == (await owners.until("revoked"))["data"]["app_id"]
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_access_allowed_once_lasts_one_hour(timed: tuple[World, FakeClock]) -> None:
    """The app learns until when. Afterwards it is no longer listed."""
    world, clock = timed
    app = await world.pair("connection:read", once=True)
    expires_at = (await world.as_app(app, "GET", "/v1/token")).json["expires_at"]
    clock.advance(ONCE_SECONDS - 1)
    before = await world.as_app(app, "GET", "/v1/connection")
    clock.advance(1)
    after = await world.as_app(app, "GET", "/v1/connection")

    assert expires_at is not None
    assert [200, 401] == [before.status, after.status]
    assert [] == (await world.get("/v1/apps")).json["apps"]


async def test_app_over_its_rate_limit_gets_429(timed: tuple[World, FakeClock]) -> None:
    """A burst is allowed, then 429 with the wait. The owner and other apps are not affected."""
    world, clock = timed
    app, other = await world.pair("connection:read"), await world.pair("connection:read", origin=PAGE)

    statuses = [(await world.as_app(app, "GET", "/v1/token")).status for _ in range(REQUESTS_AT_ONCE)]
    refused = await world.as_app(app, "GET", "/v1/token")
    others = [await world.as_app(other, "GET", "/v1/token"), await world.get("/v1/connection")]
    clock.advance(60 / REQUESTS_PER_MINUTE)
    again = [(await world.as_app(app, "GET", "/v1/token")).status for _ in range(2)]

    assert {200} == set(statuses)
    assert (429, "rate_limited", "1") == (refused.status, refused.code, refused.headers["Retry-After"])
    assert [200, 200] == [reply.status for reply in others]
    assert [200, 429] == again
