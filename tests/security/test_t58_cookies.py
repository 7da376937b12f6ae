"""T58: cookies that other ports of localhost have set, and other large header fields."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.support.rawhttp import Answer, connected, parse
from tests.support.world import continued
from upstash_helper.api.server.unread_fields import UnreadFields

if TYPE_CHECKING:
    from tests.support.world import World

# As many as a browser keeps for one host, each as long as it may be (RFC 6265bis, section 5.6).
MOST = "; ".join(f"c{number:03}={'x' * 4090}" for number in range(180))
LARGE = {"47 KB": MOST[:47_000], "the most that a browser sends": MOST}


def request_of(world: World, path: str, *fields: str, host: str = "", method: str = "GET", body: bytes = b"") -> bytes:
    """Return a request as bytes."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'localhost:{world.port}'}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def answer_to(world: World, what: bytes) -> Answer:
    """Return the only response."""
    async with connected(world.port) as connection:
        await connection.send(what)
        return await connection.answer()


@pytest.mark.parametrize("cookies", LARGE.values(), ids=LARGE)
async def test_t58_pages_and_redirect_answer_as_without_cookies(world: World, cookies: str) -> None:
    """Every page, the redirect, and the API."""
    pages = world.pages.removeprefix("http://")
    owner = f"Authorization: Bearer {world.owner}"
    requests = [
        ("/", pages, ()), ("/?attempt=none", pages, ()), ("/bridge", pages, ()), ("/web/pages/page.js", pages, ()),
        ("/", "", ()), ("/?code=x&state=unknown", "", ()), ("/connect.js", "", ()), ("/v1/daemon", "", (owner,)),
    ]  # fmt: skip

    for path, host, fields in requests:
        without = await answer_to(world, request_of(world, path, *fields, host=host))
        answers = [
            await answer_to(world, request_of(world, path, *fields, f"{name}: {cookies}", host=host))
            for name in ("Cookie", "cookie", "COOKIE")
        ]

        assert [without.status] * 3 == [one.status for one in answers], path
        assert without.status in {200, 303, 400, 404}
        if path != "/v1/daemon":  # which counts requests
            assert [without.body] * 3 == [one.body for one in answers], path


async def test_t58_sign_in_succeeds_with_cookies(world: World) -> None:
    """The redirect is handled, and the result page shows the account."""
    started = await world.start()
    landed = await world.land(await world.sign_in(started), Cookie=MOST)
    await world.settled(started["attempt_id"])
    page = await world.page(continued(landed), Cookie=MOST)

    assert (200, 200) == (landed.status, page.status)
    assert world.email in page.text


async def test_t58_cookies_cost_no_memory(world: World) -> None:
    """Sixty connections with a megabyte of cookies each, which do not end, cost less than one of them would."""
    async with asyncio.timeout(30):
        connections = [await asyncio.open_connection("127.0.0.1", world.port) for _ in range(60)]
        start = request_of(world, "/health")[:-2] + b"Cookie: "
        tracemalloc.start()
        for _, writer in connections:
            writer.write(start)
        for _ in range(16):
            for _, writer in connections:
                writer.write(b"x" * 65_536)
                await writer.drain()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        for _, writer in connections:
            writer.write(b"\r\nConnection: close\r\n\r\n")
        answers = [parse(await reader.read())[0] for reader, _ in connections]
        for _, writer in connections:
            writer.close()

    assert {200} == {one.status for one in answers}
    assert held < 1_000_000 * 8


@pytest.mark.parametrize("name", ["X-Large", "Authorization", "If-None-Match", "X-Cookie", "Cookies", "Set-Cookie"])
async def test_t58_other_large_fields_are_still_refused(world: World, name: str) -> None:
    """With a constant response, before anything is handled."""
    answer = await answer_to(world, request_of(world, "/health", f"{name}: {'x' * 47_000}"))

    assert (400, "malformed_request") == (answer.status, answer.json["code"])


