"""T71: no spelling of the API-key path reaches Upstash, and no field or parameter that means another request."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.support.passed import passed_to
from upstash_helper.broker.databases.pass_through import names_a_method, names_api_keys
from upstash_helper.broker.errors import InvalidRequest
from upstash_helper.broker.identity import MEANING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hypothesis.strategies import DrawFn

    from tests.support.sandbox import Sandbox

WORD = "apikey"
MOST = 8
"""How often a target may be encoded."""
# Dropped, or taken for the end of a name, by some server: NUL, a soft hyphen, a zero-width space, a combining accent …
NOISE = ("", ".", "..", ";", "-", "_", "+", " ", "\t", "~", "\0", "\u00ad", "\u200b", "\u0301", "\ufe0f", "'")
OVERLONG = (b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80")


def overlong(character: str, length: int) -> str:
    """Return an ASCII character as percent-encoded UTF-8 of two to four bytes."""
    encoded = bytearray(OVERLONG[length - 2])
    encoded[-1] |= ord(character) & 0x3F
    encoded[-2] |= ord(character) >> 6
    return "".join(f"%{byte:02x}" for byte in encoded)


@st.composite
def letters(draw: DrawFn, letter: str) -> str:
    """Return a spelling of one letter that some server takes for it."""
    plain = draw(
        st.sampled_from((letter, letter.upper(), chr(ord(letter) + 0xFEE0), chr(ord(letter.upper()) + 0xFEE0)))
    )
    if not plain.isascii():
        return quote(plain)
    forms = (
        st.just(plain),
        st.sampled_from((f"%{ord(plain):02x}", f"%{ord(plain):02X}", f"%u{ord(plain):04x}", f"%U{ord(plain):04X}")),
        st.integers(2, 4).map(lambda length: overlong(plain, length)),
    )
    return draw(st.one_of(forms))


@st.composite
def spellings(draw: DrawFn) -> str:
    """Return a target that some server could take for the API-key path."""
    noise = st.sampled_from(NOISE).map(lambda text: quote(text, safe=".;+~-_'"))
    word = draw(noise).join((*(draw(letters(letter)) for letter in WORD), draw(noise)))
    for _ in range(draw(st.integers(0, 3))):
        word = draw(st.sampled_from((quote, lambda text: text.replace("%", "%25"), lambda text: text)))(word)
    before = draw(
        st.sampled_from(("", "v2/", "V2/redis/", "v2/x/%252e%252e/", "v2/x%255c", "v2?path=", "v2?x=1&y=/", "v2;"))
    )
    after = draw(st.sampled_from(("", "/", "/list", "?x=y", ".json", ";v=1", "s", "%00", "%2500.png", "&a=b")))
    return before + word + after


@given(spellings())
def test_t71_no_spelling_of_the_api_key_path_is_passed(target: str) -> None:
    """However often it is encoded, and whatever is in between or around it."""
    assert names_api_keys(target), target


@given(st.text("abcdefghijlmnopqrstuvwxz012346789-_./%?&=;", max_size=60), st.integers(0, MOST - 1))
def test_t71_only_the_word_is_refused(text: str, depth: int) -> None:
    """Its k and y are not in this alphabet. However often it is encoded, up to the limit, decoding ends."""
    assert not names_api_keys(f"{text}%{'25' * depth}41")


@pytest.mark.parametrize("check", [names_api_keys, names_a_method])
@pytest.mark.parametrize("often", ["%" + "25" * 1000 + "41", "%" + "25" * MOST + "41"])
def test_t71_target_is_not_decoded_without_end(check: Callable[[str], bool], often: str) -> None:
    """Each round takes time, in which the daemon does nothing else."""
    with pytest.raises(InvalidRequest, match=r"percent-encoded more than 8 times\."):
        check(f"v2/redis/{often}")


@pytest.mark.parametrize(
    "target",
    ["v2/redis/databases", "v2/redis/database/0d1e2f3a-4b5c-6d7e-8f90-a1b2c3d4e5f6?credentials=hide", "v2/teams/member",
     "auditlogs?from=1", "v2/redis/update-budget/x", "v2/qstash/rotate-token/x", "v2/vector/index/x/reset-password"],
)  # fmt: skip
def test_t71_documented_paths_are_passed(target: str) -> None:
    """The guard is in no one's way."""
    assert not names_api_keys(target)
    assert not names_a_method(target)


