"""T50: another user of the same machine. The daemon under test runs as root, and the client as ``nobody``."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.effects import no_effect
from tests.support.other_programs import NOBODY, send_as_user, skip_unless_root
from tests.support.rawhttp import Answer, parse, request
from tests.support.world import World, as_page
from upstash_helper.broker.identity import SCOPES


async def send(world: World, data: bytes, *, user: int, host: str = "127.0.0.1") -> list[Answer]:
    """
    Send bytes as a program of ``user`` (0: this test's), and return the responses until the daemon closes the
    connection.
    """
    received = await send_as_user(data, host, world.settings.port, user=user)
    return parse(received)


def last_request(world: World, method: str, path: str, token: str | None, **headers: str) -> bytes:
    """Return a request after which the daemon closes the connection."""
    sent = {"Connection": "close", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    body = b'{"name":"db","primary_region":"us-east-1"}' if method == "POST" else b""
    if body:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body)), "Idempotency-Key": "k"}
    return request(method, path, port=world.settings.port, headers=tuple(sent.items()), body=body)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("holder", ["owner", "app", "none"])
async def test_t50_other_user_is_denied_with_any_token(world: World, host: str, holder: str) -> None:
    """
    Reads and billable changes get 403 ``wrong_user`` without effect. A program of the right user succeeds with the
    same token.
    """
    skip_unless_root()
    await world.connect()
    app = await world.pair(*SCOPES)
    token = {"owner": world.owner, "app": app.token, "none": None}[holder]
    reads, writes = (
        last_request(world, "GET", "/v1/connection", token),
        last_request(world, "POST", "/v1/databases", token),
    )

    async with no_effect(world):
        answers = [
            await send(world, reads, user=NOBODY, host=host), await send(world, writes, user=NOBODY, host=host)
        ]  # fmt: skip
    [own] = await send(world, reads, user=0, host=host)

    assert [[(403, "wrong_user")]] * 2 == [[(it.status, it.json["code"]) for it in answer] for answer in answers]
    assert (401 if holder == "none" else 200) == own.status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/health"), ("GET", "/openapi.json"), ("GET", "/v1/events"), ("GET", "/v1/regions"),
     ("GET", "/?code=c&state=s"), ("POST", "/v1/pairings"), ("GET", "/nothing"), ("OPTIONS", "/v1/databases"),
     ("DELETE", "/v1/databases"), ("GET", "/upstash/v2/redis/databases")],
)  # fmt: skip
async def test_t50_other_user_is_denied_on_every_route(world: World, method: str, path: str) -> None:
    """Even routes without a token disclose nothing, neither which routes exist nor whether an account is connected."""
    skip_unless_root()

    async with no_effect(world):
        [answer] = await send(world, last_request(world, method, path, world.owner), user=NOBODY)

    assert (403, "wrong_user") == (answer.status, answer.json["code"])
    assert "close" == answer.headers["connection"].lower()


async def test_t50_other_user_cannot_request_access(world: World) -> None:
    """The user gets no prompt for another user's program, whatever origin it sends."""
    skip_unless_root()
    body = msgspec.json.encode({"name": "App", "scopes": ["databases:read"]})
    texts = [
        request(
            "POST", "/v1/pairings", port=world.settings.port, body=body,
            headers=(*headers.items(), ("Content-Type", "application/json"), ("Content-Length", str(len(body)))),
        )
        for headers in ({}, as_page("https://app.example.com"))
    ]  # fmt: skip

    async with no_effect(world):
        answers = [await send(world, text, user=NOBODY) for text in texts]

    assert [[403], [403]] == [[answer.status for answer in answers_of_one] for answers_of_one in answers]


async def test_t50_connection_of_another_user_is_closed(world: World) -> None:
    """There is one response, and further requests on the same connection are ignored."""
    skip_unless_root()
    first = request(
        "GET", "/v1/connection", port=world.settings.port, headers=(("Authorization", f"Bearer {world.owner}"),)
    )

    answers = await send(world, first + first + first, user=NOBODY)

    assert [403] == [answer.status for answer in answers]
