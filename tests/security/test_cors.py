"""Which pages may read which responses: T11, T12, T13, T55."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.clock import FakeClock
from tests.support.effects import no_effect
from tests.support.stream import follow
from tests.support.world import Reply, World, as_page
from upstash_helper.api.guard.middleware import REQUESTS_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.sandbox import Sandbox

PAGE = "https://app.example.com"
LOCAL = "http://localhost:5173"
EXTENSION = "chrome-extension://" + "a" * 32
UNAPPROVED = "https://unapproved.example"
SIMILAR_ORIGINS = [
    UNAPPROVED, "https://app.example.com:8443", "http://app.example.com", "https://app.example.com.evil.com",
    "https://xapp.example.com", "https://APP.example.com", "https://app.example.com/", "http://localhost:5174",
    "http://127.0.0.1:5173", "chrome-extension://" + "b" * 32, "null", "*", "", "https://app.example.com, https://b",
]  # fmt: skip


async def preflight(
    world: World, origin: str, path: str, method: str = "POST", headers: str = "authorization"
) -> Reply:
    """Send a preflight, like a browser before a page's request."""
    requested = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    return await world.call("OPTIONS", path, headers={**as_page(origin), **requested}, token=None)


def cors_of(reply: Reply) -> dict[str, str]:
    """Return the CORS headers of a response."""
    return {name: value for name, value in reply.headers.items() if name.lower().startswith("access-control-")}


# --- T11 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", SIMILAR_ORIGINS)
async def test_t11_preflight_of_an_unapproved_page_is_denied(world: World, origin: str) -> None:
    """The response is a 403 without CORS headers, whichever other pages are approved."""
    for approved in (PAGE, LOCAL, EXTENSION):
        await world.pair("databases:read", origin=approved)

    async with no_effect(world):
        replies = [
            await preflight(world, origin, path, method)
            for path, method in (
                ("/v1/databases", "GET"), ("/v1/databases", "POST"), ("/v1/databases/x", "DELETE"), ("/health", "GET"),
                ("/v1/apps", "GET"), ("/v1/events", "GET"), ("/upstash/v2/redis/databases", "GET"), ("/", "GET"),
                ("/v1/pairings/x/approve", "POST"), ("/openapi.json", "GET"), ("/v1/regions", "GET"),
            )
        ]  # fmt: skip

    assert {403} == {reply.status for reply in replies}
    assert [{}] * len(replies) == [cors_of(reply) for reply in replies]


async def test_t11_preflight_of_a_revoked_page_is_denied(world: World) -> None:
    """The revocation applies from the next request on."""
    app = await world.pair("databases:read", origin=PAGE)
    before = await preflight(world, PAGE, "/v1/databases", "GET")

    await world.call("DELETE", f"/v1/apps/{app.id}")
    after = await preflight(world, PAGE, "/v1/databases", "GET")

    assert [204, 403] == [before.status, after.status]
    assert {} == cors_of(after)


# --- T12 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [PAGE, LOCAL, EXTENSION])
@pytest.mark.parametrize(
    ("path", "method", "methods"),
    [
        ("/v1/databases", "POST", "GET, POST"),
        ("/v1/databases/x", "DELETE", "DELETE, GET, PATCH"),
        ("/v1/events", "GET", "GET"),
        ("/upstash/v2/redis/databases", "PUT", "DELETE, GET, HEAD, PATCH, POST, PUT"),
    ],
)
async def test_t12_preflight_of_an_approved_page_is_allowed(
    world: World, origin: str, path: str, method: str, methods: str
) -> None:
    """
    It allows the exact origin, the path's methods, and the API's headers, without credentials, for at most ten
    minutes.
    """
    await world.pair("databases:read", origin=origin)

    async with no_effect(world):
        reply = await preflight(world, origin, path, method, "authorization,content-type,x-other")

    assert (204, b"") == (reply.status, reply.body)
    assert origin == reply.headers["Access-Control-Allow-Origin"]
    assert "Origin" == reply.headers["Vary"]
    assert methods == reply.headers["Access-Control-Allow-Methods"]
    assert {
        "authorization", "content-type", "idempotency-key", "if-match", "if-none-match", "last-event-id",
    } == set(reply.headers["Access-Control-Allow-Headers"].split(", "))  # fmt: skip
    assert int(reply.headers["Access-Control-Max-Age"]) <= 600
    assert not any("credentials" in name or "private-network" in name for name in map(str.lower, cors_of(reply)))
    assert not any("*" in value for value in cors_of(reply).values())


