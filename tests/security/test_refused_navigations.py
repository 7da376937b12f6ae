"""What a browser shows to its user if a request is refused: a page in words, with the status of the refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from yarl import URL

from tests.support.rawhttp import connected, exchange
from tests.support.served import RecordingServer
from tests.support.world import continued
from upstash_helper.api.server.connections import Limits
from upstash_helper.api.server.unread_fields import UnreadFields

if TYPE_CHECKING:
    from tests.support.rawhttp import Answer
    from tests.support.world import World

NAVIGATION = "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nSec-Fetch-Site: none\r\n"
OLD_BROWSER = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n"
KINDS = pytest.mark.parametrize("headers", [NAVIGATION, OLD_BROWSER], ids=["metadata", "accept"])


async def answer_to(world: World, line: str, headers: str, *, host: str = "") -> Answer:
    """Return the only response to a raw request."""
    host = host or f"localhost:{world.port}"
    async with connected(world.port) as connection:
        await connection.send(f"{line} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n".encode())
        return await connection.answer()


def is_page(answer: Answer, *words: str) -> bool:
    """Return whether a response is a page in words that loads nothing."""
    text = answer.body.decode()
    return (
        answer.headers["content-type"].startswith("text/html")
        and text.startswith("<!doctype html>")
        and all(word in text for word in ("<h1>", *words))
        and answer.headers["content-security-policy"].startswith("default-src 'none'")
        and "no-store" == answer.headers["cache-control"]
    )


REFUSALS = [
    ("GET /nothing", "", 404, "Not found"),
    ("POST /connect.js", "", 405, "Method not allowed"),
    ("GET /v1/daemon", "", 401, "token"),
    ("GET /v1/daemon", "Authorization: Bearer nonsense\r\n", 401, "token"),
    ("GET /v1/pairings/x", "", 404, ""),
    ("GET /", "Sec-Purpose: prefetch\r\n", 403, ""),
    ("GET /health", "Origin: null\r\n", 403, "Origin"),
    ("GET //x", "", 400, "path"),
    (f"GET /{'x' * 3000}", "", 400, "longer than"),
    (f"GET /{'x' * 20_000}", "", 400, ""),
    ("GET /", f"X: {'x' * 20_000}\r\n", 400, ""),
    ("GET /", "X" * 5 + "\r\n", 400, ""),
    ("POST /v1/pairings", "Content-Length: 99999\r\nContent-Type: application/json\r\n", 413, "too large"),
    ("POST /v1/pairings", "Content-Length: 2\r\nContent-Type: text/plain\r\n", 415, "JSON"),
    ("GET /health", "Content-Length: 2\r\n", 400, "body"),
]


@KINDS
@pytest.mark.parametrize("refusal", REFUSALS)
async def test_refused_navigation_gets_a_page(world: World, headers: str, refusal: tuple[str, str, int, str]) -> None:
    """Whatever refuses it, from the parser to the handler."""
    line, more, status, words = refusal
    if headers == NAVIGATION and line.startswith("POST /v1/"):
        status, words = 403, ""  # a form of a page
    answer = await answer_to(world, line, headers + more)

    assert status == answer.status
    assert is_page(answer, words), answer


@pytest.mark.parametrize(("line", "more", "status", "words"), REFUSALS)
async def test_program_gets_a_problem(world: World, line: str, more: str, status: int, words: str) -> None:
    """A program, and a script that accepts HTML, get the same refusal as JSON."""
    for headers in ("", "Accept: */*\r\n"):
        answer = await answer_to(world, line, headers + more)

        assert (status, status) == (answer.status, answer.json["status"]), words
        assert answer.headers["content-type"].startswith("application/problem+json")


async def test_script_that_accepts_html_gets_a_problem(world: World) -> None:
    """The browser states that it is no navigation."""
    answer = await answer_to(world, "GET /nothing", f"{OLD_BROWSER}Sec-Fetch-Mode: cors\r\n")

    assert (404, 404) == (answer.status, answer.json["status"])


@KINDS
@pytest.mark.parametrize("host", ["evil.example", "localhost:1", "x.upstash-helper.localhost:3000"])
async def test_page_for_another_host_leads_nowhere(world: World, headers: str, host: str) -> None:
    """Its origin is another one, so it has no link. A forwarded port is explained."""
    answer = await answer_to(world, "GET /", headers, host=host)

    assert 421 == answer.status
    assert is_page(answer, "not allowed"), answer
    assert b"href" not in answer.body
    assert world.pages.encode() not in answer.body
    assert ("localhost:1" == host) is (b"same port number on both sides" in answer.body)


async def test_values_in_a_page_are_text(world: World) -> None:
    """A refusal that repeats a value of the request shows it as text."""
    answer = await answer_to(world, "GET /", NAVIGATION, host="<img/src=x>")

    assert 421 == answer.status
    assert b"<img" not in answer.body
    assert b"&lt;img" in answer.body


async def test_page_if_all_connections_are_in_use() -> None:
    """The lowest layer refuses before anything is parsed."""
    async with RecordingServer.serving(limits=Limits(connections=0)) as server:
        page, problem = [
            (await exchange(server.port, f"GET / HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()))[0]
            for headers in (NAVIGATION, "")
        ]

    assert (503, 503) == (page.status, problem.status)
    assert is_page(page, "Too many connections")
    assert "too_many_connections" == problem.json["code"]


# --- the redirect -----------------------------------------------------------------------------------------------------


async def state_of(world: World, started: dict[str, str]) -> tuple[str, str | None]:
    """Return the state of an attempt that has ended, and why it failed."""
    attempt = await world.settled(started["attempt_id"])
    return attempt["state"], attempt.get("reason")


@pytest.mark.parametrize("length", [1_000, 3_000, 15_000, 60_000, 200_000])
@pytest.mark.parametrize("place", ["first", "last"])
async def test_denial_with_a_long_description_ends_the_attempt(world: World, length: int, place: str) -> None:
    """The authorization server chooses the description, and can put a whole page there."""
    started = await world.start()
    cancelled = URL(await world.sandbox.cancel(started["authorization_url"]))
    known = f"error=access_denied&state={cancelled.query['state']}"
    long = f"error_description={'%C3%A9-why+' * (length // 10)}"
    query = f"{long}&{known}" if place == "first" else f"{known}&{long}"

    landed = await answer_to(world, f"GET /?{query}", NAVIGATION.replace("none", "cross-site"))
    ended = await state_of(world, started)
    page = await world.page(_continued(landed))

    assert ("failed", "access_denied") == ended
    assert (200, 200) == (landed.status, page.status)
    assert "You canceled the sign-in" in page.text


def _continued(answer: Answer) -> str:
    import html
    import re

    found = re.search(r'href="([^"]*)"', answer.body.decode())
    assert found is not None
    return html.unescape(found[1])


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "localhost"])
async def test_redirect_through_a_forwarded_port_ends_the_attempt(world: World, host: str) -> None:
    """The sign-in is finished, and the page says in words why it looks different. It names nobody."""
    started = await world.start()
    address = URL(await world.sign_in(started))

    landed = await answer_to(world, f"GET {address.raw_path_qs}", NAVIGATION, host=host)
    ended = await state_of(world, started)

    assert ("succeeded", None) == ended
    assert 200 == landed.status
    assert is_page(landed, "has reached the helper", host, "ssh -L"), landed
    bridge = await answer_to(world, f"GET /bridge{address.raw_path_qs[1:]}", NAVIGATION, host=host)
    assert 421 == bridge.status
    for secret in (world.pages, world.email, address.query["code"], address.query["state"]):
        assert secret.encode() not in landed.body


async def test_denial_through_a_forwarded_port_ends_the_attempt(world: World) -> None:
    """The page says that nothing was connected."""
    started = await world.start()
    address = URL(await world.sandbox.cancel(started["authorization_url"]))

    landed = await answer_to(world, f"GET {address.raw_path_qs}", NAVIGATION, host="localhost:8080")

    assert ("failed", "access_denied") == await state_of(world, started)
    assert is_page(landed, "You canceled the sign-in", "localhost:8080"), landed


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost:8080", ""),
        ("localhost:8080", "Sec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\nSec-Fetch-Site: same-site\r\n"),
        ("localhost:8080", "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: iframe\r\nSec-Fetch-Site: same-site\r\n"),
        ("localhost:8080", f"Origin: http://localhost:8080\r\n{NAVIGATION}"),
        ("localhost.evil.example:8080", NAVIGATION),
        ("rebound.example", NAVIGATION),
        ("127.0.0.2:8080", NAVIGATION),
        ("localhost:8080@evil.example", NAVIGATION),
    ],
)
async def test_other_requests_for_another_port_have_no_effect(world: World, host: str, headers: str) -> None:
    """Only a navigation to a loopback name can be one of the user's: the rules against rebinding stay."""
    started = await world.start()
    address = URL(await world.sign_in(started))

    answer = await answer_to(world, f"GET {address.raw_path_qs}", headers, host=host)
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json

    assert answer.status in {400, 403, 421}
    assert "pending" == attempt["state"]


