"""Hostile and malformed requests over real sockets, all without effect: T01 to T06, T10, T14 to T17, T23, T24."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tests.support.world import as_page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.world import World


OURS = b"(our own)"
CREATE = b'{"name":"db","primary_region":"us-east-1"}'


@dataclass
class Answer:
    """A response."""

    status: int
    head: str
    body: bytes

    @property
    def code(self) -> str:
        return str(msgspec.json.decode(self.body)["code"])


async def raw(world: World, text: bytes) -> list[Answer]:
    """Send bytes, and return all responses until the daemon closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.settings.port)
    writer.write(text)
    async with asyncio.timeout(10):
        got = await reader.read()
    writer.close()
    answers = []
    while got:
        head, _, got = got.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
        length = int(fields.get("Content-Length", len(got)))
        answers.append(Answer(int(head.split(b" ")[1]), head.decode("latin-1"), got[:length]))
        got = got[length:]
    return answers


async def one(world: World, text: bytes) -> Answer:
    [answer] = await raw(world, text)
    return answer


def request(
    world: World,
    line: str = "GET /v1/databases HTTP/1.1",
    host: bytes | None = OURS,
    *,
    more: Mapping[str, str] | None = None,
) -> bytes:
    lines = [line.encode()]
    if host is not None:
        lines.append(b"Host: " + host.replace(OURS, f"localhost:{world.settings.port}".encode()))
    headers = {"Authorization": f"Bearer {world.owner}", **(more or {})}
    lines += [f"{name}: {text}".encode("utf-8", "surrogateescape") for name, text in headers.items()]
    return b"\r\n".join(lines) + b"\r\nConnection: close\r\n\r\n"