async def test_t58_referer_is_not_read_either(world: World) -> None:
    """Another page chooses its own address, and so the length of the Referer."""
    answer = await answer_to(world, request_of(world, "/health", f"Referer: http://localhost:1/{'x' * 47_000}"))

    assert 200 == answer.status


async def test_t58_cookies_on_every_request_of_a_connection(world: World) -> None:
    """Browsers keep connections open, and send the cookies with each request."""
    body = b'{"name": "cookie: x", "scopes": ["connection:read"], "reason": "\\ncookie: kept"}'
    fields = ("Content-Type: application/json", f"Content-Length: {len(body)}", f"Cookie: {MOST}")
    async with connected(world.port) as connection:
        answers = []
        for what in (
            request_of(world, "/health", f"Cookie: {MOST}"),
            request_of(world, "/v1/pairings", *fields, method="POST", body=body),
            request_of(world, "/health", f"Cookie: {MOST}"),
        ):
            await connection.send(what)
            answers.append(await connection.answer())
    [pairing] = (await world.get("/v1/pairings")).json["pairings"]

    assert [200, 202, 200] == [one.status for one in answers]
    assert ("cookie: x", "cookie: kept") == (pairing["claimed_name"], pairing["reason"].strip())


# --- the filter -------------------------------------------------------------------------------------------------------

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nCookie: a=1; b=2\r\nX-Cookie: kept\r\nreferer:r\r\nAccept: */*\r\n\r\n"
EMPTIED = b"GET / HTTP/1.1\r\nHost: x\r\nCookie:\r\nX-Cookie: kept\r\nreferer:\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(HEAD) + 1))
def test_t58_values_are_removed_however_the_head_is_split(size: int) -> None:
    """Names that are split between two packets are recognized."""
    fields = UnreadFields()

    assert EMPTIED == b"".join(fields.feed(HEAD[at : at + size]) for at in range(0, len(HEAD), size))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
        b"GET /?a=\ncookie HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nX: cookie: kept\r\nMy-Cookie: kept\r\nCookie : kept\r\n Cookie: kept\r\n\r\n",
        b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x00\xff" * 50,
    ],
)
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_t58_everything_else_is_unchanged(head: bytes, size: int) -> None:
    """Only the values of fields with exactly these names are removed, so that the parser decides about the rest."""
    fields = UnreadFields()

    assert head == b"".join(fields.feed(head[at : at + size]) for at in range(0, len(head), size))


@pytest.mark.parametrize("value", [b"a\rb\r\n", b"a\nHost: y\n", b"a\r\n folded\r\n", b"\x00\r\n"])
def test_t58_line_ends_are_kept(value: bytes) -> None:
    """The parser sees the same lines as were sent, so that no request means something else without its cookies."""
    fields = UnreadFields()
    head = b"GET / HTTP/1.1\r\nCookie: " + value + b"\r\n"

    kept = fields.feed(head)

    assert [head.count(b"\r"), head.count(b"\n")] == [kept.count(b"\r"), kept.count(b"\n")]
    assert head.split(b"\n")[2:] == kept.split(b"\n")[2:]


def test_t58_bodies_are_unchanged() -> None:
    """Whatever they look like, and also if the next request follows immediately."""
    fields = UnreadFields()
    body = b"\r\n\r\ncookie: kept\r\n\r\nCookie: kept"
    passed = fields.feed(EMPTIED + body[:7]) + fields.feed(body[7:])
    fields.request_read(len(body))
    second = fields.feed(HEAD)
    fields.request_read(0)
    pipelined = fields.feed(HEAD + HEAD[:20])
    fields.request_read(0)
    rest = fields.feed(HEAD[20:])

    assert EMPTIED + body == passed
    assert EMPTIED == second
    assert EMPTIED + HEAD[:20] == pipelined
    assert HEAD[20:] == rest