async def test_unknown_state_through_a_forwarded_port_changes_nothing(world: World) -> None:
    """A page of another program can open such an address, but it does not know the state."""
    started = await world.start()

    answer = await answer_to(world, "GET /?code=x&state=unknown", NAVIGATION, host="localhost:8080")
    attempt = (await world.get(f"/v1/connection/attempts/{started['attempt_id']}")).json

    assert (400, "pending") == (answer.status, attempt["state"])
    assert is_page(answer, "This sign-in has ended"), answer


async def test_truncated_redirect_is_explained(world: World) -> None:
    """Such as one that was opened from a shell without quotes. The attempt waits for the complete one."""
    started = await world.start()
    address = URL(await world.sign_in(started))

    landed = await world.land(str(address.with_query(code=address.query["code"])))
    page = await world.page(continued(landed))
    await world.land(str(address))

    assert (400, 400) == (landed.status, page.status)
    assert "The address was cut off" in page.text
    assert address.query["code"] not in page.text + landed.text
    assert ("succeeded", None) == await state_of(world, started)


# --- the filter of the request line -----------------------------------------------------------------------------------

LINE = (
    b"GET /?error_description=%20a+b&error=e&state=s&error_uri=http://x/?a=b&code=error_description HTTP/1.1\r\n"
    b"A: b\r\n\r\n"
)
EMPTIED = b"GET /?error_description=&error=e&state=s&error_uri=&code=error_description HTTP/1.1\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("size", range(1, len(LINE) + 1))
def test_descriptions_are_removed_however_the_line_is_split(size: int) -> None:
    """A name or a value that is split between two packets is recognized."""
    fields = UnreadFields()

    assert EMPTIED == b"".join(fields.feed(LINE[at : at + size]) for at in range(0, len(LINE), size))


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "line",
    [
        b"GET /v1/x?error_description=a HTTP/1.1\r\nA: b\r\n\r\n",
        b"POST /?error_description=a HTTP/1.1\r\nA: b\r\n\r\n",
        b"GET /?xerror_description=a&error_descriptions=b&Error_Description=c HTTP/1.1\r\n\r\n",
        b"GET /?a=error_description=b&&=c& HTTP/1.1\r\nerror_description=a\r\n\r\n",
    ],
)
def test_other_request_lines_are_unchanged(line: bytes, size: int) -> None:
    """Only the parameters of a redirect that nothing reads are emptied."""
    fields = UnreadFields()

    assert line == b"".join(fields.feed(line[at : at + size]) for at in range(0, len(line), size))


async def test_next_request_of_the_connection_is_complete(world: World) -> None:
    """The filter starts again with each request."""
    async with connected(world.port) as connection:
        answers = []
        for query in (
            f"error=e&state=s&error_description={'x' * 40_000}",
            "error_description=a&error=e&state=s",
            "x=y",
        ):
            await connection.send(f"GET /?{query} HTTP/1.1\r\nHost: localhost:{world.port}\r\n\r\n".encode())
            answers.append(await connection.answer())

    assert [400, 400, 303] == [answer.status for answer in answers]