@pytest.fixture(autouse=True)
async def no_effect(world: World, request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Connected with one database. Afterwards that is unchanged, and Upstash has received no request."""
    await world.connect()
    await world.create("only")
    before = (await world.get("/v1/connection")).json
    await world.sandbox.forget_requests()

    yield

    allowed = {"/v2/redis/databases"} if request.node.get_closest_marker("reads") else set()
    paths = {seen["path"] for seen in await world.sandbox.requests()}
    assert paths - allowed - {"/oauth/revoke"} == set()
    after = (await world.get("/v1/connection")).json
    assert before == after
    names = [it["name"] for it in (await world.get("/v1/databases?refresh=true")).json["databases"]]
    assert ["only"] == names


async def test_t01_dns_rebinding_is_denied(world: World) -> None:
    """With a valid token and another host name, the response is a 421 that names both."""
    port = world.settings.port

    answer = await one(world, request(world, host=f"evil.example:{port}".encode()))

    assert (421, "host_not_allowed") == (answer.status, answer.code)
    detail = msgspec.json.decode(answer.body)["detail"]
    assert f"evil.example:{port}" in detail
    assert all(f"{name}:{port}" in detail for name in ("localhost", "127.0.0.1", "[::1]"))


async def test_t56_no_response_to_a_stranger_names_the_owners_pages(world: World) -> None:
    """A rebound page can read the response, and their name is random so that nobody can prepare for it."""
    pages = (await world.call("POST", "/v1/dashboard/tickets?numeric=true")).json
    secrets = [pages[name].split("/")[2] for name in ("url", "numeric_url")]

    replies = [
        await world.get(path, headers={"Host": host, **headers}, token=None)
        for host in ("evil.example", f"localhost:{world.port}", f"127.0.0.1:{world.port}")
        for path in (
            "/v1/daemon",
            "/health",
            "/openapi.json",
            "/nothing",
            "/v1/pairings/x",
            "/reachable",
            "/connect.js",
        )
        for headers in ({}, as_page("https://evil.example"), as_page(f"http://localhost:{world.port}"))
    ]

    assert {200, 204, 401, 403, 404, 421} >= {reply.status for reply in replies}
    everything = "".join(f"{reply.text}{reply.headers}" for reply in replies)
    assert [] == [secret for secret in secrets if secret in everything]


@pytest.mark.reads
@pytest.mark.parametrize("host", ["localhost:{port}", "LOCALHOST:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
async def test_t02_own_hosts_are_served(world: World, host: str) -> None:
    """Exactly four spellings are accepted."""
    answer = await one(world, request(world, host=host.format(port=world.settings.port).encode()))

    assert 200 == answer.status


OTHER_HOSTS = [
    b"", b"localhost", b"localhost:3001", b"localhost.:{port}", b"localhost.evil.com:{port}",
    b"foo.localhost:{port}",
    b"127.0.0.2:{port}", b"0.0.0.0:{port}", b"[::]:{port}", b"host.docker.internal:{port}",
    b"localhost:{port}@evil.com", b"localhost:{port}, evil.com", b"localhost:{port}.", b"2130706433:{port}",
    "ⅼocalhost:{port}".encode(), b"\xff\xfe:{port}", b"localhost:{port}/", b"[::1", b"localhost:99999999",
]  # fmt: skip


async def test_t02_other_hosts_are_denied(world: World) -> None:
    """The response is a 421, or a 400 from the parser, and never an internal error."""
    port = str(world.settings.port).encode()

    statuses = {
        host: (await one(world, request(world, host=host.replace(b"{port}", port)))).status for host in OTHER_HOSTS
    }

    assert {} == {host: status for host, status in statuses.items() if status not in (400, 421)}
    assert 421 == statuses[b"localhost"]


async def test_t02_http_1_0_without_host_is_denied(world: World) -> None:
    """The protocol allows it, but the daemon requires Host."""
    answer = await one(world, request(world, "GET /v1/databases HTTP/1.0", host=None))

    assert (421, "host_not_allowed") == (answer.status, answer.code)


async def test_t03_two_hosts_are_denied(world: World) -> None:
    """The order does not matter."""
    good = f"localhost:{world.settings.port}".encode()

    answers = [
        await one(world, request(world, host=good + b"\r\nHost: evil.com")),
        await one(world, request(world, host=b"evil.com\r\nHost: " + good)),
    ]

    assert [400, 400] == [answer.status for answer in answers]


async def test_t04_absolute_form_is_denied(world: World) -> None:
    """A target with a host is denied, even if the host is ours."""
    port = world.settings.port

    answers = [
        await one(world, request(world, f"GET http://localhost:{port}/v1/databases HTTP/1.1", host=b"evil.com")),
        await one(world, request(world, "GET http://evil.com/v1/databases HTTP/1.1")),
        await one(world, request(world, f"GET http://localhost:{port}/v1/databases HTTP/1.1")),
    ]

    assert [400, 400, 400] == [answer.status for answer in answers]


async def test_t05_missing_token_gets_a_challenge(world: World) -> None:
    """The response is a 401 with the challenge of RFC 6750, and a link to request access."""
    reply = await world.get("/v1/databases", token=None)

    assert (401, "token_required") == (reply.status, reply.code)
    assert 'Bearer realm="upstash-helper"' == reply.headers["WWW-Authenticate"]
    assert '</v1/pairings>; rel="pair"' == reply.headers["Link"]
    assert "/v1/pairings" == reply.json["links"]["pair"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("wrong", "invalid_token"), ("longer", "invalid_token"), ("off", "invalid_token"), ("bytes", "invalid_token"),
        ("long", "invalid_token"), ("bare", "token_required"), ("empty", "token_required"),
        ("query", "token_required"), ("twice", "token_required"), ("basic", "token_required"),
    ],
)  # fmt: skip
async def test_t06_invalid_token_is_denied(world: World, kind: str, code: str) -> None:
    """Each is a 401 and never an internal error. A token in the query does not count."""
    owner = world.owner
    value = {
        "wrong": "Bearer nothing", "longer": f"Bearer {owner}X",
        "off": f"Bearer {owner[:-1]}{'a' if owner[-1] != 'a' else 'b'}",
        "bare": owner, "empty": "", "bytes": "Bearer \udcff\udcfe", "long": "Bearer " + "x" * 8100,
        "query": "", "twice": f"Bearer {owner}\r\nAuthorization: Bearer {owner}", "basic": "Basic b3duZXI6b3duZXI=",
    }[kind]  # fmt: skip
    line = f"GET /v1/databases?token={owner} HTTP/1.1" if kind == "query" else "GET /v1/databases HTTP/1.1"

    answer = await one(world, request(world, line, more={"Authorization": value}))

    assert (401, code) == (answer.status, answer.code)


async def test_t10_two_origins_are_denied(world: World) -> None:
    """They are denied whatever their values are."""
    origin = f"http://localhost:{world.settings.port}"

    answer = await one(world, request(world, more={"Origin": f"{origin}\r\nOrigin: https://evil.example"}))

    assert (400, "invalid_origin") == (answer.status, answer.code)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None, ""])
async def test_t14_form_content_types_are_rejected(world: World, kind: str | None) -> None:
    """Valid JSON is rejected with a content type that a form can send, or without one."""
    routes = [
        ("POST", "/v1/databases"), ("POST", "/v1/connection"), ("PUT", "/v1/connection/api-key"),
        ("PATCH", "/v1/databases/x"), ("POST", "/v1/databases/x/reset-password"), ("DELETE", "/v1/databases/x"),
        ("DELETE", "/v1/connection"),
    ]  # fmt: skip
    headers = {"Content-Length": str(len(CREATE)), "Idempotency-Key": "k"}
    if kind is not None:
        headers["Content-Type"] = kind

    answers = [
        await one(world, request(world, f"{method} {path} HTTP/1.1", more=headers) + CREATE) for method, path in routes
    ]

    assert [(415, "unsupported_media_type")] * len(routes) == [(answer.status, answer.code) for answer in answers]


def fetches(world: World) -> list[tuple[str, str]]:
    return [(route.method, route.path.replace("{", "").replace("}", "")) for route in world.daemon.routes]


@pytest.mark.parametrize("dest", ["image", "script", "iframe"])
async def test_t15_subresource_requests_are_denied_everywhere(world: World, dest: str) -> None:
    """The same constant response is returned on every route, including the callback with its parameters."""
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": dest}
    paths = sorted({path for _, path in fetches(world)} | {"/?code=c&state=s", "/?error=access_denied&state=s"})
    paths.remove("/reachable")  # constant, and for such requests

    replies = [await world.get(path, headers=headers, token=None) for path in paths]

    assert {403} == {reply.status for reply in replies}
    assert 1 == len({reply.body for reply in replies})


@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
async def test_t16_other_port_of_localhost_is_foreign(world: World, mode: str) -> None:
    """``same-site`` is no better than ``cross-site``, because other programs use other ports."""
    headers = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": "empty"}
    if mode == "cors":
        headers["Origin"] = "http://localhost:5173"

    replies = [
        await world.get("/v1/databases", headers=headers, token=None),
        await world.call("POST", "/v1/databases", CREATE, headers=headers, token=None),
    ]

    assert [403, 403] == [reply.status for reply in replies]


async def test_t17_get_on_a_write_route_is_denied(world: World) -> None:
    """GET on a path that only has write methods is a 405 with those methods."""
    changing = {path for method, path in fetches(world) if method != "GET"}
    readable = {path for method, path in fetches(world) if method == "GET"}

    replies = [await world.get(path) for path in sorted(changing - readable)]

    assert replies
    assert {405} == {reply.status for reply in replies}
    assert all(reply.headers["Allow"] for reply in replies)


@pytest.mark.parametrize("method", ["TRACE", "HEAD", "OPTIONS", "PUT", "PROPFIND"])
async def test_t17_undeclared_methods_are_denied(world: World, method: str) -> None:
    """This includes HEAD, which would otherwise run the handler of GET."""
    reply = await world.call(method, "/v1/databases")

    assert 405 == reply.status
    assert "GET, POST" == reply.headers["Allow"]


async def test_t17_connect_is_denied(world: World) -> None:
    """The daemon is not a proxy."""
    answers = await raw(world, request(world, "CONNECT localhost:443 HTTP/1.1"))

    assert all(answer.status in (400, 404, 405) for answer in answers)


INVALID_PATHS = [
    "/..%2f..%2fetc/passwd", "/v1/%2e%2e/x", "//v1//databases", "/v1/%00", "/" + "a" * 4096, "/web/..%2fpage.html",
    "/web/../compose.py", "/web/%2e%2e/compose.py", "/web/page.html", "/web/__init__.py", "/nothing",
    "/web/pages/page.html", "/web/pages/..%2f..%2fcompose.py", "/web/connect/errors.js", "/web/connect.js",
    "/v1/databases#x",
]  # fmt: skip


async def test_t23_no_path_traversal(world: World) -> None:
    """Such paths are not found or invalid. The pages' files are a fixed set."""
    statuses = {path: (await one(world, request(world, f"GET {path} HTTP/1.1"))).status for path in INVALID_PATHS}

    assert {} == {path: status for path, status in statuses.items() if status not in (400, 404)}


INVALID_BODIES = [
    (b"[" * 10_000, 400),
    (b'{"name":"db","primary_region":"us-east-1","read_regions":' + b"[" * 10_000, 400),
    (b'{"name":' * 1500, 400),
    (b'{"name":NaN,"primary_region":"us-east-1"}', 400),
    (b'{"name":"a","name":"b","primary_region":"us-east-1"}', 400),
    (b'{"name":"\xff\xfe","primary_region":"us-east-1"}', 400),
    (b'{"name":"db","primary_region":"us-east-1","budget":1' + b"0" * 400 + b"}", 422),
    (b'{"name":1,"primary_region":"us-east-1"}', 422),
    (b'{"name":"db","primary_region":"us-east-1","color":"red"}', 422),
    (b'{"name":"db"}', 422),
    (b'{"name":"","primary_region":"us-east-1"}', 422),
    (b'{"name":"db","primary_region":"us-east-1","read_regions":["eu-west-1",7]}', 422),
    (b'{"name":"db","primary_region":"us-east-1","read_regions":["us-east-1"]}', 422),
    (b'{"name":"db","primary_region":"us-central1","platform":"aws"}', 422),
    (b'"text"', 422),
    (b"null", 422),
    (b"{", 400),
    (b"", 400),
    (b'{"name":"db","primary_region":"us-east-1"} trailing', 400),
    (b"\xef\xbb\xbf{}", 422),
    (b'{"name":"\\ud800","primary_region":"us-east-1"}', 400),
    (b'{"name":5,"primary_region":"\\ud800"}', 422),
    (b'{"name":5,"primary_region":NaN}', 400),
    (b'{"name":"db","primary_region":"us-east-1","budget":1e999}', 422),
    (b'{"name":5,"primary_region":-1e999}', 422),
]


async def test_t24_invalid_body_gets_a_precise_error(world: World) -> None:
    """The response is a 400 if it is not JSON, and a 422 with the position if a value is invalid."""
    for body, status in INVALID_BODIES:
        reply = await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "k"})

        code = "invalid_json" if status == 400 else "invalid_request"
        assert (status, code) == (reply.status, reply.code), (body[:80], reply.text)
        assert status == 400 or reply.json["errors"][0]["detail"], (body[:80], reply.text)