METHODS = (
    "x?a=b;_method=DELETE",
    "x?.method=DELETE",
    "x?[method=DELETE",
    "x?_method%00=PUT",
    "x?_method[]=PUT",
    "x?method=PUT",
    "x?%EF%BC%BFmethod=PUT",
    "x?x_http_method=PUT",
    "x?httpMethod=PUT",
    "x?_method=DELETE",
    "x?a=b&_method=DELETE",
    "x?%5fmethod=DELETE",
    "x?%255FMETHOD=PUT",
    "x?X-HTTP-Method-Override=PUT",
    "x?x_http_method_override=PUT",
    "x?X-Method-Override=PUT",
    "x?X-HTTP-Method=PUT",
    "x?+_method=PUT",
    "x;_method=DELETE",
    "x;a=b;%255fmethod=PUT/y",
)


@pytest.mark.parametrize("target", METHODS)
async def test_t71_parameter_cannot_name_another_method(
    tmp_path: Path, sandbox: Sandbox, daemon_port: int, target: str
) -> None:
    """An app that may only read cannot have a GET taken for a change."""

    async def handler(_: web.Request) -> web.Response:
        return web.json_response([])

    async with passed_to(handler, tmp_path, sandbox, daemon_port) as (world, upstream):
        app = await world.pair("upstash:read")
        reply = await world.as_app(app, "GET", f"/upstash/v2/redis/database/{target}")

        assert (422, "invalid_request", []) == (reply.status, reply.code, upstream.targets)


async def test_t71_only_listed_fields_reach_upstash(tmp_path: Path, sandbox: Sandbox, daemon_port: int) -> None:
    """Neither do fields that override the request reach it, nor come fields back that apply to our origin."""
    overriding = (
        "X-Method", "X-HTTP-Method-Override", "X-Original-Host", "X-Original-URL", "X-Envoy-Original-Path",
        "X-Rewrite-URL", "X-Forwarded-Host", "X-Forwarded-Prefix", "X-Real-IP", "X-Made-Up", "Upstash-Helper-Probe",
    )  # fmt: skip
    wanted = {
        "Accept": "application/json",
        "If-None-Match": '"x"',
        "Idempotency-Key": "k",
        "Upstash-Telemetry-Sdk": "a@1",
    }

    async def handler(_: web.Request) -> web.Response:
        return web.json_response(
            [], headers={**dict.fromkeys(overriding, "x"), "ETag": '"y"', "Link": "</x>; rel=preload"}
        )

    async with passed_to(handler, tmp_path, sandbox, daemon_port) as (world, upstream):
        app = await world.pair("upstash:read")
        reply = await world.as_app(app, "GET", "/upstash/v2/x", **dict.fromkeys(overriding, "/apikey"), **wanted)

        [seen] = upstream.seen
    assert wanted.items() <= seen.headers.items()
    assert {"Host", "Authorization", "Accept-Encoding", "User-Agent", "Via", *wanted} == set(seen.headers)
    assert (200, '"y"') == (reply.status, reply.headers["ETag"])
    assert {*overriding, "Link"}.isdisjoint(reply.headers)


async def test_t71_prompt_says_what_outlives_a_revocation(world: Any) -> None:
    """The user learns before approving that team members whom the app adds keep their access."""
    await world.ask("upstash:write")

    [pairing] = (await world.get("/v1/pairings")).json["pairings"]
    [shown] = [it["meaning"] for it in pairing["scopes"] if it["scope"] == "upstash:write"]

    assert MEANING["upstash:write"] == shown
    assert re.search(r"team members, who keep their access when you revoke the app", shown)