async def test_t12_preflight_for_an_unknown_method_is_denied(world: World) -> None:
    """The response is a 405 with the allowed methods, or a 404 for an unknown path. The page may read it."""
    await world.pair("databases:read", origin=PAGE)

    replies = [
        await preflight(world, PAGE, "/v1/databases", "DELETE"),
        await preflight(world, PAGE, "/v1/databases", "PROPFIND"),
        await preflight(world, PAGE, "/v1/databases", "CONNECT"),
        await preflight(world, PAGE, "/v1/databases", "*"),
        await preflight(world, PAGE, "/nothing", "GET"),
    ]

    assert [405, 405, 405, 405, 404] == [reply.status for reply in replies]
    assert {PAGE} == {reply.headers["Access-Control-Allow-Origin"] for reply in replies}
    assert not any("Access-Control-Allow-Methods" in reply.headers for reply in replies)


@pytest.mark.parametrize("path", ["/v1/pairings", "/v1/pairings/x/token", "/v1/token/rotate"])
async def test_t12_preflight_for_requesting_access_is_allowed_for_any_page(world: World, path: str) -> None:
    """Otherwise a page could not pair, or learn that its token was revoked."""
    replies = {origin: await preflight(world, origin, path) for origin in (UNAPPROVED, LOCAL, EXTENSION)}

    assert {204} == {reply.status for reply in replies.values()}
    assert all(origin == reply.headers["Access-Control-Allow-Origin"] for origin, reply in replies.items())


async def test_t12_preflight_has_no_effects(world: World) -> None:
    """Neither a token nor a body turns a preflight into a request."""
    app = await world.pair("databases:write", origin=PAGE)
    headers = {**app.headers, "Access-Control-Request-Method": "POST", "Idempotency-Key": "k"}
    body = {"name": "db", "primary_region": "us-east-1"}

    async with no_effect(world):
        reply = await world.call("OPTIONS", "/v1/databases", body, headers=headers, token=None)

    assert (204, b"") == (reply.status, reply.body)


# --- T13 --------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def timed(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> AsyncIterator[World]:
    """A daemon whose clock does not advance, so that rate limits are reached exactly."""
    async with World.running(tmp_path, sandbox, daemon_port, clock=FakeClock()) as world:
        yield world


@pytest.mark.parametrize("origin", [PAGE, LOCAL, EXTENSION])
async def test_t13_approved_page_can_read_errors(timed: World, origin: str) -> None:
    """
    It can read 400, 401, 403, 404, 405, 409, 413, 415, 422, and 429, each with its exact origin. Unapproved pages
    cannot read any.
    """
    world = timed
    app = await world.pair("databases:read", "databases:write", "connection:read", origin=origin)
    headers, page = app.headers, as_page(origin)
    key = {"Idempotency-Key": "k"}

    async def sent(method: str, path: str, body: object = None, **options: dict[str, str]) -> Reply:
        return await world.call(method, path, body, token=None, **options)

    replies = {
        401: await sent("GET", "/v1/databases", headers=page),
        403: await sent("DELETE", "/v1/databases/x", headers=headers),
        404: await sent("GET", "/v1/nothing", headers=headers),
        405: await sent("PUT", "/v1/databases", headers=headers),
        409: await sent("GET", "/v1/databases", headers=headers),
        413: await sent("POST", "/v1/databases", b" " * 20_000, headers={**headers, **key}),
        415: await sent("POST", "/v1/databases", b"{}", headers={**headers, **key, "Content-Type": "text/plain"}),
        422: await sent("POST", "/v1/databases", {"name": 1}, headers={**headers, **key}),
        400: await sent("POST", "/v1/databases", b"{", headers={**headers, **key}),
    }
    many = [await sent("GET", "/v1/token", headers=headers) for _ in range(REQUESTS_AT_ONCE)]
    replies[429] = many[-1]
    unapproved = [await sent("GET", "/v1/databases", headers={**headers, **as_page(UNAPPROVED)})]

    assert list(replies) == [reply.status for reply in replies.values()]
    assert {origin} == {reply.headers["Access-Control-Allow-Origin"] for reply in replies.values()}
    assert {"Origin"} == {reply.headers["Vary"] for reply in replies.values()}
    assert all(reply.code for reply in replies.values())
    exposed = replies[429].headers["Access-Control-Expose-Headers"].split(", ")
    assert {"retry-after", "www-authenticate", "etag", "location", "idempotency-replayed"} <= set(exposed)
    assert [{}] == [cors_of(reply) for reply in unapproved]


@pytest.mark.parametrize("origin", SIMILAR_ORIGINS)
async def test_t13_unapproved_pages_can_read_nothing(world: World, origin: str) -> None:
    """
    They can read neither responses nor errors, with or without a token, except what they need for requesting
    access.
    """
    app = await world.pair("databases:read", origin=PAGE)
    page = as_page(origin)

    replies = [
        await world.get(path, headers={**page, **more}, token=None)
        for path in ("/v1/databases", "/v1/connection", "/v1/nothing", "/v1/apps", "/health", "/", "/v1/regions")
        for more in ({}, {"Authorization": f"Bearer {app.token}"}, {"Authorization": f"Bearer {world.owner}"})
    ]

    assert [{}] * len(replies) == [cors_of(reply) for reply in replies]


