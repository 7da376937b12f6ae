"""Commands of newer versions of Redis that the sandbox adds to Valkey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.json_commands import Error, JsonClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from upstash_helper.sandbox.redis.servers import DatabaseServer

WRONG_TYPE = Error("WRONGTYPE Operation against a key holding the wrong kind of value")
SYNTAX = Error("ERR syntax error")


def arity(name: str) -> Error:
    """The error for a wrong number of arguments."""
    return Error(f"ERR wrong number of arguments for '{name}' command")


@pytest.fixture
async def client(json_server: DatabaseServer) -> AsyncIterator[JsonClient]:
    """A client of an empty database."""
    async with await JsonClient.connect(json_server) as client:
        await client.run("FLUSHALL")
        yield client


@pytest.mark.parametrize(
    ("command", "reply", "value"),
    [
        (("DELEX", "k"), 1, None),
        (("DELEX", "missing"), 0, "one"),
        (("DELEX", "k", "IFEQ", "one"), 1, None),
        (("DELEX", "k", "ifeq", "two"), 0, "one"),
        (("DELEX", "k", "IFNE", "two"), 1, None),
        (("DELEX", "k", "IFNE", "one"), 0, "one"),
        (("DELEX", "missing", "IFNE", "x"), 0, "one"),
        (("DELEX", "list"), 1, "one"),
        (("DELEX", "list", "IFEQ", "x"), WRONG_TYPE, "one"),
        (("DELEX", "k", "IFDEQ", "0123456789abcdef"), Error(
            "ERR the sandbox does not have the digests of IFDEQ and IFDNE"
        ), "one"),
        (("DELEX", "k", "IF", "one"), SYNTAX, "one"),
        (("DELEX", "k", "IFEQ"), SYNTAX, "one"),
        (("DELEX",), arity("delex"), "one"),
    ],
)  # fmt: skip
async def test_delex_deletes_if_the_condition_is_true(
    client: JsonClient, command: tuple[str, ...], reply: Any, value: str | None
) -> None:
    """
    DELEX compares the value and deletes the key in one step.
    """
    await client.run("SET", "k", "one")
    await client.run("RPUSH", "list", "x")

    assert (reply, value) == (await client.run(*command), await client.run("GET", "k"))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("SDIFFCARD", 2, "a", "b"), 2),
        (("SDIFFCARD", 2, "b", "a"), 1),
        (("SDIFFCARD", 1, "a"), 4),
        (("SDIFFCARD", 2, "a", "b", "LIMIT", 1), 1),
        (("SDIFFCARD", 2, "a", "b", "LIMIT", 0), 2),
        (("SDIFFCARD", 2, "missing", "a"), 0),
        (("SUNIONCARD", 3, "a", "b", "missing"), 5),
        (("SUNIONCARD", 2, "a", "b", "limit", 3, "approx"), 3),
        (("SUNIONCARD", 2, "a", "b", "APPROX", "LIMIT", 99), 5),
        (("SUNIONCARD", 9001, *["a"] * 9000, "b"), 5),
        (("SDIFFCARD", 9001, "a", "b", *["missing"] * 8999), 2),
        (("SDIFFCARD", 9001, "a", *["missing"] * 8999, "b"), 2),
        (("SUNIONCARD", 2, "a", "text"), WRONG_TYPE),
        (("SUNIONCARD", 0, "a"), Error("ERR numkeys should be greater than 0")),
        (("SUNIONCARD", 3, "a", "b"), Error("ERR Number of keys can't be greater than number of args")),
        (("SUNIONCARD", 1, "a", "b"), SYNTAX),
        (("SDIFFCARD", 1, "a", "APPROX"), SYNTAX),
        (("SDIFFCARD", 1, "a", "LIMIT", -1), Error("ERR LIMIT can't be negative")),
        (("SDIFFCARD", 1), arity("sdiffcard")),
    ],
)
async def test_cardinality_of_differences_and_unions(client: JsonClient, command: tuple[Any, ...], reply: Any) -> None:
    """
    SDIFFCARD and SUNIONCARD count the members, up to the limit.
    """
    await client.run("SADD", "a", 1, 2, 3, 4)
    await client.run("SADD", "b", 3, 4, 5)
    await client.run("SET", "text", "x")

    assert reply == await client.run(*command)


BIT_OPERATIONS: dict[str, Callable[[int, list[int]], int]] = {
    "DIFF": lambda first, others: first & ~union(others),
    "DIFF1": lambda first, others: union(others) & ~first,
    "ANDOR": lambda first, others: first & union(others),
    "ONE": lambda first, others: exactly_one([first, *others]),
}


def union(values: list[int]) -> int:
    """Return the bits that are set in at least one of the values."""
    result = 0
    for value in values:
        result |= value
    return result


def exactly_one(values: list[int]) -> int:
    """Return the bits that are set in exactly one of the values."""
    bits = range(max(value.bit_length() for value in values))
    return sum(1 << bit for bit in bits if sum(value >> bit & 1 for value in values) == 1)


@given(st.lists(st.binary(max_size=6), min_size=2, max_size=4))
@settings(deadline=None, database=None, derandomize=True, max_examples=60,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
async def test_bit_operations_are_those_of_integers(client: JsonClient, sources: list[bytes]) -> None:
    """
    Each operation does to the bits what Python does to those of integers, with shorter values filled with zeros.
    """
    length = max(map(len, sources))
    keys = [f"source{number}" for number in range(len(sources))]
    for key, source in zip(keys, sources, strict=True):
        await client.run("SET", key, source)
    first, *others = [int.from_bytes(source.ljust(length, b"\0"), "big") for source in sources]

    for name, combine in BIT_OPERATIONS.items():
        reply = await client.run("BITOP", name, "result", *keys)
        stored = await client.run("GET", "result")

        expected = combine(first, others).to_bytes(length, "big") if length else None
        assert (length, expected) == (reply, stored.encode("utf-8", "surrogateescape") if stored is not None else None)


async def test_bit_operation_of_long_values(client: JsonClient) -> None:
    """
    Values of any length are combined, and the destination may be one of the sources.
    """
    await client.run("SET", "a", "\x7f" * 1000)
    await client.run("SET", "b", "\x0f" * 600)

    reply = await client.run("BITOP", "diff", "a", "a", "b")

    assert (1000, "\x70" * 600 + "\x7f" * 400) == (reply, await client.run("GET", "a"))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("BITOP", "DIFF", "d", "a"), Error("ERR BITOP DIFF must be called with at least two source keys.")),
        (("BITOP", "ONE", "d", "a"), 1),
        (("BITOP", "ONE", "d", "missing"), 0),
        (("BITOP", "ANDOR", "d", "a", "list"), WRONG_TYPE),
        (("BITOP", "XOR", "d", "a", "a"), 1),
        (("BITOP", "NAND", "d", "a"), SYNTAX),
        (("BITOP", "DIFF"), arity("bitop")),
    ],
)
async def test_bit_operations_check_their_arguments(client: JsonClient, command: tuple[str, ...], reply: Any) -> None:
    """
    Wrong arguments are refused, and the older operations are the server's.
    """
    await client.run("SET", "a", "x")
    await client.run("RPUSH", "list", "x")

    assert reply == await client.run(*command)


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.fixture
async def stream(client: JsonClient) -> JsonClient:
    """A stream of five entries. Group `g` has read four and acknowledged one, group `h` has acknowledged two."""
    for number in range(1, 6):
        await client.run("XADD", "s", f"{number}-0", "n", number)
    for group, count in (("g", 4), ("h", 2)):
        await client.run("XGROUP", "CREATE", "s", group, "0")
        await client.run("XREADGROUP", "GROUP", group, "c", "COUNT", count, "STREAMS", "s", ">")
    await client.run("XACK", "s", "g", "1-0")
    await client.run("XACK", "s", "h", "1-0", "2-0")
    return client


async def state(stream: JsonClient) -> tuple[list[str], list[str], list[str]]:
    """Return the IDs in the stream, and those that each group has not acknowledged."""
    entries = [entry[0] for entry in await stream.run("XRANGE", "s", "-", "+")]
    pending = [[entry[0] for entry in await stream.run("XPENDING", "s", group, "-", "+", 10)] for group in ("g", "h")]
    return entries, pending[0], pending[1]


async def test_xdelex_keeps_references_by_default(stream: JsonClient) -> None:
    """
    Without a policy, entries are deleted, and stay pending in the groups.
    """
    assert [1, 1, -1] == await stream.run("XDELEX", "s", "IDS", 3, "1", "3-0", "9-0")
    assert (["2-0", "4-0", "5-0"], ["2-0", "3-0", "4-0"], []) == await state(stream)


async def test_xdelex_deletes_references(stream: JsonClient) -> None:
    """
    With DELREF, no group has the entry pending afterwards.
    """
    assert [1, 1] == await stream.run("xdelex", "s", "delref", "ids", 2, "2-0", "3-0")
    assert (["1-0", "4-0", "5-0"], ["4-0"], []) == await state(stream)


async def test_xdelex_deletes_what_every_group_has_acknowledged(stream: JsonClient) -> None:
    """
    With ACKED, entries that a group has not read, or not acknowledged, stay.
    """
    reply = await stream.run("XDELEX", "s", "ACKED", "IDS", 5, "1-0", "2-0", "3-0", "5-0", "9-0")

    assert [1, 2, 2, 2, -1] == reply
    assert (["2-0", "3-0", "4-0", "5-0"], ["2-0", "3-0", "4-0"], []) == await state(stream)


async def test_xackdel_acknowledges_and_deletes(stream: JsonClient) -> None:
    """
    Pending entries are acknowledged in the group and deleted. An ID that is not pending there is not found.
    """
    assert [1, -1, -1] == await stream.run("XACKDEL", "s", "g", "IDS", 3, "2-0", "1-0", "5-0")
    assert (["1-0", "3-0", "4-0", "5-0"], ["3-0", "4-0"], []) == await state(stream)

    # Group `h` has not read 3-0 yet.
    assert [2] == await stream.run("XACKDEL", "s", "g", "ACKED", "IDS", 1, "3-0")
    assert [1] == await stream.run("XACKDEL", "s", "g", "DELREF", "IDS", 1, "4-0")
    assert (["1-0", "3-0", "5-0"], [], []) == await state(stream)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (("XDELEX", "missing", "IDS", 2, "1-0", "2"), [-1, -1]),
        (("XACKDEL", "missing", "g", "IDS", 1, "1-0"), [-1]),
        (("XACKDEL", "s", "nobody", "IDS", 1, "1-0"), [-1]),
        (("XDELEX", "text", "IDS", 1, "1-0"), WRONG_TYPE),
        (("XDELEX", "s", "IDS", 2, "1-0"), Error("ERR The `numids` parameter must match the number of arguments")),
        (("XDELEX", "s", "IDS", 0, "1-0"), Error("ERR Number of IDs must be a positive integer")),
        (("XDELEX", "s", "IDS", 1, "x"), Error("ERR Invalid stream ID specified as stream command argument")),
        (("XDELEX", "s", "IDS", 1, str(2**64)), Error("ERR Invalid stream ID specified as stream command argument")),
        (("XDELEX", "s", "LATER", "IDS", 1, "1-0"), SYNTAX),
        (("XDELEX", "s", "IDS", 1), arity("xdelex")),
        (("XACKDEL", "s", "g", "IDS", 1), arity("xackdel")),
    ],
)
async def test_stream_commands_check_their_arguments(stream: JsonClient, command: tuple[Any, ...], reply: Any) -> None:
    """
    Wrong arguments are refused, and change nothing.
    """
    await stream.run("SET", "text", "x")
    before = await state(stream)

    assert (reply, before) == (await stream.run(*command), await state(stream))


async def test_largest_ids_are_compared_exactly(client: JsonClient) -> None:
    """
    IDs of entries can be larger than a float can hold.
    """
    last, beyond = f"{2**64 - 1}-{2**64 - 3}", f"{2**64 - 1}-{2**64 - 2}"
    await client.run("XADD", "s", last, "n", 1)
    await client.run("XADD", "s", beyond, "n", 2)
    await client.run("XGROUP", "CREATE", "s", "g", "0")
    await client.run("XREADGROUP", "GROUP", "g", "c", "NOACK", "COUNT", 1, "STREAMS", "s", ">")

    assert [1, 2] == await client.run("XDELEX", "s", "ACKED", "IDS", 2, last, beyond)


async def test_read_only_user_can_only_count(client: JsonClient, json_server: DatabaseServer) -> None:
    """
    The read-only user is refused by the name of the command.
    """
    await client.run("SADD", "a", 1)

    async with await JsonClient.connect(json_server, "default_ro") as reader:
        counted = await reader.run("SUNIONCARD", 1, "a")
        denied = [
            await reader.run(*command)
            for command in (
                ("BITOP", "ONE", "d", "k"),
                ("DELEX", "k", "IFEQ", "x"),
                ("XDELEX", "s", "IDS", 1, "1-0"),
                ("XACKDEL", "s", "g", "IDS", 1, "1-0"),
            )
        ]

    assert 1 == counted
    assert all(
        f"'{name}'" in error.text for name, error in zip(("bitop", "delex", "xdelex", "xackdel"), denied, strict=True)
    )
