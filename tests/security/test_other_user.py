"""Another user of the same machine: T50. The daemon under test is root's here, so the client is ``nobody``."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.effects import no_effect
from tests.support.other_programs import NOBODY, send_as_user, skip_unless_root
from tests.support.rawhttp import Answer, parse, request
from tests.support.world import World, as_page
from upstash_helper.broker.apps.identity import SCOPES


async def send(world: World, said: bytes, *, user: int, host: str = "127.0.0.1") -> list[Answer]:
    """Send bytes as a program of ``user`` (0: this test's), and return the answers until the daemon closes."""
    heard = await send_as_user(said, host, world.settings.port, user=user)
    return parse(heard)


def asks(world: World, method: str, path: str, token: str | None, **headers: str) -> bytes:
    """Return a request after which the daemon closes."""
    sent = {"Connection": "close", **headers}
    if token is not None:
        sent["Authorization"] = f"Bearer {token}"
    body = b'{"name":"db","primary_region":"us-east-1"}' if method == "POST" else b""
    if body:
        sent |= {"Content-Type": "application/json", "Content-Length": str(len(body)), "Idempotency-Key": "k"}
    return request(method, path, port=world.settings.port, headers=tuple(sent.items()), body=body)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("whose", ["owner", "app", "none"])
async def test_t50_another_user_gets_nothing_with_whatever_token(world: World, host: str, whose: str) -> None:
    """403 ``wrong_user`` to a read and to what costs money, with no effect; this user's own program gets in with it."""
    skip_unless_root()
    await world.connect()
    app = await world.pair(*SCOPES)
    token = {"owner": world.owner, "app": app.token, "none": None}[whose]
    reads, writes = asks(world, "GET", "/v1/connection", token), asks(world, "POST", "/v1/databases", token)

    async with no_effect(world):
        answers = [
            await send(world, reads, user=NOBODY, host=host), await send(world, writes, user=NOBODY, host=host)
        ]  # fmt: skip
    [own] = await send(world, reads, user=0, host=host)

    assert [[(403, "wrong_user")]] * 2 == [[(it.status, it.json["code"]) for it in answer] for answer in answers]
    assert (401 if whose == "none" else 200) == own.status


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/health"), ("GET", "/openapi.json"), ("GET", "/v1/events"), ("GET", "/v1/regions"),
     ("GET", "/?code=c&state=s"), ("POST", "/v1/pairings"), ("GET", "/nothing"), ("OPTIONS", "/v1/databases"),
     ("DELETE", "/v1/databases"), ("GET", "/upstash/v2/redis/databases")],
)  # fmt: skip
async def test_t50_another_user_is_turned_away_everywhere(world: World, method: str, path: str) -> None:
    """Also where no token is asked for: not even what there is, nor whether it is connected, is told."""
    skip_unless_root()

    async with no_effect(world):
        [answer] = await send(world, asks(world, method, path, world.owner), user=NOBODY)

    assert (403, "wrong_user") == (answer.status, answer.json["code"])
    assert "close" == answer.headers["connection"].lower()


async def test_t50_another_users_program_cannot_ask_to_be_let_in(world: World) -> None:
    """The user gets no prompt of somebody else's program, whatever page it says to be."""
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


async def test_t50_the_connection_is_closed_with_what_else_was_sent(world: World) -> None:
    """One answer; what was sent behind the first request on the same connection is not looked at."""
    skip_unless_root()
    first = request(
        "GET", "/v1/connection", port=world.settings.port, headers=(("Authorization", f"Bearer {world.owner}"),)
    )

    answers = await send(world, first + first + first, user=NOBODY)

    assert [403] == [answer.status for answer in answers]