async def test_t13_event_stream_is_readable_for_its_page_only(world: World) -> None:
    """An approved page can follow events with fetch, and no other page can read them."""
    app = await world.pair("connection:read", origin=PAGE)

    async with world.session.get("/v1/events", headers=app.headers) as response:
        assert PAGE == response.headers["Access-Control-Allow-Origin"]
        assert "Origin" == response.headers["Vary"]
    async with follow(world), world.session.get("/v1/events", headers=as_page(UNAPPROVED)) as refused:
        assert 403 == refused.status
        assert "Access-Control-Allow-Origin" not in refused.headers


async def test_t13_requesting_page_can_read_the_responses(world: World) -> None:
    """Any page that requests access can read 202, 422, 404, 200, and 429."""
    page = as_page(UNAPPROVED)
    first = await world.ask(origin=UNAPPROVED)
    replies = [
        first,
        await world.ask(origin=UNAPPROVED),
        await world.ask("databases:read", origin=UNAPPROVED, name=""),
        await world.get("/v1/pairings/x", headers=page, token=None),
        await world.get(f"/v1/pairings/{first.json['id']}", headers=page, token=first.json["poll_secret"]),
        *[await world.ask(origin=UNAPPROVED) for _ in range(5)],
    ]

    assert [202, 202, 422, 404, 200] == [reply.status for reply in replies[:5]]
    assert 429 == replies[-1].status
    assert {UNAPPROVED} == {reply.headers["Access-Control-Allow-Origin"] for reply in replies}


# --- T55 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", [UNAPPROVED, LOCAL, EXTENSION])
async def test_t55_health_discloses_only_that_the_helper_is_running(world: World, origin: str) -> None:
    """The response is the same for every sender and state. Pages cannot read it, and learn no version."""
    from upstash_helper import __version__

    before = await world.get("/health", headers=as_page(origin), token=None)
    await world.connect()
    after = await world.get("/health", headers=as_page(origin), token=None)
    plain = await world.get("/health", token=None)
    owner = await world.get("/health")

    assert [200] * 4 == [reply.status for reply in (before, after, plain, owner)]
    assert {b'{"status":"ok","service":"upstash-helper"}'} == {it.body for it in (before, after, plain, owner)}
    assert [{}] * 4 == [cors_of(reply) for reply in (before, after, plain, owner)]
    content = repr([*before.headers.items(), before.body])
    assert __version__ not in content
    assert "Server" not in before.headers


async def test_t55_approved_page_can_read_health(world: World) -> None:
    """It then knows that it does not have to explain how to install the helper."""
    await world.pair("connection:read", origin=PAGE)

    reply = await world.get("/health", headers=as_page(PAGE), token=None)

    assert (200, PAGE) == (reply.status, reply.headers["Access-Control-Allow-Origin"])


@pytest.mark.parametrize(
    ("probe", "repeated"),
    [
        ("0123456789abcdef" * 2, True), ("0" * 31, False), ("0" * 33, False), ("A" * 32, False), ("", False),
        ("0" * 31 + "%0a", False), ("0" * 31 + "%0d%0aSet-Cookie:a=b", False), ("x" * 32, False), ("٣" * 32, False),
    ],
)  # fmt: skip
async def test_probe_is_echoed_for_any_page(world: World, probe: str, repeated: bool) -> None:  # noqa: FBT001 - pytest passes it by its name
    """
    connect.js uses it to distinguish the helper from other programs on its port. Nothing but a valid probe is
    echoed.
    """
    answer = await world.get(f"/connect.d.ts?probe={probe}", headers=as_page("https://app.example"), token=None)

    assert 200 == answer.status
    assert (probe if repeated else None) == answer.headers.get("Upstash-Helper-Probe")
    assert "upstash-helper-probe" in answer.headers["Access-Control-Expose-Headers"]
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    ("core", "whole"), [("/connect-core.js", "/connect.js"), ("/connect-core.d.ts", "/connect.d.ts")]
)
async def test_the_module_without_the_button_is_served_as_the_whole_one(world: World, core: str, whole: str) -> None:
    """
    Any page may read it, with the same headers.
    """
    origin = as_page("https://app.example")

    replies = [await world.get(path, headers=origin, token=None) for path in (core, whole)]

    varying = {"Date", "Content-Length", "ETag"}
    headers = [{name: it for name, it in reply.headers.items() if name not in varying} for reply in replies]
    assert [200, 200] == [reply.status for reply in replies]
    assert headers[0] == headers[1]
    assert "https://app.example" == headers[0]["Access-Control-Allow-Origin"]
    assert len(replies[0].body) < len(replies[1].body)