INVALID_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"name": 1, "primary_region": "us-east-1"}, "/name"),
    ({"name": "db", "primary_region": "us-east-1", "read_regions": ["eu-west-1", 7]}, "/read_regions/1"),
    ({"name": "db", "primary_region": "us-east-1", "read_regions": ["us-east-1"]}, "/read_regions"),
    ({"name": "db", "primary_region": "us-east-1", "read_regions": ["eu-west-1", "us-east4"]}, "/read_regions/1"),
    ({"name": "db"}, "/primary_region"),
]


async def test_t24_error_position_is_a_json_pointer(world: World) -> None:
    """A form can show the message next to its field."""
    replies = [
        await world.call("POST", "/v1/databases", body, headers={"Idempotency-Key": "k"}) for body, _ in INVALID_VALUES
    ]

    assert [pointer for _, pointer in INVALID_VALUES] == [reply.json["errors"][0]["pointer"] for reply in replies]


async def test_t05_every_response_has_the_security_headers(world: World) -> None:
    """
    Responses, problems, and pages are not cached or sniffed, set no cookie, and do not disclose the server's
    version.
    """
    replies: list[tuple[str, Mapping[str, str]]] = [
        (path, (await world.get(path, token=token)).headers)
        for path, token in (
            ("/health", None),
            ("/", None),
            ("/v1/connection", ""),
            ("/v1/databases", None),
            ("/x", None),
        )
    ]

    for path, headers in replies:
        assert "no-store" == headers["Cache-Control"], path
        assert "nosniff" == headers["X-Content-Type-Options"], path
        assert "Set-Cookie" not in headers, path
        assert "Server" not in headers, path
        assert "Access-Control-Allow-Origin" not in headers, path
