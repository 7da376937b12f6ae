"""Requests to the REST API that no well-behaved client sends: each is answered as Upstash would, and none is a 500."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sandbox.rest_target import Target

if TYPE_CHECKING:
    from tests.support.sandbox import Sandbox

PATHS = ("/", "/pipeline", "/multi-exec")

# The database is shared by the examples, which is what the health check would warn about.
several = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
names = st.sampled_from(
    (
        *("GET", "set", "MGET", "HSET", "LPUSH", "ZADD", "ZRANGE", "XADD", "XREAD", "XREADGROUP", "SCAN", "SORT"),
        *("GETRANGE", "OBJECT", "COMMAND", "INFO", "DUMP", "RESTORE", "COPY", "BITFIELD", "GEOADD", "EVALSHA"),
        *("CONFIG", "DEBUG", "SHUTDOWN", "ACL", "MODULE", "REPLICAOF", "SLAVEOF", "CLUSTER", "MIGRATE", "SAVE"),
        *("MULTI", "EXEC", "MONITOR", "SUBSCRIBE", "CLIENT", "AUTH", "HELLO", "RESET", "QUIT", "BLPOP", "WATCH"),
    )
)
commands = st.tuples(names, st.lists(st.text(max_size=8) | st.integers(-5, 5), max_size=5)).map(
    lambda parts: [parts[0], *parts[1]]
)
headers = st.dictionaries(
    st.sampled_from(("Upstash-Encoding", "Upstash-Response-Format", "Upstash-Sync-Token", "Accept", "Content-Type")),
    st.sampled_from(("base64", "resp2", "json", "text/plain", "\x7f", "é", "a" * 500)),
    max_size=3,
)


@pytest.fixture
def target(shared_sandbox: Sandbox, shared_database: dict[str, Any]) -> Target:
    """The REST API, and a token for a database that is shared by all examples."""
    return Target(shared_sandbox.rest_url, shared_database["rest_token"])


def unsound(status: int, content: Any) -> list[Any]:
    """Return what is wrong with a response: it must be a result, or an error with a text."""
    items = content if isinstance(content, list) else [content]
    sound = [item is None or set(item) == {"result"} or is_error(item) for item in items]
    return [status, content] if status not in {200, 400} or not all(sound) else []


def is_error(item: dict[str, Any]) -> bool:
    """Return whether this is an error whose text is not about the sandbox itself."""
    return set(item) == {"error"} and bool(item["error"]) and "internal" not in item["error"]


@several
@given(path=st.sampled_from(PATHS), body=values, more=headers)
def test_any_json_is_answered(target: Target, path: str, body: Any, more: dict[str, str]) -> None:
    """
    Whatever JSON a body is, and whatever the headers ask for, the response is a result or an error that says why.
    """
    assert [] == unsound(*target.send("POST", path, json.dumps(body).encode(), more))


@several
@given(path=st.sampled_from(PATHS), body=st.binary(max_size=60))
def test_any_bytes_are_answered(target: Target, path: str, body: bytes) -> None:
    """
    A body that is not JSON, or not even text, is an error.
    """
    assert [] == unsound(*target.send("POST", path, body))


@several
@given(path=st.sampled_from(PATHS[1:]), body=st.lists(commands, min_size=1, max_size=5), more=headers)
def test_any_commands_are_answered(target: Target, path: str, body: Any, more: dict[str, str]) -> None:
    """
    Each command of a pipeline has a result or an error, also those that no client may run, and the server stays up.
    """
    status, content = target.send("POST", path, json.dumps(body).encode(), more)

    assert [] == unsound(status, content)
    if path == "/pipeline" and status == 200 and content is not None:
        assert len(body) == len(content)
    assert target.send("GET", "/ping") == (200, {"result": "PONG"})


@several
@given(
    method=st.sampled_from(("GET", "POST", "PUT")),
    path=st.lists(st.binary(max_size=8).map(lambda data: quote(data, safe="")), max_size=4).map("/".join),
    query=st.text("abcEX=&%?+;", max_size=12),
    body=st.binary(max_size=8),
)
def test_any_path_is_answered(target: Target, method: str, path: str, query: str, body: bytes) -> None:
    """
    Segments can have any bytes, also such that are not UTF-8, and the query any form.
    """
    assert [] == unsound(*target.send(method, f"/{path}?{query}", body))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'["GET",' * 50_000,
        b"[" * 5_000_000,
        b'{"a":' * 100_000,
        b'["GET", ' + b"9" * 100_000 + b"]",
        b'["GET", 1e999999999]',
        b'["GET", -Infinity]',
        b'["GET", "\\ud800"]',
        b'["GET", "\\u0000"]',
        b'["GET", "a"] ["GET"]',
        b'["GET", "a",]',
        b'\xef\xbb\xbf["GET", "a"]',
        '["GET", "é"]'.encode("utf-16"),
        b'["GET", "\xff"]',
        b'[["' + b"G" * 1_000_000 + b'"]]',
        b"[" + b'["PING"],' * 20_000 + b'["PING"]]',
    ],
    ids=range(16),
)
def test_hostile_body_is_answered(target: Target, path: str, body: bytes) -> None:
    """
    Nesting, sizes, and encodings that parsers fail on are results or errors.
    """
    assert [] == unsound(*target.send("POST", path, body))


@pytest.mark.parametrize(
    "path",
    [
        *("/%", "/%zz", "/get/%", "/get/%f", "/%00", "/get/%00%0d%0a", "//", "///get", "/get//", "/get/a%2F..%2Fb"),
        *("/get/../get/a", "/./ping", "/ping;x", "/ping?", "/ping?=", "/ping?&&&", "/ping?_token", "/ping?%ff=%fe"),
        *("/subscribe", "/subscribe/", "/psubscribe/%ff", "/SuBsCrIbE/a", "/subscribe%2fa", "/pipeline/"),
        *("/" + "a/" * 7000, "/set/" + "a" * 16_000, "/get/" + "%61" * 5000),
    ],
    ids=lambda path: path[:20],
)  # fmt: skip
def test_hostile_path_is_answered(target: Target, path: str) -> None:
    """
    Percent signs, dots, empty and long segments are data, or an error.
    """
    assert [] == unsound(*target.send("GET", path))


def test_compressed_body_is_refused(target: Target) -> None:
    """
    A body that would have to be decompressed first is 415: its size is not known.
    """
    status, content = target.send("POST", "/", b"x", {"Content-Encoding": "gzip"})

    assert (415, {"error"}) == (status, set(content))
